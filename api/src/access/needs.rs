//! What an operation asks for: which actions on which tables and devices.
//!
//! The body is read a second time, by the same types and rules as the operation reads it, and only for keys that do not
//! allow everything. What is not known here asks for everything that there is.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use item::{Key, Table, key::decode_component};

use super::{Access, AccessKey, Scope};
use crate::{
    App, Error,
    expressions::{Expressions, Names, Values},
    json::{self, Members, request},
    operations,
    partiql::{self, Statement},
    transfer,
    validate::{self, Violations},
    values::{WireEncoded, WireItem, WireValue},
};

request! {
    /// An operation on a table.
    struct OfTable { table_name: String = "TableName", }
}

request! {
    /// An operation on an item.
    struct OfItem {
        table_name: String = "TableName",
        key: WireItem = "Key",
    }
}

request! {
    /// PutItem.
    struct OfPut {
        table_name: String = "TableName",
        item: WireEncoded = "Item",
    }
}

request! {
    /// Query.
    struct OfQuery {
        table_name: String = "TableName",
        index_name: String = "IndexName",
        key_condition: String = "KeyConditionExpression",
        names: Names = "ExpressionAttributeNames",
        values: Values = "ExpressionAttributeValues",
        key_conditions: BTreeMap<String, OfKey> = "KeyConditions",
    }
}

request! {
    /// A condition on a key attribute, without expressions.
    struct OfKey {
        values: Vec<WireValue> = "AttributeValueList",
        operator: String = "ComparisonOperator",
    }
}

request! {
    /// BatchGetItem.
    struct OfBatchGet { items: Members<Keys> = "RequestItems", }
}

request! {
    /// Keys of one table.
    struct Keys { keys: Vec<WireItem> = "Keys", }
}

request! {
    /// BatchWriteItem.
    struct OfBatchWrite { items: Members<Vec<OfWrite>> = "RequestItems", }
}

request! {
    /// A put or a delete.
    struct OfWrite {
        put: Put = "PutRequest",
        delete: OfItem = "DeleteRequest",
    }
}

request! {
    /// An item to store.
    struct Put { item: WireEncoded = "Item", }
}

request! {
    /// A transaction, of either kind.
    struct OfTransaction { items: Vec<OfAction> = "TransactItems", }
}

request! {
    /// One action of a transaction.
    struct OfAction {
        get: OfItem = "Get",
        check: OfItem = "ConditionCheck",
        put: TransactPut = "Put",
        delete: OfItem = "Delete",
        update: OfItem = "Update",
    }
}

request! {
    /// A put of a transaction.
    struct TransactPut {
        table_name: String = "TableName",
        item: WireItem = "Item",
    }
}

request! {
    /// A PartiQL statement.
    struct OfStatement {
        statement: String = "Statement",
        parameters: Vec<WireValue> = "Parameters",
    }
}

request! {
    /// Some of them.
    struct OfStatements {
        statements: Vec<OfStatement> = "Statements",
        transacted: Vec<OfStatement> = "TransactStatements",
    }
}

request! {
    /// An operation on a stream.
    struct OfStream { stream_arn: String = "StreamArn", }
}

request! {
    /// GetRecords.
    struct OfRecords { iterator: String = "ShardIterator", }
}

request! {
    /// An operation on what an ARN names.
    struct OfResource { arn: String = "ResourceArn", }
}

request! {
    /// An operation on a backup.
    struct OfBackup { arn: String = "BackupArn", }
}

request! {
    /// A restore, of either kind.
    struct OfRestore {
        target: String = "TargetTableName",
        backup: String = "BackupArn",
        source_name: String = "SourceTableName",
        source_arn: String = "SourceTableArn",
    }
}

request! {
    /// An export, or a list of exports or imports.
    struct OfTableArn { table_arn: String = "TableArn", }
}

request! {
    /// ImportTable.
    struct OfImport { table: OfTable = "TableCreationParameters", }
}

request! {
    /// An operation on an export or an import.
    struct OfJob {
        export_arn: String = "ExportArn",
        import_arn: String = "ImportArn",
    }
}

/// No operation takes more items, actions or statements than this: it refuses them all.
const PARTS_MAX: usize = 100;

/// Everything that `operation` asks for with `body`, of an owner of `key`. What the operation would refuse may be refused here
/// already, in the same words; and so is what names a table with which the key allows nothing of the kind, before anything
/// of that table is looked at. Of more parts than an operation takes some are enough.
pub(crate) fn needs(app: &App, key: &AccessKey, operation: &str, body: &[u8]) -> Result<Vec<Access>, Error> {
    let action = |name: &str| format!("dynamodb:{name}");
    let table = |action: &str, name: Option<String>| table(app, key, action, name);
    let one = |table: Scope, device: Scope| Ok(vec![Access { action: action(operation), table, device }]);
    let named = |name: Option<String>| validate::table_name(name).map(Scope::One);
    match operation {
        "GetItem" | "UpdateItem" | "DeleteItem" => {
            let OfItem { table_name, key } = json::parse(body)?;
            let (name, table) = table(operation, table_name)?;
            one(Scope::One(name), of_key(&table, key)?)
        }
        "PutItem" => {
            let OfPut { table_name, item } = json::parse(body)?;
            let (name, table) = table(operation, table_name)?;
            one(Scope::One(name), of_item(&table, item)?)
        }
        "Query" => {
            let query: OfQuery = json::parse(body)?;
            let (name, table) = table(operation, query.table_name.clone())?;
            one(Scope::One(name), of_query(&table, query)?)
        }
        "Scan" => one(named(json::parse::<OfTable>(body)?.table_name)?, Scope::Every),
        "BatchGetItem" => {
            let OfBatchGet { items } = json::parse(body)?;
            let mut all = Vec::new();
            for (name, Keys { keys }) in items.map_or_else(Vec::new, |Members(items)| items) {
                let (name, table) = table(operation, Some(name))?;
                for key in keys.unwrap_or_default().into_iter().take(PARTS_MAX + 1) {
                    let device = of_key(&table, Some(key))?;
                    all.push(Access { action: action(operation), table: Scope::One(name.clone()), device });
                }
            }
            Ok(all)
        }
        "BatchWriteItem" => {
            let OfBatchWrite { items } = json::parse(body)?;
            let mut all = Vec::new();
            for (name, writes) in items.map_or_else(Vec::new, |Members(items)| items) {
                let (name, table) = table(operation, Some(name))?;
                for OfWrite { put, delete } in writes.into_iter().take(PARTS_MAX + 1) {
                    let put = put.map(|put| of_item(&table, put.item));
                    let delete = delete.map(|delete| of_key(&table, delete.key));
                    for device in put.into_iter().chain(delete) {
                        let (table, device) = (Scope::One(name.clone()), device?);
                        all.push(Access { action: action(operation), table, device });
                    }
                }
            }
            Ok(all)
        }
        "TransactGetItems" | "TransactWriteItems" => {
            let OfTransaction { items } = json::parse(body)?;
            let mut all = Vec::new();
            for item in items.unwrap_or_default().into_iter().take(PARTS_MAX + 1) {
                let OfAction { get, check, put, delete, update } = item;
                let by_key =
                    [("GetItem", get), ("ConditionCheckItem", check), ("DeleteItem", delete), ("UpdateItem", update)];
                for (name, OfItem { table_name, key }) in by_key.into_iter().filter_map(|(name, of)| Some((name, of?)))
                {
                    let (table_name, table) = table(name, table_name)?;
                    let (table, device) = (Scope::One(table_name), of_key(&table, key)?);
                    all.push(Access { action: action(name), table, device });
                }
                if let Some(TransactPut { table_name, item }) = put {
                    let (table_name, table) = table("PutItem", table_name)?;
                    let item = validate::values(item.unwrap_or_else(|| WireItem(Ok(Default::default()))))?;
                    let device = of_partition(&validate::item_key(&table, &item)?.partition);
                    all.push(Access { action: action("PutItem"), table: Scope::One(table_name), device });
                }
            }
            Ok(all)
        }
        "ExecuteStatement" => Ok(vec![of_statement(json::parse(body)?)?]),
        "BatchExecuteStatement" | "ExecuteTransaction" => {
            let OfStatements { statements, transacted } = json::parse(body)?;
            statements.into_iter().chain(transacted).flatten().take(PARTS_MAX + 1).map(of_statement).collect()
        }
        "DescribeTable" | "DescribeTimeToLive" | "DescribeContinuousBackups" => {
            one(named(json::parse::<OfTable>(body)?.table_name)?, Scope::Any)
        }
        "CreateTable" | "UpdateTable" | "DeleteTable" | "UpdateTimeToLive" | "UpdateContinuousBackups" => {
            one(named(json::parse::<OfTable>(body)?.table_name)?, Scope::Every)
        }
        "CreateBackup" => one(named(json::parse::<OfTable>(body)?.table_name)?, Scope::Every),
        "ListBackups" => {
            let OfTable { table_name } = json::parse(body)?;
            one(table_name.map_or(Ok(Scope::Every), |name| named(Some(name)))?, Scope::Any)
        }
        "DescribeBackup" | "DeleteBackup" => {
            let OfBackup { arn } = json::parse(body)?;
            one(Scope::One(operations::table_of_backup(arn.as_ref())?), Scope::Every)
        }
        "RestoreTableFromBackup" | "RestoreTableToPointInTime" => {
            // Who may restore a table sees all of it, under another name.
            let OfRestore { target, backup, source_name, source_arn } = json::parse(body)?;
            // Names of another table than the one that is restored would open any: only those count that the operation reads.
            let source = match operation {
                "RestoreTableFromBackup" => operations::table_of_backup(backup.as_ref())?,
                _ => validate::table_name(source_name.or(source_arn))?,
            };
            let tables = [Scope::One(source), named(target)?].into_iter();
            Ok(tables.map(|table| Access { action: action(operation), table, device: Scope::Every }).collect())
        }
        "ExportTableToPointInTime" => one(named(json::parse::<OfTableArn>(body)?.table_arn)?, Scope::Every),
        "ImportTable" => {
            let OfImport { table } = json::parse(body)?;
            one(named(table.unwrap_or_default().table_name)?, Scope::Every)
        }
        "DescribeExport" | "DescribeImport" => {
            let OfJob { export_arn, import_arn } = json::parse(body)?;
            // The member and the kind that the operation reads, whatever else the request names.
            let (kind, arn) = match operation {
                "DescribeExport" => (transfer::EXPORT, export_arn),
                _ => (transfer::IMPORT, import_arn),
            };
            let table = arn.and_then(|arn| operations::table_of_job(kind, &arn));
            one(table.map_or(Scope::Every, Scope::One), Scope::Any)
        }
        "ListExports" | "ListImports" => {
            let OfTableArn { table_arn } = json::parse(body)?;
            one(table_arn.map_or(Ok(Scope::Every), |arn| named(Some(arn)))?, Scope::Any)
        }
        "ListTagsOfResource" => one(named(json::parse::<OfResource>(body)?.arn)?, Scope::Any),
        "TagResource" | "UntagResource" => one(named(json::parse::<OfResource>(body)?.arn)?, Scope::Every),
        "DescribeLimits" | "DescribeEndpoints" => one(Scope::Any, Scope::Any),
        "ListTables" => one(Scope::Every, Scope::Any),
        "ListStreams" => {
            let OfTable { table_name } = json::parse(body)?;
            one(table_name.map_or(Ok(Scope::Every), |name| named(Some(name)))?, Scope::Any)
        }
        "DescribeStream" | "GetShardIterator" => {
            let OfStream { stream_arn } = json::parse(body)?;
            one(Scope::One(operations::table_of_stream(stream_arn.as_ref())?), Scope::Every)
        }
        "GetRecords" => {
            let OfRecords { iterator } = json::parse(body)?;
            let table = app.streams.table_of_iterator(&iterator.unwrap_or_default())?;
            let name = app.store.catalog().by_id(table).map(|table| table.name.clone());
            one(name.map_or(Scope::Every, Scope::One), Scope::Every)
        }
        _ => one(Scope::Every, Scope::Every),
    }
}

/// What a PartiQL statement asks for, of all devices.
fn of_statement(given: OfStatement) -> Result<Access, Error> {
    let parameters = given.parameters.into_iter().flatten().map(|WireValue(value)| value);
    let parameters = parameters.collect::<Result<Vec<_>, _>>()?;
    let statement = partiql::parse(&given.statement.unwrap_or_default(), parameters)?;
    let action = match &statement {
        Statement::Select(_) | Statement::Exists(_) => "dynamodb:PartiQLSelect",
        Statement::Insert(_) => "dynamodb:PartiQLInsert",
        Statement::Update(_) => "dynamodb:PartiQLUpdate",
        Statement::Delete(_) => "dynamodb:PartiQLDelete",
    };
    Ok(Access::table(action, &validate::table_name(Some(statement.table().to_owned()))?))
}

/// A table that must be there, by the name that a request gives it, with some of which the key allows `action`.
fn table(app: &App, key: &AccessKey, action: &str, name: Option<String>) -> Result<(String, Arc<Table>), Error> {
    let name = validate::table_name(name)?;
    let some = Access { action: format!("dynamodb:{action}"), table: Scope::One(name.clone()), device: Scope::Any };
    key.require(&some)?;
    let table = operations::table(app, &name)?;
    Ok((name, table))
}

fn of_key(table: &Table, key: Option<WireItem>) -> Result<Scope, Error> {
    let mut violations = Violations::default();
    violations.required("key", key.as_ref());
    violations.finish()?;
    let key = validate::values(key.unwrap_or_else(|| WireItem(Ok(Default::default()))))?;
    Ok(of_partition(&validate::request_key(table, &key)?.partition))
}

fn of_item(table: &Table, item: Option<WireEncoded>) -> Result<Scope, Error> {
    let mut violations = Violations::default();
    violations.required("item", item.as_ref());
    violations.finish()?;
    let item = validate::encoded_item(item.unwrap_or_else(|| WireEncoded(Ok(Default::default()))))?;
    let Key { partition, .. } = validate::encoded_item_key(table, &item)?;
    Ok(of_partition(&partition))
}

/// The device that a query looks at. Through an index it is one only if the index has the table's partition key.
fn of_query(table: &Table, query: OfQuery) -> Result<Scope, Error> {
    if let Some(name) = &query.index_name
        && table.index(name).is_none_or(|index| index.entries(table).partition_key != table.partition_key)
    {
        return Ok(Scope::Every);
    }
    match (query.key_condition, query.key_conditions) {
        (Some(condition), None) => {
            let kinds = [(item::expression::Kind::KeyCondition, true)];
            let mut expressions = Expressions::new(query.names, query.values, &kinds)?;
            let terms = expressions.key_terms(&condition)?;
            // A term for the sort key of an index is none for the table's.
            let schema = query.index_name.as_ref().and_then(|name| Some(table.index(name)?.entries(table)));
            Ok(of_partition(&terms.bind(schema.as_ref().unwrap_or(table))?.partition))
        }
        (None, Some(mut conditions)) => {
            let condition = conditions.remove(&table.partition_key.name).unwrap_or_default();
            let mut values = condition.values.unwrap_or_default();
            match (condition.operator.as_deref(), values.pop(), values.is_empty()) {
                (Some("EQ"), Some(WireValue(value)), true) => Ok(Scope::device(&value?)),
                _ => Ok(Scope::Every),
            }
        }
        _ => Ok(Scope::Every),
    }
}

/// The device of an encoded partition key of one attribute.
fn of_partition(partition: &Bytes) -> Scope {
    match decode_component(partition) {
        Ok((value, length)) if length == partition.len() => Scope::device(&value),
        _ => Scope::Every,
    }
}
