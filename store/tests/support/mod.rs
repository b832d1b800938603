//! A store in a temporary directory, and the shortest way to items of a table.
#![allow(dead_code, reason = "each test file uses its part")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::Arc;

use item::{Actor, Item, Key, KeyAttribute, KeyType, Stream, StreamView, Table, TableId, Value, table::Billing};
use store::{
    Config, Store,
    cache::Cache,
    env::{OsClock, OsDisk},
    write::{Action, TableWrite, Write},
};

pub(crate) fn open(dir: &std::path::Path, config: Config) -> Store {
    let disk = OsDisk::open(dir).unwrap();
    Store::open(Arc::new(disk), Arc::new(OsClock), config, Cache::Off).unwrap()
}

/// A table keyed by `device` (S) and `at` (N).
pub(crate) fn readings(name: &str, stream: bool) -> Table {
    let stream = stream.then_some(Stream { view: StreamView::NewAndOldImages, enabled_at_us: 0 });
    Table {
        id: TableId(0),
        name: name.to_owned(),
        version: 0,
        partition_key: KeyAttribute { name: "device".to_owned(), key_type: KeyType::S },
        sort_key: Some(KeyAttribute { name: "at".to_owned(), key_type: KeyType::N }),
        sort_key_is_time: false,
        item_key: Vec::new(),
        further_keys: Default::default(),
        settings: Default::default(),
        indexes: Vec::new(),
        stream,
        created_at_us: 0,
        billing: Billing::OnDemand,
        deletion_protection: false,
        tags: Default::default(),
    }
}

pub(crate) async fn create(store: &Store, table: Table) -> Arc<Table> {
    store.change_table(TableWrite::Create(table)).await.unwrap().unwrap()
}

pub(crate) fn reading(device: &str, at: u64, attributes: &[(&str, Value)]) -> Item {
    let mut item = Item::default();
    item.0.insert("device".to_owned(), Value::String(device.to_owned()));
    item.0.insert("at".to_owned(), number(at));
    for (name, value) in attributes {
        item.0.insert((*name).to_owned(), value.clone());
    }
    item
}

pub(crate) fn number(value: u64) -> Value {
    Value::Number(value.to_string().parse().unwrap())
}

pub(crate) fn key(table: &Table, device: &str, at: u64) -> Key {
    Key::of_item(table, &reading(device, at, &[])).unwrap()
}

pub(crate) fn write(table: &Arc<Table>, item: Item, action: impl FnOnce(Item) -> Action) -> Write {
    Write {
        table: table.clone(),
        key: Key::of_item(table, &item).unwrap(),
        action: action(item),
        condition: None,
        return_old: false,
        actor: Actor::User,
    }
}

pub(crate) fn put(table: &Arc<Table>, item: Item) -> Write {
    write(table, item, Action::Put)
}
