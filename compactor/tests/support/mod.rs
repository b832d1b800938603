//! A store and its compactor in a directory, a clock set by hand, and a model to compare with.
#![allow(dead_code, reason = "each test file uses its part")]

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use compactor::{Compactor, Config};
use item::{Actor, Item, Key, KeyAttribute, KeyType, Number, Table, TableId, Value, table::Billing};
use store::{
    PageLimit, Store,
    cache::Cache,
    env::{Clock, Disk, OsDisk},
    write::{Action, TableWrite, Write},
};

pub(crate) struct TestClock(pub(crate) AtomicU64);

impl TestClock {
    pub(crate) fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Clock for TestClock {
    fn now_us(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

pub(crate) struct Database {
    pub(crate) store: Store,
    pub(crate) compactor: Compactor,
    pub(crate) clock: Arc<TestClock>,
}

pub(crate) const START_US: u64 = 1_700_000_000_000_000;

impl Database {
    pub(crate) fn open(dir: &Path) -> Database {
        Database::open_with(dir, Config::default(), START_US)
    }

    pub(crate) fn open_with(dir: &Path, config: Config, now_us: u64) -> Database {
        Database::open_on(Arc::new(OsDisk::open(dir).unwrap()), Cache::Off, config, now_us)
    }

    pub(crate) fn open_on(disk: Arc<dyn Disk>, cache: Cache, config: Config, now_us: u64) -> Database {
        let clock = Arc::new(TestClock(AtomicU64::new(now_us)));
        // However full the disk is that the tests run on.
        let store_config =
            store::Config { segment_bytes: 1 << 20, shards: 3, disk_low_percent: 0, ..store::Config::default() };
        let store = Store::open(disk, clock.clone(), store_config, cache).unwrap();
        let compactor = Compactor::open(store.clone(), config).unwrap();
        Database { store, compactor, clock }
    }

    /// Ends it, so that the directory can be opened again.
    pub(crate) async fn close(self) {
        self.store.close().await.unwrap();
    }

    pub(crate) async fn create(&self, name: &str) -> Arc<Table> {
        self.store.change_table(TableWrite::Create(readings(name))).await.unwrap().unwrap()
    }

    pub(crate) async fn drop_table(&self, name: &str) {
        self.store.change_table(TableWrite::Delete(name.to_owned())).await.unwrap().unwrap();
    }

    pub(crate) async fn write(&self, table: &Arc<Table>, items: Vec<(Item, Action)>) {
        let write = |(item, action): (Item, Action)| Write {
            table: table.clone(),
            key: Key::of_item(table, &item).unwrap(),
            action,
            condition: None,
            return_old: false,
            actor: Actor::User,
        };
        for answer in self.store.write(items.into_iter().map(write).collect()).await.unwrap() {
            answer.unwrap();
        }
    }

    pub(crate) async fn put(&self, table: &Arc<Table>, items: Vec<Item>) {
        self.write(table, items.into_iter().map(|item| (item.clone(), Action::Put(item))).collect()).await;
    }

    pub(crate) async fn remove(&self, table: &Arc<Table>, keys: Vec<Item>) {
        self.write(table, keys.into_iter().map(|item| (item, Action::Remove)).collect()).await;
    }

    /// Every item of a table, by key, as a scan tells it.
    pub(crate) async fn scan(&self, table: &Table) -> BTreeMap<Key, Item> {
        let mut items = BTreeMap::new();
        let mut after = None;
        loop {
            let page = self.store.scan(table, 0..1024, after.as_ref(), PageLimit::default()).await.unwrap();
            items.extend(page.items.into_iter().map(|item| (Key::of_item(table, &item).unwrap(), item)));
            after = page.last_key;
            if after.is_none() {
                return items;
            }
        }
    }
}

/// A table keyed by `device` (S) and `ts` (N, time).
pub(crate) fn readings(name: &str) -> Table {
    Table {
        id: TableId(0),
        name: name.to_owned(),
        version: 0,
        partition_key: KeyAttribute::new("device", KeyType::S),
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

pub(crate) fn number(text: &str) -> Value {
    Value::Number(text.parse::<Number>().unwrap())
}

pub(crate) fn reading(device: u64, ts: u64, value: &str) -> Item {
    let mut item = Item::new();
    item.insert("device", Value::from(format!("device-{device}")));
    item.insert("ts", number(&ts.to_string()));
    item.insert("value", number(value));
    item
}

/// Copies a data directory as a process that dies leaves it.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            copy(&entry.path(), &target);
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(std::fs::read_link(entry.path()).unwrap(), target).unwrap();
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Names of the data files under `cold/tables/<table>/`, through the link.
pub(crate) fn published(dir: &Path, table: &str) -> Vec<String> {
    // Resolved once, so that what is read is of one generation.
    let Ok(generation) = std::fs::canonicalize(dir.join("cold/tables").join(table)) else { return Vec::new() };
    assert!(generation.join("_current.json").exists());
    files_in(&generation)
}

/// Names of the data files of a generation, which are those of its list if it has one.
pub(crate) fn files_in(generation: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(generation).into_iter().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let lists: Vec<String> = names.extract_if(.., |name| name.starts_with('_')).collect();
    if !lists.is_empty() {
        assert_eq!(lists, ["_current.csv", "_current.json"]);
        let list = std::fs::read_to_string(generation.join("_current.csv")).unwrap();
        let paths = list.lines().skip(1).map(|line| line.split(',').next().unwrap());
        let listed: Vec<&str> = paths.map(|path| path.rsplit('/').next().unwrap()).collect();
        assert_eq!(listed, names, "the list names the files that are there");
    }
    names
}
