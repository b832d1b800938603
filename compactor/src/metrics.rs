//! The metrics of this crate.

use store::{Store, manifest::Place, metric::Metric};

use crate::Task;

/// Every metric that this crate emits.
pub const METRICS: &[Metric] = &[
    Metric::histogram("thalweg_compactor_job_seconds", "How long jobs took that ended well").by(&["job"]),
    Metric::counter("thalweg_compactor_flushes_total", "Sealed sets of memtables written to runs"),
    Metric::counter("thalweg_compactor_flushed_rows_total", "Rows written to runs"),
    Metric::counter("thalweg_compactor_flushed_bytes_total", "Bytes of run files written"),
    Metric::counter("thalweg_compactor_merges_total", "Generations published"),
    Metric::counter("thalweg_compactor_merged_rows_total", "Rows written to generations"),
    Metric::counter("thalweg_compactor_merged_bytes_total", "Bytes of generation files written"),
    Metric::counter("thalweg_compactor_filled_entries_total", "Entries made for new indexes of items that are older"),
    Metric::counter(
        "thalweg_compactor_kept_files_total",
        "Files that went on into a new generation as they were, not read",
    ),
    Metric::counter(
        "thalweg_compactor_copied_files_total",
        "Files that were copied into a new generation undecoded, beside columns that were new",
    ),
    Metric::counter("thalweg_compactor_residual_values_total", "Values written to the residual column of generations"),
    Metric::counter("thalweg_compactor_collected_generations_total", "Old generations removed"),
    Metric::counter(
        "thalweg_compactor_early_trims_total",
        "Times that the log was kept for half as long as before, for its size or because room on the disk was low",
    ),
    Metric::counter("thalweg_compactor_expired_items_total", "Items removed because their time to live was over"),
    Metric::counter("thalweg_compactor_failures_total", "Jobs that failed and will be tried again"),
    Metric::gauge("thalweg_compactor_runs", "Run files that wait to be merged"),
    Metric::gauge("thalweg_compactor_run_bytes", "Bytes of those"),
    Metric::gauge("thalweg_compactor_oldest_run_seconds", "Age of the oldest of those; 0 if there is none"),
    Metric::gauge("thalweg_compactor_generation_files", "Files of published generations"),
    Metric::gauge("thalweg_compactor_generation_bytes", "Bytes of those"),
];

/// Notes how long a job took, in microseconds.
pub(crate) fn finished(task: &Task, took_us: u64) {
    let job = match task {
        Task::Flush => "flush",
        Task::Merge(_) => "merge",
        Task::Fill(_) => "fill",
        Task::Activate(_) => "activate",
        Task::Collect(_) => "collect",
        Task::Protect => "protect",
    };
    metrics::histogram!("thalweg_compactor_job_seconds", "job" => job).record(took_us as f64 / 1e6);
}

/// What waits to be merged, and what is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Run files.
    pub runs: u64,
    /// Bytes of them.
    pub run_bytes: u64,
    /// Age of the oldest, microseconds; 0 if there is none.
    pub oldest_run_us: u64,
    /// Files of published generations.
    pub generation_files: u64,
    /// Bytes of them.
    pub generation_bytes: u64,
}

impl Backlog {
    /// As of now.
    pub fn of(store: &Store) -> Backlog {
        let now_us = store.clock().now_us();
        let mut backlog = Backlog::default();
        for entry in store.manifest().files.values() {
            match entry.place {
                Place::Run => {
                    backlog.runs += 1;
                    backlog.run_bytes += entry.bytes;
                    backlog.oldest_run_us = backlog.oldest_run_us.max(now_us.saturating_sub(entry.written_at_us));
                }
                Place::Generation(_) => {
                    backlog.generation_files += 1;
                    backlog.generation_bytes += entry.bytes;
                }
            }
        }
        backlog
    }

    /// Sets the gauges.
    pub(crate) fn show(self) {
        metrics::gauge!("thalweg_compactor_runs").set(self.runs as f64);
        metrics::gauge!("thalweg_compactor_run_bytes").set(self.run_bytes as f64);
        metrics::gauge!("thalweg_compactor_oldest_run_seconds").set(self.oldest_run_us as f64 / 1e6);
        metrics::gauge!("thalweg_compactor_generation_files").set(self.generation_files as f64);
        metrics::gauge!("thalweg_compactor_generation_bytes").set(self.generation_bytes as f64);
    }
}
