//! One seed from the first open to the last comparison.

use std::panic::{self, AssertUnwindSafe};

use store::env::{DirectoryId, open_format};

use crate::{
    Violation,
    clock::SimClock,
    disk::{Crash, Fault, SimDisk},
    ensure,
    model::Model,
    random::Random,
    report::Report,
    session::{End, Session, store_config},
    workload::Workload,
};

/// Crashes at least, whatever else happens.
const CRASHES_MIN: u64 = 3;

/// What is simulated.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Operations of clients, at least.
    pub operations: u64,
    /// A mistake to be found.
    pub fault: Option<Fault>,
}

impl Default for Options {
    fn default() -> Options {
        Options { operations: 1000, fault: None }
    }
}

/// Everything that outlives a crash, and everything that judges.
pub(crate) struct World {
    pub(crate) random: Random,
    pub(crate) clock: SimClock,
    pub(crate) disk: SimDisk,
    pub(crate) model: Model,
    pub(crate) workload: Workload,
    pub(crate) report: Report,
    /// Does the disk fail at times in this life?
    pub(crate) in_trouble: bool,
    /// Are transactions handed in as two batches? A mistake to be found.
    pub(crate) tears: bool,
    /// Does the row cache go stale? A mistake to be found.
    pub(crate) stales: bool,
}

/// Runs one seed. The same seed and options always answer the same.
pub fn run(seed: u64, options: Options) -> Result<Report, Violation> {
    let simulated = panic::catch_unwind(AssertUnwindSafe(|| World::new(seed, options).run(options)));
    simulated.unwrap_or_else(|panicked| {
        let text = panicked.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panicked.downcast_ref::<&str>().copied()).unwrap_or("no message");
        Err(Violation(format!("panicked: {text}")))
    })
}

impl World {
    fn new(seed: u64, options: Options) -> World {
        let mut random = Random::new(seed);
        let disk = SimDisk::new(random.fork());
        if let Some(fault) = options.fault {
            disk.plant(fault);
        }
        World {
            clock: SimClock::new(1_700_000_000_000_000),
            disk,
            model: Model::new(store_config().shards),
            workload: Workload::new(random.fork()),
            report: Report { seed, ..Report::default() },
            in_trouble: false,
            tears: options.fault == Some(Fault::TransactionTorn),
            stales: options.fault == Some(Fault::RowsNotRenewed),
            random,
        }
    }

    fn run(mut self, options: Options) -> Result<Report, Violation> {
        let all = options.operations;
        loop {
            // The crashes that must be are spread over the operations.
            let share = all.min(all * (self.report.crashes() + 1) / (CRASHES_MIN + 1));
            match self.life(share) {
                Ok(()) if share < all => self.reboot(),
                Ok(()) => break,
                Err(End::Crash) => self.reboot(),
                Err(End::Interrupted) => {
                    self.report.interrupted_opens += 1;
                    self.reboot();
                }
                Err(End::Broken(violation)) => return Err(self.place(&violation)),
            }
        }
        let state_hash = self.last_life().map_err(|violation| self.place(&violation))?;
        let (log_hash, disk_hash, frames) = (self.model.log_hash(), self.disk.trace(), self.model.frames());
        Ok(Report { state_hash, log_hash, disk_hash, frames, ..self.report })
    }

    /// Opens, compares, and works until so many operations are answered.
    fn life(&mut self, operations: u64) -> Result<(), End> {
        self.plan_crash();
        if self.random.percent(40) {
            // Replay is a pure function of the log.
            let (_, first) = self.open()?;
            self.disk.kill();
            let (_, second) = self.open()?;
            ensure(first == second, || format!("a second replay led to {second:016x}, the first to {first:016x}"))?;
            self.disk.kill();
            self.plan_crash();
        }
        let (mut session, _) = self.open()?;
        session.begin();
        session.live(operations)
    }

    /// Removes what has expired, flushes and merges everything, ends cleanly, and compares what is there after that and a power cut.
    fn last_life(&mut self) -> Result<u64, Violation> {
        self.disk.kill();
        self.in_trouble = false;
        let certain = |end: End| match end {
            End::Crash | End::Interrupted => Violation("the last life was interrupted".to_owned()),
            End::Broken(violation) => violation,
        };
        let (mut session, _) = self.open().map_err(certain)?;
        let before = session.expire().map_err(certain)?;
        let settled = session.settle().map_err(certain)?;
        session.close().map_err(|error| Violation(format!("closing: {error}")))?;
        self.report.shutdowns += 1;
        self.disk.cut_power();
        let (_, after) = self.open().map_err(certain)?;
        ensure(before == settled && settled == after, || {
            format!("the tables were {before:016x}, {settled:016x} after compaction, {after:016x} after a restart")
        })?;
        Ok(after)
    }

    fn open(&mut self) -> Result<(Session<'_>, u64), End> {
        let fresh = || Ok(DirectoryId(0x7468_616c_7765_6721));
        let disk = self.disk.clone();
        let formatted = open_format(&disk, fresh);
        let opened = formatted.and_then(|_| Session::open(self));
        match opened {
            Ok(mut session) => {
                let state = session.check_recovered()?;
                Ok((session, state))
            }
            Err(_) if disk.is_down() => Err(End::Interrupted),
            Err(error) => Err(Violation(format!("it does not open: {error}")).into()),
        }
    }

    /// Draws when this life ends, if the disk ends it.
    fn plan_crash(&mut self) {
        let random = &mut self.random;
        // The first sync of a directory may be the opening's.
        let syncs = random.below(4);
        let after = |dir, operations| Crash::AfterSyncOf { dir, syncs, operations };
        // Right after a sync is the moment at which a wrong order shows.
        let soon = if random.percent(50) { 0 } else { random.below(8) };
        let crash = match random.below(10) {
            0..=4 => Crash::At(self.disk.operations() + random.between(1, 300)),
            5..=6 => after("manifest", soon),
            7 => after("cold/runs", soon),
            8 => after("log", soon),
            _ => return,
        };
        self.disk.crash(crash);
    }

    /// Ends this life.
    fn reboot(&mut self) {
        if self.random.percent(75) {
            self.report.power_cuts += 1;
            self.disk.cut_power();
        } else {
            self.report.kills += 1;
            self.disk.kill();
        }
        self.clock.advance(1_000_000);
    }

    fn place(&self, violation: &Violation) -> Violation {
        let Report { seed, .. } = self.report;
        let (operations, lives) = (self.report.operations(), self.report.crashes() + 1);
        Violation(format!("seed {seed}, after {operations} operations, in life {lives}: {violation}"))
    }
}
