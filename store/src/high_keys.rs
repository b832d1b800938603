//! The greatest sort key of recently written partitions: a newer key is absent for sure, without a look-up.

use std::collections::BTreeMap;

use item::{Key, TableId};

use crate::{
    memtable::{
        arena::{self, Arena, Place},
        ordered::Ordered,
    },
    metric::Metric,
};

/// A map, bounded in bytes, from partition to an upper bound of its sort keys. Forgetting an entry is always safe.
///
/// Two generations: when the younger is full it becomes the older, and what nobody touched since is forgotten.
#[derive(Debug)]
pub(crate) struct HighKeys {
    young: Generation,
    old: Generation,
    generation_bytes_max: usize,
}

/// Bounds as records of an arena, found by partition.
///
/// ```text
/// record     partition length: number | partition | sort length: number | sort | unused, so that a longer sort key has room
/// ```
#[derive(Debug, Default)]
struct Generation {
    tables: BTreeMap<TableId, Ordered<Place>>,
    arena: Arena,
    index_bytes: usize,
}

/// Metrics of high keys: names and meanings.
pub const METRICS: &[Metric] = &[Metric::gauge(
    "thalweg_memory_high_keys_bytes",
    "Greatest sort keys of partitions, which save look-ups of newer keys",
)];

/// What came of raising a bound where it lies.
enum Raised {
    Done,
    /// The new one is longer than its room.
    NoRoom,
    /// There is none.
    Unknown,
}

/// A sort key's room in a record is so many bytes, or a multiple.
const SORT_ROOM_BYTES: usize = 16;

impl HighKeys {
    pub(crate) fn new(bytes_max: usize) -> HighKeys {
        HighKeys { young: Generation::default(), old: Generation::default(), generation_bytes_max: bytes_max / 2 }
    }

    /// Is a bound known, and is `key` above it?
    pub(crate) fn is_above(&self, table: TableId, key: &Key) -> bool {
        self.get(table, &key.partition).is_some_and(|high| *high < *key.sort)
    }

    /// Is a bound known?
    pub(crate) fn knows(&self, table: TableId, partition: &[u8]) -> bool {
        self.get(table, partition).is_some()
    }

    /// Raises the bound of a partition to `sort`, if it is lower; false if none is known.
    pub(crate) fn raise(&mut self, table: TableId, partition: &[u8], sort: &[u8]) -> bool {
        match self.young.raise(table, partition, sort) {
            Raised::Done => true,
            Raised::NoRoom => {
                self.add(table, partition, sort);
                true
            }
            Raised::Unknown => {
                // What is known of this partition must outlive the older generation.
                let Some(high) = self.old.get(table, partition).map(|high| high.max(sort).to_vec()) else {
                    return false;
                };
                self.add(table, partition, &high);
                true
            }
        }
    }

    /// Records that no key of the partition is above `sort`, or above the bound that is known.
    pub(crate) fn set(&mut self, table: TableId, partition: &[u8], sort: &[u8]) {
        if !self.raise(table, partition, sort) {
            self.add(table, partition, sort);
        }
    }

    /// Adds a bound to the younger generation, or to the next one if that is full.
    fn add(&mut self, table: TableId, partition: &[u8], sort: &[u8]) {
        if self.young.bytes() >= self.generation_bytes_max {
            self.old = std::mem::take(&mut self.young);
        }
        let before = self.young.arena.memory_bytes();
        self.young.set(table, partition, sort);
        if self.young.arena.memory_bytes() > before {
            metrics::gauge!("thalweg_memory_high_keys_bytes").set(self.memory_bytes() as f64);
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.young = Generation::default();
        self.old = Generation::default();
    }

    /// Memory taken, in bytes.
    fn memory_bytes(&self) -> usize {
        [&self.young, &self.old].into_iter().map(|keys| keys.arena.memory_bytes() + keys.index_bytes).sum()
    }

    fn get(&self, table: TableId, partition: &[u8]) -> Option<&[u8]> {
        self.young.get(table, partition).or_else(|| self.old.get(table, partition))
    }
}

impl Generation {
    fn get(&self, table: TableId, partition: &[u8]) -> Option<&[u8]> {
        let bounds = self.tables.get(&table)?;
        let spot = bounds.search(partition, partition_in(&self.arena)).ok()?;
        Some(parts_at(&self.arena, bounds.get(spot)).1)
    }

    /// Raises the bound of a partition that has one, where it lies.
    fn raise(&mut self, table: TableId, partition: &[u8], sort: &[u8]) -> Raised {
        let Generation { tables, arena, .. } = self;
        let Some(bounds) = tables.get(&table) else { return Raised::Unknown };
        let Ok(spot) = bounds.search(partition, partition_in(arena)) else { return Raised::Unknown };
        let place = bounds.get(spot);
        let high = parts_at(arena, place).1;
        let before = record_bytes(partition, high);
        if high >= sort
            || arena.replace(place, before, record_bytes(partition, sort), |out| write(out, partition, sort))
        {
            Raised::Done
        } else {
            Raised::NoRoom
        }
    }

    /// Adds the bound of a partition. One that it had stays in the arena until its generation goes.
    fn set(&mut self, table: TableId, partition: &[u8], sort: &[u8]) {
        let Generation { tables, arena, index_bytes } = self;
        let bounds = tables.entry(table).or_default();
        let place = arena.push(record_bytes(partition, sort), |out| write(out, partition, sort));
        match bounds.search(partition, partition_in(arena)) {
            Ok(spot) => bounds.set(spot, place),
            Err(spot) => *index_bytes += bounds.insert(spot, partition, place, partition_in(arena)),
        }
    }

    fn bytes(&self) -> usize {
        self.arena.used_bytes() + self.index_bytes
    }
}

/// The partition and the sort key of the record at `place`.
fn parts_at(arena: &Arena, place: Place) -> (&[u8], &[u8]) {
    let mut bytes = arena.at(place);
    (arena::take_text(&mut bytes), arena::take_text(&mut bytes))
}

fn partition_in<'a>(arena: &'a Arena) -> impl Fn(Place) -> &'a [u8] {
    move |place| parts_at(arena, place).0
}

fn write(mut out: &mut [u8], partition: &[u8], sort: &[u8]) {
    arena::put_text(partition, &mut out);
    arena::put_text(sort, &mut out);
}

fn record_bytes(partition: &[u8], sort: &[u8]) -> usize {
    arena::text_bytes(partition) + arena::text_bytes(sort).next_multiple_of(SORT_ROOM_BYTES)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn key(partition: u8, sort: u8) -> Key {
        Key { partition: Bytes::copy_from_slice(&[partition]), sort: Bytes::copy_from_slice(&[sort]) }
    }

    #[test]
    fn a_bound_never_falls_and_forgetting_is_by_age() {
        let table = TableId(1000);
        // Four records and the leaf that they are in.
        let mut high = HighKeys::new(2 * (2 * 24 + 32));
        for partition in 0..2 {
            high.set(table, &key(partition, 5).partition, &key(partition, 5).sort);
        }
        assert!(high.is_above(table, &key(0, 6)));
        high.set(table, &key(0, 3).partition, &key(0, 3).sort);
        assert!(!high.is_above(table, &key(0, 5)), "a late key must not lower the bound");
        for partition in 2..6 {
            high.set(table, &key(partition, 1).partition, &key(partition, 1).sort);
            high.set(table, &key(0, 1).partition, &key(0, 1).sort);
        }
        assert!(high.is_above(table, &key(0, 6)), "a touched partition is kept");
        assert!(!high.is_above(table, &key(0, 5)));
        assert!(!high.knows(table, &key(1, 5).partition), "an untouched one is forgotten");
    }

    #[test]
    fn a_million_devices_take_few_bytes_each_and_never_more_than_the_bound() {
        let bytes_max = 16 << 20;
        let mut high = HighKeys::new(bytes_max);
        let key_of = |device: u32, time: u64| Key {
            partition: [&[1][..], format!("bench/00000/{device:07}").as_bytes(), &[0, 1]].concat().into(),
            sort: [&[4, 142][..], &time.to_be_bytes()[1 + time as usize % 3..]].concat().into(),
        };
        for time in 0..5 {
            for device in 0..100_000 {
                let key = key_of(device, 1_767_225_600_000 + time);
                high.set(TableId(1000), &key.partition, &key.sort);
            }
        }
        assert!(high.memory_bytes() < 100_000 * 80, "{} bytes", high.memory_bytes());
        for device in 0..1_000_000 {
            let key = key_of(device, 1);
            high.set(TableId(1000), &key.partition, &key.sort);
            assert!(high.memory_bytes() <= bytes_max + (1 << 20) && high.knows(TableId(1000), &key.partition));
        }
    }

    #[test]
    fn sort_keys_that_grow_and_shrink_do_not_pass_the_bound() {
        let bytes_max = 1 << 20;
        let mut high = HighKeys::new(bytes_max);
        for round in 0u32..100_000 {
            let mut sort = round.to_be_bytes().to_vec();
            sort.resize(if round % 2 == 0 { 8 } else { 60 }, 7);
            high.set(TableId(1000), &[1, 2], &sort);
            assert!(high.memory_bytes() <= bytes_max + (1 << 20), "{} bytes after {round}", high.memory_bytes());
            let key = |sort: &[u8]| Key { partition: vec![1, 2].into(), sort: Bytes::copy_from_slice(sort) };
            assert!(!high.is_above(TableId(1000), &key(&sort)) && high.is_above(TableId(1000), &key(&[0xff])));
        }
    }
}
