//! GetRecords.

use serde::Serialize;

use super::stream_record::StreamRecord;
use crate::{
    App, Error,
    json::{Integer, request},
    validate::Violations,
};

/// Records of one answer at most.
const LIMIT_MAX: i64 = 1000;

request! {
    /// What GetRecords takes.
    struct Request {
        iterator: String = "ShardIterator",
        limit: Integer = "Limit",
    }
}

/// What GetRecords answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Answer {
    records: Vec<StreamRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_shard_iterator: Option<String>,
}

pub(crate) async fn run(app: &App, request: Request) -> Result<Answer, Error> {
    let mut violations = Violations::default();
    violations.required("shardIterator", request.iterator.as_ref());
    violations.length("shardIterator", request.iterator.as_ref(), 1, 2048);
    violations.range("limit", request.limit, 1, LIMIT_MAX);
    violations.finish()?;
    let limit = request.limit.map_or(LIMIT_MAX, |Integer(limit)| limit);
    let iterator = request.iterator.unwrap_or_default();
    let page = app.streams.records(&iterator, usize::try_from(limit).unwrap_or(0)).await?;
    Ok(Answer {
        records: page.records.into_iter().map(StreamRecord::of).collect(),
        next_shard_iterator: page.next_iterator,
    })
}
