//! What every append counts, looked up once.

use metrics::{Counter, Histogram};

/// Counts appended frames.
pub(crate) struct Meter {
    appends: Counter,
    bytes: Counter,
    frame_bytes: Histogram,
}

impl Meter {
    pub(crate) fn new() -> Meter {
        Meter {
            appends: metrics::counter!("thalweg_log_appends_total"),
            bytes: metrics::counter!("thalweg_log_bytes_total"),
            frame_bytes: metrics::histogram!("thalweg_log_frame_bytes"),
        }
    }

    /// A frame of `bytes` was appended.
    pub(crate) fn appended(&self, bytes: u64) {
        self.appends.increment(1);
        self.bytes.increment(bytes);
        self.frame_bytes.record(bytes as f64);
    }
}
