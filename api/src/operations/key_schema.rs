//! Keys as CreateTable and UpdateTable are told them: attribute definitions and key schemas.

use std::collections::BTreeSet;

use item::{KeyAttribute, KeyType};

use crate::{Error, json::request, validate::Violations};

request! {
    /// A key attribute's type.
    struct AttributeDefinition {
        name: String = "AttributeName",
        kind: String = "AttributeType",
    }
}

request! {
    /// A key attribute's part in the key.
    struct KeySchemaElement {
        name: String = "AttributeName",
        kind: String = "KeyType",
    }
}

/// What definitions must be by themselves.
pub(crate) fn definition_constraints(violations: &mut Violations, attributes: Option<&Vec<AttributeDefinition>>) {
    for (place, attribute) in attributes.into_iter().flatten().enumerate() {
        let place = format!("attributeDefinitions.{}.member", place + 1);
        violations.required(format_args!("{place}.attributeName"), attribute.name.as_ref());
        violations.length(format_args!("{place}.attributeName"), attribute.name.as_ref(), 1, 255);
        violations.required(format_args!("{place}.attributeType"), attribute.kind.as_ref());
        violations.one_of(format_args!("{place}.attributeType"), attribute.kind.as_ref(), &["B", "N", "S"]);
    }
}

/// What the key schema at `at` must be by itself.
pub(crate) fn schema_constraints(violations: &mut Violations, at: &str, schema: Option<&Vec<KeySchemaElement>>) {
    violations.required(at, schema);
    let Some(elements) = schema else { return };
    let element = |element: &KeySchemaElement| {
        let word = |word: &Option<String>| word.clone().unwrap_or_else(|| "null".into());
        format!("KeySchemaElement(attributeName={}, keyType={})", word(&element.name), word(&element.kind))
    };
    let listed = || format!("[{}]", elements.iter().map(element).collect::<Vec<_>>().join(", "));
    if elements.is_empty() {
        violations.add(at, listed(), "Member must have length greater than or equal to 1");
    } else if elements.len() > 2 {
        violations.add(at, listed(), "Member must have length less than or equal to 2");
    }
    for (place, element) in elements.iter().enumerate() {
        let place = format!("{at}.{}.member", place + 1);
        violations.required(format_args!("{place}.attributeName"), element.name.as_ref());
        violations.length(format_args!("{place}.attributeName"), element.name.as_ref(), 1, 255);
        violations.required(format_args!("{place}.keyType"), element.kind.as_ref());
        violations.one_of(format_args!("{place}.keyType"), element.kind.as_ref(), &["HASH", "RANGE"]);
    }
}

/// Refuses an attribute that is defined twice.
pub(crate) fn check_definitions(attributes: &[AttributeDefinition]) -> Result<(), Error> {
    let mut names = BTreeSet::new();
    match attributes.iter().all(|attribute| names.insert(&attribute.name)) {
        true => Ok(()),
        false => Err(Error::parameter("AttributeDefinitions must not define an attribute twice")),
    }
}

/// Partition key and sort key of a schema; `undefined` is for an attribute without a definition.
pub(crate) fn key(
    schema: &[KeySchemaElement],
    attributes: &[AttributeDefinition],
    undefined: impl Fn() -> Error,
) -> Result<(KeyAttribute, Option<KeyAttribute>), Error> {
    let mut elements = schema.iter();
    let hash = elements.next().filter(|element| element.kind.as_deref() == Some("HASH"));
    let hash =
        hash.ok_or_else(|| Error::validation("Invalid KeySchema: The first KeySchemaElement is not a HASH key type"))?;
    let range = elements.next();
    if let Some(range) = range {
        if range.kind.as_deref() != Some("RANGE") {
            let text = "Invalid KeySchema: The second KeySchemaElement is not a RANGE key type";
            return Err(Error::validation(text));
        }
        if range.name == hash.name {
            let text = "Both the Hash Key and the Range Key element in the KeySchema have the same name";
            return Err(Error::validation(text));
        }
    }
    let define = |element: &KeySchemaElement| {
        let definition = attributes.iter().find(|attribute| attribute.name == element.name).ok_or_else(&undefined)?;
        let key_type = match definition.kind.as_deref() {
            Some("S") => KeyType::S,
            Some("N") => KeyType::N,
            _ => KeyType::B,
        };
        Ok::<KeyAttribute, Error>(KeyAttribute { name: definition.name.clone().unwrap_or_default(), key_type })
    };
    Ok((define(hash)?, range.map(define).transpose()?))
}

/// Names of attributes as complaints list them.
pub(crate) fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    format!("[{}]", names.collect::<Vec<_>>().join(", "))
}

/// The names that are defined.
pub(crate) fn defined(attributes: &[AttributeDefinition]) -> String {
    listed(attributes.iter().filter_map(|attribute| attribute.name.as_deref()))
}
