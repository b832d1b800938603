//! Keys as CreateTable and UpdateTable are told them: attribute definitions and key schemas.

use std::collections::BTreeSet;

use item::{FurtherKeys, KeyAttribute, KeyType};

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

/// Attributes of a table's key, and of a local index's, at most.
pub(crate) const KEY_MAX: usize = 2;
/// Attributes of a global index's key at most.
pub(crate) const GLOBAL_KEY_MAX: usize = 2 * FurtherKeys::ATTRIBUTES_MAX;

/// The attributes of a key.
pub(crate) struct KeyAttributes {
    pub(crate) partition_key: KeyAttribute,
    pub(crate) sort_key: Option<KeyAttribute>,
    pub(crate) further_keys: FurtherKeys,
}

/// What the key schema at `at` must be by itself; it has at most `most` elements.
pub(crate) fn schema_constraints(
    violations: &mut Violations,
    at: &str,
    schema: Option<&Vec<KeySchemaElement>>,
    most: usize,
) {
    violations.required(at, schema);
    let Some(elements) = schema else { return };
    let element = |element: &KeySchemaElement| {
        let word = |word: &Option<String>| word.clone().unwrap_or_else(|| "null".into());
        format!("KeySchemaElement(attributeName={}, keyType={})", word(&element.name), word(&element.kind))
    };
    let listed = || format!("[{}]", elements.iter().map(element).collect::<Vec<_>>().join(", "));
    if elements.is_empty() {
        violations.add(at, listed(), "Member must have length greater than or equal to 1");
    } else if elements.len() > most {
        violations.add(at, listed(), format_args!("Member must have length less than or equal to {most}"));
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
    match attributes.iter().find(|attribute| !names.insert(&attribute.name)) {
        None => Ok(()),
        Some(twice) => {
            let name = twice.name.as_deref().unwrap_or_default();
            Err(Error::Validation(format!("Attribute Name is duplicated: {name}")))
        }
    }
}

/// The attributes of a schema; `undefined` is for an attribute without a definition. Only global indexes have `several` of a
/// kind.
pub(crate) fn key(
    schema: &[KeySchemaElement],
    several: bool,
    attributes: &[AttributeDefinition],
    undefined: impl Fn() -> Error,
) -> Result<KeyAttributes, Error> {
    let is = |element: &KeySchemaElement, kind: &str| element.kind.as_deref() == Some(kind);
    let (hash, range) = schema.split_at(schema.iter().take_while(|element| is(element, "HASH")).count());
    if hash.is_empty() {
        return Err(Error::validation("Invalid KeySchema: The first KeySchemaElement is not a HASH key type"));
    }
    if hash.len() > 1 && !several {
        return Err(Error::validation("Invalid KeySchema: The second KeySchemaElement is not a RANGE key type"));
    }
    if range.iter().any(|element| is(element, "HASH")) {
        return Err(Error::parameter("All HASH key attributes must precede RANGE key attributes in the KeySchema"));
    }
    let most = FurtherKeys::ATTRIBUTES_MAX;
    if let Some((_, kind)) = [(hash, "HASH"), (range, "RANGE")].into_iter().find(|(keys, _)| keys.len() > most) {
        return Err(Error::parameter(format_args!(
            "The KeySchema exceeds the maximum allowed number of {kind} key attributes"
        )));
    }
    let mut names = BTreeSet::new();
    if !schema.iter().all(|element| names.insert(&element.name)) {
        return Err(Error::validation(if schema.len() == 2 && range.len() == 1 {
            "Both the Hash Key and the Range Key element in the KeySchema have the same name"
        } else {
            "The KeySchema contains multiple key attributes with the same name"
        }));
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
    let mut partition = hash.iter().map(define).collect::<Result<Vec<_>, _>>()?.into_iter();
    let mut sort = range.iter().map(define).collect::<Result<Vec<_>, _>>()?.into_iter();
    let partition_key = partition.next().ok_or_else(&undefined)?;
    let sort_key = sort.next();
    let further_keys = FurtherKeys { partition: partition.collect(), sort: sort.collect() };
    Ok(KeyAttributes { partition_key, sort_key, further_keys })
}

/// Names of attributes as complaints list them.
pub(crate) fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    format!("[{}]", names.collect::<Vec<_>>().join(", "))
}

/// The names that are defined.
pub(crate) fn defined(attributes: &[AttributeDefinition]) -> String {
    listed(attributes.iter().filter_map(|attribute| attribute.name.as_deref()))
}
