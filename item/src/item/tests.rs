use std::collections::BTreeSet;

use bytes::Bytes;

use super::*;

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn number(text: &str) -> Value {
    Value::Number(text.parse().unwrap())
}

#[test]
fn sizes_are_counted_as_dynamodb_documents_them() {
    let cases = [
        (text(""), 0),
        (text("añb"), 4),
        (Value::Binary(Bytes::from_static(b"abc")), 3),
        (Value::Null, 1),
        (Value::Bool(false), 1),
        (number("0"), 1),
        (number("7"), 2),
        (number("1200"), 2),
        (number("-12.3"), 4),
        (number(&"9".repeat(38)), 20),
        (Value::List(vec![]), 3),
        (Value::List(vec![text("ab"), Value::Null]), 3 + (1 + 2) + (1 + 1)),
        (Value::Map([("ab".to_owned(), text("c"))].into()), 3 + (1 + 2 + 1)),
        (Value::StringSet(BTreeSet::from(["a".to_owned(), "bc".to_owned()])), 3),
    ];
    for (value, size) in cases {
        assert_eq!(value.size(), size, "{value:?}");
        assert_eq!(Item::from([("näme", value)]).size(), 5 + size);
    }
    assert_eq!(Item::new().size(), 0);
}

#[test]
fn a_merge_unites_attributes_and_names_those_that_changed() {
    let mut item = Item::from([("a", number("1")), ("b", text("same")), ("c", number("2"))]);
    let newer = Item::from([("b", text("same")), ("c", text("2")), ("d", Value::Null)]);
    let collisions = item.merge(newer.clone());
    assert_eq!(collisions, [Collision { attribute: "c".to_owned() }]);
    let united = Item::from([("a", number("1")), ("b", text("same")), ("c", text("2")), ("d", Value::Null)]);
    assert_eq!(item, united);
    assert_eq!(item.merge(newer), [], "merging the same twice changes nothing");
}

#[test]
fn numbers_that_are_equal_do_not_collide() {
    let mut item = Item::from([("a", number("1.50"))]);
    assert_eq!(item.merge(Item::from([("a", number("15E-1"))])), []);
}

#[test]
fn what_no_table_may_store_is_refused() {
    let nested = |depth| (0..depth).fold(Value::Null, |value, _| Value::List(vec![value]));
    assert_eq!(Item::from([("a", nested(31))]).check(), Ok(()));
    let too_deep = ItemError::TooDeep { attribute: "a".to_owned(), depth_max: 31 };
    assert_eq!(Item::from([("a", nested(32))]).check(), Err(too_deep));

    let at_limit = text(&"x".repeat(400 * 1024 - 1));
    assert_eq!(Item::from([("a", at_limit.clone())]).check(), Ok(()));
    let too_large = ItemError::TooLarge { bytes: 409_601, bytes_max: 409_600 };
    assert_eq!(Item::from([("ab", at_limit)]).check(), Err(too_large));

    let empty_set = Value::List(vec![Value::NumberSet(BTreeSet::new())]);
    assert_eq!(Item::from([("a", empty_set)]).check(), Err(ItemError::EmptySet { attribute: "a".to_owned() }));
    assert_eq!(Item::from([("", Value::Null)]).check(), Err(ItemError::NameLength { bytes: 0 }));
    let nested_name = Value::Map([("x".repeat(65_536), Value::Null)].into());
    assert_eq!(Item::from([("a", nested_name)]).check(), Err(ItemError::NameLength { bytes: 65_536 }));
}
