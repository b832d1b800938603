//! A disk whose syncs can be held back, or fail.

use std::{
    io,
    sync::{Arc, Condvar, Mutex},
};

use store::env::{Disk, DiskFile};

#[derive(Clone, Copy, PartialEq)]
enum State {
    Open,
    Held,
    Broken,
}

/// What happens at the next sync of a file.
#[derive(Clone)]
pub(crate) struct Gate(Arc<(Mutex<State>, Condvar)>);

impl Gate {
    pub(crate) fn new() -> Gate {
        Gate(Arc::new((Mutex::new(State::Open), Condvar::new())))
    }

    /// Syncs wait.
    pub(crate) fn hold(&self) {
        self.set(State::Held);
    }

    /// Syncs go on.
    pub(crate) fn release(&self) {
        self.set(State::Open);
    }

    /// Syncs fail.
    pub(crate) fn break_down(&self) {
        self.set(State::Broken);
    }

    fn set(&self, state: State) {
        *self.0.0.lock().unwrap() = state;
        self.0.1.notify_all();
    }

    fn pass(&self) -> io::Result<()> {
        let state = self.0.1.wait_while(self.0.0.lock().unwrap(), |state| *state == State::Held).unwrap();
        if *state == State::Broken { Err(io::Error::other("broken on purpose")) } else { Ok(()) }
    }
}

/// A disk with a [`Gate`].
pub(crate) struct GatedDisk<D> {
    pub(crate) inner: D,
    pub(crate) gate: Gate,
}

struct GatedFile {
    inner: Box<dyn DiskFile>,
    gate: Gate,
}

impl<D: Disk> GatedDisk<D> {
    fn gated(&self, inner: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        Box::new(GatedFile { inner, gate: self.gate.clone() })
    }
}

impl<D: Disk> Disk for GatedDisk<D> {
    fn create(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        self.inner.create(path).map(|file| self.gated(file))
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        self.inner.open(path).map(|file| self.gated(file))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.inner.list(dir)
    }

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        self.inner.create_dir(dir)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn hard_link(&self, existing: &str, path: &str) -> io::Result<()> {
        self.inner.hard_link(existing, path)
    }

    fn symlink(&self, target: &str, path: &str) -> io::Result<()> {
        self.inner.symlink(target, path)
    }

    fn read_link(&self, path: &str) -> io::Result<Option<String>> {
        self.inner.read_link(path)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.inner.remove(path)
    }

    fn remove_dir(&self, dir: &str) -> io::Result<()> {
        self.inner.remove_dir(dir)
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.inner.sync_dir(dir)
    }
}

impl DiskFile for GatedFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.inner.read_at(offset, buffer)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.inner.write_at(offset, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.gate.pass()?;
        self.inner.sync()
    }

    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }
}
