//! Projection expressions: which parts of an item to answer.

use std::collections::{BTreeMap, BTreeSet};

use super::{ExpressionError, Kind, Path, Step, Substitutions, lex::Tokens, parse, resolve};
use crate::{Item, Value};

/// A parsed projection expression. No path is inside another.
#[derive(Clone, Debug, PartialEq)]
pub struct Projection {
    /// Sorted, so that paths with a common beginning are neighbours.
    paths: Vec<Path>,
}

impl Projection {
    /// Parses a ProjectionExpression.
    pub fn parse(text: &str, substitutions: &mut Substitutions) -> Result<Projection, ExpressionError> {
        let kind = Kind::Projection;
        let written = parse::projection(Tokens::cut(kind, text)?)?;
        let mut paths = resolve::projection(kind, written, substitutions)?;
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
        paths.sort_unstable();
        Ok(Projection { paths })
    }

    /// The projected part of `item`: elements of a list keep their order and close up, what is not there is left out.
    pub fn apply(&self, item: &Item) -> Item {
        let mut projected = Item::default();
        for group in self.paths.chunk_by(|one, other| one.attribute() == other.attribute()) {
            let name = group[0].attribute();
            let steps: Vec<&[Step]> = group.iter().map(Path::steps).collect();
            if let Some(value) = item.0.get(name).and_then(|value| project(value, &steps)) {
                projected.0.insert(name.to_owned(), value);
            }
        }
        projected
    }

    /// The top-level attributes that it mentions.
    pub fn attributes(&self) -> BTreeSet<&str> {
        self.paths.iter().map(Path::attribute).collect()
    }

    /// The top-level attributes into which it looks (`a.b`, `a[0]`).
    pub fn nested_attributes(&self) -> BTreeSet<&str> {
        self.paths.iter().filter(|path| !path.steps().is_empty()).map(Path::attribute).collect()
    }
}

/// The part of `value` that sorted `paths` lead to, none if there is nothing. Goes as deep as the value does.
fn project(value: &Value, paths: &[&[Step]]) -> Option<Value> {
    if paths.iter().any(|path| path.is_empty()) {
        return Some(value.clone());
    }
    let mut map = BTreeMap::new();
    let mut list = Vec::new();
    for group in paths.chunk_by(|one, other| one[0] == other[0]) {
        let rest: Vec<&[Step]> = group.iter().map(|path| &path[1..]).collect();
        match (&group[0][0], value) {
            (Step::Name(name), Value::Map(values)) => {
                if let Some(part) = values.get(name).and_then(|value| project(value, &rest)) {
                    map.insert(name.clone(), part);
                }
            }
            (Step::Index(index), Value::List(values)) => {
                list.extend(values.get(*index as usize).and_then(|value| project(value, &rest)));
            }
            _ => {}
        }
    }
    match value {
        Value::Map(_) if !map.is_empty() => Some(Value::Map(map)),
        Value::List(_) if !list.is_empty() => Some(Value::List(list)),
        _ => None,
    }
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
