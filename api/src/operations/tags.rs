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
    keys.iter().try_for_each(|key| check_length("Key", key, 1, KEY_CHARACTERS_MAX))?;
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

/// Tags as the catalogue keeps them; of a key given twice the last counts.
pub(crate) fn checked(tags: Vec<Tag>) -> Result<BTreeMap<String, String>, Error> {
    let mut kept = BTreeMap::new();
    for Tag { key, value } in tags {
        let missing = |what| Error::parameter(format_args!("Tag {what} cannot be null"));
        let key = key.ok_or_else(|| missing("Key"))?;
        let value = value.ok_or_else(|| missing("Value"))?;
        check_length("Key", &key, 1, KEY_CHARACTERS_MAX)?;
        check_length("Value", &value, 0, VALUE_CHARACTERS_MAX)?;
        let legal = |c: char| c.is_alphanumeric() || c.is_whitespace() || SYMBOLS.contains(c);
        if let Some(character) = key.chars().chain(value.chars()).find(|character| !legal(*character)) {
            return Err(Error::parameter(format_args!(
                "Tag {key:?} has the character {character:?}, which no tag may have"
            )));
        }
        if key.to_ascii_lowercase().starts_with(RESERVED_PREFIX) {
            return Err(Error::parameter("aws: prefixed tag key names are not allowed for external use"));
        }
        kept.insert(key, value);
    }
    if kept.len() > TAGS_MAX {
        return Err(too_many());
    }
    Ok(kept)
}

fn check_length(what: &str, text: &str, least: usize, most: usize) -> Result<(), Error> {
    let length = text.chars().count();
    if (least..=most).contains(&length) {
        return Ok(());
    }
    Err(Error::parameter(format_args!("Tag {what} has {length} characters, not {least} to {most}")))
}

fn too_many() -> Error {
    Error::parameter(format_args!("A table can have at most {TAGS_MAX} tags"))
}

/// The table that an ARN names. What lies in another region or account is nobody's here to see.
fn tagged_table(app: &App, arn: Option<String>) -> Result<Arc<Table>, Error> {
    let arn = arn.ok_or_else(|| Error::validation("Invalid TableArn"))?;
    if !arn.starts_with("arn:") {
        return Err(Error::Validation(format!("Invalid TableArn: Invalid ResourceArn provided as input {arn}")));
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
