//! Cold files: Parquet, read back into rows exactly as they were written.
//!
//! [`ColumnTypes`] say what columns a table has. A [`FileWriter`] takes rows in key order and makes a file; a
//! [`ColdFile`] finds rows in it by key, through the [`crate::cache::Cache`]. Every file tells its own columns, key
//! attributes and key index in its footer, so reading needs no manifest. A [`FileSet`] is all files of one view. A
//! [`ColumnReader`] reads rows as [`Columns`], which a writer takes as they are: merging makes no items.

mod bloom;
mod cold_file;
mod columns;
mod copy;
mod decimal;
mod decode;
mod encode;
mod footer;
mod gather;
pub(crate) mod key_blocks;
mod keys;
mod layout;
mod names;
mod residual;
mod set;
mod sink;
#[cfg(test)]
mod tests;
mod types;
mod writer;

use item::{Image, Item, Key, SequenceNumber};

pub use cold_file::ColdFile;
pub use columns::{ColumnReader, Columns};
pub use copy::FileCopy;
pub use names::{DELETED_COLUMN, RESIDUAL_COLUMN, SEQUENCE_COLUMN};
pub use set::FileSet;
pub use types::{COLUMNS_MAX, Column, ColumnType, ColumnTypes, TimeUnit};
pub use writer::{FileWriter, NewFile};

/// A data file's number. Never reused within a data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct FileId(pub u64);

/// The newest state of one key in one place (memtable or file).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The key.
    pub key: Key,
    /// The event that made this state.
    pub sequence: SequenceNumber,
    /// The item; none if the event removed it.
    pub image: Option<Image>,
}

/// A row with its item decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemRow {
    /// The key.
    pub key: Key,
    /// The event that made this state.
    pub sequence: SequenceNumber,
    /// The item; none if the event removed it.
    pub item: Option<Item>,
}

/// Keys `from <= key < until`, by (partition, sort); none means unbounded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyRange {
    /// Least key, included.
    pub from: Option<Key>,
    /// First key past the range.
    pub until: Option<Key>,
}
