//! Configuration of ingest: `[[source]]`, `[[route]]` and `[ingest]`. Unknown keys are errors.

use std::{collections::BTreeMap, fmt};

use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer, Serialize};

use crate::{
    Error,
    format::Format,
    routes::Routes,
    template::{Path, Template},
    topic::Pattern,
};

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
    /// Where local times are, unless a route says otherwise. Default UTC.
    pub zone: Zone,
    /// Bounds of what is taken from a socket.
    pub limits: Limits,
    /// Bounds of what is kept of readings that could not be mapped.
    pub quarantine: QuarantineLimits,
}

/// Bounds of the quarantine. When it is full, the oldest entries of its noisiest client go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QuarantineLimits {
    /// Bytes of all entries, at least 4 MiB. Default 256 MiB.
    pub bytes_max: u64,
    /// Entries, at least 100. Default 100,000 (each costs about 100 bytes of memory).
    pub entries_max: u64,
}

impl Default for QuarantineLimits {
    fn default() -> Self {
        QuarantineLimits { bytes_max: 256 << 20, entries_max: 100_000 }
    }
}

impl Config {
    /// Reads TOML that has `[[source]]`, `[[route]]` and `[ingest]` only. An error names the line.
    pub fn from_toml(text: &str) -> Result<Config, Error> {
        let config: Config = toml::from_str(text).map_err(|error| Error::Config { what: error.to_string() })?;
        config.check()?;
        Ok(config)
    }

    /// Refuses what cannot work.
    pub fn check(&self) -> Result<(), Error> {
        for (index, source) in self.sources.iter().enumerate() {
            source.check()?;
            if self.sources[..index].iter().any(|earlier| earlier.name == source.name) {
                return Err(source.wrong("another source has this name"));
            }
        }
        let wrong = |what: &str| Err(Error::Config { what: format!("ingest.{what}") });
        let QuarantineLimits { bytes_max, entries_max } = self.settings.quarantine;
        if bytes_max < 4 << 20 {
            return wrong("quarantine.bytes_max must be at least 4 MiB (4194304)");
        }
        if entries_max < 100 {
            return wrong("quarantine.entries_max must be at least 100");
        }
        let limits = self.settings.limits;
        if limits.max_packet_size < 1024 || limits.max_packet_size as u64 > bytes_max / 2 {
            return wrong("limits.max_packet_size must be at least 1024 and at most half of quarantine.bytes_max");
        }
        if limits.message_readings_max == 0
            || limits.batch_readings_max == 0
            || limits.connections_max == 0
            || limits.inflight_max == 0
        {
            return wrong("limits must not be 0");
        }
        Routes::new(self).map(drop)
    }
}

/// Bounds of what is taken from a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// The largest MQTT packet or NATS message, in bytes. Default 1 MiB.
    pub max_packet_size: usize,
    /// Readings of one message, an array of objects; one with more goes to quarantine. Default 10,000.
    pub message_readings_max: usize,
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
            message_readings_max: 10_000,
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
    /// Which topics. A capture `{device}` is the device, `{metric}` names the value.
    pub topic: Pattern,
    /// Only readings of the source of this name. Default any entrance.
    #[serde(default)]
    pub source: Option<String>,
    /// The table, made by the first reading. Default `readings`.
    #[serde(default)]
    pub table: Option<String>,
    /// `auto` (default), `json` or `scalar`.
    #[serde(default)]
    pub format: Format,
    /// The device, such as `"{device}"` or `"{payload.deviceInfo.devEui}"`. Default: the payload's `device_id`, else the
    /// topic.
    #[serde(default)]
    pub device: Option<Template>,
    /// Where in the payload the time may be, in order. Default `["ts", "timestamp", "time"]`.
    #[serde(default)]
    pub time: Option<Times>,
    /// The zone of local times. Default that of `[ingest]`.
    #[serde(default)]
    pub zone: Option<Zone>,
    /// More attributes, each a template such as `"{site}"`.
    #[serde(default)]
    pub attributes: BTreeMap<String, Template>,
    /// The table's partition key attribute. Default `device_id`.
    #[serde(default)]
    pub device_key: Option<String>,
    /// The table's sort key attribute. Default `ts`.
    #[serde(default)]
    pub time_key: Option<String>,
    /// What happens when a reading would change a stored value of the same device and time.
    #[serde(default)]
    pub on_collision: OnCollision,
}

/// What happens when a reading would change a stored value of the same device and time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnCollision {
    /// The newer value wins; it is counted.
    #[default]
    Overwrite,
    /// The stored value stays and the reading goes to quarantine; what does not collide is stored.
    Quarantine,
}

/// One path or several, tried in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Times(pub Vec<Path>);

impl<'de> Deserialize<'de> for Times {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Times, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected a path or a list of paths")]
        enum OneOrMore {
            One(Path),
            More(Vec<Path>),
        }
        Ok(Times(match OneOrMore::deserialize(deserializer)? {
            OneOrMore::One(path) => vec![path],
            OneOrMore::More(paths) => paths,
        }))
    }
}

/// A time zone, by its IANA name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Zone(pub TimeZone);

impl Zone {
    /// The zone of that IANA name.
    pub fn named(name: &str) -> Result<Zone, Error> {
        TimeZone::get(name).map(Zone).map_err(|_| Error::Config { what: format!("there is no time zone `{name}`") })
    }
}

impl Default for Zone {
    fn default() -> Self {
        Zone(TimeZone::UTC)
    }
}

impl TryFrom<String> for Zone {
    type Error = Error;

    fn try_from(name: String) -> Result<Zone, Error> {
        Zone::named(&name)
    }
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

#[cfg(test)]
mod tests;
