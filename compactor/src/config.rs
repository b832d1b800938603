//! Settings of the compactor.

use std::time::Duration;

/// Settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// Memtables that are not full are sealed, and so flushed, this often. Default 5 minutes.
    pub seal_interval: Duration,
    /// Runs are merged when they are this share of their table's generation, in percent of bytes. Default 25.
    pub merge_percent: u64,
    /// Runs are merged when the oldest is this old, and older in proportion for large tables (see
    /// [`Config::merge_age_bytes`]). Default 5 minutes.
    pub merge_age: Duration,
    /// A table of this many bytes is rewritten half as often for its age, one of twice as many a third as often: what
    /// merging for age costs stays bounded. Default 256 MiB.
    pub merge_age_bytes: u64,
    /// A generation that is no longer in use stays this long, for readers that resolved its link before. Default 10 minutes.
    pub grace: Duration,
    /// A file of a generation is closed when its complete row groups reach this size. Default 256 MiB.
    pub file_bytes_max: u64,
    /// The log is kept this long for change streams. Default 24 hours.
    pub retention: Duration,
    /// The log is kept shorter if it would take more bytes than this. Default 16 GiB.
    pub retention_bytes: u64,
    /// Memory for the buffers of a flush and of the merge that it cuts in on, in bytes, about. Default 160 MiB.
    pub memory_bytes_max: usize,
}

impl Config {
    /// Memory for what a file has read, and as much for a row group that it makes.
    pub(crate) fn writer_buffer_bytes_max(&self) -> usize {
        self.memory_bytes_max / 5
    }

    /// Memory for the rows that the inputs of a merge have read, all together.
    pub(crate) fn inputs_bytes_max(&self) -> usize {
        self.memory_bytes_max / 5
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            seal_interval: Duration::from_secs(5 * 60),
            merge_percent: 25,
            merge_age: Duration::from_secs(5 * 60),
            merge_age_bytes: 256 << 20,
            grace: Duration::from_secs(10 * 60),
            file_bytes_max: 256 << 20,
            retention: Duration::from_secs(24 * 60 * 60),
            retention_bytes: 16 << 30,
            memory_bytes_max: 160 << 20,
        }
    }
}
