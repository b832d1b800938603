//! Frames in segment files on one disk.
//!
//! An append composes the frame, writes it behind the last one, syncs, and only then moves the tail. A frame that does not
//! fit the active segment goes to the start of the next.

use std::sync::{Arc, Mutex, MutexGuard};

use item::{SequenceNumber, ShardId, TableId};

use super::{
    Body, Draft, Frame, FrameNumber, Log, Preparation, archive,
    frame::{Codec, Header, frame_bytes, header_bytes},
    index::Index,
    kept::{Kept, Segments},
    meter::Meter,
    recent::Recent,
    recover::{Active, Last, Recovered, recover, remove_closed, write_closed},
    segment::{self, DIR, Segment, Unmade},
    spare::{Maker, Spare},
};
use crate::{
    Durability, Error,
    env::{BLOCK_BYTES, DirectoryId, Disk, remove_if_present},
};

const LOCKED: &str = "a thread panicked inside the log";

/// Settings of a local log.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// Which data directory the log belongs to; its frames carry it in their checksums.
    pub directory: DirectoryId,
    /// Shards of a new log, 1..=64; an existing one keeps its own.
    pub shards: u16,
    /// Size of a segment file, zeroed ahead. A frame that is larger makes its segment larger.
    pub segment_bytes: u64,
    /// Is an append synced before it is answered? Sealed segments always are.
    pub durability: Durability,
    /// Newest frames kept in memory.
    pub recent_bytes_max: usize,
    /// When the next segment is made.
    pub preparation: Preparation,
}

impl LogConfig {
    /// The log's part of the store's settings.
    pub fn new(config: &crate::Config, directory: DirectoryId) -> LogConfig {
        LogConfig {
            directory,
            shards: config.shards,
            segment_bytes: config.segment_bytes,
            durability: config.durability,
            recent_bytes_max: config.recent_bytes_max,
            preparation: config.log_preparation,
        }
    }
}

/// A log on one disk.
pub struct LocalLog {
    disk: Arc<dyn Disk>,
    config: LogConfig,
    codec: Codec,
    /// The owner's side, held for one append.
    writer: Mutex<Writer>,
    /// The readers' side.
    kept: Arc<Kept>,
}

struct Writer {
    status: Status,
    segment: Segment,
    /// Length of the segment's file.
    segment_bytes: u64,
    /// Where the next frame goes.
    offset: u64,
    spare: Spare,
    epoch: u64,
    appends: u64,
    next: FrameNumber,
    /// Header checksum of the last frame.
    checksum: u32,
    committed_at_us: u64,
    durable_to: FrameNumber,
    meter: Meter,
}

enum Status {
    Open,
    Poisoned(String),
    Closed,
}

impl LocalLog {
    /// Opens the log under `log/`, making it if there is none, finds its tail, and appends the frame of a new epoch. Frames
    /// up to `flushed` are recorded as flushed elsewhere; segments that hold only such frames are not read.
    ///
    /// [`Error::Corrupt`], with its place, if an acknowledged frame is damaged or missing.
    pub fn open(disk: Arc<dyn Disk>, config: LogConfig, flushed: FrameNumber) -> Result<LocalLog, Error> {
        let codec = Codec::new(config.directory);
        disk.create_dir(DIR).map_err(Error::io("make directory", DIR))?;
        disk.sync_dir("").map_err(Error::io("sync directory", ""))?;
        archive::remove_staged(&*disk)?;
        let mut recent = Recent::new(config.recent_bytes_max);
        let recovered = recover(&*disk, codec, Some(flushed), &mut |frame| {
            recent.push(frame);
            Ok(())
        })?;
        if !recovered.unused.is_empty() {
            // The archives that stand for them: a process that was killed may have left their names in the system's memory only.
            disk.sync_dir(DIR).map_err(Error::io("sync directory", DIR))?;
        }
        for id in recovered.unused.iter().rev() {
            remove_if_present(&*disk, &segment::path(*id)).map_err(Error::io("remove", segment::path(*id)))?;
        }
        remove_closed(&*disk)?;
        LocalLog::resume(disk, config, codec, recovered, recent)
    }

    /// Takes ownership of the frames found: syncs them, and appends the frame of the next epoch.
    fn resume(
        disk: Arc<dyn Disk>,
        config: LogConfig,
        codec: Codec,
        recovered: Recovered,
        recent: Recent,
    ) -> Result<LocalLog, Error> {
        let Recovered { sealed, active, .. } = recovered;
        let (segment, segment_bytes, index, epoch, checksum, draft) = match active {
            Some(active) => {
                active.settle()?;
                let Active { segment, bytes, index, last } = active;
                let segment = Segment::open_active(&*disk, segment.id, config.durability)?;
                let Last { frame: last, checksum, .. } = last;
                let place = |error: item::CodecError| segment.corrupt(0, format!("frame {}: {error}", last.number.0));
                let first_sequences = last.next_sequences().map_err(place)?;
                let draft = Draft { committed_at_us: last.committed_at_us, first_sequences, body: Body::default() };
                (segment, bytes, index, last.epoch + 1, checksum, draft)
            }
            None => {
                let bytes = config.segment_bytes.next_multiple_of(BLOCK_BYTES);
                let id = sealed.last().map_or(1, |last| last.id + 1);
                let segment = Segment::create(&*disk, id, bytes, config.durability).map_err(|unmade| match unmade {
                    Unmade::Retryable(error) | Unmade::Unknown(error) => error,
                })?;
                let first_sequences = vec![SequenceNumber(1); usize::from(config.shards)];
                let draft = Draft { committed_at_us: 0, first_sequences, body: Body::default() };
                (segment, bytes, Index::new(FrameNumber::FIRST), 1, 0, draft)
            }
        };
        let next = index.next();
        let (offset, new_segment_bytes) = (index.end(), config.segment_bytes.next_multiple_of(BLOCK_BYTES));
        let segments =
            Segments { sealed: sealed.into(), active: segment.clone(), active_bytes: segment_bytes, index, recent };
        let kept = Arc::new(Kept::new(Arc::clone(&disk), codec, segments));
        let maker = Maker {
            disk: Arc::clone(&disk),
            kept: Arc::clone(&kept),
            durability: config.durability,
            bytes: new_segment_bytes,
        };
        let writer = Writer {
            status: Status::Open,
            segment,
            segment_bytes,
            offset,
            spare: Spare::new(maker, config.preparation),
            epoch,
            appends: 0,
            next,
            checksum,
            committed_at_us: draft.committed_at_us,
            durable_to: FrameNumber(next.0 - 1),
            meter: Meter::new(),
        };
        let log = LocalLog { disk, config, codec, writer: Mutex::new(writer), kept };
        metrics::gauge!("thalweg_log_poisoned").set(0.0);
        log.append(draft)?;
        log.sync()?;
        Ok(log)
    }

    fn write_frame(&self, writer: &mut Writer, draft: Draft) -> Result<FrameNumber, Error> {
        let Draft { committed_at_us, first_sequences, mut body } = draft;
        let (header_bytes, body_bytes) = (header_bytes(first_sequences.len()), body.len());
        let bytes = frame_bytes(first_sequences.len(), body_bytes);
        if writer.offset > 0 && writer.offset + bytes > writer.segment_bytes {
            self.roll(writer)?;
        }
        let header = Header {
            number: writer.next,
            epoch: writer.epoch,
            segment: writer.segment.id,
            offset: writer.offset,
            previous_checksum: writer.checksum,
            committed_at_us: committed_at_us.max(writer.committed_at_us),
            durable_to: writer.durable_to,
            append_id: writer.appends,
            first_sequences,
        };
        let digested = body.digested();
        let (checksum, written) = body.as_frame(header_bytes, |frame| {
            let checksum = self.codec.encode(&header, body_bytes, digested, frame);
            (checksum, writer.segment.write(writer.offset, frame))
        });
        written.map_err(|error| writer.poison(error))?;
        if self.config.durability == Durability::Fsync {
            writer.sync()?;
            writer.durable_to = header.number;
        }
        writer.offset += bytes;
        writer.segment_bytes = writer.segment_bytes.max(writer.offset);
        writer.appends += 1;
        writer.next = header.number.next();
        writer.checksum = checksum;
        writer.committed_at_us = header.committed_at_us;
        writer.meter.appended(bytes);
        self.kept.push(&writer.segment, writer.segment_bytes, header, body.into_bytes(), bytes);
        if writer.offset > writer.segment_bytes / 2 {
            writer.spare.begin(writer.segment.id + 1);
        }
        Ok(FrameNumber(writer.next.0 - 1))
    }

    /// Goes on in a new segment. The old one is wholly durable before the new one holds a frame.
    fn roll(&self, writer: &mut Writer) -> Result<(), Error> {
        let segment = match writer.spare.take(writer.segment.id + 1) {
            Ok(segment) => segment,
            Err(Unmade::Retryable(error)) => return Err(error),
            Err(Unmade::Unknown(error)) => return Err(writer.poison(error)),
        };
        writer.sync_all()?;
        writer.segment = segment;
        writer.segment_bytes = self.config.segment_bytes.next_multiple_of(BLOCK_BYTES);
        writer.offset = 0;
        Ok(())
    }

    fn writer(&self) -> Result<MutexGuard<'_, Writer>, Error> {
        let writer = self.writer.lock().expect(LOCKED);
        match &writer.status {
            Status::Open => Ok(writer),
            Status::Poisoned(cause) => Err(Error::Poisoned { cause: cause.clone() }),
            Status::Closed => Err(Error::Closed),
        }
    }
}

impl Writer {
    /// Stops writing for good: whether the last bytes are stored is unknown, and a sync that is tried again may lie.
    fn poison(&mut self, error: Error) -> Error {
        let cause = error.to_string();
        tracing::error!(cause, "the log has failed, writes stop");
        metrics::gauge!("thalweg_log_poisoned").set(1.0);
        self.status = Status::Poisoned(cause.clone());
        Error::Poisoned { cause }
    }

    fn sync(&mut self) -> Result<(), Error> {
        self.segment.sync().map_err(|error| self.poison(error))
    }

    /// Is every appended frame known to be synced?
    fn is_durable(&self) -> bool {
        self.durable_to.next() == self.next
    }

    /// Syncs what was appended without.
    fn sync_all(&mut self) -> Result<(), Error> {
        if !self.is_durable() {
            self.sync()?;
            self.durable_to = FrameNumber(self.next.0 - 1);
        }
        Ok(())
    }
}

impl Log for LocalLog {
    fn append(&self, draft: Draft) -> Result<FrameNumber, Error> {
        self.write_frame(&mut *self.writer()?, draft)
    }

    fn read(&self, from: FrameNumber, bytes_max: usize) -> Result<Vec<Arc<Frame>>, Error> {
        self.kept.read(from, bytes_max)
    }

    fn tail(&self) -> FrameNumber {
        self.kept.tail()
    }

    fn trim_point(&self) -> FrameNumber {
        self.kept.trim_point()
    }

    fn trim(&self, to: FrameNumber) -> Result<(), Error> {
        match self.kept.trim(to) {
            Ok(()) => Ok(()),
            Err(Unmade::Retryable(error)) => Err(error),
            Err(Unmade::Unknown(error)) => Err(self.writer()?.poison(error)),
        }
    }

    fn find_sequence(&self, shard: ShardId, sequence: SequenceNumber) -> Result<FrameNumber, Error> {
        self.kept.find_sequence(shard, sequence)
    }

    fn find_time(&self, time_us: u64) -> Result<FrameNumber, Error> {
        self.kept.find_time(time_us)
    }

    fn find_table(&self, table: TableId, shard: ShardId, from: FrameNumber) -> Result<FrameNumber, Error> {
        self.kept.find_table(table, shard, from)
    }

    fn bytes(&self) -> u64 {
        self.kept.bytes()
    }

    fn sync(&self) -> Result<(), Error> {
        if self.writer.lock().expect(LOCKED).is_durable() {
            return Ok(());
        }
        self.writer()?.sync_all()
    }

    fn close(&self) -> Result<(), Error> {
        let mut writer = match self.writer() {
            Err(Error::Closed) => return Ok(()),
            writer => writer?,
        };
        writer.sync_all()?;
        writer.spare.settle();
        writer.status = Status::Closed;
        write_closed(&*self.disk, writer.next)
    }
}

#[cfg(test)]
mod tests;
