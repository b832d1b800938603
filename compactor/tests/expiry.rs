//! What has expired goes, hot and cold, and nothing else does; each removal is an event of its own.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
};

use compactor::{Expirer, Step, Task};
use item::{Actor, Change, Event, Item, Key, Stream, StreamView, Table, Value};
use store::write::TableWrite;
use support::{Database, START_US, number, reading, readings};

const START_S: u64 = START_US / 1_000_000;
const FIVE_YEARS_S: u64 = 5 * 365 * 24 * 3600;

fn expiring(device: u64, ts: u64, expires: Value) -> Item {
    let mut item = reading(device, ts, "1");
    item.insert("expires", expires);
    item
}

async fn set_expiry(database: &Database, attribute: Option<&str>) -> Arc<Table> {
    let change = TableWrite::SetExpiry("readings".to_owned(), attribute.map(str::to_owned));
    database.store.change_table(change).await.unwrap().unwrap()
}

fn has_expired(item: &Item, now_s: u64) -> bool {
    match item.get("expires") {
        Some(Value::Number(at)) => *at <= now_s.into() && *at >= (now_s - FIVE_YEARS_S).into(),
        _ => false,
    }
}

/// Numbers by a seed: a linear congruential generator, its better half.
struct Draws(u64);

impl Draws {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    /// A value that may say when an item expires, near now often.
    fn time(&mut self) -> Value {
        match self.below(7) {
            0 => number(&format!("{}.5", START_S + self.below(200))),
            1 => number(&(START_S - FIVE_YEARS_S + self.below(200)).to_string()),
            2 => [number("-1"), number("9e125"), Value::from("soon"), Value::Null][self.below(4) as usize].clone(),
            _ => number(&(START_S + self.below(200)).to_string()),
        }
    }
}

/// Flushes, merges and fills all that waits.
async fn settle(database: &Database) {
    assert!(database.store.seal().await.unwrap());
    while let Some(task) = database.compactor.next_task().filter(|task| !matches!(task, Task::Activate(_))) {
        let mut job = database.compactor.start(&task);
        while job.step().unwrap() == Step::More {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_holds_what_has_not_expired_at_every_moment() {
    for seed in 0..4 {
        let root = tempfile::tempdir().unwrap();
        let database = Database::open(root.path());
        database.create("readings").await;
        let mut draws = Draws(seed);
        let mut model: BTreeMap<Key, Item> = BTreeMap::new();
        let mut expirer = Expirer::new(database.store.clone());
        let (mut expired, mut gone) = (0, 0);
        for step in 0..60 {
            // With odd seeds some items are older than the time to live.
            if step == 10 * (seed % 2) {
                set_expiry(&database, Some("expires")).await;
            }
            let table = database.store.catalog().by_name("readings").unwrap().clone();
            let items: Vec<Item> =
                (0..draws.below(40)).map(|_| expiring(draws.below(12), draws.below(40), draws.time())).collect();
            model.extend(items.iter().map(|item| (Key::of_item(&table, item).unwrap(), item.clone())));
            database.put(&table, items).await;
            let now_s = START_S + step * 4;
            database.clock.0.store(now_s * 1_000_000, Ordering::Relaxed);
            let is_whole = step > 15 && draws.below(3) == 0;
            if is_whole {
                settle(&database).await;
                expirer = Expirer::new(database.store.clone());
            }
            expired += expirer.sweep(now_s).await.unwrap();
            let held = database.scan(&table).await;
            let before = model.len();
            // A sweep that goes on from the one before may leave what was written since with an earlier time, or what is not
            // in the index yet.
            model.retain(|key, item| !has_expired(item, now_s) || !is_whole && held.contains_key(key));
            gone += before - model.len();
            let differs = held.iter().find(|(key, item)| model.get(*key) != Some(*item));
            assert!(held.len() == model.len() && differs.is_none(), "seed {seed}, step {step}: {differs:?}");
        }
        assert!(gone > 100 && expired == gone as u64, "seed {seed}: {expired} removed, {gone} gone");
        database.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_expiry_is_told_once_as_the_service_s_own() {
    let root = tempfile::tempdir().unwrap();
    let database = Database::open(root.path());
    let stream = Some(Stream { view: StreamView::NewAndOldImages, enabled_at_us: 0 });
    let table = Table { stream, ..readings("readings") };
    database.store.change_table(TableWrite::Create(table)).await.unwrap().unwrap();
    let table = set_expiry(&database, Some("expires")).await;
    let items = |range: std::ops::Range<u64>| range.map(|at| expiring(at, 0, number(&START_S.to_string()))).collect();
    database.put(&table, items(0..200)).await;
    let mut expirer = Expirer::new(database.store.clone());
    assert_eq!(expirer.sweep(START_S - 1).await.unwrap(), 0);
    assert_eq!(expirer.sweep(START_S).await.unwrap(), 200);
    assert_eq!(expirer.sweep(START_S).await.unwrap(), 0);
    let mut told = 0;
    let log = database.store.log();
    let mut next = log.trim_point();
    while next < log.tail() {
        for frame in log.read(next, 1 << 20).unwrap() {
            next = frame.number.next();
            let removed = |event: &Event| matches!(event.change, Change::Remove { .. });
            for event in Event::decode_all(&frame.body).unwrap().into_iter().filter(removed) {
                assert_eq!(event.actor, Actor::Ttl);
                told += 1;
            }
        }
    }
    assert_eq!(told, 200);
    database.close().await;
}

/// All that had expired of one table was removed before the next one had its turn, however long that took.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_which_much_expires_does_not_delay_another() {
    let root = tempfile::tempdir().unwrap();
    let database = Database::open(root.path());
    let mut tables = Vec::new();
    for (name, items) in [("large", 3000), ("small", 10)] {
        database.create(name).await;
        let change = TableWrite::SetExpiry(name.to_owned(), Some("expires".to_owned()));
        let table = database.store.change_table(change).await.unwrap().unwrap();
        let expired = (0..items).map(|at| expiring(at, 0, number(&START_S.to_string()))).collect();
        database.put(&table, expired).await;
        tables.push(table.id);
    }
    assert_eq!(Expirer::new(database.store.clone()).sweep(START_S).await.unwrap(), 3010);
    let mut removed = Vec::new();
    let log = database.store.log();
    let mut next = log.trim_point();
    while next < log.tail() {
        for frame in log.read(next, 1 << 20).unwrap() {
            next = frame.number.next();
            let events = Event::decode_all(&frame.body).unwrap().into_iter();
            removed.extend(events.filter(|event| event.actor == Actor::Ttl).map(|event| event.table));
        }
    }
    assert_eq!(removed.len(), 3010);
    let last = removed.iter().rposition(|table| *table == tables[1]).unwrap();
    assert!(last < 500, "{last}");
    database.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_time_to_live_nothing_expires() {
    let root = tempfile::tempdir().unwrap();
    let database = Database::open(root.path());
    database.create("readings").await;
    let table = set_expiry(&database, Some("expires")).await;
    let refused =
        database.store.change_table(TableWrite::SetExpiry("readings".to_owned(), Some("ts".to_owned()))).await;
    assert!(refused.unwrap().is_err(), "a table has one time to live");
    database.put(&table, vec![expiring(1, 1, number("1600000000"))]).await;
    set_expiry(&database, None).await;
    assert_eq!(Expirer::new(database.store.clone()).sweep(START_S).await.unwrap(), 0);
    database.close().await;
    // And so it stays over a restart.
    let database = Database::open(root.path());
    let table = database.store.catalog().by_name("readings").unwrap().clone();
    assert!(table.expiry().is_none());
    assert_eq!(database.scan(&table).await.len(), 1);
    // By a key attribute as well: readings are of 1970 otherwise.
    let table = set_expiry(&database, Some("ts")).await;
    database.put(&table, vec![reading(2, START_S - 5, "1"), reading(2, START_S + 5, "1")]).await;
    let mut expirer = Expirer::new(database.store.clone());
    assert_eq!(expirer.sweep(START_S).await.unwrap(), 1);
    assert_eq!(database.scan(&table).await.len(), 2);
    database.close().await;
}
