//! Tags of tables, on the wire and in the catalogue: TagResource, UntagResource, ListTagsOfResource.
//!
//! Limits are those of "Tagging restrictions in DynamoDB": 50 tags, keys of 1 to 128 and values of at most 256 characters, of
//! letters, digits, white space and `+ - = . _ : / @`; keys that begin with `aws:` are reserved.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use item::Table;
use serde::Serialize;
use store::write::{TAGS_MAX, TableRejection, TableWrite};

use super::table_description::is_own_arn;
use crate::{
    App, Error,
    json::{Present, request},
    validate,
};

const KEY_CHARACTERS_MAX: usize = 128;
const VALUE_CHARACTERS_MAX: usize = 256;
/// Characters in tags beside letters, digits and white space.
const SYMBOLS: &str = "+-=._:/@";
/// What keys of users may not begin with.
const RESERVED_PREFIX: &str = "aws:";

request! {
    /// One tag.
    struct Tag {
        key: String = "Key",
        value: String = "Value",
    }
}

request! {
    /// What TagResource takes.
    struct TagRequest {
        resource_arn: String = "ResourceArn",
        tags: Vec<Tag> = "Tags",
    }
}

request! {
    /// What UntagResource takes.
    struct UntagRequest {
        resource_arn: String = "ResourceArn",
        keys: Vec<String> = "TagKeys",
    }
}

request! {
    /// What ListTagsOfResource takes.
    struct ListRequest {
        resource_arn: String = "ResourceArn",
        next_token: Present = "NextToken",
    }
}

/// What ListTagsOfResource answers: all that there are.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Answer {
    tags: Vec<Shown>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Shown {
    key: String,
    value: String,
}

/// TagResource.
pub(crate) async fn tag(app: &App, request: TagRequest) -> Result<(), Error> {
    let table = tagged_table(app, request.resource_arn)?;
    let tags = request.tags.unwrap_or_default();
    if tags.is_empty() {
        return Err(Error::validation("Atleast one Tag needs to be provided as Input."));
    }
    change(app, &table, TableWrite::Tag(table.name.clone(), checked(tags)?)).await
}

/// UntagResource.
pub(crate) async fn untag(app: &App, request: UntagRequest) -> Result<(), Error> {
    let table = tagged_table(app, request.resource_arn)?;
    let keys: BTreeSet<String> = request.keys.unwrap_or_default().into_iter().collect();
    if keys.is_empty() {
        return Err(Error::validation("Atleast one Tag Key needs to be provided as Input."));
    }
    if let Some(wrong_key) = keys.iter().find(|key| !is_key(key)) {
        return Err(wrong("Key", Some(wrong_key)));
    }
    change(app, &table, TableWrite::Untag(table.name.clone(), keys)).await
}

/// ListTagsOfResource.
pub(crate) fn list(app: &App, request: ListRequest) -> Result<Answer, Error> {
    if request.next_token.is_some() {
        // All tags fit one page: no answer has carried a token.
        return Err(Error::validation("Invalid NextToken"));
    }
    let table = tagged_table(app, request.resource_arn)?;
    let shown = |(key, value): (&String, &String)| Shown { key: key.clone(), value: value.clone() };
    Ok(Answer { tags: table.tags.iter().map(shown).collect() })
}

/// Tags as the catalogue keeps them.
pub(crate) fn checked(tags: Vec<Tag>) -> Result<BTreeMap<String, String>, Error> {
    let mut kept = BTreeMap::new();
    for Tag { key, value } in tags {
        let Some(key) = key.as_ref().filter(|key| is_key(key)) else { return Err(wrong("Key", key.as_deref())) };
        if key.to_ascii_lowercase().starts_with(RESERVED_PREFIX) {
            return Err(Error::Validation(format!("Tag Key cannot be prefixed with {RESERVED_PREFIX}, Key: {key}")));
        }
        let is_value = |value: &&String| value.chars().count() <= VALUE_CHARACTERS_MAX && value.chars().all(is_legal);
        let Some(value) = value.as_ref().filter(is_value) else { return Err(wrong("Value", value.as_deref())) };
        if kept.insert(key.clone(), value.clone()).is_some() {
            return Err(Error::Validation(format!(
                "Duplicate Tag Keys provided as input: Duplicate Tag Key found {key}"
            )));
        }
    }
    if kept.len() > TAGS_MAX {
        return Err(too_many());
    }
    Ok(kept)
}

fn is_key(key: &str) -> bool {
    (1..=KEY_CHARACTERS_MAX).contains(&key.chars().count()) && key.chars().all(is_legal)
}

fn is_legal(character: char) -> bool {
    character.is_alphanumeric() || character.is_whitespace() || SYMBOLS.contains(character)
}

/// What is said of a key or value that cannot be one.
fn wrong(what: &str, given: Option<&str>) -> Error {
    Error::Validation(format!("The Tag {what} provided is invalid, {what}: {}", given.unwrap_or("null")))
}

fn too_many() -> Error {
    Error::validation("Number of Tags exceed the current limit for the provided ResourceArn")
}

/// The table that an ARN names. What lies in another region or account is nobody's here to see.
fn tagged_table(app: &App, arn: Option<String>) -> Result<Arc<Table>, Error> {
    let arn = arn.ok_or_else(|| Error::validation("Invalid TableArn"))?;
    if !arn.starts_with("arn:") {
        return Err(Error::parameter(format_args!("ARNs must start with 'arn:': {arn}")));
    }
    let name = validate::table_name(Some(arn.clone()))?;
    super::described_table(app, &name).map_err(|_| match is_own_arn(&arn) {
        true => Error::NotFound(format!("Requested resource not found: ResourcArn: {arn} not found")),
        false => Error::NotAuthorized(format!("User is not authorized to access this resource: {arn}")),
    })
}

async fn change(app: &App, table: &Table, change: TableWrite) -> Result<(), Error> {
    match app.store.change_table_within(change, app.config.patience).await? {
        Ok(_) => Ok(()),
        Err(TableRejection::TooManyTags) => Err(too_many()),
        Err(TableRejection::Filling) => Err(super::being_created(&table.name)),
        Err(TableRejection::NotFound) => Err(Error::NotFound("Requested resource not found".into())),
        Err(other) => Err(Error::Internal(format!("could not change tags: {other}"))),
    }
}
