//! The manifest as JSON text, for people to read: an envelope with format and checksum around the body.
//!
//! ```text
//! {"format": 1, "crc32c": "9ae0daaf", "manifest":
//! { ... }}
//! ```
//! The checksum covers the bytes of the body exactly as they stand in the file.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use item::{Key, KeyAttribute, KeyType, SequenceNumber, ShardId, Stream, StreamView, Table, TableId, table::Billing};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{ColdTable, FileEntry, Manifest, Place, Retired};
use crate::{
    Catalog, Error,
    files::{ColumnTypes, FileId},
    log::FrameNumber,
};

/// The newest format that this version reads, and the one it writes.
pub(super) const FORMAT: u32 = 1;
/// Shards of one directory at most.
const SHARDS_MAX: usize = 64;

#[derive(Deserialize)]
struct Format {
    format: u32,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    crc32c: &'a str,
    #[serde(borrow)]
    manifest: &'a RawValue,
}

#[derive(Serialize, Deserialize)]
struct ManifestForm {
    number: u64,
    flushed_frame: u64,
    flushed_sequences: Vec<u64>,
    next_table: u32,
    next_file: u64,
    tables: Vec<TableForm>,
    cold_tables: BTreeMap<u32, ColdTableForm>,
    files: Vec<FileForm>,
    retired: Vec<RetiredForm>,
}

#[derive(Serialize, Deserialize)]
struct TableForm {
    id: u32,
    name: String,
    version: u32,
    partition_key: KeyAttributeForm,
    sort_key: Option<KeyAttributeForm>,
    sort_key_is_time: bool,
    stream: Option<StreamForm>,
    created_at_us: u64,
    billing: BillingForm,
    deletion_protection: bool,
}

#[derive(Serialize, Deserialize)]
struct KeyAttributeForm {
    name: String,
    #[serde(rename = "type")]
    key_type: KeyTypeForm,
}

#[derive(Serialize, Deserialize)]
enum KeyTypeForm {
    S,
    N,
    B,
}

#[derive(Serialize, Deserialize)]
struct StreamForm {
    view: StreamViewForm,
    enabled_at_us: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum StreamViewForm {
    KeysOnly,
    NewImage,
    OldImage,
    NewAndOldImages,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum BillingForm {
    OnDemand,
    Provisioned { read_units: u64, write_units: u64 },
}

#[derive(Serialize, Deserialize)]
struct ColdTableForm {
    generation: u64,
    columns: ColumnTypes,
}

#[derive(Serialize, Deserialize)]
struct FileForm {
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
struct KeyForm {
    partition: String,
    sort: String,
}

#[derive(Serialize, Deserialize)]
struct RetiredForm {
    table: u32,
    generation: u64,
    retired_at_us: u64,
}

/// The file's text.
pub(super) fn to_text(manifest: &Manifest) -> Vec<u8> {
    let body =
        serde_json::to_string_pretty(&ManifestForm::from(manifest)).expect("strings, numbers and maps serialize");
    let checksum = crc_fast::crc32_iscsi(body.as_bytes());
    format!("{{\"format\": {FORMAT}, \"crc32c\": \"{checksum:08x}\", \"manifest\":\n{body}}}\n").into_bytes()
}

/// The manifest of a file's text; `path` is for the error.
pub(super) fn from_text(text: &[u8], path: &str) -> Result<Manifest, Error> {
    let corrupt = |offset: usize, what: String| Error::Corrupt { path: path.to_owned(), offset: offset as u64, what };
    let malformed = |error: serde_json::Error| corrupt(offset_of(text, &error), error.to_string());
    let Format { format } = serde_json::from_slice(text).map_err(malformed)?;
    if format > FORMAT {
        return Err(Error::NewerFormat { path: path.to_owned(), found: format, supported: FORMAT });
    }
    let envelope: Envelope<'_> = serde_json::from_slice(text).map_err(malformed)?;
    let body = envelope.manifest.get();
    let actual = format!("{:08x}", crc_fast::crc32_iscsi(body.as_bytes()));
    if envelope.crc32c != actual {
        return Err(corrupt(0, format!("checksum is {actual}, recorded as {}", envelope.crc32c)));
    }
    let form: ManifestForm = serde_json::from_str(body).map_err(|error| corrupt(0, error.to_string()))?;
    form.into_manifest().map_err(|what| corrupt(0, what))
}

fn offset_of(text: &[u8], error: &serde_json::Error) -> usize {
    let lines = text.split_inclusive(|byte| *byte == b'\n');
    lines.take(error.line().saturating_sub(1)).map(<[u8]>::len).sum::<usize>() + error.column().saturating_sub(1)
}

impl From<&Manifest> for ManifestForm {
    fn from(manifest: &Manifest) -> Self {
        ManifestForm {
            number: manifest.number,
            flushed_frame: manifest.flushed.0,
            flushed_sequences: manifest.flushed_sequences.iter().map(|sequence| sequence.0).collect(),
            next_table: manifest.next_table,
            next_file: manifest.next_file,
            tables: manifest.catalog.tables().map(|table| TableForm::from(&**table)).collect(),
            cold_tables: manifest.cold_tables.iter().map(|(id, cold)| (id.0, ColdTableForm::from(cold))).collect(),
            files: manifest.files.values().map(FileForm::from).collect(),
            retired: manifest.retired.iter().map(RetiredForm::from).collect(),
        }
    }
}

impl ManifestForm {
    fn into_manifest(self) -> Result<Manifest, String> {
        let mut catalog = Catalog::default();
        for table in self.tables {
            catalog.put(Arc::new(table.into()));
        }
        let shards = self.flushed_sequences.len();
        if shards > SHARDS_MAX {
            return Err(format!("{shards} shards, more than {SHARDS_MAX}"));
        }
        let mut files = BTreeMap::new();
        for file in self.files {
            let entry = FileEntry::try_from(file)?;
            let is_possible = entry.id.0 < self.next_file && usize::from(entry.shard.0) < shards;
            if !is_possible || catalog.by_id(entry.table).is_none() {
                return Err(format!("file {} has an impossible number, shard or table", entry.id.0));
            }
            if let Some(twice) = files.insert(entry.id, entry) {
                return Err(format!("file {} is named twice", twice.id.0));
            }
        }
        Ok(Manifest {
            number: self.number,
            flushed: FrameNumber(self.flushed_frame),
            flushed_sequences: self.flushed_sequences.into_iter().map(SequenceNumber).collect(),
            catalog,
            next_table: self.next_table,
            next_file: self.next_file,
            files,
            cold_tables: self.cold_tables.into_iter().map(|(id, cold)| (TableId(id), cold.into())).collect(),
            retired: self.retired.into_iter().map(Retired::from).collect(),
        })
    }
}

impl From<&Table> for TableForm {
    fn from(table: &Table) -> Self {
        TableForm {
            id: table.id.0,
            name: table.name.clone(),
            version: table.version,
            partition_key: (&table.partition_key).into(),
            sort_key: table.sort_key.as_ref().map(KeyAttributeForm::from),
            sort_key_is_time: table.sort_key_is_time,
            stream: table.stream.as_ref().map(StreamForm::from),
            created_at_us: table.created_at_us,
            billing: match table.billing {
                Billing::OnDemand => BillingForm::OnDemand,
                Billing::Provisioned { read_units, write_units } => {
                    BillingForm::Provisioned { read_units, write_units }
                }
            },
            deletion_protection: table.deletion_protection,
        }
    }
}

impl From<TableForm> for Table {
    fn from(form: TableForm) -> Self {
        Table {
            id: TableId(form.id),
            name: form.name,
            version: form.version,
            partition_key: form.partition_key.into(),
            sort_key: form.sort_key.map(KeyAttribute::from),
            sort_key_is_time: form.sort_key_is_time,
            stream: form.stream.map(Stream::from),
            created_at_us: form.created_at_us,
            billing: match form.billing {
                BillingForm::OnDemand => Billing::OnDemand,
                BillingForm::Provisioned { read_units, write_units } => {
                    Billing::Provisioned { read_units, write_units }
                }
            },
            deletion_protection: form.deletion_protection,
        }
    }
}

impl From<&KeyAttribute> for KeyAttributeForm {
    fn from(key: &KeyAttribute) -> Self {
        let key_type = match key.key_type {
            KeyType::S => KeyTypeForm::S,
            KeyType::N => KeyTypeForm::N,
            KeyType::B => KeyTypeForm::B,
        };
        KeyAttributeForm { name: key.name.clone(), key_type }
    }
}

impl From<KeyAttributeForm> for KeyAttribute {
    fn from(form: KeyAttributeForm) -> Self {
        let key_type = match form.key_type {
            KeyTypeForm::S => KeyType::S,
            KeyTypeForm::N => KeyType::N,
            KeyTypeForm::B => KeyType::B,
        };
        KeyAttribute { name: form.name, key_type }
    }
}

impl From<&Stream> for StreamForm {
    fn from(stream: &Stream) -> Self {
        let view = match stream.view {
            StreamView::KeysOnly => StreamViewForm::KeysOnly,
            StreamView::NewImage => StreamViewForm::NewImage,
            StreamView::OldImage => StreamViewForm::OldImage,
            StreamView::NewAndOldImages => StreamViewForm::NewAndOldImages,
        };
        StreamForm { view, enabled_at_us: stream.enabled_at_us }
    }
}

impl From<StreamForm> for Stream {
    fn from(form: StreamForm) -> Self {
        let view = match form.view {
            StreamViewForm::KeysOnly => StreamView::KeysOnly,
            StreamViewForm::NewImage => StreamView::NewImage,
            StreamViewForm::OldImage => StreamView::OldImage,
            StreamViewForm::NewAndOldImages => StreamView::NewAndOldImages,
        };
        Stream { view, enabled_at_us: form.enabled_at_us }
    }
}

impl From<&ColdTable> for ColdTableForm {
    fn from(cold: &ColdTable) -> Self {
        ColdTableForm { generation: cold.generation, columns: cold.types.clone() }
    }
}

impl From<ColdTableForm> for ColdTable {
    fn from(form: ColdTableForm) -> Self {
        ColdTable { generation: form.generation, types: form.columns }
    }
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
    fn to_key(&self) -> Option<Key> {
        Some(Key { partition: from_hex(&self.partition)?, sort: from_hex(&self.sort)? })
    }
}

impl From<&Retired> for RetiredForm {
    fn from(retired: &Retired) -> Self {
        let Retired { table, generation, retired_at_us } = *retired;
        RetiredForm { table: table.0, generation, retired_at_us }
    }
}

impl From<RetiredForm> for Retired {
    fn from(form: RetiredForm) -> Self {
        let RetiredForm { table, generation, retired_at_us } = form;
        Retired { table: TableId(table), generation, retired_at_us }
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
