//! Finding rows in one file.

use item::{Key, SequenceNumber, ShardId, TableId};

use super::{FileId, ItemRow, KeyRange, Row};
use crate::{Direction, Error, cache::Cache, env::Disk, manifest::FileEntry};

/// An open cold file with at least one row. It stays readable while anyone holds it, even after it was retired and
/// unlinked.
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
    /// Greatest sequence number in it.
    pub max_sequence: SequenceNumber,
    /// How many rows it has, removed ones included.
    pub rows: u64,
    /// Its length.
    pub bytes: u64,
}

impl ColdFile {
    /// Opens the file of `entry` and reads its footer.
    pub fn open(disk: &dyn Disk, entry: &FileEntry) -> Result<ColdFile, Error> {
        let _ = (disk, entry);
        todo!()
    }

    /// The row of `key`, if the file has one.
    pub async fn get(&self, key: &Key, cache: &Cache) -> Result<Option<Row>, Error> {
        let _ = (key, cache);
        todo!()
    }

    /// The first rows of `range` in `direction`, at most `rows_max`; fewer only if the range has no more.
    pub async fn scan(&self, range: &KeyRange, direction: Direction, rows_max: usize, cache: &Cache) -> Result<Vec<Row>, Error> {
        let rows = self.scan_items(range, direction, rows_max, cache).await?;
        Ok(rows.into_iter().map(Row::from).collect())
    }

    /// As [`ColdFile::scan`], with items decoded.
    pub async fn scan_items(
        &self,
        range: &KeyRange,
        direction: Direction,
        rows_max: usize,
        cache: &Cache,
    ) -> Result<Vec<ItemRow>, Error> {
        let _ = (range, direction, rows_max, cache);
        todo!()
    }
}

impl From<ItemRow> for Row {
    fn from(row: ItemRow) -> Row {
        let ItemRow { key, sequence, item } = row;
        Row { key, sequence, image: item.as_ref().map(item::Image::encode) }
    }
}
