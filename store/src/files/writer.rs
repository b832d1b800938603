//! Writing one file.
//!
//! Rows are encoded in batches, a row group is compressed when it is full, and its bytes go to the disk in order. The
//! file is durable only after [`FileWriter::finish`] (which syncs it) and a sync of its directory.

use std::{mem, ops::Range, sync::Arc};

use arrow_array::RecordBatch;
use bytes::Bytes;
use item::{CodecError, Item, Key, SequenceNumber, ShardId, Table, ValueRef};
use parquet::{
    arrow::{ArrowWriter, arrow_writer::ArrowWriterOptions},
    basic::{Compression, ZstdLevel},
    errors::ParquetError,
    file::properties::WriterPropertiesBuilder,
};

use super::{
    Columns, FileId, ItemRow, Row, bloom,
    encode::RowEncoder,
    footer::{BLOCK_ROWS, Footer, KeyAttributes},
    gather::Gather,
    keys::{KeyBuffer, to_key},
    layout::{self, Layouts},
    sink::{Sink, cannot_encode},
    types::ColumnTypes,
};
use crate::{
    Error,
    env::{Disk, DiskFile},
    manifest::{FileEntry, Place},
};

/// Rows of one row group at most.
const ROW_GROUP_ROWS: usize = 128 * BLOCK_ROWS;
/// Bytes of one row group at most, about.
const ROW_GROUP_BYTES: usize = 32 << 20;
/// Rows are encoded when there are this many bytes of items, or a block of rows.
const BATCH_BYTES: usize = 4 << 20;
/// The more a file is read, the more effort: runs are soon merged.
const RUN_ZSTD_LEVEL: i32 = 1;
const GENERATION_ZSTD_LEVEL: i32 = 3;
/// A file with less than this is not compressed: there is little to gain, and making a compressor or a decompressor for
/// every column costs more than reading these bytes (it asks for the processor's features, which a virtual machine
/// answers slowly).
const COMPRESSED_BYTES_MIN: usize = 64 << 10;
/// The first rows of a file of a generation wait until there are this many, or this much memory is taken by them: how
/// columns are laid out is decided by them.
const SAMPLE_ROWS: usize = 8 * BLOCK_ROWS;
const SAMPLE_BYTES: usize = 4 << 20;

/// What is known of a file before it is written.
#[derive(Clone, Debug)]
pub struct NewFile {
    /// Its number, never used before.
    pub id: FileId,
    /// The table whose rows it will hold.
    pub table: Arc<Table>,
    /// The shard whose rows it will hold.
    pub shard: ShardId,
    /// Where it goes. The directory must exist.
    pub place: Place,
    /// Its columns. What they do not hold goes to the residual column.
    pub types: Arc<ColumnTypes>,
    /// Will some of its rows be of removed keys? Not in a generation.
    pub with_removed: bool,
    /// Now, microseconds since 1970.
    pub now_us: u64,
    /// Memory for rows that come in columns until they are put together, and as much for a row group until it is complete, in
    /// bytes, about. A row group is not larger than 32 MiB in any case.
    pub buffer_bytes_max: usize,
}

/// A file that is being written.
pub struct FileWriter {
    path: String,
    file: Box<dyn DiskFile>,
    /// Made when the first rows are known, and whether there is more.
    writer: Option<ArrowWriter<Sink>>,
    /// The first rows, until then.
    sample: Vec<RecordBatch>,
    /// Rows that came one by one. Where it has some, `gather` has none.
    encoder: RowEncoder,
    /// Rows that came in columns.
    gather: Gather,
    footer: Footer,
    /// Its greatest key is set at the end.
    entry: FileEntry,
    last_key: KeyBuffer,
    table: Arc<Table>,
    buffer_bytes_max: usize,
}

impl FileWriter {
    /// Makes the file.
    pub fn create(disk: &dyn Disk, new: NewFile) -> Result<FileWriter, Error> {
        let NewFile { id, table, shard, place, types, with_removed, now_us, buffer_bytes_max } = new;
        assert!(!with_removed || place == Place::Run, "a generation has no removed keys");
        let entry = FileEntry {
            id,
            table: table.id,
            shard,
            place,
            rows: 0,
            bytes: 0,
            crc32c: 0,
            residual_values: 0,
            min_key: Key { partition: Bytes::new(), sort: Bytes::new() },
            max_key: Key { partition: Bytes::new(), sort: Bytes::new() },
            min_sequence: SequenceNumber(0),
            max_sequence: SequenceNumber(0),
            written_at_us: now_us,
        };
        let path = entry.path();
        let encoder = RowEncoder::new(Arc::clone(&types), with_removed);
        let key = KeyAttributes::of_table(&table);
        let footer = Footer { types, key, residual_values: 0, first_keys: Vec::new(), with_deleted: with_removed };
        let file = disk.create(&path).map_err(Error::io("create", path.as_str()))?;
        Ok(FileWriter {
            path,
            file,
            writer: None,
            sample: Vec::new(),
            encoder,
            gather: Gather::default(),
            footer,
            entry,
            last_key: KeyBuffer::default(),
            table,
            buffer_bytes_max,
        })
    }

    /// Adds a row, whose key must be greater than the last one's.
    pub fn write(&mut self, row: &ItemRow) -> Result<(), Error> {
        match &row.item {
            Some(item) => self.write_attributes(&row.key, row.sequence, borrowed(item), item.size(), false),
            None => self.write_removed(&row.key, row.sequence),
        }
    }

    /// As [`FileWriter::write`], of a row as it lies in a memtable.
    pub fn write_image(&mut self, row: &Row) -> Result<(), Error> {
        match &row.image {
            Some(image) => {
                self.write_attributes(&row.key, row.sequence, image.attributes(), image.bytes().len(), false)
            }
            None => self.write_removed(&row.key, row.sequence),
        }
    }

    /// Adds rows of another file of the table, read in this file's columns, none of them removed. The first must be greater
    /// than the last one here.
    pub fn write_columns(&mut self, columns: &Arc<Columns>, rows: Range<usize>) -> Result<(), Error> {
        assert!(!self.footer.with_deleted, "no row in columns is of a removed key");
        if rows.is_empty() {
            return Ok(());
        }
        if self.encoder.rows() > 0 {
            self.encode(true)?;
        }
        self.ascend_to(columns.key_halves(rows.start));
        for row in rows.clone() {
            self.note(columns.key_halves(row), columns.sequence(row));
            self.entry.residual_values += columns.residual_values(row);
        }
        let (partition, sort) = columns.key_halves(rows.end - 1);
        self.last_key.set(partition, sort);
        self.gather.push(columns, rows);
        if self.gather.is_full(self.buffer_bytes_max) { self.encode(true) } else { Ok(()) }
    }

    fn write_removed(&mut self, key: &Key, sequence: SequenceNumber) -> Result<(), Error> {
        assert!(self.footer.with_deleted, "the file was to have no removed keys");
        let item = key.to_item(&self.table).map_err(|error| cannot_encode(&self.path, error))?;
        self.write_attributes(key, sequence, borrowed(&item), item.size(), true)
    }

    fn write_attributes<'a>(
        &mut self,
        key: &Key,
        sequence: SequenceNumber,
        attributes: impl Iterator<Item = Result<(&'a str, ValueRef<'a>), CodecError>>,
        bytes: usize,
        deleted: bool,
    ) -> Result<(), Error> {
        if self.gather.rows() > 0 {
            self.encode(true)?;
        }
        self.ascend_to((&key.partition, &key.sort));
        let pushed = self.encoder.push(sequence, attributes, bytes, deleted);
        self.entry.residual_values += pushed.map_err(|error| cannot_encode(&self.path, error))?;
        self.note((&key.partition, &key.sort), sequence);
        self.last_key.set(&key.partition, &key.sort);
        if self.encoder.rows() >= BLOCK_ROWS || self.encoder.bytes() >= BATCH_BYTES {
            self.encode(true)?;
        }
        Ok(())
    }

    /// Is there a value in the residual column that the table's columns would hold, were they widened by it?
    pub fn is_outgrown(&self) -> bool {
        self.encoder.is_outgrown()
    }

    /// Where it is, relative to the data directory.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Rows so far.
    pub fn rows(&self) -> u64 {
        self.entry.rows
    }

    /// Bytes of the row groups that are complete.
    pub fn bytes(&self) -> u64 {
        self.writer.as_ref().map_or(0, |writer| writer.bytes_written() as u64)
    }

    /// Writes the rest and the footer, and syncs the file. Its directory is left to sync.
    pub fn finish(mut self) -> Result<FileEntry, Error> {
        let is_large = !self.sample.is_empty() || self.encoder.bytes() + self.gather.bytes() >= COMPRESSED_BYTES_MIN;
        self.encode(is_large)?;
        if self.writer.is_none() {
            self.begin(is_large)?;
        }
        self.footer.residual_values = self.entry.residual_values;
        self.entry.max_key = self.last_key.to_key();
        let mut writer = self.writer.take().expect("it was made by now");
        for entry in self.footer.to_metadata() {
            writer.append_key_value_metadata(entry);
        }
        writer.finish().map_err(|error| cannot_encode(&self.path, error))?;
        self.drain(&mut writer)?;
        self.file.sync().map_err(Error::io("sync", self.path.as_str()))?;
        Ok(writer.inner().measured(self.entry))
    }

    /// Checks that a row may come next.
    fn ascend_to(&self, (partition, sort): (&[u8], &[u8])) {
        let ascends = self.entry.rows == 0 || self.last_key.is_less_than(partition, sort);
        assert!(ascends, "rows come in ascending order of distinct keys");
    }

    fn note(&mut self, key: (&[u8], &[u8]), sequence: SequenceNumber) {
        let entry = &mut self.entry;
        if entry.rows == 0 {
            entry.min_key = to_key(key);
            entry.min_sequence = sequence;
        }
        if entry.rows.is_multiple_of(BLOCK_ROWS as u64) {
            self.footer.first_keys.push(to_key(key));
        }
        entry.rows += 1;
        entry.min_sequence = entry.min_sequence.min(sequence);
        entry.max_sequence = entry.max_sequence.max(sequence);
    }

    fn encode(&mut self, compressed: bool) -> Result<(), Error> {
        let batch = match (self.encoder.rows(), self.gather.rows()) {
            (0, 0) => return Ok(()),
            (0, _) => self.gather.take_batch(self.encoder.schema()),
            (_, _) => self.encoder.take_batch(),
        };
        let batch = batch.map_err(|error| cannot_encode(&self.path, error))?;
        if self.writer.is_none() {
            self.sample.push(batch);
            return if self.is_sample_full() { self.begin(compressed) } else { Ok(()) };
        }
        self.write_batches([batch])
    }

    /// Are the first rows enough to decide by them? Nothing is decided for runs: they are soon merged.
    fn is_sample_full(&self) -> bool {
        let rows: usize = self.sample.iter().map(RecordBatch::num_rows).sum();
        let bytes: usize = self.sample.iter().map(RecordBatch::get_array_memory_size).sum();
        self.entry.place == Place::Run || rows >= SAMPLE_ROWS || bytes >= SAMPLE_BYTES.min(self.buffer_bytes_max)
    }

    /// Makes the writer, and gives it the first rows.
    fn begin(&mut self, compressed: bool) -> Result<(), Error> {
        let sample = mem::take(&mut self.sample);
        self.writer = Some(self.new_writer(&sample, compressed).map_err(|error| cannot_encode(&self.path, error))?);
        self.write_batches(sample)
    }

    fn new_writer(&self, sample: &[RecordBatch], compressed: bool) -> Result<ArrowWriter<Sink>, ParquetError> {
        let is_run = self.entry.place == Place::Run;
        let compression = match (compressed, is_run) {
            (true, true) => zstd(RUN_ZSTD_LEVEL),
            (true, false) => generation_compression(),
            (false, _) => Compression::UNCOMPRESSED,
        };
        let schema = self.encoder.schema();
        let layouts = match is_run || !compressed {
            true => Layouts::usual(schema)?,
            false => Layouts::smallest(sample, schema, compression)?,
        };
        let mut builder = builder(compression)
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .set_max_row_group_bytes(Some(self.buffer_bytes_max.clamp(1, ROW_GROUP_BYTES)));
        builder = layouts.set(builder, &layout::descriptor(schema)?);
        if self.entry.rows >= bloom::ROWS_MIN {
            builder = bloom::set(builder, &self.footer.types, &self.table);
        }
        let options = ArrowWriterOptions::new().with_properties(builder.build()).with_skip_arrow_metadata(true);
        ArrowWriter::try_new_with_options(Sink::new(), Arc::clone(schema), options)
    }

    fn write_batches(&mut self, batches: impl IntoIterator<Item = RecordBatch>) -> Result<(), Error> {
        let Some(mut writer) = self.writer.take() else { return Ok(()) };
        for batch in batches {
            writer.write(&batch).map_err(|error| cannot_encode(&self.path, error))?;
            self.drain(&mut writer)?;
        }
        self.writer = Some(writer);
        Ok(())
    }

    fn drain(&self, writer: &mut ArrowWriter<Sink>) -> Result<(), Error> {
        writer.sync().map_err(Error::io("write", self.path.as_str()))?;
        writer.inner_mut().drain(self.file.as_ref(), &self.path)
    }
}

/// How files of a generation are compressed.
pub(super) fn generation_compression() -> Compression {
    zstd(GENERATION_ZSTD_LEVEL)
}

fn zstd(level: i32) -> Compression {
    Compression::ZSTD(ZstdLevel::try_new(level).expect("a level that zstd has"))
}

/// What the properties of every file begin with.
pub(super) fn builder(compression: Compression) -> WriterPropertiesBuilder {
    layout::builder(compression).set_created_by(format!("thalweg version {}", env!("CARGO_PKG_VERSION")))
}

fn borrowed(item: &Item) -> impl Iterator<Item = Result<(&str, ValueRef<'_>), CodecError>> {
    item.iter().map(|(name, value)| Ok((name.as_str(), ValueRef::from(value))))
}
