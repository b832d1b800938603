//! Many small records in few allocations.
//!
//! A record is bytes in a row within one chunk. It has a place for as long as it lives, four bytes long; it may be written over by
//! one that is not longer. What is no longer named is dead: its owner counts it here, and moves what lives to a new arena.
//!
//! ```text
//! place      chunk: 17 bits | 8-byte unit in it: 15 bits
//! chunk      up to 256 KiB of records, each from a unit on; or one record that is longer than 64 KiB
//! ```

use std::sync::{Arc, Mutex, PoisonError};

use bytes::BufMut;

/// Where a record begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(u32);

const UNIT_BYTES: usize = 8;
const UNIT_BITS: u32 = 15;
const CHUNKS_MAX: usize = 1 << (32 - UNIT_BITS);
const CHUNK_BYTES_MAX: usize = UNIT_BYTES << UNIT_BITS;
const CHUNK_BYTES_MIN: usize = 1 << 10;
/// A longer record has a chunk of its own, so that the end of a chunk that it does not fit in is not lost.
const SHARING_BYTES_MAX: usize = CHUNK_BYTES_MAX / 4;

impl Place {
    fn new(chunk: usize, offset: usize) -> Place {
        assert!(chunk < CHUNKS_MAX, "an arena is sealed at a few gigabytes, and a chunk is 64 KiB at least");
        assert!(offset < CHUNK_BYTES_MAX, "records begin within what a place can tell");
        Place((chunk << UNIT_BITS) as u32 | (offset / UNIT_BYTES) as u32)
    }

    fn chunk(self) -> usize {
        (self.0 >> UNIT_BITS) as usize
    }

    fn offset(self) -> usize {
        (self.0 as usize % (1 << UNIT_BITS)) * UNIT_BYTES
    }
}

/// The records.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    chunks: Vec<Vec<u8>>,
    /// The chunk that records are added to.
    open: usize,
    /// Memory that all chunks take.
    memory_bytes: usize,
    /// Bytes of all records, dead ones included.
    used_bytes: usize,
    dead_bytes: usize,
    spares: Spares,
}

/// Whole chunks of arenas past, half as many as one had, for those to come: memory that is used again need not be cleared by
/// the system first.
type Spares = Arc<Mutex<Vec<Vec<u8>>>>;

impl Arena {
    /// An empty arena that takes its memory from what this one and those before it give back.
    pub(crate) fn successor(&self) -> Arena {
        let mut arena = Arena::default();
        arena.spares = Arc::clone(&self.spares);
        arena
    }

    /// Adds a record of `bytes` bytes, which `write` puts.
    pub(crate) fn push(&mut self, bytes: usize, write: impl FnOnce(&mut [u8])) -> Place {
        let bytes = taken(bytes);
        let at = self.chunk_for(bytes);
        let chunk = &mut self.chunks[at];
        let start = chunk.len();
        chunk.resize(start + bytes, 0);
        write(&mut chunk[start..]);
        self.used_bytes += bytes;
        Place::new(at, start)
    }

    /// Writes over the record of `before` bytes at `place` the `bytes` bytes that `write` puts, if they fit.
    pub(crate) fn replace(&mut self, place: Place, before: usize, bytes: usize, write: impl FnOnce(&mut [u8])) -> bool {
        let (before, bytes) = (taken(before), taken(bytes));
        if bytes > before {
            return false;
        }
        let start = place.offset();
        write(&mut self.chunks[place.chunk()][start..start + bytes]);
        self.dead_bytes += before - bytes;
        true
    }

    /// Notes that nothing names a record of `bytes` bytes any more.
    pub(crate) fn forget(&mut self, bytes: usize) {
        self.dead_bytes += taken(bytes);
    }

    /// The bytes from the record at `place` on.
    pub(crate) fn at(&self, place: Place) -> &[u8] {
        &self.chunks[place.chunk()][place.offset()..]
    }

    /// Memory taken, in bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.memory_bytes + self.chunks.capacity() * size_of::<Vec<u8>>()
    }

    /// Bytes of records, dead ones included.
    pub(crate) fn used_bytes(&self) -> usize {
        self.used_bytes
    }

    /// Bytes of records that nothing names any more.
    pub(crate) fn dead_bytes(&self) -> usize {
        self.dead_bytes
    }

    /// A chunk with room for so many bytes.
    fn chunk_for(&mut self, bytes: usize) -> usize {
        let has_room = |chunk: &Vec<u8>| chunk.capacity().min(CHUNK_BYTES_MAX).saturating_sub(chunk.len()) >= bytes;
        if bytes > SHARING_BYTES_MAX {
            return self.add_chunk(bytes);
        }
        if !self.chunks.get(self.open).is_some_and(has_room) {
            // Small while there is little, because there may be many arenas with little.
            self.open = self.add_chunk(self.memory_bytes.clamp(CHUNK_BYTES_MIN, CHUNK_BYTES_MAX).max(bytes));
        }
        self.open
    }

    fn add_chunk(&mut self, bytes: usize) -> usize {
        let spare = if bytes == CHUNK_BYTES_MAX { lock(&self.spares).pop() } else { None };
        let chunk = spare.unwrap_or_else(|| Vec::with_capacity(bytes));
        self.memory_bytes += chunk.capacity();
        self.chunks.push(chunk);
        self.chunks.len() - 1
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        let most = self.chunks.len() / 2;
        let mut spares = lock(&self.spares);
        for mut chunk in self.chunks.drain(..).filter(|chunk| chunk.capacity() == CHUNK_BYTES_MAX) {
            if spares.len() < most {
                chunk.clear();
                spares.push(chunk);
            }
        }
    }
}

fn lock(spares: &Spares) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
    spares.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes that a record of `bytes` bytes takes.
pub(crate) fn taken(bytes: usize) -> usize {
    bytes.next_multiple_of(UNIT_BYTES).max(UNIT_BYTES)
}

/// Puts a number, seven bits a byte, the low ones first; the top bit is set on all but the last byte.
pub(crate) fn put_number(mut number: u64, out: &mut impl BufMut) {
    while number >= 0x80 {
        out.put_u8(number as u8 | 0x80);
        number >>= 7;
    }
    out.put_u8(number as u8);
}

/// How many bytes [`put_number`] puts.
pub(crate) fn number_bytes(number: u64) -> usize {
    (64 - (number | 1).leading_zeros()).div_ceil(7) as usize
}

/// Takes a number from the front of `bytes`.
pub(crate) fn take_number(bytes: &mut &[u8]) -> u64 {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first().expect("a record is whole");
        *bytes = rest;
        number |= u64::from(first & 0x7f) << shift;
        if *first < 0x80 {
            break;
        }
    }
    number
}

/// Takes so many bytes from the front of `bytes`.
pub(crate) fn take<'a>(bytes: &mut &'a [u8], count: u64) -> &'a [u8] {
    let (first, rest) = bytes.split_at(usize::try_from(count).expect("a length in memory"));
    *bytes = rest;
    first
}

/// Puts `text` after its length.
pub(crate) fn put_text(text: &[u8], out: &mut impl BufMut) {
    put_number(text.len() as u64, out);
    out.put_slice(text);
}

/// Takes what [`put_text`] put.
pub(crate) fn take_text<'a>(bytes: &mut &'a [u8]) -> &'a [u8] {
    let length = take_number(bytes);
    take(bytes, length)
}

/// How many bytes [`put_text`] puts.
pub(crate) fn text_bytes(text: &[u8]) -> usize {
    number_bytes(text.len() as u64) + text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_record_larger_than_a_chunk_shares_it_with_none() {
        let mut arena = Arena::default();
        let records: Vec<Vec<u8>> =
            (1..=4).map(|byte| vec![byte; if byte % 2 == 1 { CHUNK_BYTES_MAX + 40_000 } else { 100 }]).collect();
        let places: Vec<Place> = records
            .iter()
            .map(|record| arena.push(record.len(), |out| out[..record.len()].copy_from_slice(record)))
            .collect();
        for (place, record) in places.iter().zip(&records) {
            assert_eq!(&arena.at(*place)[..record.len()], &record[..]);
        }
    }
}
