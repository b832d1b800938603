//! Files of a table's history: its events, with the times when they were committed. Numbers are little-endian.
//!
//! ```text
//! <first frame: 20 digits>-<last frame: 20 digits>.history    every event of the table in these frames
//!
//! head     4 magic `ThwH` | 2 format version, 1 | 2 zeros | 4 table id | 4 checksum of the bytes before
//! chunk    4 bytes of it as it lies here | 4 bytes of it unpacked | 4 checksum of it as it lies here | zstd of: groups
//! end      4 zeros | 4 groups in all, modulo 2^32 | 4 checksum of the bytes of the end before
//! group    8 committed_at_us | 4 bytes of events | events (see `item::event`), old images left out
//! ```
//! Checksums are CRC-32C. A file is written under another name, synced, and renamed, so one that lies there is whole. A chunk is
//! closed at 256 KiB, so a reader needs little memory.

use std::sync::Arc;

use bytes::Bytes;
use item::{Change, Event, Old, TableId};
use store::{
    Error,
    env::{Disk, DiskFile, remove_if_present},
    log::FrameNumber,
};

/// Where history lies in a past.
pub(crate) const HISTORY_DIR: &str = "history";
const SUFFIX: &str = ".history";
const UNFINISHED: &str = "next";

const MAGIC: &[u8; 4] = b"ThwH";
const VERSION: u16 = 1;
const HEAD_BYTES: usize = 16;
const CHUNK_HEAD_BYTES: usize = 12;
const GROUP_HEAD_BYTES: usize = 12;
/// A chunk is closed when it has this many bytes unpacked.
const CHUNK_BYTES: usize = 256 << 10;
/// A chunk far larger than one event more was not written by us.
const CHUNK_BYTES_MAX: usize = 16 << 20;
const ZSTD_LEVEL: i32 = 3;

/// One file of a table's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryFile {
    /// The first frame that it covers; the one after the last file's, or the base's.
    pub first: FrameNumber,
    /// The last one.
    pub last: FrameNumber,
    /// Its length.
    pub bytes: u64,
}

impl HistoryFile {
    /// The name of the file.
    pub fn name(&self) -> String {
        format!("{:020}-{:020}{SUFFIX}", self.first.0, self.last.0)
    }

    fn of_name(name: &str, bytes: u64) -> Option<HistoryFile> {
        let (first, last) = name.strip_suffix(SUFFIX)?.split_once('-')?;
        let frame = |digits: &str| (digits.len() == 20).then(|| digits.parse().ok().map(FrameNumber)).flatten();
        Some(HistoryFile { first: frame(first)?, last: frame(last)?, bytes })
    }

    /// The files in the directory `dir`, in order. What is not whole is not among them.
    pub(crate) fn list(disk: &dyn Disk, dir: &str) -> Result<Vec<HistoryFile>, Error> {
        let mut files = Vec::new();
        for name in disk.list(dir).map_err(Error::io("list", dir))? {
            let path = format!("{dir}/{name}");
            if let Some(mut file) = HistoryFile::of_name(&name, 0) {
                let opened = disk.open(&path).map_err(Error::io("open", path.as_str()))?;
                file.bytes = opened.len().map_err(Error::io("measure", path.as_str()))?;
                files.push(file);
            }
        }
        files.sort_by_key(|file| file.first);
        Ok(files)
    }
}

/// Writes one file of history.
pub(crate) struct HistoryWriter {
    disk: Arc<dyn Disk>,
    dir: String,
    file: Box<dyn DiskFile>,
    offset: u64,
    raw: Vec<u8>,
    /// The group that is open: its time, and where it begins in `raw`.
    group: Option<(u64, usize)>,
    groups: u32,
}

impl HistoryWriter {
    /// Begins a file of `table` in the directory `dir`. An earlier one that was not finished goes. A directory that is missing is not made:
    /// it is part of a past from its beginning on, and its name is durable.
    pub(crate) fn create(disk: &Arc<dyn Disk>, dir: &str, table: TableId) -> Result<HistoryWriter, Error> {
        let path = format!("{dir}/{UNFINISHED}");
        remove_if_present(disk.as_ref(), &path).map_err(Error::io("remove", path.as_str()))?;
        let file = disk.create(&path).map_err(Error::io("create", path.as_str()))?;
        let mut head = Vec::with_capacity(HEAD_BYTES);
        head.extend_from_slice(MAGIC);
        head.extend_from_slice(&VERSION.to_le_bytes());
        head.extend_from_slice(&[0; 2]);
        head.extend_from_slice(&table.0.to_le_bytes());
        head.extend_from_slice(&crc_fast::crc32_iscsi(&head).to_le_bytes());
        let (disk, dir) = (Arc::clone(disk), dir.to_owned());
        let mut writer = HistoryWriter { disk, dir, file, offset: 0, raw: Vec::new(), group: None, groups: 0 };
        writer.append(&head)?;
        Ok(writer)
    }

    /// Adds an event of an item; times never go back.
    pub(crate) fn push(&mut self, committed_at_us: u64, event: &Event) -> Result<(), Error> {
        if self.group.is_none_or(|(at_us, _)| at_us != committed_at_us) {
            self.end_group();
            self.group = Some((committed_at_us, self.raw.len()));
            self.groups = self.groups.wrapping_add(1);
            self.raw.extend_from_slice(&committed_at_us.to_le_bytes());
            self.raw.extend_from_slice(&[0; 4]);
        }
        let change = match &event.change {
            Change::Put { key, new, .. } => Change::Put { key: key.clone(), new: new.clone(), old: Old::Unknown },
            Change::Remove { key, .. } => Change::Remove { key: key.clone(), old: Old::Unknown },
            other => other.clone(),
        };
        Event { change, ..event.clone() }.encode(&mut self.raw);
        if self.raw.len() >= CHUNK_BYTES {
            self.end_chunk()?;
        }
        Ok(())
    }

    /// Ends the file, which has every event of its table in the frames from `first` to `last`; durable on return.
    pub(crate) fn finish(mut self, first: FrameNumber, last: FrameNumber) -> Result<HistoryFile, Error> {
        self.end_chunk()?;
        let mut end = [0; 8];
        end[4..].copy_from_slice(&self.groups.to_le_bytes());
        let checksum = crc_fast::crc32_iscsi(&end).to_le_bytes();
        self.append(&[&end[..], &checksum].concat())?;
        let staged = format!("{}/{UNFINISHED}", self.dir);
        self.file.sync().map_err(Error::io("sync", staged.as_str()))?;
        let finished = HistoryFile { first, last, bytes: self.offset };
        let path = format!("{}/{}", self.dir, finished.name());
        self.disk.rename(&staged, &path).map_err(Error::io("rename", path))?;
        self.disk.sync_dir(&self.dir).map_err(Error::io("sync directory", self.dir.as_str()))?;
        Ok(finished)
    }

    fn end_group(&mut self) {
        if let Some((_, start)) = self.group.take() {
            let bytes = self.raw.len() - start - GROUP_HEAD_BYTES;
            let bytes = u32::try_from(bytes).expect("a chunk is far smaller");
            self.raw[start + 8..start + GROUP_HEAD_BYTES].copy_from_slice(&bytes.to_le_bytes());
        }
    }

    fn end_chunk(&mut self) -> Result<(), Error> {
        self.end_group();
        if self.raw.is_empty() {
            return Ok(());
        }
        let packed = zstd::bulk::compress(&self.raw, ZSTD_LEVEL).map_err(Error::io("compress", self.dir.as_str()))?;
        let length = |bytes: usize| u32::try_from(bytes).expect("a chunk is far smaller").to_le_bytes();
        let mut chunk = Vec::with_capacity(CHUNK_HEAD_BYTES + packed.len());
        chunk.extend_from_slice(&length(packed.len()));
        chunk.extend_from_slice(&length(self.raw.len()));
        chunk.extend_from_slice(&crc_fast::crc32_iscsi(&packed).to_le_bytes());
        chunk.extend_from_slice(&packed);
        self.raw.clear();
        self.append(&chunk)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let failed = Error::io("write", format!("{}/{UNFINISHED}", self.dir));
        self.file.write_at(self.offset, bytes).map_err(failed)?;
        self.offset += bytes.len() as u64;
        Ok(())
    }
}

/// Reads one file of history, chunk by chunk.
pub struct HistoryReader {
    path: String,
    file: Box<dyn DiskFile>,
    offset: u64,
    bytes: u64,
    groups: u32,
    is_done: bool,
}

impl HistoryReader {
    /// Opens `file`, of `table`, in the directory `dir`.
    pub fn open(disk: &dyn Disk, dir: &str, file: &HistoryFile, table: TableId) -> Result<HistoryReader, Error> {
        let path = format!("{dir}/{}", file.name());
        let file = disk.open(&path).map_err(Error::io("open", path.as_str()))?;
        let bytes = file.len().map_err(Error::io("measure", path.as_str()))?;
        let mut reader = HistoryReader { path, file, offset: 0, bytes, groups: 0, is_done: false };
        let head: [u8; HEAD_BYTES] = reader.take()?;
        if head[..4] != *MAGIC || u32_at(&head, 12) != crc_fast::crc32_iscsi(&head[..12]) {
            return Err(reader.corrupt("its head is not that of a file of history"));
        }
        let version = u16::from_le_bytes([head[4], head[5]]);
        if version > VERSION {
            let (found, supported) = (u32::from(version), u32::from(VERSION));
            return Err(Error::NewerFormat { path: reader.path, found, supported });
        }
        if u32_at(&head, 8) != table.0 {
            return Err(reader.corrupt("it is of another table"));
        }
        Ok(reader)
    }

    /// The next events, each with the time when it was committed, microseconds since 1970; none at the end.
    pub fn next_chunk(&mut self) -> Result<Option<Vec<(u64, Event)>>, Error> {
        if self.is_done {
            return Ok(None);
        }
        let head: [u8; CHUNK_HEAD_BYTES] = self.take()?;
        let (packed_bytes, raw_bytes) = (u32_at(&head, 0) as usize, u32_at(&head, 4) as usize);
        if packed_bytes == 0 {
            if u32_at(&head, 8) != crc_fast::crc32_iscsi(&head[..8]) {
                return Err(self.corrupt("its end has another checksum"));
            }
            if u32_at(&head, 4) != self.groups || self.offset != self.bytes {
                return Err(self.corrupt("its end does not fit what is before and after it"));
            }
            self.is_done = true;
            return Ok(None);
        }
        if raw_bytes > CHUNK_BYTES_MAX || packed_bytes as u64 > self.bytes - self.offset {
            return Err(self.corrupt("a chunk is longer than it can be"));
        }
        let mut packed = vec![0; packed_bytes];
        self.file.read_at(self.offset, &mut packed).map_err(Error::io("read", self.path.as_str()))?;
        if u32_at(&head, 8) != crc_fast::crc32_iscsi(&packed) {
            return Err(self.corrupt("a chunk has another checksum"));
        }
        let raw = zstd::bulk::decompress(&packed, raw_bytes).map_err(|_| self.corrupt("a chunk cannot be unpacked"))?;
        if raw.len() != raw_bytes {
            return Err(self.corrupt("a chunk has another length unpacked"));
        }
        let events = self.events(&Bytes::from(raw))?;
        self.offset += packed_bytes as u64;
        Ok(Some(events))
    }

    fn events(&mut self, raw: &Bytes) -> Result<Vec<(u64, Event)>, Error> {
        let mut events = Vec::new();
        let mut at = 0;
        while at < raw.len() {
            let head = raw.get(at..at + GROUP_HEAD_BYTES).ok_or_else(|| self.corrupt("a group is cut"))?;
            let committed_at_us = u64::from_le_bytes(head[..8].try_into().expect("8 bytes"));
            let end = at + GROUP_HEAD_BYTES + u32_at(head, 8) as usize;
            at += GROUP_HEAD_BYTES;
            if end > raw.len() {
                return Err(self.corrupt("a group is cut"));
            }
            while at < end {
                let event = Event::decode(raw, &mut at).map_err(|error| self.corrupt(error.what))?;
                events.push((committed_at_us, event));
            }
            if at != end {
                return Err(self.corrupt("an event reaches past its group"));
            }
            self.groups = self.groups.wrapping_add(1);
        }
        Ok(events)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        if self.bytes.saturating_sub(self.offset) < N as u64 {
            return Err(self.corrupt("it is cut"));
        }
        let mut bytes = [0; N];
        self.file.read_at(self.offset, &mut bytes).map_err(Error::io("read", self.path.as_str()))?;
        self.offset += N as u64;
        Ok(bytes)
    }

    fn corrupt(&self, what: &str) -> Error {
        Error::Corrupt { path: self.path.clone(), offset: self.offset, what: what.to_owned() }
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"))
}

#[cfg(test)]
mod tests;
