//! Cold files: Parquet, read back into rows exactly as they were written.

use std::sync::Arc;

use bytes::Bytes;
use item::{Image, Key, SequenceNumber, ShardId, TableId};

use crate::{Direction, Error, cache::Cache};

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

/// Keys `from <= key < until`, by (partition, sort); none means unbounded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyRange {
    /// Least key, included.
    pub from: Option<Key>,
    /// First key past the range.
    pub until: Option<Key>,
}

/// An open cold file. It stays readable while anyone holds it, even after it was retired and unlinked.
pub struct ColdFile {
    /// Its number.
    pub id: FileId,
    /// The table whose rows it holds.
    pub table: TableId,
    /// The shard whose rows it holds.
    pub shard: ShardId,
    /// Least key in it.
    pub min_key: Key,
    /// Greatest key in it.
    pub max_key: Key,
}

impl ColdFile {
    /// The row of `key`, if the file has one.
    pub async fn get(&self, key: &Key, cache: &Cache) -> Result<Option<Row>, Error> {
        let _ = (key, cache);
        todo!()
    }

    /// The first rows of `range` in `direction`, at most `rows_max`; fewer only if the range has no more.
    pub async fn scan(&self, range: &KeyRange, direction: Direction, rows_max: usize, cache: &Cache) -> Result<Vec<Row>, Error> {
        let _ = (range, direction, rows_max, cache);
        todo!()
    }
}

/// The files of one view: per (table, shard), oldest first. A later file's row of a key is newer.
#[derive(Clone, Default)]
pub struct FileSet {
    by_table: std::collections::BTreeMap<(TableId, ShardId), Vec<Arc<ColdFile>>>,
}

impl FileSet {
    /// Files of a table in a shard, oldest first.
    pub fn files(&self, table: TableId, shard: ShardId) -> &[Arc<ColdFile>] {
        self.by_table.get(&(table, shard)).map_or(&[], Vec::as_slice)
    }

    /// Adds a file that is newer than all others of its table and shard.
    pub fn push(&mut self, file: Arc<ColdFile>) {
        self.by_table.entry((file.table, file.shard)).or_default().push(file);
    }
}

/// Placeholder so that the module compiles while its parts are written.
#[doc(hidden)]
pub type Encoded = Bytes;
