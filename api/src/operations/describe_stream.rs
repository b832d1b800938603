//! DescribeStream.

use serde::Serialize;
use streams::{ShardDescription, StreamDescription, shards::sequence_text};

use super::{
    stream_arn,
    table_description::{KeySchemaElement, key_schema, seconds},
};
use crate::{
    App, Error,
    json::{Integer, request},
    validate::Violations,
};

/// Shards of one answer at most.
const LIMIT_MAX: i64 = 100;

request! {
    /// What DescribeStream takes.
    struct Request {
        stream_arn: String = "StreamArn",
        limit: Integer = "Limit",
        start: String = "ExclusiveStartShardId",
        filter: ShardFilter = "ShardFilter",
    }
}

request! {
    /// Which shards to tell of.
    struct ShardFilter {
        kind: String = "Type",
        shard: String = "ShardId",
    }
}

/// What DescribeStream answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Answer {
    stream_description: Stream,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Stream {
    stream_arn: String,
    stream_label: String,
    stream_status: &'static str,
    stream_view_type: &'static str,
    creation_request_date_time: f64,
    table_name: String,
    key_schema: Vec<KeySchemaElement>,
    shards: Vec<Shard>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_evaluated_shard_id: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Shard {
    shard_id: String,
    sequence_number_range: SequenceNumberRange,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct SequenceNumberRange {
    starting_sequence_number: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ending_sequence_number: Option<String>,
}

pub(crate) async fn run(app: &App, request: Request) -> Result<Answer, Error> {
    let name = stream_arn::required("streamArn", request.stream_arn.as_ref())?;
    let mut violations = Violations::default();
    violations.range("limit", request.limit, 1, LIMIT_MAX);
    violations.length("exclusiveStartShardId", request.start.as_ref(), 28, 65);
    if let Some(filter) = &request.filter {
        violations.one_of("shardFilter.type", filter.kind.as_ref(), &["CHILD_SHARDS"]);
        violations.length("shardFilter.shardId", filter.shard.as_ref(), 28, 65);
    }
    violations.finish()?;
    let limit = request.limit.map_or(LIMIT_MAX, |Integer(limit)| limit);
    let limit = usize::try_from(limit).unwrap_or(0);
    let description = app.streams.describe(&name, request.start.as_deref(), limit).await;
    let mut description = description.map_err(|error| stream_arn::told(error, request.stream_arn.as_ref()))?;
    if request.filter.is_some() {
        // Shards do not split yet, so none has children.
        description.shards.clear();
        description.last_shard_id = None;
    }
    Ok(Answer { stream_description: Stream::of(description) })
}

impl Stream {
    fn of(stream: StreamDescription) -> Stream {
        Stream {
            stream_arn: stream_arn::arn(&stream.name),
            stream_label: stream.name.label,
            stream_status: if stream.is_enabled { "ENABLED" } else { "DISABLED" },
            stream_view_type: stream_arn::view_word(stream.view),
            creation_request_date_time: seconds(stream.enabled_at_us),
            table_name: stream.name.table,
            key_schema: key_schema(stream.table.partition_attributes(), stream.table.sort_attributes()),
            shards: stream.shards.into_iter().map(Shard::of).collect(),
            last_evaluated_shard_id: stream.last_shard_id,
        }
    }
}

impl Shard {
    fn of(shard: ShardDescription) -> Shard {
        let sequence_number_range = SequenceNumberRange {
            starting_sequence_number: sequence_text(shard.starting_sequence),
            ending_sequence_number: shard.ending_sequence.map(sequence_text),
        };
        Shard { shard_id: shard.id, sequence_number_range }
    }
}
