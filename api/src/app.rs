//! What the routes need, and what one server keeps beside it.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use compactor::Compactor;
use ingest::Ingest;
use jobs::Jobs;
use metrics_exporter_prometheus::PrometheusHandle;
use store::Store;
use streams::Streams;
use tls::Certificate;
use tokio::sync::{Semaphore, watch};

use crate::{Buckets, Config, Keys, Origins, arriving::Arrivals, budget::Budget, metrics::Meter, throttle::Throttle};

/// What the routes need.
#[derive(Clone)]
pub struct App {
    /// The tables and items.
    pub store: Store,
    /// The change streams.
    pub streams: Streams,
    /// Maps and stores rows, and keeps the quarantine.
    pub ingest: Ingest,
    /// Makes cold data.
    pub compactor: Compactor,
    /// What is done in the background.
    pub jobs: Jobs,
    /// Where exports go to and imports come from.
    pub buckets: Buckets,
    /// Who may ask.
    pub keys: Keys,
    /// What clients are shown; without one they are served without TLS.
    pub certificate: Option<Certificate>,
    /// Which origins' pages may ask.
    pub origins: Origins,
    /// Renders the metrics.
    pub metrics: PrometheusHandle,
    /// What `/admin/status` says of this server beside what it can see by itself.
    pub facts: Facts,
    /// Bounds.
    pub config: Config,
    /// What provisioned tables have left.
    pub throttle: Throttle,
}

/// Fixed facts of one running server.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Facts {
    /// Thalweg's version.
    pub version: String,
    /// The data directory, absolute.
    pub data_directory: String,
    /// `fsync` or `memory`.
    pub durability: String,
    /// The MQTT listener's address, if it is on.
    pub mqtt: Option<String>,
    /// When it began to serve, microseconds since 1970.
    pub started_at_us: u64,
}

/// One server: an app, its bounds in use, and the news of its end.
pub struct Service {
    pub(crate) app: App,
    pub(crate) shutdown: watch::Receiver<bool>,
    /// Bytes of request bodies.
    pub(crate) bodies: Budget,
    /// Bytes of request bodies of which it is not known who sends them.
    pub(crate) arrivals: Arrivals,
    /// What request bodies take when they are parsed.
    pub(crate) parsed: Budget,
    /// Answers until they are sent.
    pub(crate) answers: Budget,
    /// One permit a follower of a stream.
    pub(crate) followers: Arc<Semaphore>,
    pub(crate) meter: Meter,
    request_ids: RequestIds,
}

impl Service {
    /// A service for `app` that ends what it streams once `shutdown` turns true.
    pub fn new(app: App, shutdown: watch::Receiver<bool>) -> Service {
        let Config { bodies_bytes_max, parsed_bytes_max, answers_bytes_max, memory_timeout, .. } = app.config;
        let arrivals = Arrivals::new(bodies_bytes_max / 4, memory_timeout);
        let bodies = Budget::new("requests", bodies_bytes_max - bodies_bytes_max / 4, memory_timeout);
        let parsed = Budget::new("parsed requests", parsed_bytes_max, memory_timeout);
        let answers = Budget::new("answers", answers_bytes_max, memory_timeout);
        let followers = Arc::new(Semaphore::new(app.config.followers_max));
        Service {
            app,
            shutdown,
            bodies,
            arrivals,
            parsed,
            answers,
            followers,
            meter: Meter::new(),
            request_ids: RequestIds::new(),
        }
    }

    /// The time, microseconds since 1970.
    pub(crate) fn now_us(&self) -> u64 {
        self.app.store.clock().now_us()
    }

    /// A request id that no other request of this or any other server has.
    pub(crate) fn next_request_id(&self) -> String {
        self.request_ids.next()
    }
}

/// Request ids in DynamoDB's form: 52 capital letters and digits.
struct RequestIds {
    /// Drawn once from the system's randomness.
    prefix: String,
    next: AtomicU64,
}

impl RequestIds {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

    fn new() -> RequestIds {
        let prefix = (0..3u8).map(|part| Self::digits(RandomState::new().hash_one(part))).collect();
        RequestIds { prefix, next: AtomicU64::new(0) }
    }

    fn next(&self) -> String {
        format!("{}{}", self.prefix, Self::digits(self.next.fetch_add(1, Ordering::Relaxed)))
    }

    /// Thirteen digits of base 32.
    fn digits(number: u64) -> String {
        (0..13).rev().map(|place| char::from(Self::ALPHABET[(number >> (5 * place) & 31) as usize])).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_differ_and_have_52_characters() {
        let (one, other) = (RequestIds::new(), RequestIds::new());
        let ids: std::collections::BTreeSet<String> = (0..100).flat_map(|_| [one.next(), other.next()]).collect();
        assert_eq!(ids.len(), 200);
        assert!(ids.iter().all(|id| id.len() == 52 && id.bytes().all(|b| RequestIds::ALPHABET.contains(&b))));
    }
}
