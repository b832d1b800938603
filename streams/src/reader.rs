//! The synchronous core: which streams there are, and their records. Calls read the log on the calling thread.

use std::sync::Arc;

use item::{SequenceNumber, ShardId, Table, TableId};
use store::{
    Catalog, Store,
    env::Clock,
    log::{FrameNumber, Log},
};
use tokio::sync::watch;

use crate::{
    Error, Record, ShardDescription, StreamDescription, StreamName,
    follower::FollowFrom,
    lineage::{Lineage, Lineages},
    position::{IteratorStart, ShardIterator, ShardPlace, StreamKey, StreamPlace},
    scan::AppliedLog,
    shards::{parse_sequence, parse_shard_id, shard_id},
    walk::Walk,
};

/// Most shards that one description tells of.
pub const SHARDS_MAX: usize = 100;
/// Most records of one answer.
pub const RECORDS_MAX: usize = 1000;

/// The change streams of a store, read on the calling thread, which blocks while the log is read. Cloning shares it.
/// [`crate::Streams`] is the same for callers that must not block.
#[derive(Clone)]
pub struct Reader {
    source: Source,
    lineages: Arc<Lineages>,
}

/// What streams need of a store.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) log: Arc<dyn Log>,
    pub(crate) applied: watch::Receiver<FrameNumber>,
    pub(crate) catalog: Arc<dyn Fn() -> Arc<Catalog> + Send + Sync>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Source {
    pub(crate) fn applied_log(&self) -> AppliedLog {
        AppliedLog { log: self.log.clone(), end: *self.applied.borrow() }
    }
}

/// Streams of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamPage {
    /// By table, then label.
    pub streams: Vec<StreamName>,
    /// The last of them, if there are more after it.
    pub last: Option<StreamName>,
}

/// Records of a shard.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordsPage {
    /// In the order of the shard; possibly none, though there may be some further on.
    pub records: Vec<Record>,
    /// Where to go on; none after the end of a closed shard.
    pub next_iterator: Option<String>,
}

impl Reader {
    /// The streams of `store`.
    pub fn new(store: &Store) -> Reader {
        let of_store = store.clone();
        Reader::over(Source {
            log: store.log().clone(),
            applied: store.applied(),
            catalog: Arc::new(move || of_store.catalog()),
            clock: store.clock().clone(),
        })
    }

    pub(crate) fn over(source: Source) -> Reader {
        Reader { source, lineages: Arc::default() }
    }

    pub(crate) fn applied(&self) -> watch::Receiver<FrameNumber> {
        self.source.applied.clone()
    }

    /// Streams that are on, or were not long ago, of one table or of all users' tables, after `after` (exclusive), at most `limit`.
    pub fn list(&self, table: Option<&str>, after: Option<&StreamName>, limit: usize) -> StreamPage {
        let (catalog, now_us) = ((self.source.catalog)(), self.source.clock.now_us());
        let of_table = |table: &Arc<Table>| {
            let ended = table.settings.ended_streams.iter().filter(|ended| ended.is_listed(now_us));
            let all = ended.map(|ended| &ended.stream).chain(&table.stream);
            all.map(|stream| StreamName::new(table, stream)).collect::<Vec<_>>()
        };
        let tables = catalog.user_tables().filter(|of| table.is_none_or(|table| of.name == table));
        let mut streams: Vec<StreamName> = tables.flat_map(of_table).collect();
        streams.retain(|name| after.is_none_or(|after| name > after));
        streams.sort();
        let has_more = streams.len() > limit;
        streams.truncate(limit);
        let last = if has_more { streams.last().cloned() } else { None };
        StreamPage { streams, last }
    }

    /// Describes a stream and its shards after `after_shard` (exclusive), at most `limit` of them.
    pub fn describe(
        &self,
        name: &StreamName,
        after_shard: Option<&str>,
        limit: usize,
    ) -> Result<StreamDescription, Error> {
        let log = self.source.applied_log();
        let (stream, is_enabled) = self.by_name(&log, name)?;
        let ending = if is_enabled { None } else { stream.ending(&log)? };
        let mut shards: Vec<ShardDescription> = (0_u16..)
            .zip(starting_sequences(&log, &stream)?)
            .map(|(shard, starting_sequence)| ShardDescription {
                id: shard_id(&stream.stream, ShardId(shard)),
                starting_sequence,
                ending_sequence: ending.and_then(|ending| ending.get(usize::from(shard)).copied()),
            })
            .filter(|shard| after_shard.is_none_or(|after| shard.id.as_str() > after))
            .collect();
        let limit = limit.clamp(1, SHARDS_MAX);
        let has_more = shards.len() > limit;
        shards.truncate(limit);
        let last_shard_id = shards.last().filter(|_| has_more).map(|shard| shard.id.clone());
        Ok(StreamDescription {
            name: name.clone(),
            table: stream.table.clone(),
            view: stream.stream.view,
            enabled_at_us: stream.key.enabled_at_us,
            is_enabled,
            shards,
            last_shard_id,
        })
    }

    /// A token for reading one shard from `start` on, good for 15 minutes.
    pub fn iterator(&self, name: &StreamName, shard: &str, start: IteratorStart) -> Result<String, Error> {
        let log = self.source.applied_log();
        let (stream, is_enabled) = self.by_name(&log, name)?;
        let shards = u16::try_from(stream.first_sequences.len()).unwrap_or(u16::MAX);
        let shard = parse_shard_id(&stream.stream, shards, shard)
            .ok_or_else(|| Error::ShardNotFound { shard: shard.to_owned() })?;
        let place = place(&log, &stream, is_enabled, shard, start)?;
        Ok(self.token(stream.key, place))
    }

    /// Records from an iterator on, at most `limit` (and 1000, and 1 MB). A bounded piece of the log is looked through,
    /// so an answer may be empty although there is more.
    pub fn records(&self, iterator: &str, limit: usize) -> Result<RecordsPage, Error> {
        let iterator = ShardIterator::decode(iterator, self.source.clock.now_us())?;
        if iterator.place.frame == ENDED {
            return Ok(RecordsPage { records: Vec::new(), next_iterator: None });
        }
        let log = self.source.applied_log();
        let stream = self.by_key(&log, iterator.stream)?;
        let (records, next) = log.shard_records(&stream, iterator.place, limit.clamp(1, RECORDS_MAX))?;
        metrics::counter!("thalweg_streams_records_total").increment(records.len() as u64);
        let next_iterator = next.map(|place| self.token(stream.key, place));
        Ok(RecordsPage { records, next_iterator })
    }

    /// The table that an iterator reads.
    pub fn table_of_iterator(&self, iterator: &str) -> Result<TableId, Error> {
        Ok(ShardIterator::decode(iterator, self.source.clock.now_us())?.stream.table)
    }

    /// A walk over the stream of the table called `table`, all shards of it.
    pub fn walk(&self, table: &str, from: &FollowFrom) -> Result<Walk, Error> {
        let log = self.source.applied_log();
        let not_found = || Error::StreamNotFound { stream: table.to_owned() };
        if let FollowFrom::Position(token) = from {
            let (key, place) = StreamPlace::decode(token)?;
            let stream = self.by_key(&log, key)?;
            let is_of_table = stream.table.name == table;
            return if is_of_table { Ok(Walk::new(self.source.clone(), stream, place)) } else { Err(not_found()) };
        }
        let current = (self.source.catalog)().by_name(table).filter(|table| !table.id.is_system()).cloned();
        let stream = match current {
            Some(table) => self.lineages.current(&log, &table)?,
            None => None,
        };
        let stream = stream.ok_or_else(not_found)?;
        let begin = stream.frame.max(log.log.trim_point());
        let frame = match from {
            FollowFrom::Latest => log.end,
            FollowFrom::Time(time_us) => log.log.find_time(*time_us)?.max(begin),
            FollowFrom::TrimHorizon | FollowFrom::Position(_) => begin,
        };
        Ok(Walk::new(self.source.clone(), stream, StreamPlace { frame, event: 0 }))
    }

    fn token(&self, stream: StreamKey, place: ShardPlace) -> String {
        ShardIterator { stream, place, issued_at_us: self.source.clock.now_us() }.encode()
    }

    /// A stream by name, and whether it is on.
    fn by_name(&self, log: &AppliedLog, name: &StreamName) -> Result<(Arc<Lineage>, bool), Error> {
        let current = (self.source.catalog)().by_name(&name.table).filter(|table| is_called(table, name)).cloned();
        if let Some(table) = current
            && let Some(stream) = self.lineages.current(log, &table)?
        {
            return Ok((stream, true));
        }
        let past = self.lineages.past_by_name(log, name)?.filter(|stream| is_called(&stream.table, name));
        past.map(|stream| (stream, false)).ok_or_else(|| Error::StreamNotFound { stream: name.to_string() })
    }

    fn by_key(&self, log: &AppliedLog, key: StreamKey) -> Result<Arc<Lineage>, Error> {
        let current = (self.source.catalog)().by_id(key.table).filter(|table| is_on(table, key)).cloned();
        let stream = match current {
            Some(table) => self.lineages.current(log, &table)?,
            None => self.lineages.past_by_key(log, key)?,
        };
        stream.ok_or_else(|| Error::StreamNotFound { stream: format!("of table number {}", key.table.0) })
    }
}

/// Stands for the end of a stream that is over.
const ENDED: FrameNumber = FrameNumber(u64::MAX);

fn is_called(table: &Table, name: &StreamName) -> bool {
    !table.id.is_system() && table.stream.as_ref().is_some_and(|stream| StreamName::new(table, stream) == *name)
}

fn is_on(table: &Table, key: StreamKey) -> bool {
    table.stream.as_ref().is_some_and(|stream| stream.enabled_at_us == key.enabled_at_us)
}

/// Per shard, the first event of `stream` that can still be read.
fn starting_sequences(log: &AppliedLog, stream: &Lineage) -> Result<Vec<SequenceNumber>, Error> {
    let trim_point = log.log.trim_point();
    if trim_point <= stream.frame {
        return Ok(stream.first_sequences.clone());
    }
    let kept = log.sequences_at(trim_point)?;
    Ok(stream.first_sequences.iter().zip(kept).map(|(first, kept)| kept.max(*first)).collect())
}

/// Where `start` is in a shard.
fn place(
    log: &AppliedLog,
    stream: &Lineage,
    is_enabled: bool,
    shard: ShardId,
    start: IteratorStart,
) -> Result<ShardPlace, Error> {
    let at = usize::from(shard.0);
    let begin = stream.frame.max(log.log.trim_point());
    let first = starting_sequences(log, stream)?[at];
    let numbered = |text: &str, skipped: u64| {
        let invalid = || Error::InvalidSequence { sequence: text.to_owned() };
        let sequence = parse_sequence(text).ok_or_else(invalid)?;
        let end = *log.sequences_at(log.end)?.get(at).ok_or_else(invalid)?;
        let next = sequence.0.checked_add(skipped).map(SequenceNumber).ok_or_else(invalid)?;
        if next < first {
            return Err(Error::Trimmed { trim_point: begin.0 });
        }
        // The number of the next event counts: it is what an empty shard says to begin with.
        if sequence > end.max(first) {
            return Err(invalid());
        }
        let frame = log.log.find_sequence(shard, next)?.clamp(begin, log.end.max(begin));
        Ok(ShardPlace { shard, frame, sequence: next })
    };
    match start {
        IteratorStart::TrimHorizon => Ok(ShardPlace { shard, frame: begin, sequence: first }),
        IteratorStart::Latest if is_enabled => {
            let next = log.sequences_at(log.end)?.get(at).copied().unwrap_or(first);
            Ok(ShardPlace { shard, frame: log.end, sequence: next })
        }
        IteratorStart::Latest => Ok(ShardPlace { shard, frame: ENDED, sequence: first }),
        IteratorStart::AtSequence(text) => numbered(&text, 0),
        IteratorStart::AfterSequence(text) => numbered(&text, 1),
    }
}
