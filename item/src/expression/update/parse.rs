//! The shape of an update expression, names and values still as written.
//!
//! ```text
//!   update  := section { section }                    each section once, in any order
//!   section := SET path = value { , path = value }
//!            | REMOVE path { , path }
//!            | ADD path :value { , path :value }
//!            | DELETE path :value { , path :value }
//!   value   := operand | operand + operand | operand - operand | ( value )
//!   operand, path: as in conditions
//! ```

use crate::expression::{
    ExpressionError,
    lex::{Kind, Tokens},
    parse::{self, Element, Operand, Parser, path},
};

/// Calls inside calls.
const CALL_DEPTH_MAX: usize = 64;

/// One section, as written.
pub(super) struct Section<'a> {
    /// Its keyword.
    pub(super) keyword: &'static str,
    pub(super) actions: Vec<Action<'a>>,
}

/// A path, and what happens to it, as written.
pub(super) struct Action<'a> {
    pub(super) path: Vec<Element<'a>>,
    pub(super) change: Change<'a>,
}

pub(super) enum Change<'a> {
    Set(Value<'a>),
    Remove,
    Add(&'a str),
    Delete(&'a str),
}

/// What a path is set to, as written.
pub(super) enum Value<'a> {
    Operand(Operand<'a>),
    Sum(Operand<'a>, Operand<'a>),
    Difference(Operand<'a>, Operand<'a>),
}

/// Parses a whole update. A section may still be there twice.
pub(super) fn update<'a>(mut tokens: Tokens<'a>) -> Result<Vec<Section<'a>>, ExpressionError> {
    let mut parser = Parser::new(CALL_DEPTH_MAX);
    let mut sections = Vec::new();
    loop {
        let next = tokens.peek();
        let keywords = tokens.expression.keywords();
        let Some(keyword) = keywords.iter().copied().find(|keyword| next.is_keyword(keyword)) else {
            return Err(tokens.unexpected());
        };
        tokens.take();
        let mut actions = vec![action(keyword, &mut parser, &mut tokens)?];
        while tokens.accept(",") {
            actions.push(action(keyword, &mut parser, &mut tokens)?);
        }
        sections.push(Section { keyword, actions });
        if tokens.peek().kind == Kind::End {
            break;
        }
    }
    parse::finish(&tokens, &parser)?;
    Ok(sections)
}

fn action<'a>(keyword: &str, parser: &mut Parser, tokens: &mut Tokens<'a>) -> Result<Action<'a>, ExpressionError> {
    let path = path(tokens)?;
    let change = match keyword {
        "SET" => {
            tokens.expect("=")?;
            Change::Set(value(parser, tokens)?)
        }
        "REMOVE" => Change::Remove,
        "ADD" => Change::Add(token(tokens)?),
        _ => Change::Delete(token(tokens)?),
    };
    Ok(Action { path, change })
}

fn token<'a>(tokens: &mut Tokens<'a>) -> Result<&'a str, ExpressionError> {
    if tokens.peek().kind == Kind::Value { Ok(tokens.take().text) } else { Err(tokens.unexpected()) }
}

fn value<'a>(parser: &mut Parser, tokens: &mut Tokens<'a>) -> Result<Value<'a>, ExpressionError> {
    let is_operator = |token: &crate::expression::lex::Token<'_>| token.is("+") || token.is("-");
    let mut open = 0_usize;
    // A `(` that is closed before an operator holds only its left operand.
    while tokens.peek().is("(") && !tokens.after_closing().as_ref().is_some_and(is_operator) {
        tokens.take();
        open += 1;
    }
    let left = parser.operand(tokens, 0)?;
    let value = if tokens.accept("+") {
        parser.operators += 1;
        Value::Sum(left, parser.operand(tokens, 0)?)
    } else if tokens.accept("-") {
        parser.operators += 1;
        Value::Difference(left, parser.operand(tokens, 0)?)
    } else {
        Value::Operand(left)
    };
    for _ in 0..open {
        tokens.expect(")")?;
    }
    Ok(value)
}
