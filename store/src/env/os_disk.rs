//! A data directory of the operating system. Calls block; names become durable by syncing their directory.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read},
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Instant,
};

use metrics::Histogram;

use super::{BLOCK_BYTES, DirectoryId, Disk, DiskFile, Space, open_format};
use crate::{Error, metric::Metric};

/// What the real disk measures. The area is the part of the data directory: log (its segments), archive (of the log),
/// manifest, cold, root.
pub const METRICS: &[Metric] = &[
    Metric::histogram("thalweg_disk_write_seconds", "How long writes took").by(&["area"]),
    Metric::histogram("thalweg_disk_sync_seconds", "How long syncs of files and directories took").by(&["area"]),
    Metric::gauge("thalweg_disk_free_bytes", "Bytes that may still be taken on the disk of the data directory"),
    Metric::gauge("thalweg_disk_total_bytes", "Bytes of that disk"),
    Metric::gauge(
        "thalweg_disk_room",
        "0: fine, 1: low, so the log is kept for less long, 2: full, so writes are refused",
    ),
];

const LOCK: &str = "LOCK";
/// What is made is its owner's only, whatever the umask: secrets of keys are among it, and readings are nobody else's.
const FILE_MODE: u32 = 0o600;
const DIR_MODE: u32 = 0o700;

/// A data directory, held by one process at a time.
#[derive(Debug)]
pub struct OsDisk {
    root: PathBuf,
    directory: DirectoryId,
    log: Area,
    archive: Area,
    manifest: Area,
    cold: Area,
    rest: Area,
    /// Holds the lock while it is open; the system frees it when the process ends, however it ends.
    _lock: File,
}

impl OsDisk {
    /// Opens the data directory at `path`, making it if it is missing, and holds it until dropped.
    ///
    /// [`Error::InUse`] if another process has it, [`Error::NewerFormat`] or [`Error::Corrupt`] by its `FORMAT`.
    pub fn open(path: impl AsRef<Path>) -> Result<OsDisk, Error> {
        let shown = path.as_ref().display().to_string();
        let root = make_root(path.as_ref()).map_err(Error::io("make directory", &shown))?;
        let lock = OpenOptions::new().create(true).write(true).truncate(false).mode(FILE_MODE).open(root.join(LOCK));
        let lock = lock.map_err(Error::io("open", format!("{shown}/{LOCK}")))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => Error::InUse { path: shown.clone() },
            TryLockError::Error(error) => Error::io("lock", format!("{shown}/{LOCK}"))(error),
        })?;
        let mut disk = OsDisk {
            root,
            directory: DirectoryId::default(),
            log: Area::new("log"),
            archive: Area::new("archive"),
            manifest: Area::new("manifest"),
            cold: Area::new("cold"),
            rest: Area::new("root"),
            _lock: lock,
        };
        disk.directory = open_format(&disk, draw_id)?;
        Ok(disk)
    }

    /// Which data directory this is.
    pub fn directory(&self) -> DirectoryId {
        self.directory
    }

    /// Where it is, absolute.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// The area that a path lies in.
    fn area(&self, path: &str) -> &Area {
        match path.split('/').next() {
            Some("log") if path.contains(".archive") => &self.archive,
            Some("log") => &self.log,
            Some("manifest") => &self.manifest,
            Some("cold") => &self.cold,
            _ => &self.rest,
        }
    }

    fn file(&self, path: &str, options: &OpenOptions) -> io::Result<Box<dyn DiskFile>> {
        let area = self.area(path).clone();
        Ok(Box::new(OsFile { file: options.open(self.path(path))?, direct: None, area }))
    }
}

impl Disk for OsDisk {
    fn create(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        self.file(path, OpenOptions::new().read(true).write(true).create_new(true).mode(FILE_MODE))
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        self.file(path, OpenOptions::new().read(true).write(true))
    }

    fn open_for_blocks(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        let full = self.path(path);
        let file = OpenOptions::new().read(true).write(true).open(&full)?;
        let direct = match OpenOptions::new().write(true).custom_flags(libc::O_DIRECT).open(&full) {
            Ok(direct) => Some(direct),
            // The file system has no such writes.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => None,
            Err(error) => return Err(error),
        };
        Ok(Box::new(OsFile { file, direct, area: self.area(path).clone() }))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.path(dir)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in entries {
            // A name that is not UTF-8 is not one of ours.
            names.extend(entry?.file_name().into_string());
        }
        names.sort_unstable();
        Ok(names)
    }

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        make_dirs(&self.path(dir))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    fn hard_link(&self, existing: &str, path: &str) -> io::Result<()> {
        fs::hard_link(self.path(existing), self.path(path))
    }

    fn symlink(&self, target: &str, path: &str) -> io::Result<()> {
        std::os::unix::fs::symlink(target, self.path(path))
    }

    fn read_link(&self, path: &str) -> io::Result<Option<String>> {
        match fs::read_link(self.path(path)) {
            Ok(target) => Ok(target.into_os_string().into_string().ok()),
            // InvalidInput: the name exists and is not a symlink.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidInput) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        fs::remove_file(self.path(path))
    }

    fn remove_dir(&self, dir: &str) -> io::Result<()> {
        fs::remove_dir(self.path(dir))
    }

    fn space(&self) -> io::Result<Option<Space>> {
        let told = rustix::fs::statvfs(&self.root)?;
        let bytes = |blocks: u64| blocks.saturating_mul(told.f_frsize);
        Ok(Some(Space { free_bytes: bytes(told.f_bavail), total_bytes: bytes(told.f_blocks) }))
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        let started = Instant::now();
        let synced = File::open(self.path(dir)).and_then(|dir| dir.sync_all());
        self.area(dir).syncs.record(started.elapsed());
        synced
    }
}

#[derive(Debug)]
struct OsFile {
    file: File,
    /// The same file, for writes past the system's memory.
    direct: Option<File>,
    area: Area,
}

impl DiskFile for OsFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let started = Instant::now();
        let written = match &self.direct {
            Some(direct) if is_in_blocks(offset, bytes) => match direct.write_all_at(bytes, offset) {
                // A device that wants larger blocks.
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => self.file.write_all_at(bytes, offset),
                written => written,
            },
            _ => self.file.write_all_at(bytes, offset),
        };
        self.area.writes.record(started.elapsed());
        written
    }

    fn sync(&self) -> io::Result<()> {
        let started = Instant::now();
        let synced = self.file.sync_data();
        self.area.syncs.record(started.elapsed());
        synced
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
}

fn is_in_blocks(offset: u64, bytes: &[u8]) -> bool {
    let block = BLOCK_BYTES as usize;
    offset.is_multiple_of(BLOCK_BYTES) && bytes.len().is_multiple_of(block) && bytes.as_ptr().align_offset(block) == 0
}

/// A part of the data directory, as the metrics tell it.
#[derive(Clone, Debug)]
struct Area {
    writes: Histogram,
    syncs: Histogram,
}

impl Area {
    fn new(name: &'static str) -> Area {
        Area {
            writes: metrics::histogram!("thalweg_disk_write_seconds", "area" => name),
            syncs: metrics::histogram!("thalweg_disk_sync_seconds", "area" => name),
        }
    }
}

/// Makes the directory and its missing parents, durably; answers its absolute path.
fn make_root(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    let missing: Vec<&Path> = path.ancestors().take_while(|dir| !dir.exists()).collect();
    make_dirs(&path)?;
    for parent in missing.iter().rev().filter_map(|dir| dir.parent()) {
        File::open(parent)?.sync_all()?;
    }
    Ok(path)
}

/// Makes a directory and its missing parents, for their owner only.
pub(crate) fn make_dirs(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(DIR_MODE).create(path)
}

/// A data directory's id must differ from all others': the system's randomness.
fn draw_id() -> io::Result<DirectoryId> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(DirectoryId(u128::from_le_bytes(bytes)))
}

#[cfg(test)]
mod tests;
