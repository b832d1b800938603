//! Items and their compact encoding.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::Value;

/// A set of named attribute values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Item(pub BTreeMap<String, Value>);

/// A merge that would have changed a stored value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collision {
    /// The attribute whose value differs.
    pub attribute: String,
}

impl Item {
    /// The size in bytes as DynamoDB counts it (names as UTF-8, plus values by type).
    pub fn size(&self) -> usize {
        todo!()
    }

    /// Unites top-level attributes with those of `newer`, whose values win; answers which stored values changed.
    pub fn merge(&mut self, newer: Item) -> Vec<Collision> {
        let _ = newer;
        todo!()
    }
}

/// An encoded item: what the log and the memtable hold. Cloning shares the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image(Bytes);

/// Bytes that are not an encoding of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed encoding at byte {offset}: {what}")]
pub struct CodecError {
    /// Where, from the start of the encoded value.
    pub offset: usize,
    /// What was expected.
    pub what: &'static str,
}

impl Image {
    /// Encodes an item.
    pub fn encode(item: &Item) -> Image {
        let _ = item;
        todo!()
    }

    /// Takes bytes that `bytes()` gave.
    pub fn from_bytes(bytes: Bytes) -> Image {
        Image(bytes)
    }

    /// Decodes the item.
    pub fn decode(&self) -> Result<Item, CodecError> {
        todo!()
    }

    /// The encoded bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }
}
