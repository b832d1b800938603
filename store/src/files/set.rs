//! The cold files of one view.

use std::{collections::BTreeMap, sync::Arc};

use item::{ShardId, TableId};

use super::{ColdFile, FileId};
use crate::{Error, env::Disk, manifest::Manifest};

/// The files of one view: per (table, shard), oldest first, so that a later file's row of a key is newer. First come the
/// files of the table's generation, by key and disjoint; then runs in the order of their flushes. Immutable; cloning
/// shares the files.
#[derive(Clone, Default)]
pub struct FileSet {
    by_table: BTreeMap<(TableId, ShardId), Vec<Arc<ColdFile>>>,
}

impl FileSet {
    /// Opens every file that `manifest` names and that has rows.
    pub fn open(disk: &dyn Disk, manifest: &Manifest) -> Result<FileSet, Error> {
        let with_rows = manifest.files.values().filter(|entry| entry.rows > 0);
        let opened = with_rows.map(|entry| ColdFile::open(disk, entry).map(Arc::new)).collect::<Result<Vec<_>, _>>()?;
        Ok(FileSet::default().edited(manifest, opened))
    }

    /// The files that `manifest` names: those of this set, and `added`. Files in neither are left out.
    pub fn edited(&self, manifest: &Manifest, added: Vec<Arc<ColdFile>>) -> FileSet {
        let known: BTreeMap<FileId, &Arc<ColdFile>> =
            self.by_table.values().flatten().chain(&added).map(|file| (file.id, file)).collect();
        let mut set = FileSet::default();
        for entry in manifest.files_in_order() {
            if let Some(file) = known.get(&entry.id) {
                set.by_table.entry((entry.table, entry.shard)).or_default().push(Arc::clone(file));
            }
        }
        set
    }

    /// Files of a table in a shard, oldest first.
    pub fn files(&self, table: TableId, shard: ShardId) -> &[Arc<ColdFile>] {
        self.by_table.get(&(table, shard)).map_or(&[], Vec::as_slice)
    }

    /// Memory that the files take, in bytes, about: their footers.
    pub fn memory_bytes(&self) -> usize {
        self.by_table.values().flatten().map(|file| file.memory_bytes()).sum()
    }

    /// Files of a table, by shard, oldest first in each.
    pub fn table_files(&self, table: TableId) -> impl Iterator<Item = &Arc<ColdFile>> {
        let shards = (table, ShardId(0))..=(table, ShardId(u16::MAX));
        self.by_table.range(shards).flat_map(|(_, files)| files)
    }
}
