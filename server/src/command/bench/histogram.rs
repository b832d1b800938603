//! Latencies in buckets that are never wider than 1 % of their values.
//!
//! A value below 128 has a bucket of its own; above, each doubling is cut into 128 equal buckets. Recording is an addition,
//! so a histogram costs the measured path almost nothing and never grows.

use std::time::Duration;

use serde_json::{Value, json};

/// Buckets of each doubling, as a power of two.
const BITS: u32 = 7;
const BUCKETS_PER_DOUBLING: usize = 1 << BITS;
/// Enough for every 64-bit value.
const BUCKETS: usize = (64 - BITS as usize + 1) * BUCKETS_PER_DOUBLING;

/// How often each latency occurred, in nanoseconds.
#[derive(Clone, Debug)]
pub(super) struct Histogram {
    counts: Vec<u64>,
    count: u64,
    sum_ns: u128,
    max_ns: u64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { counts: vec![0; BUCKETS], count: 0, sum_ns: 0, max_ns: 0 }
    }
}

impl Histogram {
    /// Counts one latency.
    pub(super) fn record(&mut self, latency: Duration) {
        let ns = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(ns)] += 1;
        self.count += 1;
        self.sum_ns += u128::from(ns);
        self.max_ns = self.max_ns.max(ns);
    }

    /// How many were recorded.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// The latency that `share` (0 to 1) of all do not exceed, in microseconds, at most 1 % too great; none without any.
    pub(super) fn quantile_us(&self, share: f64) -> Option<f64> {
        let rank = ((share * self.count as f64).ceil() as u64).clamp(1, self.count.max(1));
        let mut seen = 0;
        let found = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        Some(greatest(found).min(self.max_ns) as f64 / 1000.0)
    }

    /// The usual percentiles in microseconds; null if nothing was recorded.
    pub(super) fn to_json(&self) -> Value {
        if self.count == 0 {
            return Value::Null;
        }
        let at = |share| self.quantile_us(share).map(rounded);
        json!({
            "p50": at(0.5),
            "p90": at(0.9),
            "p99": at(0.99),
            "p99_9": at(0.999),
            "max": rounded(self.max_ns as f64 / 1000.0),
            "mean": rounded(self.sum_ns as f64 / self.count as f64 / 1000.0),
        })
    }
}

/// To a tenth: what is behind it is noise.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn bucket(ns: u64) -> usize {
    let doubling = (u64::BITS - ns.leading_zeros()).saturating_sub(BITS + 1);
    (doubling as usize) * BUCKETS_PER_DOUBLING + (ns >> doubling) as usize
}

/// The greatest value of a bucket.
fn greatest(bucket: usize) -> u64 {
    let doubling = (bucket / BUCKETS_PER_DOUBLING).saturating_sub(1);
    let within = (bucket - doubling * BUCKETS_PER_DOUBLING) as u64;
    (((u128::from(within) + 1) << doubling) - 1).try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values_us: impl IntoIterator<Item = u64>) -> Histogram {
        let mut histogram = Histogram::default();
        values_us.into_iter().for_each(|us| histogram.record(Duration::from_micros(us)));
        histogram
    }

    #[test]
    fn every_value_is_in_a_bucket_that_ends_at_most_a_percent_above_it() {
        let mut value = 1_u64;
        while value < u64::MAX / 3 {
            for ns in [value - 1, value, value + 1] {
                let end = greatest(bucket(ns));
                assert!(end >= ns && end - ns <= ns / 100, "{ns} ends at {end}");
                assert!(bucket(end) == bucket(ns) && bucket(end + 1) == bucket(ns) + 1);
            }
            value = value * 3 / 2 + 1;
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
        assert_eq!(greatest(BUCKETS - 1), u64::MAX);
    }

    #[test]
    fn quantiles_are_of_ranks() {
        let histogram = of((1..=1000).rev());
        for (share, us) in [(0.001, 1.0), (0.5, 500.0), (0.99, 990.0), (1.0, 1000.0)] {
            let found = histogram.quantile_us(share).unwrap();
            assert!(found >= us && found <= us * 1.01, "{share}: {found}");
        }
        assert_eq!(histogram.to_json()["max"], 1000.0);
        assert_eq!(histogram.to_json()["mean"], 500.5);
    }

    #[test]
    fn nothing_recorded_is_nothing_told() {
        assert_eq!(Histogram::default().quantile_us(0.5), None);
        assert_eq!(Histogram::default().to_json(), Value::Null);
    }
}
