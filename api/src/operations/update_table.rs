//! UpdateTable: capacity, class, global indexes, the stream, the protection against deletion.

use std::collections::BTreeSet;

use item::{
    Index, IndexKind, IndexStatus, KeyAttribute, Table, TableId,
    table::{Billing, CapacityChange},
};
use store::write::{TableRejection, TableUpdate, TableWrite};

use super::{
    capacity_change::{self, IndexThroughput},
    create_table::{
        Answer, Encryption, StreamSpecification, StreamWords, check_table_class, encryption_constraints,
        refuse_encryption, stream, stream_constraints,
    },
    index_definition::{self, IndexDefinition},
    key_schema::{self, AttributeDefinition},
    table_description::TableDescription,
    throughput::{OnDemandThroughput, Throughput, Wanted, Warm},
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
        billing_mode: String = "BillingMode",
        throughput: Throughput = "ProvisionedThroughput",
        index_updates: Vec<IndexUpdate> = "GlobalSecondaryIndexUpdates",
        replica_updates: Vec<Present> = "ReplicaUpdates",
        multi_region: String = "MultiRegionConsistency",
        witnesses: Vec<Present> = "GlobalTableWitnessUpdates",
        encryption: Encryption = "SSESpecification",
        table_class: String = "TableClass",
        on_demand_throughput: OnDemandThroughput = "OnDemandThroughput",
        warm_throughput: Warm = "WarmThroughput",
    }
}

request! {
    /// One index to be changed.
    struct IndexUpdate {
        create: IndexDefinition = "Create",
        delete: IndexNamed = "Delete",
        update: IndexThroughput = "Update",
    }
}

request! {
    /// An index, named.
    struct IndexNamed { name: String = "IndexName", }
}

/// So often a change is checked again because the table has changed meanwhile.
const ATTEMPTS_MAX: usize = 5;

pub(crate) async fn run(app: &App, request: Request) -> Result<Answer, Error> {
    let name = validate::table_name(request.table_name.clone())?;
    constraints(&request)?;
    check_given(&request)?;
    for _ in 0..ATTEMPTS_MAX {
        let old = super::changed_table(app, &name)?;
        let update = update(&request, &old, app.store.clock().now_us())?;
        let dropped = update.drop_index.as_ref().and_then(|name| old.index(name)).cloned();
        // Who protects a table waits for nothing.
        let is_at_once = update.capacity == CapacityChange::default()
            && update.stream.is_none()
            && update.add_index.is_none()
            && dropped.is_none();
        let throughput: BTreeSet<String> = update.capacity.indexes.keys().cloned().collect();
        let change = TableWrite::Update(name.clone(), Box::new(update));
        let table = match app.store.change_table_within(change, app.config.patience).await? {
            Ok(table) => table,
            Err(TableRejection::Changed) => continue,
            Err(rejection) => return Err(refused(&name, rejection)),
        };
        // The table is what was asked for already; it is described as DynamoDB does, which begins when it has answered.
        let status = if is_at_once { "ACTIVE" } else { "UPDATING" };
        let mut shown = Table::clone(&table);
        shown.indexes.extend(dropped.clone());
        shown.indexes.sort_by(|one, other| one.name.cmp(&other.name));
        let mut table_description = TableDescription::of(app, &shown, status);
        let of_dropped = dropped.iter().map(|index| (index.name.as_str(), "DELETING"));
        for (index, status) in throughput.iter().map(|index| (index.as_str(), "UPDATING")).chain(of_dropped) {
            table_description.set_index_status(index, status);
        }
        return Ok(Answer { table_description });
    }
    Err(in_use(&name))
}

/// What a request makes of a table, if it may. It was checked by itself.
fn update(request: &Request, table: &Table, now_us: u64) -> Result<TableUpdate, Error> {
    let attributes = request.attributes.as_deref().unwrap_or_default();
    key_schema::check_definitions(attributes)?;
    check_types(table, attributes)?;
    let updates = request.index_updates.as_deref().unwrap_or_default();
    let capacity = capacity_change::of(
        table,
        request.billing_mode.as_deref(),
        request.table_class.as_deref(),
        &wanted(request),
        updates.iter().filter_map(|update| update.update.as_ref()),
        now_us,
    )?;
    let index_change = index_change(table, &capacity, updates, attributes)?;
    if !attributes.is_empty() {
        check_used(table, index_change.as_ref(), attributes)?;
    }
    let stream = request.stream.as_ref().map(|given| stream_change(table, given)).transpose()?;
    let (add_index, drop_index) = match index_change {
        Some(IndexChange::Add(index)) => (Some(*index), None),
        Some(IndexChange::Drop(name)) => (None, Some(name)),
        None => (None, None),
    };
    Ok(TableUpdate {
        table: table.id,
        version: table.version,
        capacity,
        stream,
        deletion_protection: request.deletion_protection,
        add_index,
        drop_index,
    })
}

/// A global index that is to be added or removed.
enum IndexChange {
    Add(Box<Index>),
    Drop(String),
}

fn wanted(request: &Request) -> Wanted<'_> {
    Wanted {
        provisioned: request.throughput.as_ref(),
        on_demand: request.on_demand_throughput.as_ref(),
        warm: request.warm_throughput.as_ref(),
    }
}

/// What each member must be by itself.
fn constraints(request: &Request) -> Result<(), Error> {
    let mut violations = Violations::default();
    if let Some(stream) = &request.stream {
        stream_constraints(&mut violations, stream);
    }
    violations.one_of("billingMode", request.billing_mode.as_ref(), &["PROVISIONED", "PAY_PER_REQUEST"]);
    encryption_constraints(&mut violations, request.encryption.as_ref());
    wanted(request).constraints(&mut violations, "");
    key_schema::definition_constraints(&mut violations, request.attributes.as_ref());
    for (place, update) in request.index_updates.iter().flatten().enumerate() {
        update.constraints(&mut violations, &format!("globalSecondaryIndexUpdates.{}.member", place + 1));
    }
    violations.finish()?;
    check_table_class(request.table_class.as_deref())
}

/// Refuses what asks for nothing, for what cannot go together, and for what is not there.
fn check_given(request: &Request) -> Result<(), Error> {
    let some = |list: &Option<Vec<Present>>| list.as_ref().is_some_and(|list| !list.is_empty());
    for (given, what) in [
        (some(&request.replica_updates), "ReplicaUpdates"),
        (some(&request.witnesses), "GlobalTableWitnessUpdates"),
        (request.multi_region.is_some(), "MultiRegionConsistency"),
    ] {
        if given {
            return Err(Error::parameter(format_args!(
                "{what} is not supported by Thalweg, which has no global tables"
            )));
        }
    }
    refuse_encryption(request.encryption.as_ref())?;
    if request.index_updates.as_ref().is_some_and(Vec::is_empty) {
        return Err(Error::parameter("List of GlobalSecondaryIndexUpdates is empty"));
    }
    let updates = request.index_updates.as_deref().unwrap_or_default();
    let is_something = request.billing_mode.is_some()
        || request.stream.is_some()
        || request.deletion_protection.is_some()
        || request.encryption.is_some()
        || request.table_class.is_some()
        || !wanted(request).is_empty()
        || !updates.is_empty();
    if !is_something {
        return Err(Error::validation(
            "At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, GlobalSecondaryIndexUpdates, \
             SSESpecification, ReplicaUpdates, MultiAccountReplicaReady, ReplicaTransitRoleArn, MultiRegionConsistency, \
             DeletionProtectionEnabled, OnDemandThroughput, WarmThroughput or TableClass is required",
        ));
    }
    check_together(request)?;
    let mut names = BTreeSet::new();
    for update in updates {
        let name = update.only_name()?;
        if !names.insert(name) {
            return Err(Error::parameter(format_args!(
                "Only one global secondary index update per index is allowed simultaneously. Index: {name}"
            )));
        }
    }
    Ok(())
}

/// Refuses changes that cannot be asked for in one request.
fn check_together(request: &Request) -> Result<(), Error> {
    let updates = request.index_updates.as_deref().unwrap_or_default();
    let has_capacity = request.throughput.is_some() || request.billing_mode.is_some();
    let has_limits = request.on_demand_throughput.is_some();
    let has_stream = request.stream.is_some();
    let changes_indexes = updates.iter().any(|update| update.update.is_none());
    let others = has_capacity || has_limits || has_stream;
    let parts = [
        ("TableClass modification", request.table_class.is_some(), others || !updates.is_empty()),
        ("DeletionProtection modification", request.deletion_protection.is_some(), others || !updates.is_empty()),
        ("WarmThroughput", request.warm_throughput.is_some(), others),
    ];
    let given = parts.iter().filter(|(_, is_given, _)| *is_given).count();
    let together = |(_, is_given, has_others): &&(&str, bool, bool)| *is_given && (*has_others || given > 1);
    if let Some((what, ..)) = parts.iter().find(together) {
        return Err(Error::parameter(format_args!("{what} must be the only operation in the request")));
    }
    if request.warm_throughput.is_some() && updates.iter().any(|update| update.create.is_some()) {
        return Err(Error::parameter("Create global secondary index cannot be specified when updating WarmThroughput"));
    }
    if has_limits && (request.throughput.is_some() || has_stream || changes_indexes) {
        return Err(Error::parameter(
            "OnDemandThroughput can only be combined with BillingMode in an UpdateTable request",
        ));
    }
    let has_units = request.throughput.is_some();
    for (is_given, told) in [
        (has_stream && has_units, "You cannot modify stream status while updating table IOPS"),
        (changes_indexes && has_units, "You cannot create or delete index while updating table IOPS"),
        (changes_indexes && has_stream, "You cannot create or delete index while changing stream status"),
    ] {
        if is_given {
            return Err(Error::parameter(told));
        }
    }
    Ok(())
}

/// Refuses definitions that give a key attribute another type.
fn check_types(table: &Table, attributes: &[AttributeDefinition]) -> Result<(), Error> {
    let known = |name: &str| table.all_key_attributes().find(|attribute| attribute.name == name);
    let is_other = |definition: &&AttributeDefinition| {
        let known = definition.name.as_deref().and_then(known);
        known.is_some_and(|known| Some(known.key_type.name()) != definition.kind.as_deref())
    };
    match attributes.iter().find(is_other) {
        None => Ok(()),
        Some(_) => {
            let schema = |types: &dyn Fn(&KeyAttribute) -> String| {
                let hash = table.partition_attributes().map(|key| (key, "HASH"));
                let range = table.sort_attributes().map(|key| (key, "RANGE"));
                let keys = hash.chain(range).map(|(key, kind)| format!("{}:{}:{kind}", key.name, types(key)));
                format!("Schema:[SchemaElement: key{{{}}}]", keys.collect::<Vec<_>>().join(","))
            };
            let defined = |key: &KeyAttribute| {
                let definition = attributes.iter().find(|it| it.name.as_deref() == Some(&key.name));
                definition.and_then(|it| it.kind.clone()).unwrap_or_else(|| key.key_type.to_string())
            };
            Err(Error::parameter(format_args!(
                "Attributes cannot be redefined. Please check that your attribute has the same type as previously \
                 defined. Existing schema: {} New schema: {}",
                schema(&|key| key.key_type.to_string()),
                schema(&defined)
            )))
        }
    }
}

/// Refuses definitions of attributes that are in no key, neither of the table and its indexes nor of the one that is added.
fn check_used(table: &Table, change: Option<&IndexChange>, attributes: &[AttributeDefinition]) -> Result<(), Error> {
    let mut used: BTreeSet<&str> = table.all_key_attributes().map(|key| key.name.as_str()).collect();
    if let Some(IndexChange::Add(index)) = change {
        used.extend(index.key_attributes().map(|key| key.name.as_str()));
    }
    if attributes.iter().filter_map(|attribute| attribute.name.as_deref()).all(|name| used.contains(name)) {
        return Ok(());
    }
    Err(Error::parameter(format_args!(
        "Some AttributeDefinitions are not used. AttributeDefinitions: {}, keys used: {}",
        key_schema::defined(attributes),
        key_schema::listed(used.into_iter())
    )))
}

/// What UpdateTable says of stream specifications.
const STREAM_WORDS: StreamWords = StreamWords {
    unnamed: "If stream is being enabled then UpdateViewType is required",
    named: "If stream is being disabled, then UpdateViewType must not be specified",
};

/// What is to become of the stream.
fn stream_change(table: &Table, given: &StreamSpecification) -> Result<Option<item::Stream>, Error> {
    let stream = stream(given, &STREAM_WORDS)?;
    match (&table.stream, &stream) {
        (Some(_), Some(_)) => {
            Err(Error::Validation(format!("Table already has an enabled stream: TableName: {}", table.name)))
        }
        (None, None) => Err(Error::Validation(format!("Table has no stream to disable: TableName: {}", table.name))),
        _ => Ok(stream),
    }
}

/// The global index that is to be added or removed: at most one at a time, as in DynamoDB.
fn index_change(
    table: &Table,
    capacity: &CapacityChange,
    updates: &[IndexUpdate],
    attributes: &[AttributeDefinition],
) -> Result<Option<IndexChange>, Error> {
    let mut updates = updates.iter().filter(|update| update.update.is_none());
    let Some(update) = updates.next() else { return Ok(None) };
    if updates.next().is_some() {
        return Err(Error::LimitExceeded(
            "Subscriber limit exceeded: Only 1 online index can be created or deleted simultaneously per table".into(),
        ));
    }
    if let Some(definition) = &update.create {
        if table.user_indexes().any(|index| index.status == IndexStatus::Filling) {
            return Err(in_use(&table.name));
        }
        // Its capacity is that of the mode which the table is to have.
        let billing: Billing = capacity.table.billing.unwrap_or(table.billing);
        // UpdateTable has other words for this than CreateTable.
        match (billing, definition.throughput.is_some()) {
            (Billing::OnDemand, true) => {
                return Err(Error::parameter(format_args!(
                    "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified for index: {} when BillingMode \
                     is PAY_PER_REQUEST",
                    definition.name.as_deref().unwrap_or_default()
                )));
            }
            (Billing::Provisioned { .. }, false) => {
                return Err(Error::parameter(format_args!(
                    "Both ReadCapacityUnits and WriteCapacityUnits must be specified for index: {}",
                    definition.name.as_deref().unwrap_or_default()
                )));
            }
            _ => {}
        }
        let mut with_index = Table { billing, ..table.clone() };
        let undefined = |_: &[_]| Error::validation("Invalid KeySchema: Some index key attribute have no definition");
        let index = definition.to_index(IndexKind::Global, &with_index, attributes, undefined)?;
        if table.index(&index.name).is_some() {
            return Err(Error::Validation("Attempting to create an index which already exists".into()));
        }
        index_definition::add(&mut with_index, Index { id: TableId(0), ..index.clone() })?;
        return Ok(Some(IndexChange::Add(Box::new(index))));
    }
    let Some(index) = update.delete.as_ref().and_then(|delete| delete.name.clone()) else { return Ok(None) };
    if table.index(&index).is_some_and(|index| index.kind == IndexKind::Local) {
        return Err(Error::Validation(format!("Cannot delete an index that is not a GlobalSecondaryIndex: {index}")));
    }
    if table.index(&index).is_none() {
        return Err(Error::NotFound(format!("Requested resource not found: Index: {index} not found")));
    }
    Ok(Some(IndexChange::Drop(index)))
}

impl IndexUpdate {
    fn constraints(&self, violations: &mut Violations, at: &str) {
        if let Some(create) = &self.create {
            create.constraints(violations, &format!("{at}.create"), IndexKind::Global);
        }
        if let Some(delete) = &self.delete {
            index_definition::index_name(violations, &format!("{at}.delete"), delete.name.as_ref());
        }
        if let Some(update) = &self.update {
            index_definition::index_name(violations, &format!("{at}.update"), update.name.as_ref());
            update.wanted().constraints(violations, &format!("{at}.update."));
        }
    }

    /// The name of the index that it is about, if it asks for one thing.
    fn only_name(&self) -> Result<&str, Error> {
        let create = self.create.as_ref().map(|create| &create.name);
        let delete = self.delete.as_ref().map(|delete| &delete.name);
        let update = self.update.as_ref().map(|update| &update.name);
        let mut given = [create, delete, update].into_iter().flatten();
        match (given.next(), given.next()) {
            (Some(name), None) => Ok(name.as_deref().unwrap_or_default()),
            (None, _) => Err(Error::parameter(
                "One of GlobalSecondaryIndexUpdate.Update, GlobalSecondaryIndexUpdate.Create, \
                 GlobalSecondaryIndexUpdate.Delete must not be null",
            )),
            (Some(_), Some(_)) => Err(Error::parameter(
                "Only one global secondary index action is allowed per GlobalSecondaryIndexUpdate object",
            )),
        }
    }
}

fn in_use(name: &str) -> Error {
    Error::InUse(format!("Attempt to change a resource which is still in use: Table is being updated: {name}"))
}

/// What the planner refuses although it was checked.
fn refused(name: &str, rejection: TableRejection) -> Error {
    match rejection {
        TableRejection::NotFound => super::no_such_table(name),
        TableRejection::Filling => super::being_created(name),
        TableRejection::Invalid(error) => Error::parameter(error),
        other => Error::Internal(format!("could not change table {name}: {other}")),
    }
}
