//! Random conditions, printed, parsed and evaluated, against a plain recursive model of what they mean.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{item, list, map, number};
use crate::{
    Item, Number, Value,
    expression::{Condition, Kind, Substitutions},
};

/// An operand as the model sees it.
#[derive(Clone, Debug)]
enum Operand {
    Path(&'static str),
    Size(&'static str),
    Value(Value),
}

#[derive(Clone, Debug)]
enum Tree {
    Compare(Operand, &'static str, Operand),
    Between(Operand, Operand, Operand),
    In(Operand, Vec<Operand>),
    Exists(&'static str),
    NotExists(&'static str),
    HasType(&'static str, &'static str),
    BeginsWith(Operand, Operand),
    Contains(Operand, Operand),
    Not(Box<Tree>),
    And(Box<Tree>, Box<Tree>),
    Or(Box<Tree>, Box<Tree>),
}

/// The value at a path such as `a.b[0]`.
fn find(path: &str, item: &Item) -> Option<Value> {
    let (name, rest) = path.split_at(path.find(['.', '[']).unwrap_or(path.len()));
    descend(rest, item.0.get(name)?)
}

fn descend(rest: &str, value: &Value) -> Option<Value> {
    let Some(sigil) = rest.chars().next() else { return Some(value.clone()) };
    let end = rest[1..].find(['.', '[']).map_or(rest.len(), |end| end + 1);
    let step = rest[1..end].trim_end_matches(']');
    match value {
        Value::Map(map) if sigil == '.' => descend(&rest[end..], map.get(step)?),
        Value::List(list) if sigil == '[' => descend(&rest[end..], list.get(step.parse::<usize>().ok()?)?),
        _ => None,
    }
}

fn value(operand: &Operand, item: &Item) -> Option<Value> {
    match operand {
        Operand::Path(path) => find(path, item),
        Operand::Value(value) => Some(value.clone()),
        Operand::Size(path) => {
            let size = match find(path, item)? {
                Value::String(text) => text.len(),
                Value::Binary(bytes) => bytes.len(),
                Value::List(values) => values.len(),
                Value::Map(values) => values.len(),
                Value::StringSet(values) => values.len(),
                Value::NumberSet(values) => values.len(),
                Value::BinarySet(values) => values.len(),
                _ => return None,
            };
            Some(Number::from(size as u64).into())
        }
    }
}

fn is_at_most(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::String(left), Value::String(right)) => left <= right,
        (Value::Number(left), Value::Number(right)) => left <= right,
        (Value::Binary(left), Value::Binary(right)) => left <= right,
        _ => false,
    }
}

fn is_true(tree: &Tree, item: &Item) -> bool {
    match tree {
        Tree::Not(tree) => !is_true(tree, item),
        Tree::And(left, right) => is_true(left, item) && is_true(right, item),
        Tree::Or(left, right) => is_true(left, item) || is_true(right, item),
        Tree::Exists(path) => find(path, item).is_some(),
        Tree::NotExists(path) => find(path, item).is_none(),
        Tree::HasType(path, name) => find(path, item).is_some_and(|value| value.type_name() == *name),
        Tree::Compare(left, comparator, right) => match (value(left, item), value(right, item)) {
            (Some(left), Some(right)) => match *comparator {
                "=" => left == right,
                "<>" => left != right,
                "<=" => is_at_most(&left, &right),
                ">=" => is_at_most(&right, &left),
                "<" => is_at_most(&left, &right) && left != right,
                _ => is_at_most(&right, &left) && left != right,
            },
            _ => *comparator == "<>",
        },
        Tree::Between(between, low, high) => match (value(between, item), value(low, item), value(high, item)) {
            (Some(between), Some(low), Some(high)) => is_at_most(&low, &between) && is_at_most(&between, &high),
            _ => false,
        },
        Tree::In(wanted, list) => {
            let wanted = value(wanted, item);
            wanted.is_some() && list.iter().any(|other| value(other, item) == wanted)
        }
        Tree::BeginsWith(whole, prefix) => match (value(whole, item), value(prefix, item)) {
            (Some(Value::String(whole)), Some(Value::String(prefix))) => whole.starts_with(&prefix),
            (Some(Value::Binary(whole)), Some(Value::Binary(prefix))) => whole.starts_with(&prefix),
            _ => false,
        },
        Tree::Contains(whole, part) => match (value(whole, item), value(part, item)) {
            (Some(Value::String(whole)), Some(Value::String(part))) => whole.contains(&part),
            (Some(Value::List(whole)), Some(part)) => whole.contains(&part),
            (Some(Value::StringSet(whole)), Some(Value::String(part))) => whole.contains(&part),
            (Some(Value::NumberSet(whole)), Some(Value::Number(part))) => whole.contains(&part),
            _ => false,
        },
    }
}

/// Prints trees, giving each value a token of its own.
#[derive(Default)]
struct Printer {
    values: BTreeMap<String, Value>,
}

impl Printer {
    fn operand(&mut self, operand: &Operand) -> String {
        match operand {
            Operand::Path(path) => (*path).to_owned(),
            Operand::Size(path) => format!("size({path})"),
            Operand::Value(value) => self.value(value.clone()),
        }
    }

    fn value(&mut self, value: Value) -> String {
        let token = format!(":v{}", self.values.len());
        self.values.insert(token.clone(), value);
        token
    }

    /// Prints `tree` so that it may stand where an operator of strength `outer` (OR 1, AND 2, NOT 3) wants an operand.
    fn tree(&mut self, tree: &Tree, outer: u8) -> String {
        let (strength, text) = match tree {
            Tree::Or(left, right) => (1, format!("{} or {}", self.tree(left, 1), self.tree(right, 2))),
            Tree::And(left, right) => (2, format!("{} AND {}", self.tree(left, 2), self.tree(right, 3))),
            Tree::Not(tree) => (3, format!("NOT {}", self.tree(tree, 3))),
            Tree::Exists(path) => (4, format!("attribute_exists({path})")),
            Tree::NotExists(path) => (4, format!("attribute_not_exists ( {path} )")),
            Tree::HasType(path, name) => (4, format!("attribute_type({path}, {})", self.value((*name).into()))),
            Tree::Compare(left, comparator, right) => {
                (4, format!("{}{comparator}{}", self.operand(left), self.operand(right)))
            }
            Tree::Between(between, low, high) => {
                (4, format!("{} BETWEEN {} and {}", self.operand(between), self.operand(low), self.operand(high)))
            }
            Tree::In(wanted, list) => {
                let wanted = self.operand(wanted);
                let list: Vec<String> = list.iter().map(|operand| self.operand(operand)).collect();
                (4, format!("{wanted} IN ({})", list.join(",")))
            }
            Tree::BeginsWith(whole, prefix) => {
                (4, format!("begins_with({},{})", self.operand(whole), self.operand(prefix)))
            }
            Tree::Contains(whole, part) => (4, format!("contains({}, {})", self.operand(whole), self.operand(part))),
        };
        if strength < outer { format!("({text})") } else { text }
    }
}

fn left() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "c.x", "c.y[0]"])
}

fn right() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["d", "e", "f[0]", "f[1].x"])
}

/// Values that may be compared by order.
fn scalars() -> impl Strategy<Value = Value> {
    prop_oneof![(0..4i64).prop_map(number), "[xy]{0,2}".prop_map(Value::String)]
}

fn values() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => scalars(),
        1 => Just(Value::Bool(true)),
        1 => prop::collection::btree_set("[xy]{0,2}", 1..3).prop_map(Value::StringSet),
        1 => prop::collection::btree_set((0..4i64).prop_map(Number::from), 1..3).prop_map(Value::NumberSet),
        1 => prop::collection::vec(scalars(), 0..3).prop_map(Value::List),
    ]
}

fn operands() -> impl Strategy<Value = Operand> {
    prop_oneof![right().prop_map(Operand::Path), right().prop_map(Operand::Size), scalars().prop_map(Operand::Value)]
}

fn tests() -> impl Strategy<Value = Tree> {
    let comparators = prop::sample::select(vec!["=", "<>", "<", "<=", ">", ">="]);
    let first = prop_oneof![left().prop_map(Operand::Path), left().prop_map(Operand::Size)];
    let names = prop::sample::select(vec!["S", "N", "BOOL", "SS", "NS", "L", "M"]);
    let paths = || left().prop_map(Operand::Path);
    let texts = || prop_oneof![right().prop_map(Operand::Path), "[xy]{0,2}".prop_map(|t| Operand::Value(t.into()))];
    prop_oneof![
        4 => (first, comparators, operands()).prop_map(|(left, by, right)| Tree::Compare(left, by, right)),
        1 => (paths(), operands(), right().prop_map(Operand::Path)).prop_map(|(a, b, c)| Tree::Between(a, b, c)),
        1 => (paths(), prop::collection::vec(operands(), 1..4)).prop_map(|(a, list)| Tree::In(a, list)),
        1 => left().prop_map(Tree::Exists),
        1 => left().prop_map(Tree::NotExists),
        1 => (left(), names).prop_map(|(path, name)| Tree::HasType(path, name)),
        1 => (paths(), texts()).prop_map(|(whole, prefix)| Tree::BeginsWith(whole, prefix)),
        1 => (paths(), values().prop_map(Operand::Value)).prop_map(|(whole, part)| Tree::Contains(whole, part)),
    ]
}

fn trees() -> impl Strategy<Value = Tree> {
    tests().prop_recursive(6, 24, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|tree| Tree::Not(Box::new(tree))),
            (inner.clone(), inner.clone()).prop_map(|(left, right)| Tree::And(Box::new(left), Box::new(right))),
            (inner.clone(), inner).prop_map(|(left, right)| Tree::Or(Box::new(left), Box::new(right))),
        ]
    })
}

fn items() -> impl Strategy<Value = Item> {
    let names = prop::sample::subsequence(vec!["a", "b", "d", "e"], 0..=4);
    (names, prop::collection::vec(values(), 4), values(), values(), any::<bool>()).prop_map(
        |(names, plain, x, y, nested)| {
            let mut item = item(&names.into_iter().zip(plain).collect::<Vec<_>>());
            if nested {
                item.insert("c", map(&[("x", x.clone()), ("y", list(std::slice::from_ref(&y)))]));
                item.insert("f", list(&[x, map(&[("x", y)])]));
            }
            item
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn a_condition_means_what_the_model_says(tree in trees(), items in prop::collection::vec(items(), 4)) {
        let mut printer = Printer::default();
        let text = printer.tree(&tree, 0);
        let mut substitutions = Substitutions { values: printer.values, ..Substitutions::default() };
        let condition = match Condition::parse(Kind::Filter, &text, &mut substitutions) {
            Err(error) if error.0.contains("too many operators") => return Ok(()),
            parsed => parsed.map_err(|error| TestCaseError::fail(format!("{error}: {text}")))?,
        };
        prop_assert_eq!(substitutions.finish(), Ok(()));
        for item in &items {
            prop_assert_eq!(condition.matches(item), is_true(&tree, item), "{} of {:?}", text, item);
        }
    }
}

#[test]
fn numbers_compare_by_value_and_types_do_not_mix() {
    let whole = item(&[("a", number(10)), ("b", "10".into()), ("c", Value::Null)]);
    for (text, expected) in [
        ("a > :nine", true),
        ("b > :nine", false),
        ("b <> :nine", true),
        ("a = b", false),
        ("a < b OR a > b OR a <= b OR a >= b", false),
        ("a BETWEEN :nine AND :ten", true),
        ("a IN (b, :ten)", true),
        ("c = zz", false),
        ("zz <> zy", true),
        ("zz < :nine OR zz >= :nine", false),
        ("NOT zz = :nine", true),
        ("attribute_exists(c) AND attribute_not_exists(c.x)", true),
    ] {
        let ten = "10.0".parse::<Number>().unwrap().into();
        let mut substitutions = super::substitutions(&[], &[(":nine", number(9)), (":ten", ten)]);
        let condition = Condition::parse(Kind::Filter, text, &mut substitutions).unwrap();
        assert_eq!(condition.matches(&whole), expected, "{text}");
    }
}
