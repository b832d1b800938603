//! Events: numbered changes, as logged, and their codec.
//!
//! A frame's body is its events, one after another. An event carries no version of its own: the frame's header does.
//! `varint` is an unsigned LEB128 number in its shortest form; a blob is its length as a varint, then the bytes.
//!
//! ```text
//! event      head: 1 byte = kind + 16 * actor | shard: varint | sequence: varint | table id: varint
//!            | schema version: varint | payload by kind
//! key        partition: blob | sort: blob
//!
//! kind                                payload
//!   1  put, old image unknown         key | new: blob
//!   2  put, there was none            key | new: blob
//!   3  put, with the old image        key | new: blob | old: blob
//!   4  remove, old image unknown      key
//!   5  remove, there was none         key
//!   6  remove, with the old image     key | old: blob
//!   7  put table                      table (see `table`)
//!   8  delete table                   -
//! ```
//!
//! Kinds are persisted: never renumber. Keys and images are opaque here: they share the body's memory, and are checked
//! when they are decoded in turn.

use std::sync::Arc;

use bytes::Bytes;

use crate::codec::{CodecError, Reader, put_bytes, put_varint};
use crate::{Image, Key, Table, TableId};

/// An event's place in its shard, counted from 1 without gaps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SequenceNumber(pub u64);

/// A range of slots with one planner and one sequence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u16);

/// Who made a change. Numbers are persisted: never renumber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Actor {
    /// A client.
    User = 0,
    /// Time to live.
    Ttl = 1,
    /// An import.
    Import = 2,
    /// Thalweg itself.
    System = 3,
}

/// What is known of the item before a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Old {
    /// Nothing needed it, so nobody looked (a blind put).
    Unknown,
    /// There was no item.
    Absent,
    /// The item as it was.
    Image(Image),
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The item is now `new`.
    Put {
        /// Its key.
        key: Key,
        /// After.
        new: Image,
        /// Before.
        old: Old,
    },
    /// The item is gone.
    Remove {
        /// Its key.
        key: Key,
        /// Before.
        old: Old,
    },
    /// A table exists, or has a new schema version; one such event in every shard.
    PutTable(Arc<Table>),
    /// A table is gone; one such event in every shard.
    DeleteTable,
}

/// One numbered change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The shard that numbered it.
    pub shard: ShardId,
    /// Its number there.
    pub sequence: SequenceNumber,
    /// Who made it.
    pub actor: Actor,
    /// The table it changes.
    pub table: TableId,
    /// The schema version it was made under.
    pub schema_version: u32,
    /// What changed.
    pub change: Change,
}

const PUT_UNKNOWN: u8 = 1;
const PUT_ABSENT: u8 = 2;
const PUT_IMAGE: u8 = 3;
const REMOVE_UNKNOWN: u8 = 4;
const REMOVE_ABSENT: u8 = 5;
const REMOVE_IMAGE: u8 = 6;
const PUT_TABLE: u8 = 7;
const DELETE_TABLE: u8 = 8;

impl Event {
    /// Appends this event's encoding to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let kind = match &self.change {
            Change::Put { old: Old::Unknown, .. } => PUT_UNKNOWN,
            Change::Put { old: Old::Absent, .. } => PUT_ABSENT,
            Change::Put { old: Old::Image(_), .. } => PUT_IMAGE,
            Change::Remove { old: Old::Unknown, .. } => REMOVE_UNKNOWN,
            Change::Remove { old: Old::Absent, .. } => REMOVE_ABSENT,
            Change::Remove { old: Old::Image(_), .. } => REMOVE_IMAGE,
            Change::PutTable(_) => PUT_TABLE,
            Change::DeleteTable => DELETE_TABLE,
        };
        out.push(kind | (self.actor as u8) << 4);
        put_varint(u128::from(self.shard.0), out);
        put_varint(u128::from(self.sequence.0), out);
        put_varint(u128::from(self.table.0), out);
        put_varint(u128::from(self.schema_version), out);
        match &self.change {
            Change::Put { key, new, old } => {
                put_key(key, out);
                put_bytes(new.bytes(), out);
                put_old(old, out);
            }
            Change::Remove { key, old } => {
                put_key(key, out);
                put_old(old, out);
            }
            Change::PutTable(table) => table.encode(out),
            Change::DeleteTable => {}
        }
    }

    /// Decodes the event at `offset`, which moves behind it. Keys and images share `body`'s memory.
    pub fn decode(body: &Bytes, offset: &mut usize) -> Result<Event, CodecError> {
        let mut reader = Reader::new(body, *offset);
        let event = Event::read(&mut reader)?;
        *offset = reader.offset();
        Ok(event)
    }

    /// Decodes every event of a frame body. Keys and images share `body`'s memory.
    pub fn decode_all(body: &Bytes) -> Result<Vec<Event>, CodecError> {
        let mut reader = Reader::new(body, 0);
        let mut events = Vec::new();
        while !reader.is_done() {
            events.push(Event::read(&mut reader)?);
        }
        Ok(events)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Event, CodecError> {
        let start = reader.offset();
        let head = reader.byte("an event")?;
        let actor = match head >> 4 {
            0 => Actor::User,
            1 => Actor::Ttl,
            2 => Actor::Import,
            3 => Actor::System,
            _ => return reader.error(start, "a known actor"),
        };
        let shard = ShardId(reader.number("a shard")?);
        let sequence = SequenceNumber(reader.number("a sequence number")?);
        let table = TableId(reader.number("a table id")?);
        let schema_version = reader.number("a schema version")?;
        let change = match head & 0x0f {
            kind @ PUT_UNKNOWN..=PUT_IMAGE => Change::Put {
                key: read_key(reader)?,
                new: read_image(reader)?,
                old: match kind {
                    PUT_UNKNOWN => Old::Unknown,
                    PUT_ABSENT => Old::Absent,
                    _ => Old::Image(read_image(reader)?),
                },
            },
            kind @ REMOVE_UNKNOWN..=REMOVE_IMAGE => Change::Remove {
                key: read_key(reader)?,
                old: match kind {
                    REMOVE_UNKNOWN => Old::Unknown,
                    REMOVE_ABSENT => Old::Absent,
                    _ => Old::Image(read_image(reader)?),
                },
            },
            PUT_TABLE => Change::PutTable(Arc::new(Table::read(reader)?)),
            DELETE_TABLE => Change::DeleteTable,
            _ => return reader.error(start, "a known kind of event"),
        };
        Ok(Event { shard, sequence, actor, table, schema_version, change })
    }
}

fn put_key(key: &Key, out: &mut Vec<u8>) {
    put_bytes(&key.partition, out);
    put_bytes(&key.sort, out);
}

fn put_old(old: &Old, out: &mut Vec<u8>) {
    if let Old::Image(image) = old {
        put_bytes(image.bytes(), out);
    }
}

fn read_key(reader: &mut Reader<'_>) -> Result<Key, CodecError> {
    Ok(Key { partition: reader.blob("a partition key")?, sort: reader.blob("a sort key")? })
}

fn read_image(reader: &mut Reader<'_>) -> Result<Image, CodecError> {
    reader.blob("an image").map(Image::from_bytes)
}

#[cfg(test)]
mod tests;
