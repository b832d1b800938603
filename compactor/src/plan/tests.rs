use std::{sync::Arc, time::Duration};

use item::{Key, KeyAttribute, KeyType, SequenceNumber, ShardId, Table, TableId, table::Billing};
use store::{
    Catalog,
    files::FileId,
    manifest::{FileEntry, Manifest, Place, Retired},
};

use super::{Task, next_task};
use crate::Config;

const MINUTE_US: u64 = 60_000_000;
const NOW_US: u64 = 1000 * MINUTE_US;
const MIB: u64 = 1 << 20;

fn manifest(files: &[(u32, Place, u64, u64)]) -> Manifest {
    let mut manifest = Manifest::default();
    for (id, (table, place, bytes, written_at_us)) in files.iter().enumerate() {
        manifest.catalog.put(Arc::new(table_of(*table)));
        let entry = FileEntry {
            id: FileId(id as u64),
            table: TableId(*table),
            shard: ShardId(0),
            place: *place,
            rows: 1,
            bytes: *bytes,
            crc32c: 0,
            residual_values: 0,
            min_key: key(),
            max_key: key(),
            min_sequence: SequenceNumber(1),
            max_sequence: SequenceNumber(1),
            written_at_us: *written_at_us,
        };
        manifest.files.insert(entry.id, entry);
    }
    manifest
}

fn key() -> Key {
    Key { partition: "k".into(), sort: "".into() }
}

fn table_of(id: u32) -> Table {
    Table {
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
    }
}

/// A merge takes at worst what it reads; what does not fit waits, and does not hold up what does.
#[test]
fn a_merge_must_fit() {
    let manifest = manifest(&[
        (1000, Place::Generation(1), 700, NOW_US),
        (1000, Place::Run, 300, NOW_US - 3),
        (1001, Place::Run, 100, NOW_US - 2),
    ]);
    let next = |spare_bytes| {
        next_task(&manifest, &manifest.catalog, 0, &|_, bytes| bytes <= spare_bytes, NOW_US, &Config::default())
    };
    assert_eq!(next(1000), Some(Task::Merge(TableId(1000))));
    assert_eq!(next(999), Some(Task::Merge(TableId(1001))));
    assert_eq!(next(99), None);
}

fn next(manifest: &Manifest, sealed: usize) -> Option<Task> {
    next_task(manifest, &manifest.catalog, sealed, &|_, _| true, NOW_US, &Config::default())
}

#[test]
fn what_waits_in_memory_comes_first() {
    let manifest = manifest(&[(1000, Place::Run, MIB, 0)]);
    assert_eq!(next(&manifest, 1), Some(Task::Flush));
    assert_eq!(next(&manifest, 0), Some(Task::Merge(TableId(1000))));
}

#[test]
fn runs_are_merged_when_they_are_a_quarter_of_the_generation_or_old() {
    let with_run = |bytes, age_us| {
        let generation = (1000, Place::Generation(1), 100 * MIB, 0);
        next(&manifest(&[generation, (1000, Place::Run, bytes, NOW_US - age_us)]), 0)
    };
    assert_eq!(with_run(25 * MIB, 0), None);
    assert_eq!(with_run(26 * MIB, 0), Some(Task::Merge(TableId(1000))));
    assert_eq!(with_run(MIB, 5 * MINUTE_US - 1), None);
    assert_eq!(with_run(MIB, 5 * MINUTE_US), Some(Task::Merge(TableId(1000))));
}

#[test]
fn large_tables_are_rewritten_for_age_less_often() {
    let with_run = |age_us| {
        let generation = (1000, Place::Generation(1), 1024 * MIB, 0);
        next(&manifest(&[generation, (1000, Place::Run, MIB, NOW_US - age_us)]), 0)
    };
    assert_eq!(with_run(24 * MINUTE_US), None);
    assert_eq!(with_run(25 * MINUTE_US), Some(Task::Merge(TableId(1000))));
}

#[test]
fn the_table_that_waited_longest_is_first_and_dropped_ones_are_left() {
    let mut manifest =
        manifest(&[(1000, Place::Run, MIB, 20), (1001, Place::Run, MIB, 10), (1002, Place::Run, MIB, 5)]);
    let mut catalog: Catalog = manifest.catalog.clone();
    catalog.remove(TableId(1002));
    let task = next_task(&manifest, &catalog, 0, &|_, _| true, NOW_US, &Config::default());
    assert_eq!(task, Some(Task::Merge(TableId(1001))));
    manifest.files.remove(&FileId(1));
    let task = next_task(&manifest, &catalog, 0, &|_, _| true, NOW_US, &Config::default());
    assert_eq!(task, Some(Task::Merge(TableId(1000))));
}

#[test]
fn generations_are_collected_after_their_grace() {
    let retired = |retired_at_us| Retired { table: TableId(1000), generation: 1, retired_at_us };
    let mut manifest = Manifest::default();
    manifest.retired.insert(retired(NOW_US - 9 * MINUTE_US));
    assert_eq!(next(&manifest, 0), None);
    manifest.retired.insert(retired(NOW_US - 10 * MINUTE_US));
    assert_eq!(next(&manifest, 0), Some(Task::Collect(retired(NOW_US - 10 * MINUTE_US))));
    let no_grace = Config { grace: Duration::ZERO, ..Config::default() };
    assert!(next_task(&manifest, &manifest.catalog, 0, &|_, _| true, NOW_US, &no_grace).is_some());
}
