//! GetShardIterator.

use serde::Serialize;
use streams::IteratorStart;

use super::stream_arn;
use crate::{App, Error, json::request, validate::Violations};

const AT: &str = "AT_SEQUENCE_NUMBER";
const AFTER: &str = "AFTER_SEQUENCE_NUMBER";

request! {
    /// What GetShardIterator takes.
    struct Request {
        stream_arn: String = "StreamArn",
        shard: String = "ShardId",
        kind: String = "ShardIteratorType",
        sequence: String = "SequenceNumber",
    }
}

/// What GetShardIterator answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Answer {
    shard_iterator: String,
}

pub(crate) async fn run(app: &App, request: Request) -> Result<Answer, Error> {
    let name = stream_arn::required("streamArn", request.stream_arn.as_ref())?;
    let mut violations = Violations::default();
    violations.required("shardId", request.shard.as_ref());
    violations.length("shardId", request.shard.as_ref(), 28, 65);
    violations.required("shardIteratorType", request.kind.as_ref());
    let kinds = [AFTER, "LATEST", AT, "TRIM_HORIZON"];
    violations.one_of("shardIteratorType", request.kind.as_ref(), &kinds);
    violations.length("sequenceNumber", request.sequence.as_ref(), 21, 40);
    violations.finish()?;
    let sequence = |kind: &str| {
        let missing = || Error::Validation(format!("SequenceNumber is required for ShardIteratorType {kind}"));
        request.sequence.clone().ok_or_else(missing)
    };
    let start = match request.kind.as_deref() {
        Some(AT) => IteratorStart::AtSequence(sequence(AT)?),
        Some(AFTER) => IteratorStart::AfterSequence(sequence(AFTER)?),
        Some("LATEST") => IteratorStart::Latest,
        _ => IteratorStart::TrimHorizon,
    };
    let shard = request.shard.unwrap_or_default();
    let shard_iterator = app.streams.iterator(&name, &shard, start).await;
    let shard_iterator = shard_iterator.map_err(|error| stream_arn::told(error, request.stream_arn.as_ref()))?;
    Ok(Answer { shard_iterator })
}
