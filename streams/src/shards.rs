//! Names: of streams, of their shards, of places in a shard.
//!
//! ```text
//! stream    table name, and the label: when it was enabled, 2026-11-22T07:00:00.000 (UTC)
//! shard     shardId-00000001795330800000-0003-00000000: label in milliseconds, store shard, roll
//! sequence  000000000000000000042: decimal, at least 21 digits
//! ```
//! A stream shard is (label, store shard, roll). There is one roll, 0, until shards can split.

use std::{fmt, sync::Arc};

use item::{SequenceNumber, ShardId, Stream, StreamView, Table};
use jiff::{Timestamp, civil::DateTime, tz::Offset};

const LABEL_FORM: &str = "%Y-%m-%dT%H:%M:%S.%3f";

/// What a stream is called by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamName {
    /// The table's name.
    pub table: String,
    /// See [`label`].
    pub label: String,
}

impl StreamName {
    /// The name of `stream` of `table`.
    pub fn new(table: &Table, stream: &Stream) -> StreamName {
        StreamName { table: table.name.clone(), label: label(stream.enabled_at_us) }
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.table, self.label)
    }
}

/// The label of a stream that was enabled `enabled_at_us` microseconds after 1970: that time in UTC, to the millisecond.
pub fn label(enabled_at_us: u64) -> String {
    let time = i64::try_from(enabled_at_us).ok().and_then(|us| Timestamp::from_microsecond(us).ok());
    Offset::UTC.to_datetime(time.unwrap_or(Timestamp::MAX)).strftime(LABEL_FORM).to_string()
}

/// When the stream with that label was enabled, milliseconds since 1970.
pub(crate) fn label_ms(label: &str) -> Option<u64> {
    let time = DateTime::strptime("%Y-%m-%dT%H:%M:%S%.f", label).ok()?;
    u64::try_from(Offset::UTC.to_timestamp(time).ok()?.as_millisecond()).ok()
}

/// The text of a stream shard's id, 28 to 65 characters; sorts as the shards are listed.
pub fn shard_id(stream: &Stream, shard: ShardId) -> String {
    format!("shardId-{:020}-{:04}-{:08}", stream.enabled_at_us / 1000, shard.0, 0)
}

/// The store's shard behind a stream shard's id.
pub(crate) fn parse_shard_id(stream: &Stream, shards: u16, text: &str) -> Option<ShardId> {
    let shard = ShardId(text.split('-').nth(2)?.parse().ok()?);
    (shard.0 < shards && shard_id(stream, shard) == text).then_some(shard)
}

/// A sequence number as text.
pub fn sequence_text(sequence: SequenceNumber) -> String {
    format!("{:021}", sequence.0)
}

/// The sequence number in a text of 1 to 40 digits, as clients send it.
pub(crate) fn parse_sequence(text: &str) -> Option<SequenceNumber> {
    let is_digits = (1..=40).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_digits).map(SequenceNumber)
}

/// A stream, described.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamDescription {
    /// What it is called by.
    pub name: StreamName,
    /// Its table: name and key.
    pub table: Arc<Table>,
    /// What its records show.
    pub view: StreamView,
    /// When it was enabled, microseconds since 1970.
    pub enabled_at_us: u64,
    /// Is it still on?
    pub is_enabled: bool,
    /// Some of its shards, in order.
    pub shards: Vec<ShardDescription>,
    /// The last of `shards`, if there are more after it.
    pub last_shard_id: Option<String>,
}

/// A stream shard, described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardDescription {
    /// See [`shard_id`].
    pub id: String,
    /// No record that can still be read has a lesser number.
    pub starting_sequence: SequenceNumber,
    /// No record has a greater number: the shard is closed. None while the stream is on, and where its end lies so far on
    /// that nobody has read up to it yet.
    pub ending_sequence: Option<SequenceNumber>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_times_and_read_back() {
        assert_eq!(label(1_795_330_800_000_999), "2026-11-22T07:00:00.000");
        assert_eq!(label_ms("2026-11-22T07:00:00.000"), Some(1_795_330_800_000));
        assert_eq!(label_ms(&label(1_431_379_293_291_999)), Some(1_431_379_293_291));
        assert_eq!(label_ms(&label(0)), Some(0));
        for text in ["", "2026", "2026-11-22", "1969-12-31T23:59:59.000", "2026-11-22T07:00:00.000Z", "x"] {
            assert_eq!(label_ms(text), None, "{text}");
        }
        label(u64::MAX);
    }

    #[test]
    fn shard_ids_have_a_length_that_clients_take_and_sort_as_shards() {
        let stream = Stream { view: StreamView::KeysOnly, enabled_at_us: 1_795_330_800_000_999 };
        let ids: Vec<String> = (0..64).map(|shard| shard_id(&stream, ShardId(shard))).collect();
        assert_eq!(ids[3], "shardId-00000001795330800000-0003-00000000");
        assert!(ids.iter().all(|id| (28..=65).contains(&id.len())));
        assert!(ids.is_sorted());
        assert_eq!(parse_shard_id(&stream, 4, &ids[3]), Some(ShardId(3)));
        for text in [&ids[4], "", "shardId-", "shardId-00000001795330800000-3-00000000", &ids[3][1..]] {
            assert_eq!(parse_shard_id(&stream, 4, text), None, "{text}");
        }
        let other = Stream { enabled_at_us: 1_795_330_801_000_000, ..stream };
        assert_eq!(parse_shard_id(&other, 4, &ids[3]), None, "a shard of another stream");
    }

    #[test]
    fn sequence_numbers_are_padded_and_read_back() {
        assert_eq!(sequence_text(SequenceNumber(42)), "000000000000000000042");
        assert_eq!(parse_sequence(&sequence_text(SequenceNumber(u64::MAX))), Some(SequenceNumber(u64::MAX)));
        for text in ["", "-1", "+1", "1.0", " 1", "99999999999999999999999"] {
            assert_eq!(parse_sequence(text), None, "{text}");
        }
    }
}
