//! DynamoDB expressions: conditions, filters, projections, key conditions and updates.
//!
//! A text passes three rooms: [`lex`] cuts it into tokens, [`parse`] gives it a shape, and [`resolve`] puts names and
//! values in the place of `#name` and `:value` and checks operands. What is left ([`Condition`], [`Projection`],
//! [`KeyCondition`], [`Update`]) is evaluated without looking at text again. Nothing here recurses deeper than functions may be
//! nested, which is bounded: conditions are kept in postfix order, and paths are flat.
//!
//! Requests from before there were expressions give the same by attribute: [`AttributeCondition`], [`AttributeUpdate`].
//! A statement of another language is no expression text: it composes the same of [`Test`]s and [`Change`]s, so that there is
//! one evaluator.
//!
//! Refusals read as DynamoDB's do, because clients match on them. Where its wording is not public the fact is said in the
//! same form.

mod attribute_condition;
mod compose;
mod condition;
mod evaluate;
mod key_condition;
mod lex;
mod parse;
mod path;
mod projection;
mod reserved;
mod resolve;
mod substitutions;
mod update;

#[cfg(test)]
mod tests;

use std::fmt;

pub use attribute_condition::{AttributeCondition, ComparisonOperator};
pub use condition::Condition;
pub use key_condition::{KeyCondition, KeyTerms};
pub use parse::Comparator;
pub use path::{Path, Step};
pub use projection::Projection;
pub use resolve::{Operand, Test};
pub use substitutions::Substitutions;
pub use update::{AttributeUpdate, Change, Term, Update, UpdateError};

/// Longest expression text, in bytes.
pub const EXPRESSION_BYTES_MAX: usize = 4096;
/// Most operators and functions in one expression.
pub const OPERATORS_MAX: usize = 300;
/// Most operands in the list of one `IN`.
pub const IN_OPERANDS_MAX: usize = 100;

/// Which parameter of a request an expression came in; refusals name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Must hold for a write to happen.
    Condition,
    /// Must hold for a found item to be answered.
    Filter,
    /// Which attributes to answer.
    Projection,
    /// Which items a query looks at.
    KeyCondition,
    /// What changes in an item.
    Update,
    /// Part of a statement, so no parameter of its own: composed, not parsed. Refusals name none.
    Statement,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Condition => "ConditionExpression",
            Kind::Filter => "FilterExpression",
            Kind::Projection => "ProjectionExpression",
            Kind::KeyCondition => "KeyConditionExpression",
            Kind::Update => "UpdateExpression",
            Kind::Statement => "Statement",
        })
    }
}

impl Kind {
    /// The refusal of an expression of this kind because of `detail`.
    fn refuse(self, detail: impl fmt::Display) -> ExpressionError {
        ExpressionError(match self {
            Kind::Statement => detail.to_string(),
            _ => format!("Invalid {self}: {detail}"),
        })
    }

    /// Refuses more than [`OPERATORS_MAX`] operators and functions.
    fn check_operators(self, operators: usize) -> Result<(), ExpressionError> {
        if operators > OPERATORS_MAX {
            return Err(
                self.refuse(format_args!("The expression contains too many operators; operator count: {operators}"))
            );
        }
        Ok(())
    }

    /// Words that have a meaning, in whatever case, and so can be no names.
    fn keywords(self) -> &'static [&'static str] {
        match self {
            Kind::Update => &["SET", "REMOVE", "ADD", "DELETE"],
            Kind::Condition | Kind::Filter | Kind::Projection | Kind::KeyCondition | Kind::Statement => {
                &["AND", "OR", "NOT", "BETWEEN", "IN"]
            }
        }
    }

    /// Refuses what is empty or too long before anything looks at it.
    fn check_size(self, text: &str) -> Result<(), ExpressionError> {
        if text.trim().is_empty() {
            return Err(self.refuse("The expression can not be empty;"));
        }
        if text.len() > EXPRESSION_BYTES_MAX {
            return Err(self.refuse(format_args!(
                "Expression size has exceeded the maximum allowed size; expression size: {}",
                text.len()
            )));
        }
        Ok(())
    }
}

/// Why an expression, or the substitutions it uses, is refused: the whole sentence that a client sees.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ExpressionError(pub String);
