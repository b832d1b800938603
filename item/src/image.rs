//! The compact encoding of an item: what the log and the memtable hold.
//!
//! An item has one encoding, so two images are equal exactly when their items are. `varint` is an unsigned LEB128
//! number in its shortest form; there are no multi-byte integers besides, so there is no byte order.
//!
//! ```text
//! image      count: varint | count x (name: text | value)          names strictly ascending
//! value      tag: 1 byte | payload by tag
//! text       length: varint | length bytes of UTF-8
//! binary     length: varint | length bytes
//! number     head: varint = zigzag(exponent) * 2 + (1 if negative) | digits: varint, not ending in a decimal 0
//!
//! tag  type     payload
//!   0  NULL     -
//!   1  BOOL     - (false)
//!   2  BOOL     - (true)
//!   3  S        text
//!   4  N        number
//!   5  B        binary
//!   6  L        count: varint | count x value
//!   7  M        count: varint | count x (name: text | value)       names strictly ascending
//!   8  SS       count: varint | count x text                       strictly ascending
//!   9  NS       count: varint | count x number                     strictly ascending
//!  10  BS       count: varint | count x binary                     strictly ascending
//! ```
//!
//! Tags are persisted: never renumber. Lists and maps nest at most [`DEPTH_MAX`] deep.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::codec::{CodecError, Reader, put_bytes, put_varint};
use crate::{Item, Number, Value, value::number_size};

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const STRING: u8 = 3;
const NUMBER: u8 = 4;
const BINARY: u8 = 5;
const LIST: u8 = 6;
const MAP: u8 = 7;
const STRING_SET: u8 = 8;
const NUMBER_SET: u8 = 9;
const BINARY_SET: u8 = 10;

/// Lists and maps in an image nest no deeper: a level more than in items, where the item itself counts as one.
const DEPTH_MAX: usize = Value::DEPTH_MAX + 1;

/// An image that has so much memory more than it needs is copied to less.
const SLACK_BYTES_MAX: usize = 1024;

/// What most attributes take, encoded.
const ATTRIBUTE_BYTES_USUAL: usize = 20;

const COUNT: &str = "a count";
const NAME: &str = "an attribute name";
const ORDER: &str = "strictly ascending names or elements";

/// An encoded item: what the log and the memtable hold. Cloning shares the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image(Bytes);

impl Image {
    /// The size of an item as DynamoDB counts it is at most so many times the bytes of its image.
    pub const SIZE_FACTOR: u64 = 2;

    /// Encodes an item, which must have passed [`Item::check_shape`]: an image that nests too deep does not decode.
    pub fn encode(item: &Item) -> Image {
        let mut out = Vec::with_capacity(ATTRIBUTE_BYTES_USUAL * item.len() + 8);
        put_attributes(&item.0, &mut out);
        if out.capacity() - out.len() > SLACK_BYTES_MAX {
            out.shrink_to_fit();
        }
        Image(Bytes::from(out))
    }

    /// Takes bytes that `bytes()` gave.
    pub fn from_bytes(bytes: Bytes) -> Image {
        Image(bytes)
    }

    /// Decodes the item. Binary values share the image's memory.
    pub fn decode(&self) -> Result<Item, CodecError> {
        let mut reader = Reader::new(&self.0, 0);
        let attributes = read_attributes(&mut reader, DEPTH_MAX)?;
        if !reader.is_done() {
            return reader.error(reader.offset(), "the end of the item");
        }
        Ok(Item(attributes))
    }

    /// The item's size in bytes as DynamoDB counts it, as [`Item::size`], without decoding it: names and texts are not looked
    /// into.
    pub fn size(&self) -> Result<usize, CodecError> {
        let mut reader = Reader::new(&self.0, 0);
        let mut size = 0;
        for _ in 0..reader.number::<usize>(COUNT)? {
            size += reader.slice(NAME)?.len() + value_size(&mut reader, DEPTH_MAX)?;
        }
        if reader.is_done() { Ok(size) } else { reader.error(reader.offset(), "the end of the item") }
    }

    /// Decodes one top-level attribute and skips the others; looks no further than the attribute.
    pub fn attribute(&self, name: &str) -> Result<Option<Value>, CodecError> {
        let mut reader = Reader::new(&self.0, 0);
        for _ in 0..reader.number::<usize>(COUNT)? {
            let here = reader.text(NAME)?;
            if here == name {
                return read_value(&mut reader, DEPTH_MAX).map(Some);
            }
            if here > name {
                return Ok(None);
            }
            skip_value(&mut reader, DEPTH_MAX)?;
        }
        Ok(None)
    }

    /// The top-level attributes in order of their names, without copying any. After an error there are no more.
    pub fn attributes(&self) -> Attributes<'_> {
        Attributes { reader: Reader::new(&self.0, 0), left: None, last: None }
    }

    /// The encoded bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }
}

/// See [`Image::attributes`].
#[derive(Debug)]
pub struct Attributes<'a> {
    reader: Reader<'a>,
    /// Attributes to come; none before the first.
    left: Option<usize>,
    last: Option<&'a str>,
}

/// An attribute's value, borrowed from an item or from an image.
#[derive(Clone, Copy, Debug)]
pub enum ValueRef<'a> {
    /// `NULL`.
    Null,
    /// `BOOL`.
    Bool(bool),
    /// `S`.
    String(&'a str),
    /// `N`.
    Number(Number),
    /// `B`.
    Binary(&'a [u8]),
    /// A list, map or set.
    Whole(&'a Value),
    /// A list, map or set as it lies in an image, not looked into.
    Encoded {
        /// The image's bytes.
        image: &'a Bytes,
        /// Where in them.
        offset: usize,
    },
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<(&'a str, ValueRef<'a>), CodecError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.read().transpose();
        if matches!(next, None | Some(Err(_))) {
            self.left = Some(0);
        }
        next
    }
}

impl<'a> Attributes<'a> {
    fn read(&mut self) -> Result<Option<(&'a str, ValueRef<'a>)>, CodecError> {
        let left = match self.left {
            Some(0) => return Ok(None),
            Some(left) => left,
            None => self.reader.number::<usize>(COUNT)?,
        };
        let Some(after) = left.checked_sub(1) else {
            return if self.reader.is_done() {
                Ok(None)
            } else {
                self.reader.error(self.reader.offset(), "the end of the item")
            };
        };
        let start = self.reader.offset();
        let name = self.reader.text(NAME)?;
        if self.last.is_some_and(|last| last >= name) {
            return self.reader.error(start, ORDER);
        }
        let value = read_ref(&mut self.reader)?;
        if after == 0 && !self.reader.is_done() {
            return self.reader.error(self.reader.offset(), "the end of the item");
        }
        (self.left, self.last) = (Some(after), Some(name));
        Ok(Some((name, value)))
    }
}

impl<'a> From<&'a Value> for ValueRef<'a> {
    fn from(value: &'a Value) -> ValueRef<'a> {
        match value {
            Value::Null => ValueRef::Null,
            Value::Bool(value) => ValueRef::Bool(*value),
            Value::String(text) => ValueRef::String(text),
            Value::Number(number) => ValueRef::Number(*number),
            Value::Binary(bytes) => ValueRef::Binary(bytes),
            whole => ValueRef::Whole(whole),
        }
    }
}

impl<'a> ValueRef<'a> {
    /// The value at `offset` of an image.
    pub(crate) fn read(image: &'a Bytes, offset: usize) -> Result<ValueRef<'a>, CodecError> {
        read_ref(&mut Reader::new(image, offset))
    }

    /// DynamoDB's name of the type, as [`Value::type_name`].
    pub fn type_name(&self) -> &'static str {
        match self {
            ValueRef::Null => "NULL",
            ValueRef::Bool(_) => "BOOL",
            ValueRef::String(_) => "S",
            ValueRef::Number(_) => "N",
            ValueRef::Binary(_) => "B",
            ValueRef::Whole(value) => value.type_name(),
            ValueRef::Encoded { image, offset } => match image.get(*offset) {
                Some(&LIST) => "L",
                Some(&MAP) => "M",
                Some(&STRING_SET) => "SS",
                Some(&NUMBER_SET) => "NS",
                _ => "BS",
            },
        }
    }

    /// The value itself, copied.
    pub fn to_value(&self) -> Result<Value, CodecError> {
        Ok(match self {
            ValueRef::Null => Value::Null,
            ValueRef::Bool(value) => Value::Bool(*value),
            ValueRef::String(text) => Value::String((*text).to_owned()),
            ValueRef::Number(number) => Value::Number(*number),
            ValueRef::Binary(bytes) => Value::Binary(Bytes::copy_from_slice(bytes)),
            ValueRef::Whole(value) => (*value).clone(),
            ValueRef::Encoded { image, offset } => read_value(&mut Reader::new(image, *offset), DEPTH_MAX)?,
        })
    }
}

fn put_attributes(attributes: &BTreeMap<String, Value>, out: &mut Vec<u8>) {
    put_varint(attributes.len() as u128, out);
    for (name, value) in attributes {
        put_bytes(name.as_bytes(), out);
        put_value(value, out);
    }
}

pub(crate) fn put_value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(NULL),
        Value::Bool(false) => out.push(FALSE),
        Value::Bool(true) => out.push(TRUE),
        Value::String(text) => {
            out.push(STRING);
            put_bytes(text.as_bytes(), out);
        }
        Value::Number(number) => {
            out.push(NUMBER);
            put_number(number, out);
        }
        Value::Binary(bytes) => {
            out.push(BINARY);
            put_bytes(bytes, out);
        }
        Value::List(values) => {
            out.push(LIST);
            put_varint(values.len() as u128, out);
            values.iter().for_each(|value| put_value(value, out));
        }
        Value::Map(values) => {
            out.push(MAP);
            put_attributes(values, out);
        }
        Value::StringSet(texts) => put_set(STRING_SET, texts, |text, out| put_bytes(text.as_bytes(), out), out),
        Value::NumberSet(numbers) => put_set(NUMBER_SET, numbers, put_number, out),
        Value::BinarySet(blobs) => put_set(BINARY_SET, blobs, |bytes, out| put_bytes(bytes, out), out),
    }
}

fn put_set<T>(tag: u8, set: &BTreeSet<T>, put: impl Fn(&T, &mut Vec<u8>), out: &mut Vec<u8>) {
    out.push(tag);
    put_varint(set.len() as u128, out);
    set.iter().for_each(|element| put(element, out));
}

fn put_number(number: &Number, out: &mut Vec<u8>) {
    let exponent = i32::from(number.exponent());
    let zigzag = ((exponent << 1) ^ (exponent >> 31)) as u32;
    put_varint(u128::from(zigzag << 1 | u32::from(number.is_negative())), out);
    put_varint(number.digits(), out);
}

/// `depth` is how many more levels of lists and maps may open within.
fn read_attributes(reader: &mut Reader<'_>, depth: usize) -> Result<BTreeMap<String, Value>, CodecError> {
    let mut attributes = BTreeMap::new();
    for _ in 0..reader.number::<usize>(COUNT)? {
        let start = reader.offset();
        let name = reader.text(NAME)?;
        if attributes.last_key_value().is_some_and(|(last, _): (&String, _)| last.as_str() >= name) {
            return reader.error(start, ORDER);
        }
        attributes.insert(name.to_owned(), read_value(reader, depth)?);
    }
    Ok(attributes)
}

fn read_value(reader: &mut Reader<'_>, depth: usize) -> Result<Value, CodecError> {
    let start = reader.offset();
    Ok(match reader.byte("a type tag")? {
        NULL => Value::Null,
        FALSE => Value::Bool(false),
        TRUE => Value::Bool(true),
        STRING => Value::String(read_text(reader)?),
        NUMBER => Value::Number(read_number(reader)?),
        BINARY => Value::Binary(reader.blob("bytes")?),
        LIST => {
            let depth = descend(reader, start, depth)?;
            let mut values = Vec::new();
            for _ in 0..reader.number::<usize>(COUNT)? {
                values.push(read_value(reader, depth)?);
            }
            Value::List(values)
        }
        MAP => {
            let depth = descend(reader, start, depth)?;
            Value::Map(read_attributes(reader, depth)?)
        }
        STRING_SET => Value::StringSet(read_set(reader, read_text)?),
        NUMBER_SET => Value::NumberSet(read_set(reader, read_number)?),
        BINARY_SET => Value::BinarySet(read_set(reader, |reader| reader.blob("bytes"))?),
        _ => return reader.error(start, "a known type tag"),
    })
}

/// Scalars as they are; of the others only where they begin.
fn read_ref<'a>(reader: &mut Reader<'a>) -> Result<ValueRef<'a>, CodecError> {
    let offset = reader.offset();
    Ok(match reader.byte("a type tag")? {
        NULL => ValueRef::Null,
        FALSE => ValueRef::Bool(false),
        TRUE => ValueRef::Bool(true),
        STRING => ValueRef::String(reader.text("text")?),
        NUMBER => ValueRef::Number(read_number(reader)?),
        BINARY => ValueRef::Binary(reader.slice("bytes")?),
        _ => {
            let image = reader.bytes();
            *reader = Reader::new(image, offset);
            skip_value(reader, DEPTH_MAX)?;
            ValueRef::Encoded { image, offset }
        }
    })
}

fn descend(reader: &Reader<'_>, start: usize, depth: usize) -> Result<usize, CodecError> {
    depth.checked_sub(1).map_or_else(|| reader.error(start, "at most 32 levels of lists and maps"), Ok)
}

fn read_text(reader: &mut Reader<'_>) -> Result<String, CodecError> {
    reader.text("text").map(str::to_owned)
}

fn read_set<T: Ord>(
    reader: &mut Reader<'_>,
    read: impl Fn(&mut Reader<'_>) -> Result<T, CodecError>,
) -> Result<BTreeSet<T>, CodecError> {
    let mut set = BTreeSet::new();
    for _ in 0..reader.number::<usize>(COUNT)? {
        let start = reader.offset();
        let element = read(reader)?;
        if set.last().is_some_and(|last| *last >= element) {
            return reader.error(start, ORDER);
        }
        set.insert(element);
    }
    Ok(set)
}

fn read_number(reader: &mut Reader<'_>) -> Result<Number, CodecError> {
    const WHAT: &str = "a number";
    let start = reader.offset();
    let head: u32 = reader.number(WHAT)?;
    let digits = reader.varint(WHAT)?;
    let zigzag = head >> 1;
    let exponent = (zigzag >> 1) as i32 ^ -((zigzag & 1) as i32);
    let negative = head & 1 == 1;
    match Number::from_parts(negative, digits, exponent) {
        // Only the one form that we write, so that equal items have equal images.
        Ok(number)
            if number.digits() == digits
                && i32::from(number.exponent()) == exponent
                && number.is_negative() == negative =>
        {
            Ok(number)
        }
        _ => reader.error(start, WHAT),
    }
}

fn skip_value(reader: &mut Reader<'_>, depth: usize) -> Result<(), CodecError> {
    let start = reader.offset();
    match reader.byte("a type tag")? {
        NULL | FALSE | TRUE => Ok(()),
        STRING | BINARY => reader.slice("text or bytes").map(|_| ()),
        NUMBER => read_number(reader).map(|_| ()),
        tag @ (LIST | MAP) => {
            let depth = descend(reader, start, depth)?;
            (0..reader.number::<usize>(COUNT)?).try_for_each(|_| {
                if tag == MAP {
                    reader.slice(NAME)?;
                }
                skip_value(reader, depth)
            })
        }
        tag @ (STRING_SET | NUMBER_SET | BINARY_SET) => {
            (0..reader.number::<usize>(COUNT)?).try_for_each(|_| match tag {
                NUMBER_SET => read_number(reader).map(|_| ()),
                _ => reader.slice("text or bytes").map(|_| ()),
            })
        }
        _ => reader.error(start, "a known type tag"),
    }
}

/// Skips a value; answers its size as [`Value::size`] does.
fn value_size(reader: &mut Reader<'_>, depth: usize) -> Result<usize, CodecError> {
    let start = reader.offset();
    let mut size = 0;
    match reader.byte("a type tag")? {
        NULL | FALSE | TRUE => size = 1,
        STRING | BINARY => size = reader.slice("text or bytes")?.len(),
        NUMBER => size = number_size(&read_number(reader)?),
        tag @ (LIST | MAP) => {
            let depth = descend(reader, start, depth)?;
            size = 3;
            for _ in 0..reader.number::<usize>(COUNT)? {
                let name = if tag == MAP { reader.slice(NAME)?.len() } else { 0 };
                size += 1 + name + value_size(reader, depth)?;
            }
        }
        tag @ (STRING_SET | NUMBER_SET | BINARY_SET) => {
            for _ in 0..reader.number::<usize>(COUNT)? {
                size += match tag {
                    NUMBER_SET => number_size(&read_number(reader)?),
                    _ => reader.slice("text or bytes")?.len(),
                };
            }
        }
        _ => return reader.error(start, "a known type tag"),
    }
    Ok(size)
}

#[cfg(test)]
mod tests;
