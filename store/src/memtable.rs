//! Recent rows in memory, ordered by table, partition key, sort key.
//!
//! IoT keys arrive almost in order, so a partition begins as an append-only run of rows and becomes a tree only after a
//! row arrives out of order in a run that is no longer small. One writer (apply) and many readers share a lock that is
//! held for one frame or one block of rows, never across an await.

use std::{
    collections::{BTreeMap, btree_map},
    ops::Bound,
    sync::{
        PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use item::{Image, Key, SequenceNumber, TableId};

use crate::{
    Direction,
    files::{KeyRange, Row},
};

/// Rows of one shard.
#[derive(Debug, Default)]
pub struct Memtable {
    tables: RwLock<BTreeMap<TableId, TableRows>>,
    bytes: AtomicUsize,
}

/// The rows of one table.
#[derive(Debug, Default)]
struct TableRows {
    partitions: BTreeMap<Bytes, Partition>,
    /// Rows that are not removed.
    live: u64,
    /// Rows that are.
    removed: u64,
    /// Encoded bytes of their images.
    image_bytes: u64,
}

impl TableRows {
    /// Sets the state of a key; answers the bytes of memory that it takes and that it frees.
    fn insert(&mut self, key: Key, state: State) -> (usize, usize) {
        let sort_bytes = key.sort.len();
        let partition_bytes = key.partition.len();
        let image_bytes = |state: &State| state.image.as_ref().map(|image| image.bytes().len());
        let added = image_bytes(&state);
        let (partition, new_partition_bytes) = match self.partitions.entry(key.partition) {
            btree_map::Entry::Occupied(entry) => (entry.into_mut(), 0),
            btree_map::Entry::Vacant(entry) => {
                (entry.insert(Partition::Run(Vec::new())), partition_bytes + ROW_OVERHEAD_BYTES)
            }
        };
        let replaced = partition.insert(key.sort, state);
        let freed = replaced.as_ref().and_then(image_bytes);
        let was_removed = replaced.as_ref().is_some_and(|before| before.image.is_none());
        self.removed = self.removed + u64::from(added.is_none()) - u64::from(was_removed);
        self.live = self.live + u64::from(added.is_some()) - u64::from(freed.is_some());
        self.image_bytes = self.image_bytes + added.unwrap_or(0) as u64 - freed.unwrap_or(0) as u64;
        let new_row_bytes = if replaced.is_some() { 0 } else { sort_bytes + ROW_OVERHEAD_BYTES };
        (new_partition_bytes + new_row_bytes + added.unwrap_or(0), freed.unwrap_or(0))
    }
}

/// What is known of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The event that made it so.
    pub sequence: SequenceNumber,
    /// The item; none if it was removed.
    pub image: Option<Image>,
}

/// Bytes that a row takes beside its key and image: the entry, its handles and their allocations.
const ROW_OVERHEAD_BYTES: usize = 112;

/// A run that gets a row out of order becomes a tree above this many rows.
const RUN_ROWS_MAX: usize = 64;

impl Memtable {
    /// Sets the state of a key. Sequence numbers of a key must not go back.
    pub fn insert(&self, table: TableId, key: Key, state: State) {
        self.insert_all([(table, key, state)]);
    }

    /// Sets states all at once: a reader's block has all of them or none.
    pub fn insert_all(&self, states: impl IntoIterator<Item = (TableId, Key, State)>) {
        let mut tables = self.write();
        let (mut added, mut freed) = (0, 0);
        for (table, key, state) in states {
            let (more, less) = tables.entry(table).or_default().insert(key, state);
            added += more;
            freed += less;
        }
        drop(tables);
        self.bytes.fetch_add(added, Ordering::Relaxed);
        self.bytes.fetch_sub(freed, Ordering::Relaxed);
    }

    /// The state of a key, if anything is known of it here.
    pub fn get(&self, table: TableId, key: &Key) -> Option<State> {
        self.read().get(&table)?.partitions.get(&key.partition)?.get(&key.sort).cloned()
    }

    /// The greatest encoded sort key of a partition, removed rows included.
    pub fn greatest_sort(&self, table: TableId, partition: &[u8]) -> Option<Bytes> {
        self.read().get(&table)?.partitions.get(partition)?.greatest().cloned()
    }

    /// The first rows of `range` in `direction`, removed ones included, at most `rows_max`.
    pub fn scan(&self, table: TableId, range: &KeyRange, direction: Direction, rows_max: usize) -> Vec<Row> {
        let tables = self.read();
        let mut rows = Vec::new();
        let Some(in_table) = tables.get(&table) else { return rows };
        let from = range.from.as_ref();
        let until = range.until.as_ref();
        if let (Some(from), Some(until)) = (from, until)
            && from >= until
        {
            return rows;
        }
        let first = from.map_or(Bound::Unbounded, |key| Bound::Included(&key.partition));
        let last = until.map_or(Bound::Unbounded, |key| Bound::Included(&key.partition));
        let mut visit = |(partition, in_it): (&Bytes, &Partition)| {
            let sort_from = from.filter(|key| key.partition == *partition).map(|key| &key.sort);
            let sort_until = until.filter(|key| key.partition == *partition).map(|key| &key.sort);
            in_it.scan(sort_from, sort_until, direction, &mut |sort, state| {
                rows.push(Row {
                    key: Key { partition: partition.clone(), sort: sort.clone() },
                    sequence: state.sequence,
                    image: state.image.clone(),
                });
                rows.len() < rows_max
            })
        };
        let inside = in_table.partitions.range::<Bytes, _>((first, last));
        // `all` stops at the first partition that filled the block.
        match direction {
            Direction::Forward => inside.into_iter().all(&mut visit),
            Direction::Backward => inside.rev().all(&mut visit),
        };
        rows
    }

    /// Tables that have rows here.
    pub fn tables(&self) -> Vec<TableId> {
        self.read().keys().copied().collect()
    }

    /// All rows of a table, by key, removed ones included.
    pub fn rows(&self, table: TableId) -> Vec<Row> {
        self.scan(table, &KeyRange::default(), Direction::Forward, usize::MAX)
    }

    /// Live rows of a table here, and the bytes of their encodings.
    pub fn size(&self, table: TableId) -> (u64, u64) {
        self.read().get(&table).map_or((0, 0), |rows| (rows.live, rows.image_bytes))
    }

    /// Does it have rows of a table that are removed?
    pub fn has_removed(&self, table: TableId) -> bool {
        self.read().get(&table).is_some_and(|rows| rows.removed > 0)
    }

    /// Forgets the rows of a table. Their memory still counts until this memtable goes.
    pub fn remove_table(&self, table: TableId) {
        self.write().remove(&table);
    }

    /// Memory taken, approximately, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<TableId, TableRows>> {
        // No code panics while it holds this lock in a half-done state.
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<TableId, TableRows>> {
        self.tables.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The rows of one partition key, by encoded sort key.
#[derive(Debug)]
enum Partition {
    /// Sorted; made by appending.
    Run(Vec<(Bytes, State)>),
    /// Made from a run when a row came out of order.
    Tree(BTreeMap<Bytes, State>),
}

impl Partition {
    /// Sets a row; answers the state it replaces.
    fn insert(&mut self, sort: Bytes, state: State) -> Option<State> {
        let run = match self {
            Partition::Tree(tree) => return tree.insert(sort, state),
            Partition::Run(run) => run,
        };
        if run.last().is_none_or(|(last, _)| *last < sort) {
            run.push((sort, state));
            return None;
        }
        match run.binary_search_by(|(other, _)| other.cmp(&sort)) {
            Ok(at) => Some(std::mem::replace(&mut run[at].1, state)),
            Err(at) if run.len() <= RUN_ROWS_MAX => {
                run.insert(at, (sort, state));
                None
            }
            Err(_) => {
                let mut tree: BTreeMap<_, _> = std::mem::take(run).into_iter().collect();
                tree.insert(sort, state);
                *self = Partition::Tree(tree);
                None
            }
        }
    }

    fn get(&self, sort: &[u8]) -> Option<&State> {
        match self {
            Partition::Run(run) => {
                run.binary_search_by(|(other, _)| other.as_ref().cmp(sort)).ok().map(|at| &run[at].1)
            }
            Partition::Tree(tree) => tree.get(sort),
        }
    }

    fn greatest(&self) -> Option<&Bytes> {
        match self {
            Partition::Run(run) => run.last().map(|(sort, _)| sort),
            Partition::Tree(tree) => tree.last_key_value().map(|(sort, _)| sort),
        }
    }

    /// Visits rows with `from <= sort < until` in `direction` until `visit` answers false; answers its last word.
    fn scan(
        &self,
        from: Option<&Bytes>,
        until: Option<&Bytes>,
        direction: Direction,
        visit: &mut dyn FnMut(&Bytes, &State) -> bool,
    ) -> bool {
        match self {
            Partition::Run(run) => {
                let start = from.map_or(0, |from| run.partition_point(|(sort, _)| sort < from));
                let end = until.map_or(run.len(), |until| run.partition_point(|(sort, _)| sort < until));
                let inside = run.get(start..end).unwrap_or(&[]).iter();
                match direction {
                    Direction::Forward => inside.into_iter().all(|(sort, state)| visit(sort, state)),
                    Direction::Backward => inside.rev().all(|(sort, state)| visit(sort, state)),
                }
            }
            Partition::Tree(tree) => {
                let start = from.map_or(Bound::Unbounded, Bound::Included);
                let end = until.map_or(Bound::Unbounded, Bound::Excluded);
                if let (Some(from), Some(until)) = (from, until)
                    && from >= until
                {
                    return true;
                }
                let inside = tree.range::<Bytes, _>((start, end));
                match direction {
                    Direction::Forward => inside.into_iter().all(|(sort, state)| visit(sort, state)),
                    Direction::Backward => inside.rev().all(|(sort, state)| visit(sort, state)),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
