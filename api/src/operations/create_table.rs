//! CreateTable.

use item::{KeyAttribute, KeyType, Stream, Table, TableId, table::Billing};
use serde::Serialize;
use store::write::{TableRejection, TableWrite};

use super::{stream_arn, table_description::TableDescription};
use crate::{
    App, Error,
    json::{Integer, Present, request},
    validate::{self, Violations},
};

/// More units than this are out of bounds.
const UNITS_MAX: i64 = 1_000_000_000_000;

request! {
    /// What CreateTable takes.
    struct Request {
        table_name: String = "TableName",
        attributes: Vec<AttributeDefinition> = "AttributeDefinitions",
        key_schema: Vec<KeySchemaElement> = "KeySchema",
        billing_mode: String = "BillingMode",
        throughput: Throughput = "ProvisionedThroughput",
        stream: StreamSpecification = "StreamSpecification",
        deletion_protection: bool = "DeletionProtectionEnabled",
        table_class: String = "TableClass",
        encryption: Encryption = "SSESpecification",
        tags: Vec<Present> = "Tags",
        global_indexes: Vec<Present> = "GlobalSecondaryIndexes",
        local_indexes: Vec<Present> = "LocalSecondaryIndexes",
        resource_policy: String = "ResourcePolicy",
        on_demand_throughput: Present = "OnDemandThroughput",
        warm_throughput: Present = "WarmThroughput",
    }
}

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

request! {
    /// Provisioned units a second.
    struct Throughput {
        read_units: Integer = "ReadCapacityUnits",
        write_units: Integer = "WriteCapacityUnits",
    }
}

request! {
    /// Is there a stream, and what does it show?
    struct StreamSpecification {
        enabled: bool = "StreamEnabled",
        view: String = "StreamViewType",
    }
}

request! {
    /// Encryption at rest by a key of the client's.
    struct Encryption { enabled: bool = "Enabled", }
}

/// What CreateTable, DeleteTable and UpdateTable answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Answer {
    pub(crate) table_description: TableDescription,
}

pub(crate) async fn run(app: &App, request: Request) -> Result<Answer, Error> {
    let name = validate::new_table_name(request.table_name.clone())?;
    constraints(&request)?;
    let billing = billing(request.billing_mode.as_deref(), request.throughput.as_ref())?;
    refuse_unsupported(&request)?;
    let stream = request.stream.map_or(Ok(None), stream)?;
    let (partition_key, sort_key) =
        key(&request.attributes.unwrap_or_default(), &request.key_schema.unwrap_or_default())?;
    let table = Table {
        // The store assigns id, version and times.
        id: TableId(0),
        name: name.clone(),
        version: 0,
        partition_key,
        sort_key,
        sort_key_is_time: false,
        stream,
        created_at_us: 0,
        billing,
        deletion_protection: request.deletion_protection.unwrap_or(false),
    };
    match app.store.change_table_within(TableWrite::Create(table), app.config.patience).await? {
        Ok(table) => Ok(Answer { table_description: TableDescription::of(app, &table, "ACTIVE") }),
        Err(TableRejection::Exists(_)) => Err(Error::InUse(format!("Table already exists: {name}"))),
        Err(other) => Err(Error::Internal(format!("could not create table {name}: {other}"))),
    }
}

/// What each member must be by itself.
fn constraints(request: &Request) -> Result<(), Error> {
    let mut violations = Violations::default();
    violations.required("attributeDefinitions", request.attributes.as_ref());
    violations.required("keySchema", request.key_schema.as_ref());
    violations.one_of("billingMode", request.billing_mode.as_ref(), &["PROVISIONED", "PAY_PER_REQUEST"]);
    violations.one_of("tableClass", request.table_class.as_ref(), &["STANDARD", "STANDARD_INFREQUENT_ACCESS"]);
    for (place, attribute) in request.attributes.iter().flatten().enumerate() {
        let place = format!("attributeDefinitions.{}.member", place + 1);
        violations.required(format_args!("{place}.attributeName"), attribute.name.as_ref());
        violations.length(format_args!("{place}.attributeName"), attribute.name.as_ref(), 1, 255);
        violations.required(format_args!("{place}.attributeType"), attribute.kind.as_ref());
        violations.one_of(format_args!("{place}.attributeType"), attribute.kind.as_ref(), &["B", "N", "S"]);
    }
    let elements = request.key_schema.as_deref().unwrap_or_default();
    let listed = || {
        let element = |element: &KeySchemaElement| {
            let word = |word: &Option<String>| word.clone().unwrap_or_else(|| "null".into());
            format!("KeySchemaElement(attributeName={}, keyType={})", word(&element.name), word(&element.kind))
        };
        format!("[{}]", elements.iter().map(element).collect::<Vec<_>>().join(", "))
    };
    if request.key_schema.is_some() && elements.is_empty() {
        violations.add("keySchema", listed(), "Member must have length greater than or equal to 1");
    } else if elements.len() > 2 {
        violations.add("keySchema", listed(), "Member must have length less than or equal to 2");
    }
    for (place, element) in elements.iter().enumerate() {
        let place = format!("keySchema.{}.member", place + 1);
        violations.required(format_args!("{place}.attributeName"), element.name.as_ref());
        violations.length(format_args!("{place}.attributeName"), element.name.as_ref(), 1, 255);
        violations.required(format_args!("{place}.keyType"), element.kind.as_ref());
        violations.one_of(format_args!("{place}.keyType"), element.kind.as_ref(), &["HASH", "RANGE"]);
    }
    if let Some(throughput) = &request.throughput {
        for (word, units) in
            [("readCapacityUnits", throughput.read_units), ("writeCapacityUnits", throughput.write_units)]
        {
            let place = format!("provisionedThroughput.{word}");
            violations.required(&place, units.as_ref());
            violations.range(&place, units, 1, i64::MAX);
        }
    }
    if let Some(stream) = &request.stream {
        stream_constraints(&mut violations, stream);
    }
    violations.finish()
}

/// What a stream specification's members must be by themselves.
pub(crate) fn stream_constraints(violations: &mut Violations, stream: &StreamSpecification) {
    violations.required("streamSpecification.streamEnabled", stream.enabled.as_ref());
    violations.one_of(
        "streamSpecification.streamViewType",
        stream.view.as_ref(),
        &["NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES", "KEYS_ONLY"],
    );
}

fn billing(mode: Option<&str>, throughput: Option<&Throughput>) -> Result<Billing, Error> {
    match (mode, throughput) {
        (Some("PAY_PER_REQUEST"), None) => Ok(Billing::OnDemand),
        (Some("PAY_PER_REQUEST"), Some(_)) => Err(Error::parameter(
            "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST",
        )),
        (_, None) => Err(Error::parameter(
            "ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED",
        )),
        (_, Some(throughput)) => {
            let units = |word, units: Option<Integer>| {
                let number = units.map_or(0, |Integer(number)| number);
                if number > UNITS_MAX {
                    return Err(Error::Validation(format!("Given value {number} for {word} is out of bounds")));
                }
                Ok(u64::try_from(number).unwrap_or(0))
            };
            Ok(Billing::Provisioned {
                read_units: units("ReadCapacityUnits", throughput.read_units)?,
                write_units: units("WriteCapacityUnits", throughput.write_units)?,
            })
        }
    }
}

/// What could be asked of a table but would not be done: refused, never ignored.
fn refuse_unsupported(request: &Request) -> Result<(), Error> {
    let some = |list: &Option<Vec<Present>>| list.as_ref().is_some_and(|list| !list.is_empty());
    for (given, what) in [
        (some(&request.global_indexes), "GlobalSecondaryIndexes"),
        (some(&request.local_indexes), "LocalSecondaryIndexes"),
        (some(&request.tags), "Tags"),
        (request.resource_policy.is_some(), "ResourcePolicy"),
        (request.on_demand_throughput.is_some(), "OnDemandThroughput"),
        (request.warm_throughput.is_some(), "WarmThroughput"),
        (request.encryption.as_ref().is_some_and(|encryption| encryption.enabled == Some(true)), "SSESpecification"),
        (request.table_class.as_deref() == Some("STANDARD_INFREQUENT_ACCESS"), "TableClass STANDARD_INFREQUENT_ACCESS"),
    ] {
        if given {
            return Err(Error::parameter(format_args!("{what} is not supported by Thalweg yet")));
        }
    }
    Ok(())
}

/// The stream that is asked for, if it is to be on. The store assigns its label.
pub(crate) fn stream(given: StreamSpecification) -> Result<Option<Stream>, Error> {
    match (given.enabled.unwrap_or(false), given.view) {
        (true, Some(word)) => {
            let view = stream_arn::view_of_word(&word);
            let view = view.ok_or_else(|| Error::parameter(format_args!("StreamViewType {word} is unknown")))?;
            Ok(Some(Stream { view, enabled_at_us: 0 }))
        }
        (true, None) => Err(Error::parameter("StreamViewType must be specified when StreamEnabled is true")),
        (false, Some(_)) => Err(Error::parameter("StreamViewType cannot be specified when StreamEnabled is false")),
        (false, None) => Ok(None),
    }
}

/// The key attributes, in DynamoDB's order of complaints.
fn key(
    attributes: &[AttributeDefinition],
    schema: &[KeySchemaElement],
) -> Result<(KeyAttribute, Option<KeyAttribute>), Error> {
    let undefined = || Error::validation("Invalid KeySchema: Some index key attribute have no definition");
    if schema.len() > attributes.len() {
        return Err(undefined());
    }
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
    for (place, attribute) in attributes.iter().enumerate() {
        if attributes[..place].iter().any(|before| before.name == attribute.name) {
            return Err(Error::parameter("AttributeDefinitions must not define an attribute twice"));
        }
    }
    let define = |element: &KeySchemaElement| {
        let definition = attributes.iter().find(|attribute| attribute.name == element.name).ok_or_else(undefined)?;
        let key_type = match definition.kind.as_deref() {
            Some("S") => KeyType::S,
            Some("N") => KeyType::N,
            _ => KeyType::B,
        };
        Ok::<KeyAttribute, Error>(KeyAttribute { name: definition.name.clone().unwrap_or_default(), key_type })
    };
    let key = (define(hash)?, range.map(define).transpose()?);
    if attributes.len() > schema.len() {
        return Err(Error::parameter(
            "Number of attributes in KeySchema does not exactly match number of attributes defined in \
             AttributeDefinitions",
        ));
    }
    Ok(key)
}
