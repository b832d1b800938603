//! CreateBackup, DescribeBackup, ListBackups and DeleteBackup.
//!
//! A backup is AVAILABLE when CreateBackup returns.

use std::{ops::Bound, sync::Arc};

use backup::{Base, Kind};
use serde::Serialize;

use super::backup_description::{BackupDescription, BackupDetails, BackupSummary};
use crate::{
    App, Error,
    json::{Integer, Seconds, request},
    validate::{self, Violations, is_table_name},
};

/// Backups of one answer at most.
const LIMIT_MAX: i64 = 100;

request! {
    /// What CreateBackup takes.
    struct CreateRequest {
        table_name: String = "TableName",
        backup_name: String = "BackupName",
    }
}

request! {
    /// What DescribeBackup and DeleteBackup take.
    struct BackupRequest { arn: String = "BackupArn", }
}

request! {
    /// What ListBackups takes.
    struct ListRequest {
        table_name: String = "TableName",
        limit: Integer = "Limit",
        from: Seconds = "TimeRangeLowerBound",
        until: Seconds = "TimeRangeUpperBound",
        start: String = "ExclusiveStartBackupArn",
        kind: String = "BackupType",
    }
}

/// What CreateBackup answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Created {
    backup_details: BackupDetails,
}

/// What DescribeBackup and DeleteBackup answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Described {
    backup_description: BackupDescription,
}

/// What ListBackups answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Listed {
    backup_summaries: Vec<BackupSummary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_evaluated_backup_arn: Option<String>,
}

pub(crate) async fn create(app: &App, request: CreateRequest) -> Result<Created, Error> {
    let mut violations = Violations::default();
    violations.required("tableName", request.table_name.as_ref());
    violations.required("backupName", request.backup_name.as_ref());
    violations.length("backupName", request.backup_name.as_ref(), 3, 255);
    if let Some(name) = request.backup_name.as_ref().filter(|name| !is_table_name(name)) {
        violations.add("backupName", name, "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+");
    }
    violations.finish()?;
    let name = validate::table_name(request.table_name)?;
    let table = source_table(app, &name)?;
    if table.settings.is_filling {
        return Err(Error::exception("TableInUseException", format!("Table is being created: {name}")));
    }
    let made = app.compactor.back_up(table.id, request.backup_name.unwrap_or_default()).await?;
    let made = made.ok_or_else(|| table_not_found(&name))?;
    Ok(Created { backup_details: BackupDetails::of(&made, "AVAILABLE") })
}

pub(crate) fn describe(app: &App, request: BackupRequest) -> Result<Described, Error> {
    let backup = find(app, request.arn)?;
    Ok(Described { backup_description: BackupDescription::of(&backup, "AVAILABLE") })
}

pub(crate) async fn delete(app: &App, request: BackupRequest) -> Result<Described, Error> {
    let arn = request.arn.clone().unwrap_or_default();
    let backup = find(app, request.arn)?;
    let (backups, id) = (app.compactor.backups().clone(), backup.id().to_owned());
    let deleted = tokio::task::spawn_blocking(move || backups.delete(&id)).await;
    // Somebody else may have been faster.
    let deleted = deleted.map_err(|_| store::Error::Closed)??.ok_or_else(|| backup_not_found(&arn))?;
    Ok(Described { backup_description: BackupDescription::of(&deleted, "DELETED") })
}

pub(crate) fn list(app: &App, request: ListRequest) -> Result<Listed, Error> {
    let mut violations = Violations::default();
    violations.range("limit", request.limit, 1, LIMIT_MAX);
    violations.length("exclusiveStartBackupArn", request.start.as_ref(), 37, 1024);
    violations.one_of("backupType", request.kind.as_ref(), &["USER", "SYSTEM", "AWS_BACKUP", "ALL"]);
    violations.finish()?;
    let table = request.table_name.map(|name| validate::table_name(Some(name))).transpose()?;
    if let (Some(Seconds(from_us)), Some(Seconds(until_us))) = (request.from, request.until)
        && from_us > until_us
    {
        return Err(Error::parameter("TimeRangeLowerBound must not be after TimeRangeUpperBound"));
    }
    let after = match &request.start {
        Some(arn) => Bound::Excluded(parse_arn(arn)?.1),
        None => Bound::Unbounded,
    };
    let is_wanted = |base: &Arc<Base>| {
        let kind = match request.kind.as_deref() {
            Some("ALL") => true,
            Some("SYSTEM") => base.note.kind == Kind::System,
            Some("AWS_BACKUP") => false,
            _ => base.note.kind == Kind::User,
        };
        let at_us = i128::from(base.note.created_at_us);
        kind && table.as_ref().is_none_or(|table| *table == base.table.name)
            && request.from.is_none_or(|Seconds(from_us)| at_us >= from_us)
            && request.until.is_none_or(|Seconds(until_us)| at_us < until_us)
    };
    let all = app.compactor.backups().list();
    let after = match &after {
        Bound::Excluded(id) => Some(id.as_str()),
        _ => None,
    };
    let mut wanted =
        all.iter().filter(|base| after.is_none_or(|after| base.id() > after)).filter(|base| is_wanted(base));
    let Integer(limit) = request.limit.unwrap_or(Integer(LIMIT_MAX));
    let page: Vec<&Arc<Base>> = wanted.by_ref().take(usize::try_from(limit).unwrap_or(0)).collect();
    let has_more = wanted.next().is_some();
    let last = page.last().filter(|_| has_more);
    Ok(Listed {
        last_evaluated_backup_arn: last.map(|base| super::backup_description::backup_arn(&base.table.name, base.id())),
        backup_summaries: page.into_iter().map(|base| BackupSummary::of(base)).collect(),
    })
}

/// The backup that a request names.
pub(crate) fn find(app: &App, arn: Option<String>) -> Result<Arc<Base>, Error> {
    let mut violations = Violations::default();
    violations.required("backupArn", arn.as_ref());
    violations.length("backupArn", arn.as_ref(), 37, 1024);
    violations.finish()?;
    let arn = arn.unwrap_or_default();
    let (table, id) = parse_arn(&arn)?;
    let found = app.compactor.backups().get(&id).filter(|base| base.table.name == table);
    found.ok_or_else(|| backup_not_found(&arn))
}

/// The table's name and the id in `TABLE-ARN/backup/ID`.
pub(crate) fn parse_arn(arn: &str) -> Result<(String, String), Error> {
    let name = arn.split_once("/backup/").and_then(|(table, id)| {
        let table = validate::table_name(Some(table.to_owned())).ok().filter(|_| table.starts_with("arn:"))?;
        Some((table, id.to_owned()))
    });
    name.ok_or_else(|| Error::Validation(format!("Invalid BackupArn: {arn}")))
}

/// The table that an operation on backups works on.
pub(crate) fn source_table(app: &App, name: &str) -> Result<Arc<item::Table>, Error> {
    super::described_table(app, name).map_err(|_| table_not_found(name))
}

pub(crate) fn table_not_found(name: &str) -> Error {
    Error::exception("TableNotFoundException", format!("Table not found: {name}"))
}

fn backup_not_found(arn: &str) -> Error {
    Error::exception("BackupNotFoundException", format!("Backup not found: {arn}"))
}
