//! Finding the tail after any end of the process before.
//!
//! 1. Every segment's first header, and every archive's footer, is read. Segments follow each other by id and by frame number.
//!    Where a segment is archived, the archive counts.
//! 2. From the last segment that begins with a flushed frame (or the first segment), frames are read one after the other,
//!    each checked against its checksums, its place, and the frame before it (number, checksum, epoch, time).
//! 3. Where no such frame follows, not in this segment and not at the start of the next, the log is cut.
//! 4. Whatever lies behind the cut is searched for headers. If one of them knew the missing frame to be durable, or if the
//!    log was closed past the cut, or if flushed frames are missing, stored bytes were lost: that is reported with its
//!    place, and nothing is changed.
//!
//! Else the bad frame was never acknowledged. The opener then appends an empty frame at the cut under a new epoch. What is left
//! behind the cut does not carry the checksum of that frame, so it never follows it.

use std::{collections::BTreeSet, io, sync::Arc};

use serde::Deserialize;

use super::{
    Frame, FrameNumber,
    archive::{self, Archive},
    frame::{BadFrame, Codec, Found, Header},
    index::{Index, Summary},
    segment::{self, DIR, Segment},
};
use crate::{
    Error,
    env::{BLOCK_BYTES, Disk, read_file, remove_if_present, replace_file},
};

const SEARCH_BYTES: u64 = 1 << 20;
const CLOSED_NAME: &str = "closed";
const CLOSED_PATH: &str = "log/closed";

/// What a clean shutdown leaves in `log/closed`: one line of JSON.
#[derive(Debug, Deserialize)]
struct Closed {
    /// The first unwritten frame.
    tail: u64,
}

/// The kept frames of a log.
pub(crate) struct Recovered {
    /// Segments before the active one, oldest first.
    pub(crate) sealed: Vec<Summary>,
    /// The segment that the cut lies in; none if there is no frame at all.
    pub(crate) active: Option<Active>,
    /// Segment files without a kept frame, or whose frames are archived.
    pub(crate) unused: Vec<u64>,
}

/// The last segment that holds frames.
pub(crate) struct Active {
    pub(crate) segment: Segment,
    pub(crate) bytes: u64,
    pub(crate) index: Index,
    pub(crate) last: Last,
}

/// The last frame of those read so far.
pub(crate) struct Last {
    pub(crate) frame: Arc<Frame>,
    /// The checksum of its header.
    pub(crate) checksum: u32,
    /// What it knew to be durable.
    durable_to: FrameNumber,
}

impl Active {
    /// Makes every frame durable. Those that are not known to be are written once more, byte for byte: if the process
    /// before died of a failed sync, the system may show bytes as written that it dropped, and would not write them now.
    pub(crate) fn settle(&self) -> Result<(), Error> {
        let unsure = self.last.durable_to.next().max(self.index.first());
        if let Some(extent) = self.index.extent(unsure, u64::MAX, true) {
            self.segment.write(extent.offset, &self.segment.read(extent.offset, extent.bytes)?)?;
        }
        self.segment.sync()
    }
}

/// A segment as it lies on disk, and its first frame, if there is a valid one.
struct Head {
    place: Place,
    first: Result<Summary, BadFrame>,
}

/// An archive is opened when it is read: there may be thousands.
enum Place {
    Segment(Segment, u64),
    Archive(u64),
}

impl Head {
    fn id(&self) -> u64 {
        match &self.place {
            Place::Segment(segment, _) => segment.id,
            Place::Archive(id) => *id,
        }
    }

    fn corrupt(&self, offset: u64, what: impl Into<String>) -> Error {
        match &self.place {
            Place::Segment(segment, _) => segment.corrupt(offset, what),
            Place::Archive(id) => Error::Corrupt { path: archive::path(*id), offset, what: what.into() },
        }
    }
}

/// Is shown the frames that are read, in order; may tell what is wrong with one.
pub(crate) type Visit<'a> = &'a mut dyn FnMut(Arc<Frame>) -> Result<(), String>;

/// Reads the log, frames up to `flushed` as far as needed; without it, everything. Changes nothing.
pub(crate) fn recover(
    disk: &dyn Disk,
    codec: Codec,
    flushed: Option<FrameNumber>,
    visit: Visit<'_>,
) -> Result<Recovered, Error> {
    let archives = archive::list(disk)?;
    let segments = segment::list(disk)?;
    let heads = read_heads(disk, codec, &segments, &archives)?;
    let closed = read_closed(disk)?;
    let start = flushed.map_or(Ok(0), |flushed| first_to_read(&heads, flushed))?;
    let first = heads.get(start).and_then(|head| head.first.as_ref().ok()).map(|summary| summary.first);
    let first = first.unwrap_or(FrameNumber::FIRST);
    let mut scan =
        Scan { disk, codec, heads: &heads, at: start, first, last: None, active: None, sealed: Vec::new(), visit };
    for head in &heads[..start] {
        scan.sealed.push(head.first.clone().map_err(|bad| head.corrupt(0, bad.0))?);
    }
    let cut = scan.run()?;
    let tail = scan.tail();
    if let Some(cut) = &cut {
        refuse_lost(codec, &heads, cut, tail)?;
    }
    if let Some(closed) = closed
        && closed.tail > tail.0
    {
        return Err(ends_early(cut, tail, format!("it was closed before frame {}", closed.tail)));
    }
    if let Some(flushed) = flushed
        && tail <= flushed
    {
        return Err(ends_early(cut, tail, format!("frames up to {} are recorded as flushed", flushed.0)));
    }
    let last_kept = scan.active.as_ref().map_or(0, |active| active.segment.id);
    // Behind the tail, or archived.
    let is_unused = |id: &u64| *id > last_kept || archives.binary_search(id).is_ok();
    let unused = segments.into_iter().filter(is_unused).collect();
    let Scan { sealed, active, last, .. } = scan;
    let active = active.zip(last).map(|(Open { segment, bytes, index }, last)| Active { segment, bytes, index, last });
    Ok(Recovered { sealed, active, unused })
}

/// Records that the log ends before frame `tail`.
pub(crate) fn write_closed(disk: &dyn Disk, tail: FrameNumber) -> Result<(), Error> {
    let content = format!("{{\"tail\":{}}}\n", tail.0);
    replace_file(disk, DIR, CLOSED_NAME, content.as_bytes()).map_err(Error::io("write", CLOSED_PATH))
}

/// Forgets what [`write_closed`] recorded, before the first append.
pub(crate) fn remove_closed(disk: &dyn Disk) -> Result<(), Error> {
    let remove = || -> io::Result<()> {
        remove_if_present(disk, CLOSED_PATH)?;
        disk.sync_dir(DIR)
    };
    remove().map_err(Error::io("remove", CLOSED_PATH))
}

fn read_closed(disk: &dyn Disk) -> Result<Option<Closed>, Error> {
    let Some(bytes) = read_file(disk, CLOSED_PATH).map_err(Error::io("read", CLOSED_PATH))? else {
        return Ok(None);
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| Error::Corrupt {
        path: CLOSED_PATH.to_owned(),
        offset: error.column().saturating_sub(1) as u64,
        what: error.to_string(),
    })
}

/// The segments, with their first frames; those that could be in use follow each other by id. What is archived counts as such.
fn read_heads(disk: &dyn Disk, codec: Codec, segments: &[u64], archives: &[u64]) -> Result<Vec<Head>, Error> {
    let mut heads: Vec<Head> = Vec::new();
    let ids: BTreeSet<u64> = segments.iter().chain(archives).copied().collect();
    for id in ids {
        let head = if archives.binary_search(&id).is_ok() {
            let (found, bytes) = archive::read_head(disk, codec, id)?;
            Head { first: Ok(summary(id, true, bytes, &found)), place: Place::Archive(id) }
        } else {
            let segment = Segment::open(disk, id)?;
            let bytes = segment.bytes()?;
            let first = segment.read_header(codec, 0, bytes)?.map(|found| summary(id, false, bytes, &found));
            Head { first, place: Place::Segment(segment, bytes) }
        };
        if head.first.is_ok()
            && let Some(before) = heads.last()
            && before.id() + 1 != id
        {
            let path = segment::path(before.id() + 1);
            return Err(Error::Corrupt { path, offset: 0, what: format!("it is missing, but segment {id} follows") });
        }
        heads.push(head);
    }
    Ok(heads)
}

/// Where to begin to read frames so as to see all that are not flushed.
fn first_to_read(heads: &[Head], flushed: FrameNumber) -> Result<usize, Error> {
    let flushed_first = |head: &Head| head.first.as_ref().is_ok_and(|summary| summary.first <= flushed);
    if let Some(start) = heads.iter().rposition(flushed_first) {
        return Ok(start);
    }
    if let Some(head) = heads.first()
        && let Ok(Summary { first, .. }) = &head.first
        && *first > flushed.next()
    {
        let what = format!("the log begins with frame {}, but frames after {} are not flushed", first.0, flushed.0);
        return Err(head.corrupt(0, what));
    }
    Ok(0)
}

/// Where frames stop, and why.
struct Cut {
    /// Index of the segment.
    at: usize,
    segment: Segment,
    offset: u64,
    bad: BadFrame,
}

/// Reads frames in order.
struct Scan<'a> {
    disk: &'a dyn Disk,
    codec: Codec,
    heads: &'a [Head],
    /// The segment being read.
    at: usize,
    /// The frame to begin with.
    first: FrameNumber,
    last: Option<Last>,
    active: Option<Open>,
    sealed: Vec<Summary>,
    visit: Visit<'a>,
}

/// The segment whose frames are being taken.
struct Open {
    segment: Segment,
    bytes: u64,
    index: Index,
}

impl Scan<'_> {
    /// Reads to the cut; none if there is no segment.
    fn run(&mut self) -> Result<Option<Cut>, Error> {
        let heads = self.heads;
        let mut archived: Option<u64> = None;
        while let Some(head) = heads.get(self.at) {
            let (segment, bytes) = match &head.place {
                Place::Segment(segment, bytes) => (segment, *bytes),
                Place::Archive(id) => {
                    self.take_archive(*id)?;
                    self.at += 1;
                    archived = Some(*id);
                    continue;
                }
            };
            let offset = match &self.active {
                Some(active) if active.segment.id == segment.id => active.index.end(),
                _ => 0,
            };
            let bad = match self.step(segment, bytes, offset)? {
                Ok(()) => {
                    archived = None;
                    continue;
                }
                Err(bad) => bad,
            };
            if archived.is_some() {
                return Err(segment.corrupt(offset, format!("{}; but the segment before it is archived", bad.0)));
            }
            // A frame that did not fit went to the next segment.
            match heads.get(self.at + 1).map(|next| &next.place) {
                Some(Place::Segment(next, bytes)) if offset > 0 && self.step(next, *bytes, 0)?.is_ok() => self.at += 1,
                _ => return Ok(Some(Cut { at: self.at, segment: segment.clone(), offset, bad })),
            }
        }
        match archived {
            Some(id) => {
                let path = segment::path(id + 1);
                let what = format!("it is missing, but segment {id} is archived");
                Err(Error::Corrupt { path, offset: 0, what })
            }
            None => Ok(None),
        }
    }

    /// Takes the frame at `offset` of `segment`, if it is the one that follows.
    fn step(&mut self, segment: &Segment, bytes: u64, offset: u64) -> Result<Result<(), BadFrame>, Error> {
        let (found, frame) = match segment.read_frame(self.codec, offset, bytes)? {
            Ok(read) => read,
            Err(BadFrame::OTHER_VERSION) => return Err(segment.corrupt(offset, BadFrame::OTHER_VERSION.0)),
            Err(bad) => return Ok(Err(bad)),
        };
        let frame = Arc::new(frame);
        if let Err(bad) = self.follows(&found, &frame) {
            return Ok(Err(bad));
        }
        self.take(&found, frame).map_err(|what| segment.corrupt(offset, what))?;
        match &mut self.active {
            Some(active) if active.segment.id == segment.id => active.index.push(&found),
            active => {
                let mut index = Index::new(found.header.number);
                index.push(&found);
                let full = active.replace(Open { segment: segment.clone(), bytes, index });
                self.sealed.extend(full.and_then(|full| full.index.summary(full.segment.id, false, full.bytes)));
            }
        }
        Ok(Ok(()))
    }

    /// Takes the frames of an archive, which was durable before its segment was used again.
    fn take_archive(&mut self, id: u64) -> Result<(), Error> {
        let missing = || Error::Corrupt { path: archive::path(id), offset: 0, what: "it is missing".to_owned() };
        let archive = Archive::open(self.disk, self.codec, id)?.ok_or_else(missing)?;
        let mut next = archive.index.first();
        while let Some(extent) = archive.index.extent(next, SEARCH_BYTES, true) {
            for (found, frame) in archive.read_found(self.codec, extent)? {
                let number = found.header.number.0;
                let followed = self.follows(&found, &frame);
                followed.map_err(|bad| archive.corrupt(0, format!("frame {number}: {}", bad.0)))?;
                self.take(&found, frame).map_err(|what| archive.corrupt(0, what))?;
            }
            next = archive.index.starting_at(extent.offset + extent.bytes);
        }
        let full = self.active.take();
        self.sealed.extend(full.and_then(|full| full.index.summary(full.segment.id, false, full.bytes)));
        self.sealed.extend(archive.index.summary(archive.id, true, archive.bytes));
        Ok(())
    }

    /// Takes the frame that follows.
    fn take(&mut self, found: &Found, frame: Arc<Frame>) -> Result<(), String> {
        (self.visit)(Arc::clone(&frame))?;
        self.last = Some(Last { frame, checksum: found.checksum, durable_to: found.header.durable_to });
        Ok(())
    }

    fn follows(&self, found: &Found, frame: &Frame) -> Result<(), BadFrame> {
        let Some(Last { frame: last, checksum, .. }) = &self.last else {
            return Ok(());
        };
        let header = &found.header;
        if frame.number != last.number.next() || header.previous_checksum != *checksum {
            return Err(BadFrame("the frame does not follow the one before it"));
        }
        if frame.epoch < last.epoch || frame.committed_at_us < last.committed_at_us {
            return Err(BadFrame("the frame is older than the one before it"));
        }
        Ok(())
    }

    /// The first frame that is not there.
    fn tail(&self) -> FrameNumber {
        self.last.as_ref().map_or(self.first, |last| last.frame.number.next())
    }
}

/// An error if a header behind the cut knew frame `missing` to be durable.
fn refuse_lost(codec: Codec, heads: &[Head], cut: &Cut, missing: FrameNumber) -> Result<(), Error> {
    for (at, head) in heads.iter().enumerate().skip(cut.at) {
        let (segment, bytes) = match &head.place {
            Place::Segment(segment, bytes) => (segment, *bytes),
            Place::Archive(id) => {
                let what = format!("{}; but a later segment, {id}, is archived", cut.bad.0);
                return Err(cut.segment.corrupt(cut.offset, what));
            }
        };
        let mut offset = if at == cut.at { cut.offset } else { 0 };
        while offset + BLOCK_BYTES <= bytes {
            let length = SEARCH_BYTES.min((bytes - offset) / BLOCK_BYTES * BLOCK_BYTES);
            let content = segment.read(offset, length)?;
            for block in content.chunks_exact(BLOCK_BYTES as usize) {
                // A log without a frame was being made: nothing follows its first block.
                if missing == FrameNumber::FIRST && offset > 0 && block.iter().any(|byte| *byte != 0) {
                    let what =
                        format!("{}, but there is data at byte {offset} of {}", cut.bad.0, segment::path(segment.id));
                    return Err(cut.segment.corrupt(cut.offset, what));
                }
                if let Ok(found) = codec.decode_header(block, segment.id, offset)
                    && found.header.durable_to >= missing
                {
                    let Cut { segment, bad, .. } = cut;
                    let what = format!(
                        "{}; frame {} should be here: frame {} at byte {offset} of {} was written after it was synced",
                        bad.0,
                        missing.0,
                        found.header.number.0,
                        segment::path(segment.id),
                    );
                    return Err(segment.corrupt(cut.offset, what));
                }
                offset += BLOCK_BYTES;
            }
        }
    }
    Ok(())
}

fn ends_early(cut: Option<Cut>, tail: FrameNumber, evidence: String) -> Error {
    let what = format!("the log ends before frame {}, but {evidence}", tail.0);
    match cut {
        Some(cut) => cut.segment.corrupt(cut.offset, format!("{}: {what}", cut.bad.0)),
        None => Error::Corrupt { path: DIR.to_owned(), offset: 0, what },
    }
}

fn summary(id: u64, archived: bool, bytes: u64, found: &Found) -> Summary {
    let Header { number, committed_at_us, first_sequences, .. } = found.header.clone();
    Summary { id, archived, bytes, first: number, committed_at_us, first_sequences }
}
