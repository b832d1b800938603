//! A cold file in the manifest's text.

use bytes::Bytes;
use item::{Key, SequenceNumber, ShardId, TableId};
use serde::{Deserialize, Serialize};

use crate::{
    files::FileId,
    manifest::{FileEntry, Place},
};

#[derive(Serialize, Deserialize)]
pub(super) struct FileForm {
    id: u64,
    table: u32,
    shard: u16,
    /// None for a run.
    generation: Option<u64>,
    rows: u64,
    bytes: u64,
    crc32c: String,
    residual_values: u64,
    min_key: KeyForm,
    max_key: KeyForm,
    min_sequence: u64,
    max_sequence: u64,
    written_at_us: u64,
}

/// Encoded key components, in hexadecimal.
#[derive(Serialize, Deserialize)]
pub(super) struct KeyForm {
    partition: String,
    sort: String,
}

impl From<&FileEntry> for FileForm {
    fn from(entry: &FileEntry) -> Self {
        FileForm {
            id: entry.id.0,
            table: entry.table.0,
            shard: entry.shard.0,
            generation: match entry.place {
                Place::Generation(generation) => Some(generation),
                Place::Run => None,
            },
            rows: entry.rows,
            bytes: entry.bytes,
            crc32c: format!("{:08x}", entry.crc32c),
            residual_values: entry.residual_values,
            min_key: (&entry.min_key).into(),
            max_key: (&entry.max_key).into(),
            min_sequence: entry.min_sequence.0,
            max_sequence: entry.max_sequence.0,
            written_at_us: entry.written_at_us,
        }
    }
}

impl TryFrom<FileForm> for FileEntry {
    type Error = String;

    fn try_from(form: FileForm) -> Result<Self, String> {
        let malformed = |what: &str| format!("file {} has a malformed {what}", form.id);
        Ok(FileEntry {
            id: FileId(form.id),
            table: TableId(form.table),
            shard: ShardId(form.shard),
            place: form.generation.map_or(Place::Run, Place::Generation),
            rows: form.rows,
            bytes: form.bytes,
            crc32c: u32::from_str_radix(&form.crc32c, 16).map_err(|_| malformed("crc32c"))?,
            residual_values: form.residual_values,
            min_key: form.min_key.to_key().ok_or_else(|| malformed("min_key"))?,
            max_key: form.max_key.to_key().ok_or_else(|| malformed("max_key"))?,
            min_sequence: SequenceNumber(form.min_sequence),
            max_sequence: SequenceNumber(form.max_sequence),
            written_at_us: form.written_at_us,
        })
    }
}

impl From<&Key> for KeyForm {
    fn from(key: &Key) -> Self {
        KeyForm { partition: to_hex(&key.partition), sort: to_hex(&key.sort) }
    }
}

impl KeyForm {
    pub(super) fn to_key(&self) -> Option<Key> {
        Some(Key { partition: from_hex(&self.partition)?, sort: from_hex(&self.sort)? })
    }
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<Bytes> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let byte = |pair: &[u8]| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
    digits.chunks(2).map(byte).collect::<Option<Vec<u8>>>().map(Bytes::from)
}
