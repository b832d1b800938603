//! Settings of the store.

use crate::log::Preparation;

/// When an acknowledgement may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Durability {
    /// After the frame is synced to stable storage.
    #[default]
    Fsync,
    /// After the frame is handed to the operating system: a power cut loses acknowledged writes.
    Memory,
}

/// Settings, checked once at open.
#[derive(Clone, Debug)]
pub struct Config {
    /// When an acknowledgement may leave. Default: after the sync.
    pub durability: Durability,
    /// Shards of a new data directory, 1..=64; an existing one keeps its own. Default 4.
    pub shards: u16,
    /// Size of one log segment file, taken ahead. Default 64 MiB.
    pub segment_bytes: u64,
    /// When the next log segment is made. Default: ahead, on a thread of its own.
    pub log_preparation: Preparation,
    /// A set of memtables is sealed when it takes so many bytes of memory. Default 64 MiB.
    pub memtable_bytes_max: usize,
    /// Sealed sets that may wait for the compactor before writers wait. Default 4.
    pub sealed_max: usize,
    /// Bytes of writes admitted and not yet answered; more wait. Default 64 MiB.
    pub admission_bytes_max: usize,
    /// Events of one frame, in encoded bytes. Default 8 MiB.
    pub frame_bytes_max: usize,
    /// Memory for rows of cold data that were asked for by their key, and for keys between which others were, half each, in
    /// bytes; 0 for none. Default 64 MiB.
    pub row_cache_bytes: usize,
    /// Below so many percent of the disk the log is kept for less long than it should be. Default 10.
    pub disk_low_percent: u8,
    /// Below so many free bytes only what removes something is taken. Default: room for one flush, its manifest, and one
    /// segment of the log.
    pub disk_reserve_bytes: Option<u64>,
    /// Bytes in which the greatest sort keys of partitions are remembered, so that newer keys need no look-up: about 70 for a
    /// device. Default 96 MiB.
    pub high_keys_bytes_max: usize,
    /// Bytes of the newest frames of the log that are kept in memory for those who follow it. Default 32 MiB.
    pub recent_bytes_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            durability: Durability::Fsync,
            shards: 4,
            segment_bytes: 64 << 20,
            log_preparation: Preparation::Ahead,
            memtable_bytes_max: 64 << 20,
            sealed_max: 4,
            admission_bytes_max: 64 << 20,
            frame_bytes_max: 8 << 20,
            row_cache_bytes: 64 << 20,
            disk_low_percent: 10,
            disk_reserve_bytes: None,
            high_keys_bytes_max: 96 << 20,
            recent_bytes_max: 32 << 20,
        }
    }
}
