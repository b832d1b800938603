//! The residual column: what no other column can hold, as JSON text in DynamoDB's typed form, losslessly.
//!
//! ```text
//! {"wind": {"M": {"speed": {"N": "22.5"}}}, "tags": {"SS": ["a", "b"]}}
//! ```
//! Attributes and map entries in order of their names; numbers as plain text; bytes in Base64.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use item::{Number, Value};
use serde::{Serialize, Serializer, de::IgnoredAny, ser::SerializeMap};
use serde_json::Value as Json;

/// The text for these attributes.
pub(super) fn to_text(attributes: &BTreeMap<&str, Value>) -> String {
    let typed: BTreeMap<&str, Typed<'_>> = attributes.iter().map(|(name, value)| (*name, Typed(value))).collect();
    serde_json::to_string(&typed).expect("maps with text keys, and numbers as text, serialize")
}

/// The attributes of a text; an error says what is wrong with it.
pub(super) fn from_text(text: &str) -> Result<BTreeMap<String, Value>, String> {
    match serde_json::from_str(text) {
        Ok(Json::Object(attributes)) => values(attributes),
        Ok(_) => Err("the residual is not an object".to_owned()),
        Err(error) => Err(format!("the residual is not JSON: {error}")),
    }
}

/// How many attributes a text has; an error says what is wrong with it.
pub(super) fn count(text: &str) -> Result<u64, String> {
    match serde_json::from_str::<BTreeMap<String, IgnoredAny>>(text) {
        Ok(attributes) => Ok(attributes.len() as u64),
        Err(error) => Err(format!("the residual is not JSON: {error}")),
    }
}

struct Typed<'a>(&'a Value);

impl Serialize for Typed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut typed = serializer.serialize_map(Some(1))?;
        let name = self.0.type_name();
        match self.0 {
            Value::String(text) => typed.serialize_entry(name, text),
            Value::Number(number) => typed.serialize_entry(name, &number.to_string()),
            Value::Binary(bytes) => typed.serialize_entry(name, &STANDARD.encode(bytes)),
            Value::Bool(value) => typed.serialize_entry(name, value),
            Value::Null => typed.serialize_entry(name, &true),
            Value::List(values) => typed.serialize_entry(name, &values.iter().map(Typed).collect::<Vec<_>>()),
            Value::Map(values) => {
                let values: BTreeMap<&String, Typed<'_>> =
                    values.iter().map(|(name, value)| (name, Typed(value))).collect();
                typed.serialize_entry(name, &values)
            }
            Value::StringSet(texts) => typed.serialize_entry(name, texts),
            Value::NumberSet(numbers) => {
                typed.serialize_entry(name, &numbers.iter().map(Number::to_string).collect::<Vec<_>>())
            }
            Value::BinarySet(blobs) => {
                typed.serialize_entry(name, &blobs.iter().map(|bytes| STANDARD.encode(bytes)).collect::<Vec<_>>())
            }
        }?;
        typed.end()
    }
}

fn values(attributes: serde_json::Map<String, Json>) -> Result<BTreeMap<String, Value>, String> {
    attributes.into_iter().map(|(name, json)| Ok((name, value(json)?))).collect()
}

fn value(json: Json) -> Result<Value, String> {
    let Json::Object(typed) = json else { return Err("a residual value is not an object".to_owned()) };
    let mut typed = typed.into_iter();
    let (Some((name, json)), None) = (typed.next(), typed.next()) else {
        return Err("a residual value has not one type".to_owned());
    };
    match (name.as_str(), json) {
        ("S", Json::String(text)) => Ok(Value::String(text)),
        ("N", Json::String(text)) => Ok(Value::Number(number(&text)?)),
        ("B", Json::String(text)) => Ok(Value::Binary(binary(&text)?)),
        ("BOOL", Json::Bool(value)) => Ok(Value::Bool(value)),
        ("NULL", Json::Bool(true)) => Ok(Value::Null),
        ("L", Json::Array(values)) => Ok(Value::List(values.into_iter().map(value).collect::<Result<_, _>>()?)),
        ("M", Json::Object(entries)) => Ok(Value::Map(values(entries)?)),
        ("SS", Json::Array(texts)) => set(texts, |text| Ok(text.to_owned())).map(Value::StringSet),
        ("NS", Json::Array(texts)) => set(texts, number).map(Value::NumberSet),
        ("BS", Json::Array(texts)) => set(texts, binary).map(Value::BinarySet),
        (name, _) => Err(format!("a residual value has the unknown form {name:?}")),
    }
}

fn set<T: Ord>(texts: Vec<Json>, element: impl Fn(&str) -> Result<T, String>) -> Result<BTreeSet<T>, String> {
    let text = |json: Json| match json {
        Json::String(text) => element(&text),
        _ => Err("an element of a residual set is not text".to_owned()),
    };
    texts.into_iter().map(text).collect()
}

fn number(text: &str) -> Result<Number, String> {
    text.parse().map_err(|error| format!("the residual number {text:?}: {error}"))
}

fn binary(text: &str) -> Result<Bytes, String> {
    STANDARD.decode(text).map(Bytes::from).map_err(|error| format!("residual bytes: {error}"))
}
