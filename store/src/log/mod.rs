//! The log: one totally ordered sequence of frames with one fence and one owner.
//!
//! ```text
//!   trimmed   |  kept: readable                         |  unwritten
//!   ----------+-----------------------------------------+-----------
//!             ^ trim_point                              ^ tail
//! ```
//! A caller may rely on: frames are numbered from 1 without gaps; a frame that `append` answered is durable (by the
//! log's durability setting) and is read back unchanged, after any crash, until it is trimmed; a frame that `append`
//! did not answer is either whole or absent after reopening, and if absent so is every later one.
//!
//! Every open appends one frame with an empty body under a new epoch, so a log is never without frames, and replay and
//! stream readers meet frames that carry no event.

mod archive;
mod body;
#[cfg(test)]
mod conformance;
pub mod frame;
mod index;
mod kept;
pub mod local;
pub mod memory;
mod meter;
mod recent;
mod recover;
mod segment;
mod spare;
mod verify;

use std::sync::Arc;

use item::{SequenceNumber, ShardId, TableId};

pub use body::{Body, Pool};
pub use frame::{Draft, Frame, FrameNumber};
pub use local::{LocalLog, LogConfig};
pub use memory::MemoryLog;
pub use spare::Preparation;
pub use verify::{LogReport, verify};

use crate::{Error, metric::Metric};

/// What the log counts. How long its writes and syncs take, the disk tells, by area.
pub const METRICS: &[Metric] = &[
    Metric::counter("thalweg_log_appends_total", "Frames appended; each is one sync for all that is in it"),
    Metric::counter("thalweg_log_bytes_total", "Bytes appended, with headers and padding"),
    Metric::histogram("thalweg_log_frame_bytes", "Bytes of appended frames, with headers and padding"),
    Metric::counter("thalweg_log_syncs_total", "Syncs of segments"),
    Metric::counter("thalweg_log_reads_total", "Reads of frames, by where they were: memory, segment, archive")
        .by(&["from"]),
    Metric::counter("thalweg_log_segments_total", "Segment files made anew, zeroed ahead"),
    Metric::counter("thalweg_log_reused_segments_total", "Segment files made of one whose frames were archived"),
    Metric::counter("thalweg_log_archived_segments_total", "Segments archived"),
    Metric::counter("thalweg_log_trimmed_segments_total", "Segments given up by trimming"),
    Metric::gauge(
        "thalweg_log_poisoned",
        "1 once a write or sync of the log has failed: writes have stopped until a restart",
    ),
    Metric::gauge("thalweg_log_trim_point", "The first frame that is kept"),
    Metric::gauge("thalweg_log_tail", "The first frame that is not written"),
    Metric::gauge("thalweg_log_kept_bytes", "Bytes on disk of kept frames"),
    Metric::gauge("thalweg_memory_recent_frames_bytes", "Newest frames in memory for followers"),
];

/// A log group's frames. `append` is called by one owner; reading is open to all threads.
pub trait Log: Send + Sync + 'static {
    /// Writes and syncs one frame; blocks until it is durable. After an error that may have left bytes behind the log is
    /// poisoned: this and every later append answers [`Error::Poisoned`], reads go on. After any other error nothing was
    /// stored and the same draft may be appended again.
    fn append(&self, draft: Draft) -> Result<FrameNumber, Error>;

    /// Frames from `from` on, in order, at least one if there is one below the tail, then as many as fit `bytes_max`
    /// (counted as [`Frame::bytes`]). Before the trim point: [`Error::Trimmed`]. At the tail or past it: empty.
    fn read(&self, from: FrameNumber, bytes_max: usize) -> Result<Vec<Arc<Frame>>, Error>;

    /// The first unwritten frame.
    fn tail(&self) -> FrameNumber;

    /// The first frame still kept.
    fn trim_point(&self) -> FrameNumber;

    /// Gives up frames before `to`. May keep some longer (whole segments go at once; the last frame always stays).
    fn trim(&self, to: FrameNumber) -> Result<(), Error>;

    /// The frame that holds event `sequence` of `shard`: the last kept frame whose first sequence number there is
    /// `<= sequence`. If that event is yet to come, this is a frame before it: readers skip what is below `sequence`.
    /// Before the trim point: [`Error::Trimmed`].
    fn find_sequence(&self, shard: ShardId, sequence: SequenceNumber) -> Result<FrameNumber, Error>;

    /// The first kept frame with `committed_at >= time_us`, or the tail.
    fn find_time(&self, time_us: u64) -> Result<FrameNumber, Error>;

    /// The first frame from `from` on, at most the tail, that may hold an event of `table` in `shard`; frames that are
    /// passed over hold none. A log that does not know answers `from`.
    fn find_table(&self, table: TableId, shard: ShardId, from: FrameNumber) -> Result<FrameNumber, Error> {
        let _ = (table, shard);
        Ok(from)
    }

    /// Bytes held on disk by kept frames.
    fn bytes(&self) -> u64;

    /// Makes every appended frame durable, whatever the durability setting. What is about to be recorded as flushed must
    /// never be lost by the log: a log that ends before a flushed frame is refused at open.
    fn sync(&self) -> Result<(), Error>;

    /// Syncs and records the tail, so that the next open knows where the log must end. Later appends answer
    /// [`Error::Closed`].
    fn close(&self) -> Result<(), Error>;
}
