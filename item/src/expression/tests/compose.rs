//! What is composed, not parsed: it means the same as the expression text would, and is checked as that is.

use std::sync::Arc;

use super::{item, list, map, number};
use crate::{
    Item, Value,
    expression::{Change, Comparator, Condition, ExpressionError, Operand, Path, Projection, Step, Term, Test, Update},
};

fn path(attribute: &str, steps: &[Step]) -> Path {
    Path::new(attribute.to_owned(), steps.to_vec())
}

fn compare(attribute: &str, comparator: Comparator, value: Value) -> Test {
    Test::Compare(Operand::Path(path(attribute, &[])), comparator, Operand::Value(Arc::new(value)))
}

fn is(attribute: &str, value: i64) -> Condition {
    compare(attribute, Comparator::Equal, number(value)).into()
}

#[test]
fn conditions_compose_as_their_operators_say() {
    let condition = is("a", 1).or(is("b", 1)).and(!is("c", 1));
    for (a, b, c) in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 0), (0, 0, 1), (1, 0, 1), (0, 1, 1), (1, 1, 1)] {
        let item = item(&[("a", number(a)), ("b", number(b)), ("c", number(c))]);
        assert_eq!(condition.matches(&item), (a == 1 || b == 1) && c != 1, "{a} {b} {c}");
    }
    assert_eq!(is("a", 1).alternatives().map(|tests| tests.len()), Some(1));
    assert_eq!(is("a", 1).or(is("b", 2)).or(is("c", 3)).alternatives().map(|tests| tests.len()), Some(3));
    assert_eq!((!is("a", 1)).alternatives(), None);
    assert_eq!(condition.alternatives(), None);
}

#[test]
fn composed_conditions_are_checked_and_no_parameter_is_named() {
    let refusal = |condition: Condition| condition.check().unwrap_err().0;
    assert_eq!(
        refusal(compare("a", Comparator::LessOrEqual, true.into()).into()),
        "Incorrect operand type for operator or function; operator or function: <=, operand type: BOOL"
    );
    assert!(refusal(Test::HasType(path("a", &[]), "STRING".to_owned()).into()).starts_with("Invalid attribute type"));
    let many = (0..200).map(|at| is("a", at)).reduce(Condition::or).unwrap();
    assert!(refusal(many).contains("too many operators"));
    assert_eq!((0..100).map(|at| is("a", at)).reduce(Condition::or).unwrap().check(), Ok(()));
}

#[test]
fn columns_are_named_by_the_end_of_their_path() {
    let (name, index) = (|name: &str| Step::Name(name.to_owned()), Step::Index);
    let inner = map(&[("b", list(&[number(7), map(&[("c", number(8))])]))]);
    let whole = item(&[("a", inner.clone()), ("d", number(9))]);
    let columns = Projection::of_columns(vec![
        path("d", &[]),
        path("a", &[name("b"), index(0)]),
        path("a", &[name("b"), index(1), name("c")]),
        path("a", &[]),
        path("a", &[name("nothing")]),
    ]);
    let shown = item(&[("d", number(9)), ("b[0]", number(7)), ("c", number(8)), ("a", inner)]);
    assert_eq!(columns.apply(&whole), shown);
    assert_eq!(Vec::from_iter(columns.nested_attributes()), ["a"]);
}

#[test]
fn changes_make_the_update_that_they_say() {
    let value = |value: Value| Term::Value(Arc::new(value));
    let sum = Term::Sum(Box::new(Term::Path(path("n", &[]))), Box::new(value(number(2))));
    let update = Update::of_changes(vec![
        (path("n", &[]), Change::Set(sum)),
        (path("gone", &[]), Change::Remove),
        (path("tags", &[]), Change::Add(Arc::new(Value::StringSet(["x".to_owned()].into())))),
    ])
    .unwrap();
    let old = item(&[("n", number(1)), ("gone", true.into())]);
    let new: Item = item(&[("n", number(3)), ("tags", Value::StringSet(["x".to_owned()].into()))]);
    assert_eq!(update.apply(old), Ok(new));

    let refusal = |changes| Update::of_changes(changes).unwrap_err();
    let wrong = Term::Difference(Box::new(value("a".into())), Box::new(value(number(1))));
    assert_eq!(
        refusal(vec![(path("n", &[]), Change::Set(wrong))]),
        ExpressionError(
            "Incorrect operand type for operator or function; operator or function: -, operand type: S".to_owned()
        )
    );
    let twice = vec![(path("n", &[]), Change::Remove), (path("n", &[]), Change::Remove)];
    assert!(refusal(twice).0.starts_with("Two document paths overlap with each other"));
}
