//! Payload formats: bytes to attribute values, and what could not be taken.

pub(crate) mod json;
pub(crate) mod scalar;

use std::collections::BTreeMap;

use item::Value;
use serde::Deserialize;

/// How a payload is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// JSON if it begins with `{` or `[`, else one scalar.
    #[default]
    Auto,
    /// JSON only.
    Json,
    /// One number, literal or text, whatever it begins with.
    Scalar,
}

/// Named values, as a payload had them.
pub(crate) type Fields = BTreeMap<String, Value>;

/// What a payload says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Document {
    /// One value without a name; none if it could not be taken.
    Scalar(Option<Value>),
    /// One set of named values.
    Object(Fields),
    /// Several of them; none for an element that is not an object.
    Objects(Vec<Option<Fields>>),
}

/// A field that could not be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadField {
    /// Its path in the payload, empty for the payload itself.
    pub(crate) path: String,
    /// Where its value begins, in bytes from the payload's start.
    pub(crate) offset: usize,
    /// What is wrong with it.
    pub(crate) what: &'static str,
}

/// What was noticed on the way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    /// The first bad fields.
    pub(crate) bad: Vec<BadField>,
    /// How many bad fields there were.
    pub(crate) bad_count: usize,
    /// NaN and infinities that became NULL.
    pub(crate) not_finite: u64,
    /// Numbers beyond 38 digits or range that became text.
    pub(crate) number_as_text: u64,
    /// Names that came more than once in one object.
    pub(crate) repeated_names: u64,
}

impl Findings {
    /// How many bad fields are described; more are counted.
    pub(crate) const DESCRIBED_MAX: usize = 8;

    /// Notes a bad field; its path is made only if it will be shown.
    fn note(&mut self, path: impl FnOnce() -> String, offset: usize, what: &'static str) {
        self.bad_count += 1;
        if self.bad.len() < Findings::DESCRIBED_MAX {
            self.bad.push(BadField { path: path(), offset, what });
        }
    }
}

/// A payload of which nothing can be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    /// Not JSON.
    #[error("malformed JSON at byte {offset}: {what}")]
    Json {
        /// Where, from the payload's start.
        offset: usize,
        /// What is wrong there.
        what: &'static str,
    },
    /// Not text.
    #[error("not UTF-8 at byte {offset}")]
    NotUtf8 {
        /// Where, from the payload's start.
        offset: usize,
    },
}

/// Reads a payload.
pub(crate) fn decode(payload: &[u8], format: Format, findings: &mut Findings) -> Result<Document, Malformed> {
    let first = payload.strip_prefix(BOM).unwrap_or(payload).iter().find(|byte| !byte.is_ascii_whitespace());
    match (format, first) {
        (Format::Json, _) | (Format::Auto, Some(b'{' | b'[')) => json::decode(payload, findings),
        (Format::Auto | Format::Scalar, _) => {
            scalar::decode(payload, findings).map(|value| Document::Scalar(Some(value)))
        }
    }
}

/// A byte order mark, which some libraries put in front.
const BOM: &[u8] = b"\xEF\xBB\xBF";

/// Without what C programs leave behind a text: NULs and blanks.
fn without_trailing(payload: &[u8]) -> &[u8] {
    let kept = payload.iter().rposition(|byte| !matches!(byte, 0 | b' ' | b'\t' | b'\r' | b'\n'));
    &payload[..kept.map_or(0, |last| last + 1)]
}

/// Is `text` exactly a JSON number?
pub(crate) fn is_number(text: &[u8]) -> bool {
    let digits = |from: usize| text[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut at = usize::from(text.first() == Some(&b'-'));
    let whole = digits(at);
    if whole == 0 || (whole > 1 && text[at] == b'0') {
        return false;
    }
    at += whole;
    if text.get(at) == Some(&b'.') {
        let fraction = digits(at + 1);
        if fraction == 0 {
            return false;
        }
        at += 1 + fraction;
    }
    if matches!(text.get(at), Some(b'e' | b'E')) {
        at += 1 + usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
        let exponent = digits(at.min(text.len()));
        if exponent == 0 {
            return false;
        }
        at += exponent;
    }
    at == text.len()
}

/// The value of a bare word: a number, `true`, `false`, `null`, NaN or an infinity in any of their usual spellings.
fn literal(word: &[u8], findings: &mut Findings) -> Option<Value> {
    match word {
        b"true" => return Some(Value::Bool(true)),
        b"false" => return Some(Value::Bool(false)),
        b"null" => return Some(Value::Null),
        _ => {}
    }
    if is_number(word) {
        let text = std::str::from_utf8(word).expect("a JSON number is ASCII");
        return Some(text.parse().map(Value::Number).unwrap_or_else(|_| {
            findings.number_as_text += 1;
            Value::String(text.to_owned())
        }));
    }
    let unsigned = word.strip_prefix(b"-").or_else(|| word.strip_prefix(b"+")).unwrap_or(word);
    let not_finite = ["nan", "inf", "infinity"].iter().any(|name| unsigned.eq_ignore_ascii_case(name.as_bytes()));
    not_finite.then(|| {
        findings.not_finite += 1;
        Value::Null
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_json() {
        for text in ["0", "-0", "1", "10.5", "1e5", "1E-5", "-1.25e+10", "0.1"] {
            assert!(is_number(text.as_bytes()), "{text}");
        }
        for text in ["", "-", "01", "1.", ".5", "+1", "1e", "1e+", "1.5.2", "0x10", "1 ", "1e5x", "--1", "e5"] {
            assert!(!is_number(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn the_first_byte_chooses_the_format() {
        let decoded = |payload: &[u8], format| decode(payload, format, &mut Findings::default());
        assert!(matches!(decoded(b" {}", Format::Auto), Ok(Document::Object(_))));
        assert!(matches!(decoded(b"\xEF\xBB\xBF{}", Format::Auto), Ok(Document::Object(_))));
        assert!(matches!(decoded(b"{}", Format::Scalar), Ok(Document::Scalar(Some(Value::String(_))))));
        assert!(matches!(decoded(b"hello", Format::Json), Ok(Document::Scalar(None)) | Err(_)));
    }
}
