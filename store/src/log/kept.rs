//! The frames that are kept, and how they are found: recent ones in memory, others in the active segment, in sealed ones, and
//! in archives.
//!
//! A sealed segment may be archived, and its file used again, while it is being read. Every frame says where it belongs, so a
//! reader notices, and finds the frame in the archive.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use bytes::Bytes;
use item::{SequenceNumber, ShardId, TableId};

use super::{
    Frame, FrameNumber,
    archive::{self, Archive},
    frame::{Codec, Header},
    index::{Extent, Index, Summary, starts_by},
    recent::Recent,
    segment::{self, DIR, Segment, Unmade},
};
use crate::{
    Error,
    env::{Disk, remove_if_present},
};

/// Sealed segments whose index stays in memory; a reader that lags reads one after the other.
const INDEXES_MAX: usize = 4;

/// Segments archived for each one that is needed, at most.
const ARCHIVED_AT_ONCE: usize = 2;

/// Archives that one search for a table's frames looks into; then it tells how far it came.
const ARCHIVES_SEARCHED_MAX: usize = 16;

const LOCKED: &str = "a thread panicked inside the log";

/// The kept frames of a log.
pub(crate) struct Kept {
    disk: Arc<dyn Disk>,
    codec: Codec,
    /// Never held while the disk works.
    segments: RwLock<Segments>,
    /// Sealed segments that were read lately.
    opened: Mutex<VecDeque<Opened>>,
    /// Held by who archives or trims.
    tidying: Mutex<()>,
}

/// The segments that hold kept frames.
pub(crate) struct Segments {
    /// Oldest first.
    pub(crate) sealed: VecDeque<Summary>,
    pub(crate) active: Segment,
    /// Length of the active segment's file.
    pub(crate) active_bytes: u64,
    /// The active segment's frames.
    pub(crate) index: Index,
    pub(crate) recent: Recent,
}

/// A sealed segment, ready to be read.
#[derive(Clone)]
struct Opened {
    place: Place,
    index: Arc<Index>,
}

/// What a segment's frames are read from.
#[derive(Clone)]
enum Place {
    Segment(Segment),
    Archive(Archive),
}

impl Place {
    fn id(&self) -> u64 {
        match self {
            Place::Segment(segment) => segment.id,
            Place::Archive(archive) => archive.id,
        }
    }

    fn is_archive(&self) -> bool {
        matches!(self, Place::Archive(_))
    }

    fn read_frames(&self, codec: Codec, extent: Extent) -> Result<Vec<Arc<Frame>>, Error> {
        match self {
            Place::Segment(segment) => segment.read_frames(codec, extent.offset, extent.bytes),
            Place::Archive(archive) => archive.read_frames(codec, extent),
        }
    }
}

/// Where frames are to be read.
enum Source {
    Memory(Vec<Arc<Frame>>),
    Active(Segment, Option<Extent>),
    Sealed(Sealed),
}

/// A sealed segment to be opened.
#[derive(Clone, Copy, Debug)]
struct Sealed {
    id: u64,
    archived: bool,
    first: FrameNumber,
    /// The first frame of the segment after it.
    until: FrameNumber,
}

impl Segments {
    fn trim_point(&self) -> FrameNumber {
        self.sealed.front().map_or(self.index.first(), |oldest| oldest.first)
    }

    /// Where `from`, a kept frame, is.
    fn source(&self, from: FrameNumber, bytes_max: u64, at_least_one: bool) -> Source {
        if let Some(frames) = self.recent.read(from, bytes_max, at_least_one) {
            return Source::Memory(frames);
        }
        match self.sealed.partition_point(|sealed| sealed.first <= from) {
            at if from < self.index.first() && at > 0 => Source::Sealed(self.sealed(at - 1)),
            _ => Source::Active(self.active.clone(), self.index.extent(from, bytes_max, at_least_one)),
        }
    }

    fn sealed(&self, at: usize) -> Sealed {
        let until = self.sealed.get(at + 1).map_or(self.index.first(), |next| next.first);
        let Summary { id, archived, first, .. } = self.sealed[at];
        Sealed { id, archived, first, until }
    }

    /// Takes the oldest sealed segment out, if all its frames are before `to`.
    fn pop_before(&mut self, to: FrameNumber) -> Option<Summary> {
        let next = self.sealed.get(1).map_or(self.index.first(), |next| next.first);
        if next <= to { self.sealed.pop_front() } else { None }
    }
}

impl Kept {
    pub(crate) fn new(disk: Arc<dyn Disk>, codec: Codec, segments: Segments) -> Kept {
        Kept { disk, codec, segments: RwLock::new(segments), opened: Mutex::default(), tidying: Mutex::default() }
    }

    /// Takes the frame that was just written to `segment`, whose file has `segment_bytes`; it fills `bytes` of them.
    pub(crate) fn push(&self, segment: &Segment, segment_bytes: u64, header: Header, body: Bytes, bytes: u64) {
        let mut segments = self.segments_mut();
        if segments.active.id != segment.id {
            let index = std::mem::replace(&mut segments.index, Index::new(header.number));
            let full = std::mem::replace(&mut segments.active, segment.clone());
            let summary = index.summary(full.id, false, segments.active_bytes);
            segments.sealed.extend(summary);
            self.remember(Opened { place: Place::Segment(full), index: Arc::new(index) });
        }
        segments.active_bytes = segment_bytes;
        segments.index.push_row(header.committed_at_us, header.first_sequences.clone(), bytes);
        let Header { number, epoch, committed_at_us, first_sequences, .. } = header;
        segments.recent.push(Arc::new(Frame { number, epoch, committed_at_us, first_sequences, body }));
    }

    pub(crate) fn tail(&self) -> FrameNumber {
        self.segments().index.next()
    }

    pub(crate) fn trim_point(&self) -> FrameNumber {
        self.segments().trim_point()
    }

    pub(crate) fn bytes(&self) -> u64 {
        let segments = self.segments();
        segments.sealed.iter().map(|sealed| sealed.bytes).sum::<u64>() + segments.active_bytes
    }

    /// Makes what was written to the active segment durable. The handle is one of its own: the system tells of a failure once
    /// through every handle, and the owner's must not miss it.
    pub(crate) fn sync_active(&self) -> Result<(), Unmade> {
        let id = self.segments().active.id;
        let segment = Segment::open(&*self.disk, id).map_err(Unmade::Retryable)?;
        segment.sync().map_err(Unmade::Unknown)
    }

    /// Archives sealed segments, oldest first. What follows them must be durable, so that the end of the log never lies in an
    /// archive. Answers one whose file is `bytes` long and may be used again; the files of others are removed.
    pub(crate) fn archive(&self, bytes: u64) -> Result<Option<u64>, Unmade> {
        let _tidying = self.tidying.lock().expect(LOCKED);
        let mut free = None;
        // An append may be waiting: a backlog is worked off as segments are needed.
        for _ in 0..ARCHIVED_AT_ONCE {
            let Some((sealed, sealed_bytes)) = self.first_unarchived() else { break };
            match self.write_archive(sealed) {
                Ok(archived_bytes) => self.archived(sealed.id, archived_bytes),
                Err(Unmade::Retryable(error)) => {
                    tracing::warn!(%error, "a segment of the log cannot be archived now, and stays as it is");
                    break;
                }
                Err(unknown) => return Err(unknown),
            }
            let useless = if sealed_bytes == bytes { free.replace(sealed.id) } else { Some(sealed.id) };
            if let Some(path) = useless.map(segment::path)
                && let Err(error) = remove_if_present(&*self.disk, &path)
            {
                // The next open will.
                tracing::warn!(%error, path, "an archived segment of the log cannot be removed");
            }
        }
        Ok(free)
    }

    fn first_unarchived(&self) -> Option<(Sealed, u64)> {
        let segments = self.segments();
        let at = segments.sealed.iter().position(|sealed| !sealed.archived)?;
        Some((segments.sealed(at), segments.sealed[at].bytes))
    }

    fn write_archive(&self, sealed: Sealed) -> Result<u64, Unmade> {
        let Opened { place, index } = self.open(sealed).map_err(Unmade::Retryable)?;
        match place {
            Place::Segment(segment) => archive::write(&*self.disk, self.codec, &segment, &index),
            Place::Archive(archive) => Ok(archive.bytes),
        }
    }

    fn archived(&self, id: u64, bytes: u64) {
        if let Some(summary) = self.segments_mut().sealed.iter_mut().find(|sealed| sealed.id == id) {
            summary.archived = true;
            summary.bytes = bytes;
        }
        self.opened.lock().expect(LOCKED).retain(|opened| opened.place.id() != id);
    }

    /// Gives up whole segments of frames before `to`, oldest first.
    pub(crate) fn trim(&self, to: FrameNumber) -> Result<(), Unmade> {
        loop {
            let _tidying = self.tidying.lock().expect(LOCKED);
            let Some(oldest) = self.segments_mut().pop_before(to) else { return Ok(()) };
            self.opened.lock().expect(LOCKED).retain(|opened| opened.place.id() > oldest.id);
            // Of an archived segment the file may be there still, if it could not be removed or used again.
            for path in [segment::path(oldest.id), archive::path(oldest.id)] {
                if let Err(error) = remove_if_present(&*self.disk, &path) {
                    self.segments_mut().sealed.push_front(oldest);
                    return Err(Unmade::Retryable(Error::io("remove", path)(error)));
                }
            }
            // One at a time, so that no power cut leaves a gap.
            self.disk.sync_dir(DIR).map_err(|error| Unmade::Unknown(Error::io("sync directory", DIR)(error)))?;
            metrics::counter!("thalweg_log_trimmed_segments_total").increment(1);
        }
    }

    /// See [`Log::read`](super::Log::read).
    pub(crate) fn read(&self, from: FrameNumber, bytes_max: usize) -> Result<Vec<Arc<Frame>>, Error> {
        let mut frames: Vec<Arc<Frame>> = Vec::new();
        let mut next = from;
        let mut left = bytes_max as u64;
        loop {
            let source = {
                let segments = self.segments();
                let trim_point = segments.trim_point();
                if next < trim_point {
                    return Err(Error::Trimmed { trim_point: trim_point.0 });
                }
                if next >= segments.index.next() {
                    return Ok(frames);
                }
                segments.source(next, left, frames.is_empty())
            };
            let (place, extent) = match source {
                Source::Memory(newest) => {
                    metrics::counter!("thalweg_log_reads_total", "from" => "memory").increment(1);
                    frames.extend(newest);
                    return Ok(frames);
                }
                Source::Active(segment, extent) => (Place::Segment(segment), extent),
                Source::Sealed(sealed) => {
                    let Opened { place, index } = self.open(sealed)?;
                    (place, index.extent(next, left, frames.is_empty()))
                }
            };
            let Some(extent) = extent else { return Ok(frames) };
            let read = match place.read_frames(self.codec, extent) {
                Ok(read) => read,
                Err(_) if !place.is_archive() && self.has_moved(place.id()) => continue,
                Err(error) => return Err(error),
            };
            let from = if place.is_archive() { "archive" } else { "segment" };
            metrics::counter!("thalweg_log_reads_total", "from" => from).increment(1);
            next = FrameNumber(next.0 + read.len() as u64);
            left = left.saturating_sub(extent.bytes);
            frames.extend(read);
        }
    }

    /// See [`Log::find_sequence`](super::Log::find_sequence).
    pub(crate) fn find_sequence(&self, shard: ShardId, sequence: SequenceNumber) -> Result<FrameNumber, Error> {
        let sealed = {
            let segments = self.segments();
            if let Some(frame) = segments.index.find_sequence(shard, sequence) {
                return Ok(frame);
            }
            match segments.sealed.partition_point(|sealed| starts_by(&sealed.first_sequences, shard, sequence)) {
                0 if segments.trim_point() == FrameNumber::FIRST => return Ok(FrameNumber::FIRST),
                0 => return Err(Error::Trimmed { trim_point: segments.trim_point().0 }),
                after => segments.sealed(after - 1),
            }
        };
        Ok(self.open(sealed)?.index.find_sequence(shard, sequence).unwrap_or(sealed.first))
    }

    /// See [`Log::find_time`](super::Log::find_time).
    pub(crate) fn find_time(&self, time_us: u64) -> Result<FrameNumber, Error> {
        let (sealed, otherwise) = {
            let segments = self.segments();
            let after = segments.sealed.partition_point(|sealed| sealed.committed_at_us < time_us);
            let in_active = || segments.index.find_time(time_us).unwrap_or(segments.index.next());
            let otherwise = segments.sealed.get(after).map_or_else(in_active, |sealed| sealed.first);
            match after.checked_sub(1) {
                Some(at) => (segments.sealed(at), otherwise),
                None => return Ok(otherwise),
            }
        };
        Ok(self.open(sealed)?.index.find_time(time_us).unwrap_or(otherwise))
    }

    /// See [`Log::find_table`](super::Log::find_table).
    pub(crate) fn find_table(&self, table: TableId, shard: ShardId, from: FrameNumber) -> Result<FrameNumber, Error> {
        let mut next = from;
        for _ in 0..ARCHIVES_SEARCHED_MAX {
            let sealed = match self.segments().source(next, 0, true) {
                Source::Sealed(sealed) if sealed.archived && sealed.first <= next => sealed,
                _ => return Ok(next),
            };
            match self.open(sealed)?.place {
                Place::Archive(archive) => next = archive.next_with(table, shard, next),
                Place::Segment(_) => return Ok(next),
            }
            if next < sealed.until {
                break;
            }
        }
        Ok(next)
    }

    /// Opens a sealed segment, in whatever form it lies on disk by now.
    fn open(&self, sealed: Sealed) -> Result<Opened, Error> {
        let is_it = |Opened { place, .. }: &&Opened| place.id() == sealed.id && place.is_archive() == sealed.archived;
        let lately = self.opened.lock().expect(LOCKED).iter().find(is_it).cloned();
        if let Some(opened) = lately {
            return Ok(opened);
        }
        let mut sealed = sealed;
        loop {
            let error = match self.open_as_is(sealed) {
                Ok(opened) => {
                    self.remember(opened.clone());
                    return Ok(opened);
                }
                Err(error) => error,
            };
            let trim_point = self.trim_point();
            if sealed.first < trim_point {
                return Err(Error::Trimmed { trim_point: trim_point.0 });
            }
            if sealed.archived || !self.has_moved(sealed.id) {
                return Err(error);
            }
            sealed.archived = true;
        }
    }

    fn open_as_is(&self, sealed: Sealed) -> Result<Opened, Error> {
        if sealed.archived {
            let path = archive::path(sealed.id);
            let missing = || Error::Corrupt { path, offset: 0, what: "it is missing".to_owned() };
            let archive = Archive::open(&*self.disk, self.codec, sealed.id)?.ok_or_else(missing)?;
            return Ok(Opened { index: Arc::clone(&archive.index), place: Place::Archive(archive) });
        }
        let segment = Segment::open(&*self.disk, sealed.id)?;
        let index = Index::read(&segment, self.codec, sealed.first, sealed.until)?;
        Ok(Opened { place: Place::Segment(segment), index: Arc::new(index) })
    }

    /// Has segment `id` left its file, for an archive or for good?
    fn has_moved(&self, id: u64) -> bool {
        let segments = self.segments();
        let oldest = segments.sealed.front().map_or(segments.active.id, |oldest| oldest.id);
        id < oldest || segments.sealed.iter().any(|sealed| sealed.id == id && sealed.archived)
    }

    fn remember(&self, opened: Opened) {
        let mut lately = self.opened.lock().expect(LOCKED);
        lately.push_front(opened);
        lately.truncate(INDEXES_MAX);
    }

    fn segments(&self) -> RwLockReadGuard<'_, Segments> {
        self.segments.read().expect(LOCKED)
    }

    fn segments_mut(&self) -> RwLockWriteGuard<'_, Segments> {
        self.segments.write().expect(LOCKED)
    }
}
