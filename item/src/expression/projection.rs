//! Projection expressions: which parts of an item to answer.

use std::collections::{BTreeMap, BTreeSet};

use super::{ExpressionError, Kind, Path, Step, Substitutions, lex::Tokens, parse, path::check_apart, resolve};
use crate::{Item, Value};

/// A parsed projection expression. No path is inside another.
#[derive(Clone, Debug, PartialEq)]
pub struct Projection {
    /// Sorted, so that paths with a common beginning are neighbours; columns are in their order.
    paths: Vec<Path>,
    /// Is each path a column of its own?
    columns: bool,
}

impl Projection {
    /// Parses a ProjectionExpression.
    pub fn parse(text: &str, substitutions: &mut Substitutions) -> Result<Projection, ExpressionError> {
        let kind = Kind::Projection;
        let written = parse::projection(Tokens::cut(kind, text)?)?;
        let paths = resolve::projection(kind, written, substitutions)?;
        check_apart(kind, &paths)?;
        Ok(Projection::of(paths))
    }

    /// A projection given by attribute (`AttributesToGet`): names are taken as they are, dots and all.
    pub fn of_attributes(names: Vec<String>) -> Result<Projection, ExpressionError> {
        let mut seen = BTreeSet::new();
        if let Some(name) = names.iter().find(|name| !seen.insert(name.as_str())) {
            return Err(ExpressionError(format!(
                "One or more parameter values were invalid: Duplicate value in attribute name: {name}"
            )));
        }
        Ok(Projection::of(names.into_iter().map(|name| Path::new(name, Vec::new())).collect()))
    }

    /// The projection to `paths`, of which none is inside another.
    pub(super) fn of(mut paths: Vec<Path>) -> Projection {
        paths.sort_unstable();
        Projection { paths, columns: false }
    }

    /// The projection to columns, as `SELECT` shows them: what each path leads to, under the path's last name with the places
    /// that follow it. Of columns of one name the last is shown.
    pub fn of_columns(paths: Vec<Path>) -> Projection {
        Projection { paths, columns: true }
    }

    /// The projected part of `item`: elements of a list keep their order and close up, what is not there is left out.
    pub fn apply(&self, item: &Item) -> Item {
        let mut projected = Item::default();
        if self.columns {
            let column = |path: &Path| Some((path.column_name(), path.find(item)?.clone()));
            projected.0.extend(self.paths.iter().filter_map(column));
            return projected;
        }
        let mut put = |name: &str, value: &Value, group: &[Path]| {
            let steps: Vec<&[Step]> = group.iter().map(Path::steps).collect();
            if let Some(value) = project(value, &steps) {
                projected.0.insert(name.to_owned(), value);
            }
        };
        if self.paths.len() <= item.len() {
            for group in self.paths.chunk_by(|one, other| one.attribute() == other.attribute()) {
                let name = group[0].attribute();
                item.0.get(name).into_iter().for_each(|value| put(name, value, group));
            }
        } else {
            // Names given by attribute may be many more than items have.
            for (name, value) in &item.0 {
                let from = self.paths.partition_point(|path| path.attribute() < name.as_str());
                let count = self.paths[from..].partition_point(|path| path.attribute() == name);
                if count > 0 {
                    put(name, value, &self.paths[from..from + count]);
                }
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
