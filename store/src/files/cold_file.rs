//! Finding rows in one file.
//!
//! A key is found in two steps: the key index, in memory, names the block of rows that may hold it; the key columns of
//! that block, read through the cache, tell the row. Then only the pages that hold the wanted rows are read. The file's
//! footer stays in memory, the file stays open.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use futures::future::try_join_all;
use item::{Image, Item, Key, SequenceNumber, ShardId, TableId};
use parquet::{
    DecodeResult,
    arrow::{
        ProjectionMask,
        arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, RowSelection, RowSelector},
        push_decoder::ParquetPushDecoderBuilder,
    },
    basic::Type,
    errors::ParquetError,
    file::{
        metadata::{
            ColumnChunkMetaData, PageIndexPolicy, ParquetMetaData, ParquetMetaDataPushDecoder, RowGroupMetaData,
        },
        statistics::Statistics,
    },
};

use super::{
    FileId, ItemRow, KeyRange, Row, bloom,
    decode::{Batch, Projection},
    encode,
    footer::{BLOCK_ROWS, Footer},
    key_blocks::KeyBlocks,
    keys::Keys,
    types::{ColumnType, ColumnTypes},
};
use crate::{
    Direction, Error,
    cache::{Cache, PageKey},
    env::{Disk, DiskFile},
    manifest::FileEntry,
};

/// An open cold file with at least one row. It stays readable while anyone holds it, even after it was retired and
/// unlinked.
pub struct ColdFile {
    /// Its number.
    pub id: FileId,
    /// The table whose rows it holds.
    pub table: TableId,
    /// The shard whose rows it holds.
    pub shard: ShardId,
    /// Least key in it.
    pub min_key: Key,
    /// Greatest key in it.
    pub max_key: Key,
    /// Greatest sequence number in it.
    pub max_sequence: SequenceNumber,
    /// How many rows it has, removed ones included.
    pub rows: u64,
    /// Its length.
    pub bytes: u64,
    path: String,
    crc32c: u32,
    file: Arc<dyn DiskFile>,
    reader: ArrowReaderMetadata,
    footer: Footer,
    /// Has one of its columns Bloom filters?
    has_filters: bool,
    memory_bytes: usize,
}

impl ColdFile {
    /// Opens the file of `entry`, reads its footer, and checks that it is the file that the entry means.
    pub fn open(disk: &dyn Disk, entry: &FileEntry) -> Result<ColdFile, Error> {
        let path = entry.path();
        let file: Arc<dyn DiskFile> = Arc::from(disk.open(&path).map_err(Error::io("open", path.as_str()))?);
        let bytes = file.len().map_err(Error::io("measure", path.as_str()))?;
        let corrupt = |what: String| Error::Corrupt { path: path.clone(), offset: 0, what };
        if bytes != entry.bytes {
            return Err(corrupt(format!("it has {bytes} bytes, the manifest says {}", entry.bytes)));
        }
        let metadata = Arc::new(read_metadata(file.as_ref(), bytes, &path)?);
        let footer = Footer::from_metadata(&metadata, &path)?;
        let options = ArrowReaderOptions::new().with_schema(encode::schema(&footer.types, footer.with_deleted));
        let reader = ArrowReaderMetadata::try_new(metadata, options).map_err(|error| corrupt(error.to_string()))?;
        let rows = u64::try_from(reader.metadata().file_metadata().num_rows()).unwrap_or_default();
        if rows != entry.rows {
            return Err(corrupt(format!("it has {rows} rows, the manifest says {}", entry.rows)));
        }
        if footer.first_keys.first().is_some_and(|key| *key != entry.min_key) {
            return Err(corrupt("its first key is not the manifest's".to_owned()));
        }
        Ok(ColdFile {
            id: entry.id,
            table: entry.table,
            shard: entry.shard,
            min_key: entry.min_key.clone(),
            max_key: entry.max_key.clone(),
            max_sequence: entry.max_sequence,
            rows,
            bytes,
            path,
            crc32c: entry.crc32c,
            file,
            has_filters: reader.metadata().row_groups().iter().any(bloom::has_filters),
            memory_bytes: reader.metadata().memory_size() + footer.memory_bytes(),
            reader,
            footer,
        })
    }

    /// The row of `key`, if the file has one.
    pub async fn get(&self, key: &Key, cache: &Cache) -> Result<Option<Row>, Error> {
        if *key < self.min_key || *key > self.max_key {
            return Ok(None);
        }
        if let Some(block) = self.block_of(key)
            && self.is_filtered_out(key, &self.rows_of(block), cache).await?
        {
            return Ok(None);
        }
        let (at, found) = self.position(key, cache).await?;
        if !found {
            return Ok(None);
        }
        Ok(self.read_rows(at..at + 1, cache).await?.pop().map(Row::from))
    }

    /// Reads the keys around `key` to `key_blocks`, unless they are there: what they tell then needs no disk.
    pub(crate) async fn learn(&self, key: &Key, key_blocks: &KeyBlocks, cache: &Cache) -> Result<(), Error> {
        if !key_blocks.is_off()
            && let Some(block) = self.block_of(key)
            && key_blocks.get((self.id, block)).is_none()
        {
            key_blocks.put((self.id, block), Arc::new(self.read_keys(block, cache).await?));
        }
        Ok(())
    }

    /// Has it a row of `key`? None if only a disk can tell.
    pub(crate) fn has(&self, key: &Key, key_blocks: &KeyBlocks) -> Option<bool> {
        match self.block_of(key) {
            None => Some(false),
            Some(block) => key_blocks.get((self.id, block)).map(|keys| keys.search(key).is_ok()),
        }
    }

    /// The first rows of `range` in `direction`, at most `rows_max`; fewer only if the range has no more.
    pub async fn scan(
        &self,
        range: &KeyRange,
        direction: Direction,
        rows_max: usize,
        cache: &Cache,
    ) -> Result<Vec<Row>, Error> {
        let rows = self.scan_items(range, direction, rows_max, cache).await?;
        Ok(rows.into_iter().map(Row::from).collect())
    }

    /// As [`ColdFile::scan`], with items decoded.
    pub async fn scan_items(
        &self,
        range: &KeyRange,
        direction: Direction,
        rows_max: usize,
        cache: &Cache,
    ) -> Result<Vec<ItemRow>, Error> {
        let start = match &range.from {
            Some(from) => self.lower_bound(from, cache).await?,
            None => 0,
        };
        let end = match &range.until {
            Some(until) => self.lower_bound(until, cache).await?,
            None => self.rows,
        };
        let rows_max = rows_max as u64;
        match direction {
            Direction::Forward => self.read_rows(start..end.min(start.saturating_add(rows_max)), cache).await,
            Direction::Backward => {
                let mut rows = self.read_rows(start.max(end.saturating_sub(rows_max))..end, cache).await?;
                rows.reverse();
                Ok(rows)
            }
        }
    }

    /// The rows at these positions, in key order.
    pub async fn read_rows(&self, rows: Range<u64>, cache: &Cache) -> Result<Vec<ItemRow>, Error> {
        let rows = rows.start..rows.end.min(self.rows);
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let batches = self.read(&rows, &Projection::all(&self.footer), cache).await?;
        let mut decoded = Vec::with_capacity(batches.iter().map(Batch::rows).sum());
        for batch in &batches {
            for at in 0..batch.rows() {
                decoded.push(batch.row(&self.footer, at).map_err(|what| self.corrupt(what))?);
            }
        }
        if decoded.len() as u64 != rows.end - rows.start {
            return Err(self.corrupt(format!("rows {rows:?} are {} rows", decoded.len())));
        }
        Ok(decoded)
    }

    /// The columns it was written with.
    pub fn types(&self) -> &ColumnTypes {
        &self.footer.types
    }

    /// How many of its values are in the residual column.
    pub(super) fn residual_values(&self) -> u64 {
        self.footer.residual_values
    }

    /// May some of its rows be of removed keys? Then it has a column more than the files of a generation.
    pub fn may_have_removed(&self) -> bool {
        self.footer.with_deleted
    }

    /// Bytes of a row in memory, at least 1: the average of the row group where they are largest. A text that many rows share
    /// is stored once and read as often as there are rows.
    pub fn row_bytes(&self) -> u64 {
        let bytes = |count: i64| u64::try_from(count).unwrap_or_default();
        let row_bytes = |group: &RowGroupMetaData| {
            let texts = group.columns().iter().filter_map(|column| column.unencoded_byte_array_data_bytes());
            (bytes(group.total_byte_size()) + texts.map(bytes).sum::<u64>()) / bytes(group.num_rows()).max(1)
        };
        self.reader.metadata().row_groups().iter().map(row_bytes).max().unwrap_or_default() + 1
    }

    /// Bytes of its items as DynamoDB counts them, at most: its footer tells how many values each column has, and how long its
    /// texts are together.
    pub fn item_bytes_max(&self) -> u64 {
        let mut names = Vec::new();
        let map_bytes = put_name_bytes(self.types(), &mut names);
        let groups = self.reader.metadata().row_groups().iter();
        groups.map(|group| group_bytes_max(group, &names, map_bytes)).fold(0, u64::saturating_add)
    }

    /// Memory that it takes while it is open, in bytes, about: its footer.
    pub fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    pub(super) fn footer(&self) -> &Footer {
        &self.footer
    }

    pub(super) fn has_filters(&self) -> bool {
        self.has_filters
    }

    pub(super) fn reader(&self) -> &ArrowReaderMetadata {
        &self.reader
    }

    /// Reads bytes past the cache.
    pub(super) fn read_range(&self, range: Range<u64>) -> Result<Bytes, Error> {
        read_range(self.file.as_ref(), range, self.bytes, &self.path)
    }

    /// How many rows have a key less than `key`.
    async fn lower_bound(&self, key: &Key, cache: &Cache) -> Result<u64, Error> {
        if *key <= self.min_key {
            return Ok(0);
        }
        if *key > self.max_key {
            return Ok(self.rows);
        }
        Ok(self.position(key, cache).await?.0)
    }

    /// The first row whose key is not less than `key`, and whether it is equal.
    async fn position(&self, key: &Key, cache: &Cache) -> Result<(u64, bool), Error> {
        let Some(block) = self.block_of(key) else { return Ok((0, false)) };
        let first = (block * BLOCK_ROWS) as u64;
        let batches = self.read(&self.rows_of(block), &Projection::key(&self.footer), cache).await?;
        let (mut low, mut high) = (0, batches.iter().map(Batch::rows).sum::<usize>());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.key_at(&batches, middle)?.cmp(key) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return Ok((first + middle as u64, true)),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Ok((first + low as u64, false))
    }

    /// The block that has `key`, if any has.
    fn block_of(&self, key: &Key) -> Option<usize> {
        if *key > self.max_key {
            return None;
        }
        self.footer.first_keys.partition_point(|first| first <= key).checked_sub(1)
    }

    fn rows_of(&self, block: usize) -> Range<u64> {
        let first = (block * BLOCK_ROWS) as u64;
        first..self.rows.min(first + BLOCK_ROWS as u64)
    }

    /// The keys of a block.
    async fn read_keys(&self, block: usize, cache: &Cache) -> Result<Keys, Error> {
        let rows = self.rows_of(block);
        let batches = self.read(&rows, &Projection::key(&self.footer), cache).await?;
        let mut keys = Keys::with_capacity((rows.end - rows.start) as usize);
        for batch in &batches {
            batch.put_keys(&self.footer, &mut keys).map_err(|what| self.corrupt(what))?;
        }
        if keys.len() as u64 != rows.end - rows.start {
            return Err(self.corrupt(format!("rows {rows:?} are {} keys", keys.len())));
        }
        Ok(keys)
    }

    fn key_at(&self, batches: &[Batch], mut at: usize) -> Result<Key, Error> {
        for batch in batches {
            if at < batch.rows() {
                return batch.key(&self.footer, at).map_err(|what| self.corrupt(what));
            }
            at -= batch.rows();
        }
        Err(self.corrupt("a block has fewer rows than it should".to_owned()))
    }

    /// Reads `rows`, from only those pages that hold them.
    async fn read(&self, rows: &Range<u64>, projection: &Projection, cache: &Cache) -> Result<Vec<Batch>, Error> {
        let (groups, selection) = self.select(rows);
        let descriptor = self.reader.metadata().file_metadata().schema_descr();
        let mask = ProjectionMask::roots(descriptor, projection.positions(&self.footer));
        let mut decoder = ParquetPushDecoderBuilder::new_with_metadata(self.reader.clone())
            .with_row_groups(groups)
            .with_row_selection(selection)
            .with_projection(mask)
            .with_batch_size(BLOCK_ROWS)
            .build()
            .map_err(|error| self.malformed(&error))?;
        let mut batches = Vec::new();
        loop {
            match decoder.try_decode().map_err(|error| self.malformed(&error))? {
                DecodeResult::Finished => return Ok(batches),
                DecodeResult::Data(batch) => {
                    batches.push(Batch::new(&self.footer, projection, &batch).map_err(|what| self.corrupt(what))?);
                }
                DecodeResult::NeedsData(ranges) => {
                    let pages = try_join_all(ranges.iter().map(|range| self.page(range.clone(), cache))).await?;
                    decoder.push_ranges(ranges, pages).map_err(|error| self.malformed(&error))?;
                }
            }
        }
    }

    /// The row groups that hold `rows`, and which of their rows are meant.
    pub(super) fn select(&self, rows: &Range<u64>) -> (Vec<usize>, RowSelection) {
        let mut groups = Vec::new();
        let mut skipped = 0;
        let mut first = 0;
        for (at, group) in self.reader.metadata().row_groups().iter().enumerate() {
            let end = first + u64::try_from(group.num_rows()).unwrap_or_default();
            if first < rows.end && end > rows.start {
                groups.push(at);
                skipped = if groups.len() == 1 { rows.start - first.min(rows.start) } else { skipped };
            }
            first = end;
        }
        let selection =
            vec![RowSelector::skip(skipped as usize), RowSelector::select((rows.end - rows.start) as usize)];
        (groups, RowSelection::from(selection))
    }

    pub(super) async fn page(&self, range: Range<u64>, cache: &Cache) -> Result<Bytes, Error> {
        let file = Arc::clone(&self.file);
        let path = self.path.clone();
        let length = self.bytes;
        let key = PageKey::new(self.id, self.crc32c, &range);
        cache.get_or_read(key, move || read_range(file.as_ref(), range.clone(), length, &path)).await
    }

    fn malformed(&self, error: &ParquetError) -> Error {
        self.corrupt(error.to_string())
    }

    pub(super) fn corrupt(&self, what: String) -> Error {
        Error::Corrupt { path: self.path.clone(), offset: 0, what }
    }
}

impl From<ItemRow> for Row {
    fn from(row: ItemRow) -> Row {
        let ItemRow { key, sequence, item } = row;
        Row { key, sequence, image: item.as_ref().map(Image::encode) }
    }
}

/// The most that one value without a length of its own counts: a negative number of 38 digits.
const FIXED_VALUE_BYTES_MAX: u64 = 21;

/// What a map counts beside its fields, and a field beside its name and value.
const MAP_BYTES: u64 = 3;
const FIELD_BYTES: u64 = 1;

/// Adds what the name of each leaf column counts; answers what all maps of a row count beside their fields, at most. The
/// columns behind those of attributes need no names: the residual column's texts, JSON, are longer than what they count.
fn put_name_bytes(types: &ColumnTypes, names: &mut Vec<u64>) -> u64 {
    let mut map_bytes = 0;
    for column in types.columns() {
        let name_bytes = column.attribute.len() as u64 + FIELD_BYTES;
        match &column.column_type {
            ColumnType::Map(fields) => map_bytes += name_bytes + MAP_BYTES + put_name_bytes(fields, names),
            _ => names.push(name_bytes),
        }
    }
    map_bytes
}

/// Bytes of the items in a row group as DynamoDB counts them, at most; `names` are what the names of its columns count,
/// `map_bytes` what the maps of a row do.
fn group_bytes_max(group: &RowGroupMetaData, names: &[u64], map_bytes: u64) -> u64 {
    let count = |count: i64| u64::try_from(count).unwrap_or_default();
    let largest = count(group.num_rows()).saturating_mul(Item::SIZE_MAX as u64);
    let column_bytes = |(at, column): (usize, &ColumnChunkMetaData)| {
        let nulls = column.statistics().and_then(Statistics::null_count_opt).unwrap_or_default();
        let values = count(column.num_values()).saturating_sub(nulls);
        let fixed = values.saturating_mul(names.get(at).copied().unwrap_or_default() + FIXED_VALUE_BYTES_MAX);
        let texts = match column.column_type() {
            Type::BYTE_ARRAY => column.unencoded_byte_array_data_bytes().map_or(largest, count),
            _ => 0,
        };
        fixed.saturating_add(texts)
    };
    let maps = count(group.num_rows()).saturating_mul(map_bytes);
    group.columns().iter().enumerate().map(column_bytes).fold(maps, u64::saturating_add).min(largest)
}

fn read_metadata(file: &dyn DiskFile, length: u64, path: &str) -> Result<ParquetMetaData, Error> {
    let malformed =
        |error: ParquetError| Error::Corrupt { path: path.to_owned(), offset: length, what: error.to_string() };
    let mut decoder = ParquetMetaDataPushDecoder::try_new(length)
        .map_err(malformed)?
        .with_column_index_policy(PageIndexPolicy::Skip)
        .with_offset_index_policy(PageIndexPolicy::Required);
    loop {
        match decoder.try_decode().map_err(malformed)? {
            DecodeResult::Data(metadata) => return Ok(metadata),
            DecodeResult::NeedsData(ranges) => {
                let read = |range: &Range<u64>| read_range(file, range.clone(), length, path);
                let parts = ranges.iter().map(read).collect::<Result<Vec<Bytes>, Error>>()?;
                decoder.push_ranges(ranges, parts).map_err(malformed)?;
            }
            DecodeResult::Finished => return Err(malformed(ParquetError::General("the footer ends early".to_owned()))),
        }
    }
}

fn read_range(file: &dyn DiskFile, range: Range<u64>, length: u64, path: &str) -> Result<Bytes, Error> {
    // A damaged footer may ask for anything.
    if range.start > range.end || range.end > length {
        let what = format!("bytes {range:?} are needed, of {length}");
        return Err(Error::Corrupt { path: path.to_owned(), offset: range.start, what });
    }
    let mut bytes = vec![0; (range.end - range.start) as usize];
    file.read_at(range.start, &mut bytes).map_err(Error::io("read", path))?;
    Ok(Bytes::from(bytes))
}
