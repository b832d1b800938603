//! Document paths: which attribute, and which value inside it.

use std::fmt;

use super::{ExpressionError, Kind};
use crate::{Item, Value};

/// One step into an item or value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The value of that name in a map.
    Name(String),
    /// The value at that place in a list, from 0.
    Index(u32),
}

/// A path from an item to a value in it: a name, then any steps.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path {
    attribute: String,
    steps: Vec<Step>,
}

impl Path {
    /// The path that begins at top-level `attribute`.
    pub fn new(attribute: String, steps: Vec<Step>) -> Path {
        Path { attribute, steps }
    }

    /// The top-level attribute.
    pub fn attribute(&self) -> &str {
        &self.attribute
    }

    /// The steps below the top-level attribute.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Its last name with the places that follow it: `b[0]` of `a.b[0]`.
    pub(super) fn column_name(&self) -> String {
        let mut name = self.attribute.clone();
        for step in &self.steps {
            match step {
                Step::Name(last) => name.clone_from(last),
                Step::Index(index) => name.push_str(&format!("[{index}]")),
            }
        }
        name
    }

    /// The value that the path leads to in `item`.
    pub fn find<'i>(&self, item: &'i Item) -> Option<&'i Value> {
        let mut value = item.0.get(&self.attribute)?;
        for step in &self.steps {
            value = match (step, value) {
                (Step::Name(name), Value::Map(map)) => map.get(name)?,
                (Step::Index(index), Value::List(list)) => list.get(*index as usize)?,
                _ => return None,
            };
        }
        Some(value)
    }
}

/// As refusals show it: `[a, b, [1]]`.
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}", self.attribute)?;
        for step in &self.steps {
            match step {
                Step::Name(name) => write!(f, ", {name}")?,
                Step::Index(index) => write!(f, ", [{index}]")?,
            }
        }
        f.write_str("]")
    }
}

/// Refuses paths of which one is in another, or takes for a map what another takes for a list.
pub(super) fn check_apart(kind: Kind, paths: &[Path]) -> Result<(), ExpressionError> {
    for (fault, is_fault) in [("overlap", overlap as fn(&Path, &Path) -> bool), ("conflict", conflict)] {
        for (at, later) in paths.iter().enumerate() {
            if let Some(earlier) = paths[..at].iter().find(|earlier| is_fault(earlier, later)) {
                return Err(kind.refuse(format_args!(
                    "Two document paths {fault} with each other; must remove or rewrite one of these paths; \
                     path one: {earlier}, path two: {later}"
                )));
            }
        }
    }
    Ok(())
}

/// Is one path the other, or inside it?
fn overlap(one: &Path, other: &Path) -> bool {
    one.attribute() == other.attribute()
        && (one.steps().starts_with(other.steps()) || other.steps().starts_with(one.steps()))
}

/// Does one path take for a map what the other takes for a list?
fn conflict(one: &Path, other: &Path) -> bool {
    if one.attribute() != other.attribute() {
        return false;
    }
    let parting = one.steps().iter().zip(other.steps()).find(|(one, other)| one != other);
    matches!(parting, Some((Step::Name(_), Step::Index(_)) | (Step::Index(_), Step::Name(_))))
}
