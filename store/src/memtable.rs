//! Recent rows in memory, ordered by table, partition key, sort key.
//!
//! ```text
//! table      partitions, by key:  place of the key | the place of its one row, or the number of its run
//!            runs:                places of rows, by sort key
//! arena      keys of partitions and rows as records, in the order in which they came
//! ```
//!
//! IoT keys arrive almost in order, so a run is mostly appended to; it stays one leaf while it is short, and is a tree of two
//! levels above (see [`ordered`]). A row that is written again is written over if it fits. What is dead is counted, and when it
//! is the greater part of the arena, what lives moves to a new one.
//!
//! One writer (apply) and many readers share a lock that is held for one item, or for a block of rows, which is copied out, never
//! across an await. So whoever holds rows holds no arena.

pub(crate) mod arena;
mod block;
pub(crate) mod ordered;
mod record;
mod table_rows;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::{
        PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use item::{Image, Key, SequenceNumber, TableId};

use self::{arena::Arena, block::Copied, record::Record, table_rows::TableRows};
use crate::{
    Direction,
    files::{KeyRange, Row},
};

/// Rows of one shard.
#[derive(Debug, Default)]
pub struct Memtable {
    rows: RwLock<Rows>,
    bytes: AtomicUsize,
}

/// What is known of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The event that made it so.
    pub sequence: SequenceNumber,
    /// The item; none if it was removed.
    pub image: Option<Image>,
}

/// Some rows that follow each other.
#[derive(Debug, Default)]
pub struct Block {
    /// The rows, removed ones included.
    pub rows: Vec<Row>,
    /// Are there no more in the range?
    pub is_last: bool,
}

/// Dead bytes are worth a move from here on.
const DEAD_BYTES_MIN: usize = 16 << 10;

#[derive(Debug, Default)]
struct Rows {
    tables: BTreeMap<TableId, TableRows>,
    arena: Arena,
    /// Memory of everything but the arena.
    index_bytes: usize,
}

impl Memtable {
    /// An empty memtable that takes its memory from what this one and those before it give back.
    pub fn successor(&self) -> Memtable {
        let rows = Rows { arena: self.read().arena.successor(), ..Rows::default() };
        Memtable { rows: RwLock::new(rows), ..Memtable::default() }
    }

    /// Sets the state of a key. Sequence numbers of a key must not go back.
    pub fn insert(&self, table: TableId, key: &Key, state: &State) {
        self.insert_all([(table, key, state.sequence, state.image.as_ref())]);
    }

    /// Sets states all at once, as [`Memtable::insert`] does one: a reader's block has all of them or none.
    pub fn insert_all<'a>(
        &self,
        states: impl IntoIterator<Item = (TableId, &'a Key, SequenceNumber, Option<&'a Image>)>,
    ) {
        let mut rows = self.write();
        for (table, key, sequence, image) in states {
            let image = image.map(|image| image.bytes().as_ref());
            rows.insert(table, &key.partition, &Record { sort: &key.sort, sequence, image });
        }
        rows.compact_if_due();
        self.bytes.store(rows.memory_bytes(), Ordering::Relaxed);
    }

    /// The state of a key, if anything is known of it here.
    pub fn get(&self, table: TableId, key: &Key) -> Option<State> {
        let rows = self.read();
        let record = rows.tables.get(&table)?.get(&rows.arena, &key.partition, &key.sort)?;
        let image = record.image.map(|image| Image::from_bytes(Bytes::copy_from_slice(image)));
        Some(State { sequence: record.sequence, image })
    }

    /// The greatest encoded sort key of a partition, removed rows included.
    pub fn greatest_sort(&self, table: TableId, partition: &[u8]) -> Option<Bytes> {
        let rows = self.read();
        let last = rows.tables.get(&table)?.last(&rows.arena, partition)?;
        Some(Bytes::copy_from_slice(last.sort))
    }

    /// The first rows of `range` in `direction`, removed ones included, at most `rows_max`; fewer also where they are large.
    pub fn scan(&self, table: TableId, range: &KeyRange, direction: Direction, rows_max: usize) -> Block {
        let rows = self.read();
        let mut copied = Copied::new(rows_max);
        let of_table = rows.tables.get(&table);
        let is_last = of_table.is_none_or(|of_table| of_table.scan(&rows.arena, range, direction, &mut copied));
        drop(rows);
        Block { rows: copied.into_rows(), is_last }
    }

    /// Tables that have rows here.
    pub fn tables(&self) -> Vec<TableId> {
        self.read().tables.keys().copied().collect()
    }

    /// Live rows of a table here, and the bytes of their encodings.
    pub fn size(&self, table: TableId) -> (u64, u64) {
        self.read().tables.get(&table).map_or((0, 0), TableRows::size)
    }

    /// Does it have rows of a table that are removed?
    pub fn has_removed(&self, table: TableId) -> bool {
        self.read().tables.get(&table).is_some_and(TableRows::has_removed)
    }

    /// Forgets the rows of a table.
    pub fn remove_table(&self, table: TableId) {
        let mut rows = self.write();
        if let Some(gone) = rows.tables.remove(&table) {
            rows.arena.forget(gone.record_bytes());
            rows.index_bytes -= gone.index_bytes();
            rows.compact_if_due();
            self.bytes.store(rows.memory_bytes(), Ordering::Relaxed);
        }
    }

    /// Memory taken, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    fn read(&self) -> RwLockReadGuard<'_, Rows> {
        // No code panics while it holds this lock in a half-done state.
        self.rows.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Rows> {
        self.rows.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rows {
    fn insert(&mut self, table: TableId, partition: &[u8], record: &Record<'_>) {
        let rows = self.tables.entry(table).or_insert_with(|| {
            let rows = TableRows::default();
            self.index_bytes += rows.index_bytes();
            rows
        });
        self.index_bytes -= rows.index_bytes();
        rows.insert(&mut self.arena, partition, record);
        self.index_bytes += rows.index_bytes();
    }

    fn memory_bytes(&self) -> usize {
        self.arena.memory_bytes() + self.index_bytes
    }

    /// Moves what lives to a new arena when the greater part of this one is dead.
    fn compact_if_due(&mut self) {
        let dead = self.arena.dead_bytes();
        if dead >= DEAD_BYTES_MIN && dead > self.arena.used_bytes() / 2 {
            let mut arena = self.arena.successor();
            self.tables.values_mut().for_each(|rows| rows.move_to(&mut arena, &self.arena));
            self.arena = arena;
        }
    }
}
