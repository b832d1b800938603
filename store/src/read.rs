//! Reading: one view, memtables first, cold files after, merged by key; the greatest sequence number wins.

use std::{collections::VecDeque, ops::Range, sync::Arc};

use bytes::Bytes;
use item::{CodecError, Image, Index, IndexKind, Item, Key, ShardId, Slot, Table, TableId, key::SLOTS};

use crate::{
    Error,
    cache::Cache,
    files::{ColdFile, KeyRange, Row},
    memtable::{Block, Memtable},
    view::{View, shard_of, shard_of_key},
};

/// Ascending or descending by key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Least key first.
    Forward,
    /// Greatest key first.
    Backward,
}

impl Direction {
    /// Does `key` come after `other`?
    fn is_past(self, key: &Key, other: &Key) -> bool {
        match self {
            Direction::Forward => key > other,
            Direction::Backward => key < other,
        }
    }
}

/// Encoded sort keys `from <= sort < until` of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SortRange {
    /// Least encoded sort key; empty means from the first.
    pub from: Bytes,
    /// First one past the range; none means to the end.
    pub until: Option<Bytes>,
}

/// Some items of a query or scan, decoded or not.
#[derive(Clone, Debug)]
pub struct Page<T = Item> {
    /// The items, in order.
    pub items: Vec<T>,
    /// Sum of their sizes as DynamoDB counts them.
    pub bytes: usize,
    /// The key of the last one, if the page ended because of a limit; go on after it.
    pub last_key: Option<Key>,
}

impl<T> Default for Page<T> {
    fn default() -> Page<T> {
        Page { items: Vec::new(), bytes: 0, last_key: None }
    }
}

impl Page<Image> {
    /// The same with its items decoded, which are of `table`.
    pub(crate) fn decode(self, table: &Table) -> Result<Page, Error> {
        let items = self.items.iter().map(Image::decode).collect::<Result<_, _>>();
        Ok(Page { items: items.map_err(|error| corrupt(table, &error))?, bytes: self.bytes, last_key: self.last_key })
    }
}

/// Where a page ends.
#[derive(Clone, Copy, Debug)]
pub struct PageLimit {
    /// Items at most, 1 or more.
    pub items: usize,
    /// The page ends with the item that reaches this size. 1 MB on the DynamoDB wire.
    pub bytes: usize,
}

impl PageLimit {
    /// Rows to take from one place at a time.
    fn block_rows(self) -> usize {
        self.items.saturating_add(1).clamp(BLOCK_ROWS_MIN, BLOCK_ROWS_MAX)
    }
}

impl Default for PageLimit {
    fn default() -> Self {
        PageLimit { items: usize::MAX, bytes: 1 << 20 }
    }
}

/// Reads one view.
pub(crate) struct Reader<'a> {
    pub(crate) view: &'a View,
    pub(crate) cache: &'a Cache,
}

impl Reader<'_> {
    /// The row of `key`, if any tier knows it.
    pub(crate) async fn get(&self, table: TableId, key: &Key) -> Result<Option<Row>, Error> {
        match self.get_hot(table, key) {
            Some(row) => Ok(Some(row)),
            None => self.get_cold(table, key).await,
        }
    }

    /// The row of `key`, if a memtable knows it.
    pub(crate) fn get_hot(&self, table: TableId, key: &Key) -> Option<Row> {
        let shard = shard_of_key(key, self.view.shards());
        let state = self.view.memtables(shard).find_map(|memtable| memtable.get(table, key))?;
        Some(Row { key: key.clone(), sequence: state.sequence, image: state.image })
    }

    /// The row of `key`, if any file knows it.
    pub(crate) async fn get_cold(&self, table: TableId, key: &Key) -> Result<Option<Row>, Error> {
        let shard = shard_of_key(key, self.view.shards());
        for file in self.view.files.around(table, shard, key) {
            if let Some(row) = file.get(key, self.cache).await? {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }

    /// Keeps in memory what keys cold files have around `key`.
    pub(crate) async fn learn(&self, table: TableId, key: &Key) -> Result<(), Error> {
        let files = &self.view.files;
        for file in files.around(table, shard_of_key(key, self.view.shards()), key) {
            file.learn(key, files.key_blocks(), self.cache).await?;
        }
        Ok(())
    }

    /// The greatest sort key of the partition of `key` in any tier, removed rows included.
    pub(crate) async fn greatest_sort(&self, table: TableId, key: &Key) -> Result<Option<Bytes>, Error> {
        let shard = shard_of_key(key, self.view.shards());
        let partition = &key.partition;
        let mut high = self.view.memtables(shard).filter_map(|memtable| memtable.greatest_sort(table, partition)).max();
        let range = partition_range(partition, &SortRange::default());
        for file in self.view.files.files(table, shard) {
            if file.min_key.partition <= *partition && *partition <= file.max_key.partition {
                let last = file.scan(&range, Direction::Backward, 1, self.cache).await?;
                high = high.into_iter().chain(last.into_iter().map(|row| row.key.sort)).max();
            }
        }
        Ok(high)
    }

    /// One page of a partition.
    pub(crate) async fn query(
        &self,
        target: Target<'_>,
        partition: &[u8],
        range: &SortRange,
        direction: Direction,
        after: Option<&Key>,
        limit: PageLimit,
    ) -> Result<Page<Image>, Error> {
        let mut range = partition_range(&Bytes::copy_from_slice(partition), range);
        match (direction, after) {
            (_, None) => {}
            (Direction::Forward, Some(after)) => range.from = range.from.max(Some(successor(after))),
            (Direction::Backward, Some(after)) => range.until = range.until.min(Some(after.clone())),
        }
        let shards = self.view.shards();
        let shards = if target.is_global() {
            0..shards
        } else {
            let ShardId(shard) = shard_of(item::key::slot(partition), shards);
            shard..shard + 1
        };
        let mut page = Page::default();
        let rows = Merge::new(self.view, target.id(), shards, &range, direction, limit.block_rows());
        self.fill(&mut page, target, rows, limit, None).await?;
        Ok(page)
    }

    /// One page of all items whose slot is in `slots`: shard by shard, each in the order of its keys. A global index that
    /// is read whole is in the order of its own keys, so that what has one partition key comes together, as it does from
    /// DynamoDB.
    pub(crate) async fn scan(
        &self,
        target: Target<'_>,
        slots: Range<u16>,
        after: Option<&Key>,
        limit: PageLimit,
    ) -> Result<Page<Image>, Error> {
        let mut page = Page::default();
        if slots.is_empty() {
            return Ok(page);
        }
        let shards = self.view.shards();
        if target.is_global() && slots == (0..SLOTS) {
            let range = KeyRange { from: after.map(successor), until: None };
            let rows = Merge::new(self.view, target.id(), 0..shards, &range, Direction::Forward, limit.block_rows());
            self.fill(&mut page, target, rows, limit, None).await?;
            return Ok(page);
        }
        let after = after.map(|after| Ok((after, shard_of(target.slot(after)?, shards)))).transpose()?;
        let first = after.map_or(shard_of(Slot(slots.start), shards), |(_, shard)| shard);
        let last = shard_of(Slot((slots.end - 1).min(SLOTS - 1)), shards);
        for shard in first.0..=last.0 {
            let from = after.filter(|(_, first)| first.0 == shard).map(|(after, _)| successor(after));
            let range = KeyRange { from, until: None };
            let one = shard..shard + 1;
            let rows = Merge::new(self.view, target.id(), one, &range, Direction::Forward, limit.block_rows());
            self.fill(&mut page, target, rows, limit, Some(&slots)).await?;
            if page.last_key.is_some() {
                break;
            }
        }
        Ok(page)
    }

    /// The first rows of a shard after `after`, removed keys included, at most `rows_max`.
    pub(crate) async fn rows(
        &self,
        id: TableId,
        shard: ShardId,
        after: Option<&Key>,
        rows_max: usize,
    ) -> Result<Vec<Row>, Error> {
        let range = KeyRange { from: after.map(successor), until: None };
        let one = shard.0..shard.0 + 1;
        let mut merge = Merge::new(self.view, id, one, &range, Direction::Forward, rows_max);
        let mut rows = Vec::new();
        while rows.len() < rows_max {
            let Some(row) = merge.next(self.cache).await? else { break };
            rows.push(row);
        }
        Ok(rows)
    }

    /// Adds the live items of `rows` in `slots` to `page`, until its limit.
    async fn fill(
        &self,
        page: &mut Page<Image>,
        target: Target<'_>,
        mut rows: Merge<'_>,
        limit: PageLimit,
        slots: Option<&Range<u16>>,
    ) -> Result<(), Error> {
        while let Some(row) = rows.next(self.cache).await? {
            let Some(mut image) = row.image else { continue };
            if let Some(slots) = slots
                && !slots.contains(&target.slot(&row.key)?.0)
            {
                continue;
            }
            let size = |image: &Image| image.size().map_err(|error| corrupt(target.table, &error));
            if let Some(index) = target.index.filter(|_| target.whole) {
                page.bytes += size(&image)?;
                match self.whole(target.table, index, &row.key).await? {
                    Some(whole) => image = whole,
                    None => continue,
                }
            }
            page.bytes += size(&image)?;
            page.items.push(image);
            if page.items.len() >= limit.items || page.bytes >= limit.bytes {
                page.last_key = Some(row.key);
                break;
            }
        }
        Ok(())
    }

    /// The item whose entry in `index` has this key, unless it has another one by now: a view goes on while it is read.
    async fn whole(&self, table: &Table, index: &Index, entry_key: &Key) -> Result<Option<Image>, Error> {
        let malformed = |error| corrupt(table, &error);
        let key = index.item_key(entry_key).map_err(malformed)?;
        let Some(image) = self.get(table.id, &key).await?.and_then(|row| row.image) else { return Ok(None) };
        let item = image.decode().map_err(malformed)?;
        Ok((index.entry_key(&key, &item).as_ref() == Some(entry_key)).then_some(image))
    }
}

/// What is read: a table's items, or the entries of one of its indexes.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    table: &'a Table,
    index: Option<&'a Index>,
    whole: bool,
}

impl<'a> Target<'a> {
    /// The items of a table.
    pub fn table(table: &'a Table) -> Target<'a> {
        Target { table, index: None, whole: false }
    }

    /// The entries of an index of `table`, or, if `whole`, the items that they stand for.
    pub fn index(table: &'a Table, index: &'a Index, whole: bool) -> Target<'a> {
        Target { table, index: Some(index), whole }
    }

    /// The table that it is, or of which it is an index.
    pub(crate) fn schema(self) -> &'a Table {
        self.table
    }

    /// The number of its rows.
    pub(crate) fn id(self) -> TableId {
        self.index.map_or(self.table.id, |index| index.id)
    }

    /// Entries with equal partition keys may lie in any shard.
    fn is_global(self) -> bool {
        self.index.is_some_and(|index| matches!(index.kind, IndexKind::Global | IndexKind::Expiry))
    }

    /// The slot of the item whose key, or whose entry's key, is `key`.
    fn slot(self, key: &Key) -> Result<Slot, Error> {
        match self.index {
            None => Ok(key.slot()),
            Some(index) => Ok(index.item_key(key).map_err(|error| corrupt(self.table, &error))?.slot()),
        }
    }
}

impl<'a> From<&'a Table> for Target<'a> {
    fn from(table: &'a Table) -> Target<'a> {
        Target::table(table)
    }
}

impl<'a> From<&'a Arc<Table>> for Target<'a> {
    fn from(table: &'a Arc<Table>) -> Target<'a> {
        Target::table(table)
    }
}

/// An image that does not decode: its frame or file was checked, so this is our fault, not the disk's.
pub(crate) fn corrupt(table: &Table, error: &CodecError) -> Error {
    Error::Corrupt { path: format!("table {}", table.name), offset: error.offset as u64, what: error.what.to_owned() }
}

/// The keys of one partition whose sort key is in `range`.
fn partition_range(partition: &Bytes, range: &SortRange) -> KeyRange {
    let until = match &range.until {
        Some(until) => Key { partition: partition.clone(), sort: until.clone() },
        // Encoded partitions are self-delimiting: no other one has this one as its prefix.
        None => Key { partition: with_zero(partition), sort: Bytes::new() },
    };
    KeyRange { from: Some(Key { partition: partition.clone(), sort: range.from.clone() }), until: Some(until) }
}

/// The least key after `key`.
fn successor(key: &Key) -> Key {
    Key { partition: key.partition.clone(), sort: with_zero(&key.sort) }
}

fn with_zero(bytes: &[u8]) -> Bytes {
    [bytes, &[0]].concat().into()
}

/// Rows taken from one place at a time.
const BLOCK_ROWS_MIN: usize = 16;
const BLOCK_ROWS_MAX: usize = 1024;

/// Rows of some shards in key order, each key once, from every place that may have one.
struct Merge<'a> {
    sources: Vec<Source<'a>>,
    table: TableId,
    direction: Direction,
    block_rows: usize,
}

struct Source<'a> {
    place: Place<'a>,
    /// What is left to read.
    range: KeyRange,
    block: VecDeque<Row>,
    exhausted: bool,
    /// Of a file that was not read yet: the first key that it may have.
    unopened: Option<Key>,
}

enum Place<'a> {
    Memory(&'a Memtable),
    Cold(&'a Arc<ColdFile>),
}

impl<'a> Merge<'a> {
    fn new(
        view: &'a View,
        table: TableId,
        shards: Range<u16>,
        range: &KeyRange,
        direction: Direction,
        block_rows: usize,
    ) -> Merge<'a> {
        let overlaps = |file: &ColdFile| {
            range.from.as_ref().is_none_or(|from| *from <= file.max_key)
                && range.until.as_ref().is_none_or(|until| file.min_key < *until)
        };
        let source = |place, unopened| Source {
            place,
            range: range.clone(),
            block: VecDeque::new(),
            exhausted: false,
            unopened,
        };
        let mut sources = Vec::new();
        for shard in shards.map(ShardId) {
            sources.extend(view.memtables(shard).map(|memtable| source(Place::Memory(memtable), None)));
            for file in view.files.files(table, shard).iter().filter(|file| overlaps(file)) {
                let bound = match direction {
                    Direction::Forward => &file.min_key,
                    Direction::Backward => &file.max_key,
                };
                sources.push(source(Place::Cold(file), Some(bound.clone())));
            }
        }
        Merge { sources, table, direction, block_rows }
    }

    async fn next(&mut self, cache: &Cache) -> Result<Option<Row>, Error> {
        let first = loop {
            for source in self.sources.iter_mut().filter(|source| source.unopened.is_none()) {
                source.refill(self.table, self.direction, self.block_rows, cache).await?;
            }
            let first = self.first_head();
            // A file whose keys all lie past the first head is not read yet.
            match self.next_unopened() {
                Some((at, bound)) if first.is_none_or(|first| !self.direction.is_past(bound, first)) => {
                    self.sources[at].unopened = None;
                }
                _ => break first.cloned(),
            }
        };
        let Some(first) = first else { return Ok(None) };
        let same = self.sources.iter_mut().filter_map(|source| source.take(&first));
        Ok(same.max_by_key(|row| row.sequence))
    }

    /// The least key (backward: the greatest) among the rows at hand.
    fn first_head(&self) -> Option<&Key> {
        let heads = self.sources.iter().filter_map(|source| source.block.front()).map(|row| &row.key);
        match self.direction {
            Direction::Forward => heads.min(),
            Direction::Backward => heads.max(),
        }
    }

    /// The place of the unopened source that begins first, and where it begins.
    fn next_unopened(&self) -> Option<(usize, &Key)> {
        let unopened = self.sources.iter().enumerate().filter_map(|(at, source)| Some((at, source.unopened.as_ref()?)));
        match self.direction {
            Direction::Forward => unopened.min_by_key(|(_, bound)| *bound),
            Direction::Backward => unopened.max_by_key(|(_, bound)| *bound),
        }
    }
}

impl Source<'_> {
    /// Takes the row of `key`, if it is the next one here.
    fn take(&mut self, key: &Key) -> Option<Row> {
        let is_next = self.block.front().is_some_and(|row| row.key == *key);
        if is_next { self.block.pop_front() } else { None }
    }

    async fn refill(
        &mut self,
        table: TableId,
        direction: Direction,
        rows_max: usize,
        cache: &Cache,
    ) -> Result<(), Error> {
        if self.exhausted || !self.block.is_empty() {
            return Ok(());
        }
        let Block { rows, is_last } = match self.place {
            Place::Memory(memtable) => memtable.scan(table, &self.range, direction, rows_max),
            Place::Cold(file) => {
                let rows = file.scan(&self.range, direction, rows_max, cache).await?;
                Block { is_last: rows.len() < rows_max, rows }
            }
        };
        self.exhausted = is_last;
        if let Some(last) = rows.last() {
            match direction {
                Direction::Forward => self.range.from = Some(successor(&last.key)),
                Direction::Backward => self.range.until = Some(last.key.clone()),
            }
        }
        self.block = rows.into();
        Ok(())
    }
}
