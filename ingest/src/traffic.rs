//! What every entrance counts.

use metrics::{Counter, Gauge};

/// Metrics of entrances: name, meaning. Each has the label `entrance`: `mqtt` for the embedded listener, else the name of
/// the source.
pub const METRICS: &[(&str, &str)] = &[
    (OPEN, "open connections"),
    (CONNECTIONS, "connections accepted or made"),
    (ERRORS, "connections closed for a fault, by label `reason`"),
    (MESSAGES, "messages taken off sockets"),
    (BYTES, "payload bytes of those"),
    (REDELIVERIES, "messages that the sender marked as sent before"),
    (ACKNOWLEDGEMENTS, "acknowledgements given, each after the message became durable"),
    (SUBSCRIPTIONS_REFUSED, "topic filters whose subscription was refused"),
];

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
