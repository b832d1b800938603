//! Streams over a memory log with frames made by hand.

mod follow;
mod indexed_log;
mod read;
mod shards;

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

use item::{
    Actor, Change, Event, Image, Item, Key, KeyAttribute, KeyType, Number, Old, SequenceNumber, ShardId, Stream,
    StreamView, Table, TableId, table::Billing,
};
use store::{
    Catalog,
    env::Clock,
    log::{Body, Draft, FrameNumber, Log, MemoryLog},
};
use tokio::sync::watch;

use crate::{Reader, Record, StreamName, reader::Source};

pub(crate) const SHARDS: u16 = 4;
/// 2026-11-22T07:00:00.000 in microseconds.
pub(crate) const START_US: u64 = 1_795_330_800_000_000;

#[derive(Debug)]
struct TestClock(AtomicU64);

impl Clock for TestClock {
    fn now_us(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A store's log, catalogue, clock and applied point, moved by hand.
pub(crate) struct World {
    pub(crate) log: Arc<MemoryLog>,
    clock: Arc<TestClock>,
    catalog: Arc<Mutex<Arc<Catalog>>>,
    applied: watch::Sender<FrameNumber>,
    next: Vec<SequenceNumber>,
    pub(crate) streams: Reader,
}

impl World {
    pub(crate) fn new() -> World {
        let log = Arc::new(MemoryLog::new(SHARDS));
        let clock = Arc::new(TestClock(AtomicU64::new(START_US)));
        let catalog = Arc::new(Mutex::new(Arc::new(Catalog::default())));
        let (applied, receiver) = watch::channel(log.tail());
        let seen = catalog.clone();
        let streams = Reader::over(Source {
            log: log.clone(),
            applied: receiver,
            catalog: Arc::new(move || seen.lock().unwrap().clone()),
            clock: clock.clone(),
        });
        let next = vec![SequenceNumber(1); usize::from(SHARDS)];
        World { log, clock, catalog, applied, next, streams }
    }

    /// The same log as another process would see it.
    pub(crate) fn reopened(&self) -> Reader {
        self.reopened_as(self.log.clone())
    }

    /// The same, through `log`.
    pub(crate) fn reopened_as(&self, log: Arc<dyn Log>) -> Reader {
        let catalog = self.catalog.clone();
        Reader::over(Source {
            log,
            applied: self.applied.subscribe(),
            catalog: Arc::new(move || catalog.lock().unwrap().clone()),
            clock: self.clock.clone(),
        })
    }

    pub(crate) fn pass(&self, us: u64) {
        self.clock.0.fetch_add(us, Ordering::Relaxed);
    }

    pub(crate) fn now_us(&self) -> u64 {
        self.clock.now_us()
    }

    /// Appends one frame with these changes, and applies it.
    pub(crate) fn append(&mut self, table: &Arc<Table>, changes: Vec<(ShardId, Change)>) -> FrameNumber {
        let number = self.append_unapplied(table, changes);
        self.apply();
        number
    }

    pub(crate) fn append_unapplied(&mut self, table: &Arc<Table>, changes: Vec<(ShardId, Change)>) -> FrameNumber {
        let first_sequences = self.next.clone();
        let mut body = Vec::new();
        for (shard, change) in changes {
            let next = &mut self.next[usize::from(shard.0)];
            let event = Event {
                shard,
                sequence: *next,
                actor: Actor::User,
                table: table.id,
                schema_version: table.version,
                change,
            };
            event.encode(&mut body);
            next.0 += 1;
        }
        let draft = Draft { committed_at_us: self.now_us(), first_sequences, body: Body::from(body) };
        self.log.append(draft).unwrap()
    }

    pub(crate) fn apply(&self) {
        self.applied.send_replace(self.log.tail());
    }

    /// One event in every shard.
    pub(crate) fn change_table(&mut self, table: &Arc<Table>, change: &Change) {
        let mut catalog = Catalog::clone(&self.catalog.lock().unwrap());
        match change {
            Change::PutTable(table) => catalog.put(table.clone()),
            _ => catalog.remove(table.id),
        }
        self.append(table, (0..SHARDS).map(|shard| (ShardId(shard), change.clone())).collect());
        *self.catalog.lock().unwrap() = Arc::new(catalog);
    }

    /// Makes a table with its stream on.
    pub(crate) fn create(&mut self, id: u32, name: &str, view: StreamView) -> Arc<Table> {
        let stream = Some(Stream { view, enabled_at_us: self.now_us() });
        let table = Arc::new(Table {
            id: TableId(id),
            name: name.to_owned(),
            version: 1,
            partition_key: KeyAttribute::new("device_id", KeyType::S),
            sort_key: Some(KeyAttribute::new("ts", KeyType::N)),
            sort_key_is_time: true,
            item_key: Vec::new(),
            further_keys: Default::default(),
            settings: Default::default(),
            indexes: Vec::new(),
            stream,
            created_at_us: self.now_us(),
            billing: Billing::OnDemand,
            deletion_protection: false,
            tags: Default::default(),
        });
        self.change_table(&table, &Change::PutTable(table.clone()));
        table
    }

    /// Turns the stream of `table` on, off, or on again under a new label.
    pub(crate) fn set_stream(&mut self, table: &Arc<Table>, view: Option<StreamView>) -> Arc<Table> {
        let stream = view.map(|view| Stream { view, enabled_at_us: self.now_us() });
        let changed = Arc::new(Table { stream, version: table.version + 1, ..Table::clone(table) });
        self.change_table(&changed, &Change::PutTable(changed.clone()));
        changed
    }

    /// Appends `count` frames, each with one put of reading `from + n` in shard `shard`.
    pub(crate) fn put_readings(&mut self, table: &Arc<Table>, shard: u16, readings: std::ops::Range<i64>) {
        for reading in readings {
            self.append(table, vec![(ShardId(shard), put(table, reading, Old::Absent))]);
        }
    }
}

pub(crate) fn reading(reading: i64) -> Item {
    Item(
        [
            ("device_id".to_owned(), "d1".into()),
            ("ts".to_owned(), Number::from(reading).into()),
            ("value".to_owned(), "x".into()),
        ]
        .into(),
    )
}

pub(crate) fn put(table: &Table, number: i64, old: Old) -> Change {
    let item = reading(number);
    Change::Put { key: Key::of_item(table, &item).unwrap(), new: Image::encode(&item), old }
}

pub(crate) fn remove(table: &Table, number: i64) -> Change {
    let item = reading(number);
    Change::Remove { key: Key::of_item(table, &item).unwrap(), old: Old::Image(Image::encode(&item)) }
}

/// The time of a record's key, as written by [`reading`].
pub(crate) fn ts(record: &Record) -> i64 {
    match record.keys.get("ts") {
        Some(item::Value::Number(number)) => number.to_string().parse().unwrap(),
        other => panic!("the sort key is a number: {other:?}"),
    }
}

pub(crate) fn name(table: &Table) -> StreamName {
    StreamName::new(table, table.stream.as_ref().unwrap())
}

/// The id of a shard of the stream that is on for `table`.
pub(crate) fn shard(table: &Table, shard: u16) -> String {
    crate::shards::shard_id(table.stream.as_ref().unwrap(), ShardId(shard))
}
