//! Finding the tail after any end of the process before.
//!
//! 1. Every segment's first header is read. Segments follow each other by id and by frame number.
//! 2. From the last segment that begins with a flushed frame (or the first segment), frames are read one after the other,
//!    each checked against its checksums, its place, and the frame before it (number, checksum, epoch, time).
//! 3. Where no such frame follows, not in this segment and not at the start of the next, the log is cut.
//! 4. Whatever lies behind the cut is searched for headers. If one of them knew the missing frame to be durable, or if the
//!    log was closed past the cut, or if flushed frames are missing, stored bytes were lost: that is reported with its
//!    place, and nothing is changed.
//!
//! Else the bad frame was never acknowledged. The opener then appends an empty frame at the cut under a new epoch. What is left
//! behind the cut does not carry the checksum of that frame, so it never follows it.

use std::{io, sync::Arc};

use serde::Deserialize;

use super::{
    Frame, FrameNumber,
    frame::{BadFrame, Codec, Found},
    index::{Index, Summary},
    recent::Recent,
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
    /// Segments without a kept frame.
    pub(crate) unused: Vec<u64>,
    /// The newest frames.
    pub(crate) recent: Recent,
}

/// The last segment that holds frames.
pub(crate) struct Active {
    pub(crate) segment: Segment,
    pub(crate) bytes: u64,
    pub(crate) index: Index,
    /// Its last frame.
    pub(crate) last: Arc<Frame>,
    /// The checksum of that frame's header.
    pub(crate) checksum: u32,
    /// What that frame knew to be durable.
    pub(crate) durable_to: FrameNumber,
}

impl Active {
    /// Makes every frame durable. Those that are not known to be are written once more, byte for byte: if the process
    /// before died of a failed sync, the system may show bytes as written that it dropped, and would not write them now.
    pub(crate) fn settle(&self) -> Result<(), Error> {
        let unsure = self.durable_to.next().max(self.index.first());
        if let Some(extent) = self.index.extent(unsure, u64::MAX, true) {
            self.segment.write(extent.offset, &self.segment.read(extent.offset, extent.bytes)?)?;
        }
        self.segment.sync()
    }
}

/// A segment and the header at its start, if there is a valid one.
struct Head {
    segment: Segment,
    bytes: u64,
    found: Result<Found, BadFrame>,
}

/// Reads the log; changes nothing.
pub(crate) fn recover(disk: &dyn Disk, codec: Codec, flushed: FrameNumber, recent: Recent) -> Result<Recovered, Error> {
    let heads = read_heads(disk, codec)?;
    let closed = read_closed(disk)?;
    let start = first_to_read(&heads, flushed)?;
    let first = heads.get(start).and_then(|head| head.found.as_ref().ok()).map(|found| found.header.number);
    let first = first.unwrap_or(FrameNumber::FIRST);
    let mut scan = Scan { codec, heads: &heads, at: start, first, active: None, sealed: Vec::new(), recent };
    for head in &heads[..start] {
        let found = head.found.as_ref().map_err(|bad| head.segment.corrupt(0, bad.0))?;
        scan.sealed.push(summary(head, found));
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
    if tail <= flushed {
        return Err(ends_early(cut, tail, format!("frames up to {} are recorded as flushed", flushed.0)));
    }
    let last_kept = scan.active.as_ref().map_or(0, |active| active.segment.id);
    let unused = heads.iter().map(|head| head.segment.id).filter(|id| *id > last_kept).collect();
    Ok(Recovered { sealed: scan.sealed, active: scan.active, unused, recent: scan.recent })
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

/// The segments, with their first headers; those that could be in use follow each other by id.
fn read_heads(disk: &dyn Disk, codec: Codec) -> Result<Vec<Head>, Error> {
    let mut heads: Vec<Head> = Vec::new();
    for id in segment::list(disk)? {
        let segment = Segment::open(disk, id)?;
        let bytes = segment.bytes()?;
        let found = segment.read_header(codec, 0, bytes)?;
        if found.is_ok()
            && let Some(before) = heads.last()
            && before.segment.id + 1 != id
        {
            let path = segment::path(before.segment.id + 1);
            return Err(Error::Corrupt { path, offset: 0, what: format!("it is missing, but segment {id} follows") });
        }
        heads.push(Head { segment, bytes, found });
    }
    Ok(heads)
}

/// Where to begin to read frames so as to see all that are not flushed.
fn first_to_read(heads: &[Head], flushed: FrameNumber) -> Result<usize, Error> {
    let flushed_first = |head: &Head| head.found.as_ref().is_ok_and(|found| found.header.number <= flushed);
    if let Some(start) = heads.iter().rposition(flushed_first) {
        return Ok(start);
    }
    if let Some(Head { segment, found: Ok(found), .. }) = heads.first()
        && found.header.number > flushed.next()
    {
        let what = format!(
            "the log begins with frame {}, but frames after {} are not flushed",
            found.header.number.0, flushed.0
        );
        return Err(segment.corrupt(0, what));
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
    codec: Codec,
    heads: &'a [Head],
    /// The segment being read.
    at: usize,
    /// The frame to begin with.
    first: FrameNumber,
    active: Option<Active>,
    sealed: Vec<Summary>,
    recent: Recent,
}

impl Scan<'_> {
    /// Reads to the cut; none if there is no segment.
    fn run(&mut self) -> Result<Option<Cut>, Error> {
        let heads = self.heads;
        let Some(mut head) = heads.get(self.at) else {
            return Ok(None);
        };
        loop {
            let offset = match &self.active {
                Some(active) if active.segment.id == head.segment.id => active.index.end(),
                _ => 0,
            };
            let bad = match self.step(head, offset)? {
                Ok(()) => continue,
                Err(bad) => bad,
            };
            // A frame that did not fit went to the next segment.
            match heads.get(self.at + 1) {
                Some(next) if offset > 0 && self.step(next, 0)?.is_ok() => {
                    self.at += 1;
                    head = next;
                }
                _ => return Ok(Some(Cut { at: self.at, segment: head.segment.clone(), offset, bad })),
            }
        }
    }

    /// Takes the frame at `offset`, if it is the one that follows.
    fn step(&mut self, head: &Head, offset: u64) -> Result<Result<(), BadFrame>, Error> {
        let (found, frame) = match head.segment.read_frame(self.codec, offset, head.bytes)? {
            Ok(read) => read,
            Err(bad) => return Ok(Err(bad)),
        };
        if let Err(bad) = self.follows(&found, &frame) {
            return Ok(Err(bad));
        }
        let last = Arc::new(frame);
        self.recent.push(Arc::clone(&last));
        match &mut self.active {
            Some(active) if active.segment.id == head.segment.id => {
                active.index.push(&found);
                active.last = last;
                active.checksum = found.checksum;
                active.durable_to = found.header.durable_to;
            }
            active => {
                let mut index = Index::new(last.number);
                index.push(&found);
                let (checksum, durable_to) = (found.checksum, found.header.durable_to);
                let next =
                    Active { segment: head.segment.clone(), bytes: head.bytes, index, last, checksum, durable_to };
                let full = active.replace(next);
                self.sealed.extend(full.and_then(|full| full.index.summary(full.segment.id, full.bytes)));
            }
        }
        Ok(Ok(()))
    }

    fn follows(&self, found: &Found, frame: &Frame) -> Result<(), BadFrame> {
        let Some(Active { last, checksum, .. }) = &self.active else {
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
        self.active.as_ref().map_or(self.first, |active| active.last.number.next())
    }
}

/// An error if a header behind the cut knew frame `missing` to be durable.
fn refuse_lost(codec: Codec, heads: &[Head], cut: &Cut, missing: FrameNumber) -> Result<(), Error> {
    for (at, head) in heads.iter().enumerate().skip(cut.at) {
        let mut offset = if at == cut.at { cut.offset } else { 0 };
        while offset + BLOCK_BYTES <= head.bytes {
            let length = SEARCH_BYTES.min((head.bytes - offset) / BLOCK_BYTES * BLOCK_BYTES);
            let content = head.segment.read(offset, length)?;
            for block in content.chunks_exact(BLOCK_BYTES as usize) {
                // A log without a frame was being made: nothing follows its first block.
                if missing == FrameNumber::FIRST && offset > 0 && block.iter().any(|byte| *byte != 0) {
                    let what = format!(
                        "{}, but there is data at byte {offset} of {}",
                        cut.bad.0,
                        segment::path(head.segment.id)
                    );
                    return Err(cut.segment.corrupt(cut.offset, what));
                }
                if let Ok(found) = codec.decode_header(block, head.segment.id, offset)
                    && found.header.durable_to >= missing
                {
                    let Cut { segment, bad, .. } = cut;
                    let what = format!(
                        "{}; frame {} should be here: frame {} at byte {offset} of {} was written after it was synced",
                        bad.0,
                        missing.0,
                        found.header.number.0,
                        segment::path(head.segment.id),
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

fn summary(head: &Head, found: &Found) -> Summary {
    Summary {
        id: head.segment.id,
        bytes: head.bytes,
        first: found.header.number,
        committed_at_us: found.header.committed_at_us,
        first_sequences: found.header.first_sequences.clone(),
    }
}
