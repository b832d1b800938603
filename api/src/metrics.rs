//! The metrics of this crate.

use std::{
    collections::BTreeMap,
    sync::{PoisonError, RwLock},
    time::Duration,
};

use metrics::{Counter, Histogram};
use store::metric::Metric;

/// Every metric that this crate emits, but for those of the process.
pub const METRICS: &[Metric] = &[
    Metric::gauge(CONNECTIONS, "Open HTTP connections"),
    Metric::counter(REQUESTS, "Requests answered; the outcome is the HTTP status or the exception's name")
        .by(&["operation", "outcome"]),
    Metric::histogram(DURATION, "How long requests took, from a request's head to its answer").by(&["operation"]),
    Metric::counter(REQUEST_BYTES, "Bytes of request bodies, after inflation"),
    Metric::gauge(FOLLOWERS, "Clients that follow a change stream over HTTP"),
];

pub(crate) const CONNECTIONS: &str = "thalweg_http_connections";
pub(crate) const REQUESTS: &str = "thalweg_http_requests_total";
pub(crate) const DURATION: &str = "thalweg_http_request_duration_seconds";
pub(crate) const REQUEST_BYTES: &str = "thalweg_http_request_bytes_total";
pub(crate) const FOLLOWERS: &str = "thalweg_http_followers";

/// An operation and its outcome.
type Answer = (&'static str, &'static str);

/// What every request counts. Operations and outcomes are few and fixed; each pair is looked up at its first request.
pub(crate) struct Meter {
    answered: RwLock<BTreeMap<Answer, (Counter, Histogram)>>,
    request_bytes: Counter,
}

impl Meter {
    pub(crate) fn new() -> Meter {
        Meter { answered: RwLock::default(), request_bytes: metrics::counter!(REQUEST_BYTES) }
    }

    /// Counts one answered request.
    pub(crate) fn answered(&self, operation: &'static str, outcome: &'static str, took: Duration) {
        let known = self.answered.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((requests, duration)) = known.get(&(operation, outcome)) {
            requests.increment(1);
            duration.record(took);
            return;
        }
        drop(known);
        let requests = metrics::counter!(REQUESTS, "operation" => operation, "outcome" => outcome);
        let duration = metrics::histogram!(DURATION, "operation" => operation);
        requests.increment(1);
        duration.record(took);
        let mut known = self.answered.write().unwrap_or_else(PoisonError::into_inner);
        known.insert((operation, outcome), (requests, duration));
    }

    /// Counts the body of a request.
    pub(crate) fn read(&self, bytes: usize) {
        self.request_bytes.increment(bytes as u64);
    }
}
