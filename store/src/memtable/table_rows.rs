//! The rows of one table: partitions by key, and the rows of each by sort key.

use super::{
    arena::{self, Arena, Place},
    block::Copied,
    ordered::{Ordered, Spot},
    record::{Record, sort_at},
};
use crate::{Direction, files::KeyRange};

#[derive(Debug, Default)]
pub(crate) struct TableRows {
    partitions: Ordered<Partition>,
    /// The rows of partitions with more than one, by sort key.
    runs: Vec<Ordered<Place>>,
    /// Rows that are not removed.
    live: u64,
    /// Rows that are.
    removed: u64,
    /// Encoded bytes of their images.
    image_bytes: u64,
    /// Memory of `partitions` and of each run.
    leaf_bytes: usize,
    /// Bytes of its records in the arena.
    record_bytes: usize,
}

#[derive(Clone, Copy, Debug)]
struct Partition {
    key: Place,
    rows: PartitionRows,
}

#[derive(Clone, Copy, Debug)]
enum PartitionRows {
    One(Place),
    Run(u32),
}

/// What a row was before.
struct Replaced {
    record_bytes: usize,
    image_bytes: Option<usize>,
}

impl TableRows {
    /// Live rows, and the bytes of their encodings.
    pub(crate) fn size(&self) -> (u64, u64) {
        (self.live, self.image_bytes)
    }

    pub(crate) fn has_removed(&self) -> bool {
        self.removed > 0
    }

    /// Memory taken beside records.
    pub(crate) fn index_bytes(&self) -> usize {
        size_of::<TableRows>() + self.leaf_bytes + self.runs.capacity() * size_of::<Ordered<Place>>()
    }

    /// Bytes of its records in the arena.
    pub(crate) fn record_bytes(&self) -> usize {
        self.record_bytes
    }

    /// Sets a row.
    pub(crate) fn insert(&mut self, arena: &mut Arena, partition: &[u8], record: &Record<'_>) {
        let replaced = match self.find(arena, partition) {
            Ok(spot) => self.insert_in(arena, spot, record),
            Err(spot) => {
                let key_bytes = arena::text_bytes(partition);
                let key = arena.push(key_bytes, |mut out| arena::put_text(partition, &mut out));
                self.record_bytes += arena::taken(key_bytes);
                let rows = PartitionRows::One(record.push(arena));
                self.leaf_bytes += self.partitions.insert(spot, partition, Partition { key, rows }, key_in(arena));
                None
            }
        };
        self.record_bytes += arena::taken(record.bytes());
        match record.image {
            Some(image) => {
                self.live += 1;
                self.image_bytes += image.len() as u64;
            }
            None => self.removed += 1,
        }
        let Some(Replaced { record_bytes, image_bytes }) = replaced else { return };
        self.record_bytes -= record_bytes;
        match image_bytes {
            Some(image_bytes) => {
                self.live -= 1;
                self.image_bytes -= image_bytes as u64;
            }
            None => self.removed -= 1,
        }
    }

    /// Sets a row of the partition at `spot`.
    fn insert_in(&mut self, arena: &mut Arena, spot: Spot, record: &Record<'_>) -> Option<Replaced> {
        let number = match self.partitions.get(spot).rows {
            PartitionRows::Run(number) => number,
            PartitionRows::One(place) if sort_at(arena, place) == record.sort => {
                let replaced = replaced(arena, place);
                let rows = PartitionRows::One(record.replace(arena, place));
                self.partitions.set(spot, Partition { rows, ..self.partitions.get(spot) });
                return Some(replaced);
            }
            PartitionRows::One(place) => self.begin_run(arena, spot, place),
        };
        let run = &mut self.runs[number as usize];
        let found = match run.last() {
            Some(last) if sort_at(arena, last) < record.sort => Err(run.end()),
            _ => run.search(record.sort, sort_in(arena)),
        };
        match found {
            Ok(at) => {
                let place = run.get(at);
                let replaced = replaced(arena, place);
                run.set(at, record.replace(arena, place));
                Some(replaced)
            }
            Err(at) => {
                let place = record.push(arena);
                self.leaf_bytes += run.insert(at, record.sort, place, sort_in(arena));
                None
            }
        }
    }

    /// Makes the one row of the partition at `spot` a run.
    fn begin_run(&mut self, arena: &Arena, spot: Spot, row: Place) -> u32 {
        let number = u32::try_from(self.runs.len()).expect("fewer than places in an arena");
        let mut run = Ordered::default();
        self.leaf_bytes += run.insert(run.end(), sort_at(arena, row), row, sort_in(arena));
        self.runs.push(run);
        self.partitions.set(spot, Partition { rows: PartitionRows::Run(number), ..self.partitions.get(spot) });
        number
    }

    /// The row of a key.
    pub(crate) fn get<'a>(&self, arena: &'a Arena, partition: &[u8], sort: &[u8]) -> Option<Record<'a>> {
        let spot = self.find(arena, partition).ok()?;
        let place = match self.partitions.get(spot).rows {
            PartitionRows::One(place) => Some(place).filter(|place| sort_at(arena, *place) == sort),
            PartitionRows::Run(number) => {
                let run = &self.runs[number as usize];
                run.search(sort, sort_in(arena)).ok().map(|at| run.get(at))
            }
        };
        place.map(|place| Record::at(arena, place))
    }

    /// The last row of a partition.
    pub(crate) fn last<'a>(&self, arena: &'a Arena, partition: &[u8]) -> Option<Record<'a>> {
        let spot = self.find(arena, partition).ok()?;
        let place = match self.partitions.get(spot).rows {
            PartitionRows::One(place) => Some(place),
            PartitionRows::Run(number) => self.runs[number as usize].last(),
        };
        place.map(|place| Record::at(arena, place))
    }

    /// Copies rows of `range` in `direction` until there is no more room; answers whether those were all.
    pub(crate) fn scan(&self, arena: &Arena, range: &KeyRange, direction: Direction, copied: &mut Copied) -> bool {
        let from = range.from.as_ref().map(|key| (self.find(arena, &key.partition), key.sort.as_ref()));
        let until = range.until.as_ref().map(|key| (self.find(arena, &key.partition), key.sort.as_ref()));
        let start = from.map_or(Spot::default(), |(found, _)| found.unwrap_or_else(|spot| spot));
        let end = until.map_or(self.partitions.end(), |(found, _)| found.map_or_else(|spot| spot, Spot::after));
        // The bounds of sort keys, in the partitions that they are of.
        let bound = |(found, sort): (Result<Spot, Spot>, _)| Some((self.partitions.get(found.ok()?).key, sort));
        let (from, until) = (from.and_then(bound), until.and_then(bound));
        let mut visit = |partition: Partition| {
            let in_it =
                |bound: Option<(Place, _)>| bound.filter(|(key, _)| *key == partition.key).map(|(_, sort)| sort);
            self.scan_in(arena, partition, in_it(from), in_it(until), direction, copied)
        };
        let mut partitions = self.partitions.range(start, end);
        match direction {
            Direction::Forward => partitions.all(&mut visit),
            Direction::Backward => partitions.rev().all(&mut visit),
        }
    }

    /// Copies rows with `from <= sort < until` of a partition; answers whether there is room for more.
    fn scan_in(
        &self,
        arena: &Arena,
        partition: Partition,
        from: Option<&[u8]>,
        until: Option<&[u8]>,
        direction: Direction,
        copied: &mut Copied,
    ) -> bool {
        let key = arena::take_text(&mut arena.at(partition.key));
        let mut copy = |place: Place| copied.push(partition.key, key, &Record::at(arena, place));
        match partition.rows {
            PartitionRows::One(place) => {
                let sort = sort_at(arena, place);
                let is_inside = from.is_none_or(|from| sort >= from) && until.is_none_or(|until| sort < until);
                !is_inside || copy(place)
            }
            PartitionRows::Run(number) => {
                let run = &self.runs[number as usize];
                let lower_bound = |sort: &[u8]| run.search(sort, sort_in(arena)).unwrap_or_else(|spot| spot);
                let mut inside =
                    run.range(from.map_or(Spot::default(), lower_bound), until.map_or(run.end(), lower_bound));
                match direction {
                    Direction::Forward => inside.all(&mut copy),
                    Direction::Backward => inside.rev().all(&mut copy),
                }
            }
        }
    }

    /// Moves its records to another arena.
    pub(crate) fn move_to(&mut self, to: &mut Arena, from: &Arena) {
        let TableRows { partitions, runs, .. } = self;
        partitions.replace_all(|Partition { key, rows }| {
            let text = arena::take_text(&mut from.at(key));
            let key = to.push(arena::text_bytes(text), |mut out| arena::put_text(text, &mut out));
            let mut moved = |place| Record::at(from, place).push(to);
            let rows = match rows {
                PartitionRows::One(place) => PartitionRows::One(moved(place)),
                PartitionRows::Run(number) => {
                    runs[number as usize].replace_all(moved);
                    rows
                }
            };
            Partition { key, rows }
        });
    }

    /// Where a partition is, or would be.
    fn find(&self, arena: &Arena, partition: &[u8]) -> Result<Spot, Spot> {
        self.partitions.search(partition, key_in(arena))
    }
}

fn key_in<'a>(arena: &'a Arena) -> impl Fn(Partition) -> &'a [u8] {
    move |partition| arena::take_text(&mut arena.at(partition.key))
}

fn sort_in<'a>(arena: &'a Arena) -> impl Fn(Place) -> &'a [u8] {
    move |place| sort_at(arena, place)
}

fn replaced(arena: &Arena, place: Place) -> Replaced {
    let record = Record::at(arena, place);
    Replaced { record_bytes: arena::taken(record.bytes()), image_bytes: record.image.map(<[u8]>::len) }
}
