//! Which part of a WHERE is the key: what a read has to look at, and which item a write is of.

use item::{
    Item, KeyAttribute, Table, Value,
    expression::{Comparator, Condition, KeyTerms, Operand, Path, Test},
};

use super::StatementError;

/// Partitions that one SELECT may name.
pub(crate) const PARTITIONS_MAX: usize = 50;

/// What a SELECT has to look at, in the schema of a table or of an index's entries.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plan {
    /// One key condition for each partition that is named by equality, `IN` or a choice of these; none if every partition
    /// has to be looked at.
    pub(crate) partitions: Option<Vec<KeyTerms>>,
    /// What else must hold.
    pub(crate) filter: Option<Condition>,
}

impl Plan {
    /// Splits the `conditions` that AND joins at the top.
    pub(crate) fn of(schema: &Table, mut conditions: Vec<Condition>) -> Result<Plan, StatementError> {
        let key = schema.partition_key.name.as_str();
        let named = conditions.iter().enumerate().find_map(|(at, one)| Some((at, partitions(one, key)?)));
        // Keys of several attributes are looked for by a scan.
        let named = named.filter(|_| schema.further_keys.is_empty());
        let Some((at, values)) = named else {
            return Ok(Plan { partitions: None, filter: conditions.into_iter().reduce(Condition::and) });
        };
        conditions.remove(at);
        if values.len() > PARTITIONS_MAX {
            return Err(StatementError::Refused(format!(
                "The IN operator is provided with too many partition key values; at most: {PARTITIONS_MAX}"
            )));
        }
        let sort = schema.sort_key.as_ref().and_then(|key| take_sort_test(&mut conditions, key));
        let terms = |value| {
            let path = Path::new(key.to_owned(), Vec::new());
            let equal = Test::Compare(Operand::Path(path), Comparator::Equal, Operand::Value(value));
            KeyTerms::of_tests([equal].into_iter().chain(sort.clone()))
        };
        let partitions = values.into_iter().map(terms).collect::<Result<_, _>>()?;
        Ok(Plan { partitions: Some(partitions), filter: conditions.into_iter().reduce(Condition::and) })
    }
}

/// The key that `conditions` name by equality of all its attributes, and what else must hold; none if they do not.
pub(crate) fn item_key(table: &Table, mut conditions: Vec<Condition>) -> Option<(Item, Option<Condition>)> {
    let mut key = Item::default();
    for attribute in table.key_attributes() {
        let (at, value) = conditions.iter().enumerate().find_map(|(at, one)| match one.alternatives()?.as_slice() {
            [test] => Some((at, equal_value(test, &attribute.name)?)),
            _ => None,
        })?;
        conditions.remove(at);
        key.insert(attribute.name.clone(), Value::clone(&value));
    }
    Some((key, conditions.into_iter().reduce(Condition::and)))
}

/// The distinct values of `key` of which one must hold, if `condition` says nothing else.
fn partitions(condition: &Condition, key: &str) -> Option<Vec<SharedValue>> {
    let mut values: Vec<SharedValue> = Vec::new();
    for test in condition.alternatives()? {
        let named = match test {
            Test::In(Operand::Path(path), list) if is_attribute(path, key) => {
                list.iter().map(as_value).collect::<Option<Vec<_>>>()?
            }
            other => vec![equal_value(other, key)?],
        };
        for value in named {
            // One too many is enough to be refused.
            if values.len() <= PARTITIONS_MAX && !values.contains(&value) {
                values.push(value);
            }
        }
    }
    Some(values).filter(|values| !values.is_empty())
}

type SharedValue = std::sync::Arc<Value>;

/// The value to which the test asks the attribute to be equal.
fn equal_value(test: &Test, attribute: &str) -> Option<SharedValue> {
    match test {
        Test::Compare(Operand::Path(path), Comparator::Equal, Operand::Value(value))
        | Test::Compare(Operand::Value(value), Comparator::Equal, Operand::Path(path))
            if is_attribute(path, attribute) =>
        {
            Some(value.clone())
        }
        _ => None,
    }
}

/// Takes the first condition that is a range of the sort key.
fn take_sort_test(conditions: &mut Vec<Condition>, key: &KeyAttribute) -> Option<Test> {
    let (at, test) = conditions.iter().enumerate().find_map(|(at, one)| match one.alternatives()?.as_slice() {
        [test] if is_range(test, &key.name) => Some((at, Test::clone(test))),
        _ => None,
    })?;
    conditions.remove(at);
    Some(test)
}

fn is_range(test: &Test, key: &str) -> bool {
    let is_value = |operand: &Operand| matches!(operand, Operand::Value(_));
    let is_key = |operand: &Operand| matches!(operand, Operand::Path(path) if is_attribute(path, key));
    match test {
        Test::Compare(_, Comparator::NotEqual, _) => false,
        Test::Compare(left, _, right) => (is_key(left) && is_value(right)) || (is_value(left) && is_key(right)),
        Test::Between(value, low, high) => is_key(value) && is_value(low) && is_value(high),
        Test::BeginsWith(text, prefix) => is_key(text) && is_value(prefix),
        _ => false,
    }
}

fn is_attribute(path: &Path, name: &str) -> bool {
    path.attribute() == name && path.steps().is_empty()
}

fn as_value(operand: &Operand) -> Option<SharedValue> {
    match operand {
        Operand::Value(value) => Some(value.clone()),
        Operand::Path(_) | Operand::Size(_) => None,
    }
}
