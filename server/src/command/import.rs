//! `thalweg import`: a file's rows into a table of the running server.
//!
//! A thread reads rows and makes batches; this task sends them one after another while the next ones are read. The
//! server answers a batch when it is durable, so order is the file's order, and what is in flight is bounded.

mod checkpoint;
mod progress;
mod repeats;
mod rows;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use anyhow::{Context, bail};
use bytes::Bytes;
use serde_json::json;
use tokio::sync::mpsc;

use self::{
    checkpoint::Checkpoint,
    progress::Progress,
    repeats::Hold,
    rows::{BadRow, Columns, Row, Rows},
};
use super::Output;
use crate::{
    cli::ImportArguments,
    client::{Refused, Server, escape},
    shutdown::Signals,
};

/// A batch is sent when it has so many rows or bytes.
const BATCH_ROWS_MAX: usize = 2000;
const BATCH_BYTES_MAX: usize = 1 << 20;
/// Batches that are ready while one is on its way.
const BATCHES_READY_MAX: usize = 2;
/// Unreadable rows that are named one by one.
const BAD_ROWS_SHOWN: u64 = 20;
/// A server that restarts is waited for: so many tries, each later than the one before.
const TRIES: u32 = 8;

/// Some rows on their way.
struct Batch {
    /// JSON lines, each with its line's number in the file and a tab in front.
    body: Vec<u8>,
    rows: u64,
    bad: Vec<BadRow>,
    /// When this batch is acknowledged, every row that begins before this line is.
    safe_line: u64,
    /// Bytes of the file read so far.
    offset: u64,
}

/// What became of the rows.
#[derive(Default)]
struct Summary {
    rows: u64,
    skipped: u64,
    bad: u64,
    /// What the server counted: `stored`, `unchanged`, `quarantined`, and the like.
    counts: BTreeMap<String, u64>,
}

pub(crate) async fn run(arguments: ImportArguments, output: Output) -> anyhow::Result<()> {
    let mut signals = Signals::listen()?;
    let acknowledged = AtomicU64::new(0);
    tokio::select! {
        ended = import(arguments, output, &acknowledged) => ended,
        code = signals.exit_code() => {
            eprintln!("\nthalweg: interrupted; {}", resumable(acknowledged.load(Ordering::Relaxed)));
            // The thread that reads the file may be in the middle of it.
            std::process::exit(code)
        }
    }
}

fn resumable(rows: u64) -> String {
    format!("{rows} rows are stored; the same command with --resume goes on from there")
}

async fn import(arguments: ImportArguments, output: Output, acknowledged: &AtomicU64) -> anyhow::Result<()> {
    let path = arguments.file.clone();
    let file = || format!("{}", path.display());
    let bytes = std::fs::metadata(&path).with_context(file)?.len();
    let columns = Columns { device: arguments.device.column.clone(), time: arguments.time.clone() };
    // Opened once here, so that what is wrong with the file as a whole is told before anything is sent.
    Rows::open(&path, &columns).with_context(file)?;
    let server = Server::of(&arguments.server)?;
    server.get("/admin/status").await?;

    let target = target(&arguments);
    let checkpoint = match Checkpoint::new(&path, &(&target, server.address())) {
        Ok(checkpoint) => Some(checkpoint),
        Err(error) if arguments.resume => return Err(error.context("--resume")),
        Err(_) => None,
    };
    let from_line = match &checkpoint {
        Some(checkpoint) if arguments.resume => checkpoint.load().unwrap_or(0),
        _ => 0,
    };

    let (sender, mut batches) = mpsc::channel(BATCHES_READY_MAX);
    let reader = tokio::task::spawn_blocking(move || read(&path, bytes, &columns, from_line, &sender));
    let mut progress = Progress::new(bytes);
    let mut summary = Summary::default();
    while let Some(batch) = batches.recv().await {
        for bad in &batch.bad {
            summary.bad += 1;
            if summary.bad <= BAD_ROWS_SHOWN {
                progress.warn(&format!("{}: line {}: {}", arguments.file.display(), bad.line, bad.what));
            }
        }
        if batch.rows > 0 {
            let answer = send(&server, &target, batch.body).await;
            let answer = match answer {
                Err(error) if summary.rows > 0 => {
                    return Err(error.context(resumable(summary.rows)));
                }
                answer => answer?,
            };
            for (name, count) in answer {
                *summary.counts.entry(name).or_default() += count;
            }
        }
        summary.rows += batch.rows;
        acknowledged.store(summary.rows, Ordering::Relaxed);
        progress.advance(batch.offset, batch.rows);
        if let Some(checkpoint) = &checkpoint {
            checkpoint.save(batch.safe_line)?;
        }
    }
    progress.finish();
    summary.skipped = reader.await.context("reader")?.with_context(|| format!("{}", arguments.file.display()))?;
    if let Some(checkpoint) = &checkpoint {
        checkpoint.remove();
    }
    print(&summary, &arguments, output);
    let count = |name: &str| summary.counts.get(name).copied().unwrap_or_default();
    if summary.rows > 0 && count("stored") + count("unchanged") == 0 {
        let reason = reason(&server).await.unwrap_or_default();
        bail!("nothing was stored: all rows are in quarantine{reason}; see `thalweg quarantine list`");
    }
    if summary.bad > 0 {
        bail!("{} rows of {} could not be read and were not sent", summary.bad, arguments.file.display());
    }
    Ok(())
}

/// Why the newest row in quarantine is there.
async fn reason(server: &Server) -> Option<String> {
    let listed = server.get("/admin/quarantine").await.ok()?;
    let entry = listed["entries"].as_array()?.iter().find(|entry| entry["line"].is_u64())?;
    Some(format!(" (line {}: {})", entry["line"], entry["reason"].as_str()?))
}

/// Where rows are sent, with the mapping in the query.
fn target(arguments: &ImportArguments) -> String {
    let mut target = format!("/ingest/{}?time={}", escape(&arguments.table), escape(&arguments.time));
    let device = &arguments.device;
    for (name, value) in [("device", &device.column), ("device_id", &device.id), ("zone", &arguments.zone)] {
        if let Some(value) = value {
            target.push_str(&format!("&{name}={}", escape(value)));
        }
    }
    target
}

/// Reads the file and fills batches; answers how many rows were skipped because they had been imported before.
fn read(
    path: &Path,
    bytes: u64,
    columns: &Columns,
    from_line: u64,
    sender: &mpsc::Sender<Batch>,
) -> anyhow::Result<u64> {
    let mut hold = Hold::new(repeats::count(bytes, || Rows::open(path, columns))?);
    let mut rows = Rows::open(path, columns)?;
    let mut skipped = 0;
    let mut ready: Vec<Row> = Vec::new();
    let mut bad = Vec::new();
    let mut ready_bytes = 0;
    loop {
        let row = rows.next()?;
        let ended = row.is_none();
        let mut next_line = u64::MAX;
        let released = match row {
            None => hold.finish(),
            Some(Ok(row)) if row.line < from_line => {
                skipped += 1;
                hold.skip(&row);
                continue;
            }
            Some(Ok(row)) => {
                next_line = row.line + 1;
                hold.pass(row)
            }
            Some(Err(row)) => {
                next_line = row.line + 1;
                bad.push(row);
                Vec::new()
            }
        };
        ready_bytes += released.iter().map(|row| row.json.len() + 8).sum::<usize>();
        ready.extend(released);
        if ended || ready.len() >= BATCH_ROWS_MAX || ready_bytes >= BATCH_BYTES_MAX || bad.len() >= BATCH_ROWS_MAX {
            let mut body = Vec::with_capacity(ready_bytes);
            for row in &ready {
                // The line goes along, so that a row in quarantine can be found in its file.
                body.extend_from_slice(row.line.to_string().as_bytes());
                body.push(b'\t');
                body.extend_from_slice(&row.json);
                body.push(b'\n');
            }
            let batch = Batch {
                body,
                rows: ready.len() as u64,
                bad: std::mem::take(&mut bad),
                safe_line: hold.first_line().unwrap_or(next_line),
                offset: rows.offset(),
            };
            ready.clear();
            ready_bytes = 0;
            if sender.blocking_send(batch).is_err() {
                // Nobody sends any more: the sending task has failed and says why.
                return Ok(skipped);
            }
        }
        if ended {
            return Ok(skipped);
        }
    }
}

/// Sends a batch until it is durable. Sending it again is safe: what is stored already changes nothing.
async fn send(server: &Server, target: &str, body: Vec<u8>) -> anyhow::Result<BTreeMap<String, u64>> {
    let body = Bytes::from(body);
    let mut tries = 1;
    loop {
        let error = match server.post(target, body.clone()).await {
            Ok(answer) => return serde_json::from_value(answer).context("the server's answer has no counts"),
            Err(error) => error,
        };
        let final_refusal = error.downcast_ref::<Refused>().is_some_and(|refused| !refused.status.is_server_error());
        if final_refusal || tries == TRIES {
            return Err(error);
        }
        back_off(tries).await;
        tries += 1;
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a back-off: the server may be restarting, and nothing tells when it is ready"
)]
async fn back_off(tries: u32) {
    tokio::time::sleep(Duration::from_millis(50 << tries)).await;
}

fn print(summary: &Summary, arguments: &ImportArguments, output: Output) {
    if output == Output::Json {
        let mut line = json!({
            "table": arguments.table, "rows": summary.rows, "skipped": summary.skipped, "unreadable": summary.bad,
        });
        for (name, count) in &summary.counts {
            line[name] = json!(count);
        }
        println!("{line}");
        return;
    }
    let mut counts: Vec<String> = summary.counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
    for (name, count) in [("skipped (imported before)", summary.skipped), ("unreadable", summary.bad)] {
        if count > 0 {
            counts.push(format!("{count} {name}"));
        }
    }
    println!("{} rows sent to {}: {}", summary.rows, arguments.table, counts.join(", "));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batches(text: &str, from_line: u64) -> (Vec<Batch>, u64) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.csv");
        std::fs::write(&path, text).unwrap();
        let columns = Columns { device: None, time: "t".into() };
        let (sender, mut receiver) = mpsc::channel(1000);
        let skipped = read(&path, text.len() as u64, &columns, from_line, &sender).unwrap();
        drop(sender);
        (std::iter::from_fn(|| receiver.blocking_recv()).collect(), skipped)
    }

    #[test]
    fn every_row_is_in_one_batch() {
        let text: String = std::iter::once("t,v\n".to_owned()).chain((0..4500).map(|n| format!("{n},1\n"))).collect();
        let (batches, skipped) = batches(&text, 0);
        assert_eq!(batches.iter().map(|batch| batch.rows).collect::<Vec<_>>(), [2000, 2000, 500]);
        assert_eq!(batches[0].safe_line, 2002);
        assert_eq!((batches[2].offset, skipped), (text.len() as u64, 0));
        assert!(batches[2].body.ends_with(b"4501\t{\"t\":4499,\"v\":1}\n"));
    }

    #[test]
    fn resuming_skips_what_is_acknowledged_and_nothing_else() {
        let (batches, skipped) = batches("t,v\n1,1\n2,1\n1,2\n3,1\n2,2\n", 4);
        assert_eq!(skipped, 2);
        assert_eq!(
            String::from_utf8(batches[0].body.clone()).unwrap(),
            "4\t{\"t\":1,\"v\":2}\n5\t{\"t\":3,\"v\":1}\n6\t{\"t\":2,\"v\":2}\n"
        );
    }

    #[test]
    fn the_mapping_is_in_the_query() {
        use clap::Parser;
        let line = [
            "thalweg",
            "import",
            "f.csv",
            "--table",
            "t.x",
            "--device",
            "a b",
            "--time",
            "ts",
            "--zone",
            "Europe/Berlin",
        ];
        let cli = crate::cli::Cli::try_parse_from(line).unwrap();
        let Some(crate::cli::Command::Import(arguments)) = cli.command else { panic!("not an import") };
        assert_eq!(target(&arguments), "/ingest/t.x?time=ts&device=a%20b&zone=Europe%2FBerlin");
    }
}
