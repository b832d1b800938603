//! The metrics of this crate.

use std::time::Duration;

/// Every metric that this crate emits: name, labels, meaning.
pub const METRICS: &[(&str, &str, &str)] = &[
    (CONNECTIONS, "", "open HTTP connections"),
    (REQUESTS, "operation, outcome", "requests answered; the outcome is the HTTP status or the exception's name"),
    (DURATION, "operation", "seconds from a request's head to its answer, as a histogram"),
    (REQUEST_BYTES, "", "bytes of request bodies, after inflation"),
    (FOLLOWERS, "", "clients that follow a change stream over HTTP"),
];

pub(crate) const CONNECTIONS: &str = "thalweg_http_connections";
pub(crate) const REQUESTS: &str = "thalweg_http_requests_total";
pub(crate) const DURATION: &str = "thalweg_http_request_duration_seconds";
pub(crate) const REQUEST_BYTES: &str = "thalweg_http_request_bytes_total";
pub(crate) const FOLLOWERS: &str = "thalweg_http_followers";

/// Counts one answered request.
pub(crate) fn answered(operation: &'static str, outcome: &'static str, took: Duration) {
    metrics::counter!(REQUESTS, "operation" => operation, "outcome" => outcome).increment(1);
    metrics::histogram!(DURATION, "operation" => operation).record(took.as_secs_f64());
}
