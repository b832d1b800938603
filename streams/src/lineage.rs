//! Where streams begin in the log, and which ones there have been.
//!
//! The catalogue tells of streams that are on. Where one begins is found once, by the time in its label, and remembered;
//! what is remembered outlives the stream, so that its readers can come to its end.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use item::{Change, Event, SequenceNumber, Stream, Table};
use store::log::{Frame, FrameNumber};

use crate::{
    Error, Record, StreamName,
    position::StreamKey,
    scan::{AppliedLog, Opened},
    shards::label_ms,
};

/// Streams that are remembered.
const REMEMBERED_MAX: usize = 10_000;

/// Bytes of frames that are searched for the one that enabled a stream, or that ended it. A label's time is the log's at
/// planning, cut to the millisecond, so there is little between the first frame of that time and the one that enabled it.
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
    /// Per shard, its last event before the stream ended, once that was seen.
    ending: OnceLock<Vec<SequenceNumber>>,
}

impl Lineage {
    /// Is this the event that ends the stream in its shard?
    pub(crate) fn ends_with(&self, event: &Event) -> bool {
        event.table == self.key.table
            && self.has_begun(event)
            && match &event.change {
                Change::PutTable(table) => {
                    table.stream.as_ref().is_none_or(|stream| stream.enabled_at_us != self.key.enabled_at_us)
                }
                Change::DeleteTable => true,
                Change::Put { .. } | Change::Remove { .. } => false,
            }
    }

    /// What the stream shows of an event.
    pub(crate) fn record(&self, event: &Event, frame: &Frame) -> Result<Option<Record>, Error> {
        if event.table != self.key.table || !self.has_begun(event) {
            return Ok(None);
        }
        Record::of_event(event, &self.table, self.stream.view, frame.committed_at_us)
            .map_err(|source| Error::Corrupt { frame: frame.number, source })
    }

    fn has_begun(&self, event: &Event) -> bool {
        self.first_sequences.get(usize::from(event.shard.0)).is_some_and(|first| event.sequence >= *first)
    }

    /// Remembers where the stream ended if that is in this frame: a table change is one frame for all shards.
    pub(crate) fn note_ending(&self, frame: &Frame, events: &[Event]) {
        let mut ending: Vec<SequenceNumber> = Vec::new();
        for event in events.iter().filter(|event| self.ends_with(event)) {
            if ending.is_empty() {
                ending.extend(frame.first_sequences.iter().map(|first| before(*first)));
            }
            if let Some(last) = ending.get_mut(usize::from(event.shard.0)) {
                *last = before(event.sequence);
            }
        }
        if !ending.is_empty() {
            self.ending.get_or_init(|| ending);
        }
    }

    /// Per shard, the last event before the stream ended; none if it has not, or if that is too far on to search for.
    pub(crate) fn ending(&self, log: &AppliedLog) -> Result<Option<&[SequenceNumber]>, Error> {
        let mut at = self.frame.max(log.log.trim_point());
        let mut searched = 0;
        while self.ending.get().is_none() && searched < SEARCH_BYTES_MAX {
            let opened = log.read(at)?;
            if opened.is_empty() {
                break;
            }
            for Opened { frame, events } in opened {
                at = frame.number.next();
                searched += frame.bytes();
                self.note_ending(&frame, &events);
            }
        }
        Ok(self.ending.get().map(Vec::as_slice))
    }
}

fn before(sequence: SequenceNumber) -> SequenceNumber {
    SequenceNumber(sequence.0.saturating_sub(1))
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
                let (table, stream) = (table.clone(), stream.clone());
                Lineage { key, table, stream, frame, first_sequences, ending: OnceLock::new() }
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
                    ending: OnceLock::new(),
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
