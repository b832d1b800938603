//! Writing items: PutItem and BatchWriteItem.

use std::rc::Rc;

use serde_json::Value;

use super::{
    arguments::LoadArguments,
    audience::Audience,
    http::{Answer, Connection},
    load::Phase,
    measure::{Measured, measure, nobody_else},
    reading::{Readings, Template},
    target::Target,
};

/// How an answer to a batch that was written whole may look at most; a longer one is read.
const NOTHING_LEFT_BYTES: usize = 64;

/// Writes one reading after the other.
pub(super) struct Writer {
    connection: Connection,
    template: Template,
    next: u64,
    stride: u64,
    audience: Option<Rc<Audience>>,
}

impl Writer {
    /// `count` writers that share the readings between them.
    pub(super) async fn several(
        target: &Target,
        template: &Template,
        count: u64,
        audience: Option<&Rc<Audience>>,
    ) -> anyhow::Result<Vec<Writer>> {
        let mut writers = Vec::new();
        for next in 0..count {
            let connection = Connection::open(target.http()?).await?;
            let (template, audience) = (template.clone(), audience.cloned());
            writers.push(Writer { connection, template, next, stride: count, audience });
        }
        Ok(writers)
    }

    /// Writes until the run ends.
    pub(super) async fn work(mut self, phase: Rc<Phase>) -> anyhow::Result<Writer> {
        let Writer { connection, template, next, stride, audience } = &mut self;
        while let Some(turn) = phase.pace.next().await {
            let readings = template.readings() as u64;
            let request = template.fill(|| {
                let number = *next;
                *next += *stride;
                if let Some(audience) = audience {
                    audience.sent(number, turn.intended);
                }
                number
            });
            phase.begins(turn);
            let answer = connection.exchange(request).await?;
            match refusal(answer) {
                None => phase.done(turn, readings),
                Some(why) => phase.failed(|| why),
            }
        }
        Ok(self)
    }
}

/// Why a write was not done, if it was not.
pub(super) fn refusal(answer: Answer<'_>) -> Option<String> {
    let said = || String::from_utf8_lossy(answer.body).into_owned();
    if answer.status != 200 {
        return Some(said());
    }
    if answer.body.len() <= NOTHING_LEFT_BYTES {
        return None;
    }
    let left = serde_json::from_slice::<Value>(answer.body).ok();
    let left = left.as_ref().and_then(|said| said["UnprocessedItems"].as_object()).is_some_and(|left| !left.is_empty());
    left.then(said)
}

/// One request an item, or one a batch.
pub(super) async fn run(
    target: &Target,
    load: &LoadArguments,
    readings: &Readings,
    template: fn(&Readings, &str, &str) -> Template,
) -> anyhow::Result<Measured> {
    target.make_table(&load.table, false).await?;
    let template = template(readings, target.http()?, &load.table);
    let writers = Writer::several(target, &template, load.connections, None).await?;
    measure(target, load, writers, Writer::work, nobody_else, true).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_batch_is_a_refusal() {
        let long = " ".repeat(NOTHING_LEFT_BYTES);
        let answer = |status, body: &str| refusal(Answer { status, body: body.as_bytes() });
        assert_eq!(answer(200, "{\"UnprocessedItems\":{}}"), None);
        assert_eq!(answer(200, &format!("{{\"UnprocessedItems\":{{}}{long}}}")), None);
        assert!(answer(200, &format!("{{\"UnprocessedItems\":{{\"bench\":[1]}}{long}}}")).is_some());
        assert_eq!(answer(400, "no").as_deref(), Some("no"));
    }
}
