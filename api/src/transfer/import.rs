//! The job of an import.
//!
//! 1. A thread reads the objects, in the order of their keys, and makes items of their records, some hundred at a time.
//! 2. The job puts them, a batch at a time, and checkpoints after every few: the object, how many of its records are done, and the counts.
//! 3. An attempt that begins again passes over the records that are done. Those done after the last checkpoint are put again, in
//!    the same order, and change nothing.
//!
//! A record that is no item is counted, told in the server's log, and passed over. An object that cannot be read to its end is given up there.

mod csv_records;
mod json_lines;
mod lines;

use std::{
    borrow::Cow,
    fs::File,
    io::{self, BufRead, BufReader, Read},
    sync::Arc,
    time::Duration,
};

use flate2::read::MultiGzDecoder;
use item::{Actor, EncodedItem, Key, Table};
use jobs::{Stopped, Work};
use serde::{Deserialize, Serialize};
use store::write::{Action, Rejection, Write};
use tokio::time::Instant;

use super::{
    bucket::{Bucket, Buckets},
    bucket_failure,
    pieces::{Out, Pieces},
    unknown_bucket,
};
pub(crate) use csv_records::check_header;

/// Records and bytes of one batch, about.
const BATCH_RECORDS: usize = 256;
const BATCH_BYTES: u64 = 1 << 20;
/// A checkpoint is written after so many bytes, or after so long.
const CHECKPOINT_BYTES: u64 = 8 << 20;
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(1);
/// Bad records that the log tells of one attempt; all are counted.
const TOLD_MAX: usize = 100;
/// Characters that are told of a field, and of what is wrong with a record: it may be megabytes.
const FIELD_CHARACTERS: usize = 100;
const PROBLEM_CHARACTERS: usize = 400;
/// Largest window of Zstandard, as a power of two: it is held in memory. What `zstd -1` to `-19` write has no larger one.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spec {
    pub(crate) bucket: String,
    pub(crate) owner: Option<String>,
    pub(crate) prefix: Option<String>,
    pub(crate) format: Format,
    /// As the request gave them, if it did.
    pub(crate) csv: Option<Csv>,
    /// As the request gave it.
    pub(crate) compression: Option<Compression>,
}

/// What the records are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Format {
    #[serde(rename = "DYNAMODB_JSON")]
    DynamodbJson,
    #[serde(rename = "CSV")]
    Csv,
}

/// How the objects are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
}

/// Options of CSV.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Csv {
    /// One ASCII character; none for a comma.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) delimiter: Option<String>,
    /// Names of the attributes; none if each object's first record has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) header_list: Option<Vec<String>>,
}

/// How far it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// The key of the last object that was begun.
    object: String,
    /// How many of its records are done.
    records: u64,
    /// Is all of it done?
    is_object_done: bool,
    /// Records of all objects that are done.
    pub(crate) processed: u64,
    /// Items that were put.
    pub(crate) imported: u64,
    /// Records that are no items, and objects that could not be read to their end.
    pub(crate) errors: u64,
    /// Bytes of records, not compressed.
    pub(crate) bytes: u64,
}

/// Some records that follow each other in one object.
struct Batch {
    object: Arc<str>,
    items: Vec<(u64, Key, EncodedItem)>,
    problems: Vec<Problem>,
    /// Records, also those that are no items.
    records: u64,
    bytes: u64,
    is_last: bool,
}

/// What is wrong with a record, by its line; of the object itself if it has no line.
struct Problem {
    line: Option<u64>,
    text: String,
}

/// Imports, from the checkpoint on.
pub(crate) async fn run(mut work: Work, buckets: Buckets) -> Result<(), Stopped> {
    let spec: Spec = work.spec()?;
    let mut progress: Progress = work.progress()?.unwrap_or_default();
    let table = work.table()?;
    let bucket = buckets.get(&spec.bucket);
    let bucket = bucket.ok_or_else(|| Stopped::failed("S3NoSuchBucket", unknown_bucket(&spec.bucket)))?;
    let (reads, done) = (table.clone(), progress.clone());
    let mut batches = Pieces::of(move |out| read(&bucket, &spec, &reads, &done, out));
    let mut told = TOLD_MAX;
    let (mut saved_bytes, mut saved_at) = (progress.bytes, Instant::now());
    while let Some(batch) = batches.next().await? {
        let Batch { object, items, mut problems, records, bytes, is_last } = batch;
        let put = |(_, key, item): &(u64, Key, EncodedItem)| Write {
            table: table.clone(),
            key: key.clone(),
            action: Action::PutEncoded(item.clone()),
            condition: None,
            return_old: false,
            actor: Actor::Import,
        };
        let answers = work.store().write(items.iter().map(put).collect()).await?;
        for (answer, (line, ..)) in answers.into_iter().zip(&items) {
            match answer {
                Ok(_) => progress.imported += 1,
                Err(Rejection::Invalid(error)) => {
                    let text = crate::Error::from(error).to_string();
                    problems.push(Problem { line: Some(*line), text });
                }
                Err(rejection) => return Err(Stopped::failed("InternalError", rejection)),
            }
        }
        for Problem { line, text } in problems.iter().take(told) {
            let (job, line) = (&work.job().id, line.map(|line| line.to_string()).unwrap_or_default());
            let text = shown(text, PROBLEM_CHARACTERS);
            tracing::warn!(import = job, %object, line, problem = %text, "a record was not imported");
        }
        told = told.saturating_sub(problems.len());
        if progress.object != *object {
            progress = Progress { object: object.to_string(), records: 0, ..progress };
        }
        progress.records += records;
        progress.processed += records;
        progress.bytes += bytes;
        progress.errors += problems.len() as u64;
        progress.is_object_done = is_last;
        if progress.bytes - saved_bytes >= CHECKPOINT_BYTES || saved_at.elapsed() >= CHECKPOINT_INTERVAL {
            work.checkpoint(&progress).await?;
            (saved_bytes, saved_at) = (progress.bytes, Instant::now());
        }
    }
    work.checkpoint(&progress).await
}

/// The beginning of `text`, if there is more of it than so many characters.
fn shown(text: &str, characters_max: usize) -> Cow<'_, str> {
    match text.char_indices().nth(characters_max) {
        None => text.into(),
        Some((end, _)) => format!("{}...", &text[..end]).into(),
    }
}

/// Reads the objects from where `done` ends.
fn read(bucket: &Bucket, spec: &Spec, table: &Table, done: &Progress, out: &Out<Batch>) -> Result<(), Stopped> {
    let prefix = spec.prefix.as_deref().unwrap_or_default();
    let failure = |error| bucket_failure(&format!("the objects of bucket {} cannot be listed", spec.bucket), &error);
    let objects = bucket.list(prefix).map_err(failure)?;
    if objects.is_empty() {
        let text = format!("there is no object in bucket {} whose key begins with {prefix:?}", spec.bucket);
        return Err(Stopped::failed("S3NoSuchKey", text));
    }
    for object in objects.into_iter().filter(|object| object.key >= done.object) {
        let is_begun = object.key == done.object;
        if is_begun && done.is_object_done {
            continue;
        }
        let what = |error| bucket_failure(&format!("object {} cannot be opened", object.key), &error);
        let file = bucket.open(&object.key).map_err(what)?;
        let mut gathered = Gathered::new(object.key.as_str().into(), if is_begun { done.records } else { 0 }, out);
        let text = match decoded(file, spec.compression, out) {
            Ok(text) => text,
            Err(error) => {
                gathered.broken(&error);
                gathered.finish()?;
                continue;
            }
        };
        match spec.format {
            Format::DynamodbJson => read_json(&mut gathered, text, table)?,
            Format::Csv => {
                let Csv { delimiter, header_list } = spec.csv.clone().unwrap_or_default();
                let delimiter = delimiter.and_then(|text| text.bytes().next()).unwrap_or(b',');
                let records = csv_records::Records::new(text, delimiter, header_list);
                read_csv(&mut gathered, records, table)?;
            }
        }
        gathered.finish()?;
    }
    Ok(())
}

/// The text of an object. What makes more of little is read as it comes, and never held.
fn decoded<'o>(
    file: File,
    compression: Option<Compression>,
    out: &'o Out<Batch>,
) -> io::Result<BufReader<Box<dyn Read + 'o>>> {
    const BUFFER_BYTES: usize = 64 << 10;
    let file = Watched { file, out };
    let reader: Box<dyn Read> = match compression {
        None | Some(Compression::None) => Box::new(file),
        Some(Compression::Gzip) => Box::new(MultiGzDecoder::new(BufReader::new(file))),
        Some(Compression::Zstd) => {
            let mut decoder = zstd::stream::read::Decoder::new(file)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            Box::new(decoder)
        }
    };
    Ok(BufReader::with_capacity(BUFFER_BYTES, reader))
}

/// A file that ends when nobody waits for it any more: a line may go on for ever.
struct Watched<'o> {
    file: File,
    out: &'o Out<Batch>,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.out.check().map_err(|_| io::Error::other("nobody waits for it any more"))?;
        self.file.read(buffer)
    }
}

fn read_json(gathered: &mut Gathered<'_>, text: impl BufRead, table: &Table) -> Result<(), Stopped> {
    let mut lines = lines::Lines::new(text);
    let (mut number, mut before) = (0, 0);
    loop {
        let line = match lines.next() {
            Ok(Some(line)) => line,
            Ok(None) => return Ok(()),
            Err(error) => {
                gathered.broken(&error);
                return Ok(());
            }
        };
        number += 1;
        let is_blank = json_lines::is_blank(&line);
        let item = if is_blank || gathered.is_done() { None } else { Some(json_lines::item(&line, table)) };
        let bytes = lines.bytes - before;
        before = lines.bytes;
        if !is_blank {
            gathered.add(number, bytes, item)?;
        }
    }
}

fn read_csv<R: Read>(
    gathered: &mut Gathered<'_>,
    mut records: csv_records::Records<R>,
    table: &Table,
) -> Result<(), Stopped> {
    let header = match records.header() {
        Ok(header) => header,
        Err(text) => {
            gathered.broken(&text);
            return Ok(());
        }
    };
    let mut before = records.bytes();
    loop {
        let record = match records.next() {
            Ok(Some(record)) => record,
            Ok(None) => return Ok(()),
            Err(error) => {
                gathered.broken(&error);
                return Ok(());
            }
        };
        let line = record.line;
        let item = if gathered.is_done() { None } else { Some(csv_records::item(record.fields, &header, table)) };
        let bytes = records.bytes() - before;
        before = records.bytes();
        gathered.add(line, bytes, item)?;
    }
}

/// The records of one object, gathered to batches.
struct Gathered<'o> {
    /// Records that an earlier attempt has done.
    done: u64,
    batch: Batch,
    out: &'o Out<Batch>,
}

impl<'o> Gathered<'o> {
    fn new(object: Arc<str>, done: u64, out: &'o Out<Batch>) -> Gathered<'o> {
        Gathered { done, batch: Batch::new(object), out }
    }

    /// Is the next record done already?
    fn is_done(&self) -> bool {
        self.done > 0
    }

    /// Adds a record; none if it is done already.
    fn add(&mut self, line: u64, bytes: u64, item: Option<Result<(Key, EncodedItem), String>>) -> Result<(), Stopped> {
        let Some(item) = item else {
            self.done -= 1;
            return Ok(());
        };
        self.batch.records += 1;
        self.batch.bytes += bytes;
        match item {
            Ok((key, item)) => self.batch.items.push((line, key, item)),
            Err(text) => self.batch.problems.push(Problem { line: Some(line), text }),
        }
        if self.batch.records >= BATCH_RECORDS as u64 || self.batch.bytes >= BATCH_BYTES {
            self.leave()?;
        }
        Ok(())
    }

    /// The rest of the object cannot be read.
    fn broken(&mut self, error: &impl ToString) {
        let text = format!("{}: the rest of the object is passed over", error.to_string());
        self.batch.problems.push(Problem { line: None, text });
    }

    fn leave(&mut self) -> Result<(), Stopped> {
        let next = Batch::new(self.batch.object.clone());
        Ok(self.out.leave(std::mem::replace(&mut self.batch, next))?)
    }

    fn finish(mut self) -> Result<(), Stopped> {
        self.batch.is_last = true;
        self.leave()
    }
}

impl Batch {
    fn new(object: Arc<str>) -> Batch {
        Batch { object, items: Vec::new(), problems: Vec::new(), records: 0, bytes: 0, is_last: false }
    }
}
