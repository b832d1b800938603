//! The metrics of this crate.

use store::metric::Metric;

/// Every metric that this crate emits.
pub const METRICS: &[Metric] = &[
    Metric::gauge(RUNNING, "Background jobs that are not over: at work, or waiting for their turn"),
    Metric::counter(ENDED, "Background jobs that are over; the outcome is completed or failed")
        .by(&["kind", "outcome"]),
    Metric::counter(RETRIES, "Attempts of background jobs that stopped, and are made again from their checkpoint")
        .by(&["kind"]),
];

pub(crate) const RUNNING: &str = "thalweg_jobs_running";
pub(crate) const ENDED: &str = "thalweg_jobs_ended_total";
pub(crate) const RETRIES: &str = "thalweg_jobs_retries_total";

/// Outcomes of [`ENDED`].
pub(crate) const COMPLETED: &str = "completed";
pub(crate) const FAILED: &str = "failed";
