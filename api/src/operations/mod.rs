//! The operations, one a file but for twins, and the table of their names.
//!
//! Each `run` takes a typed request and answers a typed answer or an error; it knows no HTTP.

mod backup_description;
mod backups;
mod batch_execute_statement;
mod batch_get_item;
mod batch_write_item;
mod capacity_change;
mod change_item;
mod commit;
mod conditional;
mod continuous_backups;
mod create_table;
mod delete_table;
mod describe_endpoints;
mod describe_limits;
mod describe_stream;
mod describe_table;
mod execute_statement;
mod execute_transaction;
mod exports;
mod get_item;
mod get_records;
mod get_shard_iterator;
mod imports;
mod index_definition;
mod index_description;
mod index_read;
mod key_schema;
mod list_streams;
mod list_tables;
mod listed_jobs;
mod metered;
mod next_token;
mod page;
mod query;
mod read_at_once;
mod restore_table;
mod scan;
mod select;
mod statement;
mod stream_arn;
mod stream_record;
mod table_description;
mod tags;
mod throughput;
mod time_to_live;
mod transact_get_items;
mod transact_write_items;
mod transaction;
mod update_item;
mod update_table;

use std::sync::Arc;

use item::{Item, Table};
use serde::Serialize;

use crate::{App, Error, budget::Room, json};

use change_item::Verb;
pub(crate) use listed_jobs::{export_arn, table_of_job};
pub(crate) use stream_record::StreamRecord;
pub(crate) use table_description::{ACCOUNT, table_arn, table_id};

/// The targets of the two protocols.
const DYNAMODB: &str = "DynamoDB_20120810.";
const STREAMS: &str = "DynamoDBStreams_20120810.";

/// The operation that `X-Amz-Target` names, as metrics show it; none if it is not served.
pub(crate) fn known(target: &str) -> Option<&'static str> {
    if let Some(name) = target.strip_prefix(DYNAMODB) {
        return SERVED.iter().find(|served| **served == name).copied();
    }
    let name = target.strip_prefix(STREAMS)?;
    SERVED_STREAMS.iter().find(|served| **served == name).copied()
}

/// Operations of DynamoDB that are served.
const SERVED: &[&str] = &[
    "BatchExecuteStatement",
    "BatchGetItem",
    "BatchWriteItem",
    "CreateBackup",
    "CreateTable",
    "DeleteBackup",
    "DeleteItem",
    "DeleteTable",
    "DescribeBackup",
    "DescribeContinuousBackups",
    "DescribeEndpoints",
    "DescribeExport",
    "DescribeImport",
    "DescribeLimits",
    "DescribeTable",
    "DescribeTimeToLive",
    "ExecuteStatement",
    "ExecuteTransaction",
    "ExportTableToPointInTime",
    "GetItem",
    "ImportTable",
    "ListBackups",
    "ListExports",
    "ListImports",
    "ListTables",
    "ListTagsOfResource",
    "PutItem",
    "Query",
    "RestoreTableFromBackup",
    "RestoreTableToPointInTime",
    "Scan",
    "TagResource",
    "TransactGetItems",
    "TransactWriteItems",
    "UntagResource",
    "UpdateContinuousBackups",
    "UpdateItem",
    "UpdateTable",
    "UpdateTimeToLive",
];

/// Operations of DynamoDB Streams that are served.
const SERVED_STREAMS: &[&str] = &["DescribeStream", "GetRecords", "GetShardIterator", "ListStreams"];

/// The names of all operations that are served.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    SERVED.iter().chain(SERVED_STREAMS).copied()
}

/// The table whose stream an ARN names.
pub(crate) fn table_of_stream(arn: Option<&String>) -> Result<String, Error> {
    stream_arn::required("streamArn", arn).map(|stream| stream.table)
}

/// The table of which an ARN names a backup.
pub(crate) fn table_of_backup(arn: Option<&String>) -> Result<String, Error> {
    backups::parse_arn(arn.map(String::as_str).unwrap_or_default()).map(|(table, _)| table)
}

/// Runs `operation`, which [`known`] gave, on a request body that came to `host`. Before an operation reads what may be large
/// it reserves `room` for it.
pub(crate) async fn run(
    app: &App,
    operation: &str,
    body: &[u8],
    host: &str,
    room: &mut Room<'_>,
) -> Result<Vec<u8>, Error> {
    match operation {
        "BatchExecuteStatement" => answer(batch_execute_statement::run(app, json::parse(body)?, room).await?),
        "BatchGetItem" => answer(batch_get_item::run(app, json::parse(body)?, room).await?),
        "BatchWriteItem" => answer(batch_write_item::run(app, json::parse(body)?, room).await?),
        "CreateBackup" => answer(backups::create(app, json::parse(body)?).await?),
        "CreateTable" => answer(create_table::run(app, json::parse(body)?).await?),
        "DeleteBackup" => answer(backups::delete(app, json::parse(body)?).await?),
        "DeleteItem" => answer(change_item::run(app, Verb::Delete, json::parse(body)?, room).await?),
        "DeleteTable" => answer(delete_table::run(app, json::parse(body)?).await?),
        "DescribeBackup" => answer(backups::describe(app, json::parse(body)?)?),
        "DescribeContinuousBackups" => answer(continuous_backups::describe(app, json::parse(body)?)?),
        "DescribeEndpoints" => answer(describe_endpoints::run(host)),
        "DescribeExport" => answer(exports::describe(app, json::parse(body)?).await?),
        "DescribeImport" => answer(imports::describe(app, json::parse(body)?).await?),
        "DescribeLimits" => answer(describe_limits::run()),
        "DescribeStream" => answer(describe_stream::run(app, json::parse(body)?).await?),
        "DescribeTable" => answer(describe_table::run(app, json::parse(body)?)?),
        "DescribeTimeToLive" => answer(time_to_live::describe(app, json::parse(body)?)?),
        "ExecuteStatement" => answer(execute_statement::run(app, json::parse(body)?, room).await?),
        "ExecuteTransaction" => answer(execute_transaction::run(app, json::parse(body)?, room).await?),
        "ExportTableToPointInTime" => answer(exports::start(app, json::parse(body)?).await?),
        "GetItem" => answer(get_item::run(app, json::parse(body)?, room).await?),
        "GetRecords" => answer(get_records::run(app, json::parse(body)?, room).await?),
        "GetShardIterator" => answer(get_shard_iterator::run(app, json::parse(body)?).await?),
        "ImportTable" => answer(imports::start(app, json::parse(body)?).await?),
        "ListBackups" => answer(backups::list(app, json::parse(body)?)?),
        "ListExports" => answer(exports::list(app, json::parse(body)?).await?),
        "ListImports" => answer(imports::list(app, json::parse(body)?).await?),
        "ListStreams" => answer(list_streams::run(app, json::parse(body)?)?),
        "ListTables" => answer(list_tables::run(app, json::parse(body)?)?),
        "ListTagsOfResource" => answer(tags::list(app, json::parse(body)?)?),
        "PutItem" => answer(change_item::run(app, Verb::Put, json::parse(body)?, room).await?),
        "Query" => answer(query::run(app, json::parse(body)?, room).await?),
        "RestoreTableFromBackup" => answer(restore_table::from_backup(app, json::parse(body)?).await?),
        "RestoreTableToPointInTime" => answer(restore_table::to_time(app, json::parse(body)?).await?),
        "Scan" => answer(scan::run(app, json::parse(body)?, room).await?),
        "TagResource" => tags::tag(app, json::parse(body)?).await.map(|()| Vec::new()),
        "TransactGetItems" => answer(transact_get_items::run(app, json::parse(body)?, room).await?),
        "TransactWriteItems" => answer(transact_write_items::run(app, json::parse(body)?, room).await?),
        "UntagResource" => tags::untag(app, json::parse(body)?).await.map(|()| Vec::new()),
        "UpdateContinuousBackups" => answer(continuous_backups::update(app, json::parse(body)?).await?),
        "UpdateItem" => answer(update_item::run(app, json::parse(body)?, room).await?),
        "UpdateTable" => answer(update_table::run(app, json::parse(body)?).await?),
        "UpdateTimeToLive" => answer(time_to_live::update(app, json::parse(body)?).await?),
        other => Err(unknown(other)),
    }
}

/// What an operation that is not served gets.
pub(crate) fn unknown(target: &str) -> Error {
    let name = target.rsplit('.').next().unwrap_or(target);
    if name.is_empty() {
        return Error::UnknownOperation("no operation is named by X-Amz-Target".into());
    }
    Error::UnknownOperation(format!("operation {name} is not served by Thalweg"))
}

/// What an item takes while it is read and shown, at most: decoded, as JSON, and in between. An estimate, as
/// [`READING_FACTOR`] is.
const ITEM_ROOM_BYTES: usize = READING_FACTOR * Item::SIZE_MAX;
/// How many times the size of an item, as DynamoDB counts it, is in memory while it is read and shown.
const READING_FACTOR: usize = 8;

fn answer(answer: impl Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(&answer).map_err(|error| Error::Internal(error.to_string()))
}

/// The table that an operation on items works on: none that is still being filled.
pub(crate) fn table(app: &App, name: &str) -> Result<Arc<Table>, Error> {
    let table = user_table(app, name).filter(|table| !table.settings.is_filling);
    table.ok_or_else(|| Error::NotFound("Requested resource not found".into()))
}

/// The table that an operation on tables describes.
fn described_table(app: &App, name: &str) -> Result<Arc<Table>, Error> {
    user_table(app, name).ok_or_else(|| no_such_table(name))
}

/// The table that an operation on tables changes: none that is still being filled.
fn changed_table(app: &App, name: &str) -> Result<Arc<Table>, Error> {
    let table = described_table(app, name)?;
    if table.settings.is_filling { Err(being_created(name)) } else { Ok(table) }
}

/// System tables cannot be named: their names are no table names.
fn user_table(app: &App, name: &str) -> Option<Arc<Table>> {
    app.store.catalog().by_name(name).filter(|table| !table.id.is_system()).cloned()
}

/// What a change of a table gets that is still being filled.
fn being_created(name: &str) -> Error {
    Error::InUse(format!("Attempt to change a resource which is still in use: Table is being created: {name}"))
}

fn no_such_table(name: &str) -> Error {
    Error::NotFound(format!("Requested resource not found: Table: {name} not found"))
}
