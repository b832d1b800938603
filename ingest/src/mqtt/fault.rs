//! Why the server closes an MQTT connection.

/// A reason to close the connection, with its MQTT 5 reason code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The bytes are no packet.
    #[error("malformed packet: {0}")]
    Malformed(&'static str),
    /// The packet is one, but not here, or not with these contents.
    #[error("protocol error: {0}")]
    Protocol(&'static str),
    /// A packet is over the limit.
    #[error("a packet of {bytes} bytes is over max_packet_size = {bytes_max}")]
    TooLarge {
        /// Its length, as its header says.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// QoS 2, which we announce that we do not support (3.1.1 has no way to announce it).
    #[error("QoS 2 is not supported, publish with QoS 0 or 1")]
    QosNotSupported,
    /// A topic alias, which we announce that we do not support.
    #[error("topic aliases are not supported")]
    TopicAlias,
    /// More unacknowledged publishes than the Receive Maximum that we announced.
    #[error("more than receive maximum = {0} publishes are unacknowledged")]
    ReceiveMaximum(u16),
    /// A protocol level other than 4 and 5.
    #[error("protocol level {0} is not supported, use MQTT 3.1.1 or 5")]
    Version(u8),
    /// The client identifier cannot be used.
    #[error("client identifier refused: {0}")]
    ClientId(&'static str),
    /// Enhanced authentication was asked for.
    #[error("enhanced authentication is not supported")]
    Authentication,
    /// No packet came within one and a half times the keep alive.
    #[error("no packet within one and a half times the keep alive")]
    KeepAlive,
    /// No CONNECT came in time.
    #[error("no CONNECT in time")]
    ConnectTimeout,
    /// Another connection uses the same client identifier.
    #[error("another connection took over the client identifier")]
    TakenOver,
    /// The server stops.
    #[error("the server is shutting down")]
    ShuttingDown,
    /// What was received could not be made durable.
    #[error("readings could not be stored")]
    Unavailable,
}

impl Fault {
    /// The reason code of an MQTT 5 DISCONNECT or CONNACK.
    pub fn reason_code(&self) -> u8 {
        match self {
            Fault::Malformed(_) => 0x81,
            Fault::Protocol(_) => 0x82,
            Fault::Version(_) => 0x84,
            Fault::ClientId(_) => 0x85,
            Fault::Authentication => 0x8C,
            Fault::ShuttingDown => 0x8B,
            Fault::KeepAlive | Fault::ConnectTimeout => 0x8D,
            Fault::TakenOver => 0x8E,
            Fault::ReceiveMaximum(_) => 0x93,
            Fault::TopicAlias => 0x94,
            Fault::TooLarge { .. } => 0x95,
            Fault::QosNotSupported => 0x9B,
            Fault::Unavailable => 0x80,
        }
    }

    /// The return code of a 3.1.1 CONNACK that refuses; none if the connection is only closed.
    pub fn return_code(&self) -> Option<u8> {
        match self {
            Fault::Version(_) => Some(0x01),
            Fault::ClientId(_) => Some(0x02),
            Fault::ShuttingDown | Fault::Unavailable => Some(0x03),
            _ => None,
        }
    }

    /// The value of the label `reason` in metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Fault::Malformed(_) => "malformed",
            Fault::Protocol(_) => "protocol",
            Fault::TooLarge { .. } => "too_large",
            Fault::QosNotSupported => "qos",
            Fault::TopicAlias => "topic_alias",
            Fault::ReceiveMaximum(_) => "receive_maximum",
            Fault::Version(_) => "version",
            Fault::ClientId(_) => "client_id",
            Fault::Authentication => "authentication",
            Fault::KeepAlive => "keep_alive",
            Fault::ConnectTimeout => "connect_timeout",
            Fault::TakenOver => "taken_over",
            Fault::ShuttingDown => "shutting_down",
            Fault::Unavailable => "unavailable",
        }
    }

    /// Whether the client did something that it must not.
    pub fn is_clients(&self) -> bool {
        !matches!(self, Fault::TakenOver | Fault::ShuttingDown | Fault::Unavailable)
    }
}
