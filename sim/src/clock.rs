//! Time as the simulation moves it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use store::env::Clock;

/// A clock that stands still until it is moved. Cloning shares it.
#[derive(Clone, Debug)]
pub struct SimClock(Arc<AtomicU64>);

impl SimClock {
    /// A clock that shows `now_us`, microseconds since 1970.
    pub fn new(now_us: u64) -> SimClock {
        SimClock(Arc::new(AtomicU64::new(now_us)))
    }

    /// Moves it forward.
    pub fn advance(&self, by_us: u64) {
        self.0.fetch_add(by_us, Ordering::Relaxed);
    }

    /// Moves it back, as an operator or a time server might.
    pub fn set_back(&self, by_us: u64) {
        self.0.fetch_sub(by_us, Ordering::Relaxed);
    }
}

impl Clock for SimClock {
    fn now_us(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
