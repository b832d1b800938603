//! Request bodies as typed structures, and what DynamoDB says of JSON that does not fit them.
//!
//! A structure is declared with [`request!`]: every member is optional and `null` is as good as absent; what must be there
//! is a matter of validation, which comes later and has its own words. Members that we do not know are ignored.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Visitor},
};

use crate::Error;

/// Parses a whole request body.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    let parsed = match std::str::from_utf8(body) {
        // Looked at once, not text by text.
        Ok(text) => serde_json::from_str(text),
        // Tells where.
        Err(_) => serde_json::from_slice(body),
    };
    parsed.map_err(|error| Error::Serialization(explain(&error)))
}

/// Refuses a body that is no JSON; none at all is no mistake.
pub(crate) fn check(body: &[u8]) -> Result<(), Error> {
    if body.is_empty() { Ok(()) } else { parse::<serde::de::IgnoredAny>(body).map(|_| ()) }
}

/// What DynamoDB calls an attribute value.
const ATTRIBUTE_VALUE: &str = "com.amazonaws.dynamodb.v20120810.AttributeValue";

/// What DynamoDB says of a value of the wrong JSON type; nothing of text that is no JSON at all.
fn explain(error: &serde_json::Error) -> Option<String> {
    if error.classify() != serde_json::error::Category::Data {
        return None;
    }
    let text = error.to_string();
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
    let Some(mismatch) = text.strip_prefix("invalid type: ") else {
        return Some(text.to_owned());
    };
    let (found, expected) = mismatch.rsplit_once(", expected ")?;
    let scalar = match expected {
        "a string" => Some("String"),
        "an integer" => Some("Integer"),
        "a boolean" => Some("Boolean"),
        _ => None,
    };
    let found = match found.split([' ', '`']).next()? {
        "map" => return Some("Start of structure or map found where not expected".into()),
        "sequence" => {
            return Some(match (scalar, expected) {
                (Some(class), _) => format!("Unrecognized collection type class java.lang.{class}"),
                (None, "an attribute value") => format!("Unrecognized collection type class {ATTRIBUTE_VALUE}"),
                (None, "named attribute values") => {
                    format!("Unrecognized collection type java.util.Map<java.lang.String, {ATTRIBUTE_VALUE}>")
                }
                (None, _) => "Start of list found where not expected".into(),
            });
        }
        "boolean" if found.contains("true") => "TRUE_VALUE",
        "boolean" => "FALSE_VALUE",
        "integer" => "NUMBER_VALUE",
        "floating" => "DECIMAL_VALUE",
        "string" => "STRING_VALUE",
        _ => return Some("Unexpected value type in payload".into()),
    };
    Some(match scalar {
        Some("Boolean") if found == "STRING_VALUE" => "Unexpected token received from parser".into(),
        Some(class) => format!("{found} cannot be converted to {class}"),
        None => "Unexpected field type".into(),
    })
}

/// A text that borrows from the body where it has no escapes.
pub(crate) struct Text<'de>(pub(crate) Cow<'de, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

/// A whole number; fractions are cut off, and what is out of range ends at the range's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Integer(pub(crate) i64);

impl<'de> Deserialize<'de> for Integer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IntegerVisitor;
        impl Visitor<'_> for IntegerVisitor {
            type Value = Integer;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an integer")
            }
            fn visit_i64<E>(self, number: i64) -> Result<Integer, E> {
                Ok(Integer(number))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Integer, E> {
                Ok(Integer(i64::try_from(number).unwrap_or(i64::MAX)))
            }
            fn visit_f64<E>(self, number: f64) -> Result<Integer, E> {
                Ok(Integer(number as i64))
            }
        }
        deserializer.deserialize_any(IntegerVisitor)
    }
}

/// A time, in seconds since 1970, as microseconds; what is no number of seconds that a clock could show ends at the range's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seconds(pub(crate) i128);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SecondsVisitor;
        impl Visitor<'_> for SecondsVisitor {
            type Value = Seconds;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time")
            }
            fn visit_i64<E>(self, seconds: i64) -> Result<Seconds, E> {
                Ok(Seconds(i128::from(seconds) * 1_000_000))
            }
            fn visit_u64<E>(self, seconds: u64) -> Result<Seconds, E> {
                Ok(Seconds(i128::from(seconds) * 1_000_000))
            }
            fn visit_f64<E>(self, seconds: f64) -> Result<Seconds, E> {
                Ok(Seconds((seconds * 1e6).round() as i128))
            }
        }
        deserializer.deserialize_any(SecondsVisitor)
    }
}

/// Anything at all, remembered only as present: for parameters that are refused.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Present;

impl<'de> Deserialize<'de> for Present {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Present)
    }
}

/// An object whose members are kept in the order in which they came; the last of equal names wins.
#[derive(Clone, Debug)]
pub(crate) struct Members<T>(pub(crate) Vec<(String, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Members<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for MembersVisitor<T> {
            type Value = Members<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Members<T>, A::Error> {
                let mut members: std::collections::BTreeMap<String, (usize, T)> = std::collections::BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, T>()? {
                    let place = members.len();
                    match members.entry(name) {
                        std::collections::btree_map::Entry::Vacant(vacant) => _ = vacant.insert((place, value)),
                        std::collections::btree_map::Entry::Occupied(mut occupied) => occupied.get_mut().1 = value,
                    }
                }
                let mut ordered: Vec<_> = members.into_iter().collect();
                ordered.sort_by_key(|(_, (place, _))| *place);
                Ok(Members(ordered.into_iter().map(|(name, (_, value))| (name, value)).collect()))
            }
        }
        deserializer.deserialize_map(MembersVisitor(std::marker::PhantomData))
    }
}

/// Declares a structure of optional members, each with its name on the wire.
macro_rules! request {
    ($(#[$doc:meta])* struct $name:ident { $($field:ident: $type:ty = $wire:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        pub(crate) struct $name { $(pub(crate) $field: Option<$type>,)* }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct StructureVisitor;
                impl<'de> serde::de::Visitor<'de> for StructureVisitor {
                    type Value = $name;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("a structure")
                    }
                    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<$name, A::Error> {
                        let mut structure = $name::default();
                        while let Some($crate::json::Text(member)) = map.next_key()? {
                            match member.as_ref() {
                                $($wire => structure.$field = map.next_value()?,)*
                                _ => _ = map.next_value::<serde::de::IgnoredAny>()?,
                            }
                        }
                        Ok(structure)
                    }
                }
                deserializer.deserialize_map(StructureVisitor)
            }
        }
    };
}
pub(crate) use request;

#[cfg(test)]
mod tests {
    use super::*;

    request! {
        /// One member of each kind.
        struct Sample {
            text: String = "Text",
            integer: Integer = "Integer",
            flag: bool = "Flag",
            list: Vec<String> = "List",
            inner: Inner = "Inner",
        }
    }
    request! {
        /// A structure in a structure.
        struct Inner { text: String = "Text", }
    }

    fn message(body: &str) -> Option<String> {
        match parse::<Sample>(body.as_bytes()) {
            Err(Error::Serialization(message)) => message,
            other => panic!("{body}: {other:?}"),
        }
    }

    #[test]
    fn members_may_be_absent_null_or_unknown() {
        let sample: Sample =
            parse(br#"{"Text":null,"Else":{"deep":[1]},"Integer":3.9,"Inner":{"Text":"a\u0062"}}"#).unwrap();
        assert!(sample.text.is_none() && sample.flag.is_none() && sample.list.is_none());
        assert_eq!(sample.integer, Some(Integer(3)));
        assert_eq!(sample.inner.unwrap().text.as_deref(), Some("ab"));
    }

    #[test]
    fn wrong_types_are_named_as_dynamodb_names_them() {
        for (body, expected) in [
            (r#"{"Text":1}"#, "NUMBER_VALUE cannot be converted to String"),
            (r#"{"Text":1.5}"#, "DECIMAL_VALUE cannot be converted to String"),
            (r#"{"Text":true}"#, "TRUE_VALUE cannot be converted to String"),
            (r#"{"Text":[]}"#, "Unrecognized collection type class java.lang.String"),
            (r#"{"Text":{}}"#, "Start of structure or map found where not expected"),
            (r#"{"Integer":"1, expected a boolean"}"#, "STRING_VALUE cannot be converted to Integer"),
            (r#"{"Integer":false}"#, "FALSE_VALUE cannot be converted to Integer"),
            (r#"{"Flag":"yes"}"#, "Unexpected token received from parser"),
            (r#"{"List":"a"}"#, "Unexpected field type"),
            (r#"{"List":{}}"#, "Start of structure or map found where not expected"),
            (r#"{"Inner":[]}"#, "Start of list found where not expected"),
            (r#"{"Inner":3}"#, "Unexpected field type"),
            ("[]", "Start of list found where not expected"),
        ] {
            assert_eq!(message(body).as_deref(), Some(expected), "{body}");
        }
    }

    #[test]
    fn what_is_no_json_gets_no_words() {
        let deep = "[".repeat(100_000);
        for body in ["", "{", "{\"Text\":\"\\ud800\"}", "{} x", "nul", deep.as_str()] {
            assert!(matches!(parse::<Sample>(body.as_bytes()), Err(Error::Serialization(_))));
        }
        assert_eq!(message(""), None);
        assert_eq!(message("{"), None);
    }
}
