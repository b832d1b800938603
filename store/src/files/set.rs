//! The cold files of one view.

use std::{collections::BTreeMap, sync::Arc};

use item::{Key, ShardId, TableId};

use super::{ColdFile, FileId, key_blocks::KeyBlocks};
use crate::{Error, env::Disk, manifest::Manifest};

/// The files of one view: per (table, shard), oldest first, so that a later file's row of a key is newer. First come the
/// files of the table's generation, by key and disjoint; then runs in the order of their flushes. Immutable; cloning
/// shares the files.
#[derive(Clone, Default)]
pub struct FileSet {
    by_table: BTreeMap<(TableId, ShardId), Vec<Arc<ColdFile>>>,
    /// Keys of them that were read.
    key_blocks: KeyBlocks,
}

impl FileSet {
    /// Opens every file that `manifest` names and that has rows.
    pub fn open(disk: &dyn Disk, manifest: &Manifest) -> Result<FileSet, Error> {
        let with_rows = manifest.files.values().filter(|entry| entry.rows > 0);
        let opened = with_rows.map(|entry| ColdFile::open(disk, entry).map(Arc::new)).collect::<Result<Vec<_>, _>>()?;
        Ok(FileSet::default().edited(manifest, opened))
    }

    /// The same files; so many bytes of keys that are read are kept, also by the sets that are made of it.
    #[must_use]
    pub fn keeping_keys(mut self, bytes_max: usize) -> FileSet {
        self.key_blocks = KeyBlocks::new(bytes_max);
        self
    }

    /// The files that `manifest` names: those of this set, and `added`. Files in neither are left out.
    pub fn edited(&self, manifest: &Manifest, added: Vec<Arc<ColdFile>>) -> FileSet {
        let known: BTreeMap<FileId, &Arc<ColdFile>> =
            self.by_table.values().flatten().chain(&added).map(|file| (file.id, file)).collect();
        let mut set = FileSet { by_table: BTreeMap::new(), key_blocks: self.key_blocks.clone() };
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

    /// Files of the key's shard that may have it by their range of keys, newest first.
    pub(crate) fn around<'a>(
        &'a self,
        table: TableId,
        shard: ShardId,
        key: &'a Key,
    ) -> impl Iterator<Item = &'a Arc<ColdFile>> {
        self.files(table, shard).iter().rev().filter(|file| file.min_key <= *key && *key <= file.max_key)
    }

    /// Is the key in none of those files, as far as that is known without a disk?
    pub(crate) fn is_known_absent(&self, table: TableId, shard: ShardId, key: &Key) -> bool {
        self.around(table, shard, key).all(|file| file.has(key, &self.key_blocks) == Some(false))
    }

    /// Keys of the files that were read.
    pub(crate) fn key_blocks(&self) -> &KeyBlocks {
        &self.key_blocks
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
