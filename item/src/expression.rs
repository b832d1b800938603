//! DynamoDB expressions: condition, filter, projection and key condition; parsed once, evaluated without allocation of
//! the item. Recursion is bounded while parsing.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::{Item, Table, Value};

/// Why an expression is refused; the text is what DynamoDB would say after `Invalid <Kind>Expression: `.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ExpressionError(pub String);

/// The substitutions of one request, and which of them its expressions used.
#[derive(Debug, Default)]
pub struct Substitutions {
    /// `#name` to attribute name.
    pub names: BTreeMap<String, String>,
    /// `:value` to value.
    pub values: BTreeMap<String, Value>,
    /// Tokens that some expression used.
    pub used: std::collections::BTreeSet<String>,
}

/// A parsed condition or filter expression, its substitutions resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {}

impl Condition {
    /// Parses a ConditionExpression or FilterExpression.
    pub fn parse(text: &str, substitutions: &mut Substitutions) -> Result<Condition, ExpressionError> {
        let _ = (text, substitutions);
        todo!()
    }

    /// Does `item` satisfy it? An absent item is an empty one.
    pub fn matches(&self, item: &Item) -> bool {
        let _ = item;
        todo!()
    }
}

/// A parsed projection expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Projection {}

impl Projection {
    /// Parses a ProjectionExpression.
    pub fn parse(text: &str, substitutions: &mut Substitutions) -> Result<Projection, ExpressionError> {
        let _ = (text, substitutions);
        todo!()
    }

    /// The projected part of `item`.
    pub fn apply(&self, item: &Item) -> Item {
        let _ = item;
        todo!()
    }
}

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
    pub fn parse(text: &str, table: &Table, substitutions: &mut Substitutions) -> Result<KeyCondition, ExpressionError> {
        let _ = (text, table, substitutions);
        todo!()
    }
}
