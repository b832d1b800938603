//! A follower of a real store hears of every change once, in order per key, through restarts; a shard reader agrees.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use item::{
    Actor, Image, Item, Key, KeyAttribute, KeyType, Number, Stream, StreamView, Table, TableId, table::Billing,
};
use store::{
    Config, Store,
    cache::Cache,
    env::{OsClock, OsDisk},
    write::{Action, TableWrite, Write},
};
use streams::{EventName, FollowFrom, IteratorStart, Record, StreamName, Streams, shards::shard_id};

const DEVICES: u64 = 8;
const ROUNDS: u64 = 40;

fn open(dir: &Path) -> Store {
    let config = Config { segment_bytes: 4 << 20, ..Config::default() };
    let disk = OsDisk::open(dir).expect("the directory is there");
    Store::open(Arc::new(disk), Arc::new(OsClock), config, Cache::Off).expect("the store opens")
}

async fn create(store: &Store) -> Arc<Table> {
    let table = Table {
        id: TableId(0),
        name: "readings".to_owned(),
        version: 0,
        partition_key: KeyAttribute::new("device_id", KeyType::S),
        sort_key: None,
        sort_key_is_time: false,
        item_key: Vec::new(),
        further_keys: Default::default(),
        settings: Default::default(),
        indexes: Vec::new(),
        stream: Some(Stream { view: StreamView::NewAndOldImages, enabled_at_us: 0 }),
        created_at_us: 0,
        billing: Billing::OnDemand,
        deletion_protection: false,
        tags: Default::default(),
    };
    let created = store.change_table(TableWrite::Create(table)).await.expect("the store answers");
    created.expect("there is no such table yet")
}

fn reading(device: u64, round: u64) -> Item {
    let mut item = Item::default();
    item.insert("device_id", format!("d{device}").into());
    item.insert("round", Number::from(round).into());
    item
}

fn write(table: &Arc<Table>, item: Item, action: impl FnOnce(Item) -> Action) -> Write {
    let key = Key::of_item(table, &item).expect("a reading has the key");
    Write { table: table.clone(), key, action: action(item), condition: None, return_old: false, actor: Actor::User }
}

/// Every device overwrites its item round by round, and removes it each tenth round; all devices at once.
async fn write_rounds(store: &Store, table: &Arc<Table>, rounds: std::ops::Range<u64>) {
    let devices = (0..DEVICES).map(|device| {
        let (store, table, rounds) = (store.clone(), table.clone(), rounds.clone());
        tokio::spawn(async move {
            for round in rounds {
                let item = reading(device, round);
                let remove = |_| Action::Remove;
                let write =
                    if round % 10 == 9 { write(&table, item, remove) } else { write(&table, item, Action::Put) };
                for answer in store.write(vec![write]).await.expect("the store answers") {
                    answer.expect("no condition was asked for");
                }
            }
        })
    });
    for device in devices.collect::<Vec<_>>() {
        device.await.expect("no device panics");
    }
}

/// What the stream must tell of one device: name, item before, item after.
fn expected(device: u64) -> Vec<(EventName, Option<Item>, Option<Item>)> {
    let mut before = None;
    let mut told = Vec::new();
    for round in 0..ROUNDS {
        let after = (round % 10 != 9).then(|| reading(device, round));
        let name = match (&before, &after) {
            (None, _) => EventName::Insert,
            (_, None) => EventName::Remove,
            _ => EventName::Modify,
        };
        told.push((name, before, after.clone()));
        before = after;
    }
    told
}

fn check(records: &[Record]) {
    let mut by_device: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for record in records {
        let Some(item::Value::String(device)) = record.keys.get("device_id") else { panic!("{record:?}") };
        let item = |image: &Option<Image>| image.as_ref().map(|image| image.decode().expect("what was written"));
        let told = (record.event, item(&record.old_image), item(&record.new_image));
        by_device.entry(device.clone()).or_default().push(told);
    }
    for device in 0..DEVICES {
        assert_eq!(by_device.remove(&format!("d{device}")), Some(expected(device)), "device {device}");
    }
    assert!(by_device.is_empty());
    let ids: BTreeSet<&str> = records.iter().map(|record| record.id.as_str()).collect();
    assert_eq!(ids.len(), records.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_is_told_once_and_in_order_through_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let table = create(&store).await;
    let total = usize::try_from(DEVICES * ROUNDS).unwrap();

    // Half of it while a follower listens.
    let mut follower = Streams::new(&store).follow("readings", FollowFrom::TrimHorizon).await.unwrap();
    let writing = tokio::spawn({
        let (store, table) = (store.clone(), table.clone());
        async move { write_rounds(&store, &table, 0..ROUNDS / 2).await }
    });
    let mut followed = Vec::new();
    while followed.len() < total / 2 {
        followed.extend(follower.next().await.unwrap().unwrap());
    }
    writing.await.unwrap();
    drop(follower);
    store.close().await.unwrap();
    drop(store);

    // After a restart, from the position of a record in the middle.
    let store = open(dir.path());
    let table = store.catalog().by_name("readings").unwrap().clone();
    write_rounds(&store, &table, ROUNDS / 2..ROUNDS).await;
    followed.truncate(total / 4);
    let from = FollowFrom::Position(followed.last().unwrap().position.clone());
    let streams = Streams::new(&store);
    let mut follower = streams.follow("readings", from).await.unwrap();
    while followed.len() < total {
        followed.extend(follower.next().await.unwrap().unwrap());
    }
    let records: Vec<Record> = followed.into_iter().map(|followed| followed.record).collect();
    check(&records);

    // Shard by shard the same records come.
    let name = StreamName::new(&table, table.stream.as_ref().unwrap());
    let mut by_shard = Vec::new();
    for shard in streams.describe(&name, None, 100).await.unwrap().shards {
        let mut token = streams.iterator(&name, &shard.id, IteratorStart::TrimHorizon).await.unwrap();
        loop {
            let page = streams.records(&token, 7).await.unwrap();
            if page.records.is_empty() {
                break;
            }
            by_shard.extend(page.records);
            token = page.next_iterator.unwrap();
        }
    }
    check(&by_shard);
    let sorted = |mut records: Vec<Record>| {
        records.sort_by_key(|record| (record.shard, record.sequence));
        records
    };
    assert_eq!(sorted(by_shard.clone()), sorted(records));

    // From the middle of a shard the rest comes.
    let middle = &by_shard[by_shard.len() / 2];
    let rest: Vec<Record> = by_shard
        .iter()
        .filter(|record| record.shard == middle.shard && record.sequence > middle.sequence)
        .cloned()
        .collect();
    let shard = shard_id(table.stream.as_ref().unwrap(), middle.shard);
    let start = IteratorStart::AfterSequence(middle.sequence_text());
    let token = streams.iterator(&name, &shard, start).await.unwrap();
    assert_eq!(streams.records(&token, 1000).await.unwrap().records, rest);
    let last = by_shard.iter().filter(|record| record.shard == middle.shard).map(|record| record.sequence).max();

    // Disabling ends the follower; what was told stays readable.
    store.change_table(TableWrite::SetStream("readings".to_owned(), None)).await.unwrap().unwrap();
    assert_eq!(follower.next().await.unwrap(), None);
    let described = Streams::new(&store).describe(&name, None, 100).await.unwrap();
    assert!(!described.is_enabled);
    let closed = described.shards.iter().find(|described| described.id == shard).unwrap();
    assert_eq!(closed.ending_sequence, last);
    assert_eq!(streams.list(None, None, 10).streams, [name], "it is listed for a day");
    store.close().await.unwrap();
}
