//! Every number that ingest counts, with its stable name.

use store::metric::Metric;

use crate::rules::Counts;

/// The metrics of this crate's rules and quarantine; those of entrances are [`crate::traffic::METRICS`].
pub const METRICS: &[Metric] = &[
    Metric::counter(ITEMS, "Items that readings made or changed"),
    Metric::counter(UNCHANGED, "Items that were already stored as received"),
    Metric::counter(COLLISIONS, "Stored values that a reading of the same device and time replaced, or would have"),
    Metric::counter(LOCAL_TIMES, "Times without offset, read in the zone of the route"),
    Metric::counter(
        TIMES_OUT_OF_RANGE,
        "Candidates for the time before 2000 or more than 24 h after the arrival: not taken as times",
    ),
    Metric::counter(NOT_FINITE, "NaN and infinities, stored as NULL"),
    Metric::counter(NUMBERS_AS_TEXT, "Numbers beyond 38 digits or range, stored as text"),
    Metric::counter(REPEATED_NAMES, "Names that came more than once in one JSON object: the last one is stored"),
    Metric::counter(RETAINED_EMPTY, "Empty retained messages: ignored"),
    Metric::counter(RETAINED_REPEATED, "Retained messages that were stored before and carry no time: ignored"),
    Metric::counter(QUARANTINED, "Messages that went to quarantine, by the kind of their first problem").by(&["kind"]),
    Metric::counter(QUARANTINED_PARTIAL, "Those of them of which something was stored"),
    Metric::counter(QUARANTINE_EVICTED, "Entries that left the full quarantine"),
    Metric::counter(QUARANTINE_REPLAYED, "Entries that were mapped again and left the quarantine"),
    Metric::gauge(QUARANTINE_ENTRIES, "Entries in quarantine"),
    Metric::gauge(QUARANTINE_BYTES, "Bytes in quarantine"),
];

pub(crate) const ITEMS: &str = "thalweg_ingest_items_total";
pub(crate) const UNCHANGED: &str = "thalweg_ingest_unchanged_total";
pub(crate) const COLLISIONS: &str = "thalweg_ingest_collisions_total";
pub(crate) const LOCAL_TIMES: &str = "thalweg_ingest_local_times_total";
pub(crate) const TIMES_OUT_OF_RANGE: &str = "thalweg_ingest_times_out_of_range_total";
pub(crate) const NOT_FINITE: &str = "thalweg_ingest_not_finite_total";
pub(crate) const NUMBERS_AS_TEXT: &str = "thalweg_ingest_numbers_as_text_total";
pub(crate) const REPEATED_NAMES: &str = "thalweg_ingest_repeated_names_total";
pub(crate) const RETAINED_EMPTY: &str = "thalweg_ingest_retained_empty_total";
pub(crate) const RETAINED_REPEATED: &str = "thalweg_ingest_retained_repeated_total";
pub(crate) const QUARANTINED: &str = "thalweg_ingest_quarantined_total";
pub(crate) const QUARANTINED_PARTIAL: &str = "thalweg_ingest_quarantined_partial_total";
pub(crate) const QUARANTINE_EVICTED: &str = "thalweg_ingest_quarantine_evicted_total";
pub(crate) const QUARANTINE_REPLAYED: &str = "thalweg_ingest_quarantine_replayed_total";
pub(crate) const QUARANTINE_ENTRIES: &str = "thalweg_ingest_quarantine_entries";
pub(crate) const QUARANTINE_BYTES: &str = "thalweg_ingest_quarantine_bytes";

impl Counts {
    /// Adds what another message counted.
    pub(crate) fn add(&mut self, other: Counts) {
        self.times_out_of_range += other.times_out_of_range;
        self.local_times += other.local_times;
        self.not_finite += other.not_finite;
        self.number_as_text += other.number_as_text;
        self.repeated_names += other.repeated_names;
    }

    /// Moves the counters.
    pub(crate) fn emit(&self) {
        for (name, count) in [
            (TIMES_OUT_OF_RANGE, self.times_out_of_range),
            (LOCAL_TIMES, self.local_times),
            (NOT_FINITE, self.not_finite),
            (NUMBERS_AS_TEXT, self.number_as_text),
            (REPEATED_NAMES, self.repeated_names),
        ] {
            if count > 0 {
                metrics::counter!(name).increment(count);
            }
        }
    }
}
