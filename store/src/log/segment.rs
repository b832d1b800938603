//! Segment files: `log/<20 digits>.segment`, frames one after the other from the first byte, then zeros.
//!
//! A segment is zeroed ahead and synced, or made of one whose frames are archived, and its name is synced, before its first
//! frame: later syncs need not touch the file's length or the directory. Its number counts up by one; a segment without a
//! frame is only ever the last.

use std::{io, sync::Arc};

use bytes::Bytes;

use super::frame::{BadFrame, Codec, Found, Frame};
use crate::{
    Durability, Error,
    env::{BLOCK_BYTES, BlockBuffer, Disk, DiskFile, remove_if_present},
};

pub(crate) const DIR: &str = "log";
const SUFFIX: &str = ".segment";
/// Zeros that are written at once.
const ZEROS_BYTES: usize = 1 << 20;

/// Why there is no new segment.
pub(crate) enum Unmade {
    /// Nothing was claimed: trying again later may succeed.
    Retryable(Error),
    /// The directory's sync failed: which names will be there after a power cut is unknown.
    Unknown(Error),
}

/// An open segment file. Cloning shares it.
#[derive(Clone)]
pub(crate) struct Segment {
    pub(crate) id: u64,
    file: Arc<dyn DiskFile>,
}

/// The path of a segment, relative to the data directory.
pub(crate) fn path(id: u64) -> String {
    format!("{DIR}/{id:020}{SUFFIX}")
}

/// The ids of all segment files, ascending. Other names are not ours to judge.
pub(crate) fn list(disk: &dyn Disk) -> Result<Vec<u64>, Error> {
    let names = disk.list(DIR).map_err(Error::io("list", DIR))?;
    let digits = names.iter().filter_map(|name| name.strip_suffix(SUFFIX)).filter(|digits| digits.len() == 20);
    Ok(digits.filter_map(|digits| digits.parse().ok()).collect())
}

/// What will be synced at once has no use for the system's memory.
fn open_active(disk: &dyn Disk, path: &str, durability: Durability) -> io::Result<Arc<dyn DiskFile>> {
    match durability {
        Durability::Fsync => disk.open_for_blocks(path),
        Durability::Memory => disk.open(path),
    }
    .map(Arc::from)
}

impl Segment {
    /// Makes segment `id`, `bytes` long, all zeros, durable by content and name. A leftover of that name holds no frame.
    pub(crate) fn create(disk: &dyn Disk, id: u64, bytes: u64, durability: Durability) -> Result<Segment, Unmade> {
        let path = path(id);
        let make = || {
            remove_if_present(disk, &path)?;
            drop(disk.create(&path)?);
            let file = open_active(disk, &path, durability)?;
            let mut zeros = BlockBuffer::default();
            zeros.reset(ZEROS_BYTES).fill(0);
            let mut offset = 0;
            while offset < bytes {
                let length = (bytes - offset).min(ZEROS_BYTES as u64);
                file.write_at(offset, &zeros.bytes()[..length as usize])?;
                offset += length;
            }
            file.sync()?;
            Ok(file)
        };
        let file = make().map_err(|error: io::Error| {
            // Leaves room for others; what cannot be removed now is removed by the next attempt.
            let _ = disk.remove(&path);
            Unmade::Retryable(Error::io("make", &path)(error))
        })?;
        disk.sync_dir(DIR).map_err(|error| Unmade::Unknown(Error::io("sync directory", DIR)(error)))?;
        metrics::counter!("thalweg_log_segments_total").increment(1);
        Ok(Segment { id, file })
    }

    /// Makes segment `id` of the file of segment `old`, whose frames are archived. What is in it was written to another
    /// segment, so none of it passes for a frame.
    pub(crate) fn reuse(disk: &dyn Disk, old: u64, id: u64, durability: Durability) -> Result<Segment, Unmade> {
        let (from, to) = (path(old), path(id));
        let renamed = disk.rename(&from, &to).and_then(|()| open_active(disk, &to, durability));
        let file = renamed.map_err(|error| Unmade::Retryable(Error::io("rename", &from)(error)))?;
        disk.sync_dir(DIR).map_err(|error| Unmade::Unknown(Error::io("sync directory", DIR)(error)))?;
        metrics::counter!("thalweg_log_reused_segments_total").increment(1);
        Ok(Segment { id, file })
    }

    /// Opens a segment to read it.
    pub(crate) fn open(disk: &dyn Disk, id: u64) -> Result<Segment, Error> {
        let path = path(id);
        let file = disk.open(&path).map_err(Error::io("open", path))?;
        Ok(Segment { id, file: Arc::from(file) })
    }

    /// Opens the segment that takes the next frames.
    pub(crate) fn open_active(disk: &dyn Disk, id: u64, durability: Durability) -> Result<Segment, Error> {
        let path = path(id);
        let file = open_active(disk, &path, durability).map_err(Error::io("open", path))?;
        Ok(Segment { id, file })
    }

    pub(crate) fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_at(offset, bytes).map_err(Error::io("write", path(self.id)))
    }

    pub(crate) fn sync(&self) -> Result<(), Error> {
        metrics::counter!("thalweg_log_syncs_total").increment(1);
        self.file.sync().map_err(Error::io("sync", path(self.id)))
    }

    pub(crate) fn bytes(&self) -> Result<u64, Error> {
        self.file.len().map_err(Error::io("measure", path(self.id)))
    }

    pub(crate) fn read(&self, offset: u64, bytes: u64) -> Result<Bytes, Error> {
        let mut buffer = vec![0; bytes as usize];
        self.file.read_at(offset, &mut buffer).map_err(Error::io("read", path(self.id)))?;
        Ok(Bytes::from(buffer))
    }

    /// The header of the frame at `offset`, in a file of `end` bytes.
    pub(crate) fn read_header(&self, codec: Codec, offset: u64, end: u64) -> Result<Result<Found, BadFrame>, Error> {
        if offset + BLOCK_BYTES > end {
            return Ok(Err(BadFrame("the segment ends here")));
        }
        Ok(codec.decode_header(&self.read(offset, BLOCK_BYTES)?, self.id, offset))
    }

    /// The frame at `offset`, in a file of `end` bytes.
    pub(crate) fn read_frame(
        &self,
        codec: Codec,
        offset: u64,
        end: u64,
    ) -> Result<Result<(Found, Frame), BadFrame>, Error> {
        let found = match self.read_header(codec, offset, end)? {
            Ok(found) => found,
            Err(bad) => return Ok(Err(bad)),
        };
        if found.bytes() > end - offset {
            return Ok(Err(BadFrame("the frame runs past the end of the segment")));
        }
        let bytes = self.read(offset, found.bytes())?;
        Ok(codec.decode_frame(found.clone(), &bytes).map(|frame| (found, frame)))
    }

    /// The frames that fill the `bytes` from `offset`; anything else there is corruption.
    pub(crate) fn read_frames(&self, codec: Codec, offset: u64, bytes: u64) -> Result<Vec<Arc<Frame>>, Error> {
        self.decode_frames(codec, offset, &self.read(offset, bytes)?)
    }

    /// The frames that fill `content`, read at `offset`.
    pub(crate) fn decode_frames(&self, codec: Codec, offset: u64, content: &Bytes) -> Result<Vec<Arc<Frame>>, Error> {
        let frames = codec.decode_frames(content, self.id, offset);
        let frames = frames.map_err(|(place, bad)| self.corrupt(place, bad.0))?;
        Ok(frames.into_iter().map(|(_, frame)| frame).collect())
    }

    pub(crate) fn corrupt(&self, offset: u64, what: impl Into<String>) -> Error {
        Error::Corrupt { path: path(self.id), offset, what: what.into() }
    }
}
