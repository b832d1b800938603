//! Retained messages: a broker repeats them to every new session, so one that carries no time of its own is stored only
//! if it differs from the last one of its topic. What was last stored is remembered in a system table.
//!
//! The memory is written after the readings are durable. Written with them it could overtake one that waits for a
//! look-up; a crash in between would make the sender's repetition look as if it were stored.

use std::sync::Arc;

use bytes::Bytes;
use item::{Actor, Item, Key, Table, Value, key::PARTITION_BYTES_MAX, table::system};
use store::{
    Direction, PageLimit, SortRange, Store,
    write::{Action, Write},
};

use crate::{Entrance, Error, Received, routes::Mapping, rules::Put};

/// Is `received` a retained message? Only MQTT has them.
pub(crate) fn is_retained(received: &Received) -> bool {
    received.retain && matches!(received.entrance, Entrance::Listener | Entrance::MqttSource(_))
}

/// Does `received` say that a topic has no retained message any more? A broker hands that on to the sessions that it has as an
/// ordinary message without a payload.
pub(crate) fn is_clearing(received: &Received) -> bool {
    received.payload.is_empty() && (is_retained(received) || matches!(received.entrance, Entrance::MqttSource(_)))
}

/// The key of what is remembered of a topic; none if the topic is too long to remember.
pub(crate) fn memory_key(received: &Received) -> Option<String> {
    let source = match &received.entrance {
        Entrance::MqttSource(name) => name,
        _ => "",
    };
    let key = format!("{source}\n{}", received.topic);
    (key.len() <= PARTITION_BYTES_MAX).then_some(key)
}

/// The payload that was last stored, if one is remembered.
pub(crate) async fn recall(store: &Store, memory_key: &str) -> Result<Option<Bytes>, Error> {
    let table = table(store);
    let found = store.get(&table, &key(&table, memory_key)).await?;
    Ok(found.and_then(|item| match item.get("payload") {
        Some(Value::Binary(payload)) => Some(payload.clone()),
        _ => None,
    }))
}

/// The write that remembers a payload.
pub(crate) fn memory(store: &Store, memory_key: &str, payload: &Bytes) -> Write {
    let table = table(store);
    let mut item = Item::new();
    item.insert("topic", Value::String(memory_key.to_owned()));
    item.insert("payload", Value::Binary(payload.clone()));
    let key = key(&table, memory_key);
    Write { table, key, action: Action::Put(item), condition: None, return_old: false, actor: Actor::System }
}

/// Does the device's last item say the same as `put`, but for the time? So it is when a broker repeats what it delivered
/// before it was marked as retained.
pub(crate) async fn is_last(store: &Store, table: &Table, mapping: &Mapping, put: &Put) -> Result<bool, Error> {
    let Ok(key) = Key::of_item(table, &put.item) else {
        return Ok(false);
    };
    let limit = PageLimit { items: 1, ..PageLimit::default() };
    let range = SortRange::default();
    let page = store.query(table, &key.partition, &range, Direction::Backward, None, limit).await?;
    let without_time = |item: &Item| {
        let mut item = item.clone();
        item.remove(&mapping.time_key);
        item
    };
    Ok(page.items.first().is_some_and(|last| without_time(last) == without_time(&put.item)))
}

fn table(store: &Store) -> Arc<Table> {
    store.catalog().by_id(system::RETAINED).expect("system tables are in every catalogue").clone()
}

fn key(table: &Table, memory_key: &str) -> Key {
    let mut item = Item::new();
    item.insert("topic", Value::String(memory_key.to_owned()));
    Key::of_item(table, &item).expect("a memory's key is short and not empty")
}
