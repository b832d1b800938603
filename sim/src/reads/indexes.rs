//! Reads through secondary indexes, each compared with the model, which knows only the items.

use item::{
    Index, Item, Key, KeyAttribute, KeyType, Value,
    key::{self, SLOTS},
    table::Projection,
};
use store::{Direction, PageLimit, SortRange, Store, Target};

use super::{PAGES_MAX, Unread, follow_pages, now, page_limit};
use crate::{
    ensure,
    model::{KeyPart, LogicalKey, TableModel},
    random::Random,
    workload::Workload,
};

/// Compares one partition of an index, in its order.
pub(super) fn query(
    store: &Store,
    table: &TableModel,
    index: &Index,
    workload: &mut Workload,
    random: &mut Random,
) -> Result<(), Unread> {
    let attributes = workload.index_partition(index);
    let partition = index.partition_attributes();
    let partition = key::encode_attributes(partition, |name| attributes.get(name), key::PARTITION_BYTES_MAX);
    // A time to live may be anything; what is no number is in no index.
    let Ok(partition) = partition else { return Ok(()) };
    let direction = *random.pick(&[Direction::Forward, Direction::Backward]);
    // Whole items are there for whoever asks.
    let whole = random.percent(30);
    let mut expected = entries(table, index, whole);
    expected.retain(|(_, item)| attributes.iter().all(|(name, value)| item.get(name) == Some(value)));
    expected.sort_by(|(a, _), (b, _)| a.cmp(b));
    if direction == Direction::Backward {
        expected.reverse();
    }
    let target = Target::index(&table.table, index, whole);
    let limit = if whole { PageLimit::default() } else { page_limit(random) };
    let pages = |after: Option<&Key>| {
        let range = SortRange::default();
        let page = now(store.query(target, &partition, &range, direction, after, limit))?;
        Ok(if whole { counted(page) } else { page })
    };
    let (found, complete) = follow_pages(pages, limit, PAGES_MAX)?;
    if !complete {
        expected.truncate(found.len());
    }
    let same = found.iter().eq(expected.iter().map(|(_, item)| item));
    ensure(same, || {
        format!(
            "query {attributes:?} of {} of {} {direction:?}: {found:?}, expected {expected:?}",
            index.name, table.table.name
        )
    })?;
    Ok(())
}

/// Compares all entries of an index, in any order.
pub(super) fn scan(
    store: &Store,
    table: &TableModel,
    index: &Index,
    limit: PageLimit,
    pages_max: usize,
) -> Result<(), Unread> {
    let target = Target::index(&table.table, index, false);
    let pages = |after: Option<&Key>| now(store.scan(target, 0..SLOTS, after, limit));
    let (found, complete) = follow_pages(pages, limit, pages_max)?;
    let of_item = |item: &Item| LogicalKey::of_item(&table.table, item);
    let mut found: Vec<(LogicalKey, Item)> = found.into_iter().map(|item| (of_item(&item), item)).collect();
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut expected: Vec<(LogicalKey, Item)> =
        entries(table, index, false).into_iter().map(|(_, item)| (of_item(&item), item)).collect();
    expected.sort_by(|(a, _), (b, _)| a.cmp(b));
    if !complete {
        // Some of them, each once.
        expected.retain(|(key, _)| found.iter().any(|(other, _)| other == key));
    }
    ensure(found == expected, || {
        format!("scan of {} of {}: {found:?}, expected {expected:?}", index.name, table.table.name)
    })?;
    Ok(())
}

/// Where an entry is in its partition: what the sort key attributes are, and the item's key.
type EntryPlace = (Vec<KeyPart>, LogicalKey);

/// What the index must hold: the place of each entry in its partition, and its attributes (or, if `whole`, the item's).
fn entries(TableModel { table, rows }: &TableModel, index: &Index, whole: bool) -> Vec<(EntryPlace, Item)> {
    let mut entries = Vec::new();
    for (key, item) in rows.items() {
        let fits = |attribute: &KeyAttribute| {
            matches!(
                (attribute.key_type, item.get(&attribute.name)),
                (KeyType::S, Some(Value::String(_)))
                    | (KeyType::N, Some(Value::Number(_)))
                    | (KeyType::B, Some(Value::Binary(_)))
            )
        };
        let of_index = || [&index.partition_key].into_iter().chain(&index.further_keys.partition);
        let sorting = || index.sort_key.iter().chain(&index.further_keys.sort);
        if !of_index().chain(sorting()).all(fits) {
            continue;
        }
        let sort = sorting().map(|attribute| KeyPart::of(item.get(&attribute.name))).collect();
        let is_key = |name: &str| {
            let of_table = [&table.partition_key].into_iter().chain(&table.sort_key);
            of_index().chain(sorting()).chain(of_table).any(|key| key.name == name)
        };
        let is_held = |name: &str| match &index.projection {
            Projection::All => true,
            Projection::KeysOnly => is_key(name),
            Projection::Include(names) => is_key(name) || names.contains(name),
        };
        let mut entry = item.clone();
        entry.0.retain(|name, _| whole || is_held(name));
        entries.push(((sort, key.clone()), entry));
    }
    entries
}

/// A page of whole items counts their entries too.
fn counted(mut page: store::Page) -> store::Page {
    page.bytes = page.items.iter().map(Item::size).sum();
    page
}
