//! A request's expressions with their substitutions: what must be given together, and nothing given for nothing.

use std::collections::{BTreeMap, BTreeSet};

use item::{
    Index, Table,
    expression::{Condition, ExpressionError, KeyTerms, Kind, Projection, Substitutions, Update},
};

use crate::{
    Error,
    values::{Fault, WireValue},
};

/// `#name` to attribute name.
pub(crate) type Names = BTreeMap<String, String>;
/// `:value` to value.
pub(crate) type Values = BTreeMap<String, WireValue>;

/// The expressions of one request, taken out one by one; [`Expressions::finish`] then finds what none has used.
pub(crate) struct Expressions {
    substitutions: Substitutions,
}

impl Expressions {
    /// Takes the substitutions of a request; `parameters` are the expressions that it can have, and whether it has them.
    pub(crate) fn new(
        names: Option<Names>,
        values: Option<Values>,
        parameters: &[(Kind, bool)],
    ) -> Result<Expressions, Error> {
        if names.is_some() {
            // Of names it is not said which expressions could have them.
            if !parameters.iter().any(|(_, given)| *given) {
                return Err(Error::validation("ExpressionAttributeNames can only be specified when using expressions"));
            }
        }
        let values = match values {
            Some(values) => {
                let taking_values = parameters.iter().copied().filter(|(kind, _)| *kind != Kind::Projection);
                require("ExpressionAttributeValues", taking_values)?;
                Substitutions::check_value_tokens(values.keys())?;
                Some(values.into_iter().map(checked).collect::<Result<_, _>>()?)
            }
            None => None,
        };
        Ok(Expressions { substitutions: Substitutions::new(names, values)? })
    }

    /// Parses a condition or filter, if it is given.
    pub(crate) fn condition(&mut self, kind: Kind, text: Option<&String>) -> Result<Option<Condition>, Error> {
        Ok(text.map(|text| Condition::parse(kind, text, &mut self.substitutions)).transpose()?)
    }

    /// Parses an update, if it is given.
    pub(crate) fn update(&mut self, text: Option<&String>) -> Result<Option<Update>, Error> {
        Ok(text.map(|text| Update::parse(text, &mut self.substitutions)).transpose()?)
    }

    /// Parses a projection, if it is given.
    pub(crate) fn projection(&mut self, text: Option<&String>) -> Result<Option<Projection>, Error> {
        Ok(text.map(|text| Projection::parse(text, &mut self.substitutions)).transpose()?)
    }

    /// Parses a key condition.
    pub(crate) fn key_terms(&mut self, text: &str) -> Result<KeyTerms, Error> {
        Ok(KeyTerms::parse(text, &mut self.substitutions)?)
    }

    /// Refuses substitutions that no expression has used.
    pub(crate) fn finish(self) -> Result<(), Error> {
        Ok(self.substitutions.finish()?)
    }
}

/// Refuses to look into key attributes of a table and of its indexes: they are scalars.
pub(crate) fn check_scalar_keys(table: &Table, nested: &BTreeSet<&str>) -> Result<(), Error> {
    let refuse = |what: &str, name: &str| {
        Err(Error::Validation(format!(
            "Key attributes must be scalars; list random access '[]' and map lookup '.' are not allowed: {what}: {name}"
        )))
    };
    if let Some(name) = key_attribute(table, nested) {
        return refuse("Key", name);
    }
    let mut of_indexes = table.user_indexes().flat_map(Index::key_attributes).map(|key| key.name.as_str());
    of_indexes.find(|name| nested.contains(name)).map_or(Ok(()), |name| refuse("IndexKey", name))
}

/// The key attribute among `attributes`, if there is one.
pub(crate) fn key_attribute<'t>(table: &'t Table, attributes: &BTreeSet<&str>) -> Option<&'t str> {
    let mut keys = table.partition_attributes().chain(table.sort_attributes()).map(|key| key.name.as_str());
    keys.find(|name| attributes.contains(name))
}

impl From<ExpressionError> for Error {
    fn from(ExpressionError(text): ExpressionError) -> Error {
        Error::Validation(text)
    }
}

/// Substitutions need an expression to be in.
fn require(what: &str, parameters: impl Iterator<Item = (Kind, bool)>) -> Result<(), Error> {
    let mut kinds = Vec::new();
    for (kind, given) in parameters {
        if given {
            return Ok(());
        }
        kinds.push(kind.to_string());
    }
    let verb = if kinds.len() == 1 { "is" } else { "are" };
    let kinds = kinds.join(" and ");
    Err(Error::Validation(format!("{what} can only be specified when using expressions: {kinds} {verb} null")))
}

fn checked((token, WireValue(value)): (String, WireValue)) -> Result<(String, item::Value), Error> {
    match value {
        Ok(value) => Ok((token, value)),
        Err(Fault(text)) => {
            Err(Error::Validation(format!("ExpressionAttributeValues contains invalid value: {text} for key {token}")))
        }
    }
}
