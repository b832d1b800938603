use proptest::prelude::*;

use super::*;
use crate::format::BadField;

fn decoded(payload: &[u8]) -> (Result<Document, Malformed>, Findings) {
    let mut findings = Findings::default();
    (decode(payload, &mut findings), findings)
}

/// What another parser makes of the same text, for comparison.
fn from_serde(value: serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(truth) => Value::Bool(truth),
        serde_json::Value::Number(number) => Value::Number(number.to_string().parse().unwrap()),
        serde_json::Value::String(text) => Value::String(text),
        serde_json::Value::Array(values) => Value::List(values.into_iter().map(from_serde).collect()),
        serde_json::Value::Object(map) => Value::Map(
            map.into_iter()
                .map(|(name, value)| (if name.is_empty() { "_".into() } else { name }, from_serde(value)))
                .collect(),
        ),
    }
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(serde_json::Value::from),
            proptest::collection::btree_map("[a-z\"\\\\é]{1,5}", inner, 0..6)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    /// Another parser's output is read as that parser means it.
    #[test]
    fn agrees_with_serde_json(value in json()) {
        let text = serde_json::to_vec(&serde_json::json!({ "v": value })).unwrap();
        let (document, findings) = decoded(&text);
        let expected = Fields::from([("v".to_owned(), from_serde(value))]);
        prop_assert_eq!(document, Ok(Document::Object(expected)));
        prop_assert_eq!(findings, Findings::default());
    }

    /// What another parser takes, we take.
    #[test]
    fn takes_what_serde_json_takes(text in "[\\[\\]{}\",:0-9eE.+\\-\\\\ntuabcdf ]{0,30}") {
        if serde_json::from_str::<serde_json::Value>(&text).is_ok() {
            let (document, findings) = decoded(text.as_bytes());
            prop_assert!(document.is_ok());
            prop_assert_eq!(findings.bad_count, 0);
        }
    }

    #[test]
    fn no_bytes_panic(payload in proptest::collection::vec(any::<u8>(), 0..100)) {
        let _ = decoded(&payload);
    }
}

#[test]
fn escapes() {
    for (raw, expected) in [
        (r#""\"\\\/\b\f\n\r\t""#, Some("\"\\/\u{8}\u{c}\n\r\t")),
        (r#""\u00e9\u20AC""#, Some("é€")),
        (r#""\ud83d\ude00""#, Some("😀")),
        (r#""\ud83d""#, None),
        (r#""\ude00\ud83d""#, None),
        (r#""\ud83dx""#, None),
        (r#""\u12""#, None),
        (r#""\u+123""#, None),
        (r#""\q""#, None),
        (r#""open"#, None),
        (r#""one" "two""#, None),
    ] {
        assert_eq!(quoted(raw.as_bytes()).as_deref(), expected, "{raw}");
    }
}

#[test]
fn nesting_is_bounded_without_recursion() {
    let nested = |depth: usize| format!("{{\"a\":{}1{}}}", "[".repeat(depth), "]".repeat(depth));
    let (document, findings) = decoded(nested(Value::DEPTH_MAX).as_bytes());
    assert!(matches!(document, Ok(Document::Object(fields)) if !fields["a"].depth_exceeds(Value::DEPTH_MAX)));
    assert_eq!(findings.bad_count, 0);
    let (document, findings) = decoded(nested(Value::DEPTH_MAX + 1).as_bytes());
    assert_eq!(document, Ok(Document::Object(Fields::new())));
    assert_eq!(findings.bad_count, 1);
    let (document, _) = decoded(nested(500_000).as_bytes());
    assert!(document.is_ok());
    let (document, _) = decoded(&b"[".repeat(1_000_000));
    assert!(document.is_err());
    let (document, _) = decoded(&b"{\"a\":".repeat(200_000));
    assert!(document.is_err());
}

#[test]
fn many_bad_fields_are_counted_and_few_described() {
    let members: Vec<_> = (0..1000).map(|number| format!("\"f{number}\":oops")).collect();
    let (_, findings) = decoded(format!("{{{}}}", members.join(",")).as_bytes());
    assert_eq!((findings.bad.len(), findings.bad_count), (Findings::DESCRIBED_MAX, 1000));
    assert_eq!(findings.bad[1], BadField { path: "f1".into(), offset: 16, what: "not a JSON value" });
}
