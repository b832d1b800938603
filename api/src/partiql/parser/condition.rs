//! What a WHERE asks for. As with expressions, an explicit stack holds the operators that wait for their right side, so
//! parsing does not recurse with the nesting of parentheses.
//!
//! ```text
//!   condition := test | NOT condition | condition AND condition | condition OR condition | ( condition )
//!   test      := operand comparator operand | operand [ NOT ] BETWEEN operand AND operand
//!              | operand [ NOT ] IN [ operand { , operand } ] | operand [ NOT ] IN ( operand { , operand } )
//!              | operand [ NOT ] IN ? | path IS [ NOT ] MISSING | path IS [ NOT ] NULL
//!              | BEGINS_WITH ( operand , operand ) | CONTAINS ( operand , operand ) | ATTRIBUTE_TYPE ( path , value )
//!   operand   := path | value | SIZE ( path ) | ( operand )
//! ```

use std::sync::Arc;

use item::{
    Value,
    expression::{Comparator, Condition, Operand, Path, Test},
};

use super::Parser;
use crate::partiql::{
    StatementError,
    lexer::{Kind, Token},
};

/// What waits for its right side, or for its `)`. The greater binds tighter.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Pending {
    Group,
    Or,
    And,
    Not,
}

/// Conditions that AND joins: at least one.
type Joined = Vec<Condition>;

impl Parser<'_> {
    /// The conditions that AND joins at the top.
    pub(super) fn conditions(&mut self) -> Result<Joined, StatementError> {
        let mut output: Vec<Joined> = Vec::new();
        let mut pending: Vec<Pending> = Vec::new();
        let mut groups = 0_usize;
        loop {
            // Before a test: any number of NOT and `(`.
            if self.tokens.accept_keyword("NOT") {
                pending.push(Pending::Not);
                continue;
            }
            if self.tokens.peek().is("(") && !self.opens_operand() {
                self.tokens.take();
                pending.push(Pending::Group);
                groups += 1;
                continue;
            }
            output.push(vec![self.test()?]);
            // After a test: any number of `)`, then AND, OR or the end.
            while groups > 0 && self.tokens.accept(")") {
                reduce(&mut pending, &mut output, Pending::Group);
                pending.pop();
                groups -= 1;
            }
            let operator = if self.tokens.accept_keyword("AND") {
                Pending::And
            } else if self.tokens.accept_keyword("OR") {
                Pending::Or
            } else {
                break;
            };
            reduce(&mut pending, &mut output, operator);
            pending.push(operator);
        }
        if groups > 0 {
            return Err(self.unexpected());
        }
        reduce(&mut pending, &mut output, Pending::Group);
        Ok(output.pop().unwrap_or_default())
    }

    /// Does the next `(` hold an operand, not a condition? What follows its `)` tells.
    fn opens_operand(&self) -> bool {
        self.tokens.after_closing().is_some_and(|(after, then)| {
            let is_set_test = |token: &Token<'_>| token.is_keyword("BETWEEN") || token.is_keyword("IN");
            comparator(&after).is_some()
                || is_set_test(&after)
                || after.is_keyword("IS")
                || (after.is_keyword("NOT") && is_set_test(&then))
        })
    }

    fn test(&mut self) -> Result<Condition, StatementError> {
        if self.accept_call("BEGINS_WITH") {
            let (text, prefix) = self.pair()?;
            return Ok(Test::BeginsWith(text, prefix).into());
        }
        if self.accept_call("CONTAINS") {
            let (whole, part) = self.pair()?;
            return Ok(Test::Contains(whole, part).into());
        }
        if self.accept_call("ATTRIBUTE_TYPE") {
            return self.has_type();
        }
        let left = self.operand()?;
        if let Some(comparator) = comparator(&self.tokens.peek()) {
            self.tokens.take();
            return Ok(Test::Compare(left, comparator, self.operand()?).into());
        }
        if self.tokens.accept_keyword("IS") {
            return self.kind_test(left);
        }
        let negated = self.tokens.accept_keyword("NOT");
        let test = if self.tokens.accept_keyword("BETWEEN") {
            let low = self.operand()?;
            self.expect_keyword("AND")?;
            Test::Between(left, low, self.operand()?)
        } else if self.tokens.accept_keyword("IN") {
            Test::In(left, self.alternatives()?)
        } else {
            return Err(self.unexpected());
        };
        Ok(if negated { !Condition::from(test) } else { test.into() })
    }

    /// What follows `path IS`.
    fn kind_test(&mut self, left: Operand) -> Result<Condition, StatementError> {
        let negated = self.tokens.accept_keyword("NOT");
        let path = as_path("IS", left)?;
        let test = if self.tokens.accept_keyword("MISSING") {
            if negated {
                return Ok(Test::Exists(path).into());
            }
            Test::NotExists(path)
        } else {
            self.expect_keyword("NULL")?;
            Test::HasType(path, Value::Null.type_name().to_owned())
        };
        Ok(if negated { !Condition::from(test) } else { test.into() })
    }

    /// What follows `ATTRIBUTE_TYPE (`.
    fn has_type(&mut self) -> Result<Condition, StatementError> {
        let (path, name) = self.pair()?;
        let path = as_path("attribute_type", path)?;
        match name {
            Operand::Value(value) if matches!(*value, Value::String(_)) => match Arc::unwrap_or_clone(value) {
                Value::String(name) => Ok(Test::HasType(path, name).into()),
                other => Err(wrong_type("attribute_type", other.type_name())),
            },
            Operand::Value(value) => Err(wrong_type("attribute_type", value.type_name())),
            Operand::Path(_) | Operand::Size(_) => Err(wrong_type("attribute_type", "{B,NULL,SS,BOOL,L,BS,N,NS,S,M}")),
        }
    }

    /// Two operands and the `)` behind them.
    fn pair(&mut self) -> Result<(Operand, Operand), StatementError> {
        let first = self.operand()?;
        self.expect(",")?;
        let second = self.operand()?;
        self.expect(")")?;
        Ok((first, second))
    }

    /// What follows `IN`.
    fn alternatives(&mut self) -> Result<Vec<Operand>, StatementError> {
        let closing = if self.tokens.accept("[") {
            "]"
        } else if self.tokens.accept("(") {
            ")"
        } else if self.tokens.peek().kind == Kind::Parameter {
            return match self.value()? {
                Value::List(values) => Ok(values.into_iter().map(|value| Operand::Value(Arc::new(value))).collect()),
                other => Err(wrong_type("IN", other.type_name())),
            };
        } else {
            return Err(self.unexpected());
        };
        let alternatives = self.list(Self::operand)?;
        self.expect(closing)?;
        Ok(alternatives)
    }

    /// An operand, inside any number of parentheses.
    fn operand(&mut self) -> Result<Operand, StatementError> {
        let mut open = 0_usize;
        while self.tokens.accept("(") {
            open += 1;
        }
        let next = self.tokens.peek();
        let operand = if self.accept_call("SIZE") {
            let path = self.path()?;
            self.expect(")")?;
            Operand::Size(path)
        } else if next.kind == Kind::Word && self.tokens.look(1).is("(") {
            return Err(match next.is_keyword("EXISTS") {
                true => StatementError::refused("EXISTS can only be a statement of its own, in a transaction"),
                false => StatementError::Refused(format!("Invalid function name; function: {}", next.text)),
            });
        } else if self.is_value() {
            Operand::Value(Arc::new(self.value()?))
        } else {
            Operand::Path(self.path()?)
        };
        for _ in 0..open {
            self.expect(")")?;
        }
        Ok(operand)
    }
}

/// Moves to `output` whatever is pending since the last group and binds at least as tightly as `operator`.
fn reduce(pending: &mut Vec<Pending>, output: &mut Vec<Joined>, operator: Pending) {
    while let Some(top) = pending.last().copied()
        && top != Pending::Group
        && top >= operator
    {
        pending.pop();
        let right = output.pop().unwrap_or_default();
        let joined = match top {
            Pending::Not => all(right).map(|condition| !condition).into_iter().collect(),
            Pending::And => {
                let mut left = output.pop().unwrap_or_default();
                left.extend(right);
                left
            }
            Pending::Or | Pending::Group => {
                let left = output.pop().unwrap_or_default();
                all(left).into_iter().chain(all(right)).reduce(Condition::or).into_iter().collect()
            }
        };
        output.push(joined);
    }
}

/// All of them as one condition; none if there are none.
fn all(joined: Joined) -> Option<Condition> {
    joined.into_iter().reduce(Condition::and)
}

fn comparator(token: &Token<'_>) -> Option<Comparator> {
    match token.text {
        _ if token.kind != Kind::Symbol => None,
        "!=" => Some(Comparator::NotEqual),
        symbol => Comparator::from_symbol(symbol),
    }
}

fn as_path(function: &str, operand: Operand) -> Result<Path, StatementError> {
    match operand {
        Operand::Path(path) => Ok(path),
        Operand::Size(_) | Operand::Value(_) => Err(StatementError::Refused(format!(
            "Operator or function requires a document path; operator or function: {function}"
        ))),
    }
}

fn wrong_type(function: &str, type_name: &str) -> StatementError {
    StatementError::Refused(format!(
        "Incorrect operand type for operator or function; operator or function: {function}, operand type: {type_name}"
    ))
}
