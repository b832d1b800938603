//! What every entrance counts.

use metrics::{Counter, Gauge, Histogram};
use store::metric::Metric;

/// Metrics of entrances. The entrance is `mqtt` for the embedded listener, else the name of the source.
pub const METRICS: &[Metric] = &[
    Metric::gauge(OPEN, "Open connections").by(&["entrance"]),
    Metric::counter(CONNECTIONS, "Connections accepted or made").by(&["entrance"]),
    Metric::counter(ERRORS, "Connections closed for a fault").by(&["entrance", "reason"]),
    Metric::counter(MESSAGES, "Messages taken off sockets").by(&["entrance"]),
    Metric::counter(BYTES, "Payload bytes of those").by(&["entrance"]),
    Metric::counter(REDELIVERIES, "Messages that the sender marked as sent before").by(&["entrance"]),
    Metric::counter(ACKNOWLEDGEMENTS, "Acknowledgements given, each after the message became durable")
        .by(&["entrance"]),
    Metric::counter(SUBSCRIPTIONS_REFUSED, "Topic filters whose subscription was refused").by(&["entrance"]),
    Metric::histogram(DURATION, "How long batches of messages took from their mapping until they were durable")
        .by(&["entrance"]),
];

const DURATION: &str = "thalweg_entrance_batch_seconds";
const OPEN: &str = "thalweg_entrance_connections";
const CONNECTIONS: &str = "thalweg_entrance_connections_total";
const ERRORS: &str = "thalweg_entrance_connection_errors_total";
const MESSAGES: &str = "thalweg_entrance_messages_total";
const BYTES: &str = "thalweg_entrance_message_bytes_total";
const REDELIVERIES: &str = "thalweg_entrance_redeliveries_total";
const ACKNOWLEDGEMENTS: &str = "thalweg_entrance_acknowledgements_total";
const SUBSCRIPTIONS_REFUSED: &str = "thalweg_entrance_subscriptions_refused_total";

/// The metrics of one entrance.
#[derive(Clone)]
pub(crate) struct Traffic {
    entrance: String,
    open: Gauge,
    connections: Counter,
    messages: Counter,
    bytes: Counter,
    redeliveries: Counter,
    pub(crate) acknowledgements: Counter,
    pub(crate) subscriptions_refused: Counter,
    pub(crate) duration: Histogram,
}

impl Traffic {
    pub(crate) fn of(entrance: &str) -> Traffic {
        let entrance = entrance.to_owned();
        let counter = |name: &'static str| metrics::counter!(name, "entrance" => entrance.clone());
        Traffic {
            open: metrics::gauge!(OPEN, "entrance" => entrance.clone()),
            connections: counter(CONNECTIONS),
            messages: counter(MESSAGES),
            bytes: counter(BYTES),
            redeliveries: counter(REDELIVERIES),
            acknowledgements: counter(ACKNOWLEDGEMENTS),
            subscriptions_refused: counter(SUBSCRIPTIONS_REFUSED),
            duration: metrics::histogram!(DURATION, "entrance" => entrance.clone()),
            entrance,
        }
    }

    /// Counts a connection, open until the answer is dropped.
    pub(crate) fn connected(&self) -> Connected {
        self.connections.increment(1);
        self.open.increment(1.0);
        Connected(self.open.clone())
    }

    /// Counts a batch of messages.
    pub(crate) fn received(&self, batch: &[crate::Received]) {
        self.messages.increment(batch.len() as u64);
        self.bytes.increment(batch.iter().map(|received| received.payload.len() as u64).sum());
        self.redeliveries.increment(batch.iter().filter(|received| received.redelivered).count() as u64);
    }

    /// Counts a connection that was closed for `reason`.
    pub(crate) fn error(&self, reason: &'static str) {
        let entrance = self.entrance.clone();
        metrics::counter!(ERRORS, "entrance" => entrance, "reason" => reason).increment(1);
    }
}

/// An open connection, as counted.
pub(crate) struct Connected(Gauge);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}
