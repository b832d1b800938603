//! The encoded keys of rows that follow each other, in one piece of memory.

use std::cmp::Ordering;

use bytes::Bytes;
use item::Key;

/// A key that is often replaced, in memory of its own.
#[derive(Debug, Default)]
pub(super) struct KeyBuffer {
    bytes: Vec<u8>,
    partition_end: usize,
}

/// Keys, by row. Both halves of a key are self-delimiting, so their concatenation sorts as the key does.
#[derive(Debug, Default)]
pub(super) struct Keys {
    bytes: Vec<u8>,
    /// Per row, where its partition key ends and where its sort key ends.
    ends: Vec<(usize, usize)>,
}

impl KeyBuffer {
    pub(super) fn set(&mut self, partition: &[u8], sort: &[u8]) {
        self.bytes.clear();
        self.bytes.extend_from_slice(partition);
        self.bytes.extend_from_slice(sort);
        self.partition_end = partition.len();
    }

    /// Is the key less than this one?
    pub(super) fn is_less_than(&self, partition: &[u8], sort: &[u8]) -> bool {
        let (own_partition, own_sort) = self.bytes.split_at(self.partition_end);
        (own_partition, own_sort) < (partition, sort)
    }

    /// The key, copied.
    pub(super) fn to_key(&self) -> Key {
        let (partition, sort) = self.bytes.split_at(self.partition_end);
        to_key((partition, sort))
    }
}

/// The key of these halves, copied.
pub(super) fn to_key((partition, sort): (&[u8], &[u8])) -> Key {
    Key { partition: Bytes::copy_from_slice(partition), sort: Bytes::copy_from_slice(sort) }
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

    /// Partition and sort key.
    pub(super) fn halves(&self, row: usize) -> (&[u8], &[u8]) {
        let (partition_end, end) = self.ends[row];
        (&self.bytes[self.start(row)..partition_end], &self.bytes[partition_end..end])
    }

    /// The row of `key`, or the first one that is greater.
    pub(super) fn search(&self, key: &Key) -> Result<usize, usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.halves(middle).cmp(&(&*key.partition, &*key.sort)) {
                Ordering::Less => low = middle + 1,
                Ordering::Equal => return Ok(middle),
                Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }

    /// Memory that they take, in bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * size_of::<(usize, usize)>()
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
