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

pub mod conformance;
pub mod frame;
pub mod local;
pub mod memory;

use std::sync::Arc;

use item::{SequenceNumber, ShardId};

pub use frame::{Draft, Frame, FrameNumber};

use crate::Error;

/// A log group's frames. `append` is called by one owner; reading is open to all threads.
pub trait Log: Send + Sync + 'static {
    /// Writes and syncs one frame; blocks until it is durable. After an error that may have left bytes behind the log is
    /// poisoned: every later append answers [`Error::Poisoned`], reads go on.
    fn append(&self, draft: Draft) -> Result<FrameNumber, Error>;

    /// Frames from `from` on, in order, at least one if there is one below the tail, then as many as fit `bytes_max`.
    /// Before the trim point: [`Error::Trimmed`]. At the tail: empty.
    fn read(&self, from: FrameNumber, bytes_max: usize) -> Result<Vec<Arc<Frame>>, Error>;

    /// The first unwritten frame.
    fn tail(&self) -> FrameNumber;

    /// The first frame still kept.
    fn trim_point(&self) -> FrameNumber;

    /// Gives up frames before `to`. May keep some longer (whole segments go at once).
    fn trim(&self, to: FrameNumber) -> Result<(), Error>;

    /// The frame that holds event `sequence` of `shard`: the last kept frame whose first sequence number there is
    /// `<= sequence`. Past the tail: the tail. Before the trim point: [`Error::Trimmed`].
    fn find_sequence(&self, shard: ShardId, sequence: SequenceNumber) -> Result<FrameNumber, Error>;

    /// The first kept frame with `committed_at >= time_us`, or the tail.
    fn find_time(&self, time_us: u64) -> Result<FrameNumber, Error>;

    /// Bytes held on disk by kept frames.
    fn bytes(&self) -> u64;

    /// Records the tail, so that the next open need not search for it. No append may follow.
    fn close(&self) -> Result<(), Error>;
}
