//! A disk in memory that loses what a real one may lose.
//!
//! Until a file is synced, a power cut loses its writes, keeps them, or keeps some of them, by write or by sector, in any order.
//! Until a directory is synced, a power cut loses changes of its names or keeps them; a rename is one change. After a
//! failed sync nobody knows what was written, and a later sync does not tell.

mod fault;
mod file;
mod tree;

use std::{
    fmt,
    io::{self, ErrorKind},
    sync::{Arc, Mutex, MutexGuard},
};

use crc_fast::{CrcAlgorithm, Digest};
use store::env::{Disk, DiskFile, Space};

use fault::Deferred;
pub use fault::Fault;
use tree::{NodeId, Tree};

use crate::random::Random;

/// A simulated disk. Cloning shares it.
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<State>>);

struct State {
    tree: Tree,
    random: Random,
    /// Counts reboots; files opened before are dead.
    boot: u64,
    /// Operations that change something, since the first boot.
    operations: u64,
    crash: Option<Crash>,
    down: bool,
    trouble: Trouble,
    space: Option<Space>,
    fault: Option<Fault>,
    deferred: Deferred,
    trace: Digest,
}

/// When the power goes, or the process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// At the operation of this number, counted by [`SimDisk::operations`].
    At(u64),
    /// So many operations after a sync of this directory.
    AfterSyncOf {
        /// The directory.
        dir: &'static str,
        /// Syncs of it that pass before.
        syncs: u64,
        /// Operations in between.
        operations: u64,
    },
}

/// How often a disk fails, in tenths of a percent of the calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trouble {
    /// Writes that fail, having written something or not.
    pub writes: u64,
    /// Syncs that fail.
    pub syncs: u64,
    /// Creations and writes that find the disk full.
    pub full: u64,
}

impl SimDisk {
    /// An empty disk.
    pub fn new(random: Random) -> SimDisk {
        SimDisk(Arc::new(Mutex::new(State {
            tree: Tree::new(),
            random,
            boot: 0,
            operations: 0,
            crash: None,
            down: false,
            trouble: Trouble::default(),
            space: None,
            fault: None,
            deferred: Deferred::default(),
            trace: Digest::new(CrcAlgorithm::Crc64Nvme),
        })))
    }

    /// Lies from now on in the way of `fault`: a check of the checker.
    pub fn plant(&self, fault: Fault) {
        self.state().fault = Some(fault);
    }

    /// When to stop answering; every later call fails until the next boot.
    pub fn crash(&self, crash: Crash) {
        self.state().crash = Some(crash);
    }

    /// How often calls fail from now on.
    pub fn trouble(&self, trouble: Trouble) {
        self.state().trouble = trouble;
    }

    /// How much room it tells from now on; until the next boot it does not run out.
    pub fn tell_space(&self, space: Option<Space>) {
        self.state().space = space;
    }

    /// Has it stopped answering?
    pub fn is_down(&self) -> bool {
        self.state().down
    }

    /// Calls that changed something, so far.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Starts anew after a power cut: what was not synced may be gone.
    pub fn cut_power(&self) {
        let mut state = self.state();
        let mut random = state.random.fork();
        state.tree.cut_power(&mut random);
        state.boot_again();
    }

    /// Starts anew after the process died: the system still holds what was not synced.
    pub fn kill(&self) {
        self.state().boot_again();
    }

    /// A checksum of every call so far and of what was written.
    pub fn trace(&self) -> u64 {
        self.state().trace.finalize()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("a simulation runs on one thread")
    }

    fn file(&self, node: NodeId, boot: u64, path: &str) -> Box<dyn DiskFile> {
        Box::new(SimFile { disk: self.clone(), node, boot, path: path.to_owned() })
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimDisk").field("operations", &self.operations()).finish_non_exhaustive()
    }
}

impl State {
    /// A call that reads.
    fn look(&self) -> io::Result<()> {
        match self.down {
            true => Err(crashed()),
            false => Ok(()),
        }
    }

    /// A call that changes something: counted and traced. Answers whether this is the one that the crash interrupts.
    fn touch(&mut self, call: &str, path: &str, bytes: &[u8]) -> io::Result<bool> {
        self.look()?;
        self.operations += 1;
        for part in [call.as_bytes(), path.as_bytes(), &(bytes.len() as u64).to_le_bytes(), bytes] {
            self.trace.update(part);
        }
        self.down = self.crash == Some(Crash::At(self.operations));
        if !self.down {
            self.deferred.release(&mut self.tree);
        }
        Ok(self.down)
    }

    /// Changes names; a crash at this very call leaves the change unsynced.
    fn rename_in<T>(
        &mut self,
        call: &str,
        path: &str,
        change: impl FnOnce(&mut Tree) -> io::Result<T>,
    ) -> io::Result<T> {
        let interrupted = self.touch(call, path, &[])?;
        let changed = change(&mut self.tree)?;
        if interrupted { Err(crashed()) } else { Ok(changed) }
    }

    fn fails(&mut self, per_mille: u64) -> bool {
        per_mille > 0 && self.random.below(1000) < per_mille
    }

    fn boot_again(&mut self) {
        self.boot += 1;
        self.down = false;
        self.crash = None;
        self.trouble = Trouble::default();
        self.space = None;
        self.deferred = Deferred::default();
    }

    fn synced_dir(&mut self, dir: &str) {
        if let Some(Crash::AfterSyncOf { dir: awaited, syncs, operations }) = self.crash
            && awaited == dir
        {
            self.crash = Some(match syncs.checked_sub(1) {
                Some(syncs) => Crash::AfterSyncOf { dir: awaited, syncs, operations },
                None => Crash::At(self.operations + 1 + operations),
            });
        }
    }
}

impl Disk for SimDisk {
    fn create(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        let full = state.trouble.full;
        if state.fails(full) {
            return Err(ErrorKind::StorageFull.into());
        }
        let node = state.rename_in("create", path, |tree| tree.create_file(path))?;
        Ok(self.file(node, state.boot, path))
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        let state = self.state();
        state.look()?;
        Ok(self.file(state.tree.file(path)?, state.boot, path))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let state = self.state();
        state.look()?;
        state.tree.list(dir)
    }

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        self.state().rename_in("create_dir", dir, |tree| tree.create_dir(dir))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.state().rename_in("rename", to, |tree| tree.rename(from, to))
    }

    fn hard_link(&self, existing: &str, path: &str) -> io::Result<()> {
        self.state().rename_in("hard_link", path, |tree| tree.hard_link(existing, path))
    }

    fn symlink(&self, target: &str, path: &str) -> io::Result<()> {
        self.state().rename_in("symlink", path, |tree| tree.symlink(target, path))
    }

    fn read_link(&self, path: &str) -> io::Result<Option<String>> {
        let state = self.state();
        state.look()?;
        Ok(state.tree.read_link(path))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.state().rename_in("remove", path, |tree| tree.remove(path))
    }

    fn remove_dir(&self, dir: &str) -> io::Result<()> {
        self.state().rename_in("remove_dir", dir, |tree| tree.remove_dir(dir))
    }

    fn space(&self) -> io::Result<Option<Space>> {
        Ok(self.state().space)
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        let mut state = self.state();
        if state.touch("sync_dir", dir, &[])? {
            return Err(crashed());
        }
        let failing = state.trouble.syncs;
        if state.fails(failing) {
            return Err(io::Error::other("simulated failure of a directory's sync"));
        }
        if state.fault != Some(Fault::DirectorySyncDropped) {
            state.tree.sync_dir(dir)?;
        }
        let State { deferred, fault, .. } = &mut *state;
        deferred.synced_dir(*fault, dir);
        state.synced_dir(dir);
        Ok(())
    }
}

struct SimFile {
    disk: SimDisk,
    node: NodeId,
    boot: u64,
    path: String,
}

impl SimFile {
    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.state();
        match state.boot == self.boot {
            true => Ok(state),
            false => Err(io::Error::other("the file was opened before the last boot")),
        }
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let mut state = self.state()?;
        state.look()?;
        state.tree.bytes(self.node).read(offset, buffer).ok_or_else(|| ErrorKind::UnexpectedEof.into())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state()?;
        let Trouble { writes, full, .. } = state.trouble;
        let interrupted = state.touch("write", &self.path, bytes)?;
        if state.fails(full) {
            return Err(ErrorKind::StorageFull.into());
        }
        let failed = state.fails(writes);
        let length = if failed { state.random.below(bytes.len() as u64 + 1) as usize } else { bytes.len() };
        state.tree.bytes(self.node).write(offset, &bytes[..length]);
        match (interrupted, failed) {
            (true, _) => Err(crashed()),
            (false, true) => Err(io::Error::other("simulated failure of a write")),
            (false, false) => Ok(()),
        }
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state()?;
        if state.touch("sync", &self.path, &[])? {
            return Err(crashed());
        }
        let failing = state.trouble.syncs;
        if state.fails(failing) {
            let State { tree, random, .. } = &mut *state;
            tree.bytes(self.node).fail_sync(random);
            return Err(io::Error::other("simulated failure of a sync"));
        }
        let State { tree, deferred, fault, .. } = &mut *state;
        if deferred.takes(*fault, &self.path, self.node) {
            return Ok(());
        }
        tree.bytes(self.node).sync();
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        let mut state = self.state()?;
        state.look()?;
        Ok(state.tree.bytes(self.node).len())
    }
}

fn crashed() -> io::Error {
    io::Error::other("simulated crash")
}

#[cfg(test)]
mod tests;
