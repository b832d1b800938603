//! Following a table's changes while items are written.

use std::rc::Rc;

use anyhow::{Context, bail};
use serde_json::Value;
use tokio::task::JoinSet;

use super::{
    arguments::FollowersArguments,
    audience::Audience,
    http::{Connection, Followed},
    measure::{Measured, measure},
    reading::{Readings, Template},
    target::Target,
    write::Writer,
};

/// Writes and lets as many as asked for follow.
pub(super) async fn run(
    target: &Target,
    arguments: &FollowersArguments,
    readings: &Readings,
) -> anyhow::Result<(Measured, Value)> {
    let load = &arguments.load;
    if !target.is_thalweg() {
        bail!("only a thalweg server has change streams to follow");
    }
    target.make_table(&load.table, true).await?;
    let audience = Audience::new(readings, arguments.followers);
    let mut followers = JoinSet::new();
    for _ in 0..arguments.followers {
        let connection = Connection::open(target.http()?).await?;
        let followed = connection.follow(&format!("/streams/{}?from=latest", load.table)).await?;
        followers.spawn_local(follow(followed, audience.clone()));
    }
    let template = Template::put_item(readings, target.http()?, &load.table);
    let writers = Writer::several(target, &template, load.connections, Some(&audience)).await?;
    let all_told = async |operations, measured| audience.all_told(operations, measured).await;
    let measured = tokio::select! {
        measured = measure(target, load, writers, Writer::work, all_told, true) => measured?,
        Some(ended) = followers.join_next() => match ended? {
            Ok(()) => bail!("the server has ended a change stream"),
            Err(error) => return Err(error.context("a follower")),
        },
    };
    Ok((measured, audience.to_json()))
}

/// Takes lines until the stream ends.
async fn follow(mut followed: Followed, audience: Rc<Audience>) -> anyhow::Result<()> {
    let mut body = Vec::new();
    let mut open = true;
    while open {
        open = followed.more(&mut body).await?;
        let Some(end) = body.iter().rposition(|byte| *byte == b'\n') else { continue };
        let lines = std::str::from_utf8(&body[..end]).context("the stream is not text")?;
        for line in lines.lines() {
            let (device, time_ms) = key(line).with_context(|| format!("a line without a key: {line}"))?;
            audience.told(device, time_ms)?;
        }
        body.drain(..=end);
    }
    Ok(())
}

/// Device and time of a change; reading only so much of its line costs a tenth of reading it all.
fn key(line: &str) -> Option<(&str, u64)> {
    let behind = |name: &str| line.split_once(name)?.1.split_once('"').map(|(value, _)| value);
    Some((behind("\"device_id\":{\"S\":\"")?, behind("\"ts\":{\"N\":\"")?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_its_key() {
        let line = r#"{"position":"p","dynamodb":{"Keys":{"device_id":{"S":"d"},"ts":{"N":"12"}},"NewImage":{}}}"#;
        assert_eq!(key(line), Some(("d", 12)));
        assert_eq!(key(r#"{"error":"trimmed"}"#), None);
    }
}
