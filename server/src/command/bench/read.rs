//! Reading items: GetItem and Query, of items that were written for it; and counting in them.

use std::rc::Rc;

use anyhow::bail;

use super::{
    arguments::{LoadArguments, QueryArguments, ReadArguments},
    http::Connection,
    load::{self, Phase},
    measure::{Measured, measure, nobody_else},
    pace::{End, Pace},
    reading::{BATCH, Readings, Template, mixed},
    target::Target,
    write::Writer,
};

/// What is asked for.
#[derive(Clone, Copy, Debug)]
enum Question {
    /// Any item that was written.
    Item,
    /// To count in any item that was written.
    Count,
    /// The newest of any device.
    Newest,
    /// So many in a row, of any device.
    Span(u64),
}

struct Reader {
    connection: Connection,
    /// In turn.
    asked: Vec<(Template, Question)>,
    turns: usize,
    devices: u64,
    items: u64,
    random: u64,
}

/// GetItem of any item.
pub(super) async fn get(target: &Target, arguments: &ReadArguments, readings: &Readings) -> anyhow::Result<Measured> {
    prepare(target, arguments, readings).await?;
    let template = Template::get_item(readings, target.http()?, &arguments.load.table);
    run(target, arguments, readings, &[(template, Question::Item)]).await
}

/// UpdateItem of any item and GetItem of any other in turn, so that everybody is asked for as many of both, however fast.
pub(super) async fn update(
    target: &Target,
    arguments: &ReadArguments,
    readings: &Readings,
) -> anyhow::Result<Measured> {
    prepare(target, arguments, readings).await?;
    let (host, table) = (target.http()?, &arguments.load.table);
    let update = (Template::update_item(readings, host, table), Question::Count);
    let get = (Template::get_item(readings, host, table), Question::Item);
    run(target, arguments, readings, &[update, get]).await
}

/// Query of any device.
pub(super) async fn query(
    target: &Target,
    arguments: &QueryArguments,
    readings: &Readings,
) -> anyhow::Result<Measured> {
    let read = &arguments.read;
    let each = read.items / readings.devices();
    if each < arguments.span.unwrap_or(1) {
        bail!(
            "{} items of {} devices are {each} of each: name more --items or fewer --devices",
            read.items,
            readings.devices()
        );
    }
    prepare(target, read, readings).await?;
    let (host, table) = (target.http()?, &read.load.table);
    let asked = match arguments.span {
        None => (Template::query_newest(readings, host, table, arguments.newest), Question::Newest),
        Some(span) => (Template::query_span(readings, host, table), Question::Span(span)),
    };
    run(target, read, readings, &[asked]).await
}

/// Writes the items that are then read, whole batches of them, in order of their times.
async fn prepare(target: &Target, arguments: &ReadArguments, readings: &Readings) -> anyhow::Result<()> {
    target.make_table(&arguments.load.table, false).await?;
    let template = Template::batch_write_item(readings, target.http()?, &arguments.load.table);
    // A single writer, so that readings without a gap are written; it is not what is measured.
    let writers = Writer::several(target, &template, 1, None).await?;
    let end = End::Count(arguments.items.div_ceil(BATCH as u64));
    let (_, tally) = load::run(writers, || Pace::closed(end), end, Writer::work).await?;
    if let Some(why) = tally.first_failure {
        bail!("writing the items to be read: {why}");
    }
    if arguments.cold { target.catch_up().await } else { Ok(()) }
}

async fn run(
    target: &Target,
    arguments: &ReadArguments,
    readings: &Readings,
    asked: &[(Template, Question)],
) -> anyhow::Result<Measured> {
    let load: &LoadArguments = &arguments.load;
    let mut readers = Vec::new();
    let mut writes = false;
    for number in 0..load.connections {
        writes |= asked.iter().any(|(_, question)| matches!(question, Question::Count));
        readers.push(Reader {
            connection: Connection::open(target.http()?).await?,
            asked: asked.to_vec(),
            turns: 0,
            devices: readings.devices(),
            items: arguments.items,
            random: mixed(load.seed ^ number << 32),
        });
    }
    measure(target, load, readers, Reader::work, nobody_else, writes).await
}

impl Reader {
    /// Reads until the run ends.
    async fn work(mut self, phase: Rc<Phase>) -> anyhow::Result<Reader> {
        while let Some(turn) = phase.pace.next().await {
            let Reader { connection, asked, turns, devices, items, random } = &mut self;
            let which = *turns % asked.len();
            let (template, question) = &mut asked[which];
            *turns += 1;
            *random = mixed(*random);
            let request: &[u8] = match question {
                Question::Item | Question::Count => template.fill(|| *random % *items),
                Question::Newest => template.fill(|| *random % *devices),
                Question::Span(span) => {
                    let starts = *items / *devices - *span + 1;
                    let start = (*random >> 32) % starts;
                    template.fill_span(*random % *devices, start..start + *span)
                }
            };
            phase.begins(turn);
            let answer = connection.exchange(request).await?;
            let found = match (answer.status, question) {
                (200, Question::Count) => 1,
                (200, Question::Item) => u64::from(answer.body.len() > EMPTY.len()),
                (200, _) => count(answer.body).unwrap_or(0),
                _ => 0,
            };
            match found {
                0 => phase.failed(|| String::from_utf8_lossy(answer.body).into_owned()),
                _ => phase.done(turn, 1),
            }
        }
        Ok(self)
    }
}

/// The answer for an item that is not there.
const EMPTY: &str = "{}";

/// Of a long answer only so much at each end is searched: the count stands before or behind the items.
const ENDS_BYTES: usize = 512;

/// The `Count` of an answer.
fn count(body: &[u8]) -> Option<u64> {
    let head = &body[..body.len().min(ENDS_BYTES)];
    let tail = &body[body.len().saturating_sub(ENDS_BYTES)..];
    count_in(head).or_else(|| count_in(tail))
}

fn count_in(part: &[u8]) -> Option<u64> {
    const NAME: &[u8] = b"\"Count\":";
    let at = part.windows(NAME.len()).position(|name| name == NAME)? + NAME.len();
    let digits = part[at..].iter().skip_while(|byte| **byte == b' ').take_while(|byte| byte.is_ascii_digit());
    digits.fold(None, |count, digit| Some(count.unwrap_or(0) * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_of_an_answer_is_found() {
        assert_eq!(count(br#"{"Count":12,"Items":[],"ScannedCount":99}"#), Some(12));
        assert_eq!(count(br#"{"Items":[{"x":{"S":"y"}}],"ScannedCount":9,"Count": 3}"#), Some(3));
        let long = format!("{{\"Items\":[{}],\"Count\":7,\"ScannedCount\":7}}", "0,".repeat(5000));
        assert_eq!(count(long.as_bytes()), Some(7));
        assert_eq!(count(br#"{"Items":[]}"#), None);
    }
}
