//! `thalweg tail`: the change stream of a table as JSON lines, until Ctrl-C.

use std::{
    io::{ErrorKind, Write},
    time::Duration,
};

use anyhow::{Context, anyhow};
use hyper::StatusCode;
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::{
    cli::TailArguments,
    client::{Lines, Refused, Server, escape},
    shutdown::Signals,
};

/// How often is looked whether anybody still reads what is printed.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

pub(crate) async fn run(arguments: &TailArguments) -> anyhow::Result<()> {
    let mut signals = Signals::listen()?;
    let server = Server::of(&arguments.server)?;
    let from = place(&arguments.from)?;
    let path = format!("/streams/{}?from={}", escape(&arguments.table), escape(&from));
    let mut lines = match server.lines(&path).await {
        Ok(lines) => lines,
        Err(error) => return Err(explain(error, &server, &arguments.table).await),
    };
    tokio::select! {
        ended = print(&mut lines, arguments.limit.unwrap_or(u64::MAX)) => ended,
        () = reader_gone() => Ok(()),
        () = signals.requested() => Ok(()),
    }
}

/// The place as the server knows it: a date is its first moment, whole milliseconds are a time.
fn place(text: &str) -> anyhow::Result<String> {
    if text.len() == "2026-01-31".len()
        && let Ok(date) = text.parse::<Date>()
    {
        return Ok(date.to_zoned(TimeZone::UTC).with_context(|| format!("--from {text}"))?.timestamp().to_string());
    }
    if (12..=14).contains(&text.len())
        && let Ok(milliseconds) = text.parse()
    {
        return Ok(Timestamp::from_millisecond(milliseconds).with_context(|| format!("--from {text}"))?.to_string());
    }
    Ok(text.to_owned())
}

async fn print(lines: &mut Lines, limit: u64) -> anyhow::Result<()> {
    let mut printed = 0;
    while let Some(line) = lines.next().await? {
        let mut out = std::io::stdout().lock();
        let written = writeln!(out, "{line}").and_then(|()| out.flush());
        match written {
            // `thalweg tail t | head` has seen enough.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
            written => written?,
        }
        printed += 1;
        if printed == limit {
            return Ok(());
        }
    }
    anyhow::bail!("the server has ended the stream")
}

/// Returns when nobody reads standard output any more: `head` may have seen enough although nothing more is written.
async fn reader_gone() {
    let mut looks = tokio::time::interval(LOOK_INTERVAL);
    loop {
        looks.tick().await;
        let output = std::io::stdout();
        // An error is told whatever is asked for.
        let mut state = [PollFd::new(&output, PollFlags::empty())];
        if poll(&mut state, Some(&Timespec::default())).is_ok()
            && state[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
        {
            return;
        }
    }
}

/// A stream that is not there: is it the table, or is its stream off?
async fn explain(error: anyhow::Error, server: &Server, table: &str) -> anyhow::Error {
    if error.downcast_ref::<Refused>().is_none_or(|refused| refused.status != StatusCode::NOT_FOUND) {
        return error;
    }
    let Ok(status) = server.get("/admin/status").await else { return error };
    let tables = status["tables"].as_array().map(Vec::as_slice).unwrap_or_default();
    match tables.iter().find(|known| known["table"] == table) {
        Some(known) if known["stream"] == false => anyhow!(
            "the change stream of table `{table}` is off; turn it on with: aws dynamodb update-table --table-name \
             {table} --stream-specification StreamEnabled=true,StreamViewType=NEW_AND_OLD_IMAGES"
        ),
        Some(_) => error,
        None if tables.is_empty() => anyhow!("there is no table `{table}`, nor any other"),
        None => {
            let names: Vec<&str> = tables.iter().filter_map(|known| known["table"].as_str()).collect();
            anyhow!("there is no table `{table}`; there are {}", names.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_milliseconds_are_times() {
        assert_eq!(place("2026-01-31").unwrap(), "2026-01-31T00:00:00Z");
        assert_eq!(place("1769860800000").unwrap(), "2026-01-31T12:00:00Z");
        for text in ["latest", "trim-horizon", "2026-01-31T12:00:00Z", "AgAAA-gABmDZ", "yesterday!"] {
            assert_eq!(place(text).unwrap(), text);
        }
    }
}
