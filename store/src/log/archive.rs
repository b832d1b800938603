//! Archived segments: `log/<20 digits>.archive`, the frames of one sealed segment, compressed, with an index.
//!
//! ```text
//! head      the first 4096 bytes of the segment, as they were: its first frame's header
//! chunks    zstd, each of whole frames: the very bytes that the segment had
//! footer    zstd of:
//!               8  id of the segment
//!               8  number of its first frame
//!               2  n, shards
//!               4  count of frames       then per frame: 4 blocks of 4096 that it fills
//!                                                       8 committed_at, microseconds since 1970
//!                                                      8n first sequence number per shard
//!               4  count of chunks       then per chunk: 4 frames in it
//!                                                        4 bytes of it in this file
//!                                                        2 count of tables, then per table: 4 id, 8 bit set of shards
//! trailer   magic "ThwA", 2 format version: 1, 2 zeros, 4 bytes of footer here, 4 bytes of footer unpacked,
//!           4 checksum (CRC-32C) of the directory id, the footer as it lies here, and the trailer before the checksum
//! ```
//! Numbers are little-endian. Frames keep their own checksums, so a chunk needs none. An archive is durable, by content and
//! name, before its segment is used again.

use std::{collections::BTreeMap, io, sync::Arc};

use bytes::Bytes;
use item::{Event, SequenceNumber, ShardId, TableId};
use zstd::bulk::Compressor;

use super::{
    Frame, FrameNumber,
    frame::{Codec, Fields, Found, FoundFrame, SHARDS_MAX},
    index::{Extent, Index},
    segment::{DIR, Segment, Unmade},
};
use crate::{
    Error,
    env::{BLOCK_BYTES, Disk, DiskFile, remove_if_present},
};

const SUFFIX: &str = ".archive";
const STAGED_SUFFIX: &str = ".archive.new";
const MAGIC: [u8; 4] = *b"ThwA";
const VERSION: u16 = 1;
const TRAILER_BYTES: usize = 20;
/// A chunk is closed when it has so many bytes: what a reader of one frame unpacks at most, unless the frame is larger.
const CHUNK_BYTES: u64 = 256 << 10;
/// The fastest level: most of a frame is padding and repeated names.
const LEVEL: i32 = 1;
/// Greatest footer, unpacked. A segment that would need a larger one is not archived.
const FOOTER_BYTES_MAX: usize = 256 << 20;

/// An archived segment. Cloning shares it.
#[derive(Clone)]
pub(crate) struct Archive {
    pub(crate) id: u64,
    pub(crate) index: Arc<Index>,
    pub(crate) bytes: u64,
    file: Arc<dyn DiskFile>,
    chunks: Arc<[Chunk]>,
}

/// Frames that are compressed together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Chunk {
    frames: u32,
    /// Where it begins in the segment.
    raw_offset: u64,
    raw_bytes: u64,
    /// Where it lies in the archive.
    offset: u64,
    bytes: u32,
    /// The shards that have an event in it, a bit each, per table.
    tables: BTreeMap<TableId, u64>,
}

/// The header of the first frame of archive `id`, and the archive's length. The rest is not looked at.
pub(crate) fn read_head(disk: &dyn Disk, codec: Codec, id: u64) -> Result<(Found, u64), Error> {
    let path = path(id);
    let file = disk.open(&path).map_err(Error::io("open", &path))?;
    let bytes = file.len().map_err(Error::io("measure", &path))?;
    let bad = |what: &str| Error::Corrupt { path: path.clone(), offset: 0, what: what.to_owned() };
    if bytes < BLOCK_BYTES {
        return Err(bad("the archive is cut short"));
    }
    let mut head = [0; BLOCK_BYTES as usize];
    file.read_at(0, &mut head).map_err(Error::io("read", &path))?;
    Ok((codec.decode_header(&head, id, 0).map_err(|error| bad(error.0))?, bytes))
}

/// The path of an archive, relative to the data directory.
pub(crate) fn path(id: u64) -> String {
    format!("{DIR}/{id:020}{SUFFIX}")
}

fn staged_path(id: u64) -> String {
    format!("{DIR}/{id:020}{STAGED_SUFFIX}")
}

/// The ids of all archives, ascending.
pub(crate) fn list(disk: &dyn Disk) -> Result<Vec<u64>, Error> {
    let names = disk.list(DIR).map_err(Error::io("list", DIR))?;
    let digits = names.iter().filter_map(|name| name.strip_suffix(SUFFIX)).filter(|digits| digits.len() == 20);
    Ok(digits.filter_map(|digits| digits.parse().ok()).collect())
}

/// Removes what a crash left of archives that were being written.
pub(crate) fn remove_staged(disk: &dyn Disk) -> Result<(), Error> {
    for name in disk.list(DIR).map_err(Error::io("list", DIR))?.iter().filter(|name| name.ends_with(STAGED_SUFFIX)) {
        let path = format!("{DIR}/{name}");
        remove_if_present(disk, &path).map_err(Error::io("remove", path))?;
    }
    Ok(())
}

/// Writes the archive of a sealed segment; durable on return. Answers its length.
pub(crate) fn write(disk: &dyn Disk, codec: Codec, segment: &Segment, index: &Index) -> Result<u64, Unmade> {
    let staged = staged_path(segment.id);
    let fill = || -> Result<u64, Error> {
        let io = |what| Error::io(what, staged.as_str());
        remove_if_present(disk, &staged).map_err(io("remove"))?;
        let file: Arc<dyn DiskFile> = Arc::from(disk.create(&staged).map_err(io("create"))?);
        let mut packer = Compressor::new(LEVEL).map_err(io("compress"))?;
        let mut chunks = Vec::new();
        file.write_at(0, &segment.read(0, BLOCK_BYTES)?).map_err(io("write"))?;
        let mut end = BLOCK_BYTES;
        for extent in chunks_of(index) {
            let raw = segment.read(extent.offset, extent.bytes)?;
            let frames = segment.decode_frames(codec, extent.offset, &raw)?;
            let packed = packer.compress(&raw).map_err(io("compress"))?;
            file.write_at(end, &packed).map_err(io("write"))?;
            let tables = tables_of(&frames).map_err(|error| segment.corrupt(extent.offset, error.to_string()))?;
            chunks.push(Chunk {
                frames: frames.len() as u32,
                raw_offset: extent.offset,
                raw_bytes: extent.bytes,
                offset: end,
                bytes: packed.len() as u32,
                tables,
            });
            end += packed.len() as u64;
        }
        let footer = encode_footer(segment.id, index, &chunks);
        if footer.len() > FOOTER_BYTES_MAX {
            return Err(io("compress")(io::ErrorKind::FileTooLarge.into()));
        }
        let packed = packer.compress(&footer).map_err(io("compress"))?;
        let trailer = encode_trailer(codec, &packed, footer.len());
        file.write_at(end, &packed).map_err(io("write"))?;
        file.write_at(end + packed.len() as u64, &trailer).map_err(io("write"))?;
        file.sync().map_err(io("sync"))?;
        // What will be the only copy can be opened.
        let archive = Archive::read(file, &staged, codec, segment.id)?;
        disk.rename(&staged, &path(segment.id)).map_err(io("rename"))?;
        Ok(archive.bytes)
    };
    let bytes = fill().map_err(|error| {
        // Leaves room for others; what cannot be removed now is removed by the next open.
        let _ = disk.remove(&staged);
        Unmade::Retryable(error)
    })?;
    disk.sync_dir(DIR).map_err(|error| Unmade::Unknown(Error::io("sync directory", DIR)(error)))?;
    metrics::counter!("thalweg_log_archived_segments_total").increment(1);
    Ok(bytes)
}

impl Archive {
    /// Opens the archive of segment `id`, if there is one.
    pub(crate) fn open(disk: &dyn Disk, codec: Codec, id: u64) -> Result<Option<Archive>, Error> {
        let path = path(id);
        match disk.open(&path) {
            Ok(file) => Archive::read(Arc::from(file), &path, codec, id).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("open", path)(error)),
        }
    }

    /// Reads the footer of the archive of segment `id`, which lies at `path`.
    fn read(file: Arc<dyn DiskFile>, path: &str, codec: Codec, id: u64) -> Result<Archive, Error> {
        let bytes = file.len().map_err(Error::io("measure", path))?;
        let bad = |what: &str| Error::Corrupt { path: path.to_owned(), offset: bytes, what: what.to_owned() };
        let trailer_at = bytes.checked_sub(TRAILER_BYTES as u64).ok_or_else(|| bad("the archive is cut short"))?;
        let mut trailer = [0; TRAILER_BYTES];
        file.read_at(trailer_at, &mut trailer).map_err(Error::io("read", path))?;
        let (packed_bytes, raw_bytes, checksum) = decode_trailer(&trailer).map_err(bad)?;
        let footer_at = trailer_at.checked_sub(packed_bytes as u64).ok_or_else(|| bad("impossible footer length"))?;
        let mut packed = vec![0; packed_bytes];
        file.read_at(footer_at, &mut packed).map_err(Error::io("read", path))?;
        if checksum != codec.checksum([&packed[..], &trailer[..TRAILER_BYTES - 4]]) {
            return Err(bad("footer checksum mismatch"));
        }
        let footer = zstd::bulk::decompress(&packed, raw_bytes).map_err(|error| bad(&error.to_string()))?;
        let (index, chunks) = decode_footer(&footer, id, footer_at).map_err(bad)?;
        Ok(Archive { id, index: Arc::new(index), bytes, file, chunks: chunks.into() })
    }

    /// The frames of `extent`, which starts and ends with frames.
    pub(crate) fn read_frames(&self, codec: Codec, extent: Extent) -> Result<Vec<Arc<Frame>>, Error> {
        Ok(self.read_found(codec, extent)?.into_iter().map(|(_, frame)| frame).collect())
    }

    /// The frames of `extent`, with their headers.
    pub(crate) fn read_found(&self, codec: Codec, extent: Extent) -> Result<Vec<FoundFrame>, Error> {
        let end = extent.offset + extent.bytes;
        let first = self.chunks.partition_point(|chunk| chunk.raw_offset + chunk.raw_bytes <= extent.offset);
        let mut frames = Vec::new();
        for chunk in self.chunks[first..].iter().take_while(|chunk| chunk.raw_offset < end) {
            let raw = self.unpack(chunk)?;
            let from = extent.offset.max(chunk.raw_offset);
            let to = end.min(chunk.raw_offset + chunk.raw_bytes);
            let part = raw.slice((from - chunk.raw_offset) as usize..(to - chunk.raw_offset) as usize);
            let found = codec.decode_frames(&part, self.id, from);
            frames.extend(found.map_err(|(_, bad)| self.corrupt(chunk.offset, bad.0))?);
        }
        Ok(frames)
    }

    /// The first frame from `from` on that may hold an event of `table` in `shard`; the number after the last, if none does.
    pub(crate) fn next_with(&self, table: TableId, shard: ShardId, from: FrameNumber) -> FrameNumber {
        let mut first = self.index.first();
        for chunk in &*self.chunks {
            let next = FrameNumber(first.0 + u64::from(chunk.frames));
            let shards = chunk.tables.get(&table).copied().unwrap_or_default();
            let holds = shards.checked_shr(u32::from(shard.0)).is_some_and(|shards| shards & 1 == 1);
            if next > from && holds {
                return first.max(from);
            }
            first = next;
        }
        first.max(from)
    }

    fn unpack(&self, chunk: &Chunk) -> Result<Bytes, Error> {
        let mut packed = vec![0; chunk.bytes as usize];
        self.file.read_at(chunk.offset, &mut packed).map_err(Error::io("read", path(self.id)))?;
        let raw = zstd::bulk::decompress(&packed, chunk.raw_bytes as usize);
        let raw = raw.map_err(|error| self.corrupt(chunk.offset, error.to_string()))?;
        if raw.len() as u64 != chunk.raw_bytes {
            return Err(self.corrupt(chunk.offset, "the chunk is cut short"));
        }
        Ok(Bytes::from(raw))
    }

    pub(crate) fn corrupt(&self, offset: u64, what: impl Into<String>) -> Error {
        Error::Corrupt { path: path(self.id), offset, what: what.into() }
    }
}

/// The chunks of a segment.
fn chunks_of(index: &Index) -> impl Iterator<Item = Extent> {
    let mut next = index.first();
    std::iter::from_fn(move || {
        let extent = index.extent(next, CHUNK_BYTES, true)?;
        next = index.starting_at(extent.offset + extent.bytes);
        Some(extent)
    })
}

fn tables_of(frames: &[Arc<Frame>]) -> Result<BTreeMap<TableId, u64>, item::CodecError> {
    let mut tables = BTreeMap::new();
    for frame in frames {
        let mut offset = 0;
        while offset < frame.body.len() {
            let event = Event::decode(&frame.body, &mut offset)?;
            *tables.entry(event.table).or_default() |= 1u64.checked_shl(u32::from(event.shard.0)).unwrap_or_default();
        }
    }
    Ok(tables)
}

fn encode_footer(segment: u64, index: &Index, chunks: &[Chunk]) -> Vec<u8> {
    let mut footer = Vec::new();
    footer.extend_from_slice(&segment.to_le_bytes());
    footer.extend_from_slice(&index.first().0.to_le_bytes());
    footer.extend_from_slice(&(index.shards() as u16).to_le_bytes());
    let frames = index.next().0 - index.first().0;
    footer.extend_from_slice(&(frames as u32).to_le_bytes());
    for (bytes, committed_at_us, first_sequences) in index.rows() {
        footer.extend_from_slice(&((bytes / BLOCK_BYTES) as u32).to_le_bytes());
        footer.extend_from_slice(&committed_at_us.to_le_bytes());
        for first in first_sequences {
            footer.extend_from_slice(&first.0.to_le_bytes());
        }
    }
    footer.extend_from_slice(&(chunks.len() as u32).to_le_bytes());
    for chunk in chunks {
        footer.extend_from_slice(&chunk.frames.to_le_bytes());
        footer.extend_from_slice(&chunk.bytes.to_le_bytes());
        footer.extend_from_slice(&(chunk.tables.len() as u16).to_le_bytes());
        for (table, shards) in &chunk.tables {
            footer.extend_from_slice(&table.0.to_le_bytes());
            footer.extend_from_slice(&shards.to_le_bytes());
        }
    }
    footer
}

/// The index and chunks that `footer`, whose checksum was good, tells; `end` is where the chunks must end.
fn decode_footer(footer: &[u8], id: u64, end: u64) -> Result<(Index, Vec<Chunk>), &'static str> {
    let malformed = |_| "malformed footer";
    let mut fields = Fields(footer);
    if fields.number().map_err(malformed)? != id {
        return Err("the archive of another segment");
    }
    let mut index = Index::new(FrameNumber(fields.number().map_err(malformed)?));
    let shards = u16::from_le_bytes(fields.take().map_err(malformed)?);
    if usize::from(shards) > SHARDS_MAX {
        return Err("impossible count of shards");
    }
    for _ in 0..u32::from_le_bytes(fields.take().map_err(malformed)?) {
        let blocks = u32::from_le_bytes(fields.take().map_err(malformed)?);
        let committed_at_us = fields.number().map_err(malformed)?;
        let first_sequences =
            (0..shards).map(|_| fields.number().map(SequenceNumber)).collect::<Result<_, _>>().map_err(malformed)?;
        index.push_row(committed_at_us, first_sequences, u64::from(blocks) * BLOCK_BYTES);
    }
    let mut chunks = Vec::new();
    let (mut frame, mut raw_offset, mut offset) = (index.first(), 0, BLOCK_BYTES);
    for _ in 0..u32::from_le_bytes(fields.take().map_err(malformed)?) {
        let frames = u32::from_le_bytes(fields.take().map_err(malformed)?);
        let bytes = u32::from_le_bytes(fields.take().map_err(malformed)?);
        let mut tables = BTreeMap::new();
        for _ in 0..u16::from_le_bytes(fields.take().map_err(malformed)?) {
            let table = TableId(u32::from_le_bytes(fields.take().map_err(malformed)?));
            tables.insert(table, fields.number().map_err(malformed)?);
        }
        frame = FrameNumber(frame.0.saturating_add(u64::from(frames)));
        let raw_end = index.offset(frame).ok_or("a chunk of frames that are not there")?;
        let raw_bytes = raw_end - raw_offset;
        chunks.push(Chunk { frames, raw_offset, raw_bytes, offset, bytes, tables });
        (raw_offset, offset) = (raw_end, offset + u64::from(bytes));
    }
    match frame == index.next() && offset == end && !index.is_empty() {
        true => Ok((index, chunks)),
        false => Err("the chunks are not those of the footer"),
    }
}

fn encode_trailer(codec: Codec, packed_footer: &[u8], raw_bytes: usize) -> [u8; TRAILER_BYTES] {
    let mut trailer = [0; TRAILER_BYTES];
    trailer[..4].copy_from_slice(&MAGIC);
    trailer[4..6].copy_from_slice(&VERSION.to_le_bytes());
    trailer[8..12].copy_from_slice(&(packed_footer.len() as u32).to_le_bytes());
    trailer[12..16].copy_from_slice(&(raw_bytes as u32).to_le_bytes());
    let checksum = codec.checksum([packed_footer, &trailer[..16]]);
    trailer[16..].copy_from_slice(&checksum.to_le_bytes());
    trailer
}

/// Bytes of the footer, packed and unpacked, and the checksum.
fn decode_trailer(trailer: &[u8; TRAILER_BYTES]) -> Result<(usize, usize, u32), &'static str> {
    let number = |at: usize| u32::from_le_bytes([trailer[at], trailer[at + 1], trailer[at + 2], trailer[at + 3]]);
    if trailer[..4] != MAGIC {
        return Err("no archive ends here");
    }
    if u16::from_le_bytes([trailer[4], trailer[5]]) != VERSION {
        return Err("unknown archive version");
    }
    match (number(8) as usize, number(12) as usize) {
        (packed, raw) if raw <= FOOTER_BYTES_MAX => Ok((packed, raw, number(16))),
        _ => Err("impossible footer length"),
    }
}

#[cfg(test)]
mod tests;
