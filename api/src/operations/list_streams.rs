//! ListStreams.

use serde::Serialize;
use streams::StreamName;

use super::stream_arn;
use crate::{
    App, Error,
    json::{Integer, request},
    validate::{self, Violations},
};

/// Streams of one answer at most.
const LIMIT_MAX: i64 = 100;

request! {
    /// What ListStreams takes.
    struct Request {
        table_name: String = "TableName",
        limit: Integer = "Limit",
        start: String = "ExclusiveStartStreamArn",
    }
}

/// What ListStreams answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Answer {
    streams: Vec<Stream>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_evaluated_stream_arn: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Stream {
    stream_arn: String,
    table_name: String,
    stream_label: String,
}

pub(crate) fn run(app: &App, request: Request) -> Result<Answer, Error> {
    let table = request.table_name.map(|name| validate::table_name(Some(name))).transpose()?;
    let mut violations = Violations::default();
    violations.range("limit", request.limit, 1, LIMIT_MAX);
    violations.finish()?;
    let after = request.start.map(|arn| stream_arn::required("exclusiveStartStreamArn", Some(&arn))).transpose()?;
    let Integer(limit) = request.limit.unwrap_or(Integer(LIMIT_MAX));
    let page = app.streams.list(table.as_deref(), after.as_ref(), usize::try_from(limit).unwrap_or(0));
    Ok(Answer {
        streams: page.streams.into_iter().map(Stream::of).collect(),
        last_evaluated_stream_arn: page.last.map(|last| stream_arn::arn(&last)),
    })
}

impl Stream {
    fn of(name: StreamName) -> Stream {
        Stream { stream_arn: stream_arn::arn(&name), table_name: name.table, stream_label: name.label }
    }
}
