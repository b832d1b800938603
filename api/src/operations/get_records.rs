//! GetRecords.

use serde::Serialize;

use super::{READING_FACTOR, stream_record::StreamRecord};
use crate::{
    App, Error,
    budget::Room,
    json::{Integer, request},
    validate::Violations,
};

/// Records of one answer at most.
const LIMIT_MAX: i64 = 1000;
/// A page ends with the record that reaches 1 MiB, and a record may hold an item twice.
const RECORDS_ROOM_BYTES: usize = READING_FACTOR << 20;

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

pub(crate) async fn run(app: &App, request: Request, room: &mut Room<'_>) -> Result<Answer, Error> {
    let mut violations = Violations::default();
    violations.required("shardIterator", request.iterator.as_ref());
    violations.length("shardIterator", request.iterator.as_ref(), 1, 2048);
    violations.range("limit", request.limit, 1, LIMIT_MAX);
    violations.finish()?;
    let limit = request.limit.map_or(LIMIT_MAX, |Integer(limit)| limit);
    let iterator = request.iterator.unwrap_or_default();
    room.reserve(RECORDS_ROOM_BYTES).await?;
    let page = app.streams.records(&iterator, usize::try_from(limit).unwrap_or(0)).await;
    let page = page.map_err(|error| match error {
        streams::Error::InvalidToken { .. } => Error::validation("Invalid ShardIterator"),
        other => other.into(),
    })?;
    Ok(Answer {
        records: page.records.into_iter().map(StreamRecord::of).collect(),
        next_shard_iterator: page.next_iterator,
    })
}
