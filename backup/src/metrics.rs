//! The metrics of this crate.

use store::metric::Metric;

/// Every metric that this crate emits.
pub const METRICS: &[Metric] = &[
    Metric::gauge("thalweg_backup_backups", "Backups that there are, those of deleted tables included"),
    Metric::gauge("thalweg_backup_tables", "Tables with continuous backups"),
    Metric::gauge("thalweg_backup_history_bytes", "Bytes of the history of those tables"),
    Metric::gauge(
        "thalweg_backup_unrecorded_frames",
        "Flushed frames that history does not have yet: the log keeps them",
    ),
    Metric::counter("thalweg_backup_bases_total", "Tables linked as they were, for backups and continuous backups"),
    Metric::counter("thalweg_backup_history_bytes_total", "Bytes of history written"),
];
