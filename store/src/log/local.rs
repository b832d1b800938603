//! Frames in segment files on one disk.
//!
//! An append composes the frame, writes it behind the last one, syncs, and only then moves the tail. A frame that does not
//! fit the active segment goes to the start of the next. Readers find recent frames in memory, others through the
//! segments' indexes.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use bytes::Bytes;
use item::{SequenceNumber, ShardId};

use super::{
    Draft, Frame, FrameNumber, Log, Preparation,
    frame::{Codec, Header, frame_bytes},
    index::{Extent, Index, Summary, starts_by},
    recent::Recent,
    recover::{Active, Recovered, recover, remove_closed, write_closed},
    segment::{self, DIR, Segment, Unmade},
    spare::Spare,
};
use crate::{
    Durability, Error,
    env::{BLOCK_BYTES, BlockBuffer, DirectoryId, Disk, remove_if_present},
};

/// Sealed segments whose index stays in memory; a reader that lags reads one after the other.
const INDEXES_MAX: usize = 4;

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
    /// The log's part of the store's settings, with 32 MiB of recent frames in memory.
    pub fn new(config: &crate::Config, directory: DirectoryId) -> LogConfig {
        LogConfig {
            directory,
            shards: config.shards,
            segment_bytes: config.segment_bytes,
            durability: config.durability,
            recent_bytes_max: 32 << 20,
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
    /// What readers see; never held while the disk works.
    kept: RwLock<Kept>,
    /// Sealed segments that were read lately.
    opened: Mutex<VecDeque<(Segment, Arc<Index>)>>,
    /// Held for one trim.
    trimming: Mutex<()>,
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
    /// The frame being written.
    buffer: BlockBuffer,
}

enum Status {
    Open,
    Poisoned(String),
    Closed,
}

struct Kept {
    sealed: VecDeque<Summary>,
    segment: Segment,
    segment_bytes: u64,
    index: Index,
    recent: Recent,
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
        let recovered = recover(&*disk, codec, flushed, Recent::new(config.recent_bytes_max))?;
        for id in recovered.unused.iter().rev() {
            remove_if_present(&*disk, &segment::path(*id)).map_err(Error::io("remove", segment::path(*id)))?;
        }
        remove_closed(&*disk)?;
        LocalLog::resume(disk, config, codec, recovered)
    }

    /// Takes ownership of the frames found: syncs them, and appends the frame of the next epoch.
    fn resume(disk: Arc<dyn Disk>, config: LogConfig, codec: Codec, recovered: Recovered) -> Result<LocalLog, Error> {
        let Recovered { sealed, active, recent, .. } = recovered;
        let (segment, segment_bytes, index, epoch, checksum, draft) = match active {
            Some(active) => {
                active.settle()?;
                let Active { segment, bytes, index, last, checksum, .. } = active;
                let segment = Segment::open_active(&*disk, segment.id, config.durability)?;
                let place = |error: item::CodecError| segment.corrupt(0, format!("frame {}: {error}", last.number.0));
                let first_sequences = last.next_sequences().map_err(place)?;
                let draft = Draft { committed_at_us: last.committed_at_us, first_sequences, body: Bytes::new() };
                (segment, bytes, index, last.epoch + 1, checksum, draft)
            }
            None => {
                let bytes = config.segment_bytes.next_multiple_of(BLOCK_BYTES);
                let id = sealed.last().map_or(1, |last| last.id + 1);
                let segment = Segment::create(&*disk, id, bytes, config.durability).map_err(|unmade| match unmade {
                    Unmade::Retryable(error) | Unmade::Unknown(error) => error,
                })?;
                let first_sequences = vec![SequenceNumber(1); usize::from(config.shards)];
                let draft = Draft { committed_at_us: 0, first_sequences, body: Bytes::new() };
                (segment, bytes, Index::new(FrameNumber::FIRST), 1, 0, draft)
            }
        };
        let next = index.next();
        let writer = Writer {
            status: Status::Open,
            segment: segment.clone(),
            segment_bytes,
            offset: index.end(),
            spare: Spare::new(config.preparation, config.durability),
            epoch,
            appends: 0,
            next,
            checksum,
            committed_at_us: draft.committed_at_us,
            durable_to: FrameNumber(next.0 - 1),
            buffer: BlockBuffer::default(),
        };
        let kept = Kept { sealed: sealed.into(), segment, segment_bytes, index, recent };
        let log = LocalLog {
            disk,
            config,
            codec,
            writer: Mutex::new(writer),
            kept: RwLock::new(kept),
            opened: Mutex::default(),
            trimming: Mutex::default(),
        };
        metrics::gauge!("thalweg_log_poisoned").set(0.0);
        log.append(draft)?;
        log.sync()?;
        Ok(log)
    }

    fn write_frame(&self, writer: &mut Writer, draft: Draft) -> Result<FrameNumber, Error> {
        let bytes = frame_bytes(draft.first_sequences.len(), draft.body.len());
        if writer.offset > 0 && writer.offset + bytes > writer.segment_bytes {
            self.roll(writer)?;
        }
        let header = Header {
            number: writer.next,
            epoch: writer.epoch,
            segment: writer.segment.id,
            offset: writer.offset,
            previous_checksum: writer.checksum,
            committed_at_us: draft.committed_at_us.max(writer.committed_at_us),
            durable_to: writer.durable_to,
            append_id: writer.appends,
            first_sequences: draft.first_sequences,
        };
        let checksum = self.codec.encode(&header, &draft.body, writer.buffer.reset(bytes as usize));
        writer.segment.write(writer.offset, writer.buffer.bytes()).map_err(|error| writer.poison(error))?;
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
        metrics::counter!("thalweg_log_appends_total").increment(1);
        metrics::counter!("thalweg_log_bytes_total").increment(bytes);
        self.publish(writer, header, draft.body, bytes);
        if writer.offset > writer.segment_bytes / 2 {
            writer.spare.begin(&self.disk, writer.segment.id + 1, self.new_segment_bytes());
        }
        Ok(FrameNumber(writer.next.0 - 1))
    }

    /// Goes on in a new segment. The old one is wholly durable before the new one holds a frame.
    fn roll(&self, writer: &mut Writer) -> Result<(), Error> {
        let bytes = self.new_segment_bytes();
        let segment = match writer.spare.take(&*self.disk, writer.segment.id + 1, bytes) {
            Ok(segment) => segment,
            Err(Unmade::Retryable(error)) => return Err(error),
            Err(Unmade::Unknown(error)) => return Err(writer.poison(error)),
        };
        writer.sync_all()?;
        writer.segment = segment;
        writer.segment_bytes = bytes;
        writer.offset = 0;
        Ok(())
    }

    /// Shows the frame just written to readers.
    fn publish(&self, writer: &Writer, header: Header, body: Bytes, bytes: u64) {
        let mut kept = self.kept_mut();
        if kept.segment.id != writer.segment.id {
            let index = std::mem::replace(&mut kept.index, Index::new(header.number));
            let full = std::mem::replace(&mut kept.segment, writer.segment.clone());
            let summary = index.summary(full.id, kept.segment_bytes);
            kept.sealed.extend(summary);
            self.remember(full, Arc::new(index));
        }
        kept.segment_bytes = writer.segment_bytes;
        kept.index.push_row(header.committed_at_us, header.first_sequences.clone(), bytes);
        let Header { number, epoch, committed_at_us, first_sequences, .. } = header;
        kept.recent.push(Arc::new(Frame { number, epoch, committed_at_us, first_sequences, body }));
    }

    fn new_segment_bytes(&self) -> u64 {
        self.config.segment_bytes.next_multiple_of(BLOCK_BYTES)
    }

    /// The index of a sealed segment whose frames are `first..until`.
    fn open_sealed(&self, id: u64, first: FrameNumber, until: FrameNumber) -> Result<(Segment, Arc<Index>), Error> {
        let lately = self.opened.lock().expect(LOCKED).iter().find(|(segment, _)| segment.id == id).cloned();
        if let Some(opened) = lately {
            return Ok(opened);
        }
        let read = || {
            let segment = Segment::open(&*self.disk, id)?;
            let index = Index::read(&segment, self.codec, first, until)?;
            Ok((segment, Arc::new(index)))
        };
        let (segment, index) = read().map_err(|error| self.trimmed_meanwhile(first).unwrap_or(error))?;
        self.remember(segment.clone(), Arc::clone(&index));
        Ok((segment, index))
    }

    fn remember(&self, segment: Segment, index: Arc<Index>) {
        let mut opened = self.opened.lock().expect(LOCKED);
        opened.push_front((segment, index));
        opened.truncate(INDEXES_MAX);
    }

    /// Why a file was not found, if it was trimmed after it was looked up.
    fn trimmed_meanwhile(&self, first: FrameNumber) -> Option<Error> {
        let trim_point = self.trim_point();
        (first < trim_point).then_some(Error::Trimmed { trim_point: trim_point.0 })
    }

    fn kept(&self) -> RwLockReadGuard<'_, Kept> {
        self.kept.read().expect(LOCKED)
    }

    fn kept_mut(&self) -> RwLockWriteGuard<'_, Kept> {
        self.kept.write().expect(LOCKED)
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

/// Where frames are to be read.
enum Source {
    Memory(Vec<Arc<Frame>>),
    Active(Segment, Option<Extent>),
    Sealed { id: u64, first: FrameNumber, until: FrameNumber },
}

impl Kept {
    fn trim_point(&self) -> FrameNumber {
        self.sealed.front().map_or(self.index.first(), |oldest| oldest.first)
    }

    /// Where `from`, a kept frame, is.
    fn source(&self, from: FrameNumber, bytes_max: u64, at_least_one: bool) -> Source {
        if let Some(frames) = self.recent.read(from, bytes_max, at_least_one) {
            return Source::Memory(frames);
        }
        match self.sealed.partition_point(|sealed| sealed.first <= from) {
            at if from < self.index.first() && at > 0 => self.sealed_source(at - 1),
            _ => Source::Active(self.segment.clone(), self.index.extent(from, bytes_max, at_least_one)),
        }
    }

    fn sealed_source(&self, at: usize) -> Source {
        let until = self.sealed.get(at + 1).map_or(self.index.first(), |next| next.first);
        Source::Sealed { id: self.sealed[at].id, first: self.sealed[at].first, until }
    }
}

impl Log for LocalLog {
    fn append(&self, draft: Draft) -> Result<FrameNumber, Error> {
        self.write_frame(&mut *self.writer()?, draft)
    }

    fn read(&self, from: FrameNumber, bytes_max: usize) -> Result<Vec<Arc<Frame>>, Error> {
        let mut frames: Vec<Arc<Frame>> = Vec::new();
        let mut next = from;
        let mut left = bytes_max as u64;
        loop {
            let source = {
                let kept = self.kept();
                let trim_point = kept.trim_point();
                if next < trim_point {
                    return Err(Error::Trimmed { trim_point: trim_point.0 });
                }
                if next >= kept.index.next() {
                    return Ok(frames);
                }
                kept.source(next, left, frames.is_empty())
            };
            let (segment, extent) = match source {
                Source::Memory(newest) => {
                    frames.extend(newest);
                    return Ok(frames);
                }
                Source::Active(segment, extent) => (segment, extent),
                Source::Sealed { id, first, until } => {
                    let (segment, index) = self.open_sealed(id, first, until)?;
                    (segment, index.extent(next, left, frames.is_empty()))
                }
            };
            let Some(extent) = extent else {
                return Ok(frames);
            };
            let read = segment.read_frames(self.codec, extent.offset, extent.bytes)?;
            next = FrameNumber(next.0 + read.len() as u64);
            left = left.saturating_sub(extent.bytes);
            frames.extend(read);
        }
    }

    fn tail(&self) -> FrameNumber {
        self.kept().index.next()
    }

    fn trim_point(&self) -> FrameNumber {
        self.kept().trim_point()
    }

    fn trim(&self, to: FrameNumber) -> Result<(), Error> {
        let _trimming = self.trimming.lock().expect(LOCKED);
        loop {
            let oldest = {
                let mut kept = self.kept_mut();
                let next = kept.sealed.get(1).map_or(kept.index.first(), |next| next.first);
                match kept.sealed.pop_front() {
                    Some(oldest) if next <= to => oldest,
                    Some(oldest) => {
                        kept.sealed.push_front(oldest);
                        return Ok(());
                    }
                    None => return Ok(()),
                }
            };
            let path = segment::path(oldest.id);
            if let Err(error) = remove_if_present(&*self.disk, &path) {
                self.kept_mut().sealed.push_front(oldest);
                return Err(Error::io("remove", path)(error));
            }
            // One at a time, so that no power cut leaves a gap.
            if let Err(error) = self.disk.sync_dir(DIR) {
                return Err(self.writer()?.poison(Error::io("sync directory", DIR)(error)));
            }
            metrics::counter!("thalweg_log_trimmed_segments_total").increment(1);
        }
    }

    fn find_sequence(&self, shard: ShardId, sequence: SequenceNumber) -> Result<FrameNumber, Error> {
        let source = {
            let kept = self.kept();
            if let Some(frame) = kept.index.find_sequence(shard, sequence) {
                return Ok(frame);
            }
            match kept.sealed.partition_point(|sealed| starts_by(&sealed.first_sequences, shard, sequence)) {
                0 if kept.trim_point() == FrameNumber::FIRST => return Ok(FrameNumber::FIRST),
                0 => return Err(Error::Trimmed { trim_point: kept.trim_point().0 }),
                after => kept.sealed_source(after - 1),
            }
        };
        let Source::Sealed { id, first, until } = source else {
            return Ok(self.trim_point());
        };
        let (_, index) = self.open_sealed(id, first, until)?;
        Ok(index.find_sequence(shard, sequence).unwrap_or(first))
    }

    fn find_time(&self, time_us: u64) -> Result<FrameNumber, Error> {
        let (source, otherwise) = {
            let kept = self.kept();
            let after = kept.sealed.partition_point(|sealed| sealed.committed_at_us < time_us);
            let in_active = || kept.index.find_time(time_us).unwrap_or(kept.index.next());
            let otherwise = kept.sealed.get(after).map_or_else(in_active, |sealed| sealed.first);
            match after.checked_sub(1) {
                Some(at) => (kept.sealed_source(at), otherwise),
                None => return Ok(otherwise),
            }
        };
        let Source::Sealed { id, first, until } = source else {
            return Ok(otherwise);
        };
        let (_, index) = self.open_sealed(id, first, until)?;
        Ok(index.find_time(time_us).unwrap_or(otherwise))
    }

    fn bytes(&self) -> u64 {
        let kept = self.kept();
        kept.sealed.iter().map(|sealed| sealed.bytes).sum::<u64>() + kept.segment_bytes
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
