//! The cache of cold pages: memory first, SSD second. Its keys name immutable bytes, so nothing is ever invalidated.

#[cfg(test)]
mod tests;

use std::{io::Write, ops::Range, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use foyer::{
    BlockEngineConfig, Code, DeviceBuilder, FsDeviceBuilder, HybridCache, HybridCacheBuilder, HybridCachePolicy,
    PsyncIoEngineConfig, S3FifoConfig, Source,
};
use metrics::Counter;

use crate::{Error, files::FileId, metric::Metric};

/// Metrics of the cache of pages. A hit ratio is hits by hits and misses.
pub const METRICS: &[Metric] = &[
    Metric::counter("thalweg_cache_memory_hits_total", "Pages of cold files found in memory"),
    Metric::counter("thalweg_cache_memory_misses_total", "Pages of cold files not found in memory"),
    Metric::counter("thalweg_cache_ssd_hits_total", "Pages not in memory, found in the cache on SSD"),
    Metric::counter("thalweg_cache_ssd_misses_total", "Pages neither in memory nor on SSD, so read from their file"),
    Metric::counter("thalweg_cache_read_bytes_total", "Bytes read from cold files"),
    Metric::counter(
        "thalweg_cache_failures_total",
        "Look-ups that failed in the cache itself, so that the file was read",
    ),
    Metric::gauge("thalweg_cache_memory_used_bytes", "Bytes of pages in memory"),
];

/// The smallest SSD part: it is written and emptied by blocks, and needs a few to turn over.
pub const SSD_BYTES_MIN: usize = 4 * BLOCK_BYTES_MIN;

/// A block of the SSD part is one file, which stays open. Up to 256 of them are as small as this; a larger cache has
/// larger ones, so that it does not need thousands of open files. Places in a block are 32-bit numbers.
const BLOCK_BYTES_MIN: usize = 16 << 20;
const BLOCK_BYTES_MAX: usize = 1 << 30;
const BLOCKS: usize = 256;

/// What is on its way to the SSD may take so long to arrive when the cache closes. It is only a cache.
const CLOSE_MAX: Duration = Duration::from_secs(5);

/// How large the cache may grow.
#[derive(Clone, Debug)]
pub struct CacheConfig {
    /// Bytes of pages in memory. Default 256 MiB.
    pub memory_bytes: usize,
    /// Bytes of pages on SSD; 0 for none, else at least [`SSD_BYTES_MIN`]. Default 4 GiB.
    pub ssd_bytes: usize,
    /// Where the pages on SSD lie. It may be emptied while nothing runs.
    pub directory: PathBuf,
}

impl CacheConfig {
    /// The default sizes, with the SSD part in `directory`.
    pub fn new(directory: impl Into<PathBuf>) -> CacheConfig {
        CacheConfig { memory_bytes: 256 << 20, ssd_bytes: 4 << 30, directory: directory.into() }
    }
}

/// Bytes of immutable files, by (file, range).
#[derive(Clone, Debug)]
pub enum Cache {
    /// Every read goes to the disk, on the calling thread. For the simulator and for tools.
    Off,
    /// Memory and SSD. Reads of files are on threads of their own; of one page, one at a time.
    Hybrid(HybridCache<PageKey, Bytes>, Arc<Meter>),
}

/// What every look-up counts, looked up once.
#[derive(Debug)]
pub struct Meter {
    memory_hits: Counter,
    memory_misses: Counter,
    ssd_hits: Counter,
    ssd_misses: Counter,
}

impl Meter {
    fn new() -> Meter {
        Meter {
            memory_hits: metrics::counter!("thalweg_cache_memory_hits_total"),
            memory_misses: metrics::counter!("thalweg_cache_memory_misses_total"),
            ssd_hits: metrics::counter!("thalweg_cache_ssd_hits_total"),
            ssd_misses: metrics::counter!("thalweg_cache_ssd_misses_total"),
        }
    }

    fn found(&self, source: Source) {
        if source == Source::Memory {
            return self.memory_hits.increment(1);
        }
        self.memory_misses.increment(1);
        if source == Source::Disk { self.ssd_hits.increment(1) } else { self.ssd_misses.increment(1) }
    }
}

/// Which bytes. The checksum tells files of one number in different data directories apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PageKey {
    file: FileId,
    file_crc32c: u32,
    offset: u64,
    bytes: u64,
}

impl PageKey {
    /// The bytes `range` of a file with this number and checksum.
    pub fn new(file: FileId, file_crc32c: u32, range: &Range<u64>) -> PageKey {
        PageKey { file, file_crc32c, offset: range.start, bytes: range.end - range.start }
    }
}

impl Cache {
    /// Opens the cache with what an earlier one left on SSD. Needs a tokio runtime.
    pub async fn open(config: CacheConfig) -> Result<Cache, Error> {
        let path = config.directory.display().to_string();
        let failed = |error: foyer::Error| Error::Io {
            operation: "open cache",
            path: path.clone(),
            source: Arc::new(std::io::Error::other(error.to_string())),
        };
        let hybrid = |cache| Cache::Hybrid(cache, Arc::new(Meter::new()));
        let builder = HybridCacheBuilder::new()
            .with_name("cold-pages")
            // Written when read: a crash must not empty the SSD.
            .with_policy(HybridCachePolicy::WriteOnInsertion)
            .with_flush_on_close(false)
            .memory(config.memory_bytes)
            .with_eviction_config(S3FifoConfig::default())
            .with_weighter(|_: &PageKey, page: &Bytes| size_of::<PageKey>() + page.len())
            .storage();
        if config.ssd_bytes == 0 {
            return builder.build().await.map(hybrid).map_err(failed);
        }
        crate::env::make_dirs(&config.directory).map_err(Error::io("create directory", path.as_str()))?;
        let device = FsDeviceBuilder::new(&config.directory).with_capacity(config.ssd_bytes).build().map_err(failed)?;
        let engine = BlockEngineConfig::new(device).with_block_size(block_bytes(config.ssd_bytes));
        let builder = builder.with_io_engine_config(PsyncIoEngineConfig::new()).with_engine_config(engine);
        builder.build().await.map(hybrid).map_err(failed)
    }

    /// The bytes of `key`, from memory, SSD, or `read`.
    pub async fn get_or_read(
        &self,
        key: PageKey,
        read: impl Fn() -> Result<Bytes, Error> + Clone + Send + Sync + 'static,
    ) -> Result<Bytes, Error> {
        let Cache::Hybrid(cache, meter) = self else { return read() };
        let fetch = read.clone();
        match cache.get_or_fetch(&key, || read_on_thread(fetch)).await {
            Ok(entry) => {
                meter.found(entry.source());
                Ok(entry.value().clone())
            }
            Err(error) => match error.downcast_ref::<Error>() {
                Some(error) => Err(error.clone()),
                None => {
                    // The cache may fail; the answer may not.
                    metrics::counter!("thalweg_cache_failures_total").increment(1);
                    tracing::warn!(%error, "the cache failed, reading the file");
                    read_on_thread(read).await
                }
            },
        }
    }

    /// Bytes of pages in memory.
    pub fn memory_bytes(&self) -> usize {
        match self {
            Cache::Off => 0,
            Cache::Hybrid(cache, _) => cache.memory().usage(),
        }
    }

    /// Lets what is on its way to the SSD arrive, for a few seconds at most.
    pub async fn close(&self) {
        self.close_within(CLOSE_MAX).await;
    }

    async fn close_within(&self, limit: Duration) {
        let Cache::Hybrid(cache, _) = self else { return };
        match tokio::time::timeout(limit, cache.close()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the cache did not close cleanly"),
            Err(_) => {
                tracing::warn!(after_s = limit.as_secs(), "the cache did not close in time; its newest pages are lost")
            }
        }
    }
}

/// The size of a block in an SSD part of `ssd_bytes`.
fn block_bytes(ssd_bytes: usize) -> usize {
    (ssd_bytes / BLOCKS).clamp(BLOCK_BYTES_MIN, BLOCK_BYTES_MAX).next_multiple_of(4096)
}

async fn read_on_thread(read: impl Fn() -> Result<Bytes, Error> + Send + 'static) -> Result<Bytes, Error> {
    let bytes = tokio::task::spawn_blocking(read).await.map_err(|_| Error::Closed)??;
    metrics::counter!("thalweg_cache_read_bytes_total").increment(bytes.len() as u64);
    Ok(bytes)
}

impl Code for PageKey {
    fn encode(&self, writer: &mut impl Write) -> foyer::Result<()> {
        let PageKey { file, file_crc32c, offset, bytes } = *self;
        file.0.encode(writer)?;
        file_crc32c.encode(writer)?;
        offset.encode(writer)?;
        bytes.encode(writer)
    }

    fn decode(reader: &mut impl std::io::Read) -> foyer::Result<Self> {
        let file = FileId(u64::decode(reader)?);
        let file_crc32c = u32::decode(reader)?;
        Ok(PageKey { file, file_crc32c, offset: u64::decode(reader)?, bytes: u64::decode(reader)? })
    }

    fn estimated_size(&self) -> usize {
        28
    }
}
