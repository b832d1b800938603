//! What a SET puts at a path.
//!
//! ```text
//!   assignment := path = amount | path = SET_ADD ( path , value ) | path = SET_DELETE ( path , value )
//!   amount     := term { + term | - term }
//!   term       := value | path | LIST_APPEND ( amount , amount ) | ( amount )
//! ```

use std::sync::Arc;

use item::{
    Value,
    expression::{Change, Path, Term},
};

use super::Parser;
use crate::partiql::{StatementError, lexer::Kind};

/// Sums, calls and parentheses within each other.
const DEPTH_MAX: usize = 32;

impl Parser<'_> {
    /// A path, and what becomes of the value there.
    pub(super) fn assignment(&mut self) -> Result<(Path, Change), StatementError> {
        let path = self.path()?;
        self.expect("=")?;
        for (function, change) in [("SET_ADD", Change::Add as fn(Arc<Value>) -> Change), ("SET_DELETE", Change::Delete)]
        {
            if self.accept_call(function) {
                let set = self.set_operand(function, &path)?;
                return Ok((path, change(Arc::new(set))));
            }
        }
        let amount = self.amount(DEPTH_MAX)?;
        Ok((path, Change::Set(amount)))
    }

    /// The path and the set of a function that changes the set at `path`, and the `)`.
    fn set_operand(&mut self, function: &str, path: &Path) -> Result<Value, StatementError> {
        let changed = self.path()?;
        self.expect(",")?;
        let set = self.value()?;
        self.expect(")")?;
        if changed != *path {
            return Err(StatementError::Refused(format!(
                "The first operand of the function must be the path that is set; function: {function}"
            )));
        }
        match set {
            Value::StringSet(_) | Value::NumberSet(_) | Value::BinarySet(_) => Ok(set),
            other => Err(StatementError::Refused(format!(
                "Incorrect operand type for operator or function; operator or function: {function}, operand type: {}",
                other.type_name()
            ))),
        }
    }

    fn amount(&mut self, depth: usize) -> Result<Term, StatementError> {
        let mut depth = depth.checked_sub(1).ok_or_else(too_deep)?;
        let mut amount = self.term(depth)?;
        loop {
            let make = if self.tokens.accept("+") {
                Term::Sum
            } else if self.tokens.accept("-") {
                Term::Difference
            } else {
                return Ok(amount);
            };
            // Each makes what is left of it one deeper.
            depth = depth.checked_sub(1).ok_or_else(too_deep)?;
            amount = make(Box::new(amount), Box::new(self.term(depth)?));
        }
    }

    fn term(&mut self, depth: usize) -> Result<Term, StatementError> {
        if self.accept_call("LIST_APPEND") {
            let first = self.amount(depth)?;
            self.expect(",")?;
            let second = self.amount(depth)?;
            self.expect(")")?;
            return Ok(Term::ListAppend(Box::new(first), Box::new(second)));
        }
        let next = self.tokens.peek();
        if next.kind == Kind::Word && self.tokens.look(1).is("(") {
            return Err(StatementError::Refused(format!("Invalid function name; function: {}", next.text)));
        }
        if self.is_value() {
            return Ok(Term::Value(Arc::new(self.value()?)));
        }
        if self.tokens.accept("(") {
            let amount = self.amount(depth)?;
            return self.expect(")").map(|()| amount);
        }
        self.path().map(Term::Path)
    }

    /// Takes the name of `function`, in whatever case, and its `(`.
    pub(super) fn accept_call(&mut self, function: &str) -> bool {
        let is = self.tokens.peek().is_keyword(function) && self.tokens.look(1).is("(");
        if is {
            self.tokens.take();
            self.tokens.take();
        }
        is
    }
}

fn too_deep() -> StatementError {
    StatementError::Malformed("Expression is nested too deeply")
}
