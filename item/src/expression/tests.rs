//! Expressions seen from outside: what they mean, what they refuse and in which words, and that no text harms.

mod attributes;
mod compose;
mod keys;
mod model;
mod refusals;
mod update;

use proptest::prelude::*;

use super::{Condition, EXPRESSION_BYTES_MAX, ExpressionError, KeyTerms, Kind, Projection, Substitutions};
use crate::{Item, Number, Value};

fn substitutions(names: &[(&str, &str)], values: &[(&str, Value)]) -> Substitutions {
    Substitutions {
        names: names.iter().map(|(token, name)| ((*token).to_owned(), (*name).to_owned())).collect(),
        values: values.iter().map(|(token, value)| ((*token).to_owned(), value.clone())).collect(),
        ..Substitutions::default()
    }
}

fn number(number: i64) -> Value {
    Number::from(number).into()
}

fn item(attributes: &[(&str, Value)]) -> Item {
    Item(attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
}

fn list(values: &[Value]) -> Value {
    Value::List(values.to_vec())
}

fn map(values: &[(&str, Value)]) -> Value {
    Value::Map(item(values).0)
}

fn project(text: &str, item: &Item) -> Result<Item, ExpressionError> {
    Ok(Projection::parse(text, &mut substitutions(&[("#a", "a")], &[]))?.apply(item))
}

#[test]
fn a_projection_keeps_what_its_paths_lead_to() {
    let inner = map(&[("b", number(1)), ("c", list(&[number(10), number(11), number(12)])), ("d", "x".into())]);
    let whole = item(&[("a", inner), ("e", "y".into()), ("f", number(3))]);

    assert_eq!(project("e, f", &whole), Ok(item(&[("e", "y".into()), ("f", number(3))])));
    assert_eq!(project("#a.b,e", &whole), Ok(item(&[("a", map(&[("b", number(1))])), ("e", "y".into())])));
    let closed_up = list(&[number(10), number(12)]);
    assert_eq!(
        project("a.c[2], a.b, a.c[0]", &whole),
        Ok(item(&[("a", map(&[("b", number(1)), ("c", closed_up)]))])),
        "elements of a list keep their order and close up"
    );
    assert_eq!(
        project("a.nothing, a.c[7], a[0], e.f", &whole),
        Err(ExpressionError(
            "Invalid ProjectionExpression: Two document paths conflict with each other; must remove or rewrite one of \
         these paths; path one: [a, nothing], path two: [a, [0]]"
                .to_owned()
        ))
    );
    assert_eq!(project("a.nothing, a.c[7], e.f, g", &whole), Ok(Item::default()), "what is not there is left out");
}

#[test]
fn the_attributes_of_an_expression_are_known() {
    let mut substitutions = substitutions(&[("#n", "name")], &[(":v", number(1))]);
    let text = "a.b = :v OR size(c) > :v OR #n IN (d[0], e) OR begins_with(f, g) OR NOT attribute_exists(h)";
    let condition = Condition::parse(Kind::Filter, text, &mut substitutions).unwrap();
    assert_eq!(Vec::from_iter(condition.attributes()), ["a", "c", "d", "e", "f", "g", "h", "name"]);
    assert_eq!(Vec::from_iter(condition.nested_attributes()), ["a", "d"]);
    assert_eq!(substitutions.finish(), Ok(()));

    let projection = Projection::parse("b[0], a, b[1].c", &mut substitutions).unwrap();
    assert_eq!(Vec::from_iter(projection.attributes()), ["a", "b"]);
    assert_eq!(Vec::from_iter(projection.nested_attributes()), ["b"]);
}

/// A peer was once killed by the stack that such texts need.
#[test]
fn deep_nesting_neither_overflows_the_stack_nor_passes_the_limits() {
    let parse = |text: &str| {
        let mut substitutions = substitutions(&[], &[(":v", number(1))]);
        Condition::parse(Kind::Condition, text, &mut substitutions).map(|condition| condition.matches(&Item::default()))
    };
    let refusal = |text: &str| parse(text).unwrap_err().0;

    let parentheses = format!("{}a = :v{}", "(".repeat(2040), ")".repeat(2040));
    assert!(refusal(&parentheses).contains("redundant parentheses"));
    assert!(refusal(&"(".repeat(4096)).contains("Syntax error; token: \"<EOF>\""));
    assert!(refusal(&"NOT ".repeat(1020)).contains("Syntax error"));
    assert!(refusal(&format!("{}a = :v", "NOT ".repeat(1000))).contains("too many operators; operator count: 1001"));
    assert_eq!(parse(&format!("{}a = :v", "NOT ".repeat(299))), Ok(true));
    assert_eq!(parse(&format!("{}a = :v{}", "(NOT ".repeat(299), ")".repeat(299))), Ok(true));
    assert!(refusal(&format!("{}a{} > :v", "size(".repeat(600), ")".repeat(600))).contains("not allowed to be used"));
    assert!(refusal(&format!("a{} = b[", ".a".repeat(2000))).contains("Syntax error"));
    assert_eq!(parse(&format!("a{} <> :v", ".a".repeat(31))), Ok(true));
    let too_deep = "too many nesting elements; nesting elements: 33";
    assert!(refusal(&format!("a{} <> :v", ".a".repeat(32))).contains(too_deep));
    assert!(refusal(&format!("a{} <> :v", ".a".repeat(2000))).contains("nesting elements: 2001"));
    let paths = format!("a{}, b", ".a".repeat(31));
    assert_eq!(project(&paths, &item(&[("b", number(1))])), Ok(item(&[("b", number(1))])));
}

#[test]
fn the_longest_expressions_and_lists_pass_and_longer_ones_do_not() {
    let parse = |text: &str| {
        let mut substitutions = substitutions(&[], &[(":v", number(1))]);
        Condition::parse(Kind::Filter, text, &mut substitutions).map(drop).map_err(|error| error.0)
    };
    let padded = |bytes: usize| format!("a = :v{}", " ".repeat(bytes - 6));
    assert_eq!(parse(&padded(EXPRESSION_BYTES_MAX)), Ok(()));
    assert_eq!(
        parse(&padded(EXPRESSION_BYTES_MAX + 1)).unwrap_err(),
        "Invalid FilterExpression: Expression size has exceeded the maximum allowed size; expression size: 4097"
    );
    assert_eq!(parse(&format!("a IN ({}:v)", ":v,".repeat(99))), Ok(()));
    assert_eq!(
        parse(&format!("a IN ({}:v)", ":v,".repeat(100))).unwrap_err(),
        "Invalid FilterExpression: The IN operator is provided with too many operands; number of operands: 101"
    );
    let joined = |tests: usize| vec!["a=:v"; tests].join(" OR ");
    assert_eq!(parse(&joined(150)), Ok(()), "150 comparisons and 149 ORs");
    assert!(parse(&joined(151)).unwrap_err().ends_with("operator count: 301"));
}

fn texts() -> impl Strategy<Value = String> {
    let token = prop::sample::select(vec![
        "a",
        "b",
        "#a",
        "#zz",
        ":v",
        ":zz",
        "(",
        ")",
        "(",
        ")",
        "[",
        "]",
        "[0]",
        ".",
        ",",
        "=",
        "<>",
        "<",
        "<=",
        ">",
        ">=",
        "AND",
        "or",
        "NOT",
        "between",
        "IN",
        "size",
        "contains",
        "begins_with",
        "attribute_exists",
        "attribute_type",
        "4",
        "ü",
        "\u{0}",
        "!",
        "#",
        ":",
        "name",
    ]);
    let sentence = prop::collection::vec(token, 0..40).prop_map(|tokens| tokens.join(" "));
    prop_oneof![4 => sentence, 1 => any::<String>(), 1 => "[a-c#:().\\[\\]<>= ,0-9]{0,60}"]
}

proptest! {
    #[test]
    fn no_text_panics(text in texts()) {
        let fresh = || substitutions(&[("#a", "a")], &[(":v", number(1))]);
        if let Ok(condition) = Condition::parse(Kind::Condition, &text, &mut fresh()) {
            condition.matches(&item(&[("a", number(1))]));
            condition.attributes();
        }
        if let Ok(projection) = Projection::parse(&text, &mut fresh()) {
            projection.apply(&item(&[("a", list(&[number(1)]))]));
        }
        let _ = KeyTerms::parse(&text, &mut fresh());
        let map = |token: String| Some([(token, "a".to_owned())].into());
        let _ = Substitutions::new(map(text), None);
    }

    #[test]
    fn a_projection_is_a_part_of_the_item(item in crate::arbitrary::items(), paths in "[a-c](\\.[a-c]|\\[[0-2]\\]){0,2}(,[a-c](\\.[a-c]|\\[[0-2]\\]){0,2}){0,3}") {
        if let Ok(projected) = project(&paths, &item) {
            for (name, value) in &projected.0 {
                prop_assert!(is_part(value, &item.0[name]), "{} of {:?}", paths, item);
            }
        }
    }
}

fn is_part(part: &Value, whole: &Value) -> bool {
    match (part, whole) {
        (Value::Map(part), Value::Map(whole)) => {
            part.iter().all(|(name, value)| whole.get(name).is_some_and(|whole| is_part(value, whole)))
        }
        (Value::List(part), Value::List(whole)) => {
            let mut rest = whole.iter();
            part.iter().all(|value| rest.any(|whole| is_part(value, whole)))
        }
        (part, whole) => part == whole,
    }
}
