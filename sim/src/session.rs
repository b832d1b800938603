//! One life of the store: from an open to a crash, an error, or a clean end.

mod ask;

use std::{sync::Arc, time::Duration};

use compactor::{Compactor, Expirer, Job, Step, Task};
use item::{Index, IndexStatus, Table, TableId, table::CapacityChange};
use store::{
    Config, Error, Stepper, Store,
    env::{Clock, Disk, Space},
    log::Preparation,
    room::{Room, RoomLimits},
    transaction::Transacted,
    write::{Answers, TableRejection, TableUpdate, TableWrite},
};
use tokio::sync::oneshot::{self, error::TryRecvError};

use crate::{
    Violation,
    disk::Trouble,
    ensure,
    model::{HandedIn, Ticket},
    reads::{self, TakenSnapshot, Unread},
    report::Report,
    run::World,
    workload::UNTIL,
};

/// Batches and table changes that wait for an answer.
const IN_FLIGHT_MAX: usize = 8;

/// Rounds of driving and compacting after which everything must be answered.
const ROUNDS_MAX: u64 = 10_000;

/// Why a life ends early.
pub(crate) enum End {
    /// The disk stopped, or the store answered an error: only another life can tell what happened.
    Crash,
    /// The disk stopped while the store was being opened.
    Interrupted,
    /// The store broke a promise.
    Broken(Violation),
}

impl From<Violation> for End {
    fn from(violation: Violation) -> End {
        End::Broken(violation)
    }
}

impl From<Unread> for End {
    fn from(unread: Unread) -> End {
        match unread {
            Unread::Failed(error) => End::Broken(Violation(format!("a read failed: {error}"))),
            Unread::Wrong(violation) => End::Broken(violation),
        }
    }
}

/// A batch that waits for its answers.
struct Batch {
    tickets: Vec<Ticket>,
    answers: oneshot::Receiver<Result<Answers, Error>>,
}

type TransactionAnswer = oneshot::Receiver<Result<Vec<Transacted>, Error>>;

type TableAnswer = oneshot::Receiver<Result<Result<Arc<Table>, TableRejection>, Error>>;

/// An open store under a workload.
pub(crate) struct Session<'w> {
    world: &'w mut World,
    store: Store,
    stepper: Stepper,
    compactor: Compactor,
    expirer: Expirer,
    /// The last one is worked on; a flush cuts in on another.
    jobs: Vec<(Task, Job)>,
    batches: Vec<Batch>,
    transactions: Vec<(HandedIn, TransactionAnswer)>,
    /// Still to be read.
    snapshot: Option<TakenSnapshot>,
    table_answer: Option<TableAnswer>,
}

/// Settings small enough that everything happens often.
pub(crate) fn store_config() -> Config {
    Config {
        shards: 3,
        segment_bytes: 48 << 10,
        log_preparation: Preparation::Inline,
        memtable_bytes_max: 24 << 10,
        sealed_max: 2,
        frame_bytes_max: 16 << 10,
        // A few rows in each of its parts.
        row_cache_bytes: 128 << 10,
        high_keys_bytes_max: 256,
        ..Config::default()
    }
}

fn compactor_config() -> compactor::Config {
    compactor::Config {
        seal_interval: Duration::from_secs(60),
        merge_age: Duration::from_secs(30),
        grace: Duration::from_secs(60),
        file_bytes_max: 16 << 10,
        retention: Duration::from_secs(300),
        retention_bytes: 400 << 10,
        ..compactor::Config::default()
    }
}

impl<'w> Session<'w> {
    /// Opens the store and its cold part.
    pub(crate) fn open(world: &'w mut World) -> Result<Session<'w>, Error> {
        let disk: Arc<dyn Disk> = Arc::new(world.disk.clone());
        let clock: Arc<dyn Clock> = Arc::new(world.clock.clone());
        let (store, stepper) = Store::open_stepped(disk, clock, store_config())?;
        if world.stales {
            stepper.break_row_cache();
        }
        let compactor = Compactor::open(store.clone(), compactor_config()).map_err(|error| match error {
            compactor::Error::Store(error) => error,
            other => unreachable!("an open asks for no table: {other}"),
        })?;
        let (batches, transactions, jobs, snapshot, table_answer) = (Vec::new(), Vec::new(), Vec::new(), None, None);
        let expirer = Expirer::new(store.clone());
        Ok(Session { world, store, stepper, compactor, expirer, jobs, batches, transactions, snapshot, table_answer })
    }

    /// Compares everything that survived; answers a checksum of it.
    pub(crate) fn check_recovered(&mut self) -> Result<u64, End> {
        self.world.model.recover(self.store.log().as_ref())?;
        let applied = *self.store.applied().borrow();
        let tail = self.store.log().tail();
        ensure(applied == tail, || {
            format!("opened with frames applied up to {}, but the log ends at {}", applied.0, tail.0)
        })?;
        Ok(reads::read_everything(&self.store, &self.world.model)?)
    }

    /// Lets the disk fail at times, in some lives.
    pub(crate) fn begin(&mut self) {
        let World { random, disk, in_trouble, .. } = &mut *self.world;
        *in_trouble = random.percent(15);
        if *in_trouble {
            disk.trouble(Trouble { writes: 4, syncs: 4, full: 4 });
        }
    }

    /// The disk is well again. Whatever failed meanwhile and may be tried again must now succeed.
    fn end_trouble(&mut self) -> Result<(), End> {
        if self.world.in_trouble {
            self.drive()?;
            self.world.disk.trouble(Trouble::default());
            self.world.in_trouble = false;
        }
        Ok(())
    }

    /// Drives the store until so many operations are answered, or this life ends.
    pub(crate) fn live(&mut self, operations: u64) -> Result<(), End> {
        loop {
            let done = self.world.report.operations() >= operations;
            let moved = if done { self.finish() } else { self.tick() };
            // Answers that left before a crash count.
            let polled = self.poll();
            match (moved, polled) {
                (Err(End::Broken(violation)), _) | (_, Err(End::Broken(violation))) => {
                    return Err(End::Broken(violation));
                }
                _ if self.world.disk.is_down() => return Err(self.crashed()),
                (Err(end), _) | (_, Err(end)) => return Err(end),
                (Ok(()), Ok(())) if done => return Ok(()),
                (Ok(()), Ok(())) => {}
            }
        }
    }

    /// Fills every index, and removes everything that has expired; answers a checksum of what is then read.
    pub(crate) fn expire(&mut self) -> Result<u64, End> {
        // An index is filled from files, if there is room for more of them, and nothing is sealed while enough waits to be flushed.
        self.world.disk.tell_space(None);
        self.store.check_room();
        self.work_all()?;
        let sealed = self.store.submit_seal();
        self.drive()?;
        drop(sealed);
        self.work_all()?;
        self.remove_expired()?;
        Ok(reads::read_everything(&self.store, &self.world.model)?)
    }

    /// Compacts as long as there is something to do.
    fn work_all(&mut self) -> Result<(), End> {
        for _ in 0..ROUNDS_MAX {
            if !self.work()? {
                break;
            }
            self.drive()?;
        }
        Ok(())
    }

    /// Flushes and merges everything; answers a checksum of what is then read.
    pub(crate) fn settle(&mut self) -> Result<u64, End> {
        let sealed = self.store.submit_seal();
        self.drive()?;
        drop(sealed);
        self.world.clock.advance(120_000_000);
        self.work_all()?;
        ensure(self.store.view().sealed.is_empty() && self.jobs.is_empty(), || "compaction does not end".to_owned())?;
        self.compactor.catch_up().map_err(|error| Violation(format!("tidying up: {error}")))?;
        let sound = compactor::verify(self.store.disk().as_ref());
        let sound = sound.map_err(|error| Violation(format!("verification failed: {error}")))?;
        ensure(sound.problems.is_empty(), || format!("verification found {:?}", sound.problems))?;
        let left_over = sound.notes.iter().find(|note| note.ends_with("is left over"));
        ensure(left_over.is_none(), || format!("a file that nothing names is still there: {left_over:?}"))?;
        Ok(reads::read_everything(&self.store, &self.world.model)?)
    }

    /// Ends cleanly.
    pub(crate) fn close(self) -> Result<(), Error> {
        self.store.log().close()
    }

    fn report(&mut self) -> &mut Report {
        &mut self.world.report
    }

    /// Does one thing, drawn by the seed.
    fn tick(&mut self) -> Result<(), End> {
        let pause_us = match self.world.random.below(100) {
            0 => 40_000_000,
            1..=9 => 1_000_000,
            _ => self.world.random.below(2_000),
        };
        self.world.clock.advance(pause_us);
        match self.world.random.below(100) {
            0..=24 => self.submit()?,
            25..=36 => _ = self.stepper.plan(),
            37..=46 => _ = self.stepper.take_draft(),
            47..=56 => _ = self.stepper.append(),
            57..=66 => _ = self.stepper.apply(),
            67..=74 => _ = self.stepper.fetch(),
            75..=83 => self.read()?,
            84 => self.change_table()?,
            85 => {
                // Mostly something waits.
                self.finish()?;
                self.change_table()?;
            }
            86 => drop(self.store.submit_seal()),
            87 => self.world.clock.set_back(500_000),
            88 => match self.world.random.percent(90) {
                true => self.drive()?,
                false => self.change_room(),
            },
            89 => match self.world.random.percent(30) {
                true => self.trim()?,
                false => self.remove_some_expired()?,
            },
            90 => self.end_trouble()?,
            _ => _ = self.work()?,
        }
        Ok(())
    }

    /// The disk tells another amount of room.
    fn change_room(&mut self) {
        let reserve_bytes = RoomLimits::new(&store_config()).reserve_bytes;
        let free_bytes = match self.world.random.below(4) {
            0 => reserve_bytes / 2,
            1 => 2 * reserve_bytes,
            _ => 100 * reserve_bytes,
        };
        self.world.disk.tell_space(Some(Space { free_bytes, total_bytes: 100 * reserve_bytes }));
        self.store.check_room();
    }

    fn change_table(&mut self) -> Result<(), End> {
        let World { model, workload, random, report, .. } = &mut *self.world;
        // Nothing new while the disk is full.
        if !model.may_change_tables() || self.store.room().0 == Room::Full {
            return Ok(());
        }
        let table = workload.table();
        let change = match random.below(20) {
            0..=6 => TableWrite::Create(table),
            7..=9 => TableWrite::AddIndex(table.name, Index { status: IndexStatus::Filling, ..workload.index() }),
            10 => TableWrite::DropIndex(table.name, workload.index().name),
            11..=12 => TableWrite::SetStream(table.name, table.stream.filter(|_| random.percent(50))),
            13..=15 => TableWrite::SetExpiry(table.name, random.percent(75).then(|| UNTIL.to_owned())),
            16 | 18 => {
                let known = model.tables().find(|known| known.table.name == table.name);
                let (id, version) = known.map_or((TableId(0), 0), |known| (known.table.id, known.table.version));
                let update = TableUpdate {
                    table: id,
                    // Sometimes it was checked against an older schema.
                    version: version - u32::from(version > 1 && random.percent(10)),
                    capacity: if random.percent(60) { workload.capacity() } else { CapacityChange::default() },
                    stream: random.percent(20).then(|| table.stream.filter(|_| random.percent(50))),
                    deletion_protection: random.percent(40).then(|| random.percent(30)),
                    add_index: None,
                    drop_index: random.percent(20).then(|| workload.index().name),
                };
                TableWrite::Update(table.name, Box::new(update))
            }
            17 => match random.percent(70) {
                true => TableWrite::Tag(table.name, workload.tags()),
                false => TableWrite::Untag(table.name, workload.tags().into_keys().collect()),
            },
            _ => TableWrite::Delete(table.name),
        };
        report.table_writes += 1;
        model.change_table(change.clone());
        let answer = self
            .store
            .submit_table(change)
            .map_err(|error| Violation(format!("a table change was refused: {error}")))?;
        self.table_answer = Some(answer);
        Ok(())
    }

    fn read(&mut self) -> Result<(), End> {
        self.follow()?;
        self.report().reads += 1;
        let World { model, workload, random, .. } = &mut *self.world;
        if random.percent(20) {
            // Whatever is applied, flushed and merged between the two makes no difference.
            let read = match self.snapshot.take() {
                None => {
                    self.snapshot = reads::take_snapshot(&self.store, model, workload, random)?;
                    return Ok(());
                }
                Some(snapshot) => reads::read_snapshot(&snapshot),
            };
            return match read {
                Err(Unread::Failed(_)) if self.world.disk.is_down() => Err(End::Crash),
                other => Ok(other?),
            };
        }
        match reads::read_some(&self.store, model, workload, random) {
            Err(Unread::Failed(_)) if self.world.disk.is_down() => Err(End::Crash),
            other => Ok(other?),
        }
    }

    /// Compacts a little. Answers whether there was something to do.
    fn work(&mut self) -> Result<bool, End> {
        let due = match self.jobs.last() {
            None => self.compactor.next_task(),
            // A flush cuts in on anything else.
            Some((task, _)) if *task != Task::Flush && !self.store.view().sealed.is_empty() => {
                self.world.random.percent(50).then_some(Task::Flush)
            }
            Some(_) => None,
        };
        self.jobs.extend(due.map(|task| (task.clone(), self.compactor.start(&task))));
        let Some((task, mut job)) = self.jobs.pop() else { return Ok(false) };
        match job.step() {
            Ok(Step::More) => self.jobs.push((task, job)),
            Ok(Step::Done(_)) => {
                let report = self.report();
                match task {
                    Task::Flush => report.flushes += 1,
                    Task::Merge(_) => report.merges += 1,
                    Task::Fill(_) => report.fills += 1,
                    Task::Activate(_) | Task::Protect => {}
                    Task::Collect(_) => report.collections += 1,
                }
            }
            Err(_) if self.world.disk.is_down() => return Err(End::Crash),
            Err(error) => self.trouble("a job", error)?,
        }
        Ok(true)
    }

    fn trim(&mut self) -> Result<(), End> {
        let before = self.store.log().trim_point();
        match self.compactor.trim() {
            Err(_) if self.world.disk.is_down() => return Err(End::Crash),
            Err(compactor::Error::Store(error)) => self.trouble("trimming", error)?,
            Err(error) => return Err(Violation(error.to_string()).into()),
            Ok(()) => {}
        }
        let trimmed = self.store.log().trim_point() > before;
        self.report().trims += u64::from(trimmed);
        Ok(())
    }

    /// An error is right only on a disk that fails.
    fn trouble(&mut self, what: &str, error: Error) -> Result<(), End> {
        self.report().failed_jobs += 1;
        ensure(self.world.in_trouble, || format!("{what} failed on a good disk: {error}"))?;
        match error {
            // Only a restart helps.
            Error::Poisoned { .. } | Error::Unpublished { .. } => Err(End::Crash),
            _ => Ok(()),
        }
    }

    /// Answers everything that waits.
    fn finish(&mut self) -> Result<(), End> {
        for _ in 0..ROUNDS_MAX {
            self.drive()?;
            if self.batches.is_empty() && self.transactions.is_empty() && self.table_answer.is_none() {
                return Ok(());
            }
            // Writers may wait for a flush.
            self.work()?;
        }
        match self.world.in_trouble {
            true => Err(End::Crash),
            false => {
                let (batches, transactions) = (self.batches.len(), self.transactions.len());
                Err(Violation(format!("{batches} batches and {transactions} transactions are never answered")).into())
            }
        }
    }

    /// Does steps until nothing is left to do, or an error is answered: what was asked for after the writes that failed would
    /// then be planned as if nobody had asked for those.
    fn drive(&mut self) -> Result<(), End> {
        loop {
            let planned = self.stepper.plan();
            let fetched = self.stepper.fetch();
            let drafted = self.stepper.take_draft();
            let appended = self.stepper.append();
            let applied = self.stepper.apply();
            self.poll()?;
            if !(planned || fetched || drafted || appended || applied) {
                return Ok(());
            }
        }
    }

    fn follow(&mut self) -> Result<(), Violation> {
        let applied = *self.store.applied().borrow();
        self.world.model.follow(self.store.log().as_ref(), applied)
    }

    /// Takes the answers that are there.
    fn poll(&mut self) -> Result<(), End> {
        self.follow()?;
        let mut failed = None;
        let mut waiting = Vec::new();
        for mut batch in std::mem::take(&mut self.batches) {
            match batch.answers.try_recv() {
                Ok(Ok(answers)) => self.world.model.answered(&batch.tickets, answers)?,
                Ok(Err(error)) => failed = Some(error),
                Err(TryRecvError::Empty) => waiting.push(batch),
                Err(TryRecvError::Closed) => {
                    return Err(Violation("a batch was dropped without an answer".to_owned()).into());
                }
            }
        }
        self.batches = waiting;
        let mut waiting = Vec::new();
        for (handed_in, mut answer) in std::mem::take(&mut self.transactions) {
            match answer.try_recv() {
                Ok(Ok(answers)) => {
                    for answer in answers {
                        self.world.model.transacted(&handed_in, answer)?;
                    }
                }
                Ok(Err(error)) => failed = Some(error),
                Err(TryRecvError::Empty) => waiting.push((handed_in, answer)),
                Err(TryRecvError::Closed) => {
                    return Err(Violation("a transaction was dropped without an answer".to_owned()).into());
                }
            }
        }
        self.transactions = waiting;
        match self.table_answer.as_mut().map(oneshot::Receiver::try_recv) {
            None | Some(Err(TryRecvError::Empty)) => {}
            Some(Ok(Ok(answer))) => {
                self.table_answer = None;
                self.world.model.table_answered(answer)?;
            }
            Some(Ok(Err(error))) => {
                self.table_answer = None;
                failed = Some(error);
            }
            Some(Err(TryRecvError::Closed)) => {
                return Err(Violation("a table change was dropped without an answer".to_owned()).into());
            }
        }
        match failed {
            None => Ok(()),
            Some(error) => {
                self.report().errors += 1;
                let expected = self.world.in_trouble || self.world.disk.is_down();
                ensure(expected, || format!("an error on a good disk: {error}"))?;
                Err(End::Crash)
            }
        }
    }

    /// The disk has stopped. What was answered until now was answered.
    fn crashed(&mut self) -> End {
        self.stepper.apply();
        match self.poll() {
            Err(End::Broken(violation)) => End::Broken(violation),
            _ => End::Crash,
        }
    }
}
