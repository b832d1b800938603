//! What is damaged, or not the database's, among backups and the pasts of tables costs nothing else: nothing that could still be
//! mended is removed, and neither the server's start nor other tables wait for it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
};

use compactor::{Compactor, Config, Error, Step};
use item::Table;
use store::{
    Store,
    cache::Cache,
    env::{Disk, OsDisk},
    write::TableWrite,
};
use support::{Database, START_US, TestClock, reading};

const DAY_US: u64 = 24 * 3600 * 1_000_000;

async fn protect(database: &Database, table: &Table) {
    let change = TableWrite::SetRecovery(table.name.clone(), Some(35));
    database.store.change_table(change).await.unwrap().unwrap();
    database.compactor.protect().await.unwrap();
}

async fn change(database: &Database, table: &Arc<Table>, value: &str) {
    database.clock.0.fetch_add(1_000_000, Ordering::Relaxed);
    database.put(table, (0..9).map(|at| reading(at % 3, at, value)).collect()).await;
    database.compactor.compact(None).await.unwrap();
}

/// Does all that is due.
fn work(database: &Database) {
    while let Some(task) = database.compactor.next_task() {
        let mut job = database.compactor.start(&task);
        while job.step().unwrap() == Step::More {}
    }
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn bases(past: &Path) -> Vec<PathBuf> {
    names(past).into_iter().filter(|name| name.starts_with("base-")).map(|name| past.join(name)).collect()
}

fn damage(base: &Path) {
    fs::write(base.join("backup.json"), "{\"format\": 1, \"crc32c\": \"00000000\", \"backup\":\n{}}\n").unwrap();
}

/// Reopens it, as a server does when it starts again.
fn reopen(dir: &Path, now_us: u64) -> Result<Compactor, Error> {
    let disk: Arc<dyn Disk> = Arc::new(OsDisk::open(dir).unwrap());
    let config = store::Config { segment_bytes: 1 << 20, shards: 3, disk_low_percent: 0, ..store::Config::default() };
    let store = Store::open(disk, Arc::new(TestClock(now_us.into())), config, Cache::Off).unwrap();
    Compactor::open(store, Config::default())
}

/// A directory with a table whose past has as many bases and history; answers its past's directory, and the time.
async fn prepare(dir: &Path, bases: u64) -> (PathBuf, u64) {
    let database = Database::open(dir);
    let table = database.create("readings").await;
    protect(&database, &table).await;
    for base in 1..=bases {
        change(&database, &table, &base.to_string()).await;
        if base < bases {
            database.clock.0.fetch_add(DAY_US, Ordering::Relaxed);
            work(&database);
        }
    }
    let now_us = database.clock.now();
    database.close().await;
    (dir.join(format!("pitr/{}", table.id.0)), now_us)
}

/// One damaged note had all of a table's history removed at the next open.
#[tokio::test(flavor = "multi_thread")]
async fn a_past_without_a_whole_base_is_kept_aside() {
    let root = tempfile::tempdir().unwrap();
    let (past, now_us) = prepare(root.path(), 1).await;
    let history = names(&past.join("history"));
    assert!(!history.is_empty());
    bases(&past).iter().for_each(|base| damage(base));
    let database = Database::open_with(root.path(), Config::default(), now_us);
    work(&database);
    let table = Arc::clone(database.store.catalog().by_name("readings").unwrap());
    assert_eq!(database.compactor.backups().past(table.id).unwrap().bases.len(), 1, "it began anew");
    assert_eq!(names(&past.with_extension("damaged-0").join("history")), history);
    database.close().await;
    let disk: Arc<dyn Disk> = Arc::new(OsDisk::open(root.path()).unwrap());
    let mut verified = compactor::verify(disk.as_ref()).unwrap();
    verified.check_backups(&disk).unwrap();
    assert!(verified.problems[0].to_string().contains("damaged-0"), "{:?}", verified.problems);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_goes_while_the_oldest_base_is_damaged() {
    let root = tempfile::tempdir().unwrap();
    let (past, now_us) = prepare(root.path(), 2).await;
    let before = names(&past.join("history"));
    let found = bases(&past);
    assert_eq!((found.len(), before.len()), (2, 2));
    damage(&found[0]);
    let database = Database::open_with(root.path(), Config::default(), now_us);
    let table = Arc::clone(database.store.catalog().by_name("readings").unwrap());
    assert_eq!(database.compactor.backups().past(table.id).unwrap().bases.len(), 1);
    assert_eq!((names(&past.join("history")), bases(&past)), (before, found));
    let base = database.compactor.as_of(table.id, None, "test".to_owned()).await.unwrap();
    assert!(base.is_some(), "the other base still serves");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_format_is_refused_and_stays() {
    let root = tempfile::tempdir().unwrap();
    let (past, now_us) = prepare(root.path(), 1).await;
    fs::write(bases(&past)[0].join("backup.json"), "{\"format\": 99}").unwrap();
    let refused = reopen(root.path(), now_us).err();
    assert!(matches!(refused, Some(Error::Store(store::Error::NewerFormat { found: 99, .. }))), "{refused:?}");
    assert!(!names(&past.join("history")).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_history_is_damage_and_not_emptiness() {
    let root = tempfile::tempdir().unwrap();
    let (past, now_us) = prepare(root.path(), 1).await;
    fs::remove_dir_all(past.join("history")).unwrap();
    let disk: Arc<dyn Disk> = Arc::new(OsDisk::open(root.path()).unwrap());
    let mut verified = compactor::verify(disk.as_ref()).unwrap();
    verified.check_backups(&disk).unwrap();
    assert!(verified.problems[0].to_string().contains("history"), "{:?}", verified.problems);
    drop(disk);
    let reopened = reopen(root.path(), now_us).unwrap();
    assert!(past.with_extension("damaged-0").exists());
    drop(reopened);
}

/// The history directory is there, and so synced with the first base, before anything is recorded.
#[tokio::test(flavor = "multi_thread")]
async fn a_past_begins_with_its_history() {
    let root = tempfile::tempdir().unwrap();
    let database = Database::open(root.path());
    let table = database.create("readings").await;
    protect(&database, &table).await;
    assert!(root.path().join(format!("pitr/{}/history", table.id.0)).is_dir());
}

/// A file in `backups/`, or a directory that somebody put there, kept the server from starting.
#[tokio::test(flavor = "multi_thread")]
async fn what_others_put_beside_backups_is_passed_over() {
    let root = tempfile::tempdir().unwrap();
    let (past, now_us) = prepare(root.path(), 1).await;
    let unfinished = "backups/01700000000000-00000001";
    let strangers = [
        "backups/README",
        "backups/copy/manifest/notes",
        "backups/01700000000000-00000002",
        &format!("{unfinished}/notes"),
        "pitr/README",
        "pitr/77",
    ];
    for path in strangers {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "by hand").unwrap();
    }
    fs::write(past.join("base-README"), "by hand").unwrap();
    let compactor = reopen(root.path(), now_us).unwrap();
    assert!(compactor.backups().list().is_empty());
    strangers.iter().for_each(|path| assert!(root.path().join(path).exists(), "{path}"));
    drop(compactor);
}

/// Each try left another directory, and no other table's continuous backups could be turned on meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_table_that_cannot_be_preserved_holds_nobody_up() {
    let root = tempfile::tempdir().unwrap();
    let database = Database::open(root.path());
    let table = database.create("readings").await;
    let other = database.create("other").await;
    change(&database, &table, "1").await;
    protect(&database, &table).await;
    let past = root.path().join(format!("pitr/{}", table.id.0));
    let files = bases(&past)[0].join("cold/generations");
    let generation = files.join(&names(&files)[0]);
    fs::remove_file(generation.join(&names(&generation)[0])).unwrap();
    database.drop_table("readings").await;
    database.compactor.compact(None).await.unwrap();
    let backups = database.compactor.backups();
    for _ in 0..3 {
        assert!(backups.meet_need().is_err());
        assert_eq!(names(&root.path().join("backups")), Vec::<String>::new());
        assert_eq!(backups.need(&database.store.manifest(), database.clock.now()), None, "not at once again");
        database.clock.0.fetch_add(61_000_000, Ordering::Relaxed);
    }
    protect(&database, &other).await;
    assert!(backups.past(other.id).is_some());
}

/// The log's times do not go back with the clock, and neither may those of bases.
#[tokio::test(flavor = "multi_thread")]
async fn a_base_is_not_before_what_it_holds() {
    let root = tempfile::tempdir().unwrap();
    let database = Database::open(root.path());
    let table = database.create("readings").await;
    change(&database, &table, "1").await;
    let committed_us = database.clock.now();
    database.clock.0.store(START_US - 3_600_000_000, Ordering::Relaxed);
    let made = database.compactor.back_up(table.id, "made".to_owned()).await.unwrap().unwrap();
    assert!(made.note.as_of_us >= committed_us);
    protect(&database, &table).await;
    assert!(database.compactor.backups().past(table.id).unwrap().bases[0].note.as_of_us >= committed_us);
}
