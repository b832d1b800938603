//! The greatest sort key of recently written partitions: a newer key is absent for sure, without a look-up.

use std::collections::BTreeMap;

use bytes::Bytes;
use item::{Key, TableId};

/// A bounded map from partition to an upper bound of its sort keys. Forgetting an entry is always safe.
///
/// Two generations: when the younger is full it becomes the older, and what nobody touched since is forgotten.
#[derive(Debug)]
pub(crate) struct HighKeys {
    young: BTreeMap<(TableId, Bytes), Bytes>,
    old: BTreeMap<(TableId, Bytes), Bytes>,
    generation_max: usize,
}

impl HighKeys {
    pub(crate) fn new(partitions_max: usize) -> HighKeys {
        HighKeys { young: BTreeMap::new(), old: BTreeMap::new(), generation_max: (partitions_max / 2).max(1) }
    }

    /// Is a bound known, and is `key` above it?
    pub(crate) fn is_above(&self, table: TableId, key: &Key) -> bool {
        let place = (table, key.partition.clone());
        self.young.get(&place).or_else(|| self.old.get(&place)).is_some_and(|high| *high < key.sort)
    }

    /// Is a bound known?
    pub(crate) fn knows(&self, table: TableId, partition: &Bytes) -> bool {
        let place = (table, partition.clone());
        self.young.contains_key(&place) || self.old.contains_key(&place)
    }

    /// Records that no key of the partition is above `sort`, or, where a bound is known, raises it to `sort`.
    pub(crate) fn raise(&mut self, table: TableId, partition: &Bytes, sort: &Bytes) {
        let place = (table, partition.clone());
        if let Some(high) = self.young.get_mut(&place) {
            if *high < *sort {
                *high = sort.clone();
            }
            return;
        }
        let known = self.old.remove(&place).filter(|high| high >= sort);
        if self.young.len() >= self.generation_max {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(place, known.unwrap_or_else(|| sort.clone()));
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(partition: u8, sort: u8) -> Key {
        Key { partition: Bytes::copy_from_slice(&[partition]), sort: Bytes::copy_from_slice(&[sort]) }
    }

    #[test]
    fn a_bound_never_falls_and_forgetting_is_by_age() {
        let table = TableId(1000);
        let mut high = HighKeys::new(4);
        for partition in 0..2 {
            high.raise(table, &key(partition, 5).partition, &key(partition, 5).sort);
        }
        assert!(high.is_above(table, &key(0, 6)));
        high.raise(table, &key(0, 3).partition, &key(0, 3).sort);
        assert!(!high.is_above(table, &key(0, 5)), "a late key must not lower the bound");
        for partition in 2..6 {
            high.raise(table, &key(partition, 1).partition, &key(partition, 1).sort);
            high.raise(table, &key(0, 1).partition, &key(0, 1).sort);
        }
        assert!(high.is_above(table, &key(0, 6)), "a touched partition is kept");
        assert!(!high.is_above(table, &key(0, 5)));
        assert!(!high.knows(table, &key(1, 5).partition), "an untouched one is forgotten");
    }
}
