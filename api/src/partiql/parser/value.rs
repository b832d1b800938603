//! Literals, with parameters in them.
//!
//! ```text
//!   value := 'text' | [ + | - ] number | TRUE | FALSE | NULL | ?
//!          | [ [ value { , value } ] ] | { [ 'name' : value { , 'name' : value } ] } | << value { , value } >>
//! ```

use std::collections::{BTreeMap, BTreeSet};

use item::Value;

use super::Parser;
use crate::{
    partiql::{StatementError, lexer::Kind},
    values::Fault,
};

impl Parser<'_> {
    /// A value.
    pub(super) fn value(&mut self) -> Result<Value, StatementError> {
        self.value_within(Value::DEPTH_MAX)
    }

    /// Does a value come next? A word may be the name of an attribute.
    pub(super) fn is_value(&self) -> bool {
        let next = self.tokens.peek();
        match next.kind {
            Kind::Text | Kind::Number | Kind::Parameter => true,
            Kind::Word => ["TRUE", "FALSE", "NULL"].iter().any(|word| next.is_keyword(word)),
            Kind::Symbol => ["+", "-", "[", "{", "<<"].iter().any(|symbol| next.is(symbol)),
            Kind::Quoted | Kind::Unknown | Kind::End => false,
        }
    }

    /// A value in which lists, maps and sets nest no deeper than `levels`.
    fn value_within(&mut self, levels: usize) -> Result<Value, StatementError> {
        if !self.is_value() {
            return Err(self.unexpected());
        }
        let token = self.tokens.take();
        match token.kind {
            Kind::Text => Ok(Value::String(token.unquoted().into_owned())),
            Kind::Number => number("", token.text),
            Kind::Parameter => Ok(self.parameter()),
            Kind::Word if token.is_keyword("NULL") => Ok(Value::Null),
            Kind::Word => Ok(Value::Bool(token.is_keyword("TRUE"))),
            _ => match token.text {
                sign @ ("+" | "-") => match self.tokens.peek().kind {
                    Kind::Number => number(sign, self.tokens.take().text),
                    _ => Err(self.unexpected()),
                },
                opening => {
                    let too_deep = || StatementError::refused("Nesting Levels have exceeded supported limits");
                    let levels = levels.checked_sub(1).ok_or_else(too_deep)?;
                    match opening {
                        "[" => self.elements("]", levels).map(Value::List),
                        "<<" => set(self.elements(">>", levels)?),
                        _ => self.map(levels).map(Value::Map),
                    }
                }
            },
        }
    }

    /// Stands for the next `?`. If none is left that is found when all were counted.
    fn parameter(&mut self) -> Value {
        self.used += 1;
        self.parameters.next().unwrap_or(Value::Null)
    }

    /// Values up to `closing`.
    fn elements(&mut self, closing: &str, levels: usize) -> Result<Vec<Value>, StatementError> {
        let mut elements = Vec::new();
        if self.tokens.accept(closing) {
            return Ok(elements);
        }
        loop {
            elements.push(self.value_within(levels)?);
            if self.tokens.accept(closing) {
                return Ok(elements);
            }
            self.expect(",")?;
        }
    }

    fn map(&mut self, levels: usize) -> Result<BTreeMap<String, Value>, StatementError> {
        let mut map = BTreeMap::new();
        if self.tokens.accept("}") {
            return Ok(map);
        }
        loop {
            if self.tokens.peek().kind != Kind::Text {
                return Err(self.unexpected());
            }
            let name = self.tokens.take().unquoted().into_owned();
            self.expect(":")?;
            let value = self.value_within(levels)?;
            if map.contains_key(&name) {
                return Err(StatementError::Refused(format!("Map contains duplicate key: {name}")));
            }
            map.insert(name, value);
            if self.tokens.accept("}") {
                return Ok(map);
            }
            self.expect(",")?;
        }
    }
}

fn number(sign: &str, digits: &str) -> Result<Value, StatementError> {
    let text = format!("{sign}{digits}");
    // Words would be numbers to some: `1_000`, `1e`.
    if digits.bytes().any(|byte| byte.is_ascii_alphabetic() && !matches!(byte, b'e' | b'E')) {
        return Err(StatementError::Malformed("Invalid number"));
    }
    text.parse().map(Value::Number).map_err(|error| StatementError::Refused(Fault::number(&text, error).0.into_owned()))
}

/// A set of `elements`, which must be distinct and of one type.
fn set(elements: Vec<Value>) -> Result<Value, StatementError> {
    let invalid = |text: &str| StatementError::Refused(format!("One or more parameter values were invalid: {text}"));
    let count = elements.len();
    let mixed = || invalid("the elements of a set must be strings, numbers or binaries, all of one type");
    let (set, distinct) = match elements.first() {
        None => return Err(invalid("An set  may not be empty")),
        Some(Value::String(_)) => {
            let text = |value| if let Value::String(text) = value { Some(text) } else { None };
            let set = elements.into_iter().map(text).collect::<Option<BTreeSet<_>>>().ok_or_else(mixed)?;
            let distinct = set.len();
            (Value::StringSet(set), distinct)
        }
        Some(Value::Number(_)) => {
            let number = |value| if let Value::Number(number) = value { Some(number) } else { None };
            let set = elements.into_iter().map(number).collect::<Option<BTreeSet<_>>>().ok_or_else(mixed)?;
            let distinct = set.len();
            (Value::NumberSet(set), distinct)
        }
        Some(Value::Binary(_)) => {
            let bytes = |value| if let Value::Binary(bytes) = value { Some(bytes) } else { None };
            let set = elements.into_iter().map(bytes).collect::<Option<BTreeSet<_>>>().ok_or_else(mixed)?;
            let distinct = set.len();
            (Value::BinarySet(set), distinct)
        }
        Some(_) => return Err(mixed()),
    };
    if distinct < count { Err(StatementError::refused("Input collection contains duplicates")) } else { Ok(set) }
}
