//! Attribute values on the wire: `{"N": "21.5"}` and its nine siblings, straight to and from [`Value`].
//!
//! A value can be wrong in two ways. JSON of the wrong type ends parsing at once. A value that breaks a rule (two types, an
//! empty set, 39 digits) is remembered as a [`Fault`] while parsing goes on, because DynamoDB complains of other things first.

use std::{
    borrow::{Borrow, Cow},
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use item::{Image, Item, ItemEncoder, Number, NumberError, Value, ValueRef};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
    ser::{Error as _, SerializeMap},
};

use crate::json::Text;

/// Which rule a value breaks, in DynamoDB's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault(pub(crate) Cow<'static, str>);

impl Fault {
    pub(crate) const EMPTY: Fault =
        Fault(Cow::Borrowed("Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"));
    pub(crate) const SEVERAL: Fault = Fault(Cow::Borrowed(
        "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes",
    ));
    const TOO_DEEP: Fault = Fault(Cow::Borrowed(
        "Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond supported limit",
    ));

    /// Is it about which datatypes there are, or about what is empty, not about what a value says?
    pub(crate) fn is_of_shape(&self) -> bool {
        [Fault::EMPTY, Fault::SEVERAL].contains(self)
            || [NO_NULL, EMPTY_STRING_SET, EMPTY_BINARY_SET].iter().any(|text| self.0.ends_with(text))
    }

    fn parameter(text: &'static str) -> Fault {
        Fault(format!("One or more parameter values were invalid: {text}").into())
    }

    /// A number that is none, or that we cannot hold; `text` is what was given for it.
    pub(crate) fn number(text: &str, error: NumberError) -> Fault {
        Fault(match error {
            NumberError::Malformed if text.is_empty() => "The parameter cannot be converted to a numeric value".into(),
            NumberError::Malformed => format!("The parameter cannot be converted to a numeric value: {text}").into(),
            NumberError::TooPrecise => "Attempting to store more than 38 significant digits in a Number".into(),
            NumberError::Overflow => {
                "Number overflow. Attempting to store a number with magnitude larger than supported range".into()
            }
            NumberError::Underflow => {
                "Number underflow. Attempting to store a number with magnitude smaller than supported range".into()
            }
        })
    }
}

const NO_NULL: &str = "Null attribute value types must have the value of true";
const EMPTY_STRING_SET: &str = "An string set  may not be empty";
const EMPTY_BINARY_SET: &str = "Binary sets should not be empty";

/// A value from the wire, or the first rule it breaks.
#[derive(Clone, Debug)]
pub(crate) struct WireValue(pub(crate) Result<Value, Fault>);

/// Named values from the wire (an item, a key), or the first rule that one of them breaks.
#[derive(Clone, Debug)]
pub(crate) struct WireItem(pub(crate) Result<Item, Fault>);

/// An item from the wire that is only to be stored, or the first rule that a value of it breaks.
#[derive(Clone, Debug)]
pub(crate) struct WireEncoded(pub(crate) Result<ItemEncoder, Fault>);

impl<'de> Deserialize<'de> for WireValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        ValueSeed { levels: Value::DEPTH_MAX }.deserialize(deserializer).map(WireValue)
    }
}

impl<'de> Deserialize<'de> for WireItem {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let attributes = AttributesSeed { levels: Value::DEPTH_MAX }.deserialize(deserializer)?;
        Ok(WireItem(attributes.map(Item)))
    }
}

impl<'de> Deserialize<'de> for WireEncoded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EncodedVisitor).map(WireEncoded)
    }
}

/// Reads one value; `levels` more lists and maps may open within it.
struct ValueSeed {
    levels: usize,
}

impl<'de> DeserializeSeed<'de> for ValueSeed {
    type Value = Result<Value, Fault>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed {
    type Value = Result<Value, Fault>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an attribute value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found: Option<Result<Value, Fault>> = None;
        while let Some(Text(datatype)) = map.next_key()? {
            let value = match datatype.as_ref() {
                "S" => map.next_value::<Option<String>>()?.map(|text| Ok(Value::String(text))),
                "N" => map.next_value::<Option<Text<'_>>>()?.map(|text| number(&text.0).map(Value::Number)),
                "B" => map.next_value::<Option<Base64>>()?.map(|bytes| Ok(Value::Binary(bytes.0))),
                "BOOL" => map.next_value::<Option<Flag>>()?.map(|Flag(flag)| Ok(Value::Bool(flag))),
                "NULL" => map.next_value::<Option<Flag>>()?.map(|Flag(flag)| null(flag)),
                "SS" => map.next_value::<Option<Vec<String>>>()?.map(string_set),
                "NS" => map.next_value::<Option<Vec<Text<'_>>>>()?.map(number_set),
                "BS" => map.next_value::<Option<Vec<Base64>>>()?.map(binary_set),
                "L" => map.next_value_seed(OptionSeed(ListSeed { levels: self.levels }))?.map(|l| l.map(Value::List)),
                "M" => map.next_value_seed(OptionSeed(AttributesSeed::within(self.levels)))?.map(|m| m.map(Value::Map)),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    None
                }
            };
            if let Some(value) = value {
                // What is wrong with one of several values is told before that there are several.
                found = Some(match (found.take(), value) {
                    (None, value) => value,
                    (Some(Err(fault)), _) | (Some(Ok(_)), Err(fault)) => Err(fault),
                    (Some(Ok(_)), Ok(_)) => Err(Fault::SEVERAL),
                });
            }
        }
        Ok(found.unwrap_or(Err(Fault::EMPTY)))
    }
}

/// A truth value, which may be a word.
struct Flag(bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FlagVisitor;
        impl Visitor<'_> for FlagVisitor {
            type Value = Flag;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a boolean")
            }
            fn visit_bool<E>(self, flag: bool) -> Result<Flag, E> {
                Ok(Flag(flag))
            }
            fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<Flag, E> {
                match word.to_ascii_lowercase().as_str() {
                    "true" | "1" | "yes" => Ok(Flag(true)),
                    "false" | "0" | "no" => Ok(Flag(false)),
                    _ => Err(E::invalid_type(serde::de::Unexpected::Str(word), &self)),
                }
            }
        }
        deserializer.deserialize_any(FlagVisitor)
    }
}

/// Reads what `0` reads, or null.
struct OptionSeed<S>(S);

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for OptionSeed<S> {
    type Value = Option<S::Value>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de, S: DeserializeSeed<'de>> Visitor<'de> for OptionSeed<S> {
    type Value = Option<S::Value>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a structure")
    }
    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        self.0.deserialize(deserializer).map(Some)
    }
}

/// Reads the elements of a list, of which `levels` may be nested.
struct ListSeed {
    levels: usize,
}

impl<'de> DeserializeSeed<'de> for ListSeed {
    type Value = Result<Vec<Value>, Fault>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for ListSeed {
    type Value = Result<Vec<Value>, Fault>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let Some(levels) = self.levels.checked_sub(1) else {
            while elements.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(Err(Fault::TOO_DEEP));
        };
        let mut list = Ok(Vec::new());
        while let Some(element) = elements.next_element_seed(ValueSeed { levels })? {
            match (&mut list, element) {
                (Ok(list), Ok(element)) => list.push(element),
                (Ok(_), Err(fault)) => list = Err(fault),
                (Err(_), _) => {}
            }
        }
        Ok(list)
    }
}

/// Reads named values: an item, or a map if it is `within` a value.
struct AttributesSeed {
    levels: usize,
}

impl AttributesSeed {
    /// Named values that are themselves one level.
    fn within(levels: usize) -> NestedSeed {
        NestedSeed { levels }
    }
}

/// Reads a map within a value.
struct NestedSeed {
    levels: usize,
}

impl<'de> DeserializeSeed<'de> for NestedSeed {
    type Value = Result<BTreeMap<String, Value>, Fault>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        match self.levels.checked_sub(1) {
            Some(levels) => AttributesSeed { levels }.deserialize(deserializer),
            None => IgnoredAny::deserialize(deserializer).map(|_| Err(Fault::TOO_DEEP)),
        }
    }
}

impl<'de> DeserializeSeed<'de> for AttributesSeed {
    type Value = Result<BTreeMap<String, Value>, Fault>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for AttributesSeed {
    type Value = Result<BTreeMap<String, Value>, Fault>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("named attribute values")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut attributes = Ok(BTreeMap::new());
        while let Some(name) = map.next_key::<String>()? {
            let value = map.next_value_seed(ValueSeed { levels: self.levels })?;
            match (&mut attributes, value) {
                (Ok(attributes), Ok(value)) => _ = attributes.insert(name, value),
                (Ok(_), Err(fault)) => attributes = Err(fault),
                (Err(_), _) => {}
            }
        }
        Ok(attributes)
    }
}

/// Encodes named values as they come.
struct EncodedVisitor;

impl<'de> Visitor<'de> for EncodedVisitor {
    type Value = Result<ItemEncoder, Fault>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("named attribute values")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut encoder = Ok(ItemEncoder::default());
        while let Some(Text(name)) = map.next_key()? {
            let value = map.next_value_seed(ValueSeed { levels: Value::DEPTH_MAX })?;
            match (&mut encoder, value) {
                (Ok(encoder), Ok(value)) => encoder.put(&name, &value),
                (Ok(_), Err(fault)) => encoder = Err(fault),
                (Err(_), _) => {}
            }
        }
        Ok(encoder)
    }
}

/// Bytes as base64 text with padding.
struct Base64(Bytes);

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Text::deserialize(deserializer)?;
        if !text.0.len().is_multiple_of(4) {
            let length = text.0.len();
            return Err(D::Error::custom(format_args!(
                "Base64 encoded length is expected a multiple of 4 bytes but found: {length}"
            )));
        }
        let bytes = STANDARD.decode(text.0.as_bytes()).map_err(|_| D::Error::custom("Invalid Base64 encoding"))?;
        Ok(Base64(bytes.into()))
    }
}

fn number(text: &str) -> Result<Number, Fault> {
    text.parse().map_err(|error| Fault::number(text, error))
}

fn null(flag: bool) -> Result<Value, Fault> {
    if flag { Ok(Value::Null) } else { Err(Fault::parameter(NO_NULL)) }
}

fn string_set(texts: Vec<String>) -> Result<Value, Fault> {
    if texts.is_empty() {
        return Err(Fault::parameter(EMPTY_STRING_SET));
    }
    let set: BTreeSet<String> = texts.iter().cloned().collect();
    if set.len() < texts.len() {
        return Err(duplicates(&texts.join(", "), " "));
    }
    Ok(Value::StringSet(set))
}

fn number_set(texts: Vec<Text<'_>>) -> Result<Value, Fault> {
    if texts.is_empty() {
        return Err(Fault::parameter("An number set  may not be empty"));
    }
    let set: BTreeSet<Number> = texts.iter().map(|text| number(&text.0)).collect::<Result<_, _>>()?;
    if set.len() < texts.len() {
        return Err(Fault("Input collection contains duplicates".into()));
    }
    Ok(Value::NumberSet(set))
}

fn binary_set(elements: Vec<Base64>) -> Result<Value, Fault> {
    if elements.is_empty() {
        return Err(Fault::parameter(EMPTY_BINARY_SET));
    }
    let count = elements.len();
    let texts = || elements.iter().map(|element| STANDARD.encode(&element.0)).collect::<Vec<_>>().join(", ");
    let set: BTreeSet<Bytes> = elements.iter().map(|element| element.0.clone()).collect();
    if set.len() < count {
        return Err(duplicates(&texts(), "of type BS "));
    }
    Ok(Value::BinarySet(set))
}

fn duplicates(elements: &str, kind: &str) -> Fault {
    Fault(
        format!("One or more parameter values were invalid: Input collection [{elements}]{kind}contains duplicates.")
            .into(),
    )
}

/// A value on its way out.
pub(crate) struct ValueOut<'a>(pub(crate) &'a Value);

/// An item (or key) on its way out.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ItemOut(pub(crate) Item);

/// An item on its way out, as it lies in the store.
#[derive(Debug)]
pub(crate) struct ImageOut<I>(pub(crate) I);

/// Named values on their way out.
struct AttributesOut<'a>(&'a BTreeMap<String, Value>);

impl Serialize for ItemOut {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        AttributesOut(&self.0.0).serialize(serializer)
    }
}

impl<I: Borrow<Image>> Serialize for ImageOut<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for attribute in self.0.borrow().attributes() {
            let (name, value) = attribute.map_err(S::Error::custom)?;
            map.serialize_entry(name, &ValueRefOut(value))?;
        }
        map.end()
    }
}

impl Serialize for AttributesOut<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, ValueOut(value))))
    }
}

/// A value on its way out, as it is borrowed.
struct ValueRefOut<'a>(ValueRef<'a>);

impl Serialize for ValueRefOut<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            ValueRef::String(text) => one(serializer, "S", text),
            ValueRef::Number(number) => one(serializer, "N", &NumberOut(&number)),
            ValueRef::Binary(bytes) => one(serializer, "B", &STANDARD.encode(bytes)),
            ValueRef::Bool(flag) => one(serializer, "BOOL", &flag),
            ValueRef::Null => one(serializer, "NULL", &true),
            ValueRef::Whole(value) => ValueOut(value).serialize(serializer),
            ValueRef::Encoded { .. } => {
                let value = self.0.to_value().map_err(S::Error::custom)?;
                ValueOut(&value).serialize(serializer)
            }
        }
    }
}

/// A value under its datatype.
fn one<S: Serializer>(serializer: S, datatype: &str, value: &(impl Serialize + ?Sized)) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry(datatype, value)?;
    map.end()
}

impl Serialize for ValueOut<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::List(values) => one(serializer, "L", &Sequence(|| values.iter().map(ValueOut))),
            Value::Map(values) => one(serializer, "M", &AttributesOut(values)),
            Value::StringSet(texts) => one(serializer, "SS", texts),
            Value::NumberSet(numbers) => one(serializer, "NS", &Sequence(|| numbers.iter().map(NumberOut))),
            Value::BinarySet(set) => {
                one(serializer, "BS", &Sequence(|| set.iter().map(|bytes| STANDARD.encode(bytes))))
            }
            scalar => ValueRefOut(scalar.into()).serialize(serializer),
        }
    }
}

/// A number as text.
struct NumberOut<'a>(&'a Number);

impl Serialize for NumberOut<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.to_text().as_str())
    }
}

/// The elements that `0` gives anew at each call.
struct Sequence<F>(F);

impl<F: Fn() -> I, I: Iterator<Item: Serialize>> Serialize for Sequence<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq((self.0)())
    }
}

#[cfg(test)]
mod tests;
