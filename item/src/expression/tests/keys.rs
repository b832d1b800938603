//! Key conditions: the range they stand for, and what they refuse.

use proptest::prelude::*;

use super::{number, substitutions};
use crate::{
    FurtherKeys, Key, KeyAttribute, KeyType, Number, Table, TableId, Value,
    arbitrary::{key_types, key_values},
    expression::KeyCondition,
    table::Billing,
};

fn table(sort: Option<KeyType>) -> Table {
    Table {
        id: TableId(1000),
        name: "readings".to_owned(),
        version: 1,
        partition_key: KeyAttribute::new("device_id", KeyType::S),
        sort_key: sort.map(|sort| KeyAttribute::new("ts", sort)),
        sort_key_is_time: false,
        item_key: Vec::new(),
        further_keys: Default::default(),
        settings: Default::default(),
        indexes: Vec::new(),
        stream: None,
        created_at_us: 0,
        billing: Billing::OnDemand,
        deletion_protection: false,
        tags: Default::default(),
    }
}

/// Parses with `:d` = "d1" and `:v`, `:w` as given.
fn parse(text: &str, table: &Table, v: Value, w: Value) -> Result<KeyCondition, String> {
    let values = [(":d", "d1".into()), (":v", v), (":w", w)];
    KeyCondition::parse(text, table, &mut substitutions(&[("#t", "ts")], &values)).map_err(|error| error.0)
}

fn key(table: &Table, sort: Option<Value>) -> Key {
    let mut item = super::item(&[("device_id", "d1".into())]);
    if let Some(sort) = sort {
        item.insert("ts", sort);
    }
    Key::of_item(table, &item).unwrap()
}

fn holds(condition: &KeyCondition, key: &Key) -> bool {
    key.partition == condition.partition
        && condition.from <= key.sort
        && condition.until.as_ref().is_none_or(|until| key.sort < *until)
}

type Model = fn(&Value, &Value, &Value) -> bool;

fn cmp(left: &Value, right: &Value) -> std::cmp::Ordering {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.cmp(right),
        (Value::String(left), Value::String(right)) => left.cmp(right),
        (Value::Binary(left), Value::Binary(right)) => left.cmp(right),
        other => panic!("keys of one type are compared: {other:?}"),
    }
}

fn starts_with(value: &Value, prefix: &Value) -> bool {
    match (value, prefix) {
        (Value::String(value), Value::String(prefix)) => value.starts_with(prefix),
        (Value::Binary(value), Value::Binary(prefix)) => value.starts_with(prefix),
        _ => false,
    }
}

const MODELS: [(&str, Model); 13] = [
    ("device_id = :d", |_, _, _| true),
    ("(:d = device_id)", |_, _, _| true),
    ("device_id = :d AND ts = :v", |sort, v, _| cmp(sort, v).is_eq()),
    ("(#t < :v) and (device_id = :d)", |sort, v, _| cmp(sort, v).is_lt()),
    ("device_id = :d AND ts <= :v", |sort, v, _| cmp(sort, v).is_le()),
    ("(device_id = :d AND ts > :v)", |sort, v, _| cmp(sort, v).is_gt()),
    ("ts >= :v AND device_id = :d", |sort, v, _| cmp(sort, v).is_ge()),
    (":v < ts AND device_id = :d", |sort, v, _| cmp(sort, v).is_gt()),
    (":v <= ts AND device_id = :d", |sort, v, _| cmp(sort, v).is_ge()),
    (":v > ts AND device_id = :d", |sort, v, _| cmp(sort, v).is_lt()),
    ("device_id = :d AND :v >= ts", |sort, v, _| cmp(sort, v).is_le()),
    ("device_id = :d AND ts BETWEEN :v AND :w", |sort, v, w| cmp(v, sort).is_le() && cmp(sort, w).is_le()),
    ("begins_with(ts, :v) AND device_id = :d", |sort, v, _| starts_with(sort, v)),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_range_holds_exactly_the_keys_that_satisfy_the_condition(
        (sort_type, values) in key_types().prop_flat_map(|sort| (Just(sort), prop::collection::vec(key_values(sort), 3))),
        (text, model) in prop::sample::select(MODELS.to_vec()),
    ) {
        let table = table(Some(sort_type));
        let [a, v, w] = &values[..] else { unreachable!() };
        let (v, w) = if text.contains("BETWEEN") && cmp(v, w).is_gt() { (w, v) } else { (v, w) };
        if text.starts_with("begins_with") && sort_type == KeyType::N {
            return Ok(());
        }
        let condition = parse(text, &table, v.clone(), w.clone()).map_err(TestCaseError::fail)?;
        for sort in [a, v, w] {
            let key = key(&table, Some(sort.clone()));
            prop_assert_eq!(holds(&condition, &key), model(sort, v, w), "{} of {:?}", text, sort);
        }
        let mut other = super::item(&[("device_id", "d10".into())]);
        other.insert("ts", v.clone());
        prop_assert!(!holds(&condition, &Key::of_item(&table, &other).unwrap()));
    }

    /// The same ranges, of the second sort attribute of an index whose partition key has two.
    #[test]
    fn a_range_follows_what_the_sort_attributes_before_it_equal(
        (sort_type, values) in key_types().prop_flat_map(|sort| (Just(sort), prop::collection::vec(key_values(sort), 3))),
        (text, model) in prop::sample::select(MODELS.to_vec()),
    ) {
        let hall = vec![KeyAttribute::new("hall", KeyType::N)];
        let table = Table {
            sort_key: Some(KeyAttribute::new("bay", KeyType::S)),
            further_keys: FurtherKeys { partition: hall, sort: vec![KeyAttribute::new("ts", sort_type)] },
            item_key: vec![KeyAttribute::new("id", KeyType::S)],
            ..table(None)
        };
        let [a, v, w] = &values[..] else { unreachable!() };
        let (v, w) = if text.contains("BETWEEN") && cmp(v, w).is_gt() { (w, v) } else { (v, w) };
        if text.starts_with("begins_with") && sort_type == KeyType::N {
            return Ok(());
        }
        let whole = format!("{text} AND hall = :h AND bay = :b");
        let given = [
            (":d", "d1".into()), (":v", v.clone()), (":w", w.clone()), (":h", number(7)), (":b", "b".into()),
        ];
        let condition = KeyCondition::parse(&whole, &table, &mut substitutions(&[("#t", "ts")], &given));
        let condition = condition.map_err(|error| TestCaseError::fail(error.0))?;
        for (sort, hall, bay, id) in [(a, 7, "b", "x"), (v, 7, "b", "\0"), (w, 7, "b2", "x"), (v, 70, "b", "x")] {
            let attributes = [
                ("device_id", "d1".into()), ("hall", number(hall)), ("bay", bay.into()), ("ts", sort.clone()),
                ("id", id.into()),
            ];
            let key = Key::of_item(&table, &super::item(&attributes)).unwrap();
            let expected = hall == 7 && bay == "b" && model(sort, v, w);
            prop_assert_eq!(holds(&condition, &key), expected, "{} of {:?}", whole, attributes);
        }
    }
}

#[test]
fn numbers_are_ranged_by_value() {
    let table = table(Some(KeyType::N));
    let condition = parse("device_id = :d AND ts BETWEEN :v AND :w", &table, number(9), number(10)).unwrap();
    for (sort, expected) in
        [("8.99", false), ("9", true), ("9.5", true), ("10.0", true), ("10.01", false), ("-9.5", false)]
    {
        let key = key(&table, Some(sort.parse::<Number>().unwrap().into()));
        assert_eq!(holds(&condition, &key), expected, "{sort}");
    }
}

#[test]
fn a_table_without_sort_key_has_whole_partitions() {
    let table = table(None);
    let condition = parse("device_id = :d", &table, Value::Null, Value::Null).unwrap();
    assert!(holds(&condition, &key(&table, None)));
}

#[test]
fn what_no_key_condition_may_have_is_refused() {
    let table = table(Some(KeyType::N));
    for (text, expected) in [
        ("device_id = :d OR ts = :v", "Invalid operator used in KeyConditionExpression: OR"),
        ("NOT device_id = :d", "Invalid operator used in KeyConditionExpression: NOT"),
        ("device_id <> :d", "Invalid operator used in KeyConditionExpression: <>"),
        ("device_id = :d AND ts IN (:v)", "Invalid operator used in KeyConditionExpression: IN"),
        ("attribute_exists(device_id)", "Invalid operator used in KeyConditionExpression: attribute_exists"),
        ("contains(ts, :d)", "Invalid operator used in KeyConditionExpression: contains"),
        ("a > size(b)", "KeyConditionExpressions cannot contain nested operations"),
        (
            "a.b > :v",
            "Invalid KeyConditionExpression: KeyConditionExpressions cannot have conditions on nested attributes",
        ),
        (
            "a[0] > :v",
            "Invalid KeyConditionExpression: KeyConditionExpressions cannot have conditions on nested attributes",
        ),
        ("a > b", "Invalid condition in KeyConditionExpression: Multiple attribute names used in one condition"),
        (":v = :w", "Invalid condition in KeyConditionExpression: No key attribute specified"),
        (
            ":v between a and :w",
            "Invalid condition in KeyConditionExpression: BETWEEN operator must have the key attribute as its first operand",
        ),
        (
            "begins_with(:d, a)",
            "Invalid condition in KeyConditionExpression: begins_with operator must have the key attribute as its first operand",
        ),
        ("device_id = :d AND ts > :v AND ts < :w", "KeyConditionExpressions must only contain one condition per key"),
        ("device_id = :d AND ts > :v AND c = :w", "Conditions can be of length 1 or 2 only"),
        (
            "device_id = :d AND #zz = :v",
            "Invalid KeyConditionExpression: An expression attribute name used in the document path is not defined; attribute name: #zz",
        ),
        ("((device_id = :d))", "Invalid KeyConditionExpression: The expression has redundant parentheses;"),
        ("device_id = 'd'", "Invalid KeyConditionExpression: Syntax error; token: \"'\", near: \"= 'd\""),
    ] {
        assert_eq!(parse(text, &table, number(1), number(2)).unwrap_err(), expected, "{text}");
    }
}

#[test]
fn what_this_key_does_not_allow_is_refused() {
    let (plain, sorted) = (table(None), table(Some(KeyType::N)));
    let mismatch = "One or more parameter values were invalid: Condition parameter type does not match schema type";
    for (text, table, expected) in [
        ("ts = :v", &sorted, "Query condition missed key schema element: device_id"),
        ("device_id = :d AND extra = :v", &sorted, "Query condition missed key schema element: ts"),
        ("device_id = :d AND extra = :v", &plain, "Query key condition not supported"),
        ("device_id > :d", &plain, "Query key condition not supported"),
        ("begins_with(device_id, :d)", &sorted, "Query key condition not supported"),
        ("device_id between :d and :d", &sorted, "Query key condition not supported"),
        ("device_id = :v", &plain, mismatch),
        ("device_id = :d AND ts = :d", &sorted, mismatch),
        ("device_id = :d AND begins_with(ts, :d)", &sorted, mismatch),
    ] {
        assert_eq!(parse(text, table, number(1), number(2)).unwrap_err(), expected, "{text}");
    }
}

#[test]
fn keys_must_have_a_length_that_a_stored_key_can_have() {
    let table = table(Some(KeyType::S));
    let parse = |text: &str, value: String| parse(text, &table, value.into(), Value::Null);
    assert!(parse("device_id = :v", "d".repeat(2048)).is_ok());
    assert!(parse("device_id = :v", "d".repeat(2049)).unwrap_err().contains("Size of hashkey has exceeded"));
    assert!(parse("device_id = :d AND ts < :v", "t".repeat(1024)).is_ok());
    assert!(parse("device_id = :d AND ts < :v", "t".repeat(1025)).unwrap_err().contains("range keys has exceeded"));
    assert!(parse("device_id = :v", String::new()).unwrap_err().ends_with("Key: device_id"));
}
