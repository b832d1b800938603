//! Conditions given by attribute, from before there were expressions: an operator and its arguments for each attribute.
//!
//! They become the tests, key terms and projections that expressions are parsed into, so they mean the same:
//!
//! | operator | as an expression |
//! |---|---|
//! | `EQ` `NE` `LT` `LE` `GT` `GE` | `a = :v` `a <> :v` `a < :v` `a <= :v` `a > :v` `a >= :v` |
//! | `BETWEEN`, `IN` | `a BETWEEN :v AND :w`, `a IN (:v, ...)`, of any number |
//! | `NOT_NULL`, `NULL` | `attribute_exists(a)`, `attribute_not_exists(a)`: the type NULL is not meant |
//! | `CONTAINS`, `NOT_CONTAINS` | `contains(a, :v)`, `NOT contains(a, :v)`: true where there is no `a` |
//! | `BEGINS_WITH` | `begins_with(a, :v)` |

use std::{cmp::Ordering, collections::BTreeMap, sync::Arc};

use super::{
    ExpressionError, Path,
    evaluate::order,
    parse::{Comparator, Postfix},
    resolve::{Operand, Test},
};
use crate::Value;

/// Most attributes that may have conditions. Each is evaluated for every item of a page; DynamoDB's own bound is not public.
const CONDITIONS_MAX: usize = 1000;

/// How an attribute is compared with the arguments of its condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ComparisonOperator {
    /// `EQ`
    Equal,
    /// `NE`
    NotEqual,
    /// `LT`
    Less,
    /// `LE`
    LessOrEqual,
    /// `GT`
    Greater,
    /// `GE`
    GreaterOrEqual,
    /// `BETWEEN`
    Between,
    /// `IN`
    In,
    /// `NOT_NULL`
    Exists,
    /// `NULL`
    NotExists,
    /// `CONTAINS`
    Contains,
    /// `NOT_CONTAINS`
    NotContains,
    /// `BEGINS_WITH`
    BeginsWith,
}

impl ComparisonOperator {
    /// Each with its name on the wire, in the order in which refusals list them.
    const NAMES: [(&str, ComparisonOperator); 13] = [
        ("IN", ComparisonOperator::In),
        ("NULL", ComparisonOperator::NotExists),
        ("BETWEEN", ComparisonOperator::Between),
        ("LT", ComparisonOperator::Less),
        ("NOT_CONTAINS", ComparisonOperator::NotContains),
        ("EQ", ComparisonOperator::Equal),
        ("GT", ComparisonOperator::Greater),
        ("NOT_NULL", ComparisonOperator::Exists),
        ("NE", ComparisonOperator::NotEqual),
        ("LE", ComparisonOperator::LessOrEqual),
        ("BEGINS_WITH", ComparisonOperator::BeginsWith),
        ("GE", ComparisonOperator::GreaterOrEqual),
        ("CONTAINS", ComparisonOperator::Contains),
    ];

    /// All names on the wire.
    pub fn names() -> [&'static str; 13] {
        ComparisonOperator::NAMES.map(|(name, _)| name)
    }

    /// The one that is called so on the wire.
    pub fn of_name(name: &str) -> Option<ComparisonOperator> {
        ComparisonOperator::NAMES.iter().find(|(known, _)| *known == name).map(|(_, operator)| *operator)
    }

    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        let named = ComparisonOperator::NAMES.iter().find(|(_, operator)| *operator == self);
        named.map(|(name, _)| *name).expect("every operator has a name")
    }

    fn takes_count(self, count: usize) -> bool {
        match self {
            ComparisonOperator::Exists | ComparisonOperator::NotExists => count == 0,
            ComparisonOperator::Between => count == 2,
            ComparisonOperator::In => count > 0,
            _ => count == 1,
        }
    }

    /// Equality is there for all types, order for those that have one.
    fn takes_type(self, value: &Value) -> bool {
        let is_text = matches!(value, Value::String(_) | Value::Binary(_));
        match self {
            ComparisonOperator::Equal | ComparisonOperator::NotEqual => true,
            ComparisonOperator::Contains | ComparisonOperator::NotContains => {
                is_text || matches!(value, Value::Number(_) | Value::Bool(_) | Value::Null)
            }
            ComparisonOperator::BeginsWith => is_text,
            _ => is_text || matches!(value, Value::Number(_)),
        }
    }
}

/// An operator with arguments that it takes.
#[derive(Clone, Debug, PartialEq)]
pub struct AttributeCondition {
    operator: ComparisonOperator,
    arguments: Vec<Value>,
}

impl AttributeCondition {
    /// Refuses arguments that are too many, too few, or of a type that the operator does not take.
    pub fn new(operator: ComparisonOperator, arguments: Vec<Value>) -> Result<AttributeCondition, ExpressionError> {
        let refuse =
            |fault: String| Err(ExpressionError(format!("One or more parameter values were invalid: {fault}")));
        let name = operator.name();
        if !operator.takes_count(arguments.len()) {
            return refuse(format!("Invalid number of argument(s) for the {name} ComparisonOperator"));
        }
        if arguments.windows(2).any(|pair| pair[0].type_name() != pair[1].type_name()) {
            return refuse("AttributeValues inside AttributeValueList must be of same type".to_owned());
        }
        if let Some(argument) = arguments.iter().find(|argument| !operator.takes_type(argument)) {
            let type_name = argument.type_name();
            return refuse(format!("ComparisonOperator {name} is not valid for {type_name} AttributeValue type"));
        }
        match (operator, arguments.as_slice()) {
            (ComparisonOperator::Between, [low, high]) if order(low, high).is_some_and(|order| order.is_gt()) => {
                Err(ExpressionError(
                    "The BETWEEN condition was provided a range where the lower bound is greater than the upper bound"
                        .to_owned(),
                ))
            }
            _ => Ok(AttributeCondition { operator, arguments }),
        }
    }

    /// What `EQ` says of one value.
    pub fn equal(value: Value) -> AttributeCondition {
        AttributeCondition { operator: ComparisonOperator::Equal, arguments: vec![value] }
    }

    /// What `NULL` says.
    pub fn not_exists() -> AttributeCondition {
        AttributeCondition { operator: ComparisonOperator::NotExists, arguments: Vec::new() }
    }

    /// The operator and the arguments, as many as it takes.
    pub(super) fn into_parts(self) -> (ComparisonOperator, Vec<Value>) {
        (self.operator, self.arguments)
    }

    /// Puts the test of `attribute` behind `steps`, in postfix order.
    fn put(self, attribute: String, steps: &mut Vec<Postfix<Test>>) {
        let path = Path::new(attribute, Vec::new());
        let mut arguments = self.arguments;
        if self.operator == ComparisonOperator::In {
            arguments.sort_unstable_by(|one, other| order(one, other).unwrap_or(Ordering::Equal));
            return steps.push(Postfix::Test(Test::OneOf(path, arguments)));
        }
        let mut arguments = arguments.into_iter().map(|value| Operand::Value(Arc::new(value)));
        let mut next = || arguments.next().expect("arguments were counted");
        let operand = Operand::Path(path.clone());
        steps.push(Postfix::Test(match self.operator {
            ComparisonOperator::Exists => Test::Exists(path),
            ComparisonOperator::NotExists => Test::NotExists(path),
            ComparisonOperator::NotEqual => Test::Compare(operand, Comparator::NotEqual, next()),
            ComparisonOperator::Less => Test::Compare(operand, Comparator::Less, next()),
            ComparisonOperator::LessOrEqual => Test::Compare(operand, Comparator::LessOrEqual, next()),
            ComparisonOperator::Greater => Test::Compare(operand, Comparator::Greater, next()),
            ComparisonOperator::GreaterOrEqual => Test::Compare(operand, Comparator::GreaterOrEqual, next()),
            ComparisonOperator::Between => Test::Between(operand, next(), next()),
            ComparisonOperator::Contains | ComparisonOperator::NotContains => Test::Contains(operand, next()),
            ComparisonOperator::BeginsWith => Test::BeginsWith(operand, next()),
            ComparisonOperator::Equal | ComparisonOperator::In => Test::Compare(operand, Comparator::Equal, next()),
        }));
        if self.operator == ComparisonOperator::NotContains {
            steps.push(Postfix::Not);
        }
    }
}

/// Conditions of which all must hold, or one if `any`, in postfix order; nothing if there are none.
pub(super) fn steps(
    conditions: BTreeMap<String, AttributeCondition>,
    any: bool,
) -> Result<Vec<Postfix<Test>>, ExpressionError> {
    if conditions.len() > CONDITIONS_MAX {
        return Err(ExpressionError(format!(
            "One or more parameter values were invalid: Too many conditions; condition count: {}",
            conditions.len()
        )));
    }
    let mut steps = Vec::new();
    for (attribute, condition) in conditions {
        let is_first = steps.is_empty();
        condition.put(attribute, &mut steps);
        if !is_first {
            steps.push(if any { Postfix::Or } else { Postfix::And });
        }
    }
    Ok(steps)
}
