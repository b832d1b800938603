//! The one read path: from frames of the log to records of a stream.

use std::sync::Arc;

use item::{Event, SequenceNumber};
use store::log::{Frame, FrameNumber, Log};

use crate::{
    Error, Record,
    lineage::Lineage,
    position::{ShardPlace, StreamPlace},
};

/// Bytes of frames that are read from the log at once.
const CHUNK_BYTES: usize = 1 << 20;
/// Bytes of frames that one call for a shard's records looks through; then it answers what it has, be it nothing.
const SCAN_BYTES_MAX: u64 = 8 << 20;
/// The answer ends before the record that would pass this size.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// The applied part of the log.
#[derive(Clone)]
pub(crate) struct AppliedLog {
    pub(crate) log: Arc<dyn Log>,
    /// The first frame that is not applied.
    pub(crate) end: FrameNumber,
}

/// A frame and what is in it.
pub(crate) struct Opened {
    pub(crate) frame: Arc<Frame>,
    pub(crate) events: Vec<Event>,
}

impl AppliedLog {
    /// Frames from `from` on, at least one if there is an applied one.
    pub(crate) fn read(&self, from: FrameNumber) -> Result<Vec<Opened>, Error> {
        if from >= self.end {
            return Ok(Vec::new());
        }
        let frames = self.log.read(from, CHUNK_BYTES)?;
        frames
            .into_iter()
            .take_while(|frame| frame.number < self.end)
            .map(|frame| {
                metrics::counter!("thalweg_streams_scanned_bytes_total").increment(frame.bytes());
                let corrupt = |source| Error::Corrupt { frame: frame.number, source };
                let events = Event::decode_all(&frame.body).map_err(corrupt)?;
                Ok(Opened { frame, events })
            })
            .collect()
    }

    /// Per shard, the number of its first event in `from` or later.
    pub(crate) fn sequences_at(&self, from: FrameNumber) -> Result<Vec<SequenceNumber>, Error> {
        let last = FrameNumber(self.end.0.saturating_sub(1));
        let frame = self.log.read(from.min(last), 1)?.into_iter().next();
        let frame = frame.ok_or(Error::Trimmed { trim_point: self.log.trim_point().0 })?;
        if frame.number >= from {
            return Ok(frame.first_sequences.clone());
        }
        frame.next_sequences().map_err(|source| Error::Corrupt { frame: frame.number, source })
    }

    /// Where to look for what a place in a shard names: there, or at the trim point if nothing was lost before it.
    fn resume(&self, place: ShardPlace) -> Result<FrameNumber, Error> {
        let trim_point = self.log.trim_point();
        if place.frame >= trim_point {
            return Ok(place.frame);
        }
        match self.sequences_at(trim_point)?.get(usize::from(place.shard.0)) {
            Some(first) if *first <= place.sequence => Ok(trim_point),
            _ => Err(Error::Trimmed { trim_point: trim_point.0 }),
        }
    }

    /// Moves a place over frames that are known to hold nothing of its shard and table.
    fn pass_over(&self, stream: &Lineage, place: &mut ShardPlace) -> Result<(), Error> {
        let next = self.log.find_table(stream.table.id, place.shard, place.frame)?.min(self.end);
        if next > place.frame {
            let first = self.sequences_at(next)?.get(usize::from(place.shard.0)).copied();
            place.sequence = first.map_or(place.sequence, |first| first.max(place.sequence));
            place.frame = next;
        }
        Ok(())
    }

    /// Records of one shard from `place` on, at most `limit` of them, and where to go on; none after the shard's end.
    pub(crate) fn shard_records(
        &self,
        stream: &Lineage,
        mut place: ShardPlace,
        limit: usize,
    ) -> Result<(Vec<Record>, Option<ShardPlace>), Error> {
        let mut records: Vec<Record> = Vec::new();
        let (mut scanned, mut answered) = (0, 0);
        place.frame = self.resume(place)?;
        while scanned < SCAN_BYTES_MAX {
            self.pass_over(stream, &mut place)?;
            let opened = self.read(place.frame)?;
            if opened.is_empty() {
                break;
            }
            for Opened { frame, events } in opened {
                for event in &events {
                    if event.shard != place.shard || event.sequence < place.sequence {
                        continue;
                    }
                    if stream.ends_with(event) {
                        stream.note_ending(&frame, &events);
                        return Ok((records, None));
                    }
                    if let Some(record) = stream.record(event, &frame)? {
                        answered += record.size_bytes;
                        if records.len() == limit || (answered > ANSWER_BYTES_MAX && !records.is_empty()) {
                            return Ok((records, Some(place)));
                        }
                        records.push(record);
                    }
                    place.sequence = SequenceNumber(event.sequence.0 + 1);
                }
                scanned += frame.bytes();
                place.frame = frame.number.next();
            }
        }
        Ok((records, Some(place)))
    }

    /// Records of all shards from `place` on, each with the place behind it, out of one chunk of frames; `place` moves
    /// behind what was seen. Answers whether the stream ended there.
    pub(crate) fn stream_records(
        &self,
        stream: &Lineage,
        place: &mut StreamPlace,
    ) -> Result<(Vec<(Record, StreamPlace)>, bool), Error> {
        let mut records = Vec::new();
        for Opened { frame, events } in self.read(place.frame)? {
            let seen = if place.frame == frame.number { place.event as usize } else { 0 };
            let mut has_ended = vec![false; frame.first_sequences.len()];
            for (at, event) in events.iter().enumerate() {
                let ended = has_ended.get_mut(usize::from(event.shard.0));
                if stream.ends_with(event) {
                    if let Some(ended) = ended {
                        *ended = true;
                    }
                } else if at >= seen
                    && !ended.is_some_and(|ended| *ended)
                    && let Some(record) = stream.record(event, &frame)?
                {
                    let event = u32::try_from(at + 1).unwrap_or(u32::MAX);
                    records.push((record, StreamPlace { frame: frame.number, event }));
                }
            }
            *place = StreamPlace { frame: frame.number.next(), event: 0 };
            if has_ended.contains(&true) {
                stream.note_ending(&frame, &events);
                return Ok((records, true));
            }
        }
        Ok((records, false))
    }
}
