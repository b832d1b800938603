//! What the world gives: disk and time, real or simulated.
//!
//! Everything else in this crate takes them as arguments, so that the simulator's disk and clock drive the same code.

mod block_buffer;
pub mod conformance;
mod format;
mod os_clock;
mod os_disk;

use std::io;

pub use block_buffer::{BLOCK_BYTES, BlockBuffer};
pub use format::{DirectoryId, FORMAT, open_format, read_format};
pub use os_clock::OsClock;
pub(crate) use os_disk::make_dirs;
pub use os_disk::{METRICS, OsDisk};

/// A directory tree. Paths are relative to the data directory, with `/` between names; the empty path is the data
/// directory itself.
///
/// Durability is explicit: bytes survive a power cut after [`DiskFile::sync`]; names (created, renamed, removed, linked)
/// after [`Disk::sync_dir`] of their directory.
pub trait Disk: Send + Sync + 'static {
    /// Makes a file that must not exist, for reading and writing.
    fn create(&self, path: &str) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file that exists, for reading and writing.
    fn open(&self, path: &str) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file that exists, for reading, and for writes in whole blocks ([`BLOCK_BYTES`], from a [`BlockBuffer`]) that
    /// go past the system's memory where the file system can do that. Other writes work too. Durable after a sync, as ever.
    fn open_for_blocks(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        self.open(path)
    }
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
    /// How much room there is; none if the disk does not tell.
    fn space(&self) -> io::Result<Option<Space>> {
        Ok(None)
    }
}

/// Room on a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes that this process may still take.
    pub free_bytes: u64,
    /// Bytes in all.
    pub total_bytes: u64,
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

    /// Has it no bytes?
    fn is_empty(&self) -> io::Result<bool> {
        self.len().map(|bytes| bytes == 0)
    }
}

/// Time.
pub trait Clock: Send + Sync + 'static {
    /// Microseconds since 1970, UTC.
    fn now_us(&self) -> u64;
}

/// The whole file at `path`; none if there is no such file. For small files: it is read at once.
pub fn read_file(disk: &dyn Disk, path: &str) -> io::Result<Option<Vec<u8>>> {
    let file = match disk.open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let bytes = usize::try_from(file.len()?).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
    let mut content = vec![0; bytes];
    file.read_at(0, &mut content)?;
    Ok(Some(content))
}

/// Makes `bytes` the content of the file `name` in `dir` (empty: the data directory), replacing it; durable on return.
/// After any crash the file is as before or as after, never between.
pub fn replace_file(disk: &dyn Disk, dir: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
    let path = if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") };
    let staged = format!("{path}.new");
    remove_if_present(disk, &staged)?;
    let file = disk.create(&staged)?;
    file.write_at(0, bytes)?;
    file.sync()?;
    disk.rename(&staged, &path)?;
    disk.sync_dir(dir)
}

/// Removes a file or symlink that may be missing already; durable after [`Disk::sync_dir`].
pub fn remove_if_present(disk: &dyn Disk, path: &str) -> io::Result<()> {
    match disk.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
