//! Frames in memory, for tests and for the simulator.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
};

use item::{SequenceNumber, ShardId};

use super::{Body, Draft, Frame, FrameNumber, Log, index::starts_by};
use crate::Error;

/// A log that ends with the process. Like every log it begins with the empty frame of its epoch.
#[derive(Debug)]
pub struct MemoryLog {
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    frames: VecDeque<Arc<Frame>>,
    trim_point: FrameNumber,
    closed: bool,
}

impl MemoryLog {
    /// A log of `shards` shards.
    pub fn new(shards: u16) -> MemoryLog {
        let mut kept = Kept { frames: VecDeque::new(), trim_point: FrameNumber::FIRST, closed: false };
        let first_sequences = vec![SequenceNumber(1); usize::from(shards)];
        kept.push(Draft { committed_at_us: 0, first_sequences, body: Body::default() });
        MemoryLog { kept: Mutex::new(kept) }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().expect("a thread panicked inside the log")
    }
}

impl Kept {
    fn tail(&self) -> FrameNumber {
        FrameNumber(self.trim_point.0 + self.frames.len() as u64)
    }

    fn push(&mut self, draft: Draft) -> FrameNumber {
        let number = self.tail();
        let before = self.frames.back().map_or(0, |frame| frame.committed_at_us);
        let Draft { committed_at_us, first_sequences, body } = draft;
        let committed_at_us = committed_at_us.max(before);
        let body = body.into_bytes();
        self.frames.push_back(Arc::new(Frame { number, epoch: 1, committed_at_us, first_sequences, body }));
        number
    }

    fn number(&self, at: usize) -> FrameNumber {
        FrameNumber(self.trim_point.0 + at as u64)
    }

    fn trimmed(&self) -> Error {
        Error::Trimmed { trim_point: self.trim_point.0 }
    }
}

impl Log for MemoryLog {
    fn append(&self, draft: Draft) -> Result<FrameNumber, Error> {
        let mut kept = self.kept();
        if kept.closed {
            return Err(Error::Closed);
        }
        Ok(kept.push(draft))
    }

    fn read(&self, from: FrameNumber, bytes_max: usize) -> Result<Vec<Arc<Frame>>, Error> {
        let kept = self.kept();
        let at = from.0.checked_sub(kept.trim_point.0).ok_or_else(|| kept.trimmed())? as usize;
        let mut bytes = 0;
        let mut frames = Vec::new();
        for frame in kept.frames.iter().skip(at) {
            bytes += frame.bytes();
            if bytes > bytes_max as u64 && !frames.is_empty() {
                break;
            }
            frames.push(Arc::clone(frame));
        }
        Ok(frames)
    }

    fn tail(&self) -> FrameNumber {
        self.kept().tail()
    }

    fn trim_point(&self) -> FrameNumber {
        self.kept().trim_point
    }

    fn trim(&self, to: FrameNumber) -> Result<(), Error> {
        let mut kept = self.kept();
        while kept.trim_point < to && kept.frames.len() > 1 {
            kept.frames.pop_front();
            kept.trim_point = kept.trim_point.next();
        }
        Ok(())
    }

    fn find_sequence(&self, shard: ShardId, sequence: SequenceNumber) -> Result<FrameNumber, Error> {
        let kept = self.kept();
        match kept.frames.partition_point(|frame| starts_by(&frame.first_sequences, shard, sequence)) {
            0 if kept.trim_point == FrameNumber::FIRST => Ok(FrameNumber::FIRST),
            0 => Err(kept.trimmed()),
            after => Ok(kept.number(after - 1)),
        }
    }

    fn find_time(&self, time_us: u64) -> Result<FrameNumber, Error> {
        let kept = self.kept();
        Ok(kept.number(kept.frames.partition_point(|frame| frame.committed_at_us < time_us)))
    }

    fn bytes(&self) -> u64 {
        self.kept().frames.iter().map(|frame| frame.bytes()).sum()
    }

    fn sync(&self) -> Result<(), Error> {
        Ok(())
    }

    fn close(&self) -> Result<(), Error> {
        self.kept().closed = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::conformance;

    #[test]
    fn keeps_the_contract() {
        conformance::run(|| MemoryLog::new(conformance::SHARDS));
    }
}
