use std::{collections::BTreeMap, sync::Arc};

use futures::FutureExt;
use item::{Item, KeyAttribute, KeyType, Table, Value};
use proptest::prelude::*;

use super::{ColumnReader, sources};
use crate::{
    Direction,
    cache::Cache,
    files::{
        ColdFile, ColumnTypes, FileCopy, ItemRow, KeyRange,
        tests::{Directory, number, rows, scan, table, tables_with_items, types_of},
    },
    manifest::{FileEntry, Place},
};

/// Writes what `reader` gives to a file of a generation, in spans of at most `span_rows`.
fn copy(
    directory: &Directory,
    id: u64,
    table: &Table,
    types: &ColumnTypes,
    mut reader: ColumnReader,
    span_rows: usize,
) -> (FileEntry, ColdFile) {
    let mut writer = directory.writer(id, table, types, Place::Generation(1));
    while let Some(columns) = reader.next_rows().unwrap() {
        let columns = Arc::new(columns);
        let mut start = 0;
        while start < columns.rows() {
            let kept = |row: &usize| !columns.is_removed(*row);
            let end =
                (start..columns.rows().min(start + span_rows)).take_while(kept).last().map_or(start, |row| row + 1);
            writer.write_columns(&columns, start..end).unwrap();
            start = if end == start { start + 1 } else { end };
        }
    }
    directory.finish(writer)
}

fn everything(file: &ColdFile) -> Vec<ItemRow> {
    scan(file, &KeyRange::default(), Direction::Forward, usize::MAX)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// The file is as old as its own rows; the table has had others since, of any types.
    #[test]
    fn rows_moved_in_columns_are_those_moved_one_by_one(
        (table, items) in tables_with_items(),
        others in proptest::collection::vec(item::arbitrary::values(), 0..8),
        rows_max in 1usize..8,
        span_rows in 1usize..8,
    ) {
        let directory = Directory::new();
        let rows = rows(&table, items);
        let live: Vec<ItemRow> = rows.iter().filter(|row| row.item.is_some()).cloned().collect();
        prop_assume!(!live.is_empty());
        let before = types_of(&table, &rows);
        let mut types = before.clone();
        let names: Vec<String> = before.columns().iter().map(|column| column.attribute.clone()).collect();
        for (at, value) in others.into_iter().enumerate() {
            let name = names.get(at).cloned().unwrap_or_else(|| format!("other-{at}"));
            types.widen(&Item(BTreeMap::from([(name, value)])));
        }
        let (_, run) = directory.write(&table, &before, Place::Run, &rows);
        let (run, types) = (Arc::new(run), Arc::new(types));
        let by_columns = ColumnReader::new(Arc::clone(&run), &types, rows_max, 1000).unwrap();
        let by_rows = ColumnReader::by_rows(run, &types, rows_max).unwrap();
        let (entry, file) = copy(&directory, 8, &table, &types, by_columns, span_rows);
        let (mut same_entry, same_file) = copy(&directory, 9, &table, &types, by_rows, span_rows);
        prop_assert_eq!(&everything(&file), &live);
        prop_assert_eq!(&everything(&same_file), &live);
        prop_assert_eq!(file.types(), &*types);
        // Values are in the same columns: as many are left over, and the bytes are the same.
        same_entry.id = entry.id;
        prop_assert_eq!(entry, same_entry);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a file has is the same in its copy, with columns more.
    #[test]
    fn a_copy_with_more_columns_has_the_same_rows(
        (table, items) in tables_with_items(),
        others in proptest::collection::vec(item::arbitrary::values(), 0..8),
    ) {
        let directory = Directory::new();
        let rows: Vec<ItemRow> = rows(&table, items).into_iter().filter(|row| row.item.is_some()).collect();
        prop_assume!(!rows.is_empty());
        let before = types_of(&table, &rows);
        let mut types = before.clone();
        for (at, value) in others.into_iter().enumerate() {
            types.widen(&Item(BTreeMap::from([(format!("other-{at}"), value)])));
        }
        let (entry, source) = directory.write(&table, &before, Place::Generation(1), &rows);
        let source = Arc::new(source);
        prop_assume!(source.can_be_copied(&types));
        let (copied, file) = copied(&directory, &table, &types, &source, &entry);
        prop_assert_eq!(&everything(&file), &rows);
        prop_assert_eq!(file.types(), &types);
        prop_assert_eq!((copied.rows, copied.residual_values), (entry.rows, entry.residual_values));
    }
}

fn copied(
    directory: &Directory,
    table: &Table,
    types: &ColumnTypes,
    source: &Arc<ColdFile>,
    entry: &FileEntry,
) -> (FileEntry, ColdFile) {
    let new = Directory::new_file(8, table, types, Place::Generation(1));
    let mut copy = FileCopy::create(&directory.disk, source, entry, new).unwrap();
    while copy.copy_some().unwrap() {}
    let entry = copy.finish().unwrap();
    let file = ColdFile::open(&directory.disk, &entry).unwrap();
    (entry, file)
}

/// Row groups, pages, statistics and filters go along; keys are found as before.
#[test]
fn a_copy_of_many_rows_has_what_the_file_had() {
    let directory = Directory::new();
    let table = table(None, false);
    let item = |at: u32| {
        let mut item = Item::new();
        item.insert("device_id", Value::from(format!("device-{:08x}", at.wrapping_mul(0x9e37_79b9))));
        item.insert("value", number(&format!("{at}.25")));
        item.insert("wind", Value::Map(BTreeMap::from([("speed".to_owned(), number(&at.to_string()))])));
        (item, false)
    };
    let rows = rows(&table, (0..5000).map(item).collect());
    let before = types_of(&table, &rows);
    let mut types = before.clone();
    let later = [("late", Value::from("text")), ("more", Value::Map(BTreeMap::from([("a".to_owned(), number("1"))])))];
    types.widen(&Item(later.map(|(name, value)| (name.to_owned(), value)).into()));
    let (entry, source) = directory.write(&table, &before, Place::Generation(1), &rows);
    let source = Arc::new(source);
    assert!(source.can_be_copied(&types));
    let (copied, file) = copied(&directory, &table, &types, &source, &entry);
    assert_eq!(everything(&file), rows);
    assert!(file.has_filters());
    for row in rows.iter().step_by(501) {
        let range = KeyRange { from: Some(row.key.clone()), until: None };
        assert_eq!(&scan(&file, &range, Direction::Forward, 1)[0], row);
        assert!(file.get(&row.key, &Cache::Off).now_or_never().unwrap().unwrap().is_some());
    }
    let (before, after) = (directory.metadata(&entry), directory.metadata(&copied));
    for column in before.row_group(0).columns() {
        let path = column.column_path();
        let same = after.row_group(0).columns().iter().find(|it| it.column_path() == path).unwrap();
        assert_eq!(same.statistics(), column.statistics(), "{path}");
        assert_eq!(same.compressed_size(), column.compressed_size(), "{path}");
        assert_eq!(same.bloom_filter_offset().is_some(), column.bloom_filter_offset().is_some(), "{path}");
    }
    let late = after.row_group(0).columns().iter().filter(|it| it.num_values() == 5000).count();
    assert_eq!(late, before.row_group(0).num_columns() + 2);
    let mut wider = types.clone();
    wider.widen(&Item(BTreeMap::from([("value".to_owned(), number("0.125"))])));
    assert!(!source.can_be_copied(&wider), "values are to be multiplied");
    let mut deeper = types;
    let field = Value::Map(BTreeMap::from([("from".to_owned(), number("1"))]));
    deeper.widen(&Item(BTreeMap::from([("wind".to_owned(), field)])));
    assert!(!source.can_be_copied(&deeper), "a field is new");
}

/// One item a device, with these attributes.
fn items(values: &[(&str, &str)]) -> Vec<(Item, bool)> {
    let item = |(at, (name, value)): (usize, &(&str, &str))| {
        let mut item = Item::new();
        item.insert("device_id", Value::from(format!("device-{at}")));
        item.insert("ts", number("1"));
        item.insert(*name, number(value));
        (item, false)
    };
    values.iter().enumerate().map(item).collect()
}

fn types_with(table: &Table, values: &[(&str, &str)]) -> ColumnTypes {
    types_of(table, &rows(table, items(values)))
}

#[test]
fn columns_are_copied_where_the_table_has_them_wider_and_rows_where_they_may_not_fit() {
    let table = table(Some(KeyAttribute::new("ts", KeyType::N)), true);
    let before = types_with(&table, &[("a", "1.5")]);
    let agrees = |values: &[(&str, &str)]| {
        let mut types = before.clone();
        items(values).iter().for_each(|(item, _)| types.widen(item));
        sources(&before, &types, false).is_some()
    };
    assert!(agrees(&[]));
    assert!(agrees(&[("b", "1")]), "a new column");
    assert!(agrees(&[("a", "1000")]), "more digits before the point");
    assert!(agrees(&[("a", "1.125")]), "more digits behind it");
    assert!(agrees(&[("a", "12345678901234567890.125")]), "too many for 8 bytes");
    assert!(!agrees(&[("ts", "0.5")]), "a finer unit");
    assert!(sources(&types_with(&table, &[("a", "1"), ("b", "1")]), &before, false).is_none(), "a column too few");
}

#[test]
fn fields_are_copied_where_a_map_has_more_of_them_by_now() {
    let directory = Directory::new();
    let table = table(None, false);
    let item = |at: u32, fields: &[(&str, Value)]| {
        let map = fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let mut item = Item::new();
        item.insert("device_id", Value::from(format!("device-{at}")));
        item.insert("wind", Value::Map(map));
        (item, false)
    };
    let inner = |name: &str| Value::Map(BTreeMap::from([(name.to_owned(), number("1"))]));
    let old = rows(&table, vec![item(1, &[("speed", number("1"))]), item(2, &[("at", inner("x"))])]);
    let before = types_of(&table, &old);
    let mut types = before.clone();
    for fields in [[("speed", number("1.5"))], [("at", inner("y"))], [("from", Value::from("north"))]] {
        types.widen(&item(3, &fields).0);
    }
    assert!(sources(&before, &types, false).is_some(), "a wider field, fields that are new");
    assert!(sources(&before, &types, true).is_none(), "what was left over may have a field by now");
    let (_, run) = directory.write(&table, &before, Place::Run, &old);
    let types = Arc::new(types);
    let reader = ColumnReader::new(Arc::new(run), &types, 10, u64::MAX).unwrap();
    let (entry, file) = copy(&directory, 8, &table, &types, reader, 10);
    assert_eq!((everything(&file), entry.residual_values), (old, 0));
}

/// Whoever reads a column finds all of its values there, also those that came before it.
#[test]
fn what_was_left_over_goes_to_the_columns_that_there_are_by_now() {
    let directory = Directory::new();
    let table = table(None, false);
    let empty = |at: u32| {
        let mut item = Item::new();
        item.insert("device_id", Value::from(format!("device-{at}")));
        item.insert("wind", Value::Map(BTreeMap::new()));
        (item, false)
    };
    let old = rows(&table, vec![empty(1), empty(2)]);
    let before = types_of(&table, &old);
    let (entry, run) = directory.write(&table, &before, Place::Run, &old);
    assert_eq!(entry.residual_values, 2, "there are no structs without fields");
    let mut types = before.clone();
    let speed = Value::Map(BTreeMap::from([("speed".to_owned(), number("1"))]));
    types.widen(&Item(BTreeMap::from([("wind".to_owned(), speed)])));
    let types = Arc::new(types);
    let reader = ColumnReader::new(Arc::new(run), &types, 10, u64::MAX).unwrap();
    let (entry, file) = copy(&directory, 8, &table, &types, reader, 10);
    assert_eq!((everything(&file), entry.residual_values), (old, 0));
}

#[test]
fn a_time_that_a_finer_unit_does_not_hold_stays_exact() {
    let directory = Directory::new();
    let table = table(Some(KeyAttribute::new("ts", KeyType::N)), true);
    let old = rows(&table, items(&[("ts", "9000000000000000000"), ("a", "1.5"), ("ts", "-3")]));
    let before = types_of(&table, &old);
    let mut types = before.clone();
    items(&[("ts", "0.000001")]).iter().for_each(|(item, _)| types.widen(item));
    let (entry, run) = directory.write(&table, &before, Place::Run, &old);
    assert_eq!(entry.residual_values, 0);
    let types = Arc::new(types);
    let reader = ColumnReader::new(Arc::new(run), &types, 2, u64::MAX).unwrap();
    let (entry, file) = copy(&directory, 8, &table, &types, reader, 10);
    assert_eq!(everything(&file), old);
    assert_eq!(entry.residual_values, 1, "nanoseconds reach to the year 2262");
}

#[test]
fn rows_are_gathered_from_files_of_different_types() {
    let directory = Directory::new();
    let table = table(Some(KeyAttribute::new("ts", KeyType::N)), true);
    let reading = |at: u32| {
        let mut item = Item::new();
        item.insert("device_id", Value::from(format!("device-{}", at / 4000)));
        item.insert("ts", number(&at.to_string()));
        item.insert("value", number(&format!("{at}.{}", if at.is_multiple_of(2) { "5" } else { "125" })));
        (item, false)
    };
    let all = rows(&table, (0..12_000).map(reading).collect());
    let (even, odd): (Vec<_>, Vec<_>) = all.iter().cloned().partition(|row| row.sequence.0 % 2 == 1);
    let (narrow, wide) = (types_of(&table, &even), Arc::new(types_of(&table, &all)));
    assert_ne!(&narrow, &*wide);
    let (_, even) = directory.write(&table, &narrow, Place::Run, &even);
    let (_, odd) = directory.write(&table, &wide, Place::Generation(1), &odd);
    let read = |file| ColumnReader::new(Arc::new(file), &wide, 1000, u64::MAX).unwrap();
    let (mut even, mut odd) = (read(even), read(odd));
    let mut writer = directory.writer(8, &table, &wide, Place::Generation(1));
    while let (Some(even), Some(odd)) = (even.next_rows().unwrap(), odd.next_rows().unwrap()) {
        let (even, odd) = (Arc::new(even), Arc::new(odd));
        for row in 0..even.rows() {
            writer.write_columns(&even, row..row + 1).unwrap();
            writer.write_columns(&odd, row..row + 1).unwrap();
        }
    }
    let (entry, file) = directory.finish(writer);
    assert_eq!((entry.rows, &entry.min_key, &entry.max_key), (12_000, &all[0].key, &all[11_999].key));
    assert_eq!((entry.min_sequence, entry.max_sequence), (all[0].sequence, all[11_999].sequence));
    assert_eq!(everything(&file), all);
    for row in all.iter().step_by(777) {
        let range = KeyRange { from: Some(row.key.clone()), until: None };
        assert_eq!(&scan(&file, &range, Direction::Forward, 1)[0], row);
    }
}
