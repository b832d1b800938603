//! A job as an item of the table `$jobs`.
//!
//! ```text
//! kind (S), id (S)          the key
//! state (S)                 running, completing, failing, completed, failed: the middle two until the outcome is carried out
//! spec (S), progress (S)    the kind's own JSON
//! token (S)                 the client's
//! fills (B)                 the encoded schema of the table that is filled; table (N): its number
//! created_at_us, ended_at_us (N), failure_code, failure_message (S)
//! ```
//! Words and names are persisted: never change them.

use std::sync::Arc;

use bytes::Bytes;
use item::{Item, Table, TableId, Value};

use crate::{Failure, Job, State};

/// The item that holds `job`.
pub(crate) fn item_of(job: &Job) -> Item {
    let text = |text: &str| Value::String(text.to_owned());
    let number = |number: u64| Value::Number(number.into());
    let (state, failure) = match (&job.state, job.is_settled) {
        (State::Running, _) => ("running", None),
        (State::Completed, false) => ("completing", None),
        (State::Completed, true) => ("completed", None),
        (State::Failed(failure), false) => ("failing", Some(failure)),
        (State::Failed(failure), true) => ("failed", Some(failure)),
    };
    let mut item = Item::default();
    item.insert("kind", text(&job.kind));
    item.insert("id", text(&job.id));
    item.insert("state", text(state));
    item.insert("spec", text(&job.spec));
    item.insert("created_at_us", number(job.created_at_us));
    let optional = [
        ("progress", job.progress.as_deref().map(text)),
        ("token", job.token.as_deref().map(text)),
        ("fills", job.fills.as_deref().map(|table| Value::Binary(encoded(table)))),
        ("table", job.table.map(|table| number(table.0.into()))),
        ("ended_at_us", job.ended_at_us.map(number)),
        ("failure_code", failure.map(|failure| text(&failure.code))),
        ("failure_message", failure.map(|failure| text(&failure.message))),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            item.insert(name, value);
        }
    }
    item
}

/// The job that an item holds, if it holds a whole one.
pub(crate) fn job_of(item: &Item) -> Option<Job> {
    let text = |name: &str| match item.get(name) {
        Some(Value::String(text)) => Some(text.clone()),
        _ => None,
    };
    let number = |name: &str| match item.get(name) {
        Some(Value::Number(number)) => number.to_string().parse::<u64>().ok(),
        _ => None,
    };
    let failure = || Some(State::Failed(Failure { code: text("failure_code")?, message: text("failure_message")? }));
    let (state, is_settled) = match text("state")?.as_str() {
        "running" => (State::Running, false),
        "completing" => (State::Completed, false),
        "completed" => (State::Completed, true),
        "failing" => (failure()?, false),
        "failed" => (failure()?, true),
        _ => return None,
    };
    let fills = match item.get("fills") {
        None => None,
        Some(Value::Binary(bytes)) => Some(Arc::new(Table::decode(bytes, &mut 0).ok()?)),
        Some(_) => return None,
    };
    let table = number("table").map(|number| u32::try_from(number).map(TableId)).transpose().ok()?;
    Some(Job {
        kind: text("kind")?,
        id: text("id")?,
        spec: text("spec")?,
        token: text("token"),
        progress: text("progress"),
        fills,
        table,
        state,
        is_settled,
        created_at_us: number("created_at_us")?,
        ended_at_us: number("ended_at_us"),
    })
}

fn encoded(table: &Table) -> Bytes {
    let mut bytes = Vec::new();
    table.encode(&mut bytes);
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_what_it_was_when_it_is_read_again() {
        let running = Job {
            kind: "import".into(),
            id: "01700000000000-0a1b2c3d".into(),
            spec: "{}".into(),
            token: None,
            progress: None,
            fills: None,
            table: None,
            state: State::Running,
            is_settled: false,
            created_at_us: 7,
            ended_at_us: None,
        };
        let failed = Job {
            token: Some("t".into()),
            progress: Some("[1]".into()),
            fills: Some(Arc::new(item::table::system::retained())),
            table: Some(TableId(1007)),
            state: State::Failed(Failure::new("S3NoSuchBucket", "no")),
            is_settled: true,
            ended_at_us: Some(8),
            ..running.clone()
        };
        let completing = Job { state: State::Completed, ..running.clone() };
        for job in [running, failed, completing] {
            assert_eq!(job_of(&item_of(&job)), Some(job));
        }
        assert_eq!(job_of(&Item::default()), None);
    }
}
