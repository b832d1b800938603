//! ListTagsOfResource: no table can have tags yet.

use serde::Serialize;

use crate::{App, Error, json::request, validate};

request! {
    /// What ListTagsOfResource takes.
    struct Request {
        resource_arn: String = "ResourceArn",
        next_token: String = "NextToken",
    }
}

/// What ListTagsOfResource answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Answer {
    tags: [(); 0],
}

pub(crate) fn run(app: &App, request: Request) -> Result<Answer, Error> {
    let arn = request.resource_arn.ok_or_else(|| Error::validation("Invalid TableArn"))?;
    if !arn.starts_with("arn:") {
        return Err(Error::Validation(format!("Invalid TableArn: Invalid ResourceArn provided as input {arn}")));
    }
    let name = validate::table_name(Some(arn.clone()))?;
    super::described_table(app, &name)
        .map_err(|_| Error::NotFound(format!("Requested resource not found: ResourcArn: {arn} not found")))?;
    Ok(Answer { tags: [] })
}
