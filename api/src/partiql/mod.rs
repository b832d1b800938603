//! PartiQL as DynamoDB speaks it: from the text of a statement to what it asks for.
//!
//! A text passes two rooms: [`lexer`] cuts it into tokens, [`parser`] makes a [`Statement`] of them, with parameters in the
//! place of `?`. What a statement asks for is composed of the same conditions, updates and projections as expressions are
//! ([`item::expression`]), so there is one evaluator. Against a table's schema, [`plan`] then finds which part of a WHERE is
//! the key. Nothing here knows of requests or of the store.
//!
//! Conditions are kept flat and values nest no deeper than DynamoDB's own may, so no text makes parsing recurse deeply.

mod keywords;
mod lexer;
mod parser;
mod plan;
mod statement;

#[cfg(test)]
mod tests;

pub(crate) use parser::parse;
pub(crate) use plan::{Plan, item_key};
pub(crate) use statement::{Delete, Insert, Order, Returning, Select, Source, Statement, Update};

use item::expression::ExpressionError;

/// Longest statement, in characters.
pub(crate) const STATEMENT_LENGTH_MAX: usize = 8192;

/// Why a statement is refused: the whole sentence that a client sees.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StatementError {
    /// It is no statement.
    #[error("Statement wasn't well formed, can't be processed: {0}")]
    Malformed(&'static str),
    /// It asks for what cannot be.
    #[error("{0}")]
    Refused(String),
}

impl StatementError {
    fn refused(text: impl Into<String>) -> StatementError {
        StatementError::Refused(text.into())
    }
}

impl From<ExpressionError> for StatementError {
    fn from(ExpressionError(text): ExpressionError) -> StatementError {
        StatementError::Refused(text)
    }
}
