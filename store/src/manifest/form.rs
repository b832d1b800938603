//! The manifest as JSON text, for people to read: an envelope with format and checksum around the body.
//!
//! ```text
//! {"format": 2, "crc32c": "9ae0daaf", "manifest":
//! { ... }}
//! ```
//! Format 1 has no columns of maps and of doubles. The checksum covers the bytes of the body exactly as they stand in the file.

mod file;
mod index;
mod settings;
mod table;

use std::{collections::BTreeMap, sync::Arc};

use item::{SequenceNumber, ShardId, TableId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use self::{
    file::{FileForm, KeyForm},
    table::TableForm,
};
use super::{ColdTable, FileEntry, Fill, Manifest, Retired};
use crate::{Catalog, Error, files::ColumnTypes, log::FrameNumber};

/// The newest format that this version reads, and the one it writes.
pub(super) const FORMAT: u32 = 2;
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
struct ColdTableForm {
    generation: u64,
    columns: ColumnTypes,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fill: Option<FillForm>,
}

#[derive(Serialize, Deserialize)]
struct FillForm {
    shard: u16,
    after: Option<KeyForm>,
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
            if !is_possible || catalog.rows_of(entry.table).is_none() {
                return Err(format!("file {} has an impossible number, shard or table", entry.id.0));
            }
            if let Some(twice) = files.insert(entry.id, entry) {
                return Err(format!("file {} is named twice", twice.id.0));
            }
        }
        let cold_table = |(id, cold): (u32, ColdTableForm)| Ok::<_, String>((TableId(id), cold.try_into()?));
        Ok(Manifest {
            number: self.number,
            flushed: FrameNumber(self.flushed_frame),
            flushed_sequences: self.flushed_sequences.into_iter().map(SequenceNumber).collect(),
            catalog,
            next_table: self.next_table,
            next_file: self.next_file,
            files,
            cold_tables: self.cold_tables.into_iter().map(cold_table).collect::<Result<_, _>>()?,
            retired: self.retired.into_iter().map(Retired::from).collect(),
        })
    }
}

impl From<&ColdTable> for ColdTableForm {
    fn from(cold: &ColdTable) -> Self {
        let fill = (cold.fill != Fill::default())
            .then(|| FillForm { shard: cold.fill.shard.0, after: cold.fill.after.as_ref().map(KeyForm::from) });
        ColdTableForm { generation: cold.generation, columns: cold.types.clone(), fill }
    }
}

impl TryFrom<ColdTableForm> for ColdTable {
    type Error = String;

    fn try_from(form: ColdTableForm) -> Result<Self, String> {
        let fill = |form: FillForm| -> Result<Fill, String> {
            let key = |key: KeyForm| key.to_key().ok_or_else(|| "an index is filled up to a malformed key".to_owned());
            Ok(Fill { shard: ShardId(form.shard), after: form.after.map(key).transpose()? })
        };
        let fill = form.fill.map(fill).transpose()?.unwrap_or_default();
        Ok(ColdTable { generation: form.generation, types: form.columns, fill })
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
