//! What a file says of itself in the key-value metadata of its Parquet footer.
//!
//! ```text
//! thalweg.format     2; 1 before there were columns of maps and of doubles
//! thalweg.columns    JSON: the column types, in the file's order
//! thalweg.key        JSON: the key attributes and their types, those of the partition key first, then those of the sort key
//! thalweg.partition  how many of them make up the partition key, if more than one
//! thalweg.residual   how many values are in the residual column
//! thalweg.index      Base64 of: for each block of 1024 rows, the key of its first row, as
//!                    partition length: u32 LE | partition | sort length: u32 LE | sort
//! ```
//! Other readers ignore it. The index is exact, so finding a row relies on no statistics.

use std::{collections::BTreeMap, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::{Buf, Bytes};
use item::{Key, KeyAttribute, KeyType, Table};
use parquet::file::metadata::{KeyValue, ParquetMetaData};
use serde::{Deserialize, Serialize};

use super::types::ColumnTypes;
use crate::Error;

/// Rows of one block of the key index.
pub(super) const BLOCK_ROWS: usize = 1024;
/// The newest format that this version reads, and the one it writes.
const FORMAT: u32 = 2;

/// What a file says of itself.
pub(super) struct Footer {
    pub(super) types: Arc<ColumnTypes>,
    pub(super) key: KeyAttributes,
    pub(super) residual_values: u64,
    /// Key of the first row of each block of [`BLOCK_ROWS`].
    pub(super) first_keys: Vec<Key>,
    /// Is there a column that marks removed keys?
    pub(super) with_deleted: bool,
}

/// The attributes that make up a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyAttributes {
    /// At least one. One after another, as those of the sort key.
    pub(super) partition: Vec<KeyAttribute>,
    pub(super) sort: Vec<KeyAttribute>,
}

impl KeyAttributes {
    pub(super) fn of_table(table: &Table) -> KeyAttributes {
        KeyAttributes {
            partition: table.partition_attributes().cloned().collect(),
            sort: table.sort_attributes().chain(&table.item_key).cloned().collect(),
        }
    }

    pub(super) fn attributes(&self) -> impl Iterator<Item = &KeyAttribute> {
        self.partition.iter().chain(&self.sort)
    }
}

#[derive(Serialize, Deserialize)]
struct KeyForm {
    name: String,
    #[serde(rename = "type")]
    key_type: char,
}

impl Footer {
    /// Memory taken by the index of keys, in bytes, about.
    pub(super) fn memory_bytes(&self) -> usize {
        self.first_keys.iter().map(|key| size_of::<Key>() + key.partition.len() + key.sort.len()).sum()
    }

    /// The metadata entries to write.
    pub(super) fn to_metadata(&self) -> Vec<KeyValue> {
        let key: Vec<KeyForm> = self.key.attributes().map(KeyForm::from).collect();
        let entry = |name: &str, value: String| KeyValue::new(name.to_owned(), value);
        let mut entries = vec![
            entry("thalweg.format", FORMAT.to_string()),
            entry("thalweg.columns", json(&*self.types)),
            entry("thalweg.key", json(&key)),
            entry("thalweg.residual", self.residual_values.to_string()),
            entry("thalweg.index", index_text(&self.first_keys)),
        ];
        if self.key.partition.len() > 1 {
            entries.push(entry("thalweg.partition", self.key.partition.len().to_string()));
        }
        entries
    }

    /// Reads the entries of the file at `path`.
    pub(super) fn from_metadata(metadata: &ParquetMetaData, path: &str) -> Result<Footer, Error> {
        let corrupt = |what: String| Error::Corrupt { path: path.to_owned(), offset: 0, what };
        let entries: BTreeMap<&str, &str> = (metadata.file_metadata().key_value_metadata().into_iter().flatten())
            .filter_map(|entry| Some((entry.key.as_str(), entry.value.as_deref()?)))
            .collect();
        let get = |name: &str| entries.get(name).copied().ok_or_else(|| corrupt(format!("the footer has no {name}")));
        let malformed = |name: &'static str| move || format!("the footer's {name} is malformed");
        let format: u32 = get("thalweg.format")?.parse().map_err(|_| corrupt(malformed("thalweg.format")()))?;
        if format > FORMAT {
            return Err(Error::NewerFormat { path: path.to_owned(), found: format, supported: FORMAT });
        }
        let types: ColumnTypes =
            serde_json::from_str(get("thalweg.columns")?).map_err(|_| corrupt(malformed("thalweg.columns")()))?;
        let key: Vec<KeyForm> =
            serde_json::from_str(get("thalweg.key")?).map_err(|_| corrupt(malformed("thalweg.key")()))?;
        let key = key.into_iter().map(KeyAttribute::try_from).collect::<Result<Vec<_>, ()>>();
        let mut partition = key.map_err(|()| corrupt(malformed("thalweg.key")()))?;
        let partition_count = entries.get("thalweg.partition").map_or(Ok(1), |count| count.parse());
        let sort = match partition_count {
            Ok(count) if count >= 1 && count <= partition.len() => partition.split_off(count),
            _ => return Err(corrupt(malformed("thalweg.partition")())),
        };
        let residual_values = get("thalweg.residual")?.parse().map_err(|_| corrupt(malformed("thalweg.residual")()))?;
        let first_keys = index_keys(get("thalweg.index")?).ok_or_else(|| corrupt(malformed("thalweg.index")()))?;
        let rows = usize::try_from(metadata.file_metadata().num_rows()).unwrap_or_default();
        if first_keys.len() != rows.div_ceil(BLOCK_ROWS) {
            return Err(corrupt(format!("{rows} rows with {} blocks in the key index", first_keys.len())));
        }
        let columns = metadata.file_metadata().schema_descr().root_schema().get_fields().len();
        let with_deleted = match columns.checked_sub(types.columns().len()) {
            Some(2) => false,
            Some(3) => true,
            _ => return Err(corrupt(format!("{columns} columns, {} of them attributes", types.columns().len()))),
        };
        Ok(Footer {
            types: Arc::new(types),
            key: KeyAttributes { partition, sort },
            residual_values,
            first_keys,
            with_deleted,
        })
    }
}

impl From<&KeyAttribute> for KeyForm {
    fn from(key: &KeyAttribute) -> Self {
        let key_type = match key.key_type {
            KeyType::S => 'S',
            KeyType::N => 'N',
            KeyType::B => 'B',
        };
        KeyForm { name: key.name.clone(), key_type }
    }
}

impl TryFrom<KeyForm> for KeyAttribute {
    type Error = ();

    fn try_from(form: KeyForm) -> Result<Self, ()> {
        let key_type = match form.key_type {
            'S' => KeyType::S,
            'N' => KeyType::N,
            'B' => KeyType::B,
            _ => return Err(()),
        };
        Ok(KeyAttribute { name: form.name, key_type })
    }
}

fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("strings and numbers serialize")
}

fn index_text(keys: &[Key]) -> String {
    let mut bytes = Vec::new();
    for part in keys.iter().flat_map(|key| [&key.partition, &key.sort]) {
        bytes.extend_from_slice(&u32::try_from(part.len()).expect("keys have a few KB").to_le_bytes());
        bytes.extend_from_slice(part);
    }
    STANDARD.encode(bytes)
}

fn index_keys(text: &str) -> Option<Vec<Key>> {
    let mut bytes = Bytes::from(STANDARD.decode(text).ok()?);
    let mut keys = Vec::new();
    while bytes.has_remaining() {
        keys.push(Key { partition: index_part(&mut bytes)?, sort: index_part(&mut bytes)? });
    }
    Some(keys)
}

fn index_part(bytes: &mut Bytes) -> Option<Bytes> {
    let length = usize::try_from(bytes.try_get_u32_le().ok()?).ok()?;
    (length <= bytes.len()).then(|| bytes.split_to(length))
}
