//! DescribeTable.

use serde::Serialize;

use super::table_description::TableDescription;
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
    Ok(Answer { table: TableDescription::of(app, &table, "ACTIVE") })
}
