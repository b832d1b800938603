//! Items encoded as their attributes come, in any order: what is only to be stored needs no map of values in between.

use bytes::Bytes;

use crate::{
    Image, Item, ItemError, Value, ValueRef,
    codec::{put_bytes, put_varint},
    image::put_value,
    item::check_attribute,
};

/// An item that is encoded and has passed all that [`Item::check`] asks.
#[derive(Clone, Debug)]
pub struct EncodedItem {
    image: Image,
    /// By name.
    attributes: Vec<Encoded>,
    size: usize,
}

impl EncodedItem {
    /// The value of a top-level attribute.
    pub fn get(&self, name: &str) -> Option<ValueRef<'_>> {
        let image = self.image.bytes();
        let wanted = (first_bytes(name), name.as_bytes());
        let found = self.attributes.binary_search_by(|attribute| attribute.order(image).cmp(&wanted)).ok()?;
        Some(ValueRef::read(image, self.attributes[found].value).expect("our own encoding"))
    }

    /// The item itself.
    pub fn decode(&self) -> Item {
        self.image.decode().expect("our own encoding")
    }

    /// The size in bytes as DynamoDB counts it, as [`Item::size`] does.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Its image.
    pub fn into_image(self) -> Image {
        self.image
    }
}

/// Encodes attributes; of those with one name the last one counts, unless one of them may not be stored.
#[derive(Clone, Debug, Default)]
pub struct ItemEncoder {
    /// The attributes as they came, each as it will be in the image: its name, then its value.
    bytes: Vec<u8>,
    attributes: Vec<Encoded>,
    /// What is wrong with the first attribute that may not be stored.
    error: Option<ItemError>,
}

/// An attribute in encoded bytes.
#[derive(Clone, Debug)]
struct Encoded {
    /// The first eight bytes of its name, which tell most names apart.
    name_begins: u64,
    /// Where it begins, its name's text begins, its value begins, and it ends.
    start: usize,
    name: usize,
    value: usize,
    end: usize,
    /// As DynamoDB counts it.
    size: usize,
}

impl Encoded {
    /// What attributes are sorted by.
    fn order<'a>(&self, bytes: &'a [u8]) -> (u64, &'a [u8]) {
        (self.name_begins, &bytes[self.name..self.value])
    }

    /// Copies it from `bytes` to the end of `out`, where it is from then on.
    fn move_to(&mut self, out: &mut Vec<u8>, bytes: &[u8]) {
        let start = out.len();
        out.extend_from_slice(&bytes[self.start..self.end]);
        self.name = self.name - self.start + start;
        self.value = self.value - self.start + start;
        self.end = out.len();
        self.start = start;
    }
}

/// What most items have of attributes, and of encoded bytes: they grow no further.
const ATTRIBUTES_USUAL: usize = 16;
const BYTES_USUAL: usize = 320;

/// The number of attributes of an item that may be stored takes no more, encoded.
const COUNT_BYTES_MAX: usize = 3;

impl ItemEncoder {
    /// Adds an attribute.
    pub fn put(&mut self, name: &str, value: &Value) {
        if self.error.is_some() {
            return;
        }
        if let Err(error) = check_attribute(name, value) {
            self.error = Some(error);
            return;
        }
        if self.attributes.is_empty() {
            self.attributes.reserve(ATTRIBUTES_USUAL);
            self.bytes.reserve(BYTES_USUAL);
        }
        let start = self.bytes.len();
        put_bytes(name.as_bytes(), &mut self.bytes);
        let value_start = self.bytes.len();
        put_value(value, &mut self.bytes);
        self.attributes.push(Encoded {
            name_begins: first_bytes(name),
            start,
            name: value_start - name.len(),
            value: value_start,
            end: self.bytes.len(),
            size: name.len() + value.size(),
        });
    }

    /// The item of all attributes, or why it may not be stored.
    pub fn finish(self) -> Result<EncodedItem, ItemError> {
        let ItemEncoder { bytes, mut attributes, error } = self;
        if let Some(error) = error {
            return Err(error);
        }
        attributes.sort_unstable_by(|left, right| {
            left.order(&bytes).cmp(&right.order(&bytes)).then(right.start.cmp(&left.start))
        });
        // The last one of a name is the first now, and stays.
        attributes.dedup_by(|next, kept| next.order(&bytes) == kept.order(&bytes));
        let size = attributes.iter().map(|attribute| attribute.size).sum();
        if size > Item::SIZE_MAX {
            return Err(ItemError::TooLarge { bytes: size, bytes_max: Item::SIZE_MAX });
        }
        // Not more, however much was given twice: an image keeps its memory.
        let encoded_bytes: usize = attributes.iter().map(|attribute| attribute.end - attribute.start).sum();
        let mut image = Vec::with_capacity(encoded_bytes + COUNT_BYTES_MAX);
        put_varint(attributes.len() as u128, &mut image);
        attributes.iter_mut().for_each(|attribute| attribute.move_to(&mut image, &bytes));
        Ok(EncodedItem { image: Image::from_bytes(Bytes::from(image)), attributes, size })
    }
}

/// The first eight bytes of a text as a number that sorts like them, zeros after the end.
fn first_bytes(text: &str) -> u64 {
    match text.as_bytes().first_chunk() {
        Some(whole) => u64::from_be_bytes(*whole),
        None => text.bytes().enumerate().fold(0, |first, (at, byte)| first | u64::from(byte) << (56 - 8 * at)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::arbitrary;

    fn encoded(attributes: &[(String, Value)]) -> Result<EncodedItem, ItemError> {
        let mut encoder = ItemEncoder::default();
        attributes.iter().for_each(|(name, value)| encoder.put(name, value));
        encoder.finish()
    }

    proptest! {
        #[test]
        fn attributes_in_any_order_and_more_than_once_are_the_item_that_a_map_makes_of_them(
            attributes in proptest::collection::vec((arbitrary::names(), arbitrary::values()), 0..20),
            again in proptest::collection::vec((any::<prop::sample::Index>(), arbitrary::values()), 0..5),
        ) {
            let mut given = attributes.clone();
            if !attributes.is_empty() {
                given.extend(again.into_iter().map(|(index, value)| (index.get(&attributes).0.clone(), value)));
            }
            let item: Item = given.iter().cloned().collect();
            let encoded = encoded(&given).unwrap();
            prop_assert_eq!(encoded.size(), item.size());
            prop_assert_eq!(encoded.decode(), item.clone());
            for (name, value) in &item {
                let found = encoded.get(name).unwrap();
                prop_assert_eq!(found.to_value(), Ok(value.clone()));
                prop_assert_eq!(found.type_name(), value.type_name());
                prop_assert_eq!(ValueRef::from(value).type_name(), value.type_name());
            }
            prop_assert_eq!(encoded.into_image(), Image::encode(&item));
        }
    }

    #[test]
    fn what_may_not_be_stored_is_refused_as_in_an_item() {
        let mut deep = Value::Null;
        for _ in 0..=Value::DEPTH_MAX {
            deep = Value::List(vec![deep]);
        }
        for (name, value) in [
            ("deep", deep),
            ("", Value::Null),
            ("set", Value::StringSet([].into())),
            ("text", Value::from("x".repeat(Item::SIZE_MAX))),
        ] {
            let good = ("good".to_owned(), Value::Null);
            let bad = (name.to_owned(), value);
            let item: Item = [good.clone(), bad.clone()].into();
            assert_eq!(encoded(&[bad, good]).unwrap_err(), item.check().unwrap_err());
        }
    }
}
