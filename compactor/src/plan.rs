//! What to do next: a pure function of what is flushed, what is sealed, and the time.

use std::collections::BTreeMap;

use item::{IndexStatus, ShardId, TableId};
use store::{
    Catalog,
    manifest::{Manifest, Place, Retired},
};

use crate::Config;

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Write the oldest sealed set to run files.
    Flush,
    /// Write a new generation of a table, or of an index's entries, from its generation and runs.
    Merge(TableId),
    /// Make entries of an index of some of the items that are older than it.
    Fill(TableId),
    /// Let an index be read: it is filled.
    Activate(TableId),
    /// Remove the directory of a generation that nobody reads any more.
    Collect(Retired),
    /// Do what is most urgent for continuous backups. These are no part of the manifest, so [`next_task`] does not know of it.
    Protect,
}

/// The most urgent task that is due, if any: writers may wait for a flush, readers for a merge, nobody for a collection.
/// `sealed` counts sealed sets that wait. `fits` says whether there is room on the disk for so many bytes more of a table: a
/// merge takes at worst all that it reads. Tables that are not in `catalog`, the applied one, are not merged any more.
pub fn next_task(
    manifest: &Manifest,
    catalog: &Catalog,
    sealed: usize,
    fits: &dyn Fn(TableId, u64) -> bool,
    now_us: u64,
    config: &Config,
) -> Option<Task> {
    if sealed > 0 {
        return Some(Task::Flush);
    }
    let merge = due_merge(manifest, catalog, fits, now_us, config).map(Task::Merge);
    // Entries of an index take less than its table does, but nobody knows how much.
    let fill = || due_fill(manifest, catalog).filter(|task| !matches!(task, Task::Fill(index) if !fits(*index, 1)));
    merge.or_else(fill).or_else(|| due_collection(manifest, now_us, config).map(Task::Collect))
}

/// Must the memtables be sealed before an index can be filled? What fills it is every item that was there when it was added,
/// as files have it, so they must be flushed up to that.
pub fn waits_for_seal(manifest: &Manifest, catalog: &Catalog) -> bool {
    filling(catalog).any(|id| manifest.catalog.index(id).is_none())
}

/// Indexes that are being filled.
fn filling(catalog: &Catalog) -> impl Iterator<Item = TableId> {
    let filling = catalog.indexes().filter(|(_, index)| index.status == IndexStatus::Filling);
    filling.map(|(_, index)| index.id)
}

fn due_fill(manifest: &Manifest, catalog: &Catalog) -> Option<Task> {
    let id = filling(catalog).find(|id| manifest.catalog.index(*id).is_some())?;
    let next = manifest.cold_tables.get(&id).map_or(ShardId(0), |cold| cold.fill.shard);
    let is_filled = usize::from(next.0) >= manifest.flushed_sequences.len();
    Some(if is_filled { Task::Activate(id) } else { Task::Fill(id) })
}

/// Bytes of one table's files.
#[derive(Default)]
struct Sizes {
    generation_bytes: u64,
    run_bytes: u64,
    oldest_run_us: Option<u64>,
}

/// What has waited longest with its oldest run, among those whose merge is due.
fn due_merge(
    manifest: &Manifest,
    catalog: &Catalog,
    fits: &dyn Fn(TableId, u64) -> bool,
    now_us: u64,
    config: &Config,
) -> Option<TableId> {
    let mut sizes: BTreeMap<TableId, Sizes> = BTreeMap::new();
    for entry in manifest.files.values().filter(|entry| catalog.rows_of(entry.table).is_some()) {
        let sizes = sizes.entry(entry.table).or_default();
        match entry.place {
            Place::Generation(_) => sizes.generation_bytes += entry.bytes,
            Place::Run => {
                sizes.run_bytes += entry.bytes;
                let oldest = sizes.oldest_run_us.map_or(entry.written_at_us, |oldest| oldest.min(entry.written_at_us));
                sizes.oldest_run_us = Some(oldest);
            }
        }
    }
    let due = sizes.into_iter().filter_map(|(table, sizes)| {
        let oldest_run_us = sizes.oldest_run_us?;
        let is_large =
            u128::from(sizes.run_bytes) * 100 > u128::from(sizes.generation_bytes) * u128::from(config.merge_percent);
        let age_max_us = config.merge_age.as_micros()
            * (1 + u128::from(sizes.generation_bytes) / u128::from(config.merge_age_bytes.max(1)));
        let is_old = u128::from(now_us.saturating_sub(oldest_run_us)) >= age_max_us;
        let read_bytes = sizes.generation_bytes.saturating_add(sizes.run_bytes);
        ((is_large || is_old) && fits(table, read_bytes)).then_some((oldest_run_us, table))
    });
    due.min().map(|(_, table)| table)
}

fn due_collection(manifest: &Manifest, now_us: u64, config: &Config) -> Option<Retired> {
    let is_due =
        |retired: &&Retired| u128::from(now_us.saturating_sub(retired.retired_at_us)) >= config.grace.as_micros();
    manifest.retired.iter().find(is_due).cloned()
}

#[cfg(test)]
mod tests;
