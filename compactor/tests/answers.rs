//! Flushing and merging change no answer: random writes against a plain map, also after reopening.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::BTreeMap;

use item::{Item, Key};
use store::env::OsDisk;
use support::{Database, reading};

/// A small generator: the same numbers every time.
struct Draws(u64);

impl Draws {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scans_and_gets_agree_with_a_map_through_flushes_merges_and_restarts() {
    let root = tempfile::tempdir().unwrap();
    let mut draws = Draws(7);
    let mut model: BTreeMap<Key, Item> = BTreeMap::new();
    let database = Database::open(root.path());
    let mut table = database.create("readings").await;
    database.close().await;
    for round in 0..12 {
        let database = Database::open(root.path());
        table = database.store.catalog().by_name(&table.name).unwrap().clone();
        let mut puts = BTreeMap::new();
        for _ in 0..draws.below(3000) {
            // Numbers grow in scale and size as rounds go by.
            let value = format!("{}.{}", draws.below(10_u64.pow(1 + round / 2)), "1".repeat(1 + round as usize / 3));
            let item = reading(draws.below(20), draws.below(400), &value);
            puts.insert(Key::of_item(&table, &item).unwrap(), item);
        }
        model.extend(puts.clone());
        database.put(&table, puts.into_values().collect()).await;
        let mut removed = BTreeMap::new();
        for _ in 0..draws.below(300) {
            let item = reading(draws.below(20), draws.below(400), "0");
            removed.insert(Key::of_item(&table, &item).unwrap(), item);
        }
        model.retain(|key, _| !removed.contains_key(key));
        database.remove(&table, removed.into_values().collect()).await;
        match draws.below(4) {
            0 => {}
            1 => {
                assert!(database.store.seal().await.unwrap());
                let flush = database.compactor.next_task().unwrap();
                let mut job = database.compactor.start(&flush);
                while job.step().unwrap() == compactor::Step::More {}
                assert!(database.store.view().sealed.is_empty());
            }
            _ => {
                let compacted = database.compactor.compact(None).await.unwrap();
                assert_eq!(compacted.len(), 1);
                assert_eq!(compacted[0].total.rows, model.len() as u64);
            }
        }
        assert_eq!(database.scan(&table).await, model, "round {round}");
        for _ in 0..100 {
            let key = Key::of_item(&table, &reading(draws.below(21), draws.below(401), "0")).unwrap();
            assert_eq!(database.store.get(&table, &key).await.unwrap().as_ref(), model.get(&key));
        }
        database.close().await;
    }
}

/// Runs of more rows than are read at a time, whose keys interleave, with new values for some and without others.
#[tokio::test(flavor = "multi_thread")]
async fn long_runs_that_interleave_are_merged_exactly() {
    let root = tempfile::tempdir().unwrap();
    let database = Database::open(root.path());
    let table = database.create("readings").await;
    let mut draws = Draws(11);
    let mut model: BTreeMap<Key, Item> = BTreeMap::new();
    let key = |item: &Item| Key::of_item(&table, item).unwrap();
    for round in 0..3 {
        let values = ["1", "2.5", "-1000000000000000000.125"];
        let mut puts: BTreeMap<Key, Item> = BTreeMap::new();
        for _ in 0..20_000 {
            // Long stretches of the first devices in one round, of the last ones in another.
            let (device, ts) = (draws.below(4) * draws.below(3 + round), draws.below(6_000));
            let item = reading(device, ts, values[round as usize]);
            puts.insert(key(&item), item);
        }
        model.extend(puts.clone());
        database.put(&table, puts.into_values().collect()).await;
        let gone: Vec<Item> = model.values().filter(|_| draws.below(20) == 0).cloned().collect();
        gone.iter().for_each(|item| drop(model.remove(&key(item))));
        database.remove(&table, gone).await;
        assert!(database.store.seal().await.unwrap());
        let mut flush = database.compactor.start(&compactor::Task::Flush);
        while flush.step().unwrap() == compactor::Step::More {}
        assert_eq!(database.scan(&table).await, model, "round {round}");
    }
    let rows: u64 = database.store.manifest().files.values().map(|entry| entry.rows).sum();
    assert!(rows > model.len() as u64 + 1000, "runs have something in common");
    let compacted = database.compactor.compact(None).await.unwrap();
    assert_eq!(compacted[0].total.rows, model.len() as u64);
    assert_eq!(database.scan(&table).await, model);
    database.close().await;
    let verified = compactor::verify(&OsDisk::open(root.path()).unwrap()).unwrap();
    assert!(verified.problems.is_empty(), "{:?}", verified.problems);
}
