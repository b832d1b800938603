//! A reading as it was received, before anyone looked into it.

use std::sync::Arc;

use bytes::Bytes;

/// Where a reading came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entrance {
    /// The embedded MQTT listener.
    Listener,
    /// A `[[source]]` of MQTT, by name.
    MqttSource(Arc<str>),
    /// A `[[source]]` of NATS JetStream, by name.
    NatsSource(Arc<str>),
    /// Rows over HTTP.
    Http,
    /// Rows of `thalweg import`.
    Import,
}

/// When and where JetStream stored a message; the same at every redelivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredTime {
    /// Microseconds since 1970.
    pub time_us: u64,
    /// The message's number in its stream.
    pub sequence: u64,
}

/// One message, as received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Where it came in.
    pub entrance: Entrance,
    /// Who sent it: an MQTT client id, the name of a source, or a peer address. It names the noisy in the quarantine.
    pub client: Arc<str>,
    /// The MQTT topic or the NATS subject, verbatim.
    pub topic: Arc<str>,
    /// What the message carried.
    pub payload: Bytes,
    /// The MQTT RETAIN flag.
    pub retain: bool,
    /// The MQTT DUP flag, or a JetStream redelivery.
    pub redelivered: bool,
    /// JetStream's stored time; none elsewhere.
    pub stored: Option<StoredTime>,
}
