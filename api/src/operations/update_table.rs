//! UpdateTable: global indexes, the stream, the protection against deletion. Other changes are refused.

use item::{Index, IndexKind, IndexStatus, Table, TableId};
use store::write::{TableRejection, TableWrite};

use super::{
    create_table::{Answer, StreamSpecification, stream, stream_constraints},
    index_definition::{self, IndexDefinition},
    key_schema::{self, AttributeDefinition},
    table_description::TableDescription,
};
use crate::{
    App, Error,
    json::{Present, request},
    validate::{self, Violations},
};

request! {
    /// What UpdateTable takes.
    struct Request {
        table_name: String = "TableName",
        stream: StreamSpecification = "StreamSpecification",
        deletion_protection: bool = "DeletionProtectionEnabled",
        attributes: Vec<AttributeDefinition> = "AttributeDefinitions",
        billing_mode: Present = "BillingMode",
        throughput: Present = "ProvisionedThroughput",
        index_updates: Vec<IndexUpdate> = "GlobalSecondaryIndexUpdates",
        replica_updates: Present = "ReplicaUpdates",
        encryption: Present = "SSESpecification",
        table_class: Present = "TableClass",
        on_demand_throughput: Present = "OnDemandThroughput",
        warm_throughput: Present = "WarmThroughput",
    }
}

request! {
    /// One index to be changed.
    struct IndexUpdate {
        create: IndexDefinition = "Create",
        delete: IndexNamed = "Delete",
        update: Present = "Update",
    }
}

request! {
    /// An index, named.
    struct IndexNamed { name: String = "IndexName", }
}

pub(crate) async fn run(app: &App, request: Request) -> Result<Answer, Error> {
    let name = validate::table_name(request.table_name)?;
    let mut violations = Violations::default();
    if let Some(stream) = &request.stream {
        stream_constraints(&mut violations, stream);
    }
    key_schema::definition_constraints(&mut violations, request.attributes.as_ref());
    for (place, update) in request.index_updates.iter().flatten().enumerate() {
        update.constraints(&mut violations, &format!("globalSecondaryIndexUpdates.{}.member", place + 1));
    }
    violations.finish()?;
    for (given, what) in [
        (request.billing_mode, "BillingMode"),
        (request.throughput, "ProvisionedThroughput"),
        (request.replica_updates, "ReplicaUpdates"),
        (request.encryption, "SSESpecification"),
        (request.table_class, "TableClass"),
        (request.on_demand_throughput, "OnDemandThroughput"),
        (request.warm_throughput, "WarmThroughput"),
    ] {
        if given.is_some() {
            let text = format_args!("UpdateTable cannot change {what} in Thalweg yet");
            return Err(Error::parameter(text));
        }
    }
    let mut table = super::described_table(app, &name)?;
    let index_updates = request.index_updates.unwrap_or_default();
    if request.stream.is_none() && request.deletion_protection.is_none() && index_updates.is_empty() {
        return Err(Error::parameter(
            "At least one of StreamSpecification, DeletionProtectionEnabled or GlobalSecondaryIndexUpdates is required",
        ));
    }
    let attributes = request.attributes.unwrap_or_default();
    key_schema::check_definitions(&attributes)?;
    let index_change = index_change(&table, index_updates, &attributes)?;
    if let Some(given) = request.stream {
        let stream = stream(given)?;
        match (&table.stream, &stream) {
            (Some(_), Some(_)) => {
                return Err(Error::Validation(format!("Table already has an enabled stream: TableName: {name}")));
            }
            (None, None) => {
                return Err(Error::Validation(format!("Table has no enabled stream to disable: TableName: {name}")));
            }
            _ => {}
        }
        table = changed(app, &name, TableWrite::SetStream(name.clone(), stream)).await?;
    }
    if let Some(protected) = request.deletion_protection {
        table = changed(app, &name, TableWrite::SetDeletionProtection(name.clone(), protected)).await?;
    }
    let mut status = "ACTIVE";
    if let Some(change) = index_change {
        table = changed(app, &name, change).await?;
        status = "UPDATING";
    }
    Ok(Answer { table_description: TableDescription::of(app, &table, status) })
}

/// What is to become of the table's global indexes: at most one is added or removed at a time, as in DynamoDB.
fn index_change(
    table: &Table,
    updates: Vec<IndexUpdate>,
    attributes: &[AttributeDefinition],
) -> Result<Option<TableWrite>, Error> {
    let mut updates = updates.into_iter();
    let Some(update) = updates.next() else { return Ok(None) };
    if updates.next().is_some() {
        return Err(Error::parameter(
            "Subscriber limit exceeded: Only 1 online index can be created or deleted simultaneously per table",
        ));
    }
    match (update.create, update.delete, update.update) {
        (Some(definition), None, None) => {
            if table.user_indexes().any(|index| index.status == IndexStatus::Filling) {
                return Err(Error::InUse(format!(
                    "Attempt to change a resource which is still in use: Table is being updated: {}",
                    table.name
                )));
            }
            let index = definition.to_index(IndexKind::Global, table, attributes)?;
            if table.index(&index.name).is_some() {
                return Err(Error::Validation("Attempting to create an index which already exists".into()));
            }
            let mut with_index = table.clone();
            index_definition::add(&mut with_index, Index { id: TableId(0), ..index.clone() })?;
            let types = |name: &str| table.all_key_attributes().find(|attribute| attribute.name == name);
            for attribute in index.key_attributes() {
                if types(&attribute.name).is_some_and(|known| known.key_type != attribute.key_type) {
                    return Err(Error::parameter(format_args!(
                        "Attribute {} is defined with another type already",
                        attribute.name
                    )));
                }
            }
            Ok(Some(TableWrite::AddIndex(table.name.clone(), index)))
        }
        (None, Some(delete), None) => {
            let index = delete.name.unwrap_or_default();
            if table.index(&index).is_none_or(|index| index.kind == IndexKind::Local) {
                return Err(Error::NotFound(format!("Requested resource not found: Index: {index} not found")));
            }
            Ok(Some(TableWrite::DropIndex(table.name.clone(), index)))
        }
        (None, None, Some(_)) => {
            Err(Error::parameter("UpdateTable cannot change an index's ProvisionedThroughput in Thalweg yet"))
        }
        _ => Err(Error::parameter(
            "One of GlobalSecondaryIndexUpdate's Create, Update and Delete is required, and only one",
        )),
    }
}

impl IndexUpdate {
    fn constraints(&self, violations: &mut Violations, at: &str) {
        if let Some(create) = &self.create {
            create.constraints(violations, &format!("{at}.create"));
        }
        if let Some(delete) = &self.delete {
            index_definition::index_name(violations, &format!("{at}.delete"), delete.name.as_ref());
        }
    }
}

async fn changed(app: &App, name: &str, change: TableWrite) -> Result<std::sync::Arc<Table>, Error> {
    app.store.change_table_within(change, app.config.patience).await?.map_err(|rejection| match rejection {
        TableRejection::NotFound => super::no_such_table(name),
        TableRejection::IndexExists => Error::validation("Attempting to create an index which already exists"),
        TableRejection::IndexNotFound => Error::NotFound("Requested resource not found: Index not found".into()),
        TableRejection::Invalid(error) => Error::parameter(error),
        other => Error::Internal(format!("could not change table {name}: {other}")),
    })
}
