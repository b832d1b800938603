//! Rules that requests must follow before anything is looked up, in DynamoDB's words.

use std::{collections::BTreeSet, fmt::Display};

use item::{EncodedItem, Item, Key, KeyError, Table};

use crate::{
    Error,
    json::Integer,
    values::{WireEncoded, WireItem},
};

/// Broken constraints that are told at once.
const VIOLATIONS_TOLD_MAX: usize = 10;

/// Broken constraints of one request; DynamoDB tells them all at once.
#[derive(Debug, Default)]
pub(crate) struct Violations {
    told: Vec<String>,
    /// What places are within, with a dot at its end; empty if that is the request itself.
    within: &'static str,
}

impl Violations {
    /// From now on places are members of `structure`, whose name ends with a dot.
    pub(crate) fn within(self, structure: &'static str) -> Violations {
        Violations { within: structure, ..self }
    }

    /// Notes a broken constraint of the member at `place`.
    pub(crate) fn add(&mut self, place: impl Display, value: impl Display, constraint: impl Display) {
        let within = self.within;
        self.told.push(format!("Value '{value}' at '{within}{place}' failed to satisfy constraint: {constraint}"));
    }

    /// A member that must be there.
    pub(crate) fn required<T>(&mut self, place: impl Display, member: Option<&T>) {
        if member.is_none() {
            let within = self.within;
            let told = format!("Value null at '{within}{place}' failed to satisfy constraint: Member must not be null");
            self.told.push(told);
        }
    }

    /// A member that must be one of a few words, if it is there.
    pub(crate) fn one_of(&mut self, place: impl Display, member: Option<&String>, words: &[&str]) {
        if let Some(word) = member.filter(|word| !words.contains(&word.as_str())) {
            let words = words.join(", ");
            self.add(place, word, format_args!("Member must satisfy enum value set: [{words}]"));
        }
    }

    /// A member whose length is bounded on both sides, if it is there.
    pub(crate) fn length(&mut self, place: impl Display, member: Option<&String>, least: usize, most: usize) {
        let Some(text) = member else { return };
        let length = text.chars().count();
        if length < least {
            self.add(place, text, format_args!("Member must have length greater than or equal to {least}"));
        } else if length > most {
            self.add(place, text, format_args!("Member must have length less than or equal to {most}"));
        }
    }

    /// A number that is bounded on both sides, if it is there.
    pub(crate) fn range(&mut self, place: impl Display, member: Option<Integer>, least: i64, most: i64) {
        let Some(Integer(number)) = member else { return };
        if number < least {
            self.add(place, number, format_args!("Member must have value greater than or equal to {least}"));
        } else if number > most {
            self.add(place, number, format_args!("Member must have value less than or equal to {most}"));
        }
    }

    /// The name of the table that an operation on items names. An ARN is looked at later, by [`table_name`].
    pub(crate) fn table_name(&mut self, given: Option<&String>) {
        self.named(given, 1);
    }

    fn named(&mut self, given: Option<&String>, least: usize) {
        self.required("tableName", given);
        let Some(name) = given.filter(|name| !name.starts_with("arn:")) else { return };
        self.length("tableName", Some(name), least, 255);
        if !name.is_empty() && !is_table_name(name) {
            self.add("tableName", name, "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+");
        }
    }

    /// All of them as one error, if there are any; of many the first ones.
    pub(crate) fn finish(mut self) -> Result<(), Error> {
        self.told.truncate(VIOLATIONS_TOLD_MAX);
        let errors = match self.told.len() {
            0 => return Ok(()),
            1 => "1 validation error".to_owned(),
            several => format!("{several} validation errors"),
        };
        Err(Error::Validation(format!("{errors} detected: {}", self.told.join("; "))))
    }
}

/// Words of members that many operations have.
pub(crate) const RETURN_VALUES: &[&str] = &["ALL_NEW", "UPDATED_OLD", "ALL_OLD", "NONE", "UPDATED_NEW"];
pub(crate) const RETURN_CONSUMED_CAPACITY: &[&str] = &["INDEXES", "TOTAL", "NONE"];
pub(crate) const RETURN_ITEM_COLLECTION_METRICS: &[&str] = &["SIZE", "NONE"];
pub(crate) const RETURN_ON_FAILURE: &[&str] = &["ALL_OLD", "NONE"];
pub(crate) const SELECT: &[&str] = &["SPECIFIC_ATTRIBUTES", "COUNT", "ALL_ATTRIBUTES", "ALL_PROJECTED_ATTRIBUTES"];

/// The table that an operation on items names, by name or ARN.
pub(crate) fn table_name(given: Option<String>) -> Result<String, Error> {
    named(given, 1)
}

/// The name of a table to be created.
pub(crate) fn new_table_name(given: Option<String>) -> Result<String, Error> {
    let required = || Error::validation("The parameter 'TableName' is required but was not present in the request");
    named(Some(given.ok_or_else(required)?), 3)
}

fn named(given: Option<String>, least: usize) -> Result<String, Error> {
    let mut violations = Violations::default();
    violations.named(given.as_ref(), least);
    violations.finish()?;
    match given.unwrap_or_default() {
        arn if arn.starts_with("arn:") => table_of_arn(&arn),
        name => Ok(name),
    }
}

/// May a table be called so, apart from the length?
pub(crate) fn is_table_name(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

/// The table's name in `arn:aws:dynamodb:REGION:ACCOUNT:table/NAME`; region and account may be anyone's, so that
/// configuration written for DynamoDB goes on working.
fn table_of_arn(arn: &str) -> Result<String, Error> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    match parts.as_slice() {
        [_, _, "dynamodb", _, _, resource] => resource.strip_prefix("table/"),
        _ => None,
    }
    .filter(|name| (3..=255).contains(&name.len()) && is_table_name(name))
    .map(str::to_owned)
    .ok_or_else(|| Error::Validation(format!("Invalid TableArn: Invalid ResourceArn provided as input {arn}")))
}

/// An item to be stored, if its values follow the rules and it is not too large.
pub(crate) fn item(given: WireItem) -> Result<Item, Error> {
    let item = values(given)?;
    item.check()?;
    Ok(item)
}

/// An item to be stored, encoded, if its values follow the rules and it is not too large.
pub(crate) fn encoded_item(given: WireEncoded) -> Result<EncodedItem, Error> {
    Ok(given.0?.finish()?)
}

/// Named values, if they follow the rules.
pub(crate) fn values(given: WireItem) -> Result<Item, Error> {
    given.0.map_err(Error::from)
}

/// The key of an item to be stored.
pub(crate) fn item_key(table: &Table, item: &Item) -> Result<Key, Error> {
    Key::of_item(table, item).map_err(no_item_key)
}

/// The key of an encoded item to be stored.
pub(crate) fn encoded_item_key(table: &Table, item: &EncodedItem) -> Result<Key, Error> {
    Key::of_encoded(table, item).map_err(no_item_key)
}

/// The key of an item to be stored by a batch, which says less of what is wrong with it.
pub(crate) fn batched_item_key(table: &Table, item: &EncodedItem) -> Result<Key, Error> {
    Key::of_encoded(table, item).map_err(|error| match error {
        KeyError::Missing { .. } | KeyError::WrongType { .. } => {
            Error::validation("The provided key element does not match the schema")
        }
        other => unfit(other),
    })
}

fn no_item_key(error: KeyError) -> Error {
    match error {
        KeyError::Missing { name } => Error::parameter(format_args!("Missing the key {name} in the item")),
        KeyError::WrongType { name, expected, actual } => {
            Error::parameter(format_args!("Type mismatch for key {name} expected: {expected} actual: {actual}"))
        }
        other => unfit(other),
    }
}

/// The key that a request names: the key attributes and nothing else.
pub(crate) fn request_key(table: &Table, given: &Item) -> Result<Key, Error> {
    let mismatch = || Error::validation("The provided key element does not match the schema");
    // An index's key attributes may be those of its table too.
    let attributes: BTreeSet<&str> = table.key_attributes().map(|attribute| attribute.name.as_str()).collect();
    if given.len() != attributes.len() {
        return Err(mismatch());
    }
    Key::of_item(table, given).map_err(|error| match error {
        KeyError::Missing { .. } | KeyError::WrongType { .. } => mismatch(),
        other => unfit(other),
    })
}

/// The values of a key after which a page starts.
pub(crate) fn start_values(given: WireItem) -> Result<Item, Error> {
    given.0.map_err(|fault| if fault.is_of_shape() { no_start(fault.0) } else { fault.into() })
}

/// The key after which a page of a table's scan starts.
pub(crate) fn scan_start(table: &Table, given: &Item) -> Result<Key, Error> {
    request_key(table, given).map_err(no_start)
}

/// The key after which a page of a query, or of an index's scan, starts.
pub(crate) fn query_start(schema: &Table, given: &Item) -> Result<Key, Error> {
    let attributes: BTreeSet<&str> = schema.key_attributes().map(|attribute| attribute.name.as_str()).collect();
    if given.len() != attributes.len() || attributes.iter().any(|name| given.get(name).is_none()) {
        return Err(Error::validation("The provided starting key is invalid"));
    }
    match Key::of_item(schema, given) {
        Err(KeyError::WrongType { .. }) => Err(Error::validation("The provided key element does not match the schema")),
        Err(error) => Err(no_start(unfit(error))),
        Ok(key) => Ok(key),
    }
}

fn no_start(reason: impl Display) -> Error {
    Error::Validation(format!("The provided starting key is invalid: {reason}"))
}

/// A key of the right attributes and types that still cannot be one.
fn unfit(error: KeyError) -> Error {
    match error {
        KeyError::Empty { name, key_type } => Error::Validation(format!(
            "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an \
             empty {} value. Key: {name}",
            key_type.word()
        )),
        KeyError::TooLong { bytes_max: bytes_max @ 2048, .. } => {
            Error::parameter(format_args!("Size of hashkey has exceeded the maximum size limit of{bytes_max} bytes"))
        }
        KeyError::TooLong { bytes_max, .. } => Error::parameter(format_args!(
            "Aggregated size of all range keys has exceeded the size limit of {bytes_max} bytes"
        )),
        other => Error::parameter(other),
    }
}
