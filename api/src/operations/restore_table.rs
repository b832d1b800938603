//! RestoreTableFromBackup and RestoreTableToPointInTime.
//!
//! The new table is CREATING when the answer leaves, and ACTIVE when all is in it. It has the source's keys, indexes and capacity, or
//! what the request says instead, and neither stream nor time to live, tags, continuous backups nor deletion protection.

use item::{
    IndexKind, IndexStatus, Table, TableId,
    table::{Billing, Restored, TableSettings},
};
use store::write::TableRejection;

use super::{
    backups::{find, source_table},
    continuous_backups::Window,
    create_table::{self, Answer, Encryption},
    index_definition::IndexDefinition,
    key_schema::AttributeDefinition,
    table_description::TableDescription,
    throughput::{OnDemandThroughput, Throughput, Wanted},
};
use crate::{
    App, Error,
    json::{Seconds, request},
    validate::{self, Violations, is_table_name},
};

request! {
    /// What both operations take.
    struct Request {
        target: String = "TargetTableName",
        backup: String = "BackupArn",
        source_name: String = "SourceTableName",
        source_arn: String = "SourceTableArn",
        at: Seconds = "RestoreDateTime",
        is_latest: bool = "UseLatestRestorableTime",
        billing_mode: String = "BillingModeOverride",
        throughput: Throughput = "ProvisionedThroughputOverride",
        on_demand_throughput: OnDemandThroughput = "OnDemandThroughputOverride",
        global_indexes: Vec<IndexDefinition> = "GlobalSecondaryIndexOverride",
        local_indexes: Vec<IndexDefinition> = "LocalSecondaryIndexOverride",
        encryption: Encryption = "SSESpecificationOverride",
    }
}

/// RestoreTableFromBackup.
pub(crate) async fn from_backup(app: &App, request: Request) -> Result<Answer, Error> {
    let mut violations = Violations::default();
    violations.required("backupArn", request.backup.as_ref());
    violations.length("backupArn", request.backup.as_ref(), 37, 1024);
    constraints(violations, &request)?;
    let backup = find(app, request.backup.clone())?;
    let restored =
        Restored { table: backup.table.name.clone(), backup: backup.id().to_owned(), as_of_us: backup.note.as_of_us };
    let table = target(&backup.table, restored, &request)?;
    refuse_existing(app, &table.name)?;
    let backups = app.compactor.backups();
    let id = backup.id().to_owned();
    let started = restore::from_backup(&app.jobs, backups, backup, table.clone(), app.config.patience).await;
    if started.is_err() && backups.get(&id).is_none() {
        // It was deleted while it was being linked.
        find(app, request.backup)?;
    }
    started_as(app, &table, started)
}

/// RestoreTableToPointInTime.
pub(crate) async fn to_time(app: &App, request: Request) -> Result<Answer, Error> {
    let mut violations = Violations::default();
    if let Some(name) = &request.source_name {
        name_constraints(&mut violations, "sourceTableName", name);
    }
    violations.length("sourceTableArn", request.source_arn.as_ref(), 1, 1024);
    constraints(violations, &request)?;
    let name = match (&request.source_name, &request.source_arn) {
        (None, None) => return Err(Error::parameter("Either SourceTableName or SourceTableArn must be specified")),
        (Some(name), None) => name.clone(),
        (None, Some(arn)) => validate::table_name(Some(arn.clone()))?,
        (Some(name), Some(arn)) => {
            if *name != validate::table_name(Some(arn.clone()))? {
                return Err(Error::parameter("SourceTableName and SourceTableArn must name the same table"));
            }
            name.clone()
        }
    };
    let at = match (request.at, request.is_latest.unwrap_or(false)) {
        (Some(at), false) => Some(at),
        (None, true) => None,
        (Some(_), true) => {
            return Err(Error::parameter("RestoreDateTime must not be specified when UseLatestRestorableTime is true"));
        }
        (None, false) => {
            return Err(Error::parameter("Either RestoreDateTime or UseLatestRestorableTime must be specified"));
        }
    };
    let source = source_table(app, &name)?;
    let window = Window::of(app, &source).ok_or_else(|| {
        let text = format!("Point in time recovery is not enabled for table '{name}'");
        Error::exception("PointInTimeRecoveryUnavailableException", text)
    })?;
    let at_us = match at {
        None => None,
        Some(Seconds(at_us)) => {
            let at_us = u64::try_from(at_us).ok().filter(|at| (window.earliest_us..=window.latest_us).contains(at));
            Some(at_us.ok_or_else(out_of_reach)?)
        }
    };
    let as_of_us = at_us.unwrap_or_else(|| app.store.clock().now_us());
    let restored = Restored { table: name.clone(), backup: String::new(), as_of_us };
    let table = target(&source, restored, &request)?;
    refuse_existing(app, &table.name)?;
    let patience = app.config.patience;
    let started = restore::to_time(&app.jobs, &app.compactor, source.id, at_us, table.clone(), patience).await;
    started_as(app, &table, started)
}

/// What members must be by themselves.
fn constraints(mut violations: Violations, request: &Request) -> Result<(), Error> {
    violations.required("targetTableName", request.target.as_ref());
    if let Some(name) = &request.target {
        name_constraints(&mut violations, "targetTableName", name);
    }
    violations.one_of("billingModeOverride", request.billing_mode.as_ref(), &["PROVISIONED", "PAY_PER_REQUEST"]);
    if let Some(throughput) = &request.throughput {
        throughput.constraints(&mut violations, "provisionedThroughputOverride");
    }
    for (kind, member, indexes) in [
        (IndexKind::Global, "globalSecondaryIndexOverride", &request.global_indexes),
        (IndexKind::Local, "localSecondaryIndexOverride", &request.local_indexes),
    ] {
        for (place, index) in indexes.iter().flatten().enumerate() {
            index.constraints(&mut violations, &format!("{member}.{}.member", place + 1), kind);
        }
    }
    create_table::encryption_constraints(&mut violations, request.encryption.as_ref());
    violations.finish()?;
    create_table::refuse_encryption(request.encryption.as_ref())
}

fn name_constraints(violations: &mut Violations, place: &str, name: &String) {
    violations.length(place, Some(name), 3, 255);
    if !is_table_name(name) {
        violations.add(place, name, "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+");
    }
}

/// The table that is to be, of what `source` is or was.
fn target(source: &Table, restored: Restored, request: &Request) -> Result<Table, Error> {
    let mut settings =
        TableSettings { class: source.settings.class, restored: Some(restored), ..TableSettings::default() };
    let billing = billing(source, request)?;
    let on_demand = Wanted { provisioned: None, on_demand: request.on_demand_throughput.as_ref(), warm: None };
    let change = on_demand.change("table", billing, &settings.throughput)?;
    if billing == Billing::OnDemand {
        let before = &source.settings.throughput;
        settings.throughput.read_units_max = change.read_units_max.unwrap_or(before.read_units_max);
        settings.throughput.write_units_max = change.write_units_max.unwrap_or(before.write_units_max);
    }
    let mut table = Table {
        id: TableId(0),
        name: request.target.clone().unwrap_or_default(),
        version: 0,
        settings,
        indexes: Vec::new(),
        stream: None,
        created_at_us: 0,
        billing,
        deletion_protection: false,
        tags: Default::default(),
        ..source.clone()
    };
    for (kind, definitions) in
        [(IndexKind::Local, &request.local_indexes), (IndexKind::Global, &request.global_indexes)]
    {
        add_indexes(&mut table, source, kind, definitions.as_deref())?;
    }
    table.indexes.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(table)
}

/// The capacity mode: the source's, but for what the request says.
fn billing(source: &Table, request: &Request) -> Result<Billing, Error> {
    match (request.billing_mode.as_deref(), &request.throughput, source.billing) {
        (Some("PAY_PER_REQUEST"), None, _) => Ok(Billing::OnDemand),
        (Some("PAY_PER_REQUEST"), Some(_), _) | (None, Some(_), Billing::OnDemand) => Err(Error::parameter(
            "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST",
        )),
        (_, Some(throughput), _) => throughput.billing(),
        (Some(_), None, Billing::OnDemand) => Err(Error::parameter(
            "ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED",
        )),
        (_, None, before) => Ok(before),
    }
}

/// Adds the source's indexes of a kind: all, or those that the request names, which must be as they are there.
fn add_indexes(
    table: &mut Table,
    source: &Table,
    kind: IndexKind,
    definitions: Option<&[IndexDefinition]>,
) -> Result<(), Error> {
    let of_kind = source.indexes.iter().filter(|index| index.kind == kind);
    let Some(definitions) = definitions else {
        for index in of_kind {
            let mut index = index.clone();
            index.status = IndexStatus::Active;
            index.billing = match (kind, table.billing, index.billing) {
                (IndexKind::Global, Billing::Provisioned { .. }, Billing::OnDemand) => {
                    return Err(Error::parameter(format_args!(
                        "ProvisionedThroughput is not specified for index: {}",
                        index.name
                    )));
                }
                (IndexKind::Global, Billing::Provisioned { .. }, before) => before,
                _ => Billing::OnDemand,
            };
            let known = &mut index.throughput;
            (known.warm, known.increased_at_us, known.decreased) = (None, None, None);
            if index.billing != Billing::OnDemand {
                (known.read_units_max, known.write_units_max) = (None, None);
            }
            table.indexes.push(index);
        }
        return Ok(());
    };
    let defined = source
        .all_key_attributes()
        .map(|key| AttributeDefinition { name: Some(key.name.clone()), kind: Some(key.key_type.to_string()) });
    let attributes: Vec<AttributeDefinition> = defined.collect();
    for definition in definitions {
        let unlike = || {
            let name = definition.name.as_deref().unwrap_or_default();
            Error::parameter(format_args!(
                "The index {name} is not an index of the source table, or is another one there"
            ))
        };
        let index = definition.to_index(kind, table, &attributes, |_| unlike())?;
        let known = of_kind.clone().find(|known| known.name == index.name).ok_or_else(unlike)?;
        let is_same = index.partition_key == known.partition_key
            && index.sort_key == known.sort_key
            && index.further_keys == known.further_keys
            && index.projection == known.projection;
        if !is_same {
            return Err(unlike());
        }
        if table.indexes.iter().any(|other| other.name == index.name) {
            return Err(Error::parameter(format_args!("Duplicate index name: {}", index.name)));
        }
        table.indexes.push(index);
    }
    Ok(())
}

fn refuse_existing(app: &App, name: &str) -> Result<(), Error> {
    match super::described_table(app, name) {
        Ok(table) if table.settings.is_filling => Err(being_created(name)),
        Ok(_) => Err(already_exists(name)),
        Err(_) => Ok(()),
    }
}

fn already_exists(name: &str) -> Error {
    Error::exception("TableAlreadyExistsException", format!("Table already exists: {name}"))
}

fn being_created(name: &str) -> Error {
    Error::exception("TableInUseException", format!("Table is being created: {name}"))
}

fn out_of_reach() -> Error {
    Error::exception(
        "InvalidRestoreTimeException",
        "An invalid restore time was specified. RestoreDateTime must be between EarliestRestorableDateTime and \
         LatestRestorableDateTime."
            .to_owned(),
    )
}

/// The answer, now that the job was taken in or not.
fn started_as(app: &App, table: &Table, started: Result<jobs::Job, restore::Error>) -> Result<Answer, Error> {
    let name = &table.name;
    match started {
        Ok(job) => {
            let made = job.table.and_then(|id| app.store.catalog().by_id(id).cloned());
            let made = made.ok_or_else(|| Error::Internal(format!("table {name} is gone before it was restored")))?;
            // It may be whole by now; what was asked for is told.
            Ok(Answer { table_description: TableDescription::of(app, &made, "CREATING") })
        }
        Err(restore::Error::OutOfReach) => Err(out_of_reach()),
        Err(restore::Error::Job(jobs::Error::Table(TableRejection::Exists(_)))) => Err(already_exists(name)),
        Err(restore::Error::Job(jobs::Error::Table(TableRejection::Filling))) => Err(being_created(name)),
        Err(restore::Error::Job(jobs::Error::Table(TableRejection::Invalid(error)))) => Err(Error::parameter(error)),
        Err(restore::Error::Job(jobs::Error::TooMany { running })) => Err(Error::LimitExceeded(format!(
            "Too many operations for a given subscriber: {running} restores are in progress"
        ))),
        Err(restore::Error::Job(jobs::Error::Store(error)) | restore::Error::Store(error)) => Err(error.into()),
        Err(restore::Error::Compactor(error)) => Err(error.into()),
        Err(other) => Err(Error::Internal(format!("could not restore table {name}: {other}"))),
    }
}
