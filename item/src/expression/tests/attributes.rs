//! Conditions, projections and key conditions given by attribute: what they mean, and what they refuse.

use std::collections::BTreeMap;

use super::{item, list, number, substitutions};
use crate::{
    Item, KeyAttribute, KeyType, Number, Table, TableId, Value,
    expression::{AttributeCondition, ComparisonOperator, Condition, KeyCondition, KeyTerms, Projection},
    table::Billing,
};

fn condition(operator: &str, arguments: &[Value]) -> Result<AttributeCondition, String> {
    let operator = ComparisonOperator::of_name(operator).unwrap();
    AttributeCondition::new(operator, arguments.to_vec()).map_err(|error| error.0)
}

fn holds(operator: &str, arguments: &[Value], item: &Item) -> bool {
    let conditions = [("a".to_owned(), condition(operator, arguments).unwrap())].into();
    Condition::of_attributes(conditions, false).unwrap().unwrap().matches(item)
}

fn texts(texts: &[&str]) -> Value {
    Value::StringSet(texts.iter().map(|text| (*text).to_owned()).collect())
}

fn numbers(numbers: &[i64]) -> Value {
    Value::NumberSet(numbers.iter().map(|number| Number::from(*number)).collect())
}

fn binary(bytes: &'static [u8]) -> Value {
    Value::Binary(bytes.into())
}

/// An operator, its arguments, values of which it holds and does not hold, and whether it does of nothing.
type Case = (&'static str, Vec<Value>, Vec<Value>, Vec<Value>, bool);

#[test]
fn every_operator_means_what_is_documented() {
    let n = number;
    let cases: [Case; 26] = [
        ("EQ", vec![n(6)], vec![n(6)], vec![n(7), "6".into(), numbers(&[6, 2, 1])], false),
        ("EQ", vec![texts(&["a", "b"])], vec![texts(&["b", "a"])], vec![texts(&["a"]), "a".into()], false),
        ("EQ", vec![list(&[n(1)])], vec![list(&[n(1)])], vec![list(&[n(1), n(1)]), n(1)], false),
        ("EQ", vec![Value::Null], vec![Value::Null], vec![false.into(), "".into()], false),
        ("NE", vec![n(6)], vec![n(7), "6".into(), numbers(&[6, 2, 1])], vec![n(6)], true),
        ("NE", vec![texts(&["a", "b"])], vec![texts(&["a"])], vec![texts(&["b", "a"])], true),
        ("LT", vec![n(6)], vec![n(5), n(-7)], vec![n(6), n(7), "5".into(), numbers(&[5])], false),
        ("LE", vec![n(6)], vec![n(5), n(6)], vec![n(7), "5".into(), numbers(&[5])], false),
        ("GT", vec!["b".into()], vec!["ba".into(), "c".into()], vec!["b".into(), "B".into(), n(9)], false),
        ("GE", vec!["b".into()], vec!["b".into(), "c".into()], vec!["a".into(), binary(b"c")], false),
        ("LT", vec![binary(b"\x80")], vec![binary(b"\x7f"), binary(b"")], vec![binary(b"\x81"), "\u{1}".into()], false),
        ("BETWEEN", vec![n(2), n(4)], vec![n(2), n(3), n(4)], vec![n(1), n(5), "3".into()], false),
        ("BETWEEN", vec!["b".into(), "b".into()], vec!["b".into()], vec!["ba".into(), n(1)], false),
        ("IN", vec![n(1), n(3)], vec![n(1), n(3)], vec![n(2), "1".into(), numbers(&[1])], false),
        ("IN", vec!["x".into()], vec!["x".into()], vec!["xy".into(), texts(&["x"])], false),
        ("NOT_NULL", vec![], vec![n(0), Value::Null, false.into(), "".into()], vec![], false),
        ("NULL", vec![], vec![], vec![n(0), Value::Null, false.into(), "".into()], true),
        (
            "CONTAINS",
            vec!["bc".into()],
            vec!["abcd".into(), texts(&["bc"])],
            vec!["acb".into(), texts(&["abc"])],
            false,
        ),
        ("CONTAINS", vec!["x".into()], vec![list(&[n(1), "x".into()])], vec![list(&["xy".into()]), n(1)], false),
        ("CONTAINS", vec![n(1)], vec![numbers(&[1, 2]), list(&[n(1)])], vec![n(1), "1".into(), n(12)], false),
        ("CONTAINS", vec![binary(b"b")], vec![binary(b"abc")], vec!["abc".into(), binary(b"a")], false),
        ("CONTAINS", vec![true.into()], vec![list(&[true.into()])], vec![list(&[false.into()]), true.into()], false),
        ("NOT_CONTAINS", vec!["bc".into()], vec!["acb".into(), texts(&["abc"]), n(1)], vec!["abcd".into()], true),
        ("NOT_CONTAINS", vec![n(1)], vec![numbers(&[2]), "1".into()], vec![numbers(&[1]), list(&[n(1)])], true),
        ("BEGINS_WITH", vec!["ab".into()], vec!["ab".into(), "abc".into()], vec!["a".into(), binary(b"abc")], false),
        ("BEGINS_WITH", vec![binary(b"a")], vec![binary(b"ab")], vec![binary(b"ba"), "ab".into(), n(1)], false),
    ];
    for (operator, arguments, holds_of, not_of, of_nothing) in cases {
        for (values, expected) in [(holds_of, true), (not_of, false)] {
            for value in values {
                let is_so = holds(operator, &arguments, &item(&[("a", value.clone()), ("b", number(6))]));
                assert_eq!(is_so, expected, "{operator} {arguments:?} of {value:?}");
            }
        }
        assert_eq!(holds(operator, &arguments, &Item::default()), of_nothing, "{operator} {arguments:?} of nothing");
    }
}

#[test]
fn all_hold_or_one() {
    let has = |a: bool, b: bool, c: bool| {
        let present = [("a", a), ("b", b), ("c.d", c)].into_iter().filter(|(_, present)| *present);
        item(&present.map(|(name, _)| (name, number(1))).collect::<Vec<_>>())
    };
    let conditions: BTreeMap<_, _> =
        ["a", "b", "c.d"].map(|name| (name.to_owned(), condition("NOT_NULL", &[]).unwrap())).into();
    let all = Condition::of_attributes(conditions.clone(), false).unwrap().unwrap();
    let any = Condition::of_attributes(conditions, true).unwrap().unwrap();
    assert_eq!(Vec::from_iter(all.attributes()), ["a", "b", "c.d"]);
    assert!(all.nested_attributes().is_empty(), "names are taken as they are");
    for at in 0..8 {
        let present = [at & 1 != 0, at & 2 != 0, at & 4 != 0];
        let item = has(present[0], present[1], present[2]);
        assert_eq!(all.matches(&item), present.iter().all(|present| *present), "{present:?}");
        assert_eq!(any.matches(&item), present.iter().any(|present| *present), "{present:?}");
    }
    assert_eq!(Condition::of_attributes(BTreeMap::new(), false), Ok(None));
}

/// DynamoDB takes at least 27500 arguments of one IN.
#[test]
fn many_arguments_are_as_good_as_few() {
    let arguments: Vec<Value> = (0..27_500).rev().map(|at| number(2 * at)).collect();
    for (value, expected) in [(0, true), (1, false), (2, true), (54_998, true), (54_999, false), (55_000, false)] {
        assert_eq!(holds("IN", &arguments, &item(&[("a", number(value))])), expected, "{value}");
    }
}

#[test]
fn a_thousand_attributes_may_have_conditions() {
    let nothing_of = |count: usize| {
        let names = (0..count).map(|at| format!("a{at}"));
        let conditions = names.map(|name| (name, condition("NULL", &[]).unwrap())).collect();
        Condition::of_attributes(conditions, false)
    };
    let thousand = nothing_of(1000).unwrap().unwrap();
    assert!(thousand.matches(&Item::default()));
    assert!(!thousand.matches(&item(&[("a999", number(1))])));
    assert!(nothing_of(1001).unwrap_err().0.contains("Too many conditions; condition count: 1001"));
}

#[test]
fn arguments_are_counted_and_have_types() {
    let refused = |operator: &str, arguments: &[Value]| condition(operator, arguments).unwrap_err();
    let count = |operator: &str| {
        format!(
            "One or more parameter values were invalid: Invalid number of argument(s) for the {operator} \
             ComparisonOperator"
        )
    };
    let one = ["EQ", "NE", "LT", "LE", "GT", "GE", "CONTAINS", "NOT_CONTAINS", "BEGINS_WITH"];
    for operator in one {
        assert_eq!(refused(operator, &[]), count(operator));
        assert_eq!(refused(operator, &["a".into(), "a".into()]), count(operator));
    }
    for operator in ["NULL", "NOT_NULL"] {
        assert_eq!(refused(operator, &["a".into()]), count(operator));
    }
    assert_eq!(refused("IN", &[]), count("IN"));
    for arguments in [&[][..], &["a".into()], &["a".into(), "b".into(), "c".into()]] {
        assert_eq!(refused("BETWEEN", arguments), count("BETWEEN"));
    }
    for operator in ["IN", "BETWEEN"] {
        assert_eq!(
            refused(operator, &["a".into(), number(1)]),
            "One or more parameter values were invalid: AttributeValues inside AttributeValueList must be of same type"
        );
    }
    assert_eq!(
        refused("BETWEEN", &["b".into(), "a".into()]),
        "The BETWEEN condition was provided a range where the lower bound is greater than the upper bound"
    );

    let sets_and_documents = [
        texts(&["a"]),
        numbers(&[1]),
        Value::BinarySet([b"a"[..].into()].into()),
        list(&[]),
        Value::Map(BTreeMap::new()),
    ];
    let flags = [true.into(), Value::Null];
    let mut wrong: Vec<(&str, &Value)> = Vec::new();
    for operator in ["LT", "LE", "GT", "GE", "IN", "BETWEEN", "BEGINS_WITH"] {
        wrong.extend(sets_and_documents.iter().chain(&flags).map(|value| (operator, value)));
    }
    for operator in ["CONTAINS", "NOT_CONTAINS"] {
        wrong.extend(sets_and_documents.iter().map(|value| (operator, value)));
    }
    let one_is_a_number = number(1);
    wrong.push(("BEGINS_WITH", &one_is_a_number));
    for (operator, value) in wrong {
        let times = if operator == "BETWEEN" { 2 } else { 1 };
        assert_eq!(
            refused(operator, &vec![value.clone(); times]),
            format!(
                "One or more parameter values were invalid: ComparisonOperator {operator} is not valid for {} \
                 AttributeValue type",
                value.type_name()
            )
        );
    }
    for value in sets_and_documents.iter().chain(&flags) {
        assert!(condition("EQ", std::slice::from_ref(value)).is_ok());
        assert!(condition("NE", std::slice::from_ref(value)).is_ok());
    }
}

#[test]
fn names_of_operators_lead_back() {
    for name in ComparisonOperator::names() {
        assert_eq!(ComparisonOperator::of_name(name).unwrap().name(), name);
    }
    assert_eq!(ComparisonOperator::of_name("eq"), None);
}

#[test]
fn a_projection_takes_names_as_they_are() {
    let project = |names: &[&str]| Projection::of_attributes(names.iter().map(|name| (*name).to_owned()).collect());
    let whole = item(&[("a", super::map(&[("b", number(1))])), ("a.b", number(2)), ("c[0]", number(3))]);
    assert_eq!(project(&["c[0]", "a.b", "z"]).unwrap().apply(&whole), item(&[("a.b", number(2)), ("c[0]", number(3))]));
    let few = project(&["a"]).unwrap().apply(&whole);
    let many: Vec<String> = (0..20_000).map(|at| format!("b{at}")).chain(["a".to_owned()]).collect();
    assert_eq!(few.len(), 1);
    assert_eq!(Projection::of_attributes(many).unwrap().apply(&whole), few);
    assert_eq!(
        project(&["a", "b", "a"]).unwrap_err().0,
        "One or more parameter values were invalid: Duplicate value in attribute name: a"
    );
}

fn table(with_sort_key: bool) -> Table {
    Table {
        id: TableId(1000),
        name: "readings".to_owned(),
        version: 1,
        partition_key: KeyAttribute::new("p", KeyType::S),
        sort_key: with_sort_key.then(|| KeyAttribute::new("s", KeyType::S)),
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

fn bind(table: &Table, conditions: &[(&str, &str, &[Value])]) -> Result<KeyCondition, String> {
    let checked = |(name, operator, arguments): &(&str, &str, &[Value])| {
        Ok(((*name).to_owned(), condition(operator, arguments)?))
    };
    let conditions = conditions.iter().map(checked).collect::<Result<_, String>>()?;
    KeyTerms::of_attributes(conditions).and_then(|terms| terms.bind(table)).map_err(|error| error.0)
}

#[test]
fn key_conditions_are_those_of_expressions() {
    let table = table(true);
    let cases: [(&str, &str, &[Value]); 7] = [
        ("EQ", "s = :v", &["k".into()]),
        ("LT", "s < :v", &["k".into()]),
        ("LE", "s <= :v", &["k".into()]),
        ("GT", "s > :v", &["k".into()]),
        ("GE", "s >= :v", &["k".into()]),
        ("BEGINS_WITH", "begins_with(s, :v)", &["k".into()]),
        ("BETWEEN", "s BETWEEN :v AND :w", &["k".into(), "m".into()]),
    ];
    for (operator, text, arguments) in cases {
        let values = [(":p", "d".into()), (":v", "k".into()), (":w", "m".into())];
        let text = format!("p = :p AND {text}");
        let expression = KeyCondition::parse(&text, &table, &mut substitutions(&[], &values)).unwrap();
        assert_eq!(bind(&table, &[("p", "EQ", &["d".into()]), ("s", operator, arguments)]), Ok(expression), "{text}");
    }
    let whole = KeyCondition::parse("p = :p", &table, &mut substitutions(&[], &[(":p", "d".into())])).unwrap();
    assert_eq!(bind(&table, &[("p", "EQ", &["d".into()])]), Ok(whole));
}

#[test]
fn what_no_key_condition_can_ask_is_refused() {
    let (sorted, plain) = (table(true), table(false));
    let refused = |table: &Table, conditions: &[(&str, &str, &[Value])]| bind(table, conditions).unwrap_err();
    let p = ("p", "EQ", &["d".into()][..]);
    let not_indexable = "Attempted conditional constraint is not an indexable operation";
    for (operator, arguments) in [
        ("NULL", &[][..]),
        ("NOT_NULL", &[]),
        ("NE", &["a".into()]),
        ("IN", &["a".into()]),
        ("IN", &["a".into(), "b".into()]),
        ("CONTAINS", &["a".into()]),
        ("NOT_CONTAINS", &["a".into()]),
    ] {
        assert_eq!(refused(&plain, &[("p", operator, arguments)]), not_indexable);
        assert_eq!(refused(&sorted, &[p, ("s", operator, arguments)]), not_indexable);
    }
    let unsupported = "Query key condition not supported";
    for operator in ["LT", "LE", "GT", "GE", "BEGINS_WITH"] {
        assert_eq!(refused(&sorted, &[("p", operator, &["d".into()])]), unsupported);
    }
    assert_eq!(refused(&sorted, &[("p", "BETWEEN", &["a".into(), "b".into()])]), unsupported);
    assert_eq!(refused(&plain, &[p, ("s", "EQ", &["a".into()])]), unsupported);
    assert_eq!(refused(&sorted, &[("s", "EQ", &["a".into()])]), "Query condition missed key schema element: p");
    assert_eq!(refused(&sorted, &[p, ("z", "NULL", &[])]), "Query condition missed key schema element: s");
    let types = "One or more parameter values were invalid: Condition parameter type does not match schema type";
    assert_eq!(refused(&sorted, &[("p", "EQ", &[number(1)])]), types);
    assert_eq!(refused(&sorted, &[("p", "EQ", &[texts(&["d"])])]), types);
    assert_eq!(refused(&sorted, &[p, ("s", "BETWEEN", &[number(1), number(2)])]), types);
    let empty = "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an \
                 empty string value. Key: p";
    assert_eq!(refused(&sorted, &[("p", "EQ", &["".into()])]), empty);
    for conditions in [&[][..], &[p, ("s", "NULL", &[]), ("z", "NULL", &[])]] {
        assert_eq!(refused(&sorted, conditions), "Conditions can be of length 1 or 2 only");
    }
}
