//! Where streams begin in the log, and which ones there have been.
//!
//! The catalogue tells of streams that are on. Where one begins is found once, by the time in its label, and remembered;
//! what is remembered outlives the stream, so that its readers can come to its end.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use item::{Change, SequenceNumber, Stream, Table};
use store::log::FrameNumber;

use crate::{
    Error, StreamName,
    position::StreamKey,
    scan::{AppliedLog, Opened},
    shards::label_ms,
};

/// Streams that are remembered.
const REMEMBERED_MAX: usize = 10_000;

/// Bytes of frames that are searched for the one that enabled a stream. A label's time is the log's at planning, cut to
/// the millisecond, so there is little between the first frame of that time and the one that is looked for.
const SEARCH_BYTES_MAX: u64 = 64 << 20;

/// One stream of one table, from where it was enabled.
#[derive(Debug)]
pub(crate) struct Lineage {
    pub(crate) key: StreamKey,
    /// The table as it was when the stream was enabled, or later: name and key do not change.
    pub(crate) table: Arc<Table>,
    pub(crate) stream: Stream,
    /// The frame that enabled it; the first kept one if that frame is trimmed.
    pub(crate) frame: FrameNumber,
    /// Per shard, its first event after it was enabled.
    pub(crate) first_sequences: Vec<SequenceNumber>,
}

/// Streams that were met.
#[derive(Debug, Default)]
pub(crate) struct Lineages {
    met: Mutex<BTreeMap<StreamKey, Arc<Lineage>>>,
}

/// What tells a stream from others, as far as it is known.
enum Wanted<'a> {
    Key(StreamKey),
    Name { table: &'a str, enabled_at_ms: u64 },
}

impl Wanted<'_> {
    fn is(&self, table: &Table, stream: &Stream) -> bool {
        match self {
            Wanted::Key(key) => *key == StreamKey { table: table.id, enabled_at_us: stream.enabled_at_us },
            Wanted::Name { table: name, enabled_at_ms } => {
                table.name == *name && stream.enabled_at_us / 1000 == *enabled_at_ms
            }
        }
    }

    fn enabled_from_us(&self) -> u64 {
        match self {
            Wanted::Key(key) => key.enabled_at_us,
            Wanted::Name { enabled_at_ms, .. } => enabled_at_ms.saturating_mul(1000),
        }
    }
}

impl Lineages {
    /// The stream that is on for `table`; none if none is.
    pub(crate) fn current(&self, log: &AppliedLog, table: &Arc<Table>) -> Result<Option<Arc<Lineage>>, Error> {
        let Some(stream) = &table.stream else { return Ok(None) };
        let key = StreamKey { table: table.id, enabled_at_us: stream.enabled_at_us };
        if let Some(met) = self.met().get(&key) {
            return Ok(Some(met.clone()));
        }
        // The catalogue may be a moment ahead of `log`; what it tells of is applied all the same.
        let log = &AppliedLog { log: log.log.clone(), end: log.log.tail() };
        let lineage = match find(log, &Wanted::Key(key))? {
            Some(lineage) => lineage,
            // Where it began is trimmed, so everything kept is behind it.
            None => {
                let frame = log.log.find_time(stream.enabled_at_us)?.max(log.log.trim_point());
                let first_sequences = log.sequences_at(frame)?;
                Lineage { key, table: table.clone(), stream: stream.clone(), frame, first_sequences }
            }
        };
        Ok(Some(self.remember(lineage)))
    }

    /// A stream that is not on, by what a token says.
    pub(crate) fn past_by_key(&self, log: &AppliedLog, key: StreamKey) -> Result<Option<Arc<Lineage>>, Error> {
        if let Some(met) = self.met().get(&key) {
            return Ok(Some(met.clone()));
        }
        Ok(find(log, &Wanted::Key(key))?.map(|lineage| self.remember(lineage)))
    }

    /// A stream that is not on, by its name.
    pub(crate) fn past_by_name(&self, log: &AppliedLog, name: &StreamName) -> Result<Option<Arc<Lineage>>, Error> {
        let Some(enabled_at_ms) = label_ms(&name.label) else { return Ok(None) };
        let wanted = Wanted::Name { table: &name.table, enabled_at_ms };
        if let Some(met) = self.met().values().find(|met| wanted.is(&met.table, &met.stream)) {
            return Ok(Some(met.clone()));
        }
        Ok(find(log, &wanted)?.map(|lineage| self.remember(lineage)))
    }

    fn remember(&self, lineage: Lineage) -> Arc<Lineage> {
        let mut met = self.met();
        let lineage = met.entry(lineage.key).or_insert_with(|| Arc::new(lineage)).clone();
        if met.len() > REMEMBERED_MAX {
            met.pop_first();
        }
        lineage
    }

    fn met(&self) -> MutexGuard<'_, BTreeMap<StreamKey, Arc<Lineage>>> {
        self.met.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks for the frame that enabled a stream, from the time in its label on.
fn find(log: &AppliedLog, wanted: &Wanted<'_>) -> Result<Option<Lineage>, Error> {
    let mut at = log.log.find_time(wanted.enabled_from_us())?.max(log.log.trim_point());
    let mut searched = 0;
    while searched < SEARCH_BYTES_MAX {
        let opened = log.read(at)?;
        if opened.is_empty() {
            break;
        }
        for Opened { frame, events } in opened {
            at = frame.number.next();
            searched += frame.bytes();
            let mut found: Option<Lineage> = None;
            for event in &events {
                let Change::PutTable(table) = &event.change else { continue };
                let Some(stream) = table.stream.as_ref().filter(|stream| wanted.is(table, stream)) else { continue };
                let lineage = found.get_or_insert_with(|| Lineage {
                    key: StreamKey { table: table.id, enabled_at_us: stream.enabled_at_us },
                    table: table.clone(),
                    stream: stream.clone(),
                    frame: frame.number,
                    first_sequences: frame.first_sequences.clone(),
                });
                if let Some(first) = lineage.first_sequences.get_mut(usize::from(event.shard.0)) {
                    *first = SequenceNumber(event.sequence.0 + 1);
                }
            }
            if found.is_some() {
                return Ok(found);
            }
        }
    }
    Ok(None)
}
