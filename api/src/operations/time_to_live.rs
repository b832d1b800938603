//! UpdateTimeToLive and DescribeTimeToLive.
//!
//! A time to live is in force for new items when the answer leaves; items that are older are found as the table's expiry index
//! is filled.

use serde::Serialize;
use store::write::{TableRejection, TableWrite};

use crate::{
    App, Error,
    json::request,
    validate::{self, Violations},
};

request! {
    /// What DescribeTimeToLive takes.
    struct DescribeRequest { table_name: String = "TableName", }
}

request! {
    /// What UpdateTimeToLive takes.
    struct UpdateRequest {
        table_name: String = "TableName",
        specification: Wanted = "TimeToLiveSpecification",
    }
}

request! {
    /// What a table's time to live shall be.
    struct Wanted {
        enabled: bool = "Enabled",
        attribute: String = "AttributeName",
    }
}

/// What DescribeTimeToLive answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Described {
    time_to_live_description: Description,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Description {
    time_to_live_status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    attribute_name: Option<String>,
}

/// What UpdateTimeToLive answers: what was asked for.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Updated {
    time_to_live_specification: Specification,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Specification {
    enabled: bool,
    attribute_name: String,
}

pub(crate) fn describe(app: &App, request: DescribeRequest) -> Result<Described, Error> {
    let name = validate::table_name(request.table_name)?;
    let table = super::described_table(app, &name)?;
    let attribute_name = table.expiry().map(|index| index.partition_key.name.clone());
    let time_to_live_status = if attribute_name.is_some() { "ENABLED" } else { "DISABLED" };
    Ok(Described { time_to_live_description: Description { time_to_live_status, attribute_name } })
}

pub(crate) async fn update(app: &App, request: UpdateRequest) -> Result<Updated, Error> {
    let name = validate::table_name(request.table_name)?;
    let mut violations = Violations::default();
    violations.required("timeToLiveSpecification", request.specification.as_ref());
    if let Some(wanted) = &request.specification {
        violations.required("timeToLiveSpecification.attributeName", wanted.attribute.as_ref());
        violations.required("timeToLiveSpecification.enabled", wanted.enabled.as_ref());
        violations.length("timeToLiveSpecification.attributeName", wanted.attribute.as_ref(), 1, 255);
    }
    violations.finish()?;
    let wanted = request.specification.unwrap_or_default();
    let (enabled, attribute_name) = (wanted.enabled.unwrap_or_default(), wanted.attribute.unwrap_or_default());
    let table = super::changed_table(app, &name)?;
    match table.expiry().map(|index| &index.partition_key.name) {
        Some(_) if enabled => return Err(already("enabled")),
        None if !enabled => return Err(already("disabled")),
        Some(current) if *current != attribute_name => {
            return Err(Error::Validation(format!(
                "TimeToLive is active on a different AttributeName: current AttributeName is {current}"
            )));
        }
        _ => {}
    }
    let change = TableWrite::SetExpiry(name.clone(), enabled.then(|| attribute_name.clone()));
    match app.store.change_table_within(change, app.config.patience).await? {
        Ok(_) => Ok(Updated { time_to_live_specification: Specification { enabled, attribute_name } }),
        Err(TableRejection::Filling) => Err(super::being_created(&name)),
        Err(TableRejection::NotFound) => Err(super::no_such_table(&name)),
        // Somebody else was faster.
        Err(TableRejection::IndexExists) => Err(already("enabled")),
        Err(TableRejection::IndexNotFound) => Err(already("disabled")),
        Err(TableRejection::Invalid(error)) => Err(Error::parameter(error)),
        Err(other) => Err(Error::Internal(format!("could not change the time to live of {name}: {other}"))),
    }
}

fn already(what: &str) -> Error {
    Error::Validation(format!("TimeToLive is already {what}"))
}
