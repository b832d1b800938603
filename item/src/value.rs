//! Attribute values: the ten types of DynamoDB.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::Number;

/// One attribute value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `S`: text.
    String(String),
    /// `N`: an exact decimal.
    Number(Number),
    /// `B`: bytes.
    Binary(Bytes),
    /// `BOOL`.
    Bool(bool),
    /// `NULL`.
    Null,
    /// `L`: values in order, of any types.
    List(Vec<Value>),
    /// `M`: named values.
    Map(BTreeMap<String, Value>),
    /// `SS`: distinct texts, never empty.
    StringSet(BTreeSet<String>),
    /// `NS`: distinct numbers, never empty.
    NumberSet(BTreeSet<Number>),
    /// `BS`: distinct byte strings, never empty.
    BinarySet(BTreeSet<Bytes>),
}
