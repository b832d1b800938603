//! What planning counts, looked up once: every write passes here.

use metrics::{Counter, Gauge};

use crate::metric::Metric;

/// What the planner counts.
pub const METRICS: &[Metric] = &[
    Metric::counter(
        "thalweg_planner_lookups_total",
        "Items that planning looked for, by what told: overlay (planned, not yet durable), high_key (newer than all of its \
         partition), memtable, key_range (in no cold file's range), key_block (between keys \
         of cold files that are in memory), row_cache, unneeded (a blind put), parked (only a disk can tell)",
    )
    .by(&["found"]),
    Metric::gauge("thalweg_planner_parked_keys", "Keys that requests wait for: each is one look-up in cold files"),
    Metric::counter("thalweg_planner_failed_lookups_total", "Look-ups in cold files that failed, with the writes behind them"),
    Metric::counter("thalweg_planner_events_total", "Changes planned: each is one event of the log"),
    Metric::counter("thalweg_planner_refused_frames_total", "Frames that the log refused, with all that was planned"),
];

/// Counts what planning does.
pub(super) struct Meter {
    pub(super) overlay: Counter,
    pub(super) high_key: Counter,
    pub(super) memtable: Counter,
    pub(super) key_range: Counter,
    pub(super) key_block: Counter,
    pub(super) row_cache: Counter,
    pub(super) unneeded: Counter,
    pub(super) parked: Counter,
    pub(super) failed: Counter,
    pub(super) events: Counter,
    pub(super) refused: Counter,
    pub(super) parked_keys: Gauge,
}

impl Meter {
    pub(super) fn new() -> Meter {
        let found = |found: &'static str| metrics::counter!("thalweg_planner_lookups_total", "found" => found);
        Meter {
            overlay: found("overlay"),
            high_key: found("high_key"),
            memtable: found("memtable"),
            key_range: found("key_range"),
            key_block: found("key_block"),
            row_cache: found("row_cache"),
            unneeded: found("unneeded"),
            parked: found("parked"),
            failed: metrics::counter!("thalweg_planner_failed_lookups_total"),
            events: metrics::counter!("thalweg_planner_events_total"),
            refused: metrics::counter!("thalweg_planner_refused_frames_total"),
            parked_keys: metrics::gauge!("thalweg_planner_parked_keys"),
        }
    }
}
