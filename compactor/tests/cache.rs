//! Reading more cold data than the cache's memory holds: the SSD answers, and the metrics tell.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::sync::Arc;

use compactor::Config;
use item::{Item, Key, Value};
use metrics_exporter_prometheus::PrometheusBuilder;
use store::{
    cache::{Cache, CacheConfig},
    env::OsDisk,
};
use support::{Database, START_US, reading};

const ROWS: u64 = 4000;

/// A reading with a text that does not compress.
fn large(at: u64) -> Item {
    let mut item = reading(at % 10, at, "1.5");
    let mut state = at + 1;
    let mut text = String::new();
    for _ in 0..80 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.push_str(&format!("{state:016x}"));
    }
    item.insert("text", Value::from(text));
    item
}

#[test]
fn data_larger_than_memory_is_read_through_ssd() {
    let root = tempfile::tempdir().unwrap();
    let recorder = PrometheusBuilder::new().build_recorder();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    metrics::with_local_recorder(&recorder, || {
        runtime.block_on(async {
            let memory_bytes = 512 << 10;
            let cache = CacheConfig { memory_bytes, ssd_bytes: 64 << 20, directory: root.path().join("cache") };
            let cache = Cache::open(cache).await.unwrap();
            let disk = Arc::new(OsDisk::open(root.path().join("data")).unwrap());
            let database = Database::open_on(disk, cache.clone(), Config::default(), START_US);
            let table = database.create("readings").await;
            for from in (0..ROWS).step_by(500) {
                database.put(&table, (from..from + 500).map(large).collect()).await;
            }
            let compacted = database.compactor.compact(None).await.unwrap();
            assert!(compacted[0].total.bytes > 4 * memory_bytes as u64, "{compacted:?}");
            for _ in 0..2 {
                for at in 0..ROWS {
                    let item = large(at);
                    let key = Key::of_item(&table, &item).unwrap();
                    // Twice: the second time its pages are in memory.
                    if at % 100 == 0 {
                        assert_eq!(database.store.get(&table, &key).await.unwrap().as_ref(), Some(&item));
                        assert_eq!(database.store.get(&table, &key).await.unwrap(), Some(item));
                    }
                }
            }
            database.close().await;
            cache.close().await;
        });
    });
    let text = recorder.handle().render();
    let counter = |name: &str| -> u64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0, |value| value.parse().unwrap())
    };
    for name in ["memory_hits", "memory_misses", "ssd_hits", "ssd_misses"] {
        assert!(counter(&format!("thalweg_cache_{name}_total")) > 0, "{name}: {text}");
    }
    assert_eq!(counter("thalweg_cache_failures_total"), 0);
}
