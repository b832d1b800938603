//! An entry of the quarantine, and the item that it is stored as.

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use item::{Item, Number, Value};
use serde_json::json;

use super::ledger::EntryId;
use crate::{Entrance, Received, Rows, StoredTime, message::Message};

/// A message of which something could not be stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub(crate) id: EntryId,
    pub(crate) message: Message,
    /// The first reading's arrival, microseconds since 1970. A replay maps with it again, so its keys are the same.
    pub(crate) arrival_us: u64,
    /// The kind of the first problem.
    pub(crate) kind: String,
    /// What was wrong and where.
    pub(crate) reason: String,
    /// Was a part of the message stored?
    pub(crate) partial: bool,
}

impl Entry {
    /// Its id: 20 digits that sort by time.
    pub fn id(&self) -> String {
        show_id(self.id)
    }

    /// The message as it was received.
    pub fn received(&self) -> &Received {
        &self.message.received
    }

    /// What was wrong and where.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Was a part of the message stored?
    pub fn partial(&self) -> bool {
        self.partial
    }

    /// The entry for people and programs. The payload, if asked for, is `payload` where it is text, else
    /// `payload_base64`.
    pub fn to_json(&self, with_payload: bool) -> serde_json::Value {
        let received = self.received();
        let received_at = jiff::Timestamp::from_microsecond(i64::try_from(self.arrival_us).unwrap_or(i64::MAX));
        let mut entry = json!({
            "id": self.id(),
            "client": &*received.client,
            "entrance": entrance_name(&received.entrance),
            "topic": &*received.topic,
            "kind": self.kind,
            "reason": self.reason,
            "partial": self.partial,
            "received_at": received_at.map(|time| time.to_string()).ok(),
            "payload_bytes": received.payload.len(),
        });
        let mut add = |name: &str, value: serde_json::Value| {
            entry.as_object_mut().expect("made as an object above").insert(name.to_owned(), value);
        };
        if let Entrance::MqttSource(name) | Entrance::NatsSource(name) = &received.entrance {
            add("source", json!(&**name));
        }
        if let Some(line) = self.message.line() {
            add("line", json!(line));
        }
        if with_payload {
            match std::str::from_utf8(&received.payload) {
                Ok(text) => add("payload", json!(text)),
                Err(_) => add("payload_base64", json!(BASE64_STANDARD.encode(&received.payload))),
            }
        }
        entry
    }

    /// The bytes that it counts with: what it carries, and a flat part for the rest.
    pub(crate) fn bytes(message: &Message) -> u64 {
        let received = &message.received;
        (received.payload.len() + received.topic.len() + received.client.len() + 512) as u64
    }

    /// The partition key: the client, shortened to what a key may have, never empty.
    pub(crate) fn account(message: &Message) -> Arc<str> {
        const BYTES_MAX: usize = 512;
        let client = &message.received.client;
        match client.len() {
            0 => "-".into(),
            1..=BYTES_MAX => client.clone(),
            _ => client[..client.floor_char_boundary(BYTES_MAX)].into(),
        }
    }

    pub(crate) fn to_item(&self) -> Item {
        let received = &self.message.received;
        let mut item = Item::new();
        let mut put = |name: &str, value: Value| item.insert(name, value);
        put("client", Value::String(Entry::account(&self.message).to_string()));
        put("id", Value::String(self.id()));
        put("client_id", Value::String(received.client.to_string()));
        put("entrance", Value::String(entrance_name(&received.entrance).to_owned()));
        if let Entrance::MqttSource(name) | Entrance::NatsSource(name) = &received.entrance {
            put("source", Value::String(name.to_string()));
        }
        put("topic", Value::String(received.topic.to_string()));
        put("payload", Value::Binary(received.payload.clone()));
        put("retain", Value::Bool(received.retain));
        put("redelivered", Value::Bool(received.redelivered));
        if let Some(stored) = received.stored {
            put("stored_us", Value::Number(stored.time_us.into()));
            put("stored_sequence", Value::Number(stored.sequence.into()));
        }
        if let Some((rows, line)) = &self.message.row {
            put("rows", rows.to_value());
            put("line", Value::Number((*line).into()));
        }
        put("arrival_us", Value::Number(self.arrival_us.into()));
        put("kind", Value::String(self.kind.clone()));
        put("reason", Value::String(self.reason.clone()));
        put("partial", Value::Bool(self.partial));
        item
    }

    /// Reads an entry back; none if the item is not one.
    pub(crate) fn from_item(item: &Item) -> Option<Entry> {
        let text = |name: &str| match item.get(name)? {
            Value::String(text) => Some(text.as_str()),
            _ => None,
        };
        let whole = |name: &str| match item.get(name)? {
            Value::Number(number) => whole(*number),
            _ => None,
        };
        let flag = |name: &str| item.get(name) == Some(&Value::Bool(true));
        let source = || text("source").map(Arc::from);
        let entrance = match text("entrance")? {
            "mqtt" => Entrance::Listener,
            "mqtt_source" => Entrance::MqttSource(source()?),
            "nats_source" => Entrance::NatsSource(source()?),
            "http" => Entrance::Http,
            "import" => Entrance::Import,
            _ => return None,
        };
        let payload = match item.get("payload")? {
            Value::Binary(bytes) => bytes.clone(),
            _ => return None,
        };
        let stored = whole("stored_us")
            .zip(whole("stored_sequence"))
            .map(|(time_us, sequence)| StoredTime { time_us, sequence });
        let row = match item.get("rows") {
            Some(rows) => Some((Arc::new(Rows::from_value(rows)?), whole("line")?)),
            None => None,
        };
        let received = Received {
            entrance,
            client: text("client_id")?.into(),
            topic: text("topic")?.into(),
            payload: Bytes::clone(&payload),
            retain: flag("retain"),
            redelivered: flag("redelivered"),
            stored,
        };
        Some(Entry {
            id: parse_id(text("id")?)?,
            message: Message { received, row },
            arrival_us: whole("arrival_us")?,
            kind: text("kind")?.to_owned(),
            reason: text("reason")?.to_owned(),
            partial: flag("partial"),
        })
    }
}

/// An id as it is stored and shown.
pub(crate) fn show_id(id: EntryId) -> String {
    format!("{:020}", id.0)
}

/// Reads an id that was shown.
pub(crate) fn parse_id(text: &str) -> Option<EntryId> {
    text.parse().ok().map(EntryId)
}

fn whole(number: Number) -> Option<u64> {
    number.unscaled(0).and_then(|whole| u64::try_from(whole).ok())
}

fn entrance_name(entrance: &Entrance) -> &'static str {
    match entrance {
        Entrance::Listener => "mqtt",
        Entrance::MqttSource(_) => "mqtt_source",
        Entrance::NatsSource(_) => "nats_source",
        Entrance::Http => "http",
        Entrance::Import => "import",
    }
}
