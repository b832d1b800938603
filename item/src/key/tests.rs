use proptest::prelude::*;

use super::*;
use crate::arbitrary;
use crate::table::system;

fn encoded(value: &Value) -> Vec<u8> {
    let expected = match value {
        Value::Number(_) => KeyType::N,
        Value::Binary(_) => KeyType::B,
        _ => KeyType::S,
    };
    let mut out = Vec::new();
    encode_component("k", value, expected, &mut out).unwrap();
    out
}

/// The order of values of one type that the encoding must keep.
fn model_order(left: &Value, right: &Value) -> std::cmp::Ordering {
    match (left, right) {
        (Value::String(left), Value::String(right)) => left.as_bytes().cmp(right.as_bytes()),
        (Value::Number(left), Value::Number(right)) => left.cmp(right),
        (Value::Binary(left), Value::Binary(right)) => left.cmp(right),
        _ => panic!("{left:?} and {right:?} are not keys of one type"),
    }
}

/// Two tuples of the same 1 to 4 types.
fn tuple_pairs() -> impl Strategy<Value = (Vec<Value>, Vec<Value>)> {
    proptest::collection::vec(arbitrary::key_types(), 1..=4).prop_flat_map(|types| {
        let tuple = || types.iter().map(|key_type| arbitrary::key_values(*key_type)).collect::<Vec<_>>();
        // Tuples that share a front are as interesting as those that do not.
        (tuple(), tuple(), 0..=types.len()).prop_map(|(left, mut right, shared)| {
            right[..shared].clone_from_slice(&left[..shared]);
            (left, right)
        })
    })
}

proptest! {
    #[test]
    fn tuples_sort_like_their_values((left, right) in tuple_pairs()) {
        let tuple = |values: &[Value]| values.iter().flat_map(encoded).collect::<Vec<u8>>();
        let model = left.iter().zip(&right).map(|(left, right)| model_order(left, right));
        let model = model.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then);
        prop_assert_eq!(tuple(&left).cmp(&tuple(&right)), model);
    }

    #[test]
    fn components_come_back_from_a_tuple((values, _) in tuple_pairs()) {
        let tuple: Vec<u8> = values.iter().flat_map(encoded).collect();
        let mut rest = &tuple[..];
        for value in &values {
            let (decoded, length) = decode_component(rest).unwrap();
            prop_assert_eq!(&decoded, value);
            rest = &rest[length..];
        }
        prop_assert!(rest.is_empty());
    }

    #[test]
    fn any_bytes_decode_to_what_encodes_to_them(bytes in awkward_bytes()) {
        if let Ok((value, length)) = decode_component(&bytes) {
            prop_assert_eq!(encoded(&value), &bytes[..length]);
        }
    }

    #[test]
    fn keys_come_back_as_items((table, item) in arbitrary::keyed_items()) {
        let key = Key::of_item(&table, &item).unwrap();
        let expected: Item = item.into_iter().filter(|(name, _)| table.is_key(name)).collect();
        prop_assert_eq!(key.to_item(&table).unwrap(), expected);
        prop_assert!(key.slot().0 < SLOTS);
    }

    #[test]
    fn a_prefix_range_holds_what_begins_with_the_prefix(
        (prefix, value) in (any::<bool>(), arbitrary::blobs(), arbitrary::blobs(), arbitrary::blobs()).prop_filter_map(
            "a key is not empty",
            |(begins, prefix, rest, other)| {
                let value = if begins { [&prefix[..], &rest[..]].concat().into() } else { other };
                (!prefix.is_empty() && !value.is_empty()).then_some((prefix, value))
            },
        )
    ) {
        let attribute = KeyAttribute::new("k", KeyType::B);
        let from = encode_sort_prefix(&attribute, &Value::Binary(prefix.clone())).unwrap();
        let until = after_prefix(&from).unwrap();
        let key = encoded(&Value::Binary(value.clone()));
        prop_assert_eq!(from[..] <= key[..] && key < until, value.starts_with(&prefix));
    }
}

/// Bytes with a plausible type in front.
fn awkward_bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![Just(0x00u8), Just(0x01), Just(0xff), Just(0x37), any::<u8>()];
    (0u8..7, proptest::collection::vec(byte, 0..24)).prop_map(|(first, mut rest)| {
        rest.insert(0, first);
        rest
    })
}

#[test]
fn layouts_are_as_drawn() {
    let number = |text: &str| encoded(&Value::Number(text.parse().unwrap()));
    assert_eq!(encoded(&Value::from("a\0b")), b"\x01a\x00\xffb\x00\x01");
    assert_eq!(encoded(&Value::Binary(Bytes::from_static(b"\xff\x00"))), b"\x05\xff\x00\xff\x00\x01");
    assert_eq!(number("0"), [3]);
    assert_eq!(number("1"), [4, 130, 20]);
    assert_eq!(number("-1"), [2, !130, !20]);
    assert_eq!(number("12.305"), [4, 131, 12 * 2 + 1, 30 * 2 + 1, 50 * 2]);
    assert_eq!(number("1E-130"), [4, 0, 20]);
    assert_eq!(number("9.9E125"), [4, 255, 99 * 2]);
}

/// Fixed for ever: a slot that moved would hide every item stored under it.
#[test]
fn slots_do_not_move() {
    let slot_of = |text: &str| slot(&encoded(&Value::from(text))).0;
    // CRC-32C of "123456789" is E3069283.
    assert_eq!(slot(b"123456789"), Slot((0xe306_9283u32 >> 22) as u16));
    assert_eq!((slot_of("device-1"), slot_of("device-2"), slot_of("a")), (414, 566, 912));
}

#[test]
fn what_is_no_key_is_refused() {
    let table = Table { sort_key: Some(KeyAttribute::new("at", KeyType::N)), ..system::retained() };
    let key_of = |topic: Value, at: Value| Key::of_item(&table, &Item::from([("topic", topic), ("at", at)]));
    let at = || Value::Number(Number::from(7u64));

    assert!(key_of(Value::from("x".repeat(2048)), at()).is_ok());
    let too_long = KeyError::TooLong { name: "topic".to_owned(), bytes: 2049, bytes_max: 2048 };
    assert_eq!(key_of(Value::from("x".repeat(2049)), at()), Err(too_long));
    assert_eq!(key_of(Value::from(""), at()), Err(KeyError::Empty { name: "topic".to_owned(), key_type: KeyType::S }));
    let wrong_type = KeyError::WrongType { name: "at".to_owned(), expected: KeyType::N, actual: "S" };
    assert_eq!(key_of(Value::from("t"), Value::from("7")), Err(wrong_type));
    let missing = KeyError::Missing { name: "at".to_owned() };
    assert_eq!(Key::of_item(&table, &Item::from([("topic", Value::from("t"))])), Err(missing));

    let by_text = KeyAttribute::new("s", KeyType::S);
    assert!(encode_sort(&by_text, &Value::from("x".repeat(1024))).is_ok());
    let too_long = KeyError::TooLong { name: "s".to_owned(), bytes: 1025, bytes_max: 1024 };
    assert_eq!(encode_sort(&by_text, &Value::from("x".repeat(1025))), Err(too_long));
    assert!(encode_sort_prefix(&KeyAttribute::new("n", KeyType::N), &at()).is_err());
}

#[test]
fn a_key_of_another_table_is_refused() {
    let of_text = Key::of_item(&system::retained(), &Item::from([("topic", Value::from("t"))])).unwrap();
    assert!(of_text.to_item(&system::quarantine()).is_err(), "no sort key");
    let extra = Key { sort: of_text.partition.clone(), ..of_text.clone() };
    assert!(extra.to_item(&system::retained()).is_err(), "a sort key too many");
    let twice = Key { partition: [&of_text.partition[..], &of_text.partition[..]].concat().into(), ..of_text };
    assert!(twice.to_item(&system::retained()).is_err(), "a component too many");
}

#[test]
fn the_end_of_a_range_is_the_least_greater_string() {
    assert_eq!(after_prefix(b"a\xfe"), Some(b"a\xff".to_vec()));
    assert_eq!(after_prefix(b"a\xff\xff"), Some(b"b".to_vec()));
    assert_eq!(after_prefix(b"\xff\xff"), None);
    assert_eq!(after_prefix(b""), None);
}
