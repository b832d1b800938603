//! What the world gives: disk and time, real or simulated.

use std::io;

/// A directory tree. Paths are relative to the data directory, with `/` between names.
///
/// Durability is explicit: bytes survive a power cut after [`DiskFile::sync`]; names (created, renamed, removed, linked)
/// after [`Disk::sync_dir`] of their directory.
pub trait Disk: Send + Sync + 'static {
    /// Makes a file that must not exist, for reading and writing.
    fn create(&self, path: &str) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file that exists, for reading and writing.
    fn open(&self, path: &str) -> io::Result<Box<dyn DiskFile>>;
    /// Names in a directory, sorted; missing directory: empty.
    fn list(&self, dir: &str) -> io::Result<Vec<String>>;
    /// Makes a directory and its missing parents.
    fn create_dir(&self, dir: &str) -> io::Result<()>;
    /// Renames a file or symlink, replacing the target.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Makes `path` another name of the file `existing`.
    fn hard_link(&self, existing: &str, path: &str) -> io::Result<()>;
    /// Makes a symlink at `path` whose text is `target`.
    fn symlink(&self, target: &str, path: &str) -> io::Result<()>;
    /// The text of the symlink at `path`; none if there is no such link.
    fn read_link(&self, path: &str) -> io::Result<Option<String>>;
    /// Removes a file or symlink.
    fn remove(&self, path: &str) -> io::Result<()>;
    /// Removes an empty directory.
    fn remove_dir(&self, dir: &str) -> io::Result<()>;
    /// Makes the names in `dir` durable.
    fn sync_dir(&self, dir: &str) -> io::Result<()>;
}

/// An open file. Reads and writes name their offset, so one handle serves many threads.
pub trait DiskFile: Send + Sync + 'static {
    /// Fills `buffer` from `offset`; an end of file before that is an `UnexpectedEof`.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
    /// Writes all of `bytes` at `offset`, extending the file.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Makes all written bytes (and the length) durable.
    fn sync(&self) -> io::Result<()>;
    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;
}

/// Time.
pub trait Clock: Send + Sync + 'static {
    /// Microseconds since 1970, UTC.
    fn now_us(&self) -> u64;
}

/// The operating system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsClock;

impl Clock for OsClock {
    fn now_us(&self) -> u64 {
        // The one place that may look at the wall clock.
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
    }
}
