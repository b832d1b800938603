//! Arrival times: microseconds that no two readings share.
//!
//! One counter serves every device, so an arrival is unique per device without remembering devices. It follows the clock
//! and never goes back while the process runs. After a restart the clock decides: if it was set back meanwhile, an arrival
//! may meet a stored item, so a put at an arrival time is conditional on the item's absence and draws again.

use std::sync::atomic::{AtomicU64, Ordering};

/// Hands out arrival times.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    /// The greatest one given, in microseconds since 1970.
    last: AtomicU64,
}

impl Arrivals {
    /// The first of `count` consecutive arrivals, none of them given before.
    pub(crate) fn take(&self, now_us: u64, count: u64) -> u64 {
        let first_after = |last: u64| now_us.max(last.saturating_add(1));
        let previous = self.last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
            Some(first_after(last).saturating_add(count.saturating_sub(1)))
        });
        match previous {
            Ok(last) | Err(last) => first_after(last),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_follow_the_clock_and_never_repeat() {
        let arrivals = Arrivals::default();
        assert_eq!(arrivals.take(1000, 1), 1000);
        assert_eq!(arrivals.take(1000, 3), 1001);
        assert_eq!(arrivals.take(1000, 1), 1004);
        assert_eq!(arrivals.take(2000, 1), 2000);
        assert_eq!(arrivals.take(5, 1), 2001, "a clock that goes back is not followed");
    }
}
