//! A log that knows which frames hold events of a table, as archives do.

use std::sync::Arc;

use item::{Event, SequenceNumber, ShardId, TableId};
use store::{
    Error,
    log::{Draft, Frame, FrameNumber, Log, MemoryLog},
};

/// A memory log with an index.
pub(crate) struct IndexedLog(pub(crate) Arc<MemoryLog>);

impl Log for IndexedLog {
    fn find_table(&self, table: TableId, shard: ShardId, from: FrameNumber) -> Result<FrameNumber, Error> {
        for frame in self.0.read(from, usize::MAX)? {
            let events = Event::decode_all(&frame.body).unwrap();
            if events.iter().any(|event| event.table == table && event.shard == shard) {
                return Ok(frame.number);
            }
        }
        Ok(from.max(self.tail()))
    }

    fn append(&self, draft: Draft) -> Result<FrameNumber, Error> {
        self.0.append(draft)
    }

    fn read(&self, from: FrameNumber, bytes_max: usize) -> Result<Vec<Arc<Frame>>, Error> {
        self.0.read(from, bytes_max)
    }

    fn tail(&self) -> FrameNumber {
        self.0.tail()
    }

    fn trim_point(&self) -> FrameNumber {
        self.0.trim_point()
    }

    fn trim(&self, to: FrameNumber) -> Result<(), Error> {
        self.0.trim(to)
    }

    fn find_sequence(&self, shard: ShardId, sequence: SequenceNumber) -> Result<FrameNumber, Error> {
        self.0.find_sequence(shard, sequence)
    }

    fn find_time(&self, time_us: u64) -> Result<FrameNumber, Error> {
        self.0.find_time(time_us)
    }

    fn bytes(&self) -> u64 {
        self.0.bytes()
    }

    fn sync(&self) -> Result<(), Error> {
        self.0.sync()
    }

    fn close(&self) -> Result<(), Error> {
        self.0.close()
    }
}
