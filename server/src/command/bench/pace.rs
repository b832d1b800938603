//! When the next operation may begin.
//!
//! *Closed loop*: whenever a worker is free. *Open loop*: at a fixed rate whatever the server does; an operation's latency
//! counts from when it was meant to begin, so a server that stalls is charged for all that it delays, not only for
//! the operations that happened to be under way.

use std::{
    cell::Cell,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use tokio::sync::Semaphore;

/// The pacer wakes at most so often; what becomes due in between begins together.
const WAKE_INTERVAL: Duration = Duration::from_micros(100);

/// When a run ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum End {
    /// No operation begins after so long.
    After(Duration),
    /// So many operations.
    Count(u64),
}

/// One operation's permission to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    /// Its latency counts from here.
    pub(super) intended: Instant,
}

/// What [`Pace::try_next`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Begin.
    Now(Turn),
    /// Not yet.
    Later,
    /// Never again.
    Ended,
}

/// Hands out turns to workers of one thread.
pub(super) struct Pace {
    started: Instant,
    taken: Cell<u64>,
    kind: Kind,
}

enum Kind {
    Closed(End),
    Open { interval: Duration, total: u64, due: Arc<Semaphore> },
}

impl Pace {
    /// Turns as fast as they are taken.
    pub(super) fn closed(end: End) -> Pace {
        Pace { started: Instant::now(), taken: Cell::new(0), kind: Kind::Closed(end) }
    }

    /// `rate` turns a second, from now on.
    pub(super) fn open(rate: f64, end: End) -> Pace {
        let interval = Duration::from_secs_f64(1.0 / rate);
        let total = match end {
            End::Count(count) => count,
            End::After(time) => (time.as_secs_f64() * rate).ceil() as u64,
        };
        let (started, due) = (Instant::now(), Arc::new(Semaphore::new(0)));
        let permits = due.clone();
        thread::spawn(move || release(started, interval, total, &permits));
        Pace { started, taken: Cell::new(0), kind: Kind::Open { interval, total, due } }
    }

    /// When the first turn was due.
    pub(super) fn started(&self) -> Instant {
        self.started
    }

    /// Waits for a turn; none when the run has ended. Nothing is lost if the wait is given up.
    pub(super) async fn next(&self) -> Option<Turn> {
        if let Kind::Open { due, total, .. } = &self.kind {
            if self.taken.get() >= *total {
                return None;
            }
            // Closed by whoever took the last turn.
            due.acquire().await.ok()?.forget();
            return Some(self.take_open());
        }
        match self.try_next() {
            Next::Now(turn) => Some(turn),
            Next::Later | Next::Ended => None,
        }
    }

    /// A turn, if one is due.
    pub(super) fn try_next(&self) -> Next {
        match &self.kind {
            Kind::Closed(end) => {
                let now = Instant::now();
                let ended = match end {
                    End::After(time) => now.duration_since(self.started) >= *time,
                    End::Count(count) => self.taken.get() >= *count,
                };
                if ended {
                    return Next::Ended;
                }
                self.taken.set(self.taken.get() + 1);
                Next::Now(Turn { intended: now })
            }
            Kind::Open { due, total, .. } => match due.try_acquire() {
                _ if self.taken.get() >= *total => Next::Ended,
                Ok(permit) => {
                    permit.forget();
                    Next::Now(self.take_open())
                }
                Err(_) => Next::Later,
            },
        }
    }

    /// Turns taken so far.
    pub(super) fn taken(&self) -> u64 {
        self.taken.get()
    }

    fn take_open(&self) -> Turn {
        let Kind::Open { interval, total, due } = &self.kind else { unreachable!("asked by open loops only") };
        let index = self.taken.get();
        self.taken.set(index + 1);
        if index + 1 == *total {
            due.close();
        }
        Turn { intended: self.started + due_after(*interval, index) }
    }
}

impl Drop for Pace {
    fn drop(&mut self) {
        // Ends the pacer.
        if let Kind::Open { due, .. } = &self.kind {
            due.close();
        }
    }
}

/// How long after the start operation `index` is due.
fn due_after(interval: Duration, index: u64) -> Duration {
    Duration::from_secs_f64(interval.as_secs_f64() * index as f64)
}

/// How many operations are due so long after the start.
fn due_at(interval: Duration, elapsed: Duration) -> u64 {
    (elapsed.as_secs_f64() / interval.as_secs_f64()) as u64 + 1
}

/// Adds a permit for every operation as it becomes due. A thread of its own: the runtime's timers count milliseconds.
fn release(started: Instant, interval: Duration, total: u64, due: &Semaphore) {
    let mut given = 0;
    while given < total && !due.is_closed() {
        let now = due_at(interval, started.elapsed()).min(total);
        if now > given {
            due.add_permits((now - given) as usize);
            given = now;
        }
        let next = due_after(interval, given).saturating_sub(started.elapsed());
        #[expect(clippy::disallowed_methods, reason = "keeping time is what this thread is for")]
        thread::sleep(next.max(WAKE_INTERVAL));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_closed_loop_ends_by_count_or_by_time() {
        let pace = Pace::closed(End::Count(3));
        let mut turns = 0;
        while pace.next().await.is_some() {
            turns += 1;
        }
        assert_eq!((turns, pace.taken(), pace.try_next()), (3, 3, Next::Ended));

        let pace = Pace::closed(End::After(Duration::ZERO));
        assert_eq!(pace.next().await, None);
    }

    #[tokio::test]
    async fn an_open_loop_keeps_its_schedule_however_late_its_turns_are_taken() {
        let pace = Pace::open(1000.0, End::After(Duration::from_millis(50)));
        let first = pace.next().await.unwrap();
        assert_eq!(first.intended, pace.started());
        // Nobody takes a turn until all are due: that is the server's delay, and it is charged for it.
        while pace.started().elapsed() < Duration::from_millis(100) {
            tokio::task::yield_now().await;
        }
        let mut intended = vec![first.intended];
        while let Some(turn) = pace.next().await {
            intended.push(turn.intended);
        }
        assert_eq!(intended.len(), 50);
        for (index, at) in intended.iter().enumerate() {
            let due = Duration::from_millis(index as u64);
            assert!(at.duration_since(pace.started()).abs_diff(due) < Duration::from_micros(1));
        }
        assert_eq!(pace.try_next(), Next::Ended);
    }

    #[tokio::test]
    async fn an_open_loop_gives_no_turn_before_it_is_due_and_lets_every_waiter_end() {
        let pace = Pace::open(500.0, End::Count(10));
        let wait = async {
            let mut turns = 0;
            while let Some(turn) = pace.next().await {
                assert!(turn.intended <= Instant::now());
                turns += 1;
            }
            turns
        };
        let again = async {
            let mut turns = 0;
            while pace.next().await.is_some() {
                turns += 1;
            }
            turns
        };
        let (one, other): (u64, u64) = tokio::join!(wait, again);
        assert_eq!(one + other, 10);
        assert!(pace.started().elapsed() >= Duration::from_millis(18));
    }

    #[test]
    fn what_is_due_grows_with_time() {
        let interval = Duration::from_millis(2);
        assert_eq!(due_at(interval, Duration::ZERO), 1);
        assert_eq!(due_at(interval, Duration::from_millis(3)), 2);
        assert_eq!(due_after(interval, 3), Duration::from_millis(6));
    }
}
