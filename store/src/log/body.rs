//! The events of one frame, encoded where the disk takes them from: behind room for the header, from a block's first byte
//! on. So a frame is encoded once and never copied, and its memory is used again. Of a large one the checksum is taken on the way,
//! while the events are fresh in the processor's caches and the frame before is being written.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use crc_fast::{CrcAlgorithm, Digest};
use item::Event;

use super::frame::header_bytes;
use crate::env::BLOCK_BYTES;

const BLOCK: usize = BLOCK_BYTES as usize;

/// Encoded events, possibly none.
#[derive(Debug, Default)]
pub struct Body {
    /// Up to `events_at` nothing of meaning.
    memory: Vec<u8>,
    events_at: usize,
    digested: Digested,
    pool: Pool,
}

/// The CRC-32C of the first events of a body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Digested {
    pub(crate) digest: Digest,
    /// How many bytes of events it has taken in.
    pub(crate) bytes: usize,
}

impl Default for Digested {
    fn default() -> Digested {
        Digested { digest: Digest::new(CrcAlgorithm::Crc32Iscsi), bytes: 0 }
    }
}

/// Events are taken in when there are so many bytes of them: of fewer the checksum is soon made, and putting two together costs
/// more.
const DIGESTED_BYTES: usize = 64 << 10;

impl Body {
    /// No events yet, in memory of `pool`, with room for the header of a log of `shards` shards.
    pub fn new(pool: &Pool, shards: usize) -> Body {
        let mut memory = pool.take();
        let events_at = first_block(&memory) + header_bytes(shards);
        memory.resize(events_at, 0);
        Body { memory, events_at, digested: Digested::default(), pool: pool.clone() }
    }

    /// Encodes one more event.
    pub fn push(&mut self, event: &Event) {
        event.encode(&mut self.memory);
        if self.len() - self.digested.bytes >= DIGESTED_BYTES {
            self.digested.digest.update(&self.memory[self.events_at + self.digested.bytes..]);
            self.digested.bytes = self.len();
        }
    }

    /// The checksum of the first of them.
    pub(crate) fn digested(&self) -> Digested {
        self.digested
    }

    /// The encoded events.
    pub fn bytes(&self) -> &[u8] {
        &self.memory[self.events_at..]
    }

    /// Length of the encoded events.
    pub fn len(&self) -> usize {
        self.memory.len() - self.events_at
    }

    /// Are there no events?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Drops the events.
    pub fn clear(&mut self) {
        self.memory.truncate(self.events_at);
        self.digested = Digested::default();
    }

    /// The frame's memory: `header_bytes` of whatever content, the events, and zeros up to the next block. Begins at a block.
    /// `write` fills in the header and writes it all.
    pub(crate) fn as_frame<T>(&mut self, header_bytes: usize, write: impl FnOnce(&mut [u8]) -> T) -> T {
        let len = self.len();
        let frame_bytes = (header_bytes + len).next_multiple_of(BLOCK);
        // Growing may move the memory, so first grow, then see where a block begins.
        let end = self.memory.len().max(BLOCK + frame_bytes);
        self.memory.reserve_exact(end - self.memory.len());
        self.memory.resize(end, 0);
        let start = first_block(&self.memory);
        let events_at = start + header_bytes;
        if events_at != self.events_at {
            self.memory.copy_within(self.events_at..self.events_at + len, events_at);
            self.events_at = events_at;
        }
        self.memory[events_at + len..start + frame_bytes].fill(0);
        let written = write(&mut self.memory[start..start + frame_bytes]);
        self.memory.truncate(events_at + len);
        written
    }

    /// The encoded events, to be kept: in the same memory if they fill at least half of it, so that what is kept takes at
    /// most twice what it is counted as.
    pub(crate) fn into_bytes(self) -> Bytes {
        if self.len() < self.memory.capacity() / 2 {
            return Bytes::copy_from_slice(self.bytes());
        }
        let events_at = self.events_at;
        Bytes::from_owner(Kept(self)).slice(events_at..)
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.pool.put(std::mem::take(&mut self.memory));
    }
}

impl Clone for Body {
    fn clone(&self) -> Body {
        Body::from(self.bytes().to_vec())
    }
}

impl PartialEq for Body {
    fn eq(&self, other: &Body) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for Body {}

impl From<Vec<u8>> for Body {
    /// Takes encoded events; they are moved once more when they are written.
    fn from(events: Vec<u8>) -> Body {
        Body { memory: events, events_at: 0, digested: Digested::default(), pool: Pool::default() }
    }
}

/// A body that gives its memory back when nobody reads it any more.
struct Kept(Body);

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.0.memory
    }
}

/// Memory of bodies past, for those to come. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Pool(Arc<Mutex<Vec<Vec<u8>>>>);

/// Pieces of memory that wait to be used again: one frame is written while the next is filled.
const PIECES_MAX: usize = 3;

/// What a body begins with; and greatest piece that is kept.
const PIECE_BYTES: usize = 64 << 10;
const PIECE_BYTES_MAX: usize = 16 << 20;

impl Pool {
    /// Empty memory, at least a [`PIECE_BYTES`] piece.
    fn take(&self) -> Vec<u8> {
        let used = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        used.unwrap_or_else(|| Vec::with_capacity(PIECE_BYTES))
    }

    fn put(&self, mut memory: Vec<u8>) {
        if (PIECE_BYTES..=PIECE_BYTES_MAX).contains(&memory.capacity()) {
            let mut pieces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if pieces.len() < PIECES_MAX {
                memory.clear();
                pieces.push(memory);
            }
        }
    }
}

/// Where in `memory` the first block begins.
fn first_block(memory: &[u8]) -> usize {
    memory.as_ptr().align_offset(BLOCK)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        env::DirectoryId,
        log::{conformance::Author, frame::Codec},
    };

    #[test]
    fn a_frame_begins_at_a_block_whatever_its_events_and_whosever_memory_it_has() {
        let pool = Pool::default();
        let mut author = Author::new();
        let mut kept = Vec::new();
        for events in [1, 3, 5000, 0, 2, 9000, 1] {
            let draft = author.draft([events, 0, 0], 100);
            for mut body in [Body::new(&pool, 3), Body::new(&pool, 64), Body::default()] {
                for event in Event::decode_all(&Bytes::copy_from_slice(draft.body.bytes())).unwrap() {
                    body.push(&event);
                }
                let header_bytes = header_bytes(3);
                body.as_frame(header_bytes, |frame| {
                    assert_eq!(frame.as_ptr().align_offset(BLOCK), 0);
                    assert_eq!(frame.len() % BLOCK, 0);
                    frame[..header_bytes].fill(9);
                    let (events, padding) = frame[header_bytes..].split_at(draft.body.len());
                    assert!(events == draft.body.bytes() && padding.len() < BLOCK);
                    assert!(padding.iter().all(|byte| *byte == 0));
                });
                assert_eq!(body, draft.body);
                kept.push((body.into_bytes(), draft.body.clone()));
            }
        }
        assert!(kept.iter().all(|(kept, body)| kept == body.bytes()), "nothing kept was written over");
    }

    #[test]
    fn a_checksum_taken_on_the_way_is_that_of_the_whole() {
        let codec = Codec::new(DirectoryId(7));
        for events in [1, 400, 500, 2000, 9000] {
            let draft = Author::new().draft([events, 0, 0], 100);
            let mut body = Body::new(&Pool::default(), 3);
            for event in Event::decode_all(&Bytes::copy_from_slice(draft.body.bytes())).unwrap() {
                body.push(&event);
            }
            let digested = body.digested();
            assert_eq!(digested.bytes >= DIGESTED_BYTES, body.len() >= DIGESTED_BYTES, "{events} events");
            let sealed = body.as_frame(header_bytes(3), |frame| {
                let body = &frame[header_bytes(3)..];
                (codec.body_checksum(body, digested), codec.body_checksum(body, Digested::default()))
            });
            assert_eq!(sealed.0, sealed.1);
        }
    }

    #[test]
    fn memory_is_used_again_once_nobody_reads_it() {
        let pool = Pool::default();
        let draft = Author::new().draft([9000, 0, 0], 100);
        let fill = || {
            let mut body = Body::new(&pool, 3);
            body.memory.extend_from_slice(draft.body.bytes());
            body.as_frame(header_bytes(3), |_| ());
            body
        };
        let first = fill();
        let place = first.memory.as_ptr();
        let bytes = first.into_bytes();
        assert_ne!(fill().memory.as_ptr(), place, "it is being read");
        drop(bytes);
        let places: Vec<_> = [fill(), fill()].iter().map(|body| body.memory.as_ptr()).collect();
        assert!(places.contains(&place));
    }
}
