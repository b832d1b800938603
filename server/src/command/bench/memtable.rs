//! Inserts into a memtable, and nothing else: what a recovery does at least.

use std::time::Instant;

use anyhow::Context;
use item::{Image, Item, Key, KeyAttribute, KeyType, Number, SequenceNumber, Table, TableId, Value, table::Billing};
use serde_json::{Value as Json, json};
use store::memtable::{Memtable, State};

use super::{arguments::MemtableArguments, histogram::rounded};

/// Rows that are made at once, outside of the time that is measured, and inserted at once, as a frame's are.
const FRAME_ROWS: u64 = 1000;
const METRICS: [&str; 10] = ["lat", "lon", "alt", "vel", "hdg", "fuel", "rpm", "oil", "t1", "t2"];

/// Inserts items of 12 attributes, as a put of the other modes has.
pub(super) fn run(arguments: &MemtableArguments) -> anyhow::Result<Json> {
    let table = table();
    let memtable = Memtable::default();
    let (mut inserted, mut image_bytes) = (0, 0);
    let mut took = std::time::Duration::ZERO;
    while inserted < arguments.items {
        let count = FRAME_ROWS.min(arguments.items - inserted);
        let rows = (inserted..inserted + count).map(|number| row(&table, number, arguments.devices));
        let rows = rows.collect::<anyhow::Result<Vec<_>>>()?;
        image_bytes +=
            rows.iter().filter_map(|(_, _, state)| state.image.as_ref()).map(|i| i.bytes().len()).sum::<usize>();
        let began = Instant::now();
        memtable.insert_all(rows.iter().map(|(table, key, state)| (*table, key, state.sequence, state.image.as_ref())));
        took += began.elapsed();
        inserted += count;
    }
    let seconds = took.as_secs_f64().max(1e-9);
    Ok(json!({
        "items": inserted,
        "seconds": seconds,
        "per_second": rounded(inserted as f64 / seconds),
        "bytes_per_item": rounded(memtable.bytes() as f64 / inserted as f64),
        "image_bytes_per_item": rounded(image_bytes as f64 / inserted as f64),
    }))
}

fn table() -> Table {
    Table {
        id: TableId(1000),
        name: "bench".to_owned(),
        version: 1,
        partition_key: KeyAttribute::new("device_id", KeyType::S),
        sort_key: Some(KeyAttribute::new("ts", KeyType::N)),
        sort_key_is_time: false,
        item_key: Vec::new(),
        further_keys: Default::default(),
        settings: Default::default(),
        indexes: Vec::new(),
        stream: None,
        created_at_us: 0,
        billing: Billing::OnDemand,
        deletion_protection: false,
        tags: Default::default(),
    }
}

fn row(table: &Table, number: u64, devices: u64) -> anyhow::Result<(TableId, Key, State)> {
    let (device, step) = (number % devices, number / devices);
    let mut item = Item::new();
    item.insert("device_id", Value::from(format!("bench/a1b2c/{device:07}")));
    item.insert("ts", decimal(1_767_225_600_000 + 1000 * step, 0)?);
    for (at, name) in METRICS.into_iter().enumerate() {
        item.insert(name, decimal(1000 + (device * 37 + step + at as u64 * 911) % 9000, 2)?);
    }
    let key = Key::of_item(table, &item).context("the row's key")?;
    Ok((table.id, key, State { sequence: SequenceNumber(number + 1), image: Some(Image::encode(&item)) }))
}

fn decimal(unscaled: u64, scale: u8) -> anyhow::Result<Value> {
    Ok(Value::Number(Number::from_unscaled(i128::from(unscaled), scale)?))
}
