//! Document paths: which attribute, and which value inside it.

use std::fmt;

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
