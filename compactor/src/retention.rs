//! How much of the log is kept.
//!
//! What is flushed and recorded for continuous backups is kept for change streams only: for the retention time, or for less if that takes too many bytes, or if room
//! on the disk is low. Passing that costs streams their past, never ingest its room.

use store::{Error, Store, log::FrameNumber, room::Room};

use crate::Config;

/// Gives up frames that are flushed, before `needed_from` if something is needed, and older than the retention.
pub(crate) fn trim(store: &Store, needed_from: Option<FrameNumber>, config: &Config) -> Result<(), Error> {
    let log = store.log();
    let flushed = store.manifest().flushed.next();
    let flushed = needed_from.map_or(flushed, |needed| flushed.min(needed));
    let now_us = store.clock().now_us();
    let mut retention_us = u64::try_from(config.retention.as_micros()).unwrap_or(u64::MAX);
    loop {
        let kept_for_streams = log.find_time(now_us.saturating_sub(retention_us))?;
        let to = flushed.min(kept_for_streams);
        if to > log.trim_point() {
            log.trim(to)?;
        }
        let is_over_size = log.bytes() > config.retention_bytes;
        if !is_over_size && store.check_room() == Room::Fine || retention_us == 0 || to == flushed {
            return Ok(());
        }
        if is_over_size {
            tracing::warn!(
                bytes = log.bytes(),
                bytes_max = config.retention_bytes,
                "the log is over its size: change streams lose their oldest records"
            );
        }
        metrics::counter!("thalweg_compactor_early_trims_total").increment(1);
        retention_us /= 2;
    }
}
