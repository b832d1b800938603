use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::future::join_all;
use metrics_exporter_prometheus::PrometheusBuilder;

use super::{Cache, CacheConfig, PageKey, block_bytes};
use crate::{Error, files::FileId};

const PAGE_BYTES: usize = 64 << 10;
const PAGES: u64 = 64;

fn config(directory: &Path) -> CacheConfig {
    CacheConfig { memory_bytes: 16 * PAGE_BYTES, ssd_bytes: 64 << 20, directory: directory.to_owned() }
}

fn page(number: u64) -> Bytes {
    Bytes::from(vec![number as u8; PAGE_BYTES])
}

async fn get(cache: &Cache, number: u64) -> Bytes {
    let start = number * PAGE_BYTES as u64;
    let key = PageKey::new(FileId(1), 2, &(start..start + PAGE_BYTES as u64));
    cache.get_or_read(key, move || Ok(page(number))).await.unwrap()
}

async fn get_all(cache: &Cache) {
    for number in 0..PAGES {
        assert_eq!(get(cache, number).await, page(number));
    }
}

/// Runs `body` with a recorder of its own; answers a look-up of its counters.
fn counted(body: impl Future<Output = ()>) -> impl Fn(&str) -> u64 {
    let recorder = PrometheusBuilder::new().build_recorder();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    metrics::with_local_recorder(&recorder, || runtime.block_on(body));
    let text = recorder.handle().render();
    move |name| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0, |value| value.parse().unwrap())
    }
}

#[test]
fn data_larger_than_memory_is_found_on_ssd_also_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let counter = counted(async {
        let cache = Cache::open(config(directory.path())).await.unwrap();
        get_all(&cache).await;
        get(&cache, PAGES - 1).await;
        cache.close().await;
    });
    assert_eq!(counter("thalweg_cache_memory_misses_total"), PAGES);
    assert_eq!(counter("thalweg_cache_ssd_misses_total"), PAGES);
    assert_eq!(counter("thalweg_cache_memory_hits_total"), 1);
    let counter = counted(async {
        let cache = Cache::open(config(directory.path())).await.unwrap();
        get_all(&cache).await;
        get(&cache, PAGES - 1).await;
        cache.close().await;
    });
    assert_eq!(counter("thalweg_cache_ssd_hits_total"), PAGES);
    assert_eq!(counter("thalweg_cache_ssd_misses_total"), 0);
    assert_eq!(counter("thalweg_cache_memory_misses_total"), PAGES);
    assert_eq!(counter("thalweg_cache_memory_hits_total"), 1);
    assert_eq!(counter("thalweg_cache_failures_total"), 0);
}

#[tokio::test]
async fn one_page_is_read_once_however_many_ask() {
    let directory = tempfile::tempdir().unwrap();
    let cache = Cache::open(config(directory.path())).await.unwrap();
    let reads = Arc::new(AtomicUsize::new(0));
    let ask = || {
        let reads = Arc::clone(&reads);
        cache.get_or_read(PageKey::new(FileId(1), 2, &(0..10)), move || {
            reads.fetch_add(1, Ordering::Relaxed);
            Ok(Bytes::from_static(b"0123456789"))
        })
    };
    for answer in join_all((0..50).map(|_| ask())).await {
        assert_eq!(answer.unwrap(), "0123456789");
    }
    assert_eq!(reads.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_failed_read_is_told_and_not_kept() {
    let directory = tempfile::tempdir().unwrap();
    let cache = Cache::open(config(directory.path())).await.unwrap();
    let key = PageKey::new(FileId(1), 2, &(0..2));
    let corrupt = || Error::Corrupt { path: "cold/x".to_owned(), offset: 5, what: "torn".to_owned() };
    let error = cache.get_or_read(key, move || Err(corrupt())).await.unwrap_err();
    assert!(matches!(&error, Error::Corrupt { offset: 5, .. }), "{error}");
    assert_eq!(cache.get_or_read(key, || Ok(Bytes::from_static(b"ok"))).await.unwrap(), "ok");
}

/// A cache whose SSD part had no block waited for ever for one when it was closed, and the server could not be stopped.
#[tokio::test]
async fn closing_is_bounded_whatever_is_on_its_way() {
    let directory = tempfile::tempdir().unwrap();
    let blockless = CacheConfig { ssd_bytes: 1 << 20, ..config(directory.path()) };
    let cache = Cache::open(blockless).await.unwrap();
    get_all(&cache).await;
    let limit = Duration::from_millis(100);
    tokio::time::timeout(100 * limit, cache.close_within(limit)).await.expect("closed in time");
}

#[test]
fn a_larger_cache_has_larger_blocks_rather_than_more() {
    assert_eq!(block_bytes(64 << 20), 16 << 20);
    assert_eq!(block_bytes(4 << 30), 16 << 20);
    assert_eq!(block_bytes(16 << 30), 64 << 20);
    assert_eq!(block_bytes((16 << 30) + 1_000_000) % 4096, 0);
    assert_eq!(block_bytes(1 << 50), 1 << 30);
}
