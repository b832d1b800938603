//! A file again, with columns that its table got since: what it has is copied as it lies there, and the new columns are null.
//!
//! Column chunks are moved with their pages, statistics, indexes and filters, and never decoded. A new column is one of the
//! attributes: a field that is new in a map is not, because its nulls depend on where there is a map.

use std::{ops::Range, sync::Arc};

use parquet::{
    bloom_filter::Sbbf,
    column::writer::{ColumnCloseResult, ColumnWriter},
    errors::ParquetError,
    file::{
        metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData},
        writer::{SerializedColumnWriter, SerializedFileWriter},
    },
};

use super::{
    ColdFile, ColumnTypes, NewFile,
    columns::Pages,
    encode,
    footer::Footer,
    layout::{self, Layouts},
    sink::{Sink, cannot_encode},
    writer,
};
use crate::{
    Error,
    env::{Disk, DiskFile},
    manifest::{FileEntry, Place},
};

/// A copy that is being written, row group by row group.
pub struct FileCopy {
    path: String,
    file: Box<dyn DiskFile>,
    writer: SerializedFileWriter<Sink>,
    pages: Pages,
    metadata: ParquetMetaData,
    /// For each leaf column, which one of the source it is; none if it is new.
    sources: Vec<Option<usize>>,
    row_groups: Range<usize>,
    entry: FileEntry,
}

impl ColdFile {
    /// Can [`FileCopy`] make a file with columns of these types of it, in a generation?
    pub fn can_be_copied(&self, types: &ColumnTypes) -> bool {
        !self.may_have_removed() && self.rows > 0 && leaf_sources(self.types(), types, self.residual_values()).is_some()
    }
}

impl FileCopy {
    /// Begins a copy of `source`, which is the file of `before` and can be copied.
    pub fn create(
        disk: &dyn Disk,
        source: &Arc<ColdFile>,
        before: &FileEntry,
        new: NewFile,
    ) -> Result<FileCopy, Error> {
        let NewFile { id, place, types, now_us, .. } = new;
        assert!(source.can_be_copied(&types) && place != Place::Run, "the file was to be one that can be copied");
        let entry = FileEntry { id, place, written_at_us: now_us, ..before.clone() };
        let path = entry.path();
        let pages = Pages::new(source);
        let read =
            ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Required).parse_and_finish(&pages);
        let metadata = read.map_err(|error| pages.failed(&error))?;
        let sources = leaf_sources(source.types(), &types, source.residual_values()).unwrap_or_default();
        let footer = source.footer();
        let footer = Footer {
            types: Arc::clone(&types),
            key: footer.key.clone(),
            residual_values: footer.residual_values,
            first_keys: footer.first_keys.clone(),
            with_deleted: false,
        };
        let writer = new_writer(&footer).map_err(|error| cannot_encode(&path, error))?;
        let file = disk.create(&path).map_err(Error::io("create", path.as_str()))?;
        let row_groups = 0..metadata.num_row_groups();
        Ok(FileCopy { path, file, writer, pages, metadata, sources, row_groups, entry })
    }

    /// Copies a row group; answers whether there was one left.
    pub fn copy_some(&mut self) -> Result<bool, Error> {
        let Some(at) = self.row_groups.next() else { return Ok(false) };
        self.copy_row_group(at).map_err(|error| self.pages.failed(&error))?;
        self.drain()?;
        Ok(true)
    }

    /// Writes the footer, and syncs the file. Its directory is left to sync.
    pub fn finish(mut self) -> Result<FileEntry, Error> {
        assert!(self.row_groups.is_empty(), "a row group was left out");
        self.writer.finish().map_err(|error| cannot_encode(&self.path, error))?;
        self.drain()?;
        self.file.sync().map_err(Error::io("sync", self.path.as_str()))?;
        Ok(self.writer.inner().measured(self.entry))
    }

    fn copy_row_group(&mut self, at: usize) -> Result<(), ParquetError> {
        let group = self.metadata.row_group(at);
        let mut writer = self.writer.next_row_group()?;
        for source in &self.sources {
            match source {
                Some(leaf) => {
                    let close = close_result(&self.metadata, &self.pages, at, *leaf)?;
                    writer.append_column(&self.pages, close)?;
                }
                None => {
                    let missing = || ParquetError::General("the schema has fewer columns".to_owned());
                    write_nulls(writer.next_column()?.ok_or_else(missing)?, group)?;
                }
            }
        }
        writer.close().map(drop)
    }

    fn drain(&mut self) -> Result<(), Error> {
        self.writer.flush().map_err(Error::io("write", self.path.as_str()))?;
        self.writer.inner_mut().drain(self.file.as_ref(), &self.path)
    }
}

fn new_writer(footer: &Footer) -> Result<SerializedFileWriter<Sink>, ParquetError> {
    let schema = encode::schema(&footer.types, false);
    let descriptor = layout::descriptor(&schema)?;
    let properties =
        Layouts::usual(&schema)?.set(writer::builder(writer::generation_compression()), &descriptor).build();
    let mut writer = SerializedFileWriter::new(Sink::new(), descriptor.root_schema_ptr(), Arc::new(properties))?;
    footer.to_metadata().into_iter().for_each(|entry| writer.append_key_value_metadata(entry));
    Ok(writer)
}

/// What is known of a column chunk, as if it had just been written.
fn close_result(
    metadata: &ParquetMetaData,
    pages: &Pages,
    group: usize,
    leaf: usize,
) -> Result<ColumnCloseResult, ParquetError> {
    let chunk = metadata.row_group(group).column(leaf);
    let count = |count: i64| u64::try_from(count).unwrap_or_default();
    Ok(ColumnCloseResult {
        bytes_written: count(chunk.compressed_size()),
        rows_written: count(metadata.row_group(group).num_rows()),
        metadata: chunk.clone(),
        bloom_filter: Sbbf::read_from_column_chunk(chunk, pages)?,
        column_index: metadata.column_index().map(|index| index[group][leaf].clone()),
        offset_index: metadata.offset_index().map(|index| index[group][leaf].clone()),
    })
}

/// As many nulls as the row group has rows.
fn write_nulls(mut column: SerializedColumnWriter<'_>, group: &RowGroupMetaData) -> Result<(), ParquetError> {
    let levels = vec![0; usize::try_from(group.num_rows()).unwrap_or_default()];
    let levels = Some(levels.as_slice());
    match column.untyped() {
        ColumnWriter::BoolColumnWriter(writer) => writer.write_batch(&[], levels, None),
        ColumnWriter::Int32ColumnWriter(writer) => writer.write_batch(&[], levels, None),
        ColumnWriter::Int64ColumnWriter(writer) => writer.write_batch(&[], levels, None),
        ColumnWriter::Int96ColumnWriter(writer) => writer.write_batch(&[], levels, None),
        ColumnWriter::FloatColumnWriter(writer) => writer.write_batch(&[], levels, None),
        ColumnWriter::DoubleColumnWriter(writer) => writer.write_batch(&[], levels, None),
        ColumnWriter::ByteArrayColumnWriter(writer) => writer.write_batch(&[], levels, None),
        ColumnWriter::FixedLenByteArrayColumnWriter(writer) => writer.write_batch(&[], levels, None),
    }?;
    column.close()
}

/// Where the leaf columns of a file with columns of the types `to` come from in one with those of `from`; none if there is more
/// to do than to add columns of attributes.
fn leaf_sources(from: &ColumnTypes, to: &ColumnTypes, residual_values: u64) -> Option<Vec<Option<usize>>> {
    let mut sources = Vec::new();
    let mut columns = from.columns().iter();
    let mut leaf = 0;
    for column in to.columns() {
        let leaves = column.column_type.leaves();
        // Columns are added behind those that there were.
        match columns.clone().next() {
            Some(before) if before == column => {
                columns.next();
                sources.extend((leaf..leaf + leaves).map(Some));
                leaf += leaves;
            }
            // What is in the residual column may belong there.
            None if residual_values == 0 || !column.column_type.may_take_from_residual() => {
                sources.extend((0..leaves).map(|_| None));
            }
            _ => return None,
        }
    }
    // The residual column and the sequence number.
    sources.extend([Some(leaf), Some(leaf + 1)]);
    columns.next().is_none().then_some(sources)
}
