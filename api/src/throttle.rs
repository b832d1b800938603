//! Throttling of provisioned tables and their global indexes: one bucket of units each for reads and for writes.
//!
//! A bucket fills with the provisioned units of each second up to those of [`BURST_S`] seconds, which is what DynamoDB
//! documents to keep of unused capacity. A request is let through while there is something in every bucket that it takes from,
//! and takes then what it will need at least; what it has used beyond that is known only once it is done, and taken too. So a
//! bucket can go into debt, by what is under way at most, and in the long run no more is used than is provisioned.
//!
//! Tables on demand have no bucket. Nor has what comes by MQTT, NATS or `/ingest`, whatever the table.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use item::{Index, Table, TableId, table::Billing};
use store::env::Clock;

use crate::{App, Error, capacity::Usage};

/// So many seconds' units a bucket holds.
const BURST_S: f64 = 300.0;
/// When there are more buckets than this, those that are full are forgotten: a new one is full too.
const BUCKETS_USUAL: usize = 256;

/// What units are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Use {
    Read,
    Write,
}

/// Units of a table or of a global index, taken or to be taken.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Claim {
    id: TableId,
    used: Use,
    /// Provisioned units a second.
    rate: f64,
    units: f64,
    is_index: bool,
}

/// The buckets of all tables. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub struct Throttle(Arc<Mutex<Buckets>>);

/// The buckets that are not known to be full.
#[derive(Debug, Default)]
struct Buckets {
    buckets: BTreeMap<(TableId, Use), Bucket>,
    /// How many there were after full ones were forgotten last.
    kept: usize,
}

/// Units that can be used, less than nothing if more were used than there were.
#[derive(Debug)]
struct Bucket {
    units: f64,
    rate: f64,
    filled_at_us: u64,
}

impl Bucket {
    fn full(rate: f64, now_us: u64) -> Bucket {
        Bucket { units: rate * BURST_S, rate, filled_at_us: now_us }
    }

    /// Adds what has come since the last time; from now on `rate` counts.
    fn fill(&mut self, rate: f64, now_us: u64) {
        let seconds = now_us.saturating_sub(self.filled_at_us) as f64 / 1e6;
        self.units = (self.units + seconds * self.rate).min(rate * BURST_S);
        self.rate = rate;
        self.filled_at_us = self.filled_at_us.max(now_us);
    }

    fn is_full(&self) -> bool {
        self.units >= self.rate * BURST_S
    }
}

impl Buckets {
    fn of(&mut self, claim: &Claim, now_us: u64) -> &mut Bucket {
        if self.buckets.len() > BUCKETS_USUAL.max(2 * self.kept) {
            self.buckets.retain(|_, bucket| {
                bucket.fill(bucket.rate, now_us);
                !bucket.is_full()
            });
            self.kept = self.buckets.len();
        }
        let bucket = self.buckets.entry((claim.id, claim.used));
        let bucket = bucket.or_insert_with(|| Bucket::full(claim.rate, now_us));
        bucket.fill(claim.rate, now_us);
        bucket
    }

    /// Takes all that is claimed, or nothing: the first claim on an empty bucket is the answer then.
    fn admit<'a>(&mut self, claims: &'a [Claim], now_us: u64) -> Result<(), &'a Claim> {
        if let Some(refused) = claims.iter().find(|claim| self.of(claim, now_us).units <= 0.0) {
            return Err(refused);
        }
        self.charge(claims, 1.0, now_us);
        Ok(())
    }

    /// Takes what is claimed, or, with a `sign` of -1, gives it back.
    fn charge(&mut self, claims: &[Claim], sign: f64, now_us: u64) {
        for claim in claims {
            self.of(claim, now_us).units -= sign * claim.units;
        }
    }
}

/// Is there a bound to what may be used of the table?
pub(crate) fn is_throttled(table: &Table) -> bool {
    table.billing != Billing::OnDemand
}

/// The claim of `units` on the table, or on the index if it has units of its own; none on demand.
pub(crate) fn claim(table: &Table, index: Option<&Index>, used: Use, units: f64) -> Option<Claim> {
    let global = index.filter(|index| index.kind == item::IndexKind::Global);
    let (id, billing) = global.map_or((table.id, table.billing), |index| (index.id, index.billing));
    let Billing::Provisioned { read_units, write_units } = billing else { return None };
    let rate = if used == Use::Read { read_units } else { write_units };
    Some(Claim { id, used, rate: rate as f64, units, is_index: global.is_some() })
}

/// The claims of what was used of a table and its indexes.
fn claims(table: &Table, usage: &Usage, used: Use) -> Vec<Claim> {
    let mut claims = Vec::new();
    let of_table = usage.table + usage.local.values().sum::<f64>();
    claims.extend(claim(table, None, used, of_table));
    for (name, units) in &usage.global {
        claims.extend(table.index(name).and_then(|index| claim(table, Some(index), used, *units)));
    }
    claims
}

/// What a request was let through for. Given back when this is dropped: what was let through and then failed used nothing,
/// unless it is handed in by then.
#[derive(Default)]
pub(crate) struct Admitted(Option<Taken>);

struct Taken {
    throttle: Throttle,
    clock: Arc<dyn Clock>,
    claims: Vec<Claim>,
    /// Is it, or may it be, in the store's hands?
    is_handed_in: bool,
}

impl Taken {
    /// Gives back what was claimed and takes what was used.
    fn settle(&self, used: &[Claim]) {
        let now_us = self.clock.now_us();
        let mut buckets = self.throttle.0.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.charge(&self.claims, -1.0, now_us);
        buckets.charge(used, 1.0, now_us);
    }
}

impl Admitted {
    /// The request has used `usage` of the table.
    pub(crate) fn settle(mut self, table: &Table, usage: &Usage, used: Use) {
        if let Some(taken) = self.0.take() {
            taken.settle(&claims(table, usage, used));
        }
    }

    /// What the request asks for is handed in, or it is not any more.
    pub(crate) fn set_handed_in(&mut self, is_handed_in: bool) {
        if let Some(taken) = &mut self.0 {
            taken.is_handed_in = is_handed_in;
        }
    }

    /// The request has used what it claimed.
    pub(crate) fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        if let Some(taken) = self.0.as_ref().filter(|taken| !taken.is_handed_in) {
            taken.settle(&[]);
        }
    }
}

impl App {
    /// Lets a request through that will use at least `claims` of `table`; refused, it has used nothing. On demand nothing is
    /// counted.
    pub(crate) fn admit(&self, table: &Table, claims: impl IntoIterator<Item = Claim>) -> Result<Admitted, Error> {
        if !is_throttled(table) {
            return Ok(Admitted::default());
        }
        let claims: Vec<Claim> = claims.into_iter().collect();
        let clock = Arc::clone(self.store.clock());
        let mut buckets = self.throttle.0.lock().unwrap_or_else(PoisonError::into_inner);
        let admitted = buckets.admit(&claims, clock.now_us());
        admitted.map_err(|refused| Error::ThroughputExceeded { index: refused.is_index })?;
        drop(buckets);
        Ok(Admitted(Some(Taken { throttle: self.throttle.clone(), clock, claims, is_handed_in: false })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_US: u64 = 1_000_000;

    fn claim_of(id: u32, rate: f64, units: f64) -> Claim {
        Claim { id: TableId(id), used: Use::Write, rate, units, is_index: false }
    }

    /// Claims of `units` every `every_us` for so many seconds; answers how many units were let through.
    fn used(buckets: &mut Buckets, rate: f64, units: f64, from_us: u64, seconds: u64, every_us: u64) -> f64 {
        let claim = [claim_of(1, rate, units)];
        let times = (from_us..from_us + seconds * SECOND_US).step_by(every_us as usize);
        times.filter(|now_us| buckets.admit(&claim, *now_us).is_ok()).count() as f64 * units
    }

    #[test]
    fn the_rate_is_kept_after_the_burst() {
        for (rate, units) in [(1.0, 1.0), (10.0, 1.0), (100.0, 3.0), (7.0, 0.5), (2.0, 20.0)] {
            let mut buckets = Buckets::default();
            let burst = used(&mut buckets, rate, units, 0, 1, 100);
            assert!((burst - rate * BURST_S).abs() <= rate + units, "{burst} at {rate}");
            let later = used(&mut buckets, rate, units, SECOND_US, 600, 5_000);
            assert!((later / (rate * 600.0) - 1.0).abs() < 0.05, "{later} in 600 s at {rate}");
        }
    }

    #[test]
    fn what_is_unused_for_five_minutes_can_be_used_at_once_and_no_more() {
        let mut buckets = Buckets::default();
        used(&mut buckets, 10.0, 1.0, 0, 1, 100);
        let hour_us = 3600 * SECOND_US;
        let burst = used(&mut buckets, 10.0, 1.0, hour_us, 1, 100);
        assert!((3000.0..=3011.0).contains(&burst), "{burst}");
        let minute_us = hour_us + 61 * SECOND_US;
        let part = used(&mut buckets, 10.0, 1.0, minute_us, 1, 100);
        assert!((600.0..=611.0).contains(&part), "{part}");
    }

    #[test]
    fn more_than_expected_is_a_debt_that_time_pays() {
        let mut buckets = Buckets::default();
        let one = [claim_of(1, 1.0, 1.0)];
        buckets.admit(&one, 0).unwrap();
        buckets.charge(&[claim_of(1, 1.0, 399.0)], 1.0, 0);
        assert_eq!(buckets.admit(&one, 100 * SECOND_US), Err(&one[0]));
        assert_eq!(buckets.admit(&one, 101 * SECOND_US), Ok(()));
    }

    #[test]
    fn all_buckets_or_none_are_taken_from() {
        let mut buckets = Buckets::default();
        let claims = [claim_of(1, 10.0, 1.0), claim_of(2, 1.0, 400.0)];
        assert_eq!(buckets.admit(&claims, 0), Ok(()));
        assert_eq!(buckets.admit(&claims, 0), Err(&claims[1]));
        assert_eq!(buckets.of(&claims[0], 0).units, 2999.0);
    }

    #[test]
    fn a_change_of_the_rate_counts_from_then_on() {
        let mut buckets = Buckets::default();
        used(&mut buckets, 100.0, 1.0, 0, 1, 10);
        let later = used(&mut buckets, 5.0, 1.0, SECOND_US, 600, 1_000);
        assert!((later / 3000.0 - 1.0).abs() < 0.05, "{later}");
    }

    #[test]
    fn full_buckets_are_forgotten() {
        let mut buckets = Buckets::default();
        for id in 0..10_000 {
            buckets.admit(&[claim_of(id, 1.0, 1.0)], u64::from(id) * SECOND_US).unwrap();
        }
        assert!(buckets.buckets.len() <= BUCKETS_USUAL + 1, "{}", buckets.buckets.len());
    }
}
