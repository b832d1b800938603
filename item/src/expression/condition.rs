//! Condition and filter expressions.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    AttributeCondition, ExpressionError, Kind, Path, Substitutions, attribute_condition, evaluate,
    lex::Tokens,
    parse::{self, Postfix},
    resolve::{self, Operand, Test},
};
use crate::Item;

/// A parsed condition or filter expression, its substitutions resolved.
///
/// ```
/// use item::{Item, Number, expression::{Condition, Kind, Substitutions}};
///
/// let values = [(":limit".to_owned(), Number::from(30_u64).into())].into();
/// let mut substitutions = Substitutions::new(None, Some(values))?;
/// let hot = Condition::parse(Kind::Filter, "temperature > :limit", &mut substitutions)?;
/// substitutions.finish()?;
///
/// assert!(hot.matches(&Item([("temperature".to_owned(), Number::from(31_u64).into())].into())));
/// assert!(!hot.matches(&Item::default()));
/// # Ok::<(), item::expression::ExpressionError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    pub(super) steps: Vec<Postfix<Test>>,
}

impl Condition {
    /// Parses a [`Kind::Condition`] or [`Kind::Filter`].
    pub fn parse(kind: Kind, text: &str, substitutions: &mut Substitutions) -> Result<Condition, ExpressionError> {
        let written = parse::condition(Tokens::cut(kind, text)?)?;
        Ok(Condition { steps: resolve::condition(kind, written, substitutions)? })
    }

    /// A condition given by attribute: each must hold, or one of them if `any`. None if there is none.
    pub fn of_attributes(
        conditions: BTreeMap<String, AttributeCondition>,
        any: bool,
    ) -> Result<Option<Condition>, ExpressionError> {
        let steps = attribute_condition::steps(conditions, any)?;
        Ok((!steps.is_empty()).then_some(Condition { steps }))
    }

    /// Does `item` satisfy it? An absent item is an empty one.
    pub fn matches(&self, item: &Item) -> bool {
        evaluate::matches(&self.steps, item)
    }

    /// The top-level attributes that it mentions.
    pub fn attributes(&self) -> BTreeSet<&str> {
        self.paths().map(Path::attribute).collect()
    }

    /// The top-level attributes into which it looks (`a.b`, `a[0]`).
    pub fn nested_attributes(&self) -> BTreeSet<&str> {
        self.paths().filter(|path| !path.steps().is_empty()).map(Path::attribute).collect()
    }

    fn paths(&self) -> impl Iterator<Item = &Path> {
        self.steps.iter().flat_map(|step| match step {
            Postfix::Test(test) => paths(test),
            Postfix::Not | Postfix::And | Postfix::Or => Vec::new(),
        })
    }
}

fn paths(test: &Test) -> Vec<&Path> {
    let operands = match test {
        Test::Exists(path) | Test::NotExists(path) | Test::HasType(path, _) | Test::OneOf(path, _) => {
            return vec![path];
        }
        Test::Compare(left, _, right) => vec![left, right],
        Test::BeginsWith(left, right) | Test::Contains(left, right) => vec![left, right],
        Test::Between(value, low, high) => vec![value, low, high],
        Test::In(value, list) => [value].into_iter().chain(list).collect(),
    };
    let path = |operand| match operand {
        &Operand::Path(ref path) | &Operand::Size(ref path) => Some(path),
        Operand::Value(_) => None,
    };
    operands.into_iter().filter_map(path).collect()
}
