//! What does a row cost in a memtable, in memory and in time, for each shape that data comes in?
//!
//! `cargo bench -p store --bench memtable`: for each shape, in a process of its own, bytes of memory a row as counted and as
//! the process grew, beside the bytes of its key and image; and nanoseconds of an insert and of a look-up. `-- SHAPE` asks one.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use bytes::Bytes;
use item::{Image, Item, Key, Number, SequenceNumber, TableId, Value};
use store::memtable::{Memtable, State};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const TABLE: TableId = TableId(1000);
const BATCH: u64 = 1000;
const GETS: u64 = 20_000;
/// An odd number: its multiples modulo a power of two are a permutation.
const SCATTER: u64 = 0x9e37_79b9_7f4a_7c15;

/// A shard's share of a memtable set of about 80 MB.
const ROWS: u64 = 1 << 17;
const MEMTABLES: u64 = 8;

/// The partition and sort key of the row of a number.
type Shape = (&'static str, fn(u64) -> (u64, Option<u64>));

const SHAPES: &[Shape] = &[
    ("131,072 devices x 1", |row| (row, Some(0))),
    ("131,072 devices x 1, random", |row| (row.wrapping_mul(SCATTER) % ROWS, Some(0))),
    ("13,108 devices x 10, in turn", |row| (row % 13_108, Some(row / 13_108))),
    ("128 devices x 1,024, in turn", |row| (row % 128, Some(row / 128))),
    ("1 device, random sort keys", |row| (0, Some(row.wrapping_mul(SCATTER) % ROWS))),
    ("128 devices, random sort keys", |row| (row % 128, Some(row.wrapping_mul(SCATTER) % ROWS))),
    ("one item a key, random keys", |row| (row.wrapping_mul(SCATTER) % ROWS, None)),
    ("one key, overwritten", |_| (0, None)),
];

fn main() {
    // Cargo adds `--bench`.
    match std::env::args().skip(1).find(|argument| argument != "--bench") {
        Some(name) => run(SHAPES.iter().find(|shape| shape.0 == name).expect("a shape's name")),
        None => {
            println!(
                "{:<34}{:>8}{:>9}{:>9}{:>7}{:>8}{:>7}",
                "shape", "encoded", "counted", "process", "ratio", "insert", "get"
            );
            let program = std::env::current_exe().expect("this program has a path");
            for (name, ..) in SHAPES {
                let status = Command::new(&program).arg(name).status().expect("this program can be run");
                assert!(status.success(), "{name}");
            }
        }
    }
}

fn run((name, place): &Shape) {
    let before = resident_bytes();
    let mut memtables = Vec::new();
    let (mut encoded, mut inserting, mut getting) = (0, Duration::ZERO, Duration::ZERO);
    for _ in 0..MEMTABLES {
        let memtable = Memtable::default();
        for first in (0..ROWS).step_by(BATCH as usize) {
            let batch: Vec<_> = (first..ROWS.min(first + BATCH)).map(|row| reading(place(row), row)).collect();
            encoded += batch.iter().map(|(_, key, state)| encoded_bytes(key, state)).sum::<usize>();
            let start = Instant::now();
            for (table, key, state) in &batch {
                memtable.insert(*table, key, state);
            }
            inserting += start.elapsed();
        }
        for get in 0..GETS {
            let row = get.wrapping_mul(SCATTER) % ROWS;
            let (_, key, _) = reading(place(row), row);
            let start = Instant::now();
            let found = memtable.get(TABLE, &key);
            getting += start.elapsed();
            assert!(found.is_some());
        }
        memtables.push(memtable);
    }
    let process = resident_bytes().saturating_sub(before);
    let counted = memtables.iter().map(Memtable::bytes).sum();
    let per_row = |bytes: usize| bytes as f64 / (ROWS * MEMTABLES) as f64;
    println!(
        "{name:<34}{:>8.0}{:>9.0}{:>9.0}{:>7.2}{:>8.0}{:>7.0}",
        per_row(encoded),
        per_row(counted),
        per_row(process),
        process as f64 / encoded as f64,
        inserting.as_nanos() as f64 / (ROWS * MEMTABLES) as f64,
        getting.as_nanos() as f64 / (GETS * MEMTABLES) as f64,
    );
}

fn encoded_bytes(key: &Key, state: &State) -> usize {
    key.partition.len() + key.sort.len() + state.image.as_ref().map_or(0, |image| image.bytes().len())
}

/// A reading of ten attributes beside its key, as ingest would make it.
fn reading((device, time): (u64, Option<u64>), row: u64) -> (TableId, Key, State) {
    let number = |value: u64| Value::Number(Number::from(value));
    let name = format!("bench/{:05}/{device:07}", device % 100);
    let time = time.map(|time| 1_767_225_600_000 + time * 1000);
    let mut item = Item::new();
    item.insert("device_id", Value::String(name.clone()));
    if let Some(time) = time {
        item.insert("ts", number(time));
    }
    for (at, name) in ["lat", "lon", "alt", "vel", "hdg", "fuel", "rpm", "oil", "t1", "t2"].iter().enumerate() {
        item.insert(*name, number(1000 + (row + at as u64 * 911) % 9000));
    }
    let sort = time.map(|time| {
        // As long as a number's encoding.
        [&[4u8, 142][..], &time.to_be_bytes()[1..]].concat()
    });
    let partition = [&[1u8][..], name.as_bytes(), &[0, 1]].concat();
    let key = Key { partition: Bytes::from(partition), sort: Bytes::from(sort.unwrap_or_default()) };
    (TABLE, key, State { sequence: SequenceNumber(row + 1), image: Some(Image::encode(&item)) })
}

fn resident_bytes() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let resident = pages.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok());
    resident.expect("the second number") * 4096
}
