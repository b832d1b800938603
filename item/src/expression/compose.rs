//! Conditions that were never expression text: composed of tests, as a PartiQL statement does.

use super::{Condition, ExpressionError, Kind, Substitutions, Test, parse::Postfix, resolve::Resolver};

impl From<Test> for Condition {
    fn from(test: Test) -> Condition {
        Condition { steps: vec![Postfix::Test(test)] }
    }
}

impl std::ops::Not for Condition {
    type Output = Condition;

    fn not(mut self) -> Condition {
        self.steps.push(Postfix::Not);
        self
    }
}

impl Condition {
    /// Both.
    pub fn and(self, other: Condition) -> Condition {
        self.joined(other, Postfix::And)
    }

    /// Either.
    pub fn or(self, other: Condition) -> Condition {
        self.joined(other, Postfix::Or)
    }

    fn joined(mut self, other: Condition, operator: Postfix<Test>) -> Condition {
        self.steps.extend(other.steps);
        self.steps.push(operator);
        self
    }

    /// The tests of which one must hold; none if it is more than such a choice.
    pub fn alternatives(&self) -> Option<Vec<&Test>> {
        let tests = self.steps.iter().filter(|step| **step != Postfix::Or);
        tests.map(|step| if let Postfix::Test(test) = step { Some(test) } else { None }).collect()
    }

    /// Refuses operands that a test can never be true of, and too many tests. What was parsed was checked then.
    pub fn check(&self) -> Result<(), ExpressionError> {
        let mut none = Substitutions::default();
        let resolver = Resolver::new(Kind::Statement, &mut none);
        for step in &self.steps {
            if let Postfix::Test(test) = step {
                resolver.check(test)?;
            }
        }
        Kind::Statement.check_operators(self.steps.len())
    }
}
