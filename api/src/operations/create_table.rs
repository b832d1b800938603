//! CreateTable.

use std::collections::BTreeSet;

use item::{
    IndexKind, Stream, Table, TableId,
    table::{self, Billing, TableClass},
};
use serde::Serialize;
use store::write::{TableRejection, TableWrite};

use super::{
    index_definition::{self, IndexDefinition},
    key_schema::{self, AttributeDefinition, KeyAttributes, KeySchemaElement},
    stream_arn,
    table_description::TableDescription,
    tags::{self, Tag},
    throughput::{OnDemandThroughput, Throughput, Wanted, Warm},
};
use crate::{
    App, Error,
    json::request,
    validate::{self, Violations},
};

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
        tags: Vec<Tag> = "Tags",
        global_indexes: Vec<IndexDefinition> = "GlobalSecondaryIndexes",
        local_indexes: Vec<IndexDefinition> = "LocalSecondaryIndexes",
        resource_policy: String = "ResourcePolicy",
        on_demand_throughput: OnDemandThroughput = "OnDemandThroughput",
        warm_throughput: Warm = "WarmThroughput",
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
    struct Encryption {
        enabled: bool = "Enabled",
        kind: String = "SSEType",
        key: String = "KMSMasterKeyId",
    }
}

/// What CreateTable, DeleteTable and UpdateTable answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Answer {
    pub(crate) table_description: TableDescription,
}

pub(crate) async fn run(app: &App, request: Request) -> Result<Answer, Error> {
    let table = definition(request, Violations::default())?;
    let name = table.name.clone();
    match app.store.change_table_within(TableWrite::Create(table), app.config.patience).await? {
        Ok(table) => Ok(Answer { table_description: TableDescription::of(app, &table, "ACTIVE") }),
        Err(rejection) => Err(refusal(&name, rejection)),
    }
}

/// What is said when a table cannot be made.
pub(crate) fn refusal(name: &str, rejection: TableRejection) -> Error {
    match rejection {
        TableRejection::Exists(_) | TableRejection::Filling => Error::InUse(format!("Table already exists: {name}")),
        TableRejection::Invalid(error) => Error::parameter(error),
        other => Error::Internal(format!("could not create table {name}: {other}")),
    }
}

/// The table that is asked for, if it can be one. `violations` are those of what the request is part of.
pub(crate) fn definition(request: Request, violations: Violations) -> Result<Table, Error> {
    let name = validate::new_table_name(request.table_name.clone())?;
    constraints(&request, violations)?;
    let billing = billing(request.billing_mode.as_deref(), request.throughput.as_ref())?;
    refuse_unsupported(&request)?;
    let settings = settings(&request, billing)?;
    let stream = request.stream.as_ref().map_or(Ok(None), |given| stream(given, &WORDS))?;
    let attributes = request.attributes.unwrap_or_default();
    let schema = request.key_schema.unwrap_or_default();
    let undefined = || Error::validation("Invalid KeySchema: Some index key attribute have no definition");
    if schema.len() > attributes.len() {
        return Err(undefined());
    }
    let KeyAttributes { partition_key, sort_key, further_keys } =
        key_schema::key(&schema, false, &attributes, undefined)?;
    let mut table = Table {
        // The store assigns id, version and times.
        id: TableId(0),
        name,
        version: 0,
        partition_key,
        sort_key,
        sort_key_is_time: false,
        item_key: Vec::new(),
        further_keys,
        settings,
        indexes: Vec::new(),
        stream,
        created_at_us: 0,
        billing,
        deletion_protection: request.deletion_protection.unwrap_or(false),
        tags: tags::checked(request.tags.unwrap_or_default())?,
    };
    add_indexes(&mut table, request.global_indexes, request.local_indexes, &attributes)?;
    check_used(&table, &attributes)?;
    Ok(table)
}

/// What each member must be by itself.
fn constraints(request: &Request, mut violations: Violations) -> Result<(), Error> {
    violations.required("attributeDefinitions", request.attributes.as_ref());
    violations.required("keySchema", request.key_schema.as_ref());
    violations.one_of("billingMode", request.billing_mode.as_ref(), &["PROVISIONED", "PAY_PER_REQUEST"]);
    key_schema::definition_constraints(&mut violations, request.attributes.as_ref());
    if request.key_schema.is_some() {
        let schema = request.key_schema.as_ref();
        key_schema::schema_constraints(&mut violations, "keySchema", schema, key_schema::KEY_MAX);
    }
    wanted(request).constraints(&mut violations, "");
    for (kind, member, indexes) in [
        (IndexKind::Global, "globalSecondaryIndexes", &request.global_indexes),
        (IndexKind::Local, "localSecondaryIndexes", &request.local_indexes),
    ] {
        for (place, index) in indexes.iter().flatten().enumerate() {
            index.constraints(&mut violations, &format!("{member}.{}.member", place + 1), kind);
        }
    }
    encryption_constraints(&mut violations, request.encryption.as_ref());
    if let Some(stream) = &request.stream {
        stream_constraints(&mut violations, stream);
    }
    violations.finish()?;
    check_table_class(request.table_class.as_deref())
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

fn wanted(request: &Request) -> Wanted<'_> {
    Wanted {
        provisioned: request.throughput.as_ref(),
        on_demand: request.on_demand_throughput.as_ref(),
        warm: request.warm_throughput.as_ref(),
    }
}

fn settings(request: &Request, billing: Billing) -> Result<table::TableSettings, Error> {
    let mut settings = table::TableSettings::default();
    let change = wanted(request).change("table", billing, &settings.throughput)?;
    settings.throughput.read_units_max = change.read_units_max.flatten();
    settings.throughput.write_units_max = change.write_units_max.flatten();
    settings.throughput.warm = change.warm;
    settings.class = table_class(request.table_class.as_deref());
    Ok(settings)
}

/// Refuses a word that is no class.
pub(crate) fn check_table_class(word: Option<&str>) -> Result<(), Error> {
    match word {
        None | Some("STANDARD" | "STANDARD_INFREQUENT_ACCESS") => Ok(()),
        Some(_) => Err(Error::validation(
            "Invalid table-class parameter provided. Please try again with a valid table-class value: [STANDARD, \
             STANDARD_INFREQUENT_ACCESS].",
        )),
    }
}

/// The class of a word that has passed validation.
pub(crate) fn table_class(word: Option<&str>) -> Option<TableClass> {
    match word? {
        "STANDARD_INFREQUENT_ACCESS" => Some(TableClass::InfrequentAccess),
        _ => Some(TableClass::Standard),
    }
}

/// What an encryption specification's members must be by themselves.
pub(crate) fn encryption_constraints(violations: &mut Violations, encryption: Option<&Encryption>) {
    let kind = encryption.and_then(|encryption| encryption.kind.as_ref());
    violations.one_of("sSESpecification.sSEType", kind, &["AES256", "KMS"]);
}

/// Refuses encryption by a key of the client's: nothing here is encrypted at rest, and to say otherwise would be a lie.
/// Without one the specification asks for what is so anyway.
pub(crate) fn refuse_encryption(encryption: Option<&Encryption>) -> Result<(), Error> {
    let Some(encryption) = encryption else { return Ok(()) };
    let kind = encryption.kind.as_deref();
    let wrong = match (encryption.enabled.unwrap_or(false), kind, encryption.key.is_some()) {
        (false, Some(_), _) => Some("SSEType can not be specified if Enabled is false"),
        (false, None, true) => Some("KMSMasterKeyId can not be specified if Enabled is false"),
        (true, Some("AES256"), _) => Some("SSEType AES256 is not supported"),
        (true, None, true) => Some("SSEType KMS is required if KMSMasterKeyId is specified"),
        _ => None,
    };
    if let Some(wrong) = wrong {
        return Err(Error::parameter(wrong));
    }
    if encryption.enabled == Some(true) || encryption.kind.is_some() || encryption.key.is_some() {
        return Err(Error::parameter(
            "SSESpecification is not supported by Thalweg, which does not encrypt at rest: use an encrypted disk",
        ));
    }
    Ok(())
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
        (_, Some(throughput)) => throughput.billing(),
    }
}

/// Adds the indexes that are defined.
fn add_indexes(
    table: &mut Table,
    global: Option<Vec<IndexDefinition>>,
    local: Option<Vec<IndexDefinition>>,
    attributes: &[AttributeDefinition],
) -> Result<(), Error> {
    for (kind, definitions, member) in
        [(IndexKind::Local, local, "LocalSecondaryIndexes"), (IndexKind::Global, global, "GlobalSecondaryIndexes")]
    {
        let Some(definitions) = definitions else { continue };
        if definitions.is_empty() {
            return Err(Error::parameter(format_args!("List of {member} is empty")));
        }
        if kind == IndexKind::Local && table.sort_key.is_none() {
            return Err(Error::parameter(
                "Table KeySchema does not have a range key, which is required when specifying a LocalSecondaryIndex",
            ));
        }
        for definition in definitions {
            let undefined = |schema: &[KeySchemaElement]| index_definition::undefined_keys(schema, attributes);
            index_definition::add(table, definition.to_index(kind, table, attributes, undefined)?)?;
        }
    }
    Ok(())
}

/// Refuses definitions of attributes that are in no key.
fn check_used(table: &Table, attributes: &[AttributeDefinition]) -> Result<(), Error> {
    key_schema::check_definitions(attributes)?;
    let used: BTreeSet<&str> = table.all_key_attributes().map(|key| key.name.as_str()).collect();
    if used.len() == attributes.len() {
        return Ok(());
    }
    if table.indexes.is_empty() {
        return Err(Error::parameter(
            "Number of attributes in KeySchema does not exactly match number of attributes defined in \
             AttributeDefinitions",
        ));
    }
    Err(Error::parameter(format_args!(
        "Some AttributeDefinitions are not used. AttributeDefinitions: {}, keys used: {}",
        key_schema::defined(attributes),
        key_schema::listed(used.into_iter())
    )))
}

/// What could be asked of a table but would not be done: refused, never ignored.
fn refuse_unsupported(request: &Request) -> Result<(), Error> {
    for (given, what) in [(request.resource_policy.is_some(), "ResourcePolicy")] {
        if given {
            return Err(Error::parameter(format_args!("{what} is not supported by Thalweg yet")));
        }
    }
    refuse_encryption(request.encryption.as_ref())
}

/// What is said of a specification that names what a stream shows without asking for one, or the other way round.
pub(crate) struct StreamWords {
    /// It is on, and nothing says what it shows.
    pub(crate) unnamed: &'static str,
    /// It is off, and something does.
    pub(crate) named: &'static str,
}

/// CreateTable's.
const WORDS: StreamWords = StreamWords {
    unnamed: "Table is being created with a stream enabled, UpdateViewType is required",
    named: "Table is being created with a stream disabled, UpdateViewType should not be specified",
};

/// The stream that is asked for, if it is to be on. The store assigns its label.
pub(crate) fn stream(given: &StreamSpecification, words: &StreamWords) -> Result<Option<Stream>, Error> {
    match (given.enabled.unwrap_or(false), &given.view) {
        (true, Some(word)) => {
            let view = stream_arn::view_of_word(word);
            let view = view.ok_or_else(|| Error::parameter(format_args!("StreamViewType {word} is unknown")))?;
            Ok(Some(Stream { view, enabled_at_us: 0 }))
        }
        (true, None) => Err(Error::parameter(words.unnamed)),
        (false, Some(_)) => Err(Error::parameter(words.named)),
        (false, None) => Ok(None),
    }
}
