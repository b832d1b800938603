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
    Metric::counter("thalweg_compactor_residual_values_total", "Values written to the residual column of generations"),
    Metric::counter("thalweg_compactor_collected_generations_total", "Old generations removed"),
    Metric::counter(
        "thalweg_compactor_early_trims_total",
        "Times that the log was trimmed before its retention time, for its size",
    ),
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
    };
    metrics::histogram!("thalweg_compactor_job_seconds", "job" => job).record(took_us as f64 / 1e6);
}

/// Sets the gauges.
pub(crate) fn observe(store: &Store) {
    let manifest = store.manifest();
    let (mut runs, mut run_bytes, mut files, mut bytes) = (0_u64, 0, 0_u64, 0);
    let mut oldest_us: Option<u64> = None;
    for entry in manifest.files.values() {
        match entry.place {
            Place::Run => {
                runs += 1;
                run_bytes += entry.bytes;
                oldest_us = Some(oldest_us.map_or(entry.written_at_us, |oldest| oldest.min(entry.written_at_us)));
            }
            Place::Generation(_) => {
                files += 1;
                bytes += entry.bytes;
            }
        }
    }
    let age_us = oldest_us.map_or(0, |oldest| store.clock().now_us().saturating_sub(oldest));
    metrics::gauge!("thalweg_compactor_runs").set(runs as f64);
    metrics::gauge!("thalweg_compactor_run_bytes").set(run_bytes as f64);
    metrics::gauge!("thalweg_compactor_oldest_run_seconds").set(age_us as f64 / 1e6);
    metrics::gauge!("thalweg_compactor_generation_files").set(files as f64);
    metrics::gauge!("thalweg_compactor_generation_bytes").set(bytes as f64);
}
