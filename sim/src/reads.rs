//! Reads of the store, each compared with the model.

use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use item::{Index, IndexStatus, Item, Key, Table, Value, key::SLOTS};
use store::{Direction, Error, Page, PageLimit, Snapshot, SortRange, Store, view::shard_of_key};

use crate::{
    Violation, ensure,
    model::{KeyPart, LogicalKey, Model, TableModel},
    random::Random,
    workload::Workload,
};

mod indexes;

/// Pages that one read follows, so that small pages do not cost most of the time.
const PAGES_MAX: usize = 4;

/// Why a read was not compared.
pub(crate) enum Unread {
    /// The store could not answer.
    Failed(Error),
    /// It answered something else than the model.
    Wrong(Violation),
}

impl From<Violation> for Unread {
    fn from(violation: Violation) -> Unread {
        Unread::Wrong(violation)
    }
}

impl From<Error> for Unread {
    fn from(error: Error) -> Unread {
        Unread::Failed(error)
    }
}

/// Reads something of some table.
pub(crate) fn read_some(
    store: &Store,
    model: &Model,
    workload: &mut Workload,
    random: &mut Random,
) -> Result<(), Unread> {
    let tables: Vec<&TableModel> = model.tables().collect();
    if tables.is_empty() {
        return Ok(());
    }
    let table = *random.pick(&tables);
    let readable: Vec<&Index> =
        table.table.indexes.iter().filter(|index| index.status == IndexStatus::Active).collect();
    if !readable.is_empty() && random.percent(30) {
        let index = *random.pick(&readable);
        return match random.percent(80) {
            true => indexes::query(store, table, index, workload, random),
            false => indexes::scan(store, table, index, page_limit(random), PAGES_MAX),
        };
    }
    match random.below(20) {
        0..=9 => get(store, table, workload, random),
        10..=17 => query(store, table, workload, random),
        _ => scan(store, table, random),
    }
}

/// Compares the catalogue and every item; answers a checksum of both.
pub(crate) fn read_everything(store: &Store, model: &Model) -> Result<u64, Unread> {
    let catalog = store.catalog();
    let mut by_name: Vec<_> = model.tables().map(|model| &model.table).collect();
    by_name.sort_by(|a, b| a.name.cmp(&b.name));
    let found: Vec<_> = catalog.user_tables().collect();
    ensure(found == by_name, || format!("the catalogue is {found:?}, expected {by_name:?}"))?;
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Nvme);
    for table in model.tables() {
        // Indexes become readable on their own.
        let mut schema = Table { version: 0, ..Table::clone(&table.table) };
        schema.indexes.iter_mut().for_each(|index| index.status = IndexStatus::Active);
        let mut encoded = Vec::new();
        schema.encode(&mut encoded);
        digest.update(&encoded);
        for index in table.table.indexes.iter().filter(|index| index.status == IndexStatus::Active) {
            indexes::scan(store, table, index, PageLimit::default(), usize::MAX)?;
        }
        for item in compare_scan(store, table, PageLimit::default(), usize::MAX)? {
            digest.update(item::Image::encode(&item).bytes());
        }
    }
    Ok(digest.finalize())
}

/// A snapshot of some items, and what they must be whenever it is read.
pub(crate) struct TakenSnapshot {
    snapshot: Snapshot,
    expected: Vec<Option<Item>>,
}

/// Takes a snapshot of some items, if there is a table.
pub(crate) fn take_snapshot(
    store: &Store,
    model: &Model,
    workload: &mut Workload,
    random: &mut Random,
) -> Result<Option<TakenSnapshot>, Violation> {
    let tables: Vec<&TableModel> = model.tables().collect();
    if tables.is_empty() {
        return Ok(None);
    }
    let mut keys = Vec::new();
    let mut expected = Vec::new();
    for _ in 0..random.between(1, 12) {
        let TableModel { table, rows } = *random.pick(&tables);
        let live: Vec<_> = rows.items().map(|(_, item)| item).collect();
        let item = match live.is_empty() || random.percent(20) {
            true => workload.key(table),
            false => (*random.pick(&live)).clone(),
        };
        let key = Key::of_item(table, &item).map_err(|error| Violation(error.to_string()))?;
        keys.push((Arc::clone(table), key));
        expected.push(rows.get(&LogicalKey::of_item(table, &item)).cloned());
    }
    let snapshot = store.snapshot(keys);
    ensure(snapshot.has_tables(), || "a table is missing in a snapshot".to_owned())?;
    Ok(Some(TakenSnapshot { snapshot, expected }))
}

/// Reads a snapshot, whatever has happened since it was taken.
pub(crate) fn read_snapshot(TakenSnapshot { snapshot, expected }: &TakenSnapshot) -> Result<(), Unread> {
    for (at, expected) in expected.iter().enumerate() {
        let found = now(snapshot.item(at))?;
        ensure(found == *expected, || format!("item {at} of a snapshot: {found:?}, expected {expected:?}"))?;
    }
    Ok(())
}

fn get(
    store: &Store,
    TableModel { table, rows }: &TableModel,
    workload: &mut Workload,
    random: &mut Random,
) -> Result<(), Unread> {
    let live: Vec<_> = rows.items().map(|(_, item)| item).collect();
    let item = match live.is_empty() || random.percent(30) {
        true => workload.key(table),
        false => (*random.pick(&live)).clone(),
    };
    let logical = LogicalKey::of_item(table, &item);
    let key = Key::of_item(table, &item).map_err(|error| Violation(error.to_string()))?;
    let found = now(store.get(table, &key))?;
    let expected = rows.get(&logical);
    ensure(found.as_ref() == expected, || {
        format!("get {logical:?} of {}: {found:?}, expected {expected:?}", table.name)
    })?;
    Ok(())
}

fn query(
    store: &Store,
    TableModel { table, rows }: &TableModel,
    workload: &mut Workload,
    random: &mut Random,
) -> Result<(), Unread> {
    let device = workload.device();
    let of_device = |key: &LogicalKey| key.0 == KeyPart::Text(device.clone());
    let partition = item::key::encode_partition(table, &Value::String(device.clone()));
    let partition = partition.map_err(|error| Violation(error.to_string()))?;
    let mut range = SortRange::default();
    let (mut from, mut until) = (None, None);
    if let Some(sort_key) = table.sort_key.as_ref().filter(|_| random.percent(60)) {
        let mut bound = || {
            let key = workload.key(table);
            let value = key.0.get(&sort_key.name).cloned().unwrap_or(Value::Null);
            let encoded = item::key::encode_sort(sort_key, &value).map_err(|error| Violation(error.to_string()))?;
            Ok::<(KeyPart, Bytes), Violation>((LogicalKey::of_item(table, &key).1, encoded))
        };
        let (low, encoded) = bound()?;
        range.from = encoded;
        from = Some(low);
        let (high, encoded) = bound()?;
        range.until = Some(encoded);
        until = Some(high);
    }
    let inside = |key: &LogicalKey| {
        of_device(key)
            && from.as_ref().is_none_or(|from| *from <= key.1)
            && until.as_ref().is_none_or(|until| key.1 < *until)
    };
    let mut expected: Vec<&Item> = rows.items().filter(|(key, _)| inside(key)).map(|(_, item)| item).collect();
    let direction = *random.pick(&[Direction::Forward, Direction::Backward]);
    if direction == Direction::Backward {
        expected.reverse();
    }
    let limit = page_limit(random);
    let pages = |after: Option<&Key>| now(store.query(table, &partition, &range, direction, after, limit));
    let (found, complete) = follow_pages(pages, limit, PAGES_MAX)?;
    if !complete {
        expected.truncate(found.len());
    }
    let same = found.iter().eq(expected.iter().copied());
    ensure(same, || format!("query {device} of {} {direction:?}: {found:?}, expected {expected:?}", table.name))?;
    Ok(())
}

fn scan(store: &Store, table: &TableModel, random: &mut Random) -> Result<(), Unread> {
    compare_scan(store, table, page_limit(random), PAGES_MAX).map(drop)
}

fn compare_scan(
    store: &Store,
    TableModel { table, rows }: &TableModel,
    limit: PageLimit,
    pages_max: usize,
) -> Result<Vec<Item>, Unread> {
    let pages = |after: Option<&Key>| now(store.scan(table, 0..SLOTS, after, limit));
    let (found, complete) = follow_pages(pages, limit, pages_max)?;
    let with_shard = |(key, item)| Ok(((shard(store, table, item)?, key), item));
    let mut expected: Vec<_> = rows.items().map(with_shard).collect::<Result<_, Violation>>()?;
    expected.sort_by_key(|(place, _)| *place);
    if !complete {
        expected.truncate(found.len());
    }
    let expected: Vec<&Item> = expected.into_iter().map(|(_, item)| item).collect();
    ensure(found.iter().eq(expected.iter().copied()), || {
        let counts = format!("{} items, expected {}", found.len(), expected.len());
        let keys = |items: Vec<&Item>| {
            format!("{:?}", items.iter().map(|item| LogicalKey::of_item(table, item)).collect::<Vec<_>>())
        };
        let missing = keys(expected.iter().copied().filter(|item| !found.contains(item)).collect());
        let wrong = keys(found.iter().filter(|item| !expected.contains(item)).collect());
        format!("scan of {}: {counts}; missing {missing}, wrong {wrong}", table.name)
    })?;
    Ok(found)
}

/// The items of the first pages, and whether there are no more.
fn follow_pages(
    page: impl Fn(Option<&Key>) -> Result<Page, Unread>,
    limit: PageLimit,
    pages_max: usize,
) -> Result<(Vec<Item>, bool), Unread> {
    let mut found = Vec::new();
    let mut after: Option<Key> = None;
    for _ in 0..pages_max {
        let page = page(after.as_ref())?;
        check_page(&page, limit)?;
        found.extend(page.items);
        after = page.last_key;
        if after.is_none() {
            return Ok((found, true));
        }
    }
    Ok((found, false))
}

fn shard(store: &Store, table: &Table, item: &Item) -> Result<u16, Violation> {
    let key = Key::of_item(table, item).map_err(|error| Violation(error.to_string()))?;
    Ok(shard_of_key(&key, store.shards()).0)
}

fn page_limit(random: &mut Random) -> PageLimit {
    match random.below(4) {
        0 => PageLimit { items: random.between(1, 5) as usize, ..PageLimit::default() },
        1 => PageLimit { bytes: random.between(1, 2000) as usize, ..PageLimit::default() },
        _ => PageLimit::default(),
    }
}

fn check_page(page: &Page, limit: PageLimit) -> Result<(), Violation> {
    let bytes: usize = page.items.iter().map(Item::size).sum();
    let before_last = bytes - page.items.last().map_or(0, Item::size);
    let ends_right = page.items.len() <= limit.items && (page.items.len() <= 1 || before_last < limit.bytes);
    ensure(bytes == page.bytes && ends_right, || {
        format!("a page of {} items and {bytes} bytes (told as {}) under {limit:?}", page.items.len(), page.bytes)
    })
}

/// Without a cache, reads complete where they are called.
/// What a read answers, which waits for nothing here.
pub(crate) fn now<T>(read: impl Future<Output = Result<T, Error>>) -> Result<T, Unread> {
    match read.now_or_never() {
        Some(answer) => answer.map_err(Unread::Failed),
        None => Err(Unread::Wrong(Violation("a read waited although the cache is off".to_owned()))),
    }
}
