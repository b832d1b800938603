//! A directory of a disk as a disk of its own.

use std::{io, sync::Arc};

use store::env::{Disk, DiskFile, Space};

/// What lies under `dir`. Paths are relative to it, so what is laid out like a data directory is read like one.
#[derive(Clone)]
pub(crate) struct Subtree {
    disk: Arc<dyn Disk>,
    dir: String,
}

impl Subtree {
    pub(crate) fn new(disk: Arc<dyn Disk>, dir: impl Into<String>) -> Subtree {
        Subtree { disk, dir: dir.into() }
    }

    /// The path on the whole disk.
    pub(crate) fn path(&self, path: &str) -> String {
        if path.is_empty() { self.dir.clone() } else { format!("{}/{path}", self.dir) }
    }
}

impl Disk for Subtree {
    fn create(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        self.disk.create(&self.path(path))
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        self.disk.open(&self.path(path))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.disk.list(&self.path(dir))
    }

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        self.disk.create_dir(&self.path(dir))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(&self.path(from), &self.path(to))
    }

    fn hard_link(&self, existing: &str, path: &str) -> io::Result<()> {
        self.disk.hard_link(&self.path(existing), &self.path(path))
    }

    fn symlink(&self, target: &str, path: &str) -> io::Result<()> {
        self.disk.symlink(target, &self.path(path))
    }

    fn read_link(&self, path: &str) -> io::Result<Option<String>> {
        self.disk.read_link(&self.path(path))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.disk.remove(&self.path(path))
    }

    fn remove_dir(&self, dir: &str) -> io::Result<()> {
        self.disk.remove_dir(&self.path(dir))
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.disk.sync_dir(&self.path(dir))
    }

    fn space(&self) -> io::Result<Option<Space>> {
        self.disk.space()
    }
}
