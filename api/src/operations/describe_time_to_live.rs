//! DescribeTimeToLive: no table can have it enabled yet.

use serde::Serialize;

use crate::{App, Error, json::request, validate};

request! {
    /// What DescribeTimeToLive takes.
    struct Request { table_name: String = "TableName", }
}

/// What DescribeTimeToLive answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Answer {
    time_to_live_description: Description,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Description {
    time_to_live_status: &'static str,
}

pub(crate) fn run(app: &App, request: Request) -> Result<Answer, Error> {
    let name = validate::table_name(request.table_name)?;
    super::described_table(app, &name)?;
    Ok(Answer { time_to_live_description: Description { time_to_live_status: "DISABLED" } })
}
