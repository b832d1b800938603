//! The encoded keys of rows that follow each other, in one piece of memory.

use bytes::Bytes;
use item::Key;

/// Keys, by row. Both halves of a key are self-delimiting, so their concatenation sorts as the key does.
#[derive(Debug, Default)]
pub(super) struct Keys {
    bytes: Vec<u8>,
    /// Per row, where its partition key ends and where its sort key ends.
    ends: Vec<(usize, usize)>,
}

impl Keys {
    pub(super) fn with_capacity(rows: usize) -> Keys {
        Keys { bytes: Vec::new(), ends: Vec::with_capacity(rows) }
    }

    /// Adds a row's key: both functions append their half.
    pub(super) fn push<E>(
        &mut self,
        partition: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
        sort: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        partition(&mut self.bytes)?;
        self.push_sort(sort)
    }

    /// Adds a row's key with the partition key of the row before it, which there must be.
    pub(super) fn push_in_partition<E>(&mut self, sort: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(), E> {
        let last = self.ends.len() - 1;
        self.bytes.extend_from_within(self.start(last)..self.ends[last].0);
        self.push_sort(sort)
    }

    fn push_sort<E>(&mut self, sort: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(), E> {
        let partition_end = self.bytes.len();
        sort(&mut self.bytes)?;
        self.ends.push((partition_end, self.bytes.len()));
        Ok(())
    }

    /// Both halves.
    pub(super) fn get(&self, row: usize) -> &[u8] {
        &self.bytes[self.start(row)..self.ends[row].1]
    }

    /// The key, copied.
    pub(super) fn key(&self, row: usize) -> Key {
        let (partition_end, end) = self.ends[row];
        let copy = |half: &[u8]| Bytes::copy_from_slice(half);
        Key {
            partition: copy(&self.bytes[self.start(row)..partition_end]),
            sort: copy(&self.bytes[partition_end..end]),
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The first row whose key is not greater than the one before it.
    pub(super) fn first_out_of_order(&self) -> Option<usize> {
        (1..self.len()).find(|row| self.get(*row) <= self.get(*row - 1))
    }

    fn start(&self, row: usize) -> usize {
        row.checked_sub(1).map_or(0, |before| self.ends[before].1)
    }
}
