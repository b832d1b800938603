//! A table with continuous backups, written to at random, over flushes, merges, restarts and trims of the log, can be had as
//! it was at any time since.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, atomic::Ordering},
};

use backup::{Base, Cursor};
use compactor::{Config, Step};
use item::{Item, Key, Table};
use store::{
    env::{Disk, OsDisk},
    write::TableWrite,
};
use support::{Database, START_US, copy, reading};

type Model = BTreeMap<Key, Item>;

/// Numbers that look random, the same ones every time.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

fn config() -> Config {
    // Nothing is kept for streams, so only what is not recorded holds the log.
    Config { retention: std::time::Duration::ZERO, grace: std::time::Duration::ZERO, ..Config::default() }
}

async fn protect(database: &Database, table: &Table, days: u8) {
    let change = TableWrite::SetRecovery(table.name.clone(), Some(days));
    database.store.change_table(change).await.unwrap().unwrap();
    database.compactor.protect().await.unwrap();
}

/// Every item of a base, by key.
fn read(base: &Base) -> Model {
    let rows = base.rows().unwrap();
    let mut items = Model::new();
    let mut cursor = Cursor::default();
    while let Some((some, next)) = rows.next(&cursor).unwrap() {
        for row in some {
            assert!(items.insert(row.key, row.image.unwrap().decode().unwrap()).is_none(), "a key comes once");
        }
        cursor = next;
    }
    items
}

async fn as_of(database: &Database, table: &Table, at_us: Option<u64>) -> Option<Model> {
    let base = database.compactor.as_of(table.id, at_us, "test".to_owned()).await.unwrap()?;
    let items = read(&base);
    database.compactor.backups().remove_scratch("test").unwrap();
    Some(items)
}

async fn change(database: &Database, table: &Arc<Table>, random: &mut Random) {
    let batch = |random: &mut Random| {
        let count = 1 + random.below(40);
        (0..count).map(|_| (random.below(20), random.below(30))).collect::<std::collections::BTreeSet<_>>()
    };
    let puts = batch(random);
    let value = random.below(1_000_000).to_string();
    database.put(table, puts.into_iter().map(|(device, ts)| reading(device, ts, &value)).collect()).await;
    let removed = batch(random).into_iter().map(|(device, ts)| reading(device, ts, "0"));
    database.remove(table, removed.collect()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_time_of_a_random_life_comes_back() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path();
    let random = &mut Random(7);
    let mut database = Database::open_with(dir, config(), START_US);
    let mut table = database.create("readings").await;
    let other = database.create("other").await;
    change(&database, &table, random).await;
    protect(&database, &table, 35).await;
    let began_us = database.clock.now();
    let mut models: Vec<(u64, Model)> = vec![(began_us, database.scan(&table).await)];
    for _ in 0..60 {
        database.clock.0.fetch_add(1_000_000 + random.below(3_000_000), Ordering::Relaxed);
        change(&database, &table, random).await;
        change(&database, &other, random).await;
        models.push((database.clock.now(), database.scan(&table).await));
        match random.below(8) {
            0..=2 => drop(database.compactor.compact(None).await.unwrap()),
            3 => {
                assert!(database.store.seal().await.unwrap());
                work(&database);
                database.compactor.trim().unwrap();
            }
            4 => {
                // A day goes by: another base is due.
                database.clock.0.fetch_add(24 * 3600 * 1_000_000, Ordering::Relaxed);
            }
            5 => {
                let now_us = database.clock.now();
                database.close().await;
                database = Database::open_with(dir, config(), now_us);
                table = Arc::clone(database.store.catalog().by_name("readings").unwrap());
            }
            _ => {}
        }
    }
    let bases = database.compactor.backups().past(table.id).unwrap().bases.len();
    assert!(bases > 2, "{bases}");
    let mut checked = 0;
    for (at, (at_us, model)) in models.iter().enumerate() {
        if random.below(2) == 0 {
            continue;
        }
        let next_us = models.get(at + 1).map_or(u64::MAX, |(next_us, _)| *next_us);
        // Until right before the next change.
        for at_us in [*at_us, (*at_us + 999_999).min(next_us - 1)] {
            assert_eq!(as_of(&database, &table, Some(at_us)).await.as_ref(), Some(model), "at {at_us}");
            checked += 1;
        }
    }
    assert!(checked >= 20, "{checked}");
    assert_eq!(as_of(&database, &table, None).await, models.pop().map(|(_, model)| model));
    assert_eq!(as_of(&database, &table, Some(began_us - 1)).await, None, "before it began");
    database.close().await;
    let disk: Arc<dyn Disk> = Arc::new(OsDisk::open(dir).unwrap());
    let mut verified = compactor::verify(disk.as_ref()).unwrap();
    verified.check_backups(&disk).unwrap();
    assert!(verified.problems.is_empty(), "{:?}", verified.problems);
    assert!(verified.bases > 2 && verified.history_files > 10, "{} {}", verified.bases, verified.history_files);
    let damaged = std::fs::read_dir(dir.join(format!("pitr/{}/history", table.id.0))).unwrap().next().unwrap().unwrap();
    let mut bytes = std::fs::read(damaged.path()).unwrap();
    bytes[40] ^= 1;
    std::fs::write(damaged.path(), bytes).unwrap();
    let mut verified = compactor::verify(disk.as_ref()).unwrap();
    verified.check_backups(&disk).unwrap();
    let name = damaged.file_name().into_string().unwrap();
    assert_eq!(verified.problems.len(), 1);
    assert!(verified.problems[0].to_string().contains(&name), "{:?}", verified.problems);
}

/// Does all that is due.
fn work(database: &Database) {
    while let Some(task) = database.compactor.next_task() {
        let mut job = database.compactor.start(&task);
        while job.step().unwrap() == Step::More {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_period_does_not_reach_goes() {
    let root = tempfile::tempdir().unwrap();
    let random = &mut Random(3);
    let database = Database::open_with(root.path(), config(), START_US);
    let table = database.create("readings").await;
    protect(&database, &table, 2).await;
    let began_us = database.clock.now();
    for _ in 0..6 {
        database.clock.0.fetch_add(25 * 3600 * 1_000_000, Ordering::Relaxed);
        change(&database, &table, random).await;
        database.compactor.compact(None).await.unwrap();
        work(&database);
    }
    let past = database.compactor.backups().past(table.id).unwrap();
    assert!((2..=4).contains(&past.bases.len()), "{:?}", past.bases);
    assert_eq!(as_of(&database, &table, Some(began_us + 1_000_000)).await, None);
    assert_eq!(as_of(&database, &table, None).await.unwrap(), database.scan(&table).await);
    let listed = std::fs::read_dir(root.path().join(format!("pitr/{}", table.id.0))).unwrap().count();
    assert_eq!(listed, past.bases.len() + 1, "bases and history, nothing else");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_outlives_its_table_and_a_restart() {
    let root = tempfile::tempdir().unwrap();
    let random = &mut Random(5);
    let database = Database::open_with(root.path(), config(), START_US);
    let table = database.create("readings").await;
    change(&database, &table, random).await;
    let expected = database.scan(&table).await;
    let made = database.compactor.back_up(table.id, "before".to_owned()).await.unwrap().unwrap();
    change(&database, &table, random).await;
    database.compactor.compact(None).await.unwrap();
    database.drop_table("readings").await;
    database.compactor.compact(None).await.unwrap();
    work(&database);
    assert_eq!(read(&made), expected);
    assert!(database.compactor.back_up(table.id, "after".to_owned()).await.unwrap().is_none());
    let (id, note, schema) = (made.id().to_owned(), made.note.clone(), Arc::clone(&made.table));
    // Who holds it holds the directory.
    drop(made);
    database.close().await;
    let database = Database::open_with(root.path(), config(), START_US);
    let found = database.compactor.backups().get(&id).unwrap();
    assert_eq!((&found.note, &found.table), (&note, &schema));
    assert_eq!(read(&found), expected);
    assert!(database.compactor.backups().delete(&id).unwrap().is_some());
    assert!(database.compactor.backups().list().is_empty());
    assert_eq!(std::fs::read_dir(root.path().join("backups")).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_deleted_with_continuous_backups_leaves_a_backup_for_35_days() {
    let root = tempfile::tempdir().unwrap();
    let random = &mut Random(11);
    let database = Database::open_with(root.path(), config(), START_US);
    let table = database.create("readings").await;
    change(&database, &table, random).await;
    protect(&database, &table, 35).await;
    change(&database, &table, random).await;
    database.compactor.compact(None).await.unwrap();
    change(&database, &table, random).await;
    let expected = database.scan(&table).await;
    database.drop_table("readings").await;
    database.compactor.compact(None).await.unwrap();
    work(&database);
    let backups = database.compactor.backups().list();
    assert_eq!(backups.len(), 1);
    assert_eq!(backups[0].note.name, "readings$DeletedTableBackup");
    assert_eq!(read(&backups[0]), expected);
    assert!(database.compactor.backups().past(table.id).is_none());
    assert_eq!(std::fs::read_dir(root.path().join("pitr")).unwrap().count(), 0);
    database.clock.0.fetch_add(35 * 24 * 3600 * 1_000_000, Ordering::Relaxed);
    work(&database);
    assert!(database.compactor.backups().list().is_empty());
}

/// The process dies between any two steps; reopened, the table can be had as of every time, and nothing is left over.
#[tokio::test(flavor = "multi_thread")]
async fn dying_between_steps_loses_no_time() {
    let root = tempfile::tempdir().unwrap();
    let live = root.path().join("live");
    let random = &mut Random(13);
    let database = Database::open_with(&live, config(), START_US);
    let table = database.create("readings").await;
    protect(&database, &table, 35).await;
    let mut models: Vec<(u64, Model)> = Vec::new();
    let mut copies = 0;
    for _ in 0..4 {
        database.clock.0.fetch_add(13 * 3600 * 1_000_000, Ordering::Relaxed);
        change(&database, &table, random).await;
        models.push((database.clock.now(), database.scan(&table).await));
        assert!(database.store.seal().await.unwrap());
        while let Some(task) = database.compactor.next_task() {
            let mut job = database.compactor.start(&task);
            loop {
                let step = job.step().unwrap();
                database.compactor.trim().unwrap();
                copies += 1;
                check_copy(&live, &root.path().join(format!("dead-{copies}")), &database, &models).await;
                if step != Step::More {
                    break;
                }
            }
        }
    }
    assert!(copies > 20, "{copies}");
    let past = database.compactor.backups().past(table.id).unwrap();
    assert!(past.bases.len() > 1 && past.history.len() > 2, "{past:?}", past = past.bases);
}

async fn check_copy(live: &Path, dead: &Path, database: &Database, models: &[(u64, Model)]) {
    copy(live, dead);
    let reopened = Database::open_with(dead, config(), database.clock.now());
    let table = Arc::clone(reopened.store.catalog().by_name("readings").unwrap());
    for (at_us, model) in models {
        assert_eq!(as_of(&reopened, &table, Some(*at_us)).await.as_ref(), Some(model), "{}", dead.display());
    }
    drop(reopened);
    std::fs::remove_dir_all(dead).unwrap();
}
