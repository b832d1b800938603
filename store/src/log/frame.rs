//! Frames: header, events, checksum.

use bytes::Bytes;
use item::SequenceNumber;

/// A frame's number, counted from 1 without gaps. A position in a log group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameNumber(pub u64);

/// What the owner hands to the log; the log adds number, epoch and checksums.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// When it was committed, microseconds since 1970; never less than the frame's before.
    pub committed_at_us: u64,
    /// Per shard, the number that its first event from this frame on has.
    pub first_sequences: Vec<SequenceNumber>,
    /// Encoded events ([`item::Event::encode`]), possibly none.
    pub body: Bytes,
}

/// A frame as read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its number.
    pub number: FrameNumber,
    /// Counts the opens of this log; a new owner appends under a greater one.
    pub epoch: u64,
    /// See [`Draft::committed_at_us`].
    pub committed_at_us: u64,
    /// See [`Draft::first_sequences`].
    pub first_sequences: Vec<SequenceNumber>,
    /// Encoded events.
    pub body: Bytes,
}
