//! Places in a stream, and the opaque tokens that stand for them.
//!
//! A token is base64url (no padding) of:
//!
//! ```text
//! iterator  form 1: 1 byte | table id: 4 | enabled_at_us: 8 | shard: 2 | frame: 8 | sequence: 8 | issued_at_us: 8 | checksum: 4
//! position  form 2: 1 byte | table id: 4 | enabled_at_us: 8 | frame: 8 | event: 4 | checksum: 4
//! ```
//! Numbers are big-endian; the checksum is CRC-32C of what is before it. It finds what was damaged or guessed; it is no
//! signature, so whoever checks permissions asks the token for its table.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use crc_fast::CrcAlgorithm;
use item::{SequenceNumber, ShardId, TableId};
use store::log::FrameNumber;

use crate::Error;

/// How long an iterator can be used.
pub const ITERATOR_LIFETIME_US: u64 = 15 * 60 * 1_000_000;

const ITERATOR_FORM: u8 = 1;
const POSITION_FORM: u8 = 2;

/// Where a new iterator begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IteratorStart {
    /// At the oldest record that is kept.
    TrimHorizon,
    /// After the newest one.
    Latest,
    /// At this sequence number.
    AtSequence(String),
    /// After this sequence number.
    AfterSequence(String),
}

/// The stream that a place is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct StreamKey {
    pub(crate) table: TableId,
    pub(crate) enabled_at_us: u64,
}

/// A place in one shard: the next event to look at has at least this number and lies in this frame or later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ShardPlace {
    pub(crate) shard: ShardId,
    pub(crate) frame: FrameNumber,
    pub(crate) sequence: SequenceNumber,
}

/// A shard iterator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ShardIterator {
    pub(crate) stream: StreamKey,
    pub(crate) place: ShardPlace,
    pub(crate) issued_at_us: u64,
}

/// A place in a whole stream: this many events of this frame were seen, and all frames before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamPlace {
    pub(crate) frame: FrameNumber,
    pub(crate) event: u32,
}

impl ShardIterator {
    pub(crate) fn encode(&self) -> String {
        seal(&[
            &[ITERATOR_FORM],
            &self.stream.table.0.to_be_bytes(),
            &self.stream.enabled_at_us.to_be_bytes(),
            &self.place.shard.0.to_be_bytes(),
            &self.place.frame.0.to_be_bytes(),
            &self.place.sequence.0.to_be_bytes(),
            &self.issued_at_us.to_be_bytes(),
        ])
    }

    /// Reads a token; refuses one that is too old at `now_us`.
    pub(crate) fn decode(token: &str, now_us: u64) -> Result<ShardIterator, Error> {
        let bytes = unseal(token, ITERATOR_FORM)?;
        let mut fields = Fields(&bytes);
        let iterator = ShardIterator {
            stream: fields.stream()?,
            place: ShardPlace {
                shard: ShardId(u16::from_be_bytes(fields.take()?)),
                frame: FrameNumber(u64::from_be_bytes(fields.take()?)),
                sequence: SequenceNumber(u64::from_be_bytes(fields.take()?)),
            },
            issued_at_us: u64::from_be_bytes(fields.take()?),
        };
        fields.end()?;
        match now_us.saturating_sub(iterator.issued_at_us) {
            age_us if age_us > ITERATOR_LIFETIME_US => Err(Error::ExpiredIterator { age_us }),
            _ => Ok(iterator),
        }
    }
}

impl StreamPlace {
    pub(crate) fn encode(&self, stream: StreamKey) -> String {
        seal(&[
            &[POSITION_FORM],
            &stream.table.0.to_be_bytes(),
            &stream.enabled_at_us.to_be_bytes(),
            &self.frame.0.to_be_bytes(),
            &self.event.to_be_bytes(),
        ])
    }

    pub(crate) fn decode(token: &str) -> Result<(StreamKey, StreamPlace), Error> {
        let bytes = unseal(token, POSITION_FORM)?;
        let mut fields = Fields(&bytes);
        let stream = fields.stream()?;
        let frame = FrameNumber(u64::from_be_bytes(fields.take()?));
        let place = StreamPlace { frame, event: u32::from_be_bytes(fields.take()?) };
        fields.end()?;
        Ok((stream, place))
    }
}

/// The table that an iterator token reads.
pub fn table_of_iterator(token: &str) -> Result<TableId, Error> {
    Fields(&unseal(token, ITERATOR_FORM)?).stream().map(|stream| stream.table)
}

fn seal(parts: &[&[u8]]) -> String {
    let mut bytes = parts.concat();
    bytes.extend_from_slice(&checksum(&bytes));
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The bytes between form and checksum.
fn unseal(token: &str, form: u8) -> Result<Vec<u8>, Error> {
    const LENGTH_MAX: usize = 128;
    let malformed = |what| Error::InvalidToken { what };
    if token.len() > LENGTH_MAX {
        return Err(malformed("a shorter text"));
    }
    let mut bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| malformed("base64url"))?;
    let end = bytes.len().checked_sub(4).ok_or(malformed("a checksum"))?;
    if bytes[end..] != checksum(&bytes[..end]) {
        return Err(malformed("its checksum"));
    }
    if bytes.first() != Some(&form) {
        return Err(malformed("a token of this kind and version"));
    }
    bytes.truncate(end);
    bytes.remove(0);
    Ok(bytes)
}

fn checksum(bytes: &[u8]) -> [u8; 4] {
    (crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, bytes) as u32).to_be_bytes()
}

/// Takes fields from the front.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (field, rest) = self.0.split_first_chunk().ok_or(Error::InvalidToken { what: "more fields" })?;
        self.0 = rest;
        Ok(*field)
    }

    fn stream(&mut self) -> Result<StreamKey, Error> {
        let table = TableId(u32::from_be_bytes(self.take()?));
        Ok(StreamKey { table, enabled_at_us: u64::from_be_bytes(self.take()?) })
    }

    fn end(&self) -> Result<(), Error> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::InvalidToken { what: "fewer fields" }) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn iterator(numbers: (u32, u64, u16, u64, u64, u64)) -> ShardIterator {
        let (table, enabled_at_us, shard, frame, sequence, issued_at_us) = numbers;
        ShardIterator {
            stream: StreamKey { table: TableId(table), enabled_at_us },
            place: ShardPlace { shard: ShardId(shard), frame: FrameNumber(frame), sequence: SequenceNumber(sequence) },
            issued_at_us,
        }
    }

    proptest! {
        #[test]
        fn tokens_read_back_and_damage_is_found(numbers: (u32, u64, u16, u64, u64, u64), at: usize, other in "[A-Za-z0-9_-]") {
            let iterator = iterator(numbers);
            let token = iterator.encode();
            prop_assert_eq!(ShardIterator::decode(&token, iterator.issued_at_us).unwrap(), iterator);
            prop_assert_eq!(table_of_iterator(&token).unwrap(), iterator.stream.table);
            prop_assert!(StreamPlace::decode(&token).is_err(), "an iterator is no position");

            let place = StreamPlace { frame: iterator.place.frame, event: numbers.0 };
            let position = place.encode(iterator.stream);
            prop_assert_eq!(StreamPlace::decode(&position).unwrap(), (iterator.stream, place));

            let at = at % token.len();
            if token[at..=at] != other {
                let mut damaged = token.clone();
                damaged.replace_range(at..=at, &other);
                prop_assert!(ShardIterator::decode(&damaged, iterator.issued_at_us).is_err());
                prop_assert!(ShardIterator::decode(&token[..at], iterator.issued_at_us).is_err());
            }
        }

        #[test]
        fn no_text_is_a_token_by_chance(text in any::<String>()) {
            prop_assert!(ShardIterator::decode(&text, 0).is_err());
            prop_assert!(StreamPlace::decode(&text).is_err());
        }
    }

    #[test]
    fn an_iterator_lives_for_fifteen_minutes() {
        let token = iterator((1000, 7, 3, 8, 9, 1_000_000)).encode();
        assert!(ShardIterator::decode(&token, 1_000_000 + ITERATOR_LIFETIME_US).is_ok());
        let late = ShardIterator::decode(&token, 1_000_001 + ITERATOR_LIFETIME_US);
        assert!(matches!(late, Err(Error::ExpiredIterator { age_us: 900_000_001 })), "{late:?}");
        assert!(ShardIterator::decode(&token, 0).is_ok(), "a clock that went back is no reason to refuse");
    }
}
