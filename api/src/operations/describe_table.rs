//! DescribeTable.

use item::{IndexStatus, Table};
use serde::Serialize;

use super::{table_description::TableDescription, throughput::global_indexes};
use crate::{App, Error, json::request, validate};

request! {
    /// What DescribeTable takes.
    struct Request { table_name: String = "TableName", }
}

/// What DescribeTable answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Answer {
    table: TableDescription,
}

pub(crate) fn run(app: &App, request: Request) -> Result<Answer, Error> {
    let name = validate::table_name(request.table_name)?;
    let table = super::described_table(app, &name)?;
    Ok(Answer { table: TableDescription::of(app, &table, status(&table)) })
}

/// The status of a table. Who waits for the table waits for its indexes too.
fn status(table: &Table) -> &'static str {
    if table.settings.is_filling {
        "CREATING"
    } else if global_indexes(table).any(|index| index.status == IndexStatus::Filling) {
        "UPDATING"
    } else {
        "ACTIVE"
    }
}
