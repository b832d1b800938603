use super::*;
use crate::json;

fn value(text: &str) -> Result<Value, Fault> {
    json::parse::<WireValue>(text.as_bytes()).unwrap().0
}

fn fault(text: &str) -> String {
    value(text).unwrap_err().0.into_owned()
}

fn round_trip(text: &str) {
    let value = value(text).unwrap();
    assert_eq!(serde_json::to_string(&ValueOut(&value)).unwrap(), text);
}

#[test]
fn every_type_goes_in_and_out() {
    for text in [
        r#"{"S":"a\"b\n"}"#,
        r#"{"S":""}"#,
        r#"{"N":"-12.5"}"#,
        r#"{"B":"AAEC"}"#,
        r#"{"B":""}"#,
        r#"{"BOOL":false}"#,
        r#"{"NULL":true}"#,
        r#"{"L":[{"S":"a"},{"L":[]}]}"#,
        r#"{"M":{"a":{"N":"1"},"b":{"M":{}}}}"#,
        r#"{"SS":["a","b"]}"#,
        r#"{"NS":["1","2.5"]}"#,
        r#"{"BS":["AA==","AQ=="]}"#,
    ] {
        round_trip(text);
    }
}

#[test]
fn broken_rules_are_told_in_dynamodbs_words() {
    for (text, expected) in [
        ("{}", "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"),
        (r#"{"X":1}"#, "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"),
        (r#"{"S":null}"#, "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"),
        (
            r#"{"S":"a","N":"1"}"#,
            "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes",
        ),
        (
            r#"{"NULL":false}"#,
            "One or more parameter values were invalid: Null attribute value types must have the value of true",
        ),
        (r#"{"SS":[]}"#, "One or more parameter values were invalid: An string set  may not be empty"),
        (r#"{"NS":[]}"#, "One or more parameter values were invalid: An number set  may not be empty"),
        (r#"{"BS":[]}"#, "One or more parameter values were invalid: Binary sets should not be empty"),
        (
            r#"{"SS":["a","a"]}"#,
            "One or more parameter values were invalid: Input collection [a, a] contains duplicates.",
        ),
        (r#"{"NS":["1","1.0"]}"#, "Input collection contains duplicates"),
        (
            r#"{"BS":["AA==","AA=="]}"#,
            "One or more parameter values were invalid: Input collection [AA==, AA==]of type BS contains duplicates.",
        ),
        (r#"{"N":""}"#, "The parameter cannot be converted to a numeric value"),
        (r#"{"N":"b"}"#, "The parameter cannot be converted to a numeric value: b"),
        (
            r#"{"N":"123456789012345678901234567890123456789"}"#,
            "Attempting to store more than 38 significant digits in a Number",
        ),
        (
            r#"{"N":"1E126"}"#,
            "Number overflow. Attempting to store a number with magnitude larger than supported range",
        ),
        (
            r#"{"N":"-1E-131"}"#,
            "Number underflow. Attempting to store a number with magnitude smaller than supported range",
        ),
        (
            r#"{"M":{"a":{"L":[{"S":"x"},{"SS":[]}]}}}"#,
            "One or more parameter values were invalid: An string set  may not be empty",
        ),
    ] {
        assert_eq!(fault(text), expected, "{text}");
    }
}

#[test]
fn values_nest_32_levels_with_their_item_and_no_deeper() {
    for (open, close) in [(r#"{"L":["#, "]}"), (r#"{"M":{"a":"#, "}}")] {
        let nested = |levels: usize| format!(r#"{}{{"S":"x"}}{}"#, open.repeat(levels), close.repeat(levels));
        assert!(value(&nested(31)).is_ok());
        for levels in [32, 40, 100_000] {
            assert_eq!(
                fault(&nested(levels)),
                "Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond supported \
                 limit"
            );
        }
    }
}

#[test]
fn an_item_tells_its_first_fault_and_only_after_all_of_it_was_read() {
    let item = json::parse::<WireItem>(br#"{"a":{"SS":[]},"b":{"NS":[]}}"#).unwrap();
    assert!(item.0.unwrap_err().0.contains("string set"));
    assert!(json::parse::<WireItem>(br#"{"a":{"SS":[]},"b":{"S":1}}"#).is_err());
    assert!(json::parse::<WireItem>(br#"{"a":{"B":"A"}}"#).is_err());
    assert!(json::parse::<WireItem>(br#"{"a":{"B":"AB=="}}"#).is_err());
    assert!(json::parse::<WireItem>(br#"{"a":"b"}"#).is_err());
}

#[test]
fn an_item_that_is_only_stored_is_encoded_as_it_comes() {
    let text = br#"{"ts":{"N":"10"},"a":{"L":[{"S":"x"}]},"\u0062":{"M":{"c":{"BOOL":true}}},"a":{"S":"last"}}"#;
    let encoded = json::parse::<WireEncoded>(text).unwrap().0.unwrap().finish().unwrap();
    assert_eq!(encoded.decode(), json::parse::<WireItem>(text).unwrap().0.unwrap());
    for (text, expected) in [
        (r#"{"a":{"SS":[]},"b":{"NS":[]}}"#, "An string set  may not be empty"),
        (r#"{"a":{"S":"x","N":"1"}}"#, "more than one datatypes set"),
    ] {
        let fault = json::parse::<WireEncoded>(text.as_bytes()).unwrap().0.unwrap_err();
        assert!(fault.0.contains(expected), "{}", fault.0);
    }
    assert!(json::parse::<WireEncoded>(br#"{"a":{"SS":[]},"b":{"S":1}}"#).is_err());
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in r#"[\[\]{}:,"0-9aSNBLM\\ue.+-]{0,60}"#) {
        _ = json::parse::<WireItem>(text.as_bytes());
        _ = json::parse::<WireEncoded>(text.as_bytes());
        _ = json::parse::<WireValue>(text.as_bytes());
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        _ = json::parse::<WireItem>(&bytes);
    }

    #[test]
    fn an_item_is_told_the_same_as_it_lies_in_the_store(item in item::arbitrary::items()) {
        let image = Image::encode(&item);
        let decoded = serde_json::to_string(&ItemOut(item)).unwrap();
        proptest::prop_assert_eq!(serde_json::to_string(&ImageOut(image)).unwrap(), decoded);
    }
}

#[test]
fn an_image_that_is_none_is_told_as_nothing() {
    let image = Image::from_bytes(Bytes::from_static(b"\x01\x01a\x63"));
    assert!(serde_json::to_string(&ImageOut(image)).is_err());
}
