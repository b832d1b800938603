//! Configuration of ingest: `[[source]]`, `[[route]]` and `[ingest]`. Unknown keys are errors.

use std::fmt;

use serde::Deserialize;

use crate::Error;

/// Everything that ingest can be told. The default takes every topic by the built-in rules.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `[[source]]`: brokers that we connect to.
    #[serde(rename = "source")]
    pub sources: Vec<Source>,
    /// `[[route]]`: how topics and payloads become items. The first route that matches wins.
    #[serde(rename = "route")]
    pub routes: Vec<Route>,
    /// `[ingest]`: limits and defaults.
    #[serde(rename = "ingest")]
    pub settings: Settings,
}

/// `[ingest]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Bounds of what is taken from a socket.
    pub limits: Limits,
}

/// Bounds of what is taken from a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// The largest MQTT packet or NATS message, in bytes. Default 1 MiB.
    pub max_packet_size: usize,
    /// Readings of one batch. Default 4096.
    pub batch_readings_max: usize,
    /// Payload bytes of one batch. Default 4 MiB.
    pub batch_bytes_max: usize,
    /// Connections of the MQTT listener. Default 10,000.
    pub connections_max: usize,
    /// Readings that one connection may have unacknowledged (MQTT 5 Receive Maximum; MQTT 3.1.1: we stop reading its
    /// socket). Default 1024.
    pub inflight_max: u16,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_packet_size: 1 << 20,
            batch_readings_max: 4096,
            batch_bytes_max: 4 << 20,
            connections_max: 10_000,
            inflight_max: 1024,
        }
    }
}

/// `[[source]]`: a broker that we connect to.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Its name in logs, metrics and the quarantine; also the default client id and durable name. Unique.
    pub name: String,
    /// `mqtt://host:1883` or `nats://host:4222`.
    pub url: url::Url,
    /// User name, if the broker wants one.
    #[serde(default)]
    pub username: Option<String>,
    /// Password or token that goes with it.
    #[serde(default)]
    pub password: Option<Secret>,
    /// MQTT: the topic filters to subscribe to. Default `#`.
    #[serde(default)]
    pub topics: Vec<String>,
    /// MQTT: the client id of the persistent session. Default `thalweg-<name>`.
    #[serde(default)]
    pub client_id: Option<String>,
    /// NATS: the JetStream stream to consume. Required there.
    #[serde(default)]
    pub stream: Option<String>,
    /// NATS: only these subjects of the stream. Default all.
    #[serde(default)]
    pub subjects: Vec<String>,
    /// NATS: the durable consumer's name. Default `thalweg-<name>`.
    #[serde(default)]
    pub durable: Option<String>,
}

/// What a source speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// `mqtt://`
    Mqtt,
    /// `nats://`
    Nats,
}

impl Source {
    /// What it speaks, by its URL's scheme.
    pub fn kind(&self) -> Result<SourceKind, Error> {
        match self.url.scheme() {
            "mqtt" => Ok(SourceKind::Mqtt),
            "nats" => Ok(SourceKind::Nats),
            other => Err(self.wrong(format!("scheme `{other}` is not known, use mqtt:// or nats://"))),
        }
    }

    /// Refuses what cannot work.
    pub fn check(&self) -> Result<(), Error> {
        match self.kind()? {
            SourceKind::Mqtt if self.stream.is_some() || self.durable.is_some() || !self.subjects.is_empty() => {
                Err(self.wrong("`stream`, `subjects` and `durable` are for nats:// sources"))
            }
            SourceKind::Nats if !self.topics.is_empty() || self.client_id.is_some() => {
                Err(self.wrong("`topics` and `client_id` are for mqtt:// sources"))
            }
            SourceKind::Nats if self.stream.is_none() => Err(self.wrong("a nats:// source needs `stream`")),
            _ => Ok(()),
        }
    }

    fn wrong(&self, what: impl fmt::Display) -> Error {
        Error::Config { what: format!("source `{}`: {what}", self.name) }
    }
}

/// `[[route]]`: how the readings of some topics become items.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Which topics.
    pub topic: String,
}

/// Text that is not shown in logs.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}
