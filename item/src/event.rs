//! Events: numbered changes, as logged, and their codec.

use std::sync::Arc;

use bytes::Bytes;

use crate::{CodecError, Image, Key, Table, TableId};

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

impl Event {
    /// Appends this event's encoding to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let _ = out;
        todo!()
    }

    /// Decodes every event of a frame body. Keys and images share `body`'s memory.
    pub fn decode_all(body: &Bytes) -> Result<Vec<Event>, CodecError> {
        let _ = body;
        todo!()
    }
}
