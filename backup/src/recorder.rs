//! From the log to history: once for all tables with continuous backups, before the log may let go of it.
//!
//! 1. Read frames, from the first that is not recorded of some table, up to the last flushed one.
//! 2. Write the events of each table to a file of its own, with their times.
//! 3. Sync each file and give it its name; nothing is written of a table of which nothing happened.
//!
//! What is flushed is recorded, so a crash costs nothing but doing it again: the log is kept from the first frame on that is not
//! recorded.

use std::{collections::BTreeMap, sync::Arc};

use item::{Change, Event, ShardId, TableId};
use store::{
    Error,
    env::Disk,
    log::{FrameNumber, Log},
};

use crate::{HistoryFile, history::HistoryWriter, past::history_dir};

/// Bytes of frames read at a time.
const READ_BYTES: usize = 8 << 20;
/// Bytes of frames recorded in one step, about: the history of each table is cut there.
const STEP_BYTES: u64 = 64 << 20;

/// How far a table is.
#[derive(Clone, Copy)]
pub(crate) struct Position {
    /// The last frame that is recorded.
    pub(crate) recorded: FrameNumber,
    /// The last frame that the table's files cover; nothing happened between the two.
    pub(crate) covered: FrameNumber,
}

/// What a step did.
pub(crate) struct Recorded {
    /// Up to this frame everything is recorded.
    pub(crate) through: FrameNumber,
    /// The files that were written.
    pub(crate) files: BTreeMap<TableId, HistoryFile>,
    /// Why not all files could be ended: then only the tables of those that were are so far.
    pub(crate) error: Option<Error>,
}

/// Records what happened to `tables`, each from where it is, up to at most the frame `to`.
pub(crate) fn record(
    disk: &Arc<dyn Disk>,
    log: &dyn Log,
    shards: u16,
    tables: &BTreeMap<TableId, Position>,
    to: FrameNumber,
) -> Result<Recorded, Error> {
    let mut writers: BTreeMap<TableId, HistoryWriter> = BTreeMap::new();
    let mut next = tables.values().map(|at| at.recorded.next()).min().unwrap_or(to.next());
    let mut bytes = 0;
    while next <= to && bytes < STEP_BYTES {
        next = next_frame(log, shards, tables.keys(), next)?;
        if next > to {
            break;
        }
        for frame in log.read(next, READ_BYTES)?.iter().take_while(|frame| frame.number <= to) {
            let malformed = |error: item::CodecError| Error::Corrupt {
                path: "log".to_owned(),
                offset: error.offset as u64,
                what: format!("frame {}: {}", frame.number.0, error.what),
            };
            for event in Event::decode_all(&frame.body).map_err(malformed)? {
                let is_wanted = tables.get(&event.table).is_some_and(|at| at.recorded < frame.number);
                if !is_wanted || !matches!(event.change, Change::Put { .. } | Change::Remove { .. }) {
                    continue;
                }
                let writer = match writers.remove(&event.table) {
                    Some(writer) => writer,
                    None => HistoryWriter::create(disk, &history_dir(event.table), event.table)?,
                };
                let writer = writers.entry(event.table).or_insert(writer);
                writer.push(frame.committed_at_us, &event)?;
            }
            bytes += frame.bytes();
            next = frame.number.next();
        }
    }
    let through = FrameNumber(next.0.saturating_sub(1)).min(to);
    let mut files = BTreeMap::new();
    for (table, writer) in writers {
        match writer.finish(tables[&table].covered.next(), through) {
            Ok(file) => _ = files.insert(table, file),
            // What is ended is not to be recorded again.
            Err(error) => return Ok(Recorded { through, files, error: Some(error) }),
        }
    }
    Ok(Recorded { through, files, error: None })
}

/// The first frame from `from` on that may hold something of one of the tables, or the tail.
fn next_frame<'a>(
    log: &dyn Log,
    shards: u16,
    tables: impl Iterator<Item = &'a TableId> + Clone,
    from: FrameNumber,
) -> Result<FrameNumber, Error> {
    // What is trimmed had nothing of them.
    let from = from.max(log.trim_point());
    let mut next = log.tail();
    for shard in (0..shards).map(ShardId) {
        for table in tables.clone() {
            next = next.min(log.find_table(*table, shard, from)?);
            if next == from {
                return Ok(from);
            }
        }
    }
    Ok(next)
}
