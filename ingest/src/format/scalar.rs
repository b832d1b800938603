//! A payload that is one value: a number, `true`, `false`, `null`, or text.

use item::Value;

use super::{BOM, Findings, Malformed, json, literal, without_trailing};

/// Reads one value. Trailing NULs and blanks are stripped; blanks in front only matter to text.
pub(crate) fn decode(payload: &[u8], findings: &mut Findings) -> Result<Value, Malformed> {
    let start = if payload.starts_with(BOM) { BOM.len() } else { 0 };
    let text = without_trailing(&payload[start..]);
    let word = text.trim_ascii_start();
    if let Some(value) = literal(word, findings) {
        return Ok(value);
    }
    if word.first() == Some(&b'"')
        && let Some(quoted) = json::quoted(word)
    {
        return Ok(Value::String(quoted));
    }
    match std::str::from_utf8(text) {
        Ok(text) => Ok(Value::String(text.to_owned())),
        Err(error) => Err(Malformed::NotUtf8 { offset: start + error.valid_up_to() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(payload: &[u8]) -> (Value, Findings) {
        let mut findings = Findings::default();
        (decode(payload, &mut findings).unwrap(), findings)
    }

    fn number(text: &str) -> Value {
        Value::Number(text.parse().unwrap())
    }

    fn text(text: &str) -> Value {
        Value::String(text.into())
    }

    #[test]
    fn values_by_what_they_look_like() {
        for (payload, expected) in [
            (&b"21.5"[..], number("21.5")),
            (b"  21.50\r\n\0", number("21.5")),
            (b"-1e3", number("-1000")),
            (b"true", Value::Bool(true)),
            (b"false\0", Value::Bool(false)),
            (b"null", Value::Null),
            (b"ON", text("ON")),
            (b"True", text("True")),
            (b"  padded \t\0\0", text("  padded")),
            (b"007", text("007")),
            ("\"21.5\"".as_bytes(), text("21.5")),
            (br#""caf\u00e9""#, text("café")),
            (br#""open"#, text("\"open")),
            (b"", text("")),
            (b"\xEF\xBB\xBF7", number("7")),
        ] {
            assert_eq!(decoded(payload), (expected, Findings::default()), "{payload:?}");
        }
    }

    #[test]
    fn what_is_not_finite_becomes_null_and_is_counted() {
        for payload in [&b"NaN"[..], b"nan", b"-nan", b"inf", b"-Infinity", b"+INF"] {
            let (value, findings) = decoded(payload);
            assert_eq!((value, findings.not_finite), (Value::Null, 1), "{payload:?}");
        }
    }

    #[test]
    fn numbers_that_do_not_fit_stay_text() {
        for payload in ["123456789012345678901234567890123456789", "1e126", "1e-131"] {
            let (value, findings) = decoded(payload.as_bytes());
            assert_eq!((value, findings.number_as_text), (text(payload), 1), "{payload}");
        }
    }

    #[test]
    fn bytes_that_are_not_text_say_where() {
        let error = decode(b"ab\xFFcd", &mut Findings::default()).unwrap_err();
        assert_eq!(error.to_string(), "not UTF-8 at byte 2");
    }
}
