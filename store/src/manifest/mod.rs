//! The manifest: what is flushed. Numbered files, each complete, each put only if absent.
//!
//! A [`Manifest`] is a value. [`Manifest::apply`] makes the next one from an [`Edit`]; [`Manifest::publish`] puts it on the
//! disk, whole or not at all; [`Manifest::load`] finds the newest. Who may publish, and when readers see it, is the
//! store's business.

mod current;
mod form;
mod publish;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

pub(crate) use current::CurrentManifest;
use item::{Key, SequenceNumber, ShardId, Table, TableId};

use crate::{
    Catalog,
    files::{ColumnTypes, FileId},
    log::FrameNumber,
};

/// What is flushed, at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Manifest {
    /// Counts commits from 1.
    pub number: u64,
    /// Every frame up to and including this one is in the files named here.
    pub flushed: FrameNumber,
    /// Per shard, the number of its last event in those frames.
    pub flushed_sequences: Vec<SequenceNumber>,
    /// Tables after those frames.
    pub catalog: Catalog,
    /// The next table number to give out, as of those frames.
    pub next_table: u32,
    /// The next file number to give out.
    pub next_file: u64,
    /// Every cold file in use, by number.
    pub files: BTreeMap<FileId, FileEntry>,
    /// What is known of the cold files of each table that has, or had, any.
    pub cold_tables: BTreeMap<TableId, ColdTable>,
    /// Generations that are no longer in use, until their directories are removed.
    pub retired: BTreeSet<Retired>,
}

/// One cold file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEntry {
    /// Its number.
    pub id: FileId,
    /// The table whose rows it holds.
    pub table: TableId,
    /// The shard whose rows it holds.
    pub shard: ShardId,
    /// Where it is.
    pub place: Place,
    /// How many rows it has; 0 only in a generation of a table without items.
    pub rows: u64,
    /// Its length.
    pub bytes: u64,
    /// CRC-32C of the whole file.
    pub crc32c: u32,
    /// Attribute values that no column could hold, kept in the residual column.
    pub residual_values: u64,
    /// Least key; empty if there are no rows.
    pub min_key: Key,
    /// Greatest key; empty if there are no rows.
    pub max_key: Key,
    /// Least sequence number of a row.
    pub min_sequence: SequenceNumber,
    /// Greatest sequence number of a row.
    pub max_sequence: SequenceNumber,
    /// When it was written, microseconds since 1970.
    pub written_at_us: u64,
}

/// Where a cold file lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In a generation of its table, under `cold/generations/<table id>-<generation>/`: merged, no tombstones.
    Generation(u64),
    /// One flush, under `cold/runs/`: may hold tombstones, and rows that supersede older files' rows.
    Run,
}

/// What is known of one table's cold files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColdTable {
    /// The published generation's number; 0 before the first.
    pub generation: u64,
    /// Column types that hold every row flushed so far. They only widen.
    pub types: ColumnTypes,
    /// Of an index that is being filled: what is next.
    pub fill: Fill,
}

/// How far the items that are older than an index have been made entries of it: those of the shards before `shard`, and of
/// that one up to the key `after`. All, when there is no such shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fill {
    /// The shard that is next.
    pub shard: ShardId,
    /// The last key of it that is done.
    pub after: Option<Key>,
}

/// A generation that is no longer in use.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Retired {
    /// Its table.
    pub table: TableId,
    /// Its number.
    pub generation: u64,
    /// Since when, microseconds since 1970.
    pub retired_at_us: u64,
}

/// What a flush moves forward.
#[derive(Clone, Debug, PartialEq)]
pub struct Flushed {
    /// Every frame up to and including this one is in files once the edit is applied.
    pub frame: FrameNumber,
    /// Per shard, the number of its last event in those frames.
    pub sequences: Vec<SequenceNumber>,
    /// Tables after those frames. Files of tables that are not in it are dropped.
    pub catalog: Catalog,
    /// The next table number after those frames.
    pub next_table: u32,
}

/// A change of the manifest: a flush, a merge, or a collection.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Edit {
    /// When it is made, microseconds since 1970; replaced and dropped generations retire then.
    pub now_us: u64,
    /// Set by a flush.
    pub flushed: Option<Flushed>,
    /// New files.
    pub added: Vec<FileEntry>,
    /// Files that the new ones replace.
    pub removed: Vec<FileId>,
    /// Column types after this edit, of tables whose types widened.
    pub types: BTreeMap<TableId, ColumnTypes>,
    /// Tables with a new generation, and its number.
    pub generations: BTreeMap<TableId, u64>,
    /// Indexes that are being filled, and how far they are with the added files.
    pub fills: BTreeMap<TableId, Fill>,
    /// Retired generations whose directories are gone.
    pub collected: Vec<Retired>,
}

impl Manifest {
    /// The manifest after `edit`. Pure; the result is numbered one higher.
    pub fn apply(&self, edit: &Edit) -> Manifest {
        let mut next = self.clone();
        next.number += 1;
        for id in &edit.removed {
            next.files.remove(id);
        }
        for entry in &edit.added {
            next.next_file = next.next_file.max(entry.id.0 + 1);
            next.files.insert(entry.id, entry.clone());
        }
        for (table, types) in &edit.types {
            next.cold_tables.entry(*table).or_default().types = types.clone();
        }
        for (table, generation) in &edit.generations {
            let cold = next.cold_tables.entry(*table).or_default();
            let before = std::mem::replace(&mut cold.generation, *generation);
            next.retire(*table, before, edit.now_us);
        }
        for (index, fill) in &edit.fills {
            next.cold_tables.entry(*index).or_default().fill = fill.clone();
        }
        for retired in &edit.collected {
            next.retired.remove(retired);
        }
        if let Some(flushed) = &edit.flushed {
            next.flushed = flushed.frame;
            next.flushed_sequences = flushed.sequences.clone();
            next.catalog = flushed.catalog.clone();
            next.next_table = flushed.next_table;
        }
        next.drop_missing_tables(edit.now_us);
        next
    }

    /// The column types of a table, or of an index's entries: those that were widened so far, else those of its key.
    pub fn types_of(&self, table: &Table) -> ColumnTypes {
        let widened = self.cold_tables.get(&table.id).map(|cold| &cold.types);
        let widened = widened.filter(|types| !types.columns().is_empty());
        widened.cloned().unwrap_or_else(|| ColumnTypes::of_table(table))
    }

    /// All files: by table, then the generation's by shard and key, then runs in the order of their flushes.
    pub fn files_in_order(&self) -> Vec<&FileEntry> {
        let mut files: Vec<&FileEntry> = self.files.values().collect();
        files.sort_by(|a, b| {
            let in_place = match (a.place, b.place) {
                (Place::Generation(_), Place::Generation(_)) => (a.shard, &a.min_key).cmp(&(b.shard, &b.min_key)),
                (Place::Run, Place::Run) => a.id.cmp(&b.id),
                (a, b) => a.cmp(&b),
            };
            a.table.cmp(&b.table).then(in_place)
        });
        files
    }

    fn retire(&mut self, table: TableId, generation: u64, now_us: u64) {
        if generation > 0 {
            self.retired.insert(Retired { table, generation, retired_at_us: now_us });
        }
    }

    /// A table may have been dropped while its files were merged.
    fn drop_missing_tables(&mut self, now_us: u64) {
        let catalog = self.catalog.clone();
        self.files.retain(|_, entry| catalog.rows_of(entry.table).is_some());
        let gone: Vec<TableId> =
            self.cold_tables.keys().filter(|id| catalog.rows_of(**id).is_none()).copied().collect();
        for table in gone {
            if let Some(cold) = self.cold_tables.remove(&table) {
                self.retire(table, cold.generation, now_us);
            }
        }
    }
}

impl FileEntry {
    /// Its path, relative to the data directory.
    pub fn path(&self) -> String {
        let FileEntry { table, shard, id, .. } = self;
        let name = format!("{:05}-{:020}.parquet", shard.0, id.0);
        match self.place {
            Place::Generation(generation) => format!("{}/{name}", generation_dir(*table, generation)),
            Place::Run => format!("{RUNS_DIR}/{}-{name}", table.0),
        }
    }
}

/// Where run files lie.
pub const RUNS_DIR: &str = "cold/runs";
/// Where generations lie.
pub const GENERATIONS_DIR: &str = "cold/generations";
/// Where readers look: one symlink a table, named as the table.
pub const TABLES_DIR: &str = "cold/tables";

/// The directory of one generation, relative to the data directory.
pub fn generation_dir(table: TableId, generation: u64) -> String {
    format!("{GENERATIONS_DIR}/{}-{generation}", table.0)
}
