//! Is a condition true of an item?
//!
//! - What is not there is not equal to anything, so `<>` is true of it, and every other comparison is false.
//! - Values of different types are not equal and have no order. Only texts, numbers and binaries have an order.

use std::{borrow::Cow, cmp::Ordering};

use super::{
    parse::{Comparator, Postfix},
    resolve::{Operand, Test, size},
};
use crate::{Item, Value};

/// Runs a condition in postfix order.
pub(super) fn matches(steps: &[Postfix<Test>], item: &Item) -> bool {
    let mut stack: Vec<bool> = Vec::with_capacity(8);
    for step in steps {
        let answer = match step {
            Postfix::Test(test) => is_true(test, item),
            Postfix::Not => !pop(&mut stack),
            Postfix::And => pop(&mut stack) & pop(&mut stack),
            Postfix::Or => pop(&mut stack) | pop(&mut stack),
        };
        stack.push(answer);
    }
    pop(&mut stack)
}

fn pop(stack: &mut Vec<bool>) -> bool {
    stack.pop().expect("the parser puts every operator behind its operands")
}

fn is_true(test: &Test, item: &Item) -> bool {
    match test {
        Test::Compare(left, comparator, right) => compare(value(left, item), *comparator, value(right, item)),
        Test::Between(operand, low, high) => {
            let Some(between) = value(operand, item) else { return false };
            let at_least = value(low, item).and_then(|low| order(&low, &between)).is_some_and(Ordering::is_le);
            at_least && value(high, item).and_then(|high| order(&between, &high)).is_some_and(Ordering::is_le)
        }
        Test::In(operand, list) => {
            let Some(wanted) = value(operand, item) else { return false };
            list.iter().any(|other| value(other, item).is_some_and(|other| other == wanted))
        }
        Test::OneOf(path, values) => path.find(item).is_some_and(|wanted| {
            let has_order = values.first().is_some_and(|first| order(first, wanted).is_some());
            has_order && values.binary_search_by(|value| order(value, wanted).unwrap_or(Ordering::Equal)).is_ok()
        }),
        Test::Exists(path) => path.find(item).is_some(),
        Test::NotExists(path) => path.find(item).is_none(),
        Test::HasType(path, name) => path.find(item).is_some_and(|value| value.type_name() == name),
        Test::BeginsWith(operand, prefix) => match (value(operand, item).as_deref(), value(prefix, item).as_deref()) {
            (Some(Value::String(text)), Some(Value::String(prefix))) => text.starts_with(prefix),
            (Some(Value::Binary(bytes)), Some(Value::Binary(prefix))) => bytes.starts_with(prefix),
            _ => false,
        },
        Test::Contains(operand, part) => match (value(operand, item), value(part, item)) {
            (Some(whole), Some(part)) => contains(&whole, &part),
            _ => false,
        },
    }
}

fn value<'v>(operand: &'v Operand, item: &'v Item) -> Option<Cow<'v, Value>> {
    match operand {
        Operand::Path(path) => path.find(item).map(Cow::Borrowed),
        Operand::Size(path) => path.find(item).and_then(size).map(|size| Cow::Owned(Value::Number(size))),
        Operand::Value(value) => Some(Cow::Borrowed(value)),
    }
}

fn compare(left: Option<Cow<'_, Value>>, comparator: Comparator, right: Option<Cow<'_, Value>>) -> bool {
    let (Some(left), Some(right)) = (left, right) else { return comparator == Comparator::NotEqual };
    match comparator {
        Comparator::Equal => left == right,
        Comparator::NotEqual => left != right,
        Comparator::Less => order(&left, &right).is_some_and(Ordering::is_lt),
        Comparator::LessOrEqual => order(&left, &right).is_some_and(Ordering::is_le),
        Comparator::Greater => order(&left, &right).is_some_and(Ordering::is_gt),
        Comparator::GreaterOrEqual => order(&left, &right).is_some_and(Ordering::is_ge),
    }
}

/// The order of two values of one type, if that type has one: numbers by value, texts and binaries by bytes.
pub(super) fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::String(left), Value::String(right)) => Some(left.as_bytes().cmp(right.as_bytes())),
        (Value::Number(left), Value::Number(right)) => Some(left.cmp(right)),
        (Value::Binary(left), Value::Binary(right)) => Some(left.cmp(right)),
        _ => None,
    }
}

fn contains(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::String(text), Value::String(part)) => text.contains(part.as_str()),
        (Value::Binary(bytes), Value::Binary(part)) => {
            // In time that grows with the lengths, not with their product: planning waits for it.
            memchr::memmem::find(bytes, part).is_some()
        }
        (Value::StringSet(texts), Value::String(text)) => texts.contains(text),
        (Value::NumberSet(numbers), Value::Number(number)) => numbers.contains(number),
        (Value::BinarySet(blobs), Value::Binary(bytes)) => blobs.contains(bytes),
        (Value::List(values), part) => values.contains(part),
        _ => false,
    }
}
