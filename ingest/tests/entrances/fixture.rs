//! A store on a disk of its own, with ingest in front of it.

use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

use ingest::{Config, Ingest};
use item::{Item, Value};
use store::{
    PageLimit, Store,
    cache::Cache,
    env::{OsClock, OsDisk},
};
use tempfile::TempDir;
use tokio::sync::watch;

use crate::disk::{Gate, GatedDisk};

/// Nothing in these tests takes longer.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(40), future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not within 40 s"),
    }
}

pub(crate) struct Fixture {
    pub(crate) store: Store,
    pub(crate) ingest: Ingest,
    pub(crate) gate: Gate,
    pub(crate) stop: watch::Sender<bool>,
    _directory: TempDir,
}

impl Fixture {
    pub(crate) fn open() -> Fixture {
        let directory = TempDir::new().unwrap();
        let gate = Gate::new();
        let disk = GatedDisk { inner: OsDisk::open(directory.path()).unwrap(), gate: gate.clone() };
        let config = store::Config { segment_bytes: 4 << 20, ..store::Config::default() };
        let store = Store::open(Arc::new(disk), Arc::new(OsClock), config, Cache::Off).unwrap();
        let ingest = Ingest::new(store.clone(), Config::default()).unwrap();
        Fixture { store, ingest, gate, stop: watch::Sender::new(false), _directory: directory }
    }

    /// The items of table `readings`.
    pub(crate) async fn items(&self) -> Vec<Item> {
        let Some(table) = self.store.catalog().by_name("readings").cloned() else { return vec![] };
        let (mut items, mut after) = (Vec::new(), None);
        loop {
            let page = self.store.scan(&table, 0..1024, after.as_ref(), PageLimit::default()).await.unwrap();
            items.extend(page.items);
            after = page.last_key;
            if after.is_none() {
                return items;
            }
        }
    }

    /// How often each value of attribute `n` is stored.
    pub(crate) async fn numbers(&self) -> BTreeMap<u64, usize> {
        let mut numbers = BTreeMap::new();
        for item in self.items().await {
            if let Some(Value::Number(n)) = item.get("n") {
                *numbers.entry(n.to_string().parse().unwrap()).or_default() += 1;
            }
        }
        numbers
    }

    /// Waits until there are `count` items.
    pub(crate) async fn wait_for(&self, count: usize) -> Vec<Item> {
        let mut applied = self.store.applied();
        within("items are stored", async {
            loop {
                applied.mark_unchanged();
                let items = self.items().await;
                if items.len() >= count {
                    return items;
                }
                applied.changed().await.unwrap();
            }
        })
        .await
    }
}

/// A payload with its own time, so that it is the same item however often it comes.
pub(crate) fn timed(n: u64) -> String {
    format!(r#"{{"ts":{},"n":{n}}}"#, 1_700_000_000_000 + n)
}

/// Each of `range` once.
pub(crate) fn once_each(range: std::ops::Range<u64>) -> BTreeMap<u64, usize> {
    range.map(|n| (n, 1)).collect()
}
