//! A run: workers that take turns, and the tally of what became of them.
//!
//! All of it lives on one thread: what the load costs then is the least, and no lock is in its way. Workers keep their
//! connections from the warm-up to the run that is measured.

use std::{
    cell::RefCell,
    io::IsTerminal,
    rc::Rc,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::{task::JoinSet, time::MissedTickBehavior};

use super::{
    histogram::Histogram,
    pace::{End, Pace, Turn},
};

/// An open loop that falls behind goes on for so long after its last turn was due; then the rest is given up.
const LATE_MAX: Duration = Duration::from_secs(10);

/// What became of the turns.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    /// Answered requests.
    pub(super) latencies: Histogram,
    /// From when a request was meant to begin to when it did: the generator's own lateness in an open loop.
    pub(super) lateness: Histogram,
    /// Items or readings that were written or read.
    pub(super) operations: u64,
    /// Requests that were refused.
    pub(super) failures: u64,
    /// Why the first one was.
    pub(super) first_failure: Option<String>,
    /// When the first turn was due.
    pub(super) started: Instant,
    /// When the last answer came.
    pub(super) ended: Instant,
}

/// A run under way.
pub(super) struct Phase {
    pub(super) pace: Pace,
    tally: RefCell<Tally>,
}

impl Phase {
    fn new(pace: Pace) -> Phase {
        let tally = Tally {
            latencies: Histogram::default(),
            lateness: Histogram::default(),
            operations: 0,
            failures: 0,
            first_failure: None,
            started: pace.started(),
            ended: pace.started(),
        };
        Phase { pace, tally: RefCell::new(tally) }
    }

    /// A request begins.
    pub(super) fn begins(&self, turn: Turn) {
        self.tally.borrow_mut().lateness.record(turn.intended.elapsed());
    }

    /// A request was answered, and so many items with it.
    pub(super) fn done(&self, turn: Turn, operations: u64) {
        let now = Instant::now();
        let mut tally = self.tally.borrow_mut();
        tally.latencies.record(now.duration_since(turn.intended));
        tally.operations += operations;
        tally.ended = now;
    }

    /// More was done without an answer of its own.
    pub(super) fn more_done(&self, operations: u64) {
        let mut tally = self.tally.borrow_mut();
        tally.operations += operations;
        tally.ended = Instant::now();
    }

    /// A request was refused.
    pub(super) fn failed(&self, why: impl FnOnce() -> String) {
        let mut tally = self.tally.borrow_mut();
        tally.failures += 1;
        tally.first_failure.get_or_insert_with(why);
        tally.ended = Instant::now();
    }
}

/// Lets every worker take turns of `pace` until the run ends; answers the workers and what became of the turns.
pub(super) async fn run<W, F>(
    workers: Vec<W>,
    pace: impl FnOnce() -> Pace,
    end: End,
    work: impl Fn(W, Rc<Phase>) -> F,
) -> anyhow::Result<(Vec<W>, Tally)>
where
    W: 'static,
    F: Future<Output = anyhow::Result<W>> + 'static,
{
    let phase = Rc::new(Phase::new(pace()));
    let mut tasks = JoinSet::new();
    for worker in workers {
        tasks.spawn_local(work(worker, phase.clone()));
    }
    let mut progress = Progress::new(end);
    let mut ticks = tokio::time::interval(Duration::from_millis(200));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut back = Vec::new();
    loop {
        tokio::select! {
            ended = tasks.join_next() => match ended {
                Some(worker) => back.push(worker??),
                None => break,
            },
            _ = ticks.tick() => {
                progress.show(&phase);
                if let End::After(time) = end && phase.pace.started().elapsed() > time + LATE_MAX {
                    anyhow::bail!(
                        "the server has not kept up: {} requests were due, {} answered, {} s after the last was due",
                        phase.pace.taken(), phase.tally.borrow().latencies.count(), LATE_MAX.as_secs(),
                    );
                }
            }
        }
    }
    progress.finish();
    let tally = phase.tally.borrow().clone();
    Ok((back, tally))
}

/// A line on a terminal; nothing elsewhere.
struct Progress {
    bar: Option<ProgressBar>,
    end: End,
}

impl Progress {
    fn new(end: End) -> Progress {
        let bar = std::io::stderr().is_terminal().then(|| {
            let length = match end {
                End::After(time) => time.as_millis() as u64,
                End::Count(count) => count,
            };
            let style = ProgressStyle::with_template("{wide_bar} {percent} % {msg}");
            ProgressBar::new(length).with_style(style.expect("the template above is well formed"))
        });
        Progress { bar, end }
    }

    fn show(&mut self, phase: &Phase) {
        let Some(bar) = &self.bar else { return };
        let elapsed = phase.pace.started().elapsed();
        bar.set_position(match self.end {
            End::After(_) => elapsed.as_millis() as u64,
            End::Count(_) => phase.pace.taken(),
        });
        let tally = phase.tally.borrow();
        let rate = tally.operations as f64 / elapsed.as_secs_f64();
        let p99_ms = tally.latencies.quantile_us(0.99).unwrap_or_default() / 1000.0;
        bar.set_message(format!("{rate:.0}/s, p99 {p99_ms:.2} ms"));
    }

    fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::LocalSet;

    use super::*;

    #[tokio::test]
    async fn every_turn_is_tallied() {
        let end = End::Count(100);
        let work = |worker: u64, phase: Rc<Phase>| async move {
            while let Some(turn) = phase.pace.next().await {
                phase.begins(turn);
                tokio::task::yield_now().await;
                match worker {
                    0 => phase.failed(|| "refused".to_owned()),
                    _ => phase.done(turn, 25),
                }
            }
            Ok(worker)
        };
        let (mut workers, tally) =
            LocalSet::new().run_until(run(vec![0, 1], || Pace::closed(end), end, work)).await.unwrap();
        workers.sort_unstable();
        assert_eq!(workers, [0, 1]);
        assert_eq!((tally.failures + tally.latencies.count(), tally.lateness.count()), (100, 100));
        assert_eq!(tally.operations, tally.latencies.count() * 25);
        assert_eq!(tally.first_failure.as_deref(), Some("refused"));
    }

    #[tokio::test]
    async fn one_broken_worker_ends_the_run() {
        let end = End::Count(u64::MAX);
        let work = |worker: u64, phase: Rc<Phase>| async move {
            while phase.pace.next().await.is_some() {
                tokio::task::yield_now().await;
                anyhow::ensure!(worker == 0, "broken");
            }
            Ok(worker)
        };
        let ended = LocalSet::new().run_until(run(vec![0, 1], || Pace::closed(end), end, work)).await;
        assert_eq!(ended.unwrap_err().to_string(), "broken");
    }
}
