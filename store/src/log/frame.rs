//! Frames: header, events, checksums.
//!
//! A frame fills whole blocks of 4096 bytes. Numbers are little-endian; `n` is the count of shards, at most 64, so that the
//! header fits the first block.
//!
//! ```text
//! offset  bytes  field
//!      0      4  magic "ThwF"
//!      4      2  format version: 1
//!      6      2  n, shards
//!      8      4  header checksum: of the directory id, bytes 0..8, bytes 12..80+8n
//!     12      4  body checksum: of the directory id, body, padding
//!     16      4  body length in bytes
//!     20      4  header checksum of the frame before (0 before the first)
//!     24      8  frame number, from 1
//!     32      8  epoch: counts the opens of the log
//!     40      8  id of the segment it lies in
//!     48      8  its offset there
//!     56      8  committed_at, microseconds since 1970, never less than the frame's before
//!     64      8  durable_to: every frame up to this one was known to be synced when this one was composed
//!     72      8  append id: counts the appends of this epoch from 0; (epoch, append id) names an attempt
//!     80     8n  per shard, the number that its first event from this frame on has
//!  80+8n         body: encoded events
//!                padding: zeros to the next block
//! ```
//! Checksums are CRC-32C. The header's covers the body's, and the next frame's header covers this one's: a frame is only
//! ever followed by the frame that was written after it. The directory id, which no client knows, goes in first, so that
//! bytes inside an item cannot pass for a frame.

use std::sync::Arc;

use bytes::Bytes;
use crc_fast::{CrcAlgorithm, Digest};
use item::{CodecError, Event, SequenceNumber};

use super::body::{Body, Digested};
use crate::env::{BLOCK_BYTES, DirectoryId};

/// Greatest count of shards that a header has room for.
pub(crate) const SHARDS_MAX: usize = 64;

/// Greatest body. A batch is bounded long before this.
pub(crate) const BODY_BYTES_MAX: usize = 256 << 20;

const MAGIC: [u8; 4] = *b"ThwF";
const VERSION: u16 = 1;
const FIXED_BYTES: usize = 80;

/// A frame's number, counted from 1 without gaps. A position in a log group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameNumber(pub u64);

impl FrameNumber {
    /// The first frame of every log.
    pub const FIRST: FrameNumber = FrameNumber(1);

    /// The one after it.
    #[must_use]
    pub fn next(self) -> FrameNumber {
        FrameNumber(self.0 + 1)
    }
}

/// What the owner hands to the log; the log adds number, epoch and checksums.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// When it was committed, microseconds since 1970. The log raises it to that of the frame before, if that is later.
    pub committed_at_us: u64,
    /// Per shard, the number that its first event from this frame on has.
    pub first_sequences: Vec<SequenceNumber>,
    /// Its events, possibly none.
    pub body: Body,
}

/// A frame as read back. One with an empty body marks that the log was opened; it changes nothing.
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

impl Frame {
    /// Bytes that it takes on disk, header and padding included.
    pub fn bytes(&self) -> u64 {
        frame_bytes(self.first_sequences.len(), self.body.len())
    }

    /// Per shard, the number that its first event after this frame has.
    pub fn next_sequences(&self) -> Result<Vec<SequenceNumber>, CodecError> {
        let mut next = self.first_sequences.clone();
        for event in Event::decode_all(&self.body)? {
            if let Some(sequence) = next.get_mut(usize::from(event.shard.0)) {
                *sequence = SequenceNumber(event.sequence.0 + 1);
            }
        }
        Ok(next)
    }
}

/// What stands before the events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) number: FrameNumber,
    pub(crate) epoch: u64,
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    pub(crate) previous_checksum: u32,
    pub(crate) committed_at_us: u64,
    pub(crate) durable_to: FrameNumber,
    pub(crate) append_id: u64,
    pub(crate) first_sequences: Vec<SequenceNumber>,
}

/// A header as found, with what it says of the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) header: Header,
    pub(crate) checksum: u32,
    body_checksum: u32,
    body_bytes: usize,
}

impl Found {
    /// Bytes on disk, header and padding included.
    pub(crate) fn bytes(&self) -> u64 {
        frame_bytes(self.header.first_sequences.len(), self.body_bytes)
    }
}

/// A frame, with its header as found.
pub(crate) type FoundFrame = (Found, Arc<Frame>);

/// Why bytes are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadFrame(pub(crate) &'static str);

impl BadFrame {
    /// A frame of this directory, by its checksum, that another Thalweg wrote: not where the log ends.
    pub(crate) const OTHER_VERSION: BadFrame = BadFrame("unknown frame version");
}

/// Encodes and checks the frames of one data directory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Codec {
    /// Has taken in the directory id.
    seed: Digest,
}

impl Codec {
    pub(crate) fn new(directory: DirectoryId) -> Codec {
        let mut seed = Digest::new(CrcAlgorithm::Crc32Iscsi);
        seed.update(&directory.0.to_le_bytes());
        Codec { seed }
    }

    /// Puts the header in front of the events and padding that lie in `frame` already; `body_bytes` is the length of the events,
    /// `digested` the checksum of their first. Answers the header's checksum.
    pub(crate) fn encode(&self, header: &Header, body_bytes: usize, digested: Digested, frame: &mut [u8]) -> u32 {
        let shards = header.first_sequences.len();
        assert!(shards <= SHARDS_MAX, "a header has room for {SHARDS_MAX} shards");
        assert!(body_bytes <= BODY_BYTES_MAX, "an append refuses longer bodies");
        let body_at = header_bytes(shards);
        let body_checksum = self.body_checksum(&frame[body_at..], digested);
        let (head, _) = frame.split_at_mut(body_at);
        let mut fields = Writer(head);
        fields.put(&MAGIC);
        fields.put(&VERSION.to_le_bytes());
        fields.put(&(shards as u16).to_le_bytes());
        fields.put(&[0; 4]);
        fields.put(&body_checksum.to_le_bytes());
        fields.put(&(body_bytes as u32).to_le_bytes());
        fields.put(&header.previous_checksum.to_le_bytes());
        for number in [
            header.number.0,
            header.epoch,
            header.segment,
            header.offset,
            header.committed_at_us,
            header.durable_to.0,
            header.append_id,
        ] {
            fields.put(&number.to_le_bytes());
        }
        for first in &header.first_sequences {
            fields.put(&first.0.to_le_bytes());
        }
        let checksum = self.checksum([&head[..8], &head[12..]]);
        head[8..12].copy_from_slice(&checksum.to_le_bytes());
        checksum
    }

    /// The header at the front of `block`, if it was written to `offset` of `segment` of this directory.
    pub(crate) fn decode_header(&self, block: &[u8], segment: u64, offset: u64) -> Result<Found, BadFrame> {
        let mut fields = Fields(block);
        if fields.take::<4>()? != MAGIC {
            return Err(BadFrame("no frame starts here"));
        }
        let version = u16::from_le_bytes(fields.take()?);
        let shards = usize::from(u16::from_le_bytes(fields.take()?));
        let header_bytes = header_bytes(shards);
        if shards > SHARDS_MAX || block.len() < header_bytes {
            return Err(BadFrame("impossible header length"));
        }
        let checksum = u32::from_le_bytes(fields.take()?);
        if checksum != self.checksum([&block[..8], &block[12..header_bytes]]) {
            return Err(BadFrame("header checksum mismatch"));
        }
        if version != VERSION {
            return Err(BadFrame::OTHER_VERSION);
        }
        let body_checksum = u32::from_le_bytes(fields.take()?);
        let body_bytes = u32::from_le_bytes(fields.take()?) as usize;
        let previous_checksum = u32::from_le_bytes(fields.take()?);
        let header = Header {
            number: FrameNumber(fields.number()?),
            epoch: fields.number()?,
            segment: fields.number()?,
            offset: fields.number()?,
            previous_checksum,
            committed_at_us: fields.number()?,
            durable_to: FrameNumber(fields.number()?),
            append_id: fields.number()?,
            first_sequences: (0..shards).map(|_| fields.number().map(SequenceNumber)).collect::<Result<_, _>>()?,
        };
        if (header.segment, header.offset) != (segment, offset) {
            return Err(BadFrame("the frame was written to another place"));
        }
        if body_bytes > BODY_BYTES_MAX {
            return Err(BadFrame("impossible body length"));
        }
        Ok(Found { header, checksum, body_checksum, body_bytes })
    }

    /// The frame in `bytes` (all its blocks), whose header was `found` there.
    pub(crate) fn decode_frame(&self, found: Found, bytes: &Bytes) -> Result<Frame, BadFrame> {
        let body_at = header_bytes(found.header.first_sequences.len());
        if bytes.len() as u64 != found.bytes() {
            return Err(BadFrame("the frame is cut short"));
        }
        if found.body_checksum != self.checksum([&bytes[body_at..]]) {
            return Err(BadFrame("body checksum mismatch"));
        }
        let Header { number, epoch, committed_at_us, first_sequences, .. } = found.header;
        let body = bytes.slice(body_at..body_at + found.body_bytes);
        Ok(Frame { number, epoch, committed_at_us, first_sequences, body })
    }

    /// The frames that fill `content`, which was written to `offset` of `segment`; else what is wrong, and where in the segment.
    pub(crate) fn decode_frames(
        &self,
        content: &Bytes,
        segment: u64,
        offset: u64,
    ) -> Result<Vec<FoundFrame>, (u64, BadFrame)> {
        let mut frames = Vec::new();
        let mut at = 0;
        while at < content.len() {
            let place = offset + at as u64;
            let bad = |bad| (place, bad);
            let found = self.decode_header(&content[at..], segment, place).map_err(bad)?;
            let length = found.bytes() as usize;
            if length > content.len() - at {
                return Err(bad(BadFrame("the frame is longer than when it was written")));
            }
            let frame = self.decode_frame(found.clone(), &content.slice(at..at + length)).map_err(bad)?;
            frames.push((found, Arc::new(frame)));
            at += length;
        }
        Ok(frames)
    }

    /// CRC-32C of the directory id and `body`, events and padding, of whose first events it is known.
    pub(crate) fn body_checksum(&self, body: &[u8], digested: Digested) -> u32 {
        if digested.bytes == 0 {
            return self.checksum([body]);
        }
        let mut digest = digested.digest;
        digest.update(&body[digested.bytes..]);
        let (first, rest) = (self.seed.finalize(), digest.finalize());
        crc_fast::checksum_combine(CrcAlgorithm::Crc32Iscsi, first, rest, body.len() as u64) as u32
    }

    /// CRC-32C of the directory id and `parts`.
    pub(crate) fn checksum<'a>(&self, parts: impl IntoIterator<Item = &'a [u8]>) -> u32 {
        let mut digest = self.seed;
        for part in parts {
            digest.update(part);
        }
        // A 32-bit checksum in a 64-bit answer.
        digest.finalize() as u32
    }
}

/// Length of a header.
pub(crate) fn header_bytes(shards: usize) -> usize {
    FIXED_BYTES + 8 * shards
}

/// Bytes on disk of a frame: header and body, rounded up to whole blocks.
pub(crate) fn frame_bytes(shards: usize, body_bytes: usize) -> u64 {
    ((header_bytes(shards) + body_bytes) as u64).next_multiple_of(BLOCK_BYTES)
}

/// Puts fields to the front.
struct Writer<'a>(&'a mut [u8]);

impl Writer<'_> {
    fn put(&mut self, field: &[u8]) {
        let (front, rest) = std::mem::take(&mut self.0).split_at_mut(field.len());
        front.copy_from_slice(field);
        self.0 = rest;
    }
}

/// Takes fields from the front.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl Fields<'_> {
    pub(crate) fn take<const N: usize>(&mut self) -> Result<[u8; N], BadFrame> {
        let (field, rest) = self.0.split_first_chunk().ok_or(BadFrame("the header is cut short"))?;
        self.0 = rest;
        Ok(*field)
    }

    pub(crate) fn number(&mut self) -> Result<u64, BadFrame> {
        self.take().map(u64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests;
