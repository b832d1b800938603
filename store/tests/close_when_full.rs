//! A store whose memory is full, and whose flushes never come, must still close: it refuses what it cannot take.

mod support;

use item::Value;
use store::Config;
use support::{create, open, put, reading, readings};

#[tokio::test]
async fn closing_refuses_what_waits_for_a_flush() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { memtable_bytes_max: 4 << 10, sealed_max: 1, ..Config::default() };
    let store = open(dir.path(), config);
    let table = create(&store, readings("plants", false)).await;
    let text = Value::String("x".repeat(1 << 10));
    // No compactor runs, so some write is the first that waits; it waits until the store closes.
    let writer = tokio::spawn({
        let store = store.clone();
        async move {
            let mut stored = 0;
            loop {
                match store.write(vec![put(&table, reading("pump", stored, &[("v", text.clone())]))]).await {
                    Ok(_) => stored += 1,
                    Err(error) => return (stored, error),
                }
            }
        }
    });
    // Full: as many sealed sets as may wait, and no room in the active one.
    let mut applied = store.applied();
    loop {
        let view = store.view();
        let active: usize = view.active.iter().map(|memtable| memtable.bytes()).sum();
        if !view.sealed.is_empty() && active >= 4 << 10 {
            break;
        }
        applied.changed().await.unwrap();
    }
    assert!(!store.seal().await.unwrap(), "no more sets may wait than the bound says");
    store.close().await.unwrap();
    let (stored, error) = writer.await.unwrap();
    assert!(matches!(error, store::Error::Closed), "{error}");
    assert!(stored >= 4, "{stored}");
}
