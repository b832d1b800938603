//! Update expressions: what changes in an item.

mod apply;
mod parse;
mod resolve;

use std::collections::{BTreeMap, BTreeSet};

use super::{ExpressionError, Kind, Path, Projection, Substitutions, lex::Tokens};
use crate::{Item, ItemError, KeyError, NumberError, Table, Value};

use resolve::Action;
pub use resolve::{Change, Term};

/// A parsed update expression, its substitutions resolved. The default one changes nothing.
///
/// ```
/// use item::{Item, Number, Value, expression::{Substitutions, Update}};
///
/// let values = [(":one".to_owned(), Number::from(1_u64).into())].into();
/// let mut substitutions = Substitutions::new(None, Some(values))?;
/// let count = Update::parse("ADD seen :one REMOVE missed", &mut substitutions)?;
/// substitutions.finish()?;
///
/// let item = Item::from([("seen", Value::from(Number::from(41_u64))), ("missed", Value::from(true))]);
/// assert_eq!(count.apply(item)?, Item::from([("seen", Number::from(42_u64).into())]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Update {
    /// Sorted by path; no path is inside another.
    actions: Vec<Action>,
    size: usize,
    /// Was it given by attribute, not as an expression?
    by_attribute: bool,
}

/// What happens to one attribute in a request from before there were expressions.
#[derive(Clone, Debug, PartialEq)]
pub enum AttributeUpdate {
    /// It gets this value.
    Put(Value),
    /// A number to add, or elements for a set or a list.
    Add(Value),
    /// These elements leave the set; without a value, the attribute goes.
    Delete(Option<Value>),
}

/// Why an update cannot be made of an item. Texts are DynamoDB's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpdateError {
    /// A stored value, or what a function gives, has not the type that an operator or function takes.
    #[error("An operand in the update expression has an incorrect data type")]
    WrongType,
    /// The same of an update that was given by attribute.
    #[error("Type mismatch for attribute to update")]
    Mismatch,
    /// A path that is read leads to nothing.
    #[error("The provided expression refers to an attribute that does not exist in the item")]
    NoAttribute,
    /// A path that is changed goes through something that is not there, or is no map or list as it should be.
    #[error("The document path provided in the update expression is invalid for update")]
    NoPath,
    /// A sum or difference that is no number of ours.
    #[error(transparent)]
    Number(#[from] NumberError),
    /// A key attribute would be changed.
    #[error("Cannot update attribute {name}. This attribute is part of the key")]
    Key {
        /// Its name.
        name: String,
    },
    /// The new item may not be stored.
    #[error(transparent)]
    Unfit(ItemError),
}

impl Update {
    /// Parses an UpdateExpression.
    pub fn parse(text: &str, substitutions: &mut Substitutions) -> Result<Update, ExpressionError> {
        let written = parse::update(Tokens::cut(Kind::Update, text)?)?;
        let (mut actions, size) = resolve::update(written, substitutions)?;
        actions.sort_unstable_by(|one, other| one.path.cmp(&other.path));
        Ok(Update { actions, size, by_attribute: false })
    }

    /// An update given by attribute (`AttributeUpdates`).
    pub fn of_attributes(updates: BTreeMap<String, AttributeUpdate>) -> Result<Update, ExpressionError> {
        let mut update = Update { by_attribute: true, ..Update::default() };
        for (name, wanted) in updates {
            update.size += match &wanted {
                AttributeUpdate::Put(value) | AttributeUpdate::Add(value) => value.size(),
                AttributeUpdate::Delete(value) => value.as_ref().map_or(0, Value::size),
            };
            let path = Path::new(name, Vec::new());
            let change = resolve::attribute(&path, wanted)?;
            update.actions.push(Action { path, change });
        }
        Ok(update)
    }

    /// An update that was never expression text: what happens at each path.
    pub fn of_changes(changes: Vec<(Path, Change)>) -> Result<Update, ExpressionError> {
        let mut actions: Vec<Action> = changes.into_iter().map(|(path, change)| Action { path, change }).collect();
        let size = resolve::check(&actions)?;
        actions.sort_unstable_by(|one, other| one.path.cmp(&other.path));
        Ok(Update { actions, size, by_attribute: false })
    }

    /// What it makes of `item`, which the caller must still check: it may have become too large.
    pub fn apply(&self, item: Item) -> Result<Item, UpdateError> {
        apply::apply(&self.actions, item).map_err(|error| match error {
            UpdateError::WrongType if self.by_attribute => UpdateError::Mismatch,
            other => other,
        })
    }

    /// Does it make an item where there is none? One that only takes away does not; one that does nothing at all does.
    pub fn makes_item(&self) -> bool {
        let gives = |action: &Action| matches!(action.change, Change::Set(_) | Change::Add(_));
        self.actions.is_empty() || self.actions.iter().any(gives)
    }

    /// Refuses to change the key of `table`.
    pub fn check_key(&self, table: &Table) -> Result<(), UpdateError> {
        let is_changed = |name: &&String| self.actions.iter().any(|action| action.path.attribute() == *name);
        let mut keys = table.partition_attributes().chain(table.sort_attributes()).map(|key| &key.name);
        keys.find(is_changed).map_or(Ok(()), |name| Err(UpdateError::Key { name: name.clone() }))
    }

    /// Refuses to give an attribute another type than it has in the key of an index of `table`: what is given is known
    /// without an item.
    pub fn check_index_keys(&self, table: &Table) -> Result<(), ItemError> {
        for (index, key) in table.user_indexes().flat_map(|index| index.key_attributes().map(move |key| (index, key))) {
            if let Some(value) = self.given(&key.name).filter(|value| value.type_name() != key.key_type.name()) {
                let (name, actual) = (key.name.clone(), value.type_name());
                let error = KeyError::WrongType { name, expected: key.key_type, actual };
                return Err(ItemError::IndexKey { index: index.name.clone(), error });
            }
        }
        Ok(())
    }

    /// The value that the top-level attribute is given as it stands.
    fn given(&self, attribute: &str) -> Option<&Value> {
        let path = Path::new(attribute.to_owned(), Vec::new());
        match &self.actions.iter().find(|action| action.path == path)?.change {
            Change::Set(Term::Value(value)) | Change::Add(value) => Some(value),
            _ => None,
        }
    }

    /// The parts of `item`, as it was, that it sets or removes.
    pub fn touched(&self, item: &Item) -> Item {
        Projection::of(self.actions.iter().map(|action| action.path.clone()).collect()).apply(item)
    }

    /// The parts of `item`, as it is now, that it has set: where something was removed from a list is now something else.
    pub fn made(&self, item: &Item) -> Item {
        let made = self.actions.iter().filter(|action| !matches!(action.change, Change::Remove));
        let paths: Vec<Path> = made.map(|action| action.path.clone()).collect();
        if paths.is_empty() { Item::default() } else { Projection::of(paths).apply(item) }
    }

    /// The top-level attributes into which it looks (`a.b`, `a[0]`).
    pub fn nested_attributes(&self) -> BTreeSet<&str> {
        let mut paths = Vec::new();
        for action in &self.actions {
            paths.push(&action.path);
            if let Change::Set(term) = &action.change {
                term.paths(&mut paths);
            }
        }
        paths.into_iter().filter(|path| !path.steps().is_empty()).map(Path::attribute).collect()
    }

    /// The size of the values that it was given, in bytes as DynamoDB counts them.
    pub fn size(&self) -> usize {
        self.size
    }
}

impl Term {
    fn paths<'t>(&'t self, paths: &mut Vec<&'t Path>) {
        match self {
            Term::Path(path) => paths.push(path),
            Term::Value(_) => {}
            Term::IfNotExists(path, otherwise) => {
                paths.push(path);
                otherwise.paths(paths);
            }
            Term::ListAppend(first, second) | Term::Sum(first, second) | Term::Difference(first, second) => {
                first.paths(paths);
                second.paths(paths);
            }
        }
    }
}
