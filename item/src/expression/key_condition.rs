//! Key conditions: which partition a query looks at, and which range of it.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;

use super::{
    AttributeCondition, ComparisonOperator, ExpressionError, Kind, Path, Substitutions,
    lex::Tokens,
    parse::{self, Comparator, Operand as Written, Postfix, Test as WrittenTest},
    resolve::{self, Operand, Test},
};
use crate::{
    FurtherKeys, KeyAttribute, KeyError, Table, Value,
    key::{PARTITION_BYTES_MAX, SORT_BYTES_MAX, after_prefix, encode_attributes, encode_sort, encode_sort_prefix},
};

/// A parsed key condition: one partition, and a range of encoded sort keys `[from, until)`.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyCondition {
    /// Encoded partition key.
    pub partition: Bytes,
    /// Least encoded sort key (inclusive); empty means from the first.
    pub from: Bytes,
    /// First encoded sort key that is past the range; none means to the end.
    pub until: Option<Bytes>,
}

impl KeyCondition {
    /// Parses a KeyConditionExpression against the table's key.
    pub fn parse(
        text: &str,
        table: &Table,
        substitutions: &mut Substitutions,
    ) -> Result<KeyCondition, ExpressionError> {
        KeyTerms::parse(text, substitutions)?.bind(table)
    }
}

/// A key condition before it is known which table it is for: what a request can be refused for without its table.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyTerms {
    /// At least one, by attribute, unless there is a fault.
    terms: BTreeMap<String, Term>,
    /// Why this can be no key condition.
    fault: Option<ExpressionError>,
}

/// What is asked of one key attribute.
#[derive(Clone, Debug, PartialEq)]
enum Term {
    Compare(Comparator, Value),
    Between(Value, Value),
    BeginsWith(Value),
    /// What no key condition can ask.
    NotIndexable,
}

impl KeyTerms {
    /// Parses a KeyConditionExpression.
    pub fn parse(text: &str, substitutions: &mut Substitutions) -> Result<KeyTerms, ExpressionError> {
        let kind = Kind::KeyCondition;
        let written = parse::condition(Tokens::cut(kind, text)?)?;
        let operators = written.iter().rev().find_map(|step| match step {
            Postfix::Not => Some("NOT"),
            Postfix::Or => Some("OR"),
            Postfix::And | Postfix::Test(_) => None,
        });
        let faults: Vec<Option<ExpressionError>> = written
            .iter()
            .filter_map(|step| if let Postfix::Test(test) = step { Some(written_fault(test)) } else { None })
            .collect();
        // Faults that any expression can have come before those that only a key condition has.
        let resolved = resolve::condition(kind, written, substitutions)?;
        let terms = match operators {
            Some(operator) => Err(unsupported(operator)),
            None => KeyTerms::of_written(resolved, faults),
        };
        Ok(terms.unwrap_or_else(|fault| KeyTerms { terms: BTreeMap::new(), fault: Some(fault) }))
    }

    fn of_written(
        resolved: Vec<Postfix<Test>>,
        faults: Vec<Option<ExpressionError>>,
    ) -> Result<KeyTerms, ExpressionError> {
        let tests = resolved.into_iter().filter_map(|s| if let Postfix::Test(test) = s { Some(test) } else { None });
        let mut terms = BTreeMap::new();
        for (test, fault) in tests.zip(faults) {
            if let Some(fault) = fault {
                return Err(fault);
            }
            let (path, term) = term(test)?;
            if terms.insert(path.attribute().to_owned(), term).is_some() {
                return Err(refuse("KeyConditionExpressions must only contain one condition per key"));
            }
        }
        KeyTerms::counted(terms)
    }

    /// Terms that were never expression text: one test of each key attribute.
    pub fn of_tests(tests: impl IntoIterator<Item = Test>) -> Result<KeyTerms, ExpressionError> {
        let terms = tests.into_iter().map(|test| term(test).map(|(path, term)| (path.attribute().to_owned(), term)));
        KeyTerms::counted(terms.collect::<Result<_, _>>()?)
    }

    /// Terms given by attribute (`KeyConditions`).
    pub fn of_attributes(conditions: BTreeMap<String, AttributeCondition>) -> Result<KeyTerms, ExpressionError> {
        KeyTerms::counted(conditions.into_iter().map(|(name, condition)| (name, Term::of(condition))).collect())
    }

    fn counted(terms: BTreeMap<String, Term>) -> Result<KeyTerms, ExpressionError> {
        if terms.is_empty() || terms.len() > 2 * FurtherKeys::ATTRIBUTES_MAX {
            return Err(too_many());
        }
        Ok(KeyTerms { terms, fault: None })
    }

    /// Refuses what a key condition may not have. A request's other expressions are looked at before that.
    pub fn check(&self) -> Result<(), ExpressionError> {
        self.fault.clone().map_or(Ok(()), Err)
    }

    /// Applies the terms to the key of `table`: each attribute of the partition key must equal something, and of those of
    /// the sort key any number from the left on; the last one asked for may be a range.
    pub fn bind(mut self, table: &Table) -> Result<KeyCondition, ExpressionError> {
        self.check()?;
        let unsupported = || refuse("Query key condition not supported");
        let partition_keys: Vec<&KeyAttribute> = table.partition_attributes().collect();
        let sort_keys: Vec<&KeyAttribute> = table.sort_attributes().collect();
        if self.terms.len() > 2 && table.further_keys.is_empty() {
            return Err(too_many());
        }
        if self.terms.len() > partition_keys.len() + sort_keys.len() {
            return Err(unsupported());
        }
        let missed = |name: &str| refuse(&format!("Query condition missed key schema element: {name}"));
        let mut take = |key: &KeyAttribute| self.terms.remove(&key.name).ok_or_else(|| missed(&key.name));
        let partition = partition_keys.iter().map(|key| take(key)).collect::<Result<Vec<Term>, _>>()?;
        let mut sort = Vec::new();
        for key in sort_keys {
            if self.terms.is_empty() {
                break;
            }
            sort.push((key, self.terms.remove(&key.name).ok_or_else(|| missed(&key.name))?));
        }
        // What is left is no key attribute.
        if !self.terms.is_empty() {
            return Err(unsupported());
        }
        let of_partition = partition_keys.iter().copied().zip(&partition);
        let mut all = of_partition.clone().chain(sort.iter().map(|(key, term)| (*key, term)));
        if all.clone().any(|(_, term)| *term == Term::NotIndexable) {
            return Err(refuse("Attempted conditional constraint is not an indexable operation"));
        }
        if !all.all(|(key, term)| term.values().all(|value| has_type(value, key))) {
            return Err(refuse(
                "One or more parameter values were invalid: Condition parameter type does not match schema type",
            ));
        }
        let range = sort.pop();
        let equal = of_partition.chain(sort.iter().map(|(key, term)| (*key, term)));
        let values: Option<BTreeMap<&str, &Value>> =
            equal.map(|(key, term)| Some((key.name.as_str(), term.equal()?))).collect();
        let values = values.ok_or_else(unsupported)?;
        let value = |name: &str| values.get(name).copied();
        let partition = encode_attributes(partition_keys.into_iter(), value, PARTITION_BYTES_MAX);
        let partition = partition.map_err(|error| key_error(&error, true))?.into();
        let before = encode_attributes(sort.iter().map(|(key, _)| *key), value, SORT_BYTES_MAX);
        let before = before.map_err(|error| key_error(&error, false))?;
        let (from, until) = match &range {
            Some((key, term)) => term.range(key).map_err(|error| key_error(&error, false))?,
            None => (Bytes::new(), None),
        };
        if before.is_empty() {
            return Ok(KeyCondition { partition, from, until });
        }
        let behind = |bound: &[u8]| Bytes::from([&before, bound].concat());
        let until = until.map(|until| behind(&until)).or_else(|| after_prefix(&before).map(Bytes::from));
        Ok(KeyCondition { partition, from: behind(&from), until })
    }
}

impl Term {
    /// What the attribute must equal, if the term says that.
    fn equal(&self) -> Option<&Value> {
        match self {
            Term::Compare(Comparator::Equal, value) => Some(value),
            _ => None,
        }
    }

    /// What is asked of a key attribute without an expression. Only `BETWEEN` has more than one argument here.
    fn of(condition: AttributeCondition) -> Term {
        let (operator, arguments) = condition.into_parts();
        let mut arguments = arguments.into_iter();
        let (Some(first), second) = (arguments.next(), arguments.next()) else { return Term::NotIndexable };
        match (operator, second) {
            (ComparisonOperator::Equal, _) => Term::Compare(Comparator::Equal, first),
            (ComparisonOperator::Less, _) => Term::Compare(Comparator::Less, first),
            (ComparisonOperator::LessOrEqual, _) => Term::Compare(Comparator::LessOrEqual, first),
            (ComparisonOperator::Greater, _) => Term::Compare(Comparator::Greater, first),
            (ComparisonOperator::GreaterOrEqual, _) => Term::Compare(Comparator::GreaterOrEqual, first),
            (ComparisonOperator::BeginsWith, _) => Term::BeginsWith(first),
            (ComparisonOperator::Between, Some(second)) => Term::Between(first, second),
            _ => Term::NotIndexable,
        }
    }

    fn values(&self) -> impl Iterator<Item = &Value> {
        let (one, other) = match self {
            Term::Compare(_, value) | Term::BeginsWith(value) => (Some(value), None),
            Term::Between(low, high) => (Some(low), Some(high)),
            Term::NotIndexable => (None, None),
        };
        one.into_iter().chain(other)
    }

    /// The encoded sort keys that satisfy it. Encodings are self-delimiting, so the first key past one is the first
    /// byte string that does not begin with it.
    fn range(&self, key: &KeyAttribute) -> Result<(Bytes, Option<Bytes>), KeyError> {
        let after = |encoded: &Bytes| after_prefix(encoded).map(Bytes::from);
        Ok(match self {
            Term::BeginsWith(prefix) => {
                let prefix = encode_sort_prefix(key, prefix)?;
                (prefix.clone(), after(&prefix))
            }
            Term::Between(low, high) => (encode_sort(key, low)?, after(&encode_sort(key, high)?)),
            // Nothing satisfies what cannot be asked; it was refused before.
            Term::NotIndexable => (Bytes::new(), Some(Bytes::new())),
            Term::Compare(comparator, value) => {
                let encoded = encode_sort(key, value)?;
                match comparator {
                    Comparator::Equal | Comparator::NotEqual => (encoded.clone(), after(&encoded)),
                    Comparator::Less => (Bytes::new(), Some(encoded)),
                    Comparator::LessOrEqual => (Bytes::new(), after(&encoded)),
                    Comparator::Greater => match after(&encoded) {
                        Some(from) => (from, None),
                        None => (encoded.clone(), Some(encoded)),
                    },
                    Comparator::GreaterOrEqual => (encoded, None),
                }
            }
        })
    }
}

/// What a key condition may not have, seen from its text alone.
fn written_fault(test: &WrittenTest<'_>) -> Option<ExpressionError> {
    let is_path = |operand: &Written<'_>| matches!(operand, Written::Path(_));
    let first = |operator: &str| {
        refuse(&format!(
            "Invalid condition in KeyConditionExpression: {operator} operator must have the key attribute as its \
             first operand"
        ))
    };
    let operands: Vec<&Written<'_>> = match test {
        WrittenTest::In(..) => return Some(unsupported("IN")),
        WrittenTest::Compare(_, Comparator::NotEqual, _) => return Some(unsupported("<>")),
        WrittenTest::Call(call) if call.function != "begins_with" => return Some(unsupported(call.function)),
        WrittenTest::Call(call) if !call.arguments.first().is_some_and(is_path) => return Some(first("begins_with")),
        WrittenTest::Between(value, ..) if !is_path(value) => return Some(first("BETWEEN")),
        WrittenTest::Compare(left, _, right) => vec![left, right],
        WrittenTest::Between(value, low, high) => vec![value, low, high],
        WrittenTest::Call(call) => call.arguments.iter().collect(),
    };
    let mut seen_path = false;
    for operand in operands {
        match operand {
            Written::Call(_) => return Some(refuse("KeyConditionExpressions cannot contain nested operations")),
            Written::Value(_) => {}
            Written::Path(_) if seen_path => {
                return Some(refuse(
                    "Invalid condition in KeyConditionExpression: Multiple attribute names used in one condition",
                ));
            }
            Written::Path(elements) if elements.len() > 1 => {
                return Some(refuse(
                    "Invalid KeyConditionExpression: KeyConditionExpressions cannot have conditions on nested attributes",
                ));
            }
            Written::Path(_) => seen_path = true,
        }
    }
    (!seen_path).then(no_key)
}

/// The attribute and term of a test in which [`written_fault`] found nothing; the attribute is put left.
fn term(test: Test) -> Result<(Path, Term), ExpressionError> {
    let owned = Arc::unwrap_or_clone;
    match test {
        Test::Compare(Operand::Path(path), comparator, Operand::Value(value)) => {
            Ok((path, Term::Compare(comparator, owned(value))))
        }
        Test::Compare(Operand::Value(value), comparator, Operand::Path(path)) => {
            let turned = match comparator {
                Comparator::Less => Comparator::Greater,
                Comparator::LessOrEqual => Comparator::GreaterOrEqual,
                Comparator::Greater => Comparator::Less,
                Comparator::GreaterOrEqual => Comparator::LessOrEqual,
                Comparator::Equal | Comparator::NotEqual => comparator,
            };
            Ok((path, Term::Compare(turned, owned(value))))
        }
        Test::Between(Operand::Path(path), Operand::Value(low), Operand::Value(high)) => {
            Ok((path, Term::Between(owned(low), owned(high))))
        }
        Test::BeginsWith(Operand::Path(path), Operand::Value(prefix)) => Ok((path, Term::BeginsWith(owned(prefix)))),
        _ => Err(no_key()),
    }
}

fn has_type(value: &Value, key: &KeyAttribute) -> bool {
    value.type_name() == key.key_type.to_string()
}

fn key_error(error: &KeyError, is_partition: bool) -> ExpressionError {
    match error {
        KeyError::Empty { name, key_type } => refuse(&format!(
            "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an \
             empty {} value. Key: {name}",
            key_type.word()
        )),
        KeyError::TooLong { .. } if is_partition => refuse(
            "One or more parameter values were invalid: Size of hashkey has exceeded the maximum size limit of2048 \
             bytes",
        ),
        KeyError::TooLong { .. } => refuse(
            "One or more parameter values were invalid: Aggregated size of all range keys has exceeded the size limit \
             of 1024 bytes",
        ),
        other => refuse(&format!("One or more parameter values were invalid: {other}")),
    }
}

fn too_many() -> ExpressionError {
    refuse("Conditions can be of length 1 or 2 only")
}

fn unsupported(operator: &str) -> ExpressionError {
    refuse(&format!("Invalid operator used in KeyConditionExpression: {operator}"))
}

fn no_key() -> ExpressionError {
    refuse("Invalid condition in KeyConditionExpression: No key attribute specified")
}

/// Most refusals that only key conditions have do not begin with the parameter's name.
fn refuse(message: &str) -> ExpressionError {
    ExpressionError(message.to_owned())
}
