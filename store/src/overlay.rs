//! Planned, not yet durable: only planners see it.

use std::{collections::BTreeMap, ops::Bound};

use bytes::Bytes;
use item::{Image, Key, TableId};

/// Counts drafts handed to the log (or to be handed next), from 1. Answers wait for one of these.
pub(crate) type Ordinal = u64;

/// The state that a key will have once draft `ordinal` is durable.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    pub(crate) image: Option<Image>,
    pub(crate) ordinal: Ordinal,
}

/// The newest planned state of every key with changes in flight.
#[derive(Debug, Default)]
pub(crate) struct Overlay(BTreeMap<TableId, BTreeMap<Key, Planned>>);

impl Overlay {
    pub(crate) fn get(&self, table: TableId, key: &Key) -> Option<&Planned> {
        self.0.get(&table)?.get(key)
    }

    pub(crate) fn put(&mut self, table: TableId, key: Key, planned: Planned) {
        self.0.entry(table).or_default().insert(key, planned);
    }

    /// Forgets a key whose draft `ordinal` was applied, unless a later draft changes it again.
    pub(crate) fn applied(&mut self, table: TableId, key: &Key, ordinal: Ordinal) {
        let Some(keys) = self.0.get_mut(&table) else { return };
        // Later drafts seldom change the same key, and to look is as much work as to remove.
        if let Some((key, planned)) = keys.remove_entry(key)
            && planned.ordinal != ordinal
        {
            keys.insert(key, planned);
        }
    }

    /// The greatest planned sort key of a partition.
    pub(crate) fn greatest_sort(&self, table: TableId, partition: &Bytes) -> Option<Bytes> {
        let from = Key { partition: partition.clone(), sort: Bytes::new() };
        let keys = self.0.get(&table)?.range((Bound::Included(from), Bound::Unbounded));
        keys.take_while(|(key, _)| key.partition == *partition).last().map(|(key, _)| key.sort.clone())
    }

    /// Drops everything: what was planned will not be.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}
