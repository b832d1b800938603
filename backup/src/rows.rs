//! The items of a base, some at a time.

use std::sync::Arc;

use item::{Key, ShardId, Table};
use store::{Error, env::Disk, files::Row, manifest::Manifest, view::View};

/// Bytes and rows read at a time, about.
const STEP_BYTES: u64 = 4 << 20;
const STEP_ROWS_MIN: u64 = 16;
const STEP_ROWS_MAX: u64 = 1024;

/// Reads the items of a base, by shard and key. What is read at a time is bounded. Its files stay readable while it lives, even
/// if the base is removed.
pub struct Rows {
    view: View,
    table: Arc<Table>,
}

/// A place between two items: all of the shards before `shard`, and of that one those up to the key `after`, are done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// The shard that is next.
    pub shard: ShardId,
    /// The last key of it that is done.
    pub after: Option<Key>,
}

impl Rows {
    pub(crate) fn open(tree: &dyn Disk, manifest: &Manifest, table: Arc<Table>) -> Result<Rows, Error> {
        Ok(Rows { view: View::of_files(tree, manifest)?, table })
    }

    /// The items after `from`, and where to go on; none at the end. Also no items does not mean the end. Blocks on the disk.
    pub fn next(&self, from: &Cursor) -> Result<Option<(Vec<Row>, Cursor)>, Error> {
        if from.shard.0 >= self.view.shards() {
            return Ok(None);
        }
        // As many rows are read of each file as are wanted of all, so what is read at a time is all of theirs.
        let row_bytes: u64 = self.view.files.files(self.table.id, from.shard).iter().map(|file| file.row_bytes()).sum();
        let rows_max = (STEP_BYTES / row_bytes.max(1)).clamp(STEP_ROWS_MIN, STEP_ROWS_MAX) as usize;
        let mut rows = self.view.rows(self.table.id, from.shard, from.after.as_ref(), rows_max)?;
        let next = match rows.last() {
            Some(last) if rows.len() == rows_max => Cursor { shard: from.shard, after: Some(last.key.clone()) },
            _ => Cursor { shard: ShardId(from.shard.0 + 1), after: None },
        };
        rows.retain(|row| row.image.is_some());
        Ok(Some((rows, next)))
    }
}
