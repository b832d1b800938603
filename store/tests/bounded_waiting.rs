//! Whoever waits for a store that takes no writes may stop waiting, and then knows whether the write can still happen.

mod support;

use std::time::Duration;

use item::{Table, Value};
use store::{Config, Error, Patience, Store};
use support::{create, key, open, put, reading, readings};

const SHORT: Patience = Patience { admission: Duration::from_millis(20), answer: Duration::from_secs(60) };

/// A store whose memory is full and that nothing flushes, its table, and how many items are in it.
async fn full(dir: &std::path::Path) -> (Store, std::sync::Arc<Table>, u64) {
    let config = Config { memtable_bytes_max: 4 << 10, sealed_max: 1, ..Config::default() };
    let store = open(dir, config);
    let table = create(&store, readings("plants", false)).await;
    let text = Value::String("x".repeat(1 << 10));
    for stored in 0.. {
        let batch = vec![put(&table, reading("pump", stored, &[("v", text.clone())]))];
        match store.write_within(batch, SHORT).await {
            Ok(_) => {}
            Err(Error::Busy) => return (store, table, stored),
            Err(error) => panic!("{error}"),
        }
    }
    unreachable!("the loop has no end");
}

#[tokio::test]
async fn a_write_that_was_not_admitted_in_time_is_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let (store, table, stored) = full(dir.path()).await;
    assert!(stored >= 4, "{stored}");
    let refused = store.change_table_within(store::write::TableWrite::Create(readings("other", false)), SHORT).await;
    assert!(matches!(refused, Err(Error::Busy)), "{refused:?}");
    assert!(matches!(store.health(SHORT).await, Err(Error::Busy)));
    // Opened again there is room, and nothing that was refused appears.
    store.close().await.unwrap();
    drop(store);
    let store = open(dir.path(), Config::default());
    assert!(store.get(&table, &key(&table, "pump", stored - 1)).await.unwrap().is_some());
    assert!(store.get(&table, &key(&table, "pump", stored)).await.unwrap().is_none());
    assert!(store.catalog().by_name("other").is_none());
    store.health(SHORT).await.unwrap();
    store.close().await.unwrap();
}

/// What waits in the core's own queue is no longer handed in, but can be taken back as well: then it is passed over, also
/// when there is room again.
#[tokio::test]
async fn what_was_taken_back_is_not_planned_later() {
    let dir = tempfile::tempdir().unwrap();
    let disk = store::env::OsDisk::open(dir.path()).unwrap();
    let config = Config::default();
    let (store, mut stepper) =
        Store::open_stepped(std::sync::Arc::new(disk), std::sync::Arc::new(store::env::OsClock), config).unwrap();
    let created = store.submit_table(store::write::TableWrite::Create(readings("plants", false))).unwrap();
    stepper.run();
    let table = created.await.unwrap().unwrap().unwrap();
    // Nobody drives the store, so nothing is admitted.
    let batch = vec![put(&table, reading("pump", 1, &[]))];
    assert!(matches!(store.write_within(batch, SHORT).await, Err(Error::Busy)));
    stepper.run();
    assert!(store.get(&table, &key(&table, "pump", 1)).await.unwrap().is_none());

    // What is admitted and never answered may have happened.
    let impatient = Patience { admission: Duration::from_millis(20), answer: Duration::from_millis(20) };
    let batch = vec![put(&table, reading("pump", 2, &[]))];
    let mut write = std::pin::pin!(store.write_within(batch, impatient));
    assert!(futures::poll!(write.as_mut()).is_pending());
    assert!(stepper.plan());
    assert!(matches!(write.await, Err(Error::Unanswered)));
    stepper.run();
    assert!(store.get(&table, &key(&table, "pump", 2)).await.unwrap().is_some());
}
