//! What does an item cost from the memtable to the published files, and which part of it is the flush, which the merge?
//!
//! ```text
//! cargo bench -p compactor --bench cold_path -- [items] [devices]        default: 600000 1000
//! ```
//! Readings of a fleet, in order, of 12 attributes (a PutItem of 296 bytes), are written to a store that seals, flushes and
//! merges as it does in a server. Figures are processor time of the whole process, user and system, on one thread.
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]

use std::{fs, sync::Arc, time::Duration};

use compactor::{Compactor, Config, Step, Task};
use item::{Actor, Item, Key, KeyAttribute, KeyType, Number, Table, TableId, Value, table::Billing};
use rustix::time::{ClockId, clock_gettime};
use store::{
    Store,
    env::{Clock, OsDisk},
    log::Preparation,
    write::{Action, TableWrite, Write},
};

/// As the server's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const METRICS: [&str; 10] = ["lat", "lon", "alt", "vel", "hdg", "fuel", "rpm", "oil", "t1", "t2"];
const FIRST_MS: u64 = 1_767_225_600_000;
const BATCH_ITEMS: u64 = 1000;

/// Time that does not pass: merges come for size, not for age.
struct Still;

impl Clock for Still {
    fn now_us(&self) -> u64 {
        FIRST_MS * 1000
    }
}

#[derive(Default)]
struct Cost {
    jobs: u64,
    rows: u64,
    bytes: u64,
    time: Duration,
}

fn main() {
    let numbers: Vec<u64> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let items = numbers.first().copied().unwrap_or(600_000);
    let devices = numbers.get(1).copied().unwrap_or(1000);
    let root = tempfile::tempdir().unwrap();
    let store_config = store::Config { log_preparation: Preparation::Inline, ..store::Config::default() };
    let disk = Arc::new(OsDisk::open(root.path()).unwrap());
    let (store, mut stepper) = Store::open_stepped(disk, Arc::new(Still), store_config).unwrap();
    let compactor = Compactor::open(store.clone(), Config::default()).unwrap();
    let created = store.submit_table(TableWrite::Create(readings())).unwrap();
    stepper.run();
    let table = created.blocking_recv().unwrap().unwrap().unwrap();

    let (mut flush, mut merge) = (Cost::default(), Cost::default());
    let mut work = || {
        while let Some(task) = compactor.next_task() {
            let cost = if task == Task::Flush { &mut flush } else { &mut merge };
            let start = processor_time();
            let mut job = compactor.start(&task);
            let report = loop {
                if let Step::Done(report) = job.step().unwrap() {
                    break report;
                }
            };
            cost.time += processor_time() - start;
            cost.jobs += 1;
            cost.rows += report.rows;
            cost.bytes += report.bytes;
        }
    };
    for first in (0..items).step_by(BATCH_ITEMS as usize) {
        let numbers = first..items.min(first + BATCH_ITEMS);
        let answers = store.submit(numbers.map(|number| write(&table, reading(number, devices))).collect()).unwrap();
        stepper.run();
        answers.blocking_recv().unwrap().unwrap();
        work();
    }
    let sealed = store.submit_seal();
    stepper.run();
    assert!(sealed.blocking_recv().unwrap());
    work();

    println!("{items} items of {devices} devices; processor time in µs");
    println!("{:<7}{:>6}{:>12}{:>12}{:>10}{:>10}", "", "jobs", "rows", "bytes/row", "per row", "per item");
    for (name, cost) in [("flush", &flush), ("merge", &merge)] {
        let time_us = cost.time.as_secs_f64() * 1e6;
        let rows = cost.rows.max(1) as f64;
        println!(
            "{name:<7}{:>6}{:>12}{:>12.1}{:>10.2}{:>10.2}",
            cost.jobs,
            cost.rows,
            cost.bytes as f64 / rows,
            time_us / rows,
            time_us / items as f64
        );
    }
    println!("total{:>52.2}", (flush.time + merge.time).as_secs_f64() * 1e6 / items as f64);
    let published = root.path().join("cold/tables/readings");
    let mut files: Vec<_> = fs::read_dir(published).unwrap().map(|file| file.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "parquet"));
    let files: Vec<u64> = files.iter().map(|path| path.metadata().unwrap().len()).collect();
    let bytes: u64 = files.iter().sum();
    println!("published: {} files, {:.1} bytes an item", files.len(), bytes as f64 / items as f64);
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap(), u32::try_from(time.tv_nsec).unwrap())
}

fn write(table: &Arc<Table>, item: Item) -> Write {
    let key = Key::of_item(table, &item).unwrap();
    let table = Arc::clone(table);
    Write { table, key, action: Action::Put(item), condition: None, return_old: false, actor: Actor::User }
}

/// Values wander, with a little noise in the last digits.
fn reading(number: u64, devices: u64) -> Item {
    let (device, step) = (number % devices, number / devices);
    let mut item = Item::new();
    item.insert("device_id", Value::from(format!("bench/a1b2c/{device:07}")));
    item.insert("ts", Value::Number(Number::from(FIRST_MS + step * 1000)));
    let mut noise = mixed(number);
    for (metric, name) in (0..).zip(METRICS) {
        let ramp = device * 37 + metric * 911 + step * (1 + metric % 3);
        let hundredths = 1000 + (ramp + (noise & 15)) % 9000;
        noise >>= 5;
        item.insert(name, Value::Number(Number::from_unscaled(i128::from(hundredths), 2).unwrap()));
    }
    item
}

/// A well spread number for each number (splitmix64).
fn mixed(number: u64) -> u64 {
    let number = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let number = (number ^ number >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ number >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ number >> 31
}

fn readings() -> Table {
    Table {
        id: TableId(0),
        name: "readings".to_owned(),
        version: 0,
        partition_key: KeyAttribute::new("device_id", KeyType::S),
        sort_key: Some(KeyAttribute::new("ts", KeyType::N)),
        sort_key_is_time: true,
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
