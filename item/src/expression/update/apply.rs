//! What an update makes of an item.
//!
//! First every action's outcome is found, all from the item as it was: so the order of actions does not matter, and indexes of
//! lists mean the old list. Then outcomes are put in place, those inside one list or map together: elements set past a list's
//! end are appended in the order of their indexes, and what is removed from a list is removed at last.

use std::{borrow::Cow, collections::BTreeMap};

use super::{
    UpdateError,
    resolve::{Action, Change, Term},
};
use crate::{
    Item, ItemError, Value,
    expression::{Path, Step},
};

/// What becomes of the value at a path.
struct Edit<'a> {
    path: &'a Path,
    outcome: Outcome,
}

enum Outcome {
    Set(Value),
    Remove,
    /// Nothing, but the path must lead to a place that could hold a value.
    Keep,
}

/// Applies `actions`, which are sorted by path.
pub(super) fn apply(actions: &[Action], mut item: Item) -> Result<Item, UpdateError> {
    let mut room = Room::default();
    let mut edits = actions
        .iter()
        .map(|action| Ok(Edit { path: &action.path, outcome: outcome(action, &item, &mut room)? }))
        .collect::<Result<Vec<_>, UpdateError>>()?;
    for group in edits.chunk_by_mut(|one, other| one.path.attribute() == other.path.attribute()) {
        put(&mut item.0, group[0].path.attribute(), group, 0)?;
    }
    Ok(item)
}

/// Bytes that may still be copied into the new item. Whatever is copied ends up in it, so one that needs more than this is too
/// large, and is not made at all: twice the limit, because sizes of parts do not add up exactly.
struct Room {
    bytes: usize,
}

impl Default for Room {
    fn default() -> Room {
        Room { bytes: 2 * Item::SIZE_MAX }
    }
}

impl Room {
    fn take(&mut self, value: &Value) -> Result<(), UpdateError> {
        let bytes = value.size();
        let over = ItemError::TooLarge { bytes: 2 * Item::SIZE_MAX - self.bytes + bytes, bytes_max: Item::SIZE_MAX };
        self.bytes = self.bytes.checked_sub(bytes).ok_or(UpdateError::Unfit(over))?;
        Ok(())
    }
}

fn outcome(action: &Action, item: &Item, room: &mut Room) -> Result<Outcome, UpdateError> {
    Ok(match &action.change {
        Change::Set(term) => {
            let value = evaluate(term, item, room)?;
            if matches!(value, Cow::Borrowed(_)) {
                room.take(&value)?;
            }
            Outcome::Set(value.into_owned())
        }
        Change::Remove => Outcome::Remove,
        Change::Add(value) => {
            room.take(value)?;
            Outcome::Set(match action.path.find(item) {
                Some(old) => add(old, value)?,
                None => Value::clone(value),
            })
        }
        Change::Delete(value) => match action.path.find(item) {
            Some(old) => take_away(old, value)?,
            None => Outcome::Keep,
        },
    })
}

fn evaluate<'v>(term: &'v Term, item: &'v Item, room: &mut Room) -> Result<Cow<'v, Value>, UpdateError> {
    Ok(match term {
        Term::Path(path) => Cow::Borrowed(path.find(item).ok_or(UpdateError::NoAttribute)?),
        Term::Value(value) => Cow::Borrowed(value.as_ref()),
        Term::IfNotExists(path, otherwise) => match path.find(item) {
            Some(value) => Cow::Borrowed(value),
            None => evaluate(otherwise, item, room)?,
        },
        Term::ListAppend(first, second) => {
            let mut list = list(evaluate(first, item, room)?, room)?;
            list.extend(self::list(evaluate(second, item, room)?, room)?);
            Cow::Owned(Value::List(list))
        }
        Term::Sum(left, right) | Term::Difference(left, right) => {
            let (left, right) = (evaluate(left, item, room)?, evaluate(right, item, room)?);
            let (Value::Number(left), Value::Number(right)) = (&*left, &*right) else {
                return Err(UpdateError::WrongType);
            };
            let is_sum = matches!(term, Term::Sum(..));
            let number = if is_sum { left.checked_add(*right) } else { left.checked_sub(*right) };
            Cow::Owned(Value::Number(number?))
        }
    })
}

fn list(value: Cow<'_, Value>, room: &mut Room) -> Result<Vec<Value>, UpdateError> {
    match value {
        Cow::Owned(Value::List(list)) => Ok(list),
        Cow::Borrowed(value @ Value::List(list)) => {
            room.take(value)?;
            Ok(list.clone())
        }
        _ => Err(UpdateError::WrongType),
    }
}

fn add(old: &Value, value: &Value) -> Result<Value, UpdateError> {
    Ok(match (old, value) {
        (Value::Number(old), Value::Number(number)) => Value::Number(old.checked_add(*number)?),
        (Value::StringSet(old), Value::StringSet(more)) => Value::StringSet(old | more),
        (Value::NumberSet(old), Value::NumberSet(more)) => Value::NumberSet(old | more),
        (Value::BinarySet(old), Value::BinarySet(more)) => Value::BinarySet(old | more),
        _ => return Err(UpdateError::WrongType),
    })
}

/// A set of which nothing is left is removed: sets are never empty.
fn take_away(old: &Value, value: &Value) -> Result<Outcome, UpdateError> {
    let (left, is_empty) = match (old, value) {
        (Value::StringSet(old), Value::StringSet(less)) => {
            let left = old - less;
            let is_empty = left.is_empty();
            (Value::StringSet(left), is_empty)
        }
        (Value::NumberSet(old), Value::NumberSet(less)) => {
            let left = old - less;
            let is_empty = left.is_empty();
            (Value::NumberSet(left), is_empty)
        }
        (Value::BinarySet(old), Value::BinarySet(less)) => {
            let left = old - less;
            let is_empty = left.is_empty();
            (Value::BinarySet(left), is_empty)
        }
        _ => return Err(UpdateError::WrongType),
    };
    Ok(if is_empty { Outcome::Remove } else { Outcome::Set(left) })
}

/// Puts edits in place that all go through `name` of `map`; `depth` of their steps lie behind.
fn put(map: &mut BTreeMap<String, Value>, name: &str, edits: &mut [Edit<'_>], depth: usize) -> Result<(), UpdateError> {
    // No path is inside another, so one that ends here is alone.
    let Some(outcome) = ending(edits, depth) else {
        return descend(map.get_mut(name).ok_or(UpdateError::NoPath)?, edits, depth);
    };
    match outcome {
        Outcome::Set(value) => _ = map.insert(name.to_owned(), value),
        Outcome::Remove => _ = map.remove(name),
        Outcome::Keep => {}
    }
    Ok(())
}

/// The outcome of the edit whose path ends after `depth` steps.
fn ending(edits: &mut [Edit<'_>], depth: usize) -> Option<Outcome> {
    match edits {
        [edit] if edit.path.steps().len() == depth => Some(std::mem::replace(&mut edit.outcome, Outcome::Keep)),
        _ => None,
    }
}

/// Puts edits in place inside `value`. Goes as deep as the value does.
fn descend(value: &mut Value, edits: &mut [Edit<'_>], depth: usize) -> Result<(), UpdateError> {
    let groups = edits.chunk_by_mut(|one, other| one.path.steps()[depth] == other.path.steps()[depth]);
    match value {
        Value::Map(map) => {
            for group in groups {
                let Step::Name(name) = &group[0].path.steps()[depth] else { return Err(UpdateError::NoPath) };
                put(map, name, group, depth + 1)?;
            }
        }
        Value::List(list) => {
            let length = list.len();
            let mut removed = Vec::new();
            for group in groups {
                let Step::Index(index) = group[0].path.steps()[depth] else { return Err(UpdateError::NoPath) };
                let index = index as usize;
                match ending(group, depth + 1) {
                    Some(Outcome::Set(value)) if index < length => list[index] = value,
                    Some(Outcome::Set(value)) => list.push(value),
                    Some(Outcome::Remove) if index < length => removed.push(index),
                    Some(Outcome::Remove | Outcome::Keep) => {}
                    None if index < length => descend(&mut list[index], group, depth + 1)?,
                    None => return Err(UpdateError::NoPath),
                }
            }
            if !removed.is_empty() {
                let mut index = 0;
                list.retain(|_| {
                    let is_removed = removed.binary_search(&index).is_ok();
                    index += 1;
                    !is_removed
                });
            }
        }
        _ => return Err(UpdateError::NoPath),
    }
    Ok(())
}
