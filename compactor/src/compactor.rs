//! The compactor as others see it.

use std::{
    collections::BTreeSet,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use backup::{Backups, Need};
use item::{Table, TableId};
use store::{Store, log::FrameNumber, manifest::Place, room::Room, write::TableWrite};
use tokio::{runtime::Handle, sync::watch, time::MissedTickBehavior};

use crate::{Config, Error, Job, Report, Step, Task, collect, errand::Errands, job::Site, plan, retention};

/// How often the background looks for work.
const TICK: Duration = Duration::from_millis(250);
/// How long the background waits after a failure.
const BACK_OFF: Duration = Duration::from_secs(10);
/// How often the log is looked at for what has become too old, by the store's clock, while nothing is flushed.
const TRIM_INTERVAL: Duration = Duration::from_secs(60);
/// And while room on the disk is low.
const TRIM_INTERVAL_LOW: Duration = Duration::from_secs(1);
/// How often, microseconds, what was written is sealed while room on the disk is low.
const SEAL_INTERVAL_LOW_US: u64 = 30_000_000;

/// Makes cold data. Cloning shares it. Jobs run one at a time, except that a flush cuts in on a merge.
#[derive(Clone)]
pub struct Compactor {
    pub(crate) site: Site,
    /// Held while jobs run.
    pub(crate) working: Arc<Mutex<()>>,
    /// What others ask for meanwhile.
    pub(crate) errands: Errands,
    /// When the log was last trimmed, microseconds since 1970.
    trimmed_at_us: Arc<AtomicU64>,
    stopping: Arc<AtomicBool>,
    /// How little room there was when that last had everything sealed, and when that was, microseconds since 1970.
    sealed_for_room: Arc<Mutex<Option<(Room, u64)>>>,
    /// Tables whose merge, or indexes whose filling, did not fit on the disk: again only when all that it reads would.
    cramped: Arc<Mutex<BTreeSet<TableId>>>,
}

/// A table's published generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compacted {
    /// The table's name.
    pub table: String,
    /// The generation's number.
    pub generation: u64,
    /// What was written for it by this call; nothing if it was up to date.
    pub written: Report,
    /// What is in it now.
    pub total: Report,
}

impl Compactor {
    /// Opens the cold part of the data directory of `store`: removes what a crash left unfinished, and brings links up
    /// to date. Blocks on the disk.
    pub fn open(store: Store, config: Config) -> Result<Compactor, Error> {
        collect::recover(&store)?;
        let backups = Backups::open(store.clone())?;
        let site = Site::new(store, config, backups);
        let (working, errands, trimmed_at_us, stopping, sealed_for_room, cramped) = Default::default();
        Ok(Compactor { site, working, errands, trimmed_at_us, stopping, sealed_for_room, cramped })
    }

    /// Sets the gauges of what waits for the compactor, and of backups.
    pub fn observe(&self) {
        crate::Backlog::of(&self.site.store).show();
        self.site.backups.observe();
    }

    /// The backups, and the pasts of tables with continuous backups.
    pub fn backups(&self) -> &Backups {
        &self.site.backups
    }

    /// What is most urgent now, if anything is due.
    pub fn next_task(&self) -> Option<Task> {
        self.next_of(true)
    }

    fn next_of(&self, with_protection: bool) -> Option<Task> {
        let store = &self.site.store;
        let sealed = store.view().sealed.len();
        let (room, spare_bytes) = (store.room().0, store.spare_bytes().unwrap_or(u64::MAX));
        let fits = |table: TableId, bytes| match room {
            // What it will really take is not known: while there is room it is tried, once.
            Room::Fine => bytes <= spare_bytes || !self.cramped().contains(&table),
            Room::Low => bytes <= spare_bytes,
            Room::Full => false,
        };
        let (manifest, now_us) = (store.manifest(), self.site.now_us());
        let due = plan::next_task(&manifest, &store.catalog(), sealed, &fits, now_us, &self.site.config);
        // The log waits for what is to be recorded, and a user for what is to be begun; a flush comes before that.
        let may_protect = with_protection && due != Some(Task::Flush);
        if may_protect && self.site.backups.need(&manifest, now_us).is_some() { Some(Task::Protect) } else { due }
    }

    fn cramped(&self) -> MutexGuard<'_, BTreeSet<TableId>> {
        self.cramped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins `task`; the caller steps it. For the simulator, and for whoever wants to choose.
    pub fn start(&self, task: &Task) -> Job {
        Job::start(self.site.clone(), task)
    }

    /// Removes files that commits left unnamed, and brings links up to date; not while a merge is under way, which may still
    /// need one. Blocks on the disk.
    pub fn catch_up(&self) -> Result<(), Error> {
        Ok(self.site.catch_up()?)
    }

    /// Gives up log that is flushed and older than its retention. Blocks on the disk.
    pub fn trim(&self) -> Result<(), Error> {
        self.trimmed_at_us.store(self.site.now_us(), Ordering::Relaxed);
        Ok(retention::trim(&self.site.store, self.site.backups.log_needed_from(), &self.site.config)?)
    }

    /// Returns when every change acknowledged before the call is under `cold/tables`, merged: of one table, or of all
    /// users' tables, by name.
    pub async fn compact(&self, table: Option<&str>) -> Result<Vec<Compacted>, Error> {
        let catalog = self.site.store.catalog();
        let tables: Vec<Arc<Table>> = match table {
            None => catalog.user_tables().cloned().collect(),
            Some(name) => {
                let unknown = || Error::UnknownTable { name: name.to_owned() };
                vec![Arc::clone(catalog.by_name(name).filter(|table| !table.id.is_system()).ok_or_else(unknown)?)]
            }
        };
        let compactor = self.clone();
        let runtime = Handle::current();
        let done = tokio::task::spawn_blocking(move || compactor.compact_tables(&tables, &runtime)).await;
        done.map_err(|_| store::Error::Closed)?
    }

    /// Seals, flushes, merges, collects and trims as it becomes due, until `shutdown` is true. A merge under way is then
    /// given up.
    pub async fn run(&self, mut shutdown: watch::Receiver<bool>) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut seal = tokio::time::interval(self.site.config.seal_interval.max(TICK));
        seal.reset();
        loop {
            let ready = tokio::select! {
                () = stopped(&mut shutdown) => return,
                _ = tick.tick() => self.seal_if_waited_for().await,
                _ = seal.tick() => self.site.store.seal().await,
            };
            let outcome = match ready {
                // What could not be sealed now is sealed at the next interval, or when it is full.
                Ok(_) => self.work_until(&mut shutdown).await,
                Err(error) => Err(Error::from(error)),
            };
            if let Err(error) = outcome {
                metrics::counter!("thalweg_compactor_failures_total").increment(1);
                tracing::error!(%error, retry_in_s = BACK_OFF.as_secs(), "compaction failed and will be tried again");
                // Whatever it was, a full disk say, at once is too soon.
                let _ = tokio::time::timeout(BACK_OFF, stopped(&mut shutdown)).await;
            }
        }
    }

    /// Like [`Compactor::run`]; whoever waits for an errand when it ends waits no more.
    pub async fn serve(&self, shutdown: watch::Receiver<bool>) {
        self.run(shutdown).await;
        self.errands.close();
    }

    /// Seals if an index waits for it, or if room becomes low, becomes less, or stays low for a while: only what is flushed can
    /// leave the log.
    async fn seal_if_waited_for(&self) -> Result<bool, store::Error> {
        let store = &self.site.store;
        let (room, now_us) = (store.room().0, self.site.now_us());
        let before = *self.sealed_for_room.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = |(at, at_us): (Room, u64)| room > at || now_us.saturating_sub(at_us) >= SEAL_INTERVAL_LOW_US;
        if room > Room::Fine && before.is_none_or(is_due) {
            let sealed = store.seal().await?;
            if sealed {
                *self.sealed_for_room.lock().unwrap_or_else(PoisonError::into_inner) = Some((room, now_us));
            }
            return Ok(sealed);
        }
        if room == Room::Fine && before.is_some() {
            *self.sealed_for_room.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        if plan::waits_for_seal(&store.manifest(), &store.catalog()) { store.seal().await } else { Ok(true) }
    }

    /// Does what is due, on a thread of its own.
    async fn work_until(&self, shutdown: &mut watch::Receiver<bool>) -> Result<(), Error> {
        let compactor = self.clone();
        let runtime = Handle::current();
        let mut work = tokio::task::spawn_blocking(move || compactor.work(&runtime));
        let done = tokio::select! {
            done = &mut work => done,
            () = stopped(shutdown) => {
                self.stopping.store(true, Ordering::Relaxed);
                work.await
            }
        };
        done.map_err(|_| store::Error::Closed)?
    }

    fn work(&self, runtime: &Handle) -> Result<(), Error> {
        let _working = self.working.lock().unwrap_or_else(PoisonError::into_inner);
        self.catch_up()?;
        self.errands.run(self);
        let mut flushed = false;
        let mut with_protection = true;
        while let Some(task) = self.next_of(with_protection) {
            let done = match task {
                Task::Activate(index) => self.activate(index, runtime).map(|()| Report::default()),
                _ => self.finish(&task),
            };
            match done {
                Err(Error::Store(store::Error::Closed)) if self.stopping.load(Ordering::Relaxed) => return Ok(()),
                Err(error) if is_for_room(&error) && self.give_up(&task) => {
                    tracing::warn!(%error, ?task, "a job was given up to leave the reserve, and waits for as much room as it reads");
                    Report::default()
                }
                Err(error) if task == Task::Protect => {
                    // Merges go on, and the log is kept, until it can be done.
                    protection_waits(&error);
                    with_protection = false;
                    Report::default()
                }
                done => {
                    if let Task::Merge(table) | Task::Fill(table) = task {
                        self.cramped().remove(&table);
                    }
                    done?
                }
            };
            flushed |= task == Task::Flush;
            if task == Task::Flush && self.site.store.check_room() > Room::Fine {
                // The next flush needs what this one lets the log give up.
                if let Err(error) = self.record() {
                    protection_waits(&error);
                    with_protection = false;
                }
                self.trim()?;
            }
        }
        if flushed || self.is_trim_due() { self.trim() } else { Ok(()) }
    }

    /// Notes that a job did not fit; answers whether it is one that can wait.
    fn give_up(&self, task: &Task) -> bool {
        match task {
            Task::Merge(table) | Task::Fill(table) => _ = self.cramped().insert(*table),
            Task::Flush | Task::Activate(_) | Task::Collect(_) | Task::Protect => return false,
        }
        true
    }

    /// Frames grow old although nothing is written.
    fn is_trim_due(&self) -> bool {
        let since_us = self.site.now_us().saturating_sub(self.trimmed_at_us.load(Ordering::Relaxed));
        let is_low = self.site.store.room().0 > Room::Fine;
        let interval = if is_low { TRIM_INTERVAL_LOW } else { TRIM_INTERVAL };
        u128::from(since_us) >= interval.as_micros()
    }

    fn compact_tables(&self, tables: &[Arc<Table>], runtime: &Handle) -> Result<Vec<Compacted>, Error> {
        let _working = self.working.lock().unwrap_or_else(PoisonError::into_inner);
        self.flush(runtime)?;
        let mut compacted = Vec::new();
        for table in tables {
            let written =
                if self.is_merged(table.id) { Report::default() } else { self.finish(&Task::Merge(table.id))? };
            compacted.extend(self.compacted(table, written));
        }
        self.catch_up()?;
        self.record()?;
        self.trim()?;
        Ok(compacted)
    }

    /// Flushes every change acknowledged before the call. For whoever holds the work.
    pub(crate) fn flush(&self, runtime: &Handle) -> Result<(), Error> {
        while !runtime.block_on(self.site.store.seal())? {
            self.finish(&Task::Flush)?;
        }
        let target = self.site.store.view().sealed.last().map_or(FrameNumber(0), |sealed| sealed.through);
        while self.site.store.manifest().flushed < target {
            self.finish(&Task::Flush)?;
        }
        Ok(())
    }

    /// Records what is flushed of tables with continuous backups. For whoever holds the work.
    pub(crate) fn record(&self) -> Result<(), Error> {
        while self.site.backups.need(&self.site.store.manifest(), self.site.now_us()) == Some(Need::Record) {
            self.site.backups.meet_need()?;
        }
        Ok(())
    }

    /// Lets a filled index be read, and waits until that is durable. What was asked for before it may need a flush first.
    fn activate(&self, index: TableId, runtime: &Handle) -> Result<(), Error> {
        let mut answer = self.site.store.submit_table(TableWrite::ActivateIndex(index))?;
        loop {
            match runtime.block_on(async { tokio::time::timeout(TICK, &mut answer).await }) {
                // Whoever removed it meanwhile does not wait for it.
                Ok(Ok(answered)) => return Ok(answered.map(drop)?),
                Ok(Err(_)) => return Err(store::Error::Closed.into()),
                Err(_) if self.stopping.load(Ordering::Relaxed) => return Ok(()),
                Err(_) => {
                    while !self.site.store.view().sealed.is_empty() {
                        self.finish(&Task::Flush)?;
                    }
                }
            }
        }
    }

    /// Runs one job to its end; sealed sets that appear meanwhile are flushed between its steps.
    pub(crate) fn finish(&self, task: &Task) -> Result<Report, Error> {
        let mut job = self.start(task);
        let began_us = self.site.now_us();
        loop {
            match self.step(&mut job, task) {
                Ok(Step::More) => {}
                Ok(Step::Done(report)) => {
                    let took_us = self.site.now_us().saturating_sub(began_us);
                    crate::metrics::finished(task, took_us);
                    let Report { files, rows, bytes } = report;
                    tracing::debug!(?task, files, rows, bytes, took_ms = took_us / 1000, "a job is done");
                    return Ok(report);
                }
                Err(error) => {
                    job.abandon();
                    return Err(error);
                }
            }
        }
    }

    fn step(&self, job: &mut Job, task: &Task) -> Result<Step, Error> {
        if *task != Task::Flush {
            if self.stopping.load(Ordering::Relaxed) {
                return Err(store::Error::Closed.into());
            }
            while !self.site.store.view().sealed.is_empty() {
                self.finish(&Task::Flush)?;
            }
            if matches!(task, Task::Merge(_) | Task::Fill(_)) && self.site.store.room().0 == Room::Full {
                return Err(self.site.store.full().into());
            }
            self.errands.run(self);
        }
        Ok(job.step()?)
    }

    /// Is everything flushed of this table in its generation?
    fn is_merged(&self, table: TableId) -> bool {
        let manifest = self.site.store.manifest();
        let has_generation = manifest.cold_tables.get(&table).is_some_and(|cold| cold.generation > 0);
        has_generation && !manifest.files.values().any(|entry| entry.table == table && entry.place == Place::Run)
    }

    fn compacted(&self, table: &Table, written: Report) -> Option<Compacted> {
        let manifest = self.site.store.manifest();
        let generation = manifest.cold_tables.get(&table.id)?.generation;
        let mut total = Report::default();
        for entry in manifest.files.values() {
            if entry.table == table.id && entry.place == Place::Generation(generation) {
                total.files += 1;
                total.rows += entry.rows;
                total.bytes += entry.bytes;
            }
        }
        Some(Compacted { table: table.name.clone(), generation, written, total })
    }
}

/// Is there not enough room on the disk?
fn is_for_room(error: &Error) -> bool {
    match error {
        Error::Store(store::Error::Full { .. }) => true,
        Error::Store(store::Error::Io { source, .. }) => source.kind() == io::ErrorKind::StorageFull,
        _ => false,
    }
}

/// Tells of what continuous backups could not have done.
fn protection_waits(error: &Error) {
    metrics::counter!("thalweg_compactor_failures_total").increment(1);
    tracing::error!(%error, "continuous backups wait, and the log with them");
}

/// Waits until told to stop, or until nobody is left to tell.
async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|stop| *stop).await;
}
