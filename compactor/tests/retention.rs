//! The log is kept for its time, or for less if it would take too many bytes, and never less than what is not flushed.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{sync::atomic::Ordering, time::Duration};

use compactor::Config;
use support::{Database, START_US, reading};
use tokio::sync::watch;

const HOUR_US: u64 = 3_600_000_000;

/// Fills a few segments of 1 MiB.
async fn write_round(database: &Database, round: u64) {
    let table = database.store.catalog().by_name("readings").unwrap().clone();
    for part in 0..4 {
        let item = |at: u64| {
            let mut item = reading(at, round * 4 + part, "1");
            item.insert("filler", item::Value::from("x".repeat(1000)));
            item
        };
        database.put(&table, (0..1000).map(item).collect()).await;
    }
}

async fn write_rounds(database: &Database, rounds: u64) {
    for round in 0..rounds {
        write_round(database, round).await;
        database.compactor.compact(None).await.unwrap();
        database.clock.0.fetch_add(HOUR_US, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_are_given_up_once_flushed_and_older_than_the_retention() {
    let root = tempfile::tempdir().unwrap();
    let config = Config { retention: Duration::from_secs(3 * 3600), ..Config::default() };
    let database = Database::open_with(root.path(), config, START_US);
    database.create("readings").await;
    write_rounds(&database, 3).await;
    assert_eq!(database.store.log().trim_point().0, 1, "nothing is old yet");
    write_rounds(&database, 3).await;
    let trim_point = database.store.log().trim_point();
    let kept_from = database.store.log().find_time(START_US + 2 * HOUR_US).unwrap();
    assert!(trim_point.0 > 1 && trim_point <= kept_from, "{trim_point:?} {kept_from:?}");
    let rows = database.compactor.compact(None).await.unwrap()[0].total.rows;
    database.close().await;
    let database = Database::open_with(root.path(), Config::default(), START_US + 10 * HOUR_US);
    assert_eq!(database.compactor.compact(None).await.unwrap()[0].total.rows, rows);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_over_its_size_is_kept_shorter() {
    let root = tempfile::tempdir().unwrap();
    let config = Config { retention_bytes: 1 << 20, ..Config::default() };
    let database = Database::open_with(root.path(), config, START_US);
    database.create("readings").await;
    write_rounds(&database, 6).await;
    assert!(database.store.log().trim_point().0 > 1);
    assert!(database.store.log().bytes() <= 4 << 20, "{}", database.store.log().bytes());
}

/// Frames that had been flushed long ago were kept until the next flush, however old they were.
#[tokio::test(flavor = "multi_thread")]
async fn frames_grow_too_old_also_while_nothing_is_flushed() {
    let root = tempfile::tempdir().unwrap();
    let config = Config { retention: Duration::from_secs(3 * 3600), ..Config::default() };
    let database = Database::open_with(root.path(), config, START_US);
    let table = database.create("readings").await;
    write_rounds(&database, 2).await;
    write_round(&database, 2).await;
    let flushed = database.store.manifest().flushed;
    assert_eq!(database.store.log().trim_point().0, 1, "nothing is old yet");
    database.clock.0.fetch_add(10 * HOUR_US, Ordering::Relaxed);

    let (stop, stopping) = watch::channel(false);
    let compactor = database.compactor.clone();
    let running = tokio::spawn(async move { compactor.run(stopping).await });
    let trimmed = async {
        let mut look = tokio::time::interval(Duration::from_millis(10));
        while database.store.log().trim_point().0 == 1 {
            look.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), trimmed).await.unwrap();
    stop.send(true).unwrap();
    running.await.unwrap();

    assert_eq!(database.store.manifest().flushed, flushed, "nothing was flushed");
    assert!(database.store.log().trim_point() <= flushed.next(), "what is not flushed stays");
    database.close().await;
    let database = Database::open_with(root.path(), Config::default(), START_US + 12 * HOUR_US);
    assert_eq!(database.scan(&table).await.len(), 12_000);
}
