//! Keys: tuples of partition and sort components, encoded to bytes that sort as DynamoDB sorts.
//!
//! A component is self-delimiting, so a tuple of any length is the concatenation of its components and sorts like the
//! tuple. Bytes compare unsigned, from the first to the last.
//!
//! ```text
//! component
//!   S        01 | UTF-8, each 00 as 00 FF | 00 01
//!   N < 0    02 | magnitude: 1 byte | pairs: 1-19 bytes        both inverted (every bit flipped)
//!   N = 0    03
//!   N > 0    04 | magnitude: 1 byte | pairs: 1-19 bytes
//!   B        05 | bytes, each 00 as 00 FF | 00 01
//!
//! magnitude  the power of ten of the first digit, plus 130: 0..=255
//! pair       two decimal digits from the first one on (the last pair may lack its second, then 0), 00..=99;
//!            the byte is pair * 2, plus 1 if another pair follows. The last pair is never 00.
//! ```
//!
//! The type bytes are persisted: never renumber. `00 01` ends a text because it sorts before every continuation, an
//! escaped zero (`00 FF`) among them.
//!
//! The slot of a key is the top ten bits of the CRC-32C of its encoded partition components.

use bytes::Bytes;
use crc_fast::CrcAlgorithm;

use crate::codec::CodecError;
use crate::{EncodedItem, Item, KeyAttribute, KeyType, Number, Table, Value, ValueRef};

/// How many slots partition keys hash into.
pub const SLOTS: u16 = 1024;
/// The longest partition key in bytes, before encoding.
pub const PARTITION_BYTES_MAX: usize = 2048;
/// The longest sort key in bytes, before encoding.
pub const SORT_BYTES_MAX: usize = 1024;

const STRING: u8 = 1;
const NUMBER_NEGATIVE: u8 = 2;
const NUMBER_ZERO: u8 = 3;
const NUMBER_POSITIVE: u8 = 4;
const BINARY: u8 = 5;

const TERMINATOR: [u8; 2] = [0x00, 0x01];
const ESCAPED_ZERO: [u8; 2] = [0x00, 0xff];

/// What most keys take, encoded.
const KEY_BYTES_USUAL: usize = 48;

/// The digits of the longest number, in pairs.
const PAIRS_MAX: usize = Number::PRECISION_MAX as usize / 2;

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
        /// Its type: S or B.
        key_type: KeyType,
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
        Key::of(table, |name| item.get(name).map(ValueRef::from))
    }

    /// The key of an encoded `item` in `table`.
    pub fn of_encoded(table: &Table, item: &EncodedItem) -> Result<Key, KeyError> {
        Key::of(table, |name| item.get(name))
    }

    /// The key in `table` of the item whose attributes `get` gives by name.
    fn of<'a>(table: &Table, get: impl Fn(&str) -> Option<ValueRef<'a>>) -> Result<Key, KeyError> {
        let attribute = |attribute: &KeyAttribute| {
            get(&attribute.name).ok_or_else(|| KeyError::Missing { name: attribute.name.clone() })
        };
        // Both halves share one piece of memory.
        let mut encoded = Vec::with_capacity(KEY_BYTES_USUAL);
        put_attributes(table.partition_attributes(), attribute, PARTITION_BYTES_MAX, &mut encoded)?;
        let partition_bytes = encoded.len();
        put_attributes(table.sort_attributes(), attribute, SORT_BYTES_MAX, &mut encoded)?;
        for key in &table.item_key {
            put_component(&key.name, &attribute(key)?, key.key_type, &mut encoded)?;
        }
        let mut sort = Bytes::from(encoded);
        let partition = sort.split_to(partition_bytes);
        Ok(Key { partition, sort })
    }

    /// The key attributes, decoded, as an item.
    pub fn to_item(&self, table: &Table) -> Result<Item, CodecError> {
        let mut item = Item::new();
        decode_attributes(&self.partition, table.partition_attributes(), &mut item)?;
        decode_attributes(&self.sort, table.sort_attributes().chain(&table.item_key), &mut item)?;
        Ok(item)
    }

    /// The slot of the partition key: CRC-32C of its encoded bytes, top ten bits.
    pub fn slot(&self) -> Slot {
        slot(&self.partition)
    }
}

/// The slot of an encoded partition key.
pub fn slot(partition: &[u8]) -> Slot {
    let checksum = crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, partition) as u32;
    Slot((checksum >> 22) as u16)
}

/// Encodes a partition key value of `table`, checking its type and length.
pub fn encode_partition(table: &Table, value: &Value) -> Result<Bytes, KeyError> {
    encode_partition_attribute(&table.partition_key, value)
}

/// Encodes a value of the partition key `attribute`, checking its type and length.
pub fn encode_partition_attribute(attribute: &KeyAttribute, value: &Value) -> Result<Bytes, KeyError> {
    encode_attribute(attribute, value, PARTITION_BYTES_MAX)
}

/// Encodes a value of the sort key `attribute`, checking its type and length.
pub fn encode_sort(attribute: &KeyAttribute, value: &Value) -> Result<Bytes, KeyError> {
    encode_attribute(attribute, value, SORT_BYTES_MAX)
}

/// What the encodings of all texts or binaries that begin with `value` begin with, and no others: `value`'s encoding
/// without its end. Their range is `[prefix, after_prefix(prefix))`. A number has no prefix: a type mismatch.
pub fn encode_sort_prefix(attribute: &KeyAttribute, value: &Value) -> Result<Bytes, KeyError> {
    let encoded = match value {
        Value::Number(_) => return Err(wrong_type(&attribute.name, &value.into(), attribute.key_type)),
        _ => encode_attribute(attribute, value, SORT_BYTES_MAX)?,
    };
    Ok(encoded.slice(..encoded.len() - TERMINATOR.len()))
}

/// Encodes the components of the key attributes whose values `get` gives by name; together they are no longer than
/// `bytes_max` before encoding.
pub fn encode_attributes<'k, 'v>(
    attributes: impl Iterator<Item = &'k KeyAttribute>,
    get: impl Fn(&str) -> Option<&'v Value>,
    bytes_max: usize,
) -> Result<Vec<u8>, KeyError> {
    let value = |attribute: &KeyAttribute| {
        get(&attribute.name).map(ValueRef::from).ok_or_else(|| KeyError::Missing { name: attribute.name.clone() })
    };
    let mut out = Vec::new();
    put_attributes(attributes, value, bytes_max, &mut out)?;
    Ok(out)
}

fn encode_attribute(attribute: &KeyAttribute, value: &Value, bytes_max: usize) -> Result<Bytes, KeyError> {
    let mut out = Vec::with_capacity(KEY_BYTES_USUAL);
    put_attribute(attribute, &ValueRef::from(value), 0, bytes_max, &mut out)?;
    Ok(Bytes::from(out))
}

/// Appends the components of key attributes, together no longer than `bytes_max` before encoding.
fn put_attributes<'k, 'v>(
    attributes: impl Iterator<Item = &'k KeyAttribute>,
    value: impl Fn(&KeyAttribute) -> Result<ValueRef<'v>, KeyError>,
    bytes_max: usize,
    out: &mut Vec<u8>,
) -> Result<(), KeyError> {
    let mut before = 0;
    for attribute in attributes {
        let value = value(attribute)?;
        put_attribute(attribute, &value, before, bytes_max, out)?;
        before += bytes(&value);
    }
    Ok(())
}

/// The length of a component before encoding, as far as it counts against a bound.
fn bytes(value: &ValueRef<'_>) -> usize {
    match value {
        ValueRef::String(text) => text.len(),
        ValueRef::Binary(bytes) => bytes.len(),
        _ => 0,
    }
}

/// Appends the component of a key attribute, of its type and, with the `before` bytes of those before it, no longer than
/// `bytes_max` before encoding.
fn put_attribute(
    attribute: &KeyAttribute,
    value: &ValueRef<'_>,
    before: usize,
    bytes_max: usize,
    out: &mut Vec<u8>,
) -> Result<(), KeyError> {
    let bytes = before + bytes(value);
    if bytes > bytes_max {
        return Err(KeyError::TooLong { name: attribute.name.clone(), bytes, bytes_max });
    }
    put_component(&attribute.name, value, attribute.key_type, out)
}

fn wrong_type(name: &str, value: &ValueRef<'_>, expected: KeyType) -> KeyError {
    KeyError::WrongType { name: name.to_owned(), expected, actual: value.type_name() }
}

/// Encodes one key component (S, N or B), order-preserving and self-delimiting; refuses another type and the empty
/// value. The length is the caller's to check.
pub fn encode_component(name: &str, value: &Value, expected: KeyType, out: &mut Vec<u8>) -> Result<(), KeyError> {
    put_component(name, &value.into(), expected, out)
}

fn put_component(name: &str, value: &ValueRef<'_>, expected: KeyType, out: &mut Vec<u8>) -> Result<(), KeyError> {
    match (expected, value) {
        (KeyType::S, ValueRef::String("")) | (KeyType::B, ValueRef::Binary([])) => {
            Err(KeyError::Empty { name: name.to_owned(), key_type: expected })
        }
        (KeyType::S, ValueRef::String(text)) => {
            out.push(STRING);
            put_escaped(text.as_bytes(), out);
            Ok(())
        }
        (KeyType::B, ValueRef::Binary(bytes)) => {
            out.push(BINARY);
            put_escaped(bytes, out);
            Ok(())
        }
        (KeyType::N, ValueRef::Number(number)) => {
            put_number(number, out);
            Ok(())
        }
        _ => Err(wrong_type(name, value, expected)),
    }
}

fn put_escaped(bytes: &[u8], out: &mut Vec<u8>) {
    for (index, run) in bytes.split(|byte| *byte == 0).enumerate() {
        if index > 0 {
            out.extend_from_slice(&ESCAPED_ZERO);
        }
        out.extend_from_slice(run);
    }
    out.extend_from_slice(&TERMINATOR);
}

fn put_number(number: &Number, out: &mut Vec<u8>) {
    if number.is_zero() {
        out.push(NUMBER_ZERO);
        return;
    }
    out.push(if number.is_negative() { NUMBER_NEGATIVE } else { NUMBER_POSITIVE });
    let start = out.len();
    out.push((number.magnitude() - Number::MAGNITUDE_MIN) as u8);
    let precision = number.precision();
    let mut digits = number.digits() * if precision.is_multiple_of(2) { 1 } else { 10 };
    let mut pairs = [0u8; PAIRS_MAX];
    let pairs = &mut pairs[..precision.div_ceil(2) as usize];
    let mut follows = 0;
    for pair in pairs.iter_mut().rev() {
        // Most digits fit a machine word, and 16-byte arithmetic is slow.
        let low = match u64::try_from(digits) {
            Ok(small) => {
                digits = u128::from(small / 100);
                (small % 100) as u8
            }
            Err(_) => {
                let low = (digits % 100) as u8;
                digits /= 100;
                low
            }
        };
        *pair = low * 2 + follows;
        follows = 1;
    }
    out.extend_from_slice(pairs);
    if number.is_negative() {
        out[start..].iter_mut().for_each(|byte| *byte = !*byte);
    }
}

/// Decodes one component from the front of `bytes`; answers it and how many bytes it took.
pub fn decode_component(bytes: &[u8]) -> Result<(Value, usize), CodecError> {
    let Some((&component_type, rest)) = bytes.split_first() else {
        return Err(CodecError { offset: 0, what: "a key component" });
    };
    let (value, length) = match component_type {
        STRING => {
            let (raw, length) = take_escaped(rest)?;
            let text = String::from_utf8(raw).map_err(|_| CodecError { offset: 0, what: "a key of UTF-8" })?;
            (Value::String(text), length)
        }
        BINARY => {
            let (raw, length) = take_escaped(rest)?;
            (Value::Binary(Bytes::from(raw)), length)
        }
        NUMBER_ZERO => (Value::Number(Number::ZERO), 0),
        NUMBER_POSITIVE => take_number(rest, false)?,
        NUMBER_NEGATIVE => take_number(rest, true)?,
        _ => return Err(CodecError { offset: 0, what: "a known key type" }),
    };
    Ok((value, 1 + length))
}

/// Decodes the components of `attributes`, of which `bytes` must consist, into `item`.
fn decode_attributes<'k>(
    bytes: &[u8],
    attributes: impl Iterator<Item = &'k KeyAttribute>,
    item: &mut Item,
) -> Result<(), CodecError> {
    let mut at = 0;
    for attribute in attributes {
        let (value, length) = decode_component(&bytes[at..])?;
        check_type(&value, attribute.key_type)?;
        item.insert(attribute.name.clone(), value);
        at += length;
    }
    if at < bytes.len() {
        return Err(CodecError { offset: at, what: "the end of the key" });
    }
    Ok(())
}

fn check_type(value: &Value, expected: KeyType) -> Result<(), CodecError> {
    if value.type_name() == expected.name() {
        return Ok(());
    }
    Err(CodecError { offset: 0, what: "a key of the table's type" })
}

/// Reads up to and including the terminator; `bytes` begins behind the type byte.
fn take_escaped(bytes: &[u8]) -> Result<(Vec<u8>, usize), CodecError> {
    let mut raw = Vec::new();
    let mut at = 0;
    loop {
        let Some(run) = bytes[at..].iter().position(|byte| *byte == 0) else {
            return Err(CodecError { offset: 1 + bytes.len(), what: "the end of a key component" });
        };
        raw.extend_from_slice(&bytes[at..at + run]);
        at += run;
        match bytes.get(at..at + 2) {
            Some(pair) if pair == ESCAPED_ZERO => raw.push(0),
            Some(pair) if pair == TERMINATOR && !raw.is_empty() => return Ok((raw, at + 2)),
            _ => return Err(CodecError { offset: 1 + at, what: "an escaped zero or the end of a non-empty key" }),
        }
        at += 2;
    }
}

/// Reads a number's magnitude and pairs; `bytes` begins behind the type byte.
fn take_number(bytes: &[u8], negative: bool) -> Result<(Value, usize), CodecError> {
    let malformed = |offset| CodecError { offset: 1 + offset, what: "a number key in its one form" };
    let at = |index: usize| bytes.get(index).map(|byte| if negative { !byte } else { *byte });
    let magnitude = i32::from(at(0).ok_or_else(|| malformed(0))?) + Number::MAGNITUDE_MIN;
    let mut digits = 0u128;
    for index in 1..=PAIRS_MAX {
        let byte = at(index).ok_or_else(|| malformed(index))?;
        let (pair, follows) = (byte / 2, byte % 2 == 1);
        if pair > 99 || (index == 1 && pair < 10) || (pair == 0 && !follows) {
            return Err(malformed(index));
        }
        digits = digits * 100 + u128::from(pair);
        if !follows {
            let exponent = magnitude - (2 * index as i32 - 1);
            let number = Number::from_parts(negative, digits, exponent).map_err(|_| malformed(0))?;
            return Ok((Value::Number(number), 1 + index));
        }
    }
    Err(malformed(PAIRS_MAX))
}

/// The least byte string greater than every encoded key that starts with `prefix` (none if there is no such string).
pub fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte < 0xff)?;
    let mut after = prefix[..=last].to_vec();
    after[last] += 1;
    Some(after)
}

#[cfg(test)]
mod tests;
