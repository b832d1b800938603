//! What readers of `cold/tables` find: whole generations, swapped at once, kept for a grace.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{collections::BTreeSet, os::unix::fs::MetadataExt, path::Path, sync::atomic::Ordering, time::Duration};

use compactor::{Config, Step, Task};
use item::Value;
use metrics_exporter_prometheus::PrometheusBuilder;
use store::{
    env::OsDisk,
    files::{ColumnType, TimeUnit},
};
use support::{Database, START_US, files_in, number, published, reading};

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_swaps_the_link_and_the_old_generation_goes_after_its_grace() {
    let root = tempfile::tempdir().unwrap();
    let database = Database::open(root.path());
    let table = database.create("readings").await;
    database.put(&table, (0..100).map(|at| reading(at % 7, at, "1.5")).collect()).await;
    let first = database.compactor.compact(Some("readings")).await.unwrap();
    assert_eq!((first[0].generation, first[0].total.rows), (1, 100));
    assert_eq!(first[0].written, first[0].total);
    let link = root.path().join("cold/tables/readings");
    assert_eq!(std::fs::read_link(&link).unwrap().to_str().unwrap(), format!("../generations/{}-1", table.id.0));
    let files = published(root.path(), "readings");
    assert_eq!(files.len() as u64, first[0].total.files);

    let again = database.compactor.compact(None).await.unwrap();
    assert_eq!(again[0].written, compactor::Report::default(), "nothing changed, nothing is written");
    assert_eq!(again[0].generation, 1);

    database.put(&table, vec![reading(1, 1000, "2.5")]).await;
    let second = database.compactor.compact(None).await.unwrap();
    assert_eq!((second[0].generation, second[0].total.rows), (2, 101));
    let old = root.path().join(format!("cold/generations/{}-1", table.id.0));
    let inode = |path: &Path| std::fs::metadata(path).unwrap().ino();
    let (kept, new): (Vec<_>, Vec<_>) =
        published(root.path(), "readings").into_iter().partition(|name| files.contains(name));
    assert_eq!((kept.len(), new.len()), (files.len() - 1, 1), "only the shard with a new row is merged");
    assert!(
        kept.iter().all(|name| inode(&old.join(name)) == inode(&link.join(name))),
        "a name stands for the same bytes"
    );
    assert_eq!(files_in(&old), files);
    assert_eq!(std::fs::read_dir(root.path().join("cold/runs")).unwrap().count(), 0, "merged runs are removed");
    assert_eq!(database.compactor.next_task(), None);

    database.clock.0.fetch_add(10 * 60 * 1_000_000, Ordering::Relaxed);
    let task = database.compactor.next_task().unwrap();
    assert!(matches!(task, Task::Collect(_)));
    let mut job = database.compactor.start(&task);
    while job.step().unwrap() == Step::More {}
    assert!(!old.exists());
    assert_eq!(database.compactor.next_task(), None);
    assert_eq!(database.scan(&table).await.len(), 101);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_only_lack_a_column_are_copied() {
    let root = tempfile::tempdir().unwrap();
    // No file is small.
    let database = Database::open_with(root.path(), Config { file_bytes_max: 1, ..Config::default() }, START_US);
    let table = database.create("readings").await;
    database.put(&table, (0..3000).map(|at| reading(at % 7, at, "1.5")).collect()).await;
    database.compactor.compact(None).await.unwrap();
    let before = published(root.path(), "readings");
    let mut late = reading(9, 1, "2.5");
    late.insert("late", Value::from("text"));
    database.put(&table, vec![late]).await;
    flush(&database).await;
    let expected = database.scan(&table).await;
    let recorder = PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, || {
        let mut job = database.compactor.start(&Task::Merge(table.id));
        while job.step().unwrap() == Step::More {}
    });
    let told = recorder.handle().render();
    let copied = format!("thalweg_compactor_copied_files_total {}\n", before.len());
    assert!(told.contains(&copied), "{told}");
    let after = published(root.path(), "readings");
    assert_eq!(after.len(), before.len() + 1);
    assert!(after.iter().all(|name| !before.contains(name)), "{after:?}");
    assert_eq!(database.scan(&table).await, expected);
    database.close().await;
    let sound = compactor::verify(&OsDisk::open(root.path()).unwrap()).unwrap();
    assert!(sound.problems.is_empty(), "{:?}", sound.problems);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_table_loses_its_link_and_a_new_one_of_the_name_starts_empty() {
    let root = tempfile::tempdir().unwrap();
    let database = Database::open(root.path());
    let table = database.create("readings").await;
    let other = database.create("others").await;
    database.put(&table, vec![reading(1, 1, "1")]).await;
    database.put(&other, vec![reading(1, 1, "1")]).await;
    database.compactor.compact(None).await.unwrap();
    database.put(&table, vec![reading(2, 2, "2")]).await;
    flush(&database).await;
    let runs = || std::fs::read_dir(root.path().join("cold/runs")).unwrap().count();
    assert_eq!(runs(), 1);
    database.drop_table("readings").await;
    database.compactor.compact(None).await.unwrap();
    assert!(!root.path().join("cold/tables/readings").is_symlink());
    assert_eq!(runs(), 0, "nothing names them any more");
    assert_eq!(published(root.path(), "others").len(), 1);

    let again = database.create("readings").await;
    assert!(again.id > table.id);
    let compacted = database.compactor.compact(Some("readings")).await.unwrap();
    assert_eq!((compacted[0].generation, compacted[0].total.rows, compacted[0].total.files), (1, 0, 1));
    assert_eq!(published(root.path(), "readings").len(), 1, "an empty table has a file that tells its columns");
    database.put(&again, vec![reading(2, 2, "2")]).await;
    database.compactor.compact(None).await.unwrap();
    assert_eq!(database.scan(&again).await.len(), 1);
    let types = database.store.manifest().types_of(&again);
    let columns: Vec<_> =
        types.columns().iter().map(|column| (column.name.as_str(), column.column_type.clone())).collect();
    let key = [("device", ColumnType::String), ("ts", ColumnType::Time(TimeUnit::Millis))];
    assert_eq!(columns[..2], key, "the first rows widen the columns of the key");
    database.close().await;

    let database = Database::open_with(root.path(), Config::default(), START_US + 20 * 60 * 1_000_000);
    assert_eq!(database.scan(&again).await.len(), 1);
    while let Some(task) = database.compactor.next_task() {
        let mut job = database.compactor.start(&task);
        while job.step().unwrap() == Step::More {}
    }
    let mut names: Vec<_> = std::fs::read_dir(root.path().join("cold/generations"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, [format!("{}-1", other.id.0).as_str(), format!("{}-2", again.id.0).as_str()]);
    let unknown = database.compactor.compact(Some("nothing")).await.unwrap_err();
    assert_eq!(unknown.to_string(), "table nothing not found");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_file_of_a_generation_has_the_widest_types() {
    let root = tempfile::tempdir().unwrap();
    let database = Database::open_with(root.path(), Config { file_bytes_max: 1, ..Config::default() }, START_US);
    let table = database.create("readings").await;
    for (round, value) in ["1", "2.5", "-12345.678", "123456789012345678901"].into_iter().enumerate() {
        let item = |device| reading(device, round as u64, value);
        let mut items: Vec<_> = (0..20).map(item).collect();
        items[0].insert(format!("extra-{round}"), number("1"));
        database.put(&table, items).await;
        assert!(database.store.seal().await.unwrap());
        let mut job = database.compactor.start(&Task::Flush);
        while job.step().unwrap() == Step::More {}
    }
    database.compactor.compact(None).await.unwrap();
    let view = database.store.view();
    let files: Vec<_> = view.files.table_files(table.id).collect();
    assert_eq!(files.len(), 3, "one a shard");
    let types = &database.store.manifest().cold_tables[&table.id].types;
    assert!(files.iter().all(|file| file.types() == types));
    assert_eq!(types.columns().len(), 3 + 4);
    assert_eq!(database.scan(&table).await.len(), 80);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_background_publishes_what_is_written_and_stops_when_told() {
    let root = tempfile::tempdir().unwrap();
    let config = Config { seal_interval: Duration::from_millis(300), ..Config::default() };
    let database = Database::open_with(root.path(), config, START_US);
    let table = database.create("readings").await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let compactor = database.compactor.clone();
    let background = tokio::spawn(async move { compactor.run(stopped).await });
    database.put(&table, vec![reading(1, 1, "1")]).await;
    let published = async {
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        while published(root.path(), "readings").is_empty() {
            tick.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), published).await.unwrap();
    stop.send(true).unwrap();
    tokio::time::timeout(Duration::from_secs(20), background).await.unwrap().unwrap();
    assert_eq!(database.scan(&table).await.len(), 1);
}

/// Writes sealed rows to runs.
async fn flush(database: &Database) {
    assert!(database.store.seal().await.unwrap());
    let mut job = database.compactor.start(&Task::Flush);
    while job.step().unwrap() == Step::More {}
}

#[tokio::test(flavor = "multi_thread")]
async fn files_apart_go_on_as_they_are_until_rows_or_types_change() {
    let root = tempfile::tempdir().unwrap();
    // No file is small.
    let config = Config { file_bytes_max: 1, ..Config::default() };
    let database = Database::open_with(root.path(), config, START_US);
    let table = database.create("readings").await;
    let of_devices =
        |devices: std::ops::Range<u64>| devices.map(|device| reading(device, 1, "1.5")).collect::<Vec<_>>();
    let ids = || -> BTreeSet<_> {
        let manifest = database.store.manifest();
        manifest.files.values().filter(|entry| entry.rows > 0).map(|entry| entry.id).collect()
    };
    database.put(&table, of_devices(100..160)).await;
    flush(&database).await;
    let runs = ids();
    let published_first = database.compactor.compact(None).await.unwrap().remove(0);
    assert_eq!((published_first.written.rows, published_first.total.rows), (60, 60));
    assert_eq!(ids(), runs, "the first runs are the first generation");
    assert_eq!(std::fs::read_dir(root.path().join("cold/runs")).unwrap().count(), 0);

    database.put(&table, of_devices(300..360)).await;
    let second = database.compactor.compact(None).await.unwrap().remove(0);
    assert_eq!((second.written.rows, second.total.rows), (60, 120));
    assert!(ids().is_superset(&runs), "greater keys leave them as they are");
    assert_eq!(published(root.path(), "readings").len(), ids().len());

    let before = ids();
    database.remove(&table, of_devices(100..101)).await;
    let third = database.compactor.compact(None).await.unwrap().remove(0);
    assert_eq!(third.total.rows, 119);
    assert_eq!(ids().intersection(&before).count(), before.len() - 1, "one file had the removed key");
    assert_eq!(third.written.files, 1);

    let before = ids();
    database.put(&table, vec![reading(500, 1, "1.125")]).await;
    let fourth = database.compactor.compact(None).await.unwrap().remove(0);
    assert_eq!((fourth.written.rows, fourth.total.rows), (120, 120), "all files have the wider column");
    assert!(ids().is_disjoint(&before));
    assert_eq!(database.scan(&table).await.len(), 120);
    database.close().await;
    let verified = compactor::verify(&store::env::OsDisk::open(root.path()).unwrap()).unwrap();
    assert!(verified.problems.is_empty(), "{:?}", verified.problems);
}

#[tokio::test(flavor = "multi_thread")]
async fn types_that_widen_late_in_a_flush_hold_in_all_of_its_files() {
    let root = tempfile::tempdir().unwrap();
    let database = Database::open(root.path());
    let table = database.create("readings").await;
    let other = database.create("others").await;
    let mut items: Vec<_> = (0..9000).map(|at| reading(at % 7, at, "1.5")).collect();
    items[8000] = reading(8000 % 7, 8000, "123456789012345678.25");
    items[8500].insert("note", item::Value::from("late"));
    database.put(&other, vec![reading(1, 1, "7")]).await;
    database.put(&table, items).await;
    let expected = database.scan(&table).await;
    flush(&database).await;
    let manifest = database.store.manifest();
    let view = database.store.view();
    let types = &manifest.cold_tables[&table.id].types;
    assert_eq!(types.columns().len(), 4);
    assert!(view.files.table_files(table.id).all(|file| file.types() == types));
    assert_eq!(manifest.files.values().map(|entry| entry.residual_values).sum::<u64>(), 0);
    let runs = std::fs::read_dir(root.path().join("cold/runs")).unwrap().count();
    assert_eq!(runs, manifest.files.len(), "what was given up is removed");
    assert_eq!(database.scan(&table).await, expected);
    assert_eq!(database.scan(&other).await.len(), 1);
}
