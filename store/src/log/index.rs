//! Where the frames of one segment are, by number, time and sequence number; and what is known of a segment unopened.

use item::{SequenceNumber, ShardId};

use super::{
    FrameNumber,
    frame::{Codec, Found},
    segment::Segment,
};
use crate::Error;

/// A sealed segment, as its first header tells.
#[derive(Clone, Debug)]
pub(crate) struct Summary {
    pub(crate) id: u64,
    /// Does it lie in an archive?
    pub(crate) archived: bool,
    /// What it takes on disk.
    pub(crate) bytes: u64,
    pub(crate) first: FrameNumber,
    pub(crate) committed_at_us: u64,
    pub(crate) first_sequences: Vec<SequenceNumber>,
}

/// The frames of one segment, in order, without gaps.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    first: FrameNumber,
    rows: Vec<Row>,
    /// Where the next frame goes.
    end: u64,
}

#[derive(Clone, Debug)]
struct Row {
    offset: u64,
    committed_at_us: u64,
    first_sequences: Vec<SequenceNumber>,
}

/// Adjacent frames in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
}

impl Index {
    /// An index whose first frame will be `first`.
    pub(crate) fn new(first: FrameNumber) -> Index {
        Index { first, rows: Vec::new(), end: 0 }
    }

    /// Reads the headers of a sealed segment, whose next segment begins with frame `until`.
    pub(crate) fn read(
        segment: &Segment,
        codec: Codec,
        first: FrameNumber,
        until: FrameNumber,
    ) -> Result<Index, Error> {
        let end = segment.bytes()?;
        let mut index = Index::new(first);
        while index.next() < until {
            let offset = index.end;
            let found = segment.read_header(codec, offset, end)?.map_err(|bad| segment.corrupt(offset, bad.0))?;
            if found.header.number != index.next() {
                return Err(segment
                    .corrupt(offset, format!("frame {} where {} should be", found.header.number.0, index.next().0)));
            }
            index.push(&found);
        }
        Ok(index)
    }

    /// Adds the next frame.
    pub(crate) fn push(&mut self, found: &Found) {
        let header = &found.header;
        self.push_row(header.committed_at_us, header.first_sequences.clone(), found.bytes());
    }

    /// Adds the next frame, which takes `bytes`.
    pub(crate) fn push_row(&mut self, committed_at_us: u64, first_sequences: Vec<SequenceNumber>, bytes: u64) {
        self.rows.push(Row { offset: self.end, committed_at_us, first_sequences });
        self.end += bytes;
    }

    /// The number after its last frame.
    pub(crate) fn next(&self) -> FrameNumber {
        self.number(self.rows.len())
    }

    pub(crate) fn first(&self) -> FrameNumber {
        self.first
    }

    /// Where the next frame goes.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// What to remember when the segment, which takes `bytes`, is sealed.
    pub(crate) fn summary(&self, id: u64, archived: bool, bytes: u64) -> Option<Summary> {
        let row = self.rows.first()?;
        Some(Summary {
            id,
            archived,
            bytes,
            first: self.first,
            committed_at_us: row.committed_at_us,
            first_sequences: row.first_sequences.clone(),
        })
    }

    /// Frames from `from` on that fit `bytes_max`, at least one if `at_least_one`; none if `from` is not here.
    pub(crate) fn extent(&self, from: FrameNumber, bytes_max: u64, at_least_one: bool) -> Option<Extent> {
        let at = usize::try_from(from.0.checked_sub(self.first.0)?).ok()?;
        let offset = self.rows.get(at)?.offset;
        let fits = self.rows[at + 1..].partition_point(|row| row.offset - offset <= bytes_max);
        // `fits` counts the frames whose follower starts within the limit; the last frame ends at the end.
        let mut count = fits;
        if at + count + 1 == self.rows.len() && self.end - offset <= bytes_max {
            count += 1;
        }
        if count == 0 && at_least_one {
            count = 1;
        }
        let end = self.rows.get(at + count).map_or(self.end, |row| row.offset);
        (count > 0).then_some(Extent { offset, bytes: end - offset })
    }

    /// The last frame whose first sequence number in `shard` is `<= sequence`.
    pub(crate) fn find_sequence(&self, shard: ShardId, sequence: SequenceNumber) -> Option<FrameNumber> {
        let after = self.rows.partition_point(|row| starts_by(&row.first_sequences, shard, sequence));
        after.checked_sub(1).map(|at| self.number(at))
    }

    /// The first frame that was committed at `time_us` or later.
    pub(crate) fn find_time(&self, time_us: u64) -> Option<FrameNumber> {
        let at = self.rows.partition_point(|row| row.committed_at_us < time_us);
        (at < self.rows.len()).then(|| self.number(at))
    }

    /// Where frame `number` starts, or would start if it is the next; none if it is another's.
    pub(crate) fn offset(&self, number: FrameNumber) -> Option<u64> {
        let at = usize::try_from(number.0.checked_sub(self.first.0)?).ok()?;
        match self.rows.get(at) {
            Some(row) => Some(row.offset),
            None => (at == self.rows.len()).then_some(self.end),
        }
    }

    /// The first frame that starts at `offset` or later.
    pub(crate) fn starting_at(&self, offset: u64) -> FrameNumber {
        self.number(self.rows.partition_point(|row| row.offset < offset))
    }

    /// Per frame its bytes, when it was committed, and its first sequence numbers.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (u64, u64, &[SequenceNumber])> {
        let ends = self.rows.iter().skip(1).map(|row| row.offset).chain([self.end]);
        let rows = self.rows.iter().zip(ends);
        rows.map(|(row, end)| (end - row.offset, row.committed_at_us, row.first_sequences.as_slice()))
    }

    /// Shards that its frames count.
    pub(crate) fn shards(&self) -> usize {
        self.rows.first().map_or(0, |row| row.first_sequences.len())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn number(&self, at: usize) -> FrameNumber {
        FrameNumber(self.first.0 + at as u64)
    }
}

/// Is the first sequence number of `shard` at most `sequence`? A shard that was not there yet had no later one.
pub(crate) fn starts_by(first_sequences: &[SequenceNumber], shard: ShardId, sequence: SequenceNumber) -> bool {
    first_sequences.get(usize::from(shard.0)).is_none_or(|first| *first <= sequence)
}
