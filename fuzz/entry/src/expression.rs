//! Expressions: parsed with names and values for the tokens that seeds use, and what parses is evaluated.

use std::collections::BTreeMap;

use bytes::Bytes;
use item::{
    Item, Number, Value,
    expression::{Condition, ExpressionError, KeyTerms, Kind, Projection, Substitutions, Update},
};

use crate::seeds::table;

pub(crate) fn condition(bytes: &[u8]) {
    for kind in [Kind::Condition, Kind::Filter] {
        each(bytes, |text, substitutions| {
            let condition = Condition::parse(kind, text, substitutions)?;
            condition.check()?;
            assert!(condition.nested_attributes().is_subset(&condition.attributes()));
            for item in items() {
                condition.matches(&item);
            }
            Ok(())
        });
    }
}

pub(crate) fn update(bytes: &[u8]) {
    each(bytes, |text, substitutions| {
        let update = Update::parse(text, substitutions)?;
        for item in items() {
            let Ok(after) = update.apply(item) else { continue };
            assert!(after.check_shape().is_ok(), "an update makes no item that cannot be stored");
            update.touched(&after);
            update.made(&after);
        }
        let _ = (update.size(), update.makes_item(), update.nested_attributes().len());
        let _ = update.check_key(&table()).is_ok() && update.check_index_keys(&table()).is_ok();
        Ok(())
    });
}

pub(crate) fn projection(bytes: &[u8]) {
    each(bytes, |text, substitutions| {
        let projection = Projection::parse(text, substitutions)?;
        for item in items() {
            let shown = projection.apply(&item);
            assert!(shown.size() <= item.size(), "a projection shows no more than there is");
            assert!(shown.iter().all(|(name, _)| projection.attributes().contains(name.as_str())));
        }
        Ok(())
    });
}

pub(crate) fn key_condition(bytes: &[u8]) {
    each(bytes, |text, substitutions| {
        let terms = KeyTerms::parse(text, substitutions)?;
        terms.check()?;
        let condition = terms.bind(&table())?;
        assert!(!condition.partition.is_empty());
        Ok(())
    });
}

/// Takes `bytes` as a text twice: with names and values, and with neither. A refusal has words.
fn each(bytes: &[u8], take: impl Fn(&str, &mut Substitutions) -> Result<(), ExpressionError>) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for (names, values) in [(Some(names()), Some(values())), (None, None)] {
        let mut substitutions = Substitutions::new(names, values).expect("tokens of the right form");
        let taken = take(text, &mut substitutions).and_then(|()| substitutions.finish());
        if let Err(ExpressionError(words)) = taken {
            assert!(!words.is_empty() && words.len() < 4 * item::expression::EXPRESSION_BYTES_MAX, "{words}");
        }
    }
}

fn names() -> BTreeMap<String, String> {
    let all = ["#a", "#b", "#c", "#k", "#n", "#p", "#s", "#v", "#m", "#l"];
    all.into_iter().map(|token| (token.to_owned(), token.trim_start_matches('#').to_owned())).collect()
}

fn values() -> BTreeMap<String, Value> {
    let number = |text: &str| Value::Number(text.parse().expect("a number"));
    let texts = ["x", "y"].map(str::to_owned);
    [
        (":a", Value::from("a")),
        (":b", Value::Binary(Bytes::from_static(b"\0\xff"))),
        (":e", Value::from("")),
        (":f", Value::Bool(false)),
        (":k", Value::from("device")),
        (":l", Value::List(vec![number("1"), Value::Null])),
        (":m", Value::Map([("x".to_owned(), number("2"))].into())),
        (":n", number("9.99e125")),
        (":one", number("1")),
        (":s", Value::StringSet(texts.into())),
        (":t", Value::from("N")),
        (":v", number("-0.5")),
        (":z", Value::NumberSet([Number::from(1_u64), Number::from(2_u64)].into())),
    ]
    .into_iter()
    .map(|(token, value)| (token.to_owned(), value))
    .collect()
}

/// No item, and one with a value of every type, some within others.
fn items() -> [Item; 2] {
    let mut item = Item::from([("pk", Value::from("device")), ("sk", Value::Number(Number::from(7_u64)))]);
    for (token, value) in values() {
        item.insert(token.trim_start_matches(':'), value);
    }
    let nested = Value::List(vec![Value::Map(item.0.clone()), Value::List(vec![Value::from("x")])]);
    item.insert("c", nested);
    [Item::new(), item]
}
