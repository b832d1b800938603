use std::{
    collections::BTreeMap,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use bytes::Bytes;
use item::{
    Item, Key, KeyAttribute, KeyType, SequenceNumber, ShardId, Table, TableId, Value, arbitrary, table::Billing,
};
use proptest::prelude::*;

use super::{CurrentManifest, Edit, FileEntry, Flushed, Manifest, Place, Retired, form};
use crate::{
    Catalog, Error,
    env::{Disk, OsDisk},
    files::{ColumnTypes, FileId},
    log::FrameNumber,
};

fn table(id: u32) -> Arc<Table> {
    Arc::new(Table {
        id: TableId(id),
        name: format!("table-{id}"),
        version: 1,
        partition_key: KeyAttribute::new("pk", KeyType::S),
        sort_key: None,
        sort_key_is_time: false,
        item_key: Vec::new(),
        further_keys: Default::default(),
        settings: Default::default(),
        indexes: Vec::new(),
        stream: None,
        created_at_us: 0,
        billing: Billing::OnDemand,
        deletion_protection: false,
        tags: Default::default(),
    })
}

fn entry(id: u64, table: u32, place: Place) -> FileEntry {
    FileEntry {
        id: FileId(id),
        table: TableId(table),
        shard: ShardId(0),
        place,
        rows: 10,
        bytes: 1000,
        crc32c: 0xdead_beef,
        residual_values: 0,
        min_key: Key { partition: Bytes::from(vec![1, id as u8, 0xff]), sort: Bytes::new() },
        max_key: Key { partition: Bytes::from(vec![2]), sort: Bytes::from(vec![0]) },
        min_sequence: SequenceNumber(1),
        max_sequence: SequenceNumber(10),
        written_at_us: 5,
    }
}

fn flushed(frame: u64, tables: &[Arc<Table>]) -> Option<Flushed> {
    let mut catalog = Catalog::default();
    tables.iter().for_each(|table| catalog.put(Arc::clone(table)));
    Some(Flushed { frame: FrameNumber(frame), sequences: vec![SequenceNumber(frame)], catalog, next_table: 1002 })
}

/// Two tables with a run each; the first one merged into its first generation.
fn example() -> Manifest {
    let tables = [table(1000), table(1001)];
    let mut types = ColumnTypes::of_table(&tables[0]);
    types.widen(&Item(BTreeMap::from([("t".to_owned(), Value::Number("1.5".parse().unwrap()))])));
    let flush = Edit {
        flushed: flushed(9, &tables),
        added: vec![entry(1, 1000, Place::Run), entry(2, 1001, Place::Run)],
        types: BTreeMap::from([(TableId(1000), types)]),
        ..Edit::default()
    };
    let merge = Edit {
        removed: vec![FileId(1)],
        added: vec![entry(3, 1000, Place::Generation(1))],
        generations: BTreeMap::from([(TableId(1000), 1)]),
        ..Edit::default()
    };
    Manifest::default().apply(&flush).apply(&merge)
}

#[test]
fn edits_move_files_generations_and_tables() {
    let manifest = example();
    assert_eq!((manifest.number, manifest.next_file, manifest.flushed), (2, 4, FrameNumber(9)));
    let ids: Vec<u64> = manifest.files_in_order().iter().map(|entry| entry.id.0).collect();
    assert_eq!(ids, [3, 2]);
    assert!(manifest.retired.is_empty(), "there was no generation before the first");

    let second = Edit {
        now_us: 70,
        removed: vec![FileId(3)],
        added: vec![entry(4, 1000, Place::Generation(2)), entry(5, 1000, Place::Run)],
        generations: BTreeMap::from([(TableId(1000), 2)]),
        ..Edit::default()
    };
    let manifest = manifest.apply(&second);
    let retired = Retired { table: TableId(1000), generation: 1, retired_at_us: 70 };
    assert_eq!(manifest.retired.iter().collect::<Vec<_>>(), [&retired]);
    let ids: Vec<u64> = manifest.files_in_order().iter().map(|entry| entry.id.0).collect();
    assert_eq!(ids, [4, 5, 2], "the generation, then runs");

    // The first table is dropped: a flush without it in the catalogue takes its files along.
    let dropped =
        Edit { now_us: 80, flushed: flushed(11, &[table(1001)]), collected: vec![retired], ..Edit::default() };
    let manifest = manifest.apply(&dropped);
    let ids: Vec<u64> = manifest.files_in_order().iter().map(|entry| entry.id.0).collect();
    assert_eq!(ids, [2]);
    assert!(!manifest.cold_tables.contains_key(&TableId(1000)));
    let last = Retired { table: TableId(1000), generation: 2, retired_at_us: 80 };
    assert_eq!(manifest.retired.into_iter().collect::<Vec<_>>(), [last]);
    assert_eq!(manifest.next_file, 6, "file numbers are not used again");
}

#[test]
fn the_newest_whole_manifest_is_loaded() {
    let root = tempfile::tempdir().unwrap();
    let disk = OsDisk::open(root.path()).unwrap();
    assert_eq!(Manifest::load(&disk).unwrap(), None);
    let first = example();
    first.publish(&disk).unwrap();
    assert_eq!(Manifest::load(&disk).unwrap(), Some(first.clone()));
    // A crash left a manifest half written.
    disk.create("manifest/next").unwrap().write_at(0, b"{\"format\": 1,").unwrap();
    assert_eq!(Manifest::load(&disk).unwrap(), Some(first.clone()));
    let next = first.apply(&Edit::default());
    next.publish(&disk).unwrap();
    next.apply(&Edit::default()).publish(&disk).unwrap();
    assert_eq!(Manifest::load(&disk).unwrap(), Some(next.apply(&Edit::default())));
    let names = disk.list("manifest").unwrap();
    assert_eq!(names, ["00000000000000000003.json", "00000000000000000004.json"]);
    let error = next.publish(&disk).unwrap_err();
    assert!(matches!(error, Error::Unpublished { number: 3, .. }), "a number is put once: {error}");
}

/// Whoever asked what is flushed waited behind the syncs of a commit, and held up a thread that serves others.
#[test]
fn readers_do_not_wait_for_a_commit() {
    let root = tempfile::tempdir().unwrap();
    let disk = OsDisk::open(root.path()).unwrap();
    let current = Arc::new(CurrentManifest::new(example()));
    let seen_while_committing = || {
        let (sender, seen) = mpsc::channel();
        let current = current.clone();
        thread::spawn(move || sender.send(current.get().number));
        seen.recv_timeout(Duration::from_secs(10)).expect("a reader waits")
    };
    current.commit(&disk, &Edit::default(), |next| assert_eq!((next.number, seen_while_committing()), (3, 2))).unwrap();
    assert_eq!(current.get().number, 3);
    current.commit(&disk, &Edit::default(), |_| ()).unwrap();
    assert_eq!((current.get().number, Manifest::load(&disk).unwrap().unwrap().number), (4, 4));
}

#[test]
fn damage_and_newer_formats_are_told_apart() {
    let root = tempfile::tempdir().unwrap();
    let disk = OsDisk::open(root.path()).unwrap();
    example().publish(&disk).unwrap();
    let path = root.path().join("manifest/00000000000000000002.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let load = |text: &str| {
        std::fs::write(&path, text).unwrap();
        Manifest::load(&disk).unwrap_err()
    };
    let changed = text.replace("\"flushed_frame\": 9", "\"flushed_frame\": 8");
    assert_ne!(changed, text);
    assert!(matches!(load(&changed), Error::Corrupt { what, .. } if what.contains("checksum")));
    assert!(matches!(load(&text[..text.len() / 2]), Error::Corrupt { .. }));
    assert!(matches!(load(""), Error::Corrupt { .. }));
    let newer = load("{\"format\": 3, \"wholly\": \"different\"}");
    assert!(matches!(newer, Error::NewerFormat { found: 3, supported: 2, .. }), "{newer}");
    std::fs::remove_file(&path).unwrap();
    std::fs::write(root.path().join("manifest/00000000000000000003.json"), &text).unwrap();
    assert!(matches!(Manifest::load(&disk).unwrap_err(), Error::Corrupt { what, .. } if what.contains("numbered 2")));
}

proptest! {
    #[test]
    fn text_round_trips(tables in proptest::collection::vec(arbitrary::tables(), 0..4), numbers in any::<[u64; 4]>()) {
        let mut manifest = example();
        manifest.number = numbers[0];
        manifest.next_file = numbers[1].max(manifest.next_file);
        manifest.flushed = FrameNumber(numbers[2]);
        manifest.flushed_sequences = numbers.map(SequenceNumber).to_vec();
        for (at, table) in tables.into_iter().enumerate() {
            let id = TableId(2000 + at as u32);
            manifest.catalog.put(Arc::new(Table { id, name: format!("{at}-{}", table.name), ..table }));
        }
        let text = form::to_text(&manifest);
        prop_assert_eq!(form::from_text(&text, "m").unwrap(), manifest);
    }
}
