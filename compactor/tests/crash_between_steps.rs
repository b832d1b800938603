//! The process dies between any two steps of a flush, a merge, a collection. Reopened, the directory gives the same
//! answers, its links lead to what the manifest says, and nothing unnamed is left.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::path::Path;

use compactor::{Config, Step, Task};
use support::{Database, START_US, copy, published, reading};

#[tokio::test(flavor = "multi_thread")]
async fn dying_between_any_two_steps_loses_and_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    let live = root.path().join("live");
    let config = Config { grace: std::time::Duration::ZERO, file_bytes_max: 1, ..Config::default() };
    let database = Database::open_with(&live, config, START_US);
    let table = database.create("readings").await;
    let gone = database.create("gone").await;
    let mut copies = 0;
    for round in 0..3 {
        database.put(&table, (0..2500).map(|at| reading(at % 5, at + round, "1.5")).collect()).await;
        database.put(&gone, vec![reading(round, round, "2")]).await;
        database.remove(&table, (0..50).map(|at| reading(at % 5, at, "0")).collect()).await;
        if round == 2 {
            database.drop_table("gone").await;
        }
        let expected = database.scan(&table).await;
        assert!(database.store.seal().await.unwrap());
        while let Some(task) = database.compactor.next_task() {
            let mut job = database.compactor.start(&task);
            loop {
                let step = job.step().unwrap();
                copies += 1;
                let dead = root.path().join(format!("dead-{copies}"));
                copy(&live, &dead);
                let reopened = Database::open_with(&dead, Config::default(), START_US);
                assert_eq!(reopened.scan(&table).await, expected, "after step {copies}, {task:?}");
                check_tidy(&dead, &reopened, &table.name);
                let compacted = reopened.compactor.compact(None).await.unwrap();
                assert_eq!(
                    compacted.iter().find(|it| it.table == "readings").unwrap().total.rows,
                    expected.len() as u64
                );
                check_tidy(&dead, &reopened, &table.name);
                drop(reopened);
                std::fs::remove_dir_all(&dead).unwrap();
                if step != Step::More {
                    break;
                }
            }
            if let Task::Merge(_) = task {
                assert!(!published(&live, "readings").is_empty());
            }
        }
    }
    assert!(copies > 50, "{copies}");
    assert_eq!(published(&live, "gone").len(), 0);
}

/// Only named files, and links as the manifest has them.
fn check_tidy(dir: &Path, database: &Database, table: &str) {
    let manifest = database.store.manifest();
    for entry in manifest.files.values() {
        assert!(dir.join(entry.path()).exists(), "{}", entry.path());
    }
    let named = |path: &Path| manifest.files.values().any(|entry| dir.join(entry.path()) == path);
    for run in std::fs::read_dir(dir.join("cold/runs")).unwrap() {
        assert!(named(&run.unwrap().path()));
    }
    let id = database.store.catalog().by_name(table).unwrap().id;
    let cold = manifest.cold_tables.get(&id);
    let linked = std::fs::canonicalize(dir.join("cold/tables").join(table)).ok();
    match cold.filter(|cold| cold.generation > 0) {
        None => assert_eq!(linked, None),
        Some(cold) => {
            let generation = dir.join(format!("cold/generations/{}-{}", id.0, cold.generation));
            assert_eq!(linked, Some(std::fs::canonicalize(&generation).unwrap()));
            for file in published(dir, table) {
                assert!(named(&generation.join(file)));
            }
        }
    }
}
