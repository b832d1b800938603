//! UpdateTable: the stream and the protection against deletion. Other changes are refused.

use store::write::{TableRejection, TableWrite};

use super::{
    create_table::{Answer, StreamSpecification, stream, stream_constraints},
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
        attributes: Present = "AttributeDefinitions",
        billing_mode: Present = "BillingMode",
        throughput: Present = "ProvisionedThroughput",
        index_updates: Present = "GlobalSecondaryIndexUpdates",
        replica_updates: Present = "ReplicaUpdates",
        encryption: Present = "SSESpecification",
        table_class: Present = "TableClass",
        on_demand_throughput: Present = "OnDemandThroughput",
        warm_throughput: Present = "WarmThroughput",
    }
}

pub(crate) async fn run(app: &App, request: Request) -> Result<Answer, Error> {
    let name = validate::table_name(request.table_name)?;
    let mut violations = Violations::default();
    if let Some(stream) = &request.stream {
        stream_constraints(&mut violations, stream);
    }
    violations.finish()?;
    for (given, what) in [
        (request.billing_mode, "BillingMode"),
        (request.throughput, "ProvisionedThroughput"),
        (request.index_updates, "GlobalSecondaryIndexUpdates"),
        (request.attributes, "AttributeDefinitions"),
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
    if request.stream.is_none() && request.deletion_protection.is_none() {
        return Err(Error::parameter("At least one of StreamSpecification or DeletionProtectionEnabled is required"));
    }
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
    Ok(Answer { table_description: TableDescription::of(app, &table, "ACTIVE") })
}

async fn changed(app: &App, name: &str, change: TableWrite) -> Result<std::sync::Arc<item::Table>, Error> {
    app.store.change_table_within(change, app.config.patience).await?.map_err(|rejection| match rejection {
        TableRejection::NotFound => super::no_such_table(name),
        other => Error::Internal(format!("could not change table {name}: {other}")),
    })
}
