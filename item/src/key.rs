//! Keys: tuples of partition and sort components, encoded to bytes that sort as DynamoDB sorts.

use bytes::Bytes;

use crate::{Item, KeyType, Table, Value};

/// How many slots partition keys hash into.
pub const SLOTS: u16 = 1024;

/// A fixed hash of the partition key, `0..1024`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot(pub u16);

/// An encoded primary key. Both halves are self-delimiting, so their concatenation sorts like the pair.
/// `sort` is empty where the table has no sort key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Encoded partition key components.
    pub partition: Bytes,
    /// Encoded sort key components.
    pub sort: Bytes,
}

/// Why an item has no valid key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The attribute is missing.
    #[error("missing the key {name} in the item")]
    Missing {
        /// Attribute name.
        name: String,
    },
    /// The attribute has another type.
    #[error("type mismatch for key {name}: expected {expected}, got {actual}")]
    WrongType {
        /// Attribute name.
        name: String,
        /// What the schema says.
        expected: KeyType,
        /// The value's type name.
        actual: &'static str,
    },
    /// An empty string or binary.
    #[error("key {name} is empty")]
    Empty {
        /// Attribute name.
        name: String,
    },
    /// Over 2048 bytes (partition) or 1024 bytes (sort).
    #[error("key {name} has {bytes} bytes, over the limit of {bytes_max}")]
    TooLong {
        /// Attribute name.
        name: String,
        /// Its length.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
}

impl Key {
    /// The key of `item` in `table`.
    pub fn of_item(table: &Table, item: &Item) -> Result<Key, KeyError> {
        let _ = (table, item);
        todo!()
    }

    /// The key attributes, decoded, as an item of one or two attributes.
    pub fn to_item(&self, table: &Table) -> Result<Item, crate::CodecError> {
        let _ = table;
        todo!()
    }

    /// The slot of the partition key: CRC-32C of its encoded bytes, top ten bits.
    pub fn slot(&self) -> Slot {
        slot(&self.partition)
    }
}

/// The slot of an encoded partition key.
pub fn slot(partition: &[u8]) -> Slot {
    let _ = partition;
    todo!()
}

/// Encodes one key component (S, N or B), order-preserving and self-delimiting.
/// Panics never: a value of another type is an error.
pub fn encode_component(name: &str, value: &Value, expected: KeyType, out: &mut Vec<u8>) -> Result<(), KeyError> {
    let _ = (name, value, expected, out);
    todo!()
}

/// Decodes one component from the front of `bytes`; answers it and how many bytes it took.
pub fn decode_component(bytes: &[u8]) -> Result<(Value, usize), crate::CodecError> {
    let _ = bytes;
    todo!()
}

/// The least byte string greater than every encoded key that starts with `prefix` (none if there is no such string).
pub fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let _ = prefix;
    todo!()
}
