//! Work in steps.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use store::{Store, files::FileId};

use crate::{Config, Task, collect::Collect, flush::Flush, merge::Merge};

/// What a finished job did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Files written and published.
    pub files: u64,
    /// Rows in them.
    pub rows: u64,
    /// Bytes of them.
    pub bytes: u64,
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
    work: Work,
}

enum Work {
    Flush(Flush),
    Merge(Merge),
    Collect(Collect),
}

/// What every job works on.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) store: Store,
    pub(crate) config: Arc<Config>,
    next_file: Arc<AtomicU64>,
}

impl Site {
    pub(crate) fn new(store: Store, config: Config) -> Site {
        let next_file = store.manifest().next_file;
        Site { store, config: Arc::new(config), next_file: Arc::new(AtomicU64::new(next_file)) }
    }

    pub(crate) fn next_file(&self) -> FileId {
        FileId(self.next_file.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn now_us(&self) -> u64 {
        self.store.clock().now_us()
    }
}

impl Job {
    pub(crate) fn start(site: Site, task: &Task) -> Job {
        let work = match task {
            Task::Flush => Work::Flush(Flush::new(site)),
            Task::Merge(table) => Work::Merge(Merge::new(site, *table)),
            Task::Collect(retired) => Work::Collect(Collect::new(site, retired.clone())),
        };
        Job { work }
    }

    /// Gives it up: removes files that it began and that are not published.
    pub fn abandon(self) {
        match &self.work {
            Work::Flush(flush) => flush.abandon(),
            Work::Merge(merge) => merge.abandon(),
            Work::Collect(_) => {}
        }
    }

    /// Does a little of it. After an error the job is over, to be abandoned.
    pub fn step(&mut self) -> Result<Step, store::Error> {
        match &mut self.work {
            Work::Flush(flush) => flush.step(),
            Work::Merge(merge) => merge.step(),
            Work::Collect(collect) => collect.step(),
        }
    }
}
