//! UpdateContinuousBackups and DescribeContinuousBackups.
//!
//! A table can be restored to any time from when UpdateContinuousBackups returns.

use item::{Table, table::Recovery};
use serde::Serialize;
use store::write::{TableRejection, TableWrite};

use super::{
    backups::{source_table, table_not_found},
    table_description::seconds,
};
use crate::{
    App, Error,
    json::{Integer, request},
    validate::{self, Violations},
};

const SECOND_US: u64 = 1_000_000;

request! {
    /// What DescribeContinuousBackups takes.
    struct DescribeRequest { table_name: String = "TableName", }
}

request! {
    /// What UpdateContinuousBackups takes.
    struct UpdateRequest {
        table_name: String = "TableName",
        specification: Wanted = "PointInTimeRecoverySpecification",
    }
}

request! {
    /// What a table's continuous backups shall be.
    struct Wanted {
        enabled: bool = "PointInTimeRecoveryEnabled",
        period_days: Integer = "RecoveryPeriodInDays",
    }
}

/// What both operations answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Answer {
    continuous_backups_description: Description,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Description {
    /// Backups can be made of every table.
    continuous_backups_status: &'static str,
    point_in_time_recovery_description: RecoveryDescription,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct RecoveryDescription {
    point_in_time_recovery_status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    recovery_period_in_days: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    earliest_restorable_date_time: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latest_restorable_date_time: Option<f64>,
}

/// The times to which a table can be restored, whole seconds in microseconds since 1970, both included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) earliest_us: u64,
    pub(crate) latest_us: u64,
}

impl Window {
    /// Of a table; none if it cannot be restored to any time.
    pub(crate) fn of(app: &App, table: &Table) -> Option<Window> {
        let period = table.settings.recovery?;
        let past = app.compactor.backups().past(table.id)?;
        let now_us = app.store.clock().now_us();
        // Off and on again: what there is, is of the time before.
        let is_of_now = past.since_us() == Some(period.since_us);
        let earliest_us = past.earliest_us(period, now_us).div_ceil(SECOND_US) * SECOND_US;
        let latest_us = (now_us / SECOND_US * SECOND_US).max(earliest_us);
        is_of_now.then_some(Window { earliest_us, latest_us })
    }
}

pub(crate) fn describe(app: &App, request: DescribeRequest) -> Result<Answer, Error> {
    let name = validate::table_name(request.table_name)?;
    Ok(answer(app, &*source_table(app, &name)?))
}

pub(crate) async fn update(app: &App, request: UpdateRequest) -> Result<Answer, Error> {
    let mut violations = Violations::default();
    violations.required("tableName", request.table_name.as_ref());
    violations.required("pointInTimeRecoverySpecification", request.specification.as_ref());
    let days_max = Recovery::PERIOD_DAYS_MAX;
    if let Some(wanted) = &request.specification {
        let place = "pointInTimeRecoverySpecification";
        violations.required(format_args!("{place}.pointInTimeRecoveryEnabled"), wanted.enabled.as_ref());
        violations.range(format_args!("{place}.recoveryPeriodInDays"), wanted.period_days, 1, days_max.into());
    }
    violations.finish()?;
    let name = validate::table_name(request.table_name)?;
    let wanted = request.specification.unwrap_or_default();
    let is_enabled = wanted.enabled.unwrap_or_default();
    if !is_enabled && wanted.period_days.is_some() {
        return Err(Error::parameter(
            "RecoveryPeriodInDays can only be specified when PointInTimeRecoveryEnabled is true",
        ));
    }
    let table = source_table(app, &name)?;
    // Who names no period keeps the one that there is.
    let before = table.settings.recovery.map_or(days_max, |recovery| recovery.period_days);
    let days = wanted.period_days.and_then(|Integer(days)| u8::try_from(days).ok()).unwrap_or(before);
    let change = TableWrite::SetRecovery(name.clone(), is_enabled.then_some(days));
    match app.store.change_table_within(change, app.config.patience).await? {
        Ok(table) => {
            app.compactor.protect().await?;
            Ok(answer(app, &table))
        }
        Err(TableRejection::NotFound) => Err(table_not_found(&name)),
        Err(TableRejection::Filling) => Err(Error::exception(
            "ContinuousBackupsUnavailableException",
            format!("Backups are being enabled for the table: {name}. Please retry later"),
        )),
        Err(other) => Err(Error::Internal(format!("could not change the continuous backups of {name}: {other}"))),
    }
}

fn answer(app: &App, table: &Table) -> Answer {
    let period = table.settings.recovery;
    let window = Window::of(app, table);
    Answer {
        continuous_backups_description: Description {
            continuous_backups_status: "ENABLED",
            point_in_time_recovery_description: RecoveryDescription {
                point_in_time_recovery_status: if period.is_some() { "ENABLED" } else { "DISABLED" },
                recovery_period_in_days: period.map(|period| period.period_days),
                earliest_restorable_date_time: window.map(|window| seconds(window.earliest_us)),
                latest_restorable_date_time: window.map(|window| seconds(window.latest_us)),
            },
        },
    }
}
