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

impl Value {
    /// How deep lists and maps may nest within one attribute: DynamoDB counts 32 levels, the item itself being the first.
    pub const DEPTH_MAX: usize = 31;

    /// DynamoDB's name of the type: `S`, `N`, `B`, `BOOL`, `NULL`, `L`, `M`, `SS`, `NS` or `BS`.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::String(_) => "S",
            Value::Number(_) => "N",
            Value::Binary(_) => "B",
            Value::Bool(_) => "BOOL",
            Value::Null => "NULL",
            Value::List(_) => "L",
            Value::Map(_) => "M",
            Value::StringSet(_) => "SS",
            Value::NumberSet(_) => "NS",
            Value::BinarySet(_) => "BS",
        }
    }

    /// The size in bytes as DynamoDB counts it, by the rules in its guide on item sizes: text and binary by length,
    /// numbers a byte for two digits and one more, lists and maps three bytes and one for each element.
    pub fn size(&self) -> usize {
        match self {
            Value::String(text) => text.len(),
            Value::Number(number) => number_size(number),
            Value::Binary(bytes) => bytes.len(),
            Value::Bool(_) | Value::Null => 1,
            Value::List(values) => 3 + values.iter().map(|value| 1 + value.size()).sum::<usize>(),
            Value::Map(values) => 3 + values.iter().map(|(name, value)| 1 + name.len() + value.size()).sum::<usize>(),
            Value::StringSet(texts) => texts.iter().map(String::len).sum(),
            Value::NumberSet(numbers) => numbers.iter().map(number_size).sum(),
            Value::BinarySet(blobs) => blobs.iter().map(Bytes::len).sum(),
        }
    }

    /// Do lists and maps nest deeper here than `depth`? Looks no deeper than that.
    pub fn depth_exceeds(&self, depth: usize) -> bool {
        match self {
            Value::List(_) | Value::Map(_) if depth == 0 => true,
            Value::List(values) => values.iter().any(|value| value.depth_exceeds(depth - 1)),
            Value::Map(values) => values.values().any(|value| value.depth_exceeds(depth - 1)),
            _ => false,
        }
    }
}

pub(crate) fn number_size(number: &Number) -> usize {
    // The digits before the point and those after it, two in a byte each, zeros at either end left out.
    let digits = number.precision();
    let whole = number.integer_digits().min(digits);
    1 + (whole.div_ceil(2) + (digits - whole).div_ceil(2)) as usize + usize::from(number.is_negative())
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::String(text)
    }
}

impl From<Number> for Value {
    fn from(number: Number) -> Value {
        Value::Number(number)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Value {
        Value::Bool(value)
    }
}
