//! Work in steps.

use std::{
    collections::BTreeMap,
    io, mem,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use backup::Backups;
use item::TableId;
use store::{
    Error, Store,
    files::{ColdFile, FileId},
    manifest::{Edit, FileEntry, Manifest, Place},
    write::TableWrite,
};

use crate::{Config, Task, collect::Collect, fill::Fill, flush::Flush, links, merge::Merge};

/// What a finished job did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Files written, and published if it was a merge; also runs that a merge published as they are.
    pub files: u64,
    /// Rows in them.
    pub rows: u64,
    /// Bytes of them.
    pub bytes: u64,
}

impl Report {
    pub(crate) fn add(&mut self, entry: &FileEntry) {
        self.files += 1;
        self.rows += entry.rows;
        self.bytes += entry.bytes;
    }
}

/// Where a job stands after a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// There is more to do.
    More,
    /// It is done.
    Done(Report),
}

/// One task under way. Each step is bounded: a batch of rows, or an action on the disk; other jobs and writes may come
/// between. Dropped half-way it leaves files that nothing names; the next open removes them.
pub struct Job {
    site: Site,
    work: Work,
}

enum Work {
    Flush(Flush),
    Merge(Merge),
    Fill(Fill),
    Activate(TableId),
    Collect(Collect),
    Protect,
}

/// What every job works on.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) store: Store,
    pub(crate) config: Arc<Config>,
    pub(crate) backups: Backups,
    next_file: Arc<AtomicU64>,
    /// Why nothing can be committed any more, if so.
    halted: Arc<OnceLock<Error>>,
    /// The last generation begun of each table: each attempt has its own directory.
    generations: Arc<Mutex<BTreeMap<TableId, u64>>>,
    /// Are links perhaps not what the manifest says?
    unlinked: Arc<AtomicBool>,
    /// Unnamed files that are still to be removed.
    leftovers: Arc<Mutex<Vec<String>>>,
}

impl Site {
    pub(crate) fn new(store: Store, config: Config, backups: Backups) -> Site {
        let next_file = store.manifest().next_file;
        Site {
            store,
            config: Arc::new(config),
            backups,
            next_file: Arc::new(AtomicU64::new(next_file)),
            halted: Arc::default(),
            generations: Arc::default(),
            unlinked: Arc::default(),
            leftovers: Arc::default(),
        }
    }

    pub(crate) fn next_file(&self) -> FileId {
        FileId(self.next_file.fetch_add(1, Ordering::Relaxed))
    }

    /// A generation after `published`, never begun before.
    pub(crate) fn next_generation(&self, table: TableId, published: u64) -> u64 {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        let last = generations.entry(table).or_default();
        *last = published.max(*last) + 1;
        *last
    }

    /// Brings links up to what the manifest says.
    pub(crate) fn link(&self) -> Result<(), Error> {
        self.unlinked.store(true, Ordering::Relaxed);
        links::reconcile(&self.store)?;
        self.unlinked.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Removes a file that nothing names; later, if it cannot be done now.
    pub(crate) fn remove(&self, path: String) {
        match self.store.disk().remove(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(path, %error, "an unnamed file could not be removed yet");
                self.leftovers.lock().unwrap_or_else(PoisonError::into_inner).push(path);
            }
            _ => {}
        }
    }

    /// Does what is left to do after a commit, also an earlier one that failed half-way: removals and links.
    pub(crate) fn catch_up(&self) -> Result<(), Error> {
        let leftovers = mem::take(&mut *self.leftovers.lock().unwrap_or_else(PoisonError::into_inner));
        leftovers.into_iter().for_each(|path| self.remove(path));
        if self.unlinked.load(Ordering::Relaxed) { self.link() } else { Ok(()) }
    }

    /// Commits `edit`; runs that nothing names after it are removed when that is convenient. A commit of which nobody knows
    /// whether it is in force is the last one.
    pub(crate) fn commit(&self, edit: &Edit, opened: Vec<Arc<ColdFile>>) -> Result<(), Error> {
        self.check()?;
        let before = self.store.manifest();
        let committed = self.store.commit(edit, opened);
        match &committed {
            Ok(()) => {
                self.unlinked.store(true, Ordering::Relaxed);
                self.discard(&before, &self.store.manifest());
            }
            Err(error @ Error::Unpublished { .. }) => {
                tracing::error!(%error, "compaction has stopped");
                let _ = self.halted.set(error.clone());
            }
            Err(_) => {}
        }
        committed
    }

    /// Runs that were merged, or whose table is gone, are still to be removed.
    fn discard(&self, before: &Manifest, after: &Manifest) {
        let is_run = |entry: &&FileEntry| entry.place == Place::Run;
        let is_named = |entry: &FileEntry| after.files.get(&entry.id).is_some_and(|entry| entry.place == Place::Run);
        let unnamed = before.files.values().filter(is_run).filter(|entry| !is_named(entry)).map(FileEntry::path);
        self.leftovers.lock().unwrap_or_else(PoisonError::into_inner).extend(unnamed);
    }

    /// Fails if nothing can be committed any more.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.halted.get().cloned().map_or(Ok(()), Err)
    }

    pub(crate) fn now_us(&self) -> u64 {
        self.store.clock().now_us()
    }
}

impl Job {
    pub(crate) fn start(site: Site, task: &Task) -> Job {
        let work = match task {
            Task::Flush => Work::Flush(Flush::new(site.clone())),
            Task::Merge(table) => Work::Merge(Merge::new(site.clone(), *table)),
            Task::Fill(index) => Work::Fill(Fill::new(site.clone(), *index)),
            Task::Activate(index) => Work::Activate(*index),
            Task::Collect(retired) => Work::Collect(Collect::new(site.clone(), retired.clone())),
            Task::Protect => Work::Protect,
        };
        Job { site, work }
    }

    /// Gives it up: removes files that it began, unless a manifest may name them.
    pub fn abandon(self) {
        if self.site.check().is_err() {
            return;
        }
        match &self.work {
            Work::Flush(flush) => flush.abandon(),
            Work::Merge(merge) => merge.abandon(),
            Work::Fill(fill) => fill.abandon(),
            Work::Activate(_) | Work::Collect(_) | Work::Protect => {}
        }
    }

    /// Does a little of it. After an error the job is over, to be abandoned.
    pub fn step(&mut self) -> Result<Step, Error> {
        self.site.check()?;
        match &mut self.work {
            Work::Flush(flush) => flush.step(),
            Work::Merge(merge) => merge.step(),
            Work::Fill(fill) => fill.step(),
            Work::Activate(index) => {
                // It is done when it is applied. If that fails, it is due again.
                drop(self.site.store.submit_table(TableWrite::ActivateIndex(*index))?);
                Ok(Step::Done(Report::default()))
            }
            Work::Collect(collect) => collect.step(),
            Work::Protect => {
                // What was due when it began may be done meanwhile, by an errand say.
                self.site.backups.meet_need()?;
                Ok(Step::Done(Report::default()))
            }
        }
    }
}
