use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use futures::FutureExt;
use item::{
    Image, Item, Key, KeyAttribute, KeyType, Number, SequenceNumber, ShardId, Table, TableId, Value, arbitrary,
    table::Billing,
};
use parquet::{
    basic::Encoding,
    file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader},
};
use proptest::prelude::*;

use super::{
    ColdFile, Column, ColumnType, ColumnTypes, FileId, FileWriter, ItemRow, KeyRange, NewFile, Row, TimeUnit,
    key_blocks::KeyBlocks,
};
use crate::{
    Direction,
    cache::Cache,
    env::{Disk, OsDisk},
    manifest::{FileEntry, Place, RUNS_DIR, generation_dir},
};

pub(super) struct Directory {
    pub(super) disk: OsDisk,
    root: tempfile::TempDir,
}

impl Directory {
    pub(super) fn new() -> Directory {
        let root = tempfile::tempdir().unwrap();
        let disk = OsDisk::open(root.path()).unwrap();
        disk.create_dir(RUNS_DIR).unwrap();
        Directory { disk, root }
    }

    pub(super) fn write(
        &self,
        table: &Table,
        types: &ColumnTypes,
        place: Place,
        rows: &[ItemRow],
    ) -> (FileEntry, ColdFile) {
        let mut writer = self.writer(7, table, types, place);
        rows.iter().for_each(|row| writer.write(row).unwrap());
        self.finish(writer)
    }

    pub(super) fn writer(&self, id: u64, table: &Table, types: &ColumnTypes, place: Place) -> FileWriter {
        self.disk.create_dir(&generation_dir(table.id, 1)).unwrap();
        FileWriter::create(&self.disk, Directory::new_file(id, table, types, place)).unwrap()
    }

    pub(super) fn new_file(id: u64, table: &Table, types: &ColumnTypes, place: Place) -> NewFile {
        NewFile {
            buffer_bytes_max: 32 << 20,
            id: FileId(id),
            table: Arc::new(table.clone()),
            shard: ShardId(0),
            place,
            types: Arc::new(types.clone()),
            with_removed: place == Place::Run,
            now_us: 1,
        }
    }

    /// What any program reads of a file's footer, with the indexes of its pages.
    pub(super) fn metadata(&self, entry: &FileEntry) -> ParquetMetaData {
        let file = std::fs::File::open(self.root.path().join(entry.path())).unwrap();
        ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Required).parse_and_finish(&file).unwrap()
    }

    pub(super) fn finish(&self, writer: FileWriter) -> (FileEntry, ColdFile) {
        let entry = writer.finish().unwrap();
        let file = ColdFile::open(&self.disk, &entry).unwrap();
        (entry, file)
    }
}

pub(super) fn table(sort_key: Option<KeyAttribute>, sort_key_is_time: bool) -> Table {
    Table {
        id: TableId(1000),
        name: "readings".to_owned(),
        version: 1,
        partition_key: KeyAttribute::new("device_id", KeyType::S),
        sort_key,
        sort_key_is_time,
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

pub(super) fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("without a cache, reads complete at once")
}

pub(super) fn scan(file: &ColdFile, range: &KeyRange, direction: Direction, rows_max: usize) -> Vec<ItemRow> {
    now(file.scan_items(range, direction, rows_max, &Cache::Off)).unwrap()
}

pub(super) fn number(text: &str) -> Value {
    Value::Number(text.parse().unwrap())
}

/// Item rows by key, numbered in order; removed where there is no item.
pub(super) fn rows(table: &Table, items: Vec<(Item, bool)>) -> Vec<ItemRow> {
    let by_key: BTreeMap<Key, Option<Item>> = items
        .into_iter()
        .map(|(item, removed)| (Key::of_item(table, &item).unwrap(), (!removed).then_some(item)))
        .collect();
    let numbered = by_key.into_iter().enumerate();
    numbered.map(|(at, (key, item))| ItemRow { key, sequence: SequenceNumber(at as u64 + 1), item }).collect()
}

pub(super) fn types_of(table: &Table, rows: &[ItemRow]) -> ColumnTypes {
    let mut types = ColumnTypes::of_table(table);
    for row in rows {
        match &row.item {
            Some(item) => types.widen(item),
            None => types.widen(&row.key.to_item(table).unwrap()),
        }
    }
    types
}

/// Does a column of the one type become one of the other by widening, if at all?
fn is_as_wide(old: &ColumnType, new: &ColumnType) -> bool {
    match (old, new) {
        (ColumnType::Decimal { integer_digits: i, scale: s }, ColumnType::Decimal { integer_digits, scale }) => {
            i <= integer_digits && s <= scale && integer_digits + scale <= 38
        }
        (ColumnType::Time(old), ColumnType::Time(new)) => old <= new,
        (ColumnType::Map(old), ColumnType::Map(new)) => {
            let is_same = |(old, new): (&Column, &Column)| {
                (&old.name, &old.attribute) == (&new.name, &new.attribute)
                    && is_as_wide(&old.column_type, &new.column_type)
            };
            old.columns().len() <= new.columns().len() && old.columns().iter().zip(new.columns()).all(is_same)
        }
        (old, new) => old == new,
    }
}

/// Names that clash, that are reserved, that cannot stand.
fn odd_names() -> impl Strategy<Value = String> {
    prop_oneof![
        arbitrary::names(),
        "[aA$_]{0,3}",
        "_(seq|SEQ|residual|shard|deleted)",
        "a(\\$s|\\$n|\\$b|\\$bool|\\$null)?",
        Just("x".repeat(300)),
    ]
}

pub(super) fn tables_with_items() -> impl Strategy<Value = (Table, Vec<(Item, bool)>)> {
    arbitrary::tables().prop_flat_map(|table| {
        let partition = arbitrary::key_values(table.partition_key.key_type);
        let sort = arbitrary::key_values(table.sort_key.as_ref().map_or(KeyType::S, |sort| sort.key_type));
        let attributes = proptest::collection::btree_map(odd_names(), arbitrary::values(), 0..8);
        let item = (attributes, partition, sort, any::<bool>());
        let items = proptest::collection::vec(item, 1..30);
        (Just(table), items).prop_map(|(table, items)| {
            let keyed = |(attributes, partition, sort, removed)| {
                let mut item = Item(attributes);
                item.insert(table.partition_key.name.clone(), partition);
                if let Some(key) = &table.sort_key {
                    item.insert(key.name.clone(), sort);
                }
                (item, removed)
            };
            let items = items.into_iter().map(keyed).collect();
            (table, items)
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn arbitrary_items_come_back_as_they_were((table, items) in tables_with_items(), types_known in any::<bool>()) {
        let directory = Directory::new();
        let rows = rows(&table, items);
        // Whatever the columns cannot hold goes to the residual column: of a table with no columns, that is all.
        let types = if types_known { types_of(&table, &rows) } else { ColumnTypes::default() };
        let (entry, file) = directory.write(&table, &types, Place::Run, &rows);
        prop_assert_eq!(entry.rows, rows.len() as u64);
        prop_assert_eq!(&entry.min_key, &rows[0].key);
        prop_assert_eq!(&entry.max_key, &rows[rows.len() - 1].key);
        let item_bytes: usize = rows.iter().filter_map(|row| row.item.as_ref()).map(Item::size).sum();
        prop_assert!(file.item_bytes_max() >= item_bytes as u64);
        let everything = KeyRange::default();
        prop_assert_eq!(&scan(&file, &everything, Direction::Forward, usize::MAX), &rows);
        for row in &rows {
            let image = row.item.as_ref().map(Image::encode);
            let expected = Row { key: row.key.clone(), sequence: row.sequence, image };
            prop_assert_eq!(now(file.get(&row.key, &Cache::Off)).unwrap(), Some(expected));
            let keys = KeyBlocks::new(1 << 20);
            prop_assert_eq!(file.has(&row.key, &keys), None);
            now(file.learn(&row.key, &keys, &Cache::Off)).unwrap();
            prop_assert!(rows.iter().all(|row| file.has(&row.key, &keys) == Some(true)));
        }
    }

    #[test]
    fn types_survive_as_json((table, items) in tables_with_items()) {
        let types = types_of(&table, &rows(&table, items));
        let text = serde_json::to_string(&types).unwrap();
        prop_assert_eq!(serde_json::from_str::<ColumnTypes>(&text).unwrap(), types);
    }

    #[test]
    fn types_only_widen((table, items) in tables_with_items()) {
        let mut types = ColumnTypes::of_table(&table);
        for (item, _) in items {
            let before = types.clone();
            types.widen(&item);
            for (old, new) in before.columns().iter().zip(types.columns()) {
                prop_assert_eq!((&old.name, &old.attribute), (&new.name, &new.attribute));
                prop_assert!(is_as_wide(&old.column_type, &new.column_type), "{:?} after {:?}", new, old);
            }
            let again = types.clone();
            types.widen(&item);
            prop_assert_eq!(&again, &types);
        }
    }
}

/// Readings of 50 devices, 100 each, with even times: several blocks of the key index.
fn many_rows(table: &Table) -> Vec<ItemRow> {
    let reading = |device: u32, at: u32| {
        let mut item = Item::new();
        item.insert("device_id", Value::from(format!("device-{device:03}")));
        item.insert("ts", number(&format!("{}.5", 2 * at)));
        item.insert("value", number(&format!("{}.{at}", device * 1000)));
        (item, (device + at).is_multiple_of(7))
    };
    rows(table, (0..50).flat_map(|device| (0..100).map(move |at| reading(device, at))).collect())
}

#[test]
fn keys_that_were_read_tell_which_others_are_not_there() {
    let directory = Directory::new();
    let table = table(Some(KeyAttribute::new("ts", KeyType::N)), true);
    let rows = many_rows(&table);
    let (_, file) = directory.write(&table, &types_of(&table, &rows), Place::Run, &rows);
    let keys = KeyBlocks::new(1 << 20);
    now(file.learn(&rows[1030].key, &keys, &Cache::Off)).unwrap();
    let after = |row: &ItemRow| Key { sort: [&row.key.sort[..], &[0]].concat().into(), ..row.key.clone() };
    for (at, row) in rows.iter().enumerate() {
        // The last key of a block may be followed by others of it only.
        let is_known = (1024..2048).contains(&at);
        assert_eq!(file.has(&row.key, &keys), is_known.then_some(true), "row {at}");
        assert_eq!(
            file.has(&after(row), &keys),
            is_known.then_some(false).or((at == 4999).then_some(false)),
            "row {at}"
        );
    }
    let before_all = Key { partition: Bytes::new(), sort: Bytes::new() };
    assert_eq!(file.has(&before_all, &keys), Some(false));
}

#[test]
fn rows_are_found_by_key_and_range_in_both_directions() {
    let directory = Directory::new();
    let table = table(Some(KeyAttribute::new("ts", KeyType::N)), true);
    let rows = many_rows(&table);
    let (_, file) = directory.write(&table, &types_of(&table, &rows), Place::Run, &rows);
    let between = |row: &ItemRow| {
        let mut sort = row.key.sort.to_vec();
        sort.push(0);
        Key { partition: row.key.partition.clone(), sort: sort.into() }
    };
    assert_eq!(now(file.get(&between(&rows[1024]), &Cache::Off)).unwrap(), None);
    let cuts = [0, 1, 1023, 1024, 1025, 2048, 3000, 4999];
    for from in cuts {
        for until in cuts {
            // From a key that is there, until one that is not.
            let range = KeyRange { from: Some(rows[from].key.clone()), until: Some(between(&rows[until])) };
            let expected: Vec<ItemRow> = rows.get(from..=until).unwrap_or_default().to_vec();
            let first: Vec<ItemRow> = expected.iter().take(10).cloned().collect();
            let last: Vec<ItemRow> = expected.iter().rev().take(10).cloned().collect();
            assert_eq!(scan(&file, &range, Direction::Forward, 10), first);
            assert_eq!(scan(&file, &range, Direction::Backward, 10), last);
            assert_eq!(scan(&file, &range, Direction::Forward, usize::MAX), expected);
        }
    }
    assert_eq!(scan(&file, &KeyRange::default(), Direction::Backward, 1), [rows[4999].clone()]);
}

#[test]
fn numbers_get_the_narrowest_exact_column() {
    let directory = Directory::new();
    let table = table(Some(KeyAttribute::new("ts", KeyType::N)), true);
    let items = [("0", "1.25", "1"), ("1.5", "-300", "123456789012345678.9"), ("2.0001", "7", "1E-130")];
    let item = |(ts, narrow, wide): (&str, &str, &str)| {
        let mut item = Item::new();
        item.insert("device_id", Value::from("d"));
        item.insert("ts", number(ts));
        item.insert("narrow", number(narrow));
        item.insert("wide", number(wide));
        (item, false)
    };
    let rows = rows(&table, items.map(item).to_vec());
    let types = types_of(&table, &rows);
    let column_type = |name: &str| column_type(&types, name);
    assert_eq!(column_type("ts"), ColumnType::Time(TimeUnit::Nanos));
    assert_eq!(column_type("narrow"), ColumnType::Decimal { integer_digits: 3, scale: 2 });
    assert_eq!(column_type("wide"), ColumnType::Decimal { integer_digits: 18, scale: 1 });
    let (entry, file) = directory.write(&table, &types, Place::Generation(1), &rows);
    assert_eq!(
        column_type("wide$double"),
        ColumnType::Double,
        "1E-130 fits no decimal beside 18 digits before the point"
    );
    assert_eq!(entry.residual_values, 0);
    assert_eq!(scan(&file, &KeyRange::default(), Direction::Forward, 10), rows);

    let metadata = directory.metadata(&entry);
    let schema = metadata.file_metadata().schema_descr();
    let shown: Vec<String> = schema
        .columns()
        .iter()
        .map(|column| format!("{} {} {:?}", column.name(), column.physical_type(), column.logical_type_ref()))
        .collect();
    let expected = [
        "device_id BYTE_ARRAY Some(String)",
        "ts INT64 Some(Timestamp(TimestampType { is_adjusted_to_u_t_c: true, unit: NANOS }))",
        "narrow INT64 Some(Decimal(DecimalType { scale: 2, precision: 18 }))",
        "wide FIXED_LEN_BYTE_ARRAY Some(Decimal(DecimalType { scale: 1, precision: 38 }))",
        "wide$double DOUBLE None",
        "_residual BYTE_ARRAY Some(String)",
        "_seq INT64 None",
    ];
    assert_eq!(shown, expected);
}

fn column_type(types: &ColumnTypes, name: &str) -> ColumnType {
    types.columns().iter().find(|column| column.name == name).unwrap().column_type.clone()
}

fn map(entries: &[(&str, Value)]) -> Value {
    Value::Map(entries.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
}

/// An item a device, with one attribute.
fn items_with(attribute: &str, values: &[Value]) -> Vec<(Item, bool)> {
    let item = |(at, value): (usize, &Value)| {
        let mut item = Item::new();
        item.insert("device_id", Value::from(format!("device-{at:04}")));
        item.insert(attribute, value.clone());
        (item, false)
    };
    values.iter().enumerate().map(item).collect()
}

#[test]
fn doubles_hold_what_no_decimal_does_if_they_give_back_the_same_digits() {
    let directory = Directory::new();
    let table = table(None, false);
    let values = [
        "6.02214076E+23",
        "1.602176634E-19",
        "1E-125",
        "-3",
        "0.1",
        "1E-100",
        "9.10938370150000000001E-31",
        "1.5E+100",
    ];
    let rows = rows(&table, items_with("value", &values.map(number)));
    let types = types_of(&table, &rows);
    assert_eq!(column_type(&types, "value"), ColumnType::Decimal { integer_digits: 24, scale: 1 });
    assert_eq!(column_type(&types, "value$double"), ColumnType::Double);
    let (entry, file) = directory.write(&table, &types, Place::Run, &rows);
    assert_eq!(entry.residual_values, 1, "a double has not so many digits");
    assert_eq!(scan(&file, &KeyRange::default(), Direction::Forward, 100), rows);
}

#[test]
fn maps_are_structs_and_what_they_do_not_hold_is_kept_beside_them() {
    let directory = Directory::new();
    let table = table(None, false);
    let wind = |speed: &str| map(&[("speed", number(speed)), ("from", map(&[("bearing", number("255"))]))]);
    let values = [
        wind("22.5"),
        map(&[]),
        map(&[("speed", Value::from("calm")), ("Speed", Value::Bool(true)), ("gusts", Value::List(vec![number("1")]))]),
        map(&[("from", map(&[("bearing", Value::Null), ("sensors", Value::List(vec![]))]))]),
        Value::from("none"),
        Value::List(vec![wind("1")]),
        wind("0.125"),
    ];
    let rows = rows(&table, items_with("wind", &values));
    let types = types_of(&table, &rows);
    let (entry, file) = directory.write(&table, &types, Place::Generation(1), &rows);
    assert_eq!(entry.residual_values, 3, "lists are not in columns");
    assert_eq!(scan(&file, &KeyRange::default(), Direction::Forward, 100), rows);
    let paths: Vec<String> = directory
        .metadata(&entry)
        .file_metadata()
        .schema_descr()
        .columns()
        .iter()
        .map(|column| column.path().parts().join("/"))
        .collect();
    let expected = [
        "device_id",
        "wind/from/bearing",
        "wind/from/bearing$null",
        "wind/speed",
        "wind/$53peed",
        "wind/speed$s",
        "wind$s",
        "_residual",
        "_seq",
    ];
    assert_eq!(paths, expected);
}

#[test]
fn maps_of_many_fields_or_deep_in_others_are_cut_where_columns_end() {
    let directory = Directory::new();
    let table = table(None, false);
    let names: Vec<String> = (0..100).map(|at| format!("field-{at:03}")).collect();
    let wide = Value::Map(names.iter().map(|name| (name.clone(), number("1"))).collect());
    let deep = (0..30).fold(number("1"), |inner, at| map(&[("level", inner), ("at", number(&at.to_string()))]));
    let rows = rows(&table, items_with("value", &[wide, deep, map(&[])]));
    let types = types_of(&table, &rows);
    let (entry, file) = directory.write(&table, &types, Place::Generation(1), &rows);
    assert_eq!(entry.residual_values, 2);
    assert_eq!(scan(&file, &KeyRange::default(), Direction::Forward, 100), rows);
    let metadata = directory.metadata(&entry);
    let schema = metadata.file_metadata().schema_descr();
    let columns = schema.columns().iter().filter(|column| column.path().parts()[0] == "value");
    assert_eq!(columns.clone().map(|column| column.path().parts().len()).max(), Some(2), "there was no room for level");
    assert_eq!(columns.count(), 64);
    // Many maps, each with few fields: the columns of a table are counted all together.
    let mut item = Item::new();
    item.insert("device_id", Value::from("d"));
    (0..900).for_each(|at| drop(item.insert(format!("a{at:03}"), map(&[("x", number("1")), ("y", number("2"))]))));
    let rows = self::rows(&table, vec![(item, false)]);
    let types = types_of(&table, &rows);
    let (entry, file) = directory.write(&table, &types, Place::Run, &rows);
    let leaves = directory.metadata(&entry).file_metadata().schema_descr().num_columns();
    assert!(leaves < super::COLUMNS_MAX && entry.residual_values > 500, "{leaves} {}", entry.residual_values);
    assert_eq!(scan(&file, &KeyRange::default(), Direction::Forward, 100), rows);
}

#[test]
fn every_column_and_page_has_statistics() {
    let directory = Directory::new();
    let table = table(Some(KeyAttribute::new("ts", KeyType::N)), true);
    let rows = many_rows(&table);
    let rows: Vec<ItemRow> = rows.into_iter().filter(|row| row.item.is_some()).collect();
    let (entry, _) = directory.write(&table, &types_of(&table, &rows), Place::Generation(1), &rows);
    let metadata = directory.metadata(&entry);
    let (columns, offsets) = (metadata.column_index().unwrap(), metadata.offset_index().unwrap());
    for (at, group) in metadata.row_groups().iter().enumerate() {
        for (leaf, column) in group.columns().iter().enumerate() {
            let name = column.column_path().string();
            let statistics = column.statistics().unwrap();
            assert!(statistics.null_count_opt().is_some(), "{name}");
            let is_null = statistics.null_count_opt() == Some(group.num_rows() as u64);
            assert_eq!(statistics.min_bytes_opt().is_some(), !is_null, "{name}");
            assert_eq!(statistics.max_bytes_opt().is_some(), !is_null, "{name}");
            let pages = offsets[at][leaf].page_locations().len();
            assert_eq!(pages as u64, entry.rows.div_ceil(1024), "{name}");
            assert_eq!(columns[at][leaf].num_pages(), pages as u64, "{name}");
        }
    }
}

#[test]
fn columns_are_laid_out_as_their_first_rows_are_smallest() {
    let directory = Directory::new();
    let table = table(Some(KeyAttribute::new("ts", KeyType::N)), true);
    let mut scattered = 1u32;
    let reading = |at: u32| {
        scattered = scattered.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let mut item = Item::new();
        item.insert("device_id", Value::from(format!("device-{}", at / 5000)));
        item.insert("ts", number(&format!("{}", 1_700_000_000_000 + u64::from(at) * 1000)));
        item.insert("time", Value::from(format!("2026-01-01T{:02}:{:02}:{:02}Z", at / 3600, at / 60 % 60, at % 60)));
        item.insert("state", number(["0", "17", "40000", "123456789"][(scattered >> 30) as usize]));
        item.insert("count", number(&format!("{}", u64::from(at) * 3 + u64::from(scattered >> 31))));
        item.insert("model", Value::from(["F-150", "G-2000", "H-2"][(scattered >> 20) as usize % 3]));
        (item, false)
    };
    let rows = rows(&table, (0..20_000).map(reading).collect());
    let types = types_of(&table, &rows);
    let (entry, file) = directory.write(&table, &types, Place::Generation(1), &rows);
    assert_eq!(scan(&file, &KeyRange::default(), Direction::Forward, usize::MAX), rows);
    let metadata = directory.metadata(&entry);
    let is_laid_out = |name: &str, encoding| {
        let columns = metadata.row_group(0).columns();
        let column = columns.iter().find(|column| column.column_path().string() == name).unwrap();
        column.encodings().any(|it| it == encoding)
    };
    assert!(is_laid_out("ts", Encoding::DELTA_BINARY_PACKED) && !is_laid_out("ts", Encoding::RLE_DICTIONARY));
    assert!(is_laid_out("count", Encoding::DELTA_BINARY_PACKED) && !is_laid_out("count", Encoding::RLE_DICTIONARY));
    assert!(is_laid_out("state", Encoding::RLE_DICTIONARY));
    assert!(is_laid_out("model", Encoding::RLE_DICTIONARY));
    assert!(is_laid_out("time", Encoding::DELTA_BYTE_ARRAY));
}

/// Keys of each type, and some beside them.
#[test]
fn filters_tell_most_keys_that_are_not_there_and_never_one_that_is() {
    let value = |key_type: KeyType, at: u32, wide: bool| match key_type {
        KeyType::S => Value::from(format!("user-{:08x}", at.wrapping_mul(0x9e37_79b9))),
        KeyType::B => Value::Binary(at.wrapping_mul(0x9e37_79b9).to_be_bytes().to_vec().into()),
        KeyType::N if wide => number(&format!("{}.5", u128::from(at) * 10u128.pow(20) + 1)),
        KeyType::N => number(&format!("{}", at.wrapping_mul(0x9e37_79b9))),
    };
    for (partition, sort, wide) in [
        (KeyType::S, None, false),
        (KeyType::B, Some(KeyType::S), false),
        (KeyType::N, Some(KeyType::B), false),
        (KeyType::N, Some(KeyType::N), true),
    ] {
        let directory = Directory::new();
        let mut table = table(sort.map(|key_type| KeyAttribute::new("s", key_type)), false);
        table.partition_key = KeyAttribute::new("p", partition);
        // Every other number is a key; where there are sort keys, few partitions have many of them.
        let key_item = |at: u32| {
            let mut item = Item::new();
            item.insert("p", value(partition, if sort.is_some() { at / 100 } else { at }, wide));
            sort.into_iter().for_each(|key_type| drop(item.insert("s", value(key_type, at, wide))));
            item
        };
        let present = rows(&table, (0..6000).step_by(2).map(|at| (key_item(at), false)).collect());
        let absent = rows(&table, (1..6000).step_by(2).map(|at| (key_item(at), false)).collect());
        let types = types_of(&table, &present);
        let (entry, file) = directory.write(&table, &types, Place::Generation(1), &present);
        let is_told = |row: &&ItemRow| now(file.is_filtered_out(&row.key, &(0..entry.rows), &Cache::Off)).unwrap();
        assert_eq!(present.iter().filter(is_told).count(), 0);
        let told = absent.iter().filter(is_told).count();
        assert!(told * 10 > absent.len() * 9, "{told} of {}, {partition:?} {sort:?}", absent.len());
        for row in present.iter().chain(&absent).step_by(97) {
            let expected = present.iter().any(|it| it.key == row.key);
            assert_eq!(now(file.get(&row.key, &Cache::Off)).unwrap().is_some(), expected);
        }
        let filter_bytes: i32 = directory
            .metadata(&entry)
            .row_groups()
            .iter()
            .flat_map(|group| group.columns())
            .filter_map(|column| column.bloom_filter_length())
            .sum();
        assert!(filter_bytes > 0 && filter_bytes as usize <= 5 * present.len(), "{filter_bytes} bytes");
    }
}

#[test]
fn times_and_small_files_have_no_filters() {
    let directory = Directory::new();
    let table = table(Some(KeyAttribute::new("ts", KeyType::N)), true);
    let rows = many_rows(&table);
    let types = types_of(&table, &rows);
    let filtered = |rows: &[ItemRow], id: u64| {
        let mut writer = directory.writer(id, &table, &types, Place::Run);
        rows.iter().for_each(|row| writer.write(row).unwrap());
        let (entry, _) = directory.finish(writer);
        let metadata = directory.metadata(&entry);
        let columns = metadata.row_group(0).columns().iter().filter(|column| column.bloom_filter_offset().is_some());
        columns.map(|column| column.column_path().string()).collect::<Vec<_>>()
    };
    assert_eq!(filtered(&rows, 8), ["device_id"]);
    assert_eq!(filtered(&rows[..1000], 9), [""; 0]);
}

#[test]
fn an_attribute_of_several_types_has_a_column_each() {
    let table = table(None, false);
    let mut types = ColumnTypes::of_table(&table);
    let values = [
        Value::Null,
        number("1"),
        Value::from("one"),
        Value::Bool(true),
        Value::Binary(vec![1].into()),
        Value::List(vec![]),
    ];
    for value in values {
        types.widen(&Item(BTreeMap::from([("value".to_owned(), value.clone()), ("Value".to_owned(), value)])));
    }
    let names: Vec<&str> = types.columns().iter().map(|column| column.name.as_str()).collect();
    let expected = [
        ["Value$null", "$76alue$null"],
        ["Value", "$76alue"],
        ["Value$s", "$76alue$s"],
        ["Value$bool", "$76alue$bool"],
        ["Value$b", "$76alue$b"],
    ];
    assert_eq!(names, [&["device_id"], expected.as_flattened()].concat());
}

#[test]
fn attributes_past_the_cap_go_to_the_residual_column() {
    let directory = Directory::new();
    let table = table(None, false);
    let mut item = Item::new();
    item.insert("device_id", Value::from("d"));
    (0..super::COLUMNS_MAX + 5).for_each(|at| drop(item.insert(format!("a{at:04}"), Value::Number(Number::ZERO))));
    let rows = rows(&table, vec![(item, false)]);
    let types = types_of(&table, &rows);
    assert_eq!(types.columns().len(), super::COLUMNS_MAX);
    let (entry, file) = directory.write(&table, &types, Place::Run, &rows);
    assert_eq!(entry.residual_values, 6);
    assert_eq!(scan(&file, &KeyRange::default(), Direction::Forward, 10), rows);
}

#[test]
fn a_file_that_is_not_the_one_meant_is_refused() {
    let directory = Directory::new();
    let table = table(None, false);
    let mut item = Item::new();
    item.insert("device_id", Value::from("d"));
    let rows = rows(&table, vec![(item, false)]);
    let (entry, _) = directory.write(&table, &types_of(&table, &rows), Place::Run, &rows);
    let path = directory.root.path().join(entry.path());
    let whole = std::fs::read(&path).unwrap();
    let open = || ColdFile::open(&directory.disk, &entry).err().unwrap().to_string();
    std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    assert!(open().contains("the manifest says"), "{}", open());
    let mut torn = whole.clone();
    let end = torn.len();
    torn[end - 4..].fill(0);
    std::fs::write(&path, &torn).unwrap();
    assert!(open().contains("is corrupt"), "{}", open());
}
