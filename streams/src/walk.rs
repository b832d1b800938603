//! A walk over a whole stream: all shards, in the order of the log, as far as it is applied.

use std::sync::Arc;

use crate::{Error, Record, lineage::Lineage, position::StreamPlace, reader::Source};

/// A record that a walk or a follower gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Followed {
    /// The record.
    pub record: Record,
    /// A position from which following goes on behind this record.
    pub position: String,
}

/// A moving place in a stream. It holds no piece of the log.
#[derive(Clone)]
pub struct Walk {
    source: Source,
    stream: Arc<Lineage>,
    place: StreamPlace,
    has_ended: bool,
}

impl Walk {
    pub(crate) fn new(source: Source, stream: Arc<Lineage>, place: StreamPlace) -> Walk {
        Walk { source, stream, place, has_ended: false }
    }

    /// The time, microseconds since 1970.
    pub(crate) fn now_us(&self) -> u64 {
        self.source.clock.now_us()
    }

    /// Is there an applied frame that was not seen?
    pub fn is_behind(&self) -> bool {
        !self.has_ended && self.place.frame < self.source.applied_log().end
    }

    /// Was the end of the stream seen: it was disabled, or its table deleted?
    pub fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// The records of the next piece of the log, 1 MB or one frame; blocks while it is read. Possibly none.
    pub fn step(&mut self) -> Result<Vec<Followed>, Error> {
        if self.has_ended {
            return Ok(Vec::new());
        }
        let (records, has_ended) = self.source.applied_log().stream_records(&self.stream, &mut self.place)?;
        self.has_ended = has_ended;
        metrics::counter!("thalweg_streams_records_total").increment(records.len() as u64);
        let key = self.stream.key;
        Ok(records.into_iter().map(|(record, place)| Followed { record, position: place.encode(key) }).collect())
    }

    /// A position from which a walk goes on behind everything that was given or passed over so far. Newer than the
    /// last record's while a table is quiet, so whoever keeps it is not overtaken by the trim point.
    pub fn position(&self) -> String {
        self.place.encode(self.stream.key)
    }
}
