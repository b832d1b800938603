//! DescribeTable.

use item::IndexStatus;
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
    // Who waits for the table waits for its indexes too.
    let is_filling = global_indexes(&table).any(|index| index.status == IndexStatus::Filling);
    Ok(Answer { table: TableDescription::of(app, &table, if is_filling { "UPDATING" } else { "ACTIVE" }) })
}
