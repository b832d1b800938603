//! Rows in columns: what a merge moves from file to file without making items of them.
//!
//! A [`ColumnReader`] reads a file in its order and gives its rows in the columns that their table has by now, which are
//! those of the file or wider ones:
//!
//! ```text
//! of the same type            as it is
//! a decimal of more digits    multiplied
//! a map of more fields        as these say of its fields
//! new in the table            null
//! ```
//! Where anything else is asked for (a time in a finer unit may not fit any more; what is in the residual column may have a
//! column by now), rows are decoded to items and encoded again, which puts each value where it belongs.

use std::{
    io::{self, Read},
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use arrow_array::{
    Array, ArrayRef, BooleanArray, Decimal64Array, Decimal128Array, Int64Array, RecordBatch, StringArray, StructArray,
    cast::AsArray,
    new_null_array,
    types::{Decimal64Type, Decimal128Type},
};
use arrow_schema::{DataType, FieldRef, Fields, SchemaRef};
use bytes::Bytes;
use item::{Item, SequenceNumber, ValueRef};
use parquet::{
    arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder},
    errors::ParquetError,
    file::reader::{ChunkReader, Length},
};

use super::{
    ColdFile,
    decode::{Batch, Projection},
    encode::{self, RowEncoder},
    footer::Footer,
    keys::Keys,
    residual,
    types::{ColumnType, ColumnTypes},
};
use crate::Error;

/// Rows that follow each other in a file, in the columns of their table.
pub struct Columns {
    /// Attributes, residual and sequence number: the columns of a file of a generation.
    batch: RecordBatch,
    keys: Keys,
    sequences: Int64Array,
    removed: Option<BooleanArray>,
    /// Per row, how many of its values are in the residual column; empty if none are.
    residual_values: Vec<u64>,
    bytes: usize,
}

/// Reads the rows of one file in order. Only pages of the rows that it reads next are in memory.
pub struct ColumnReader {
    file: Arc<ColdFile>,
    batches: ParquetRecordBatchReader,
    pages: Pages,
    types: Arc<ColumnTypes>,
    schema: SchemaRef,
    /// Where each column comes from; none if rows must be encoded again.
    sources: Option<Vec<Source>>,
    gone: Option<Gone>,
    rows_read: u64,
    last_key: Vec<u8>,
}

/// Which items are as good as removed.
type Gone = Box<dyn Fn(&Item) -> bool + Send>;

/// Where a column of the table comes from.
enum Source {
    /// A column of the file, as it is.
    Same(usize),
    /// A decimal column of the file with fewer digits.
    Scaled { at: usize, factor: i128 },
    /// A column of maps of the file with fewer fields, or narrower ones.
    Map { at: usize, fields: Vec<Source> },
    /// The file is older than the column.
    New,
}

impl Columns {
    /// How many rows there are, at least one.
    pub fn rows(&self) -> usize {
        self.keys.len()
    }

    /// The encoded key of a row, partition and sort key in one: they sort as keys do.
    pub fn key(&self, row: usize) -> &[u8] {
        self.keys.get(row)
    }

    /// The event that made the row's state.
    pub fn sequence(&self, row: usize) -> SequenceNumber {
        SequenceNumber(self.sequences.value(row).unsigned_abs())
    }

    /// Did that event remove the key?
    pub fn is_removed(&self, row: usize) -> bool {
        self.removed.as_ref().is_some_and(|removed| removed.is_valid(row) && removed.value(row))
    }

    /// Partition and sort key.
    pub(super) fn key_halves(&self, row: usize) -> (&[u8], &[u8]) {
        self.keys.halves(row)
    }

    pub(super) fn batch(&self) -> &RecordBatch {
        &self.batch
    }

    pub(super) fn residual_values(&self, row: usize) -> u64 {
        self.residual_values.get(row).copied().unwrap_or_default()
    }

    /// Memory that they keep from being freed, about.
    pub(super) fn memory_bytes(&self) -> usize {
        self.batch.get_array_memory_size()
    }

    /// Bytes of their values.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl ColumnReader {
    /// Begins at the first row. Reads up to `rows_max` rows at a time, fewer where they are large: about `bytes_max` bytes.
    pub fn new(
        file: Arc<ColdFile>,
        types: &Arc<ColumnTypes>,
        rows_max: usize,
        bytes_max: u64,
    ) -> Result<ColumnReader, Error> {
        let sources = sources(&file.footer().types, types, file.footer().residual_values > 0);
        ColumnReader::with_sources(file, types, rows_max, bytes_max, sources)
    }

    /// As [`ColumnReader::new`], but every row is made an item and encoded again, whether it must or not: for comparing.
    #[cfg(test)]
    pub(super) fn by_rows(
        file: Arc<ColdFile>,
        types: &Arc<ColumnTypes>,
        rows_max: usize,
    ) -> Result<ColumnReader, Error> {
        ColumnReader::with_sources(file, types, rows_max, u64::MAX, None)
    }

    fn with_sources(
        file: Arc<ColdFile>,
        types: &Arc<ColumnTypes>,
        rows_max: usize,
        bytes_max: u64,
        sources: Option<Vec<Source>>,
    ) -> Result<ColumnReader, Error> {
        let rows = usize::try_from(bytes_max / file.row_bytes()).unwrap_or(usize::MAX).clamp(1, rows_max.max(1));
        let pages = Pages::new(&file);
        let metadata: ArrowReaderMetadata = file.reader().clone();
        let batches = ParquetRecordBatchReaderBuilder::new_with_metadata(pages.clone(), metadata)
            .with_batch_size(rows)
            .build()
            .map_err(|error| file.corrupt(error.to_string()))?;
        let schema = encode::schema(types, false);
        let types = Arc::clone(types);
        Ok(ColumnReader {
            file,
            batches,
            pages,
            types,
            schema,
            sources,
            gone: None,
            rows_read: 0,
            last_key: Vec::new(),
        })
    }

    /// The same, with items that are `gone` as good as removed. Each row is then made an item.
    pub fn without(self, gone: impl Fn(&Item) -> bool + Send + 'static) -> ColumnReader {
        ColumnReader { gone: Some(Box::new(gone)), ..self }
    }

    /// The next rows; none at the end.
    pub fn next_rows(&mut self) -> Result<Option<Columns>, Error> {
        let batch = loop {
            match self.batches.next() {
                Some(Ok(batch)) if batch.num_rows() == 0 => {}
                Some(Ok(batch)) => break batch,
                Some(Err(error)) => return Err(self.pages.failed(&error)),
                None if self.rows_read == self.file.rows => return Ok(None),
                None => return Err(self.file.corrupt(format!("it ends after {} rows", self.rows_read))),
            }
        };
        let columns = self.columns(&batch).map_err(|what| self.file.corrupt(what))?;
        if columns.key(0) <= self.last_key.as_slice() || columns.keys.first_out_of_order().is_some() {
            return Err(self.file.corrupt(format!("rows from {} on do not ascend", self.rows_read)));
        }
        self.rows_read += columns.rows() as u64;
        self.last_key.clear();
        self.last_key.extend_from_slice(columns.key(columns.rows() - 1));
        Ok(Some(columns))
    }

    /// The rows as the table has them; an error says what is wrong with them.
    fn columns(&self, batch: &RecordBatch) -> Result<Columns, String> {
        let footer = self.file.footer();
        let rows = Batch::new(footer, &Projection::all(footer), batch)?;
        let keys = rows.keys(footer)?;
        let sequences = rows.sequences()?.clone();
        let removed = match &self.gone {
            Some(gone) => Some(without(footer, &rows, gone)?),
            None => rows.removed().cloned(),
        };
        let (batch, residual_values) = match &self.sources {
            Some(sources) => {
                let residual = rows.residual_texts();
                let counts = residual.filter(|_| footer.residual_values > 0).map(residual_counts).transpose()?;
                (self.lifted(footer, sources, batch)?, counts.unwrap_or_default())
            }
            None => self.encoded_again(footer, &rows)?,
        };
        let bytes = batch.columns().iter().map(|array| array.to_data().get_slice_memory_size()).sum::<Result<_, _>>();
        let bytes = bytes.map_err(|error| error.to_string())?;
        Ok(Columns { batch, keys, sequences, removed, residual_values, bytes })
    }

    fn lifted(&self, footer: &Footer, sources: &[Source], batch: &RecordBatch) -> Result<RecordBatch, String> {
        let mut arrays = lift(sources, self.schema.fields(), batch.columns(), batch.num_rows())?;
        let fixed = footer.types.columns().len();
        arrays.extend([fixed, fixed + 1].map(|at| Arc::clone(batch.column(at))));
        RecordBatch::try_new(Arc::clone(&self.schema), arrays).map_err(|error| error.to_string())
    }

    fn encoded_again(&self, footer: &Footer, rows: &Batch) -> Result<(RecordBatch, Vec<u64>), String> {
        let mut encoder = RowEncoder::new(Arc::clone(&self.types), false);
        let mut residual_values = Vec::with_capacity(rows.rows());
        for at in 0..rows.rows() {
            let row = rows.row(footer, at)?;
            let item = row.item.unwrap_or_default();
            let attributes = item.iter().map(|(name, value)| Ok((name.as_str(), ValueRef::from(value))));
            let pushed = encoder.push(row.sequence, attributes, 0, false);
            residual_values.push(pushed.map_err(|error| error.to_string())?);
        }
        let batch = encoder.take_batch().map_err(|error| error.to_string())?;
        Ok((batch, residual_values))
    }
}

/// Which rows are removed or gone.
fn without(footer: &Footer, rows: &Batch, gone: &Gone) -> Result<BooleanArray, String> {
    let is_gone = |at| Ok(Some(rows.row(footer, at)?.item.is_none_or(|item| gone(&item))));
    (0..rows.rows()).map(is_gone).collect()
}

/// The columns of `fields`, made of those of a file.
fn lift(sources: &[Source], fields: &Fields, columns: &[ArrayRef], rows: usize) -> Result<Vec<ArrayRef>, String> {
    let lifted = |(source, field): (&Source, &FieldRef)| match source {
        Source::Same(at) => Ok(Arc::clone(&columns[*at])),
        Source::Scaled { at, factor } => scaled(&columns[*at], *factor, field.data_type())
            .ok_or_else(|| format!("column {:?} has a number of too many digits", field.name())),
        Source::Map { at, fields: sources } => {
            let (Some(maps), DataType::Struct(fields)) = (columns[*at].as_struct_opt(), field.data_type()) else {
                return Err(format!("column {:?} has no maps", field.name()));
            };
            let arrays = lift(sources, fields, maps.columns(), rows)?;
            let lifted = StructArray::try_new(fields.clone(), arrays, maps.nulls().cloned());
            Ok(Arc::new(lifted.map_err(|error| error.to_string())?) as ArrayRef)
        }
        Source::New => Ok(new_null_array(field.data_type(), rows)),
    };
    sources.iter().zip(fields).map(lifted).collect()
}

/// Where the columns of `to` come from in a file with those of `from`; none if some values may need another place, as values
/// in the residual column may that no column was to hold.
fn sources(from: &ColumnTypes, to: &ColumnTypes, has_residual: bool) -> Option<Vec<Source>> {
    let source = |column: &super::Column| {
        let same = |other: &super::Column| other.name == column.name && other.attribute == column.attribute;
        let Some(at) = from.columns().iter().position(same) else {
            let may_hold = has_residual && column.column_type.may_take_from_residual();
            return (!may_hold).then_some(Source::New);
        };
        match (&from.columns()[at].column_type, &column.column_type) {
            (before, now) if encode::data_type(before) == encode::data_type(now) => Some(Source::Same(at)),
            (ColumnType::Map(before), ColumnType::Map(now)) if !has_residual => {
                Some(Source::Map { at, fields: sources(before, now, has_residual)? })
            }
            (before, now) => scale_factor(before, now).map(|factor| Source::Scaled { at, factor }),
        }
    };
    let sources = to.columns().iter().map(source).collect::<Option<Vec<Source>>>()?;
    let found = sources.iter().filter(|source| !matches!(source, Source::New)).count();
    (found == from.columns().len()).then_some(sources)
}

/// What a decimal is multiplied by to be one of the wider type `to`.
fn scale_factor(from: &ColumnType, to: &ColumnType) -> Option<i128> {
    match (from, to) {
        (
            ColumnType::Decimal { integer_digits, scale },
            ColumnType::Decimal { integer_digits: wider, scale: finer },
        ) if integer_digits <= wider => 10i128.checked_pow(u32::from(finer.checked_sub(*scale)?)),
        _ => None,
    }
}

/// The decimals of `array` times `factor`; none if one of them does not fit.
fn scaled(array: &ArrayRef, factor: i128, to: &DataType) -> Option<ArrayRef> {
    let multiply = |value: Option<i128>| value.map(|value| value.checked_mul(factor).ok_or(())).transpose();
    let values: Vec<Option<i128>> = match array.as_primitive_opt::<Decimal64Type>() {
        Some(narrow) => narrow.iter().map(|value| multiply(value.map(i128::from))).collect::<Result<_, ()>>().ok()?,
        None => array.as_primitive_opt::<Decimal128Type>()?.iter().map(multiply).collect::<Result<_, ()>>().ok()?,
    };
    Some(match to {
        DataType::Decimal64(..) => {
            let narrow = |value: Option<i128>| value.map(i64::try_from).transpose();
            let values = values.into_iter().map(narrow).collect::<Result<Vec<Option<i64>>, _>>().ok()?;
            Arc::new(Decimal64Array::from(values).with_data_type(to.clone()))
        }
        _ => Arc::new(Decimal128Array::from(values).with_data_type(to.clone())),
    })
}

/// How many values each text holds.
fn residual_counts(texts: &StringArray) -> Result<Vec<u64>, String> {
    texts.iter().map(|text| text.map_or(Ok(0), residual::count)).collect()
}

/// A file as Parquet's reader wants it: it asks for one page at a time.
#[derive(Clone)]
pub(super) struct Pages {
    file: Arc<ColdFile>,
    /// Why a read of the disk failed, if one did: what comes through Parquet is only text.
    failure: Arc<Mutex<Option<Error>>>,
}

/// The bytes of a file from an offset on.
pub(super) struct Tail {
    pages: Pages,
    offset: u64,
}

impl Pages {
    pub(super) fn new(file: &Arc<ColdFile>) -> Pages {
        Pages { file: Arc::clone(file), failure: Arc::default() }
    }

    /// Why Parquet's reader failed: because a read did, or because of what it read.
    pub(super) fn failed(&self, error: &impl std::fmt::Display) -> Error {
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        failure.unwrap_or_else(|| self.file.corrupt(error.to_string()))
    }

    fn read(&self, range: Range<u64>) -> Result<Bytes, Error> {
        let read = self.file.read_range(range);
        if let Err(error) = &read {
            *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.clone());
        }
        read
    }
}

impl Length for Pages {
    fn len(&self) -> u64 {
        self.file.bytes
    }
}

impl ChunkReader for Pages {
    type T = Tail;

    fn get_read(&self, start: u64) -> Result<Tail, ParquetError> {
        Ok(Tail { pages: self.clone(), offset: start })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let end = start.saturating_add(length as u64);
        self.read(start..end).map_err(|error| ParquetError::General(error.to_string()))
    }
}

impl Read for Tail {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let end = self.offset.saturating_add(buffer.len() as u64).min(self.pages.len());
        if end <= self.offset {
            return Ok(0);
        }
        let bytes = self.pages.read(self.offset..end).map_err(io::Error::other)?;
        buffer[..bytes.len()].copy_from_slice(&bytes);
        self.offset = end;
        Ok(bytes.len())
    }
}

#[cfg(test)]
mod tests;
