//! Reads through secondary indexes, each compared with the model, which knows only the items.

use item::{Index, Item, Key, Value, key::SLOTS, table::Projection};
use store::{Direction, PageLimit, SortRange, Store, Target};

use super::{PAGES_MAX, Unread, follow_pages, now, page_limit};
use crate::{
    Violation, ensure,
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
    let value = workload.index_partition(index);
    let partition = item::key::encode_partition_attribute(&index.partition_key, &value);
    let partition = partition.map_err(|error| Violation(error.to_string()))?;
    let direction = *random.pick(&[Direction::Forward, Direction::Backward]);
    // Whole items are there for whoever asks.
    let whole = random.percent(30);
    let mut expected = entries(table, index, whole);
    expected.retain(|(_, item)| item.get(&index.partition_key.name) == Some(&value));
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
            "query {value:?} of {} of {} {direction:?}: {found:?}, expected {expected:?}",
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
    let key = |item: &Item| LogicalKey::of_item(&table.table, item);
    let mut found: Vec<(LogicalKey, Item)> = found.into_iter().map(|item| (key(&item), item)).collect();
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut expected: Vec<(LogicalKey, Item)> =
        entries(table, index, false).into_iter().map(|(_, item)| (key(&item), item)).collect();
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

/// What the index must hold: the place of each entry in its partition, and its attributes (or, if `whole`, the item's).
fn entries(TableModel { table, rows }: &TableModel, index: &Index, whole: bool) -> Vec<((KeyPart, LogicalKey), Item)> {
    let mut entries = Vec::new();
    for (key, item) in rows.items() {
        let has = |name: &str| item.get(name).is_some();
        if !has(&index.partition_key.name) || index.sort_key.as_ref().is_some_and(|sort_key| !has(&sort_key.name)) {
            continue;
        }
        let level = match index.sort_key.as_ref().and_then(|sort_key| item.get(&sort_key.name)) {
            Some(Value::Number(number)) => KeyPart::Number(*number),
            _ => KeyPart::None,
        };
        let is_key = |name: &str| {
            let of_index = std::iter::once(&index.partition_key).chain(&index.sort_key);
            of_index.chain([&table.partition_key]).chain(&table.sort_key).any(|key| key.name == name)
        };
        let is_held = |name: &str| match &index.projection {
            Projection::All => true,
            Projection::KeysOnly => is_key(name),
            Projection::Include(names) => is_key(name) || names.contains(name),
        };
        let mut entry = item.clone();
        entry.0.retain(|name, _| whole || is_held(name));
        entries.push(((level, key.clone()), entry));
    }
    entries
}

/// A page of whole items counts their entries too.
fn counted(mut page: store::Page) -> store::Page {
    page.bytes = page.items.iter().map(Item::size).sum();
    page
}
