//! How the values of each column are laid out in a file: the way that makes its first rows smallest.
//!
//! ```text
//! 8-byte integers      DELTA_BINARY_PACKED, or a dictionary
//! texts and bytes      a dictionary, or DELTA_BYTE_ARRAY, or DELTA_LENGTH_BYTE_ARRAY
//! 16-byte decimals     a dictionary (DELTA_BYTE_ARRAY is no choice: Polars does not read it here)
//! doubles              a dictionary
//! booleans             PLAIN
//! ```
//! What is tried is written as the file would be, so compression counts. A dictionary that grows too large gives way to
//! the next best of its column within a row group, so first rows that are not like the others cost little.

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use parquet::{
    arrow::{ArrowSchemaConverter, ArrowWriter, arrow_writer::ArrowWriterOptions},
    basic::{Compression, Encoding, Type},
    errors::ParquetError,
    file::properties::{WriterProperties, WriterPropertiesBuilder},
    schema::types::SchemaDescriptor,
};

use super::footer::BLOCK_ROWS;

/// A file of more columns has the usual layouts: each column that is tried takes about a megabyte while it is.
const TRIED_COLUMNS_MAX: usize = 128;

/// The ways of laying out one column.
type Layout = (Dictionary, Encoding);

/// The layouts of the columns of a file, by leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layouts(Vec<Layout>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dictionary {
    /// While it is not too large; then the encoding beside it.
    Tried,
    /// The encoding from the start.
    None,
}

/// The first is the one to take where nothing is tried.
fn candidates(physical_type: Type) -> &'static [Layout] {
    match physical_type {
        Type::INT32 | Type::INT64 | Type::INT96 => {
            &[(Dictionary::None, Encoding::DELTA_BINARY_PACKED), (Dictionary::Tried, Encoding::DELTA_BINARY_PACKED)]
        }
        Type::BYTE_ARRAY => &[
            (Dictionary::Tried, Encoding::DELTA_LENGTH_BYTE_ARRAY),
            (Dictionary::None, Encoding::DELTA_BYTE_ARRAY),
            (Dictionary::None, Encoding::DELTA_LENGTH_BYTE_ARRAY),
        ],
        Type::FIXED_LEN_BYTE_ARRAY | Type::FLOAT | Type::DOUBLE => &[(Dictionary::Tried, Encoding::PLAIN)],
        Type::BOOLEAN => &[(Dictionary::None, Encoding::PLAIN)],
    }
}

impl Layouts {
    /// What does well mostly.
    pub(super) fn usual(schema: &SchemaRef) -> Result<Layouts, ParquetError> {
        Ok(Layouts::candidates(&descriptor(schema)?, 0))
    }

    /// For each column the one that makes it smallest in `rows`, which are some.
    pub(super) fn smallest(
        rows: &[RecordBatch],
        schema: &SchemaRef,
        compression: Compression,
    ) -> Result<Layouts, ParquetError> {
        let descriptor = descriptor(schema)?;
        if descriptor.num_columns() > TRIED_COLUMNS_MAX {
            return Ok(Layouts::candidates(&descriptor, 0));
        }
        let candidates_of = |leaf: usize| candidates(descriptor.column(leaf).physical_type());
        let mut layouts = Layouts::candidates(&descriptor, 0);
        let mut least: Vec<i64> = vec![i64::MAX; descriptor.num_columns()];
        let rounds = (0..descriptor.num_columns()).map(|leaf| candidates_of(leaf).len()).max().unwrap_or_default();
        for round in 0..rounds {
            // Columns with fewer choices need no further look, nor a first one if there is but one choice.
            let has_choice = |leaf: &usize| candidates_of(*leaf).len() > round.max(1);
            let mut roots: Vec<usize> =
                (0..least.len()).filter(has_choice).map(|leaf| descriptor.get_column_root_idx(leaf)).collect();
            roots.dedup();
            let leaves = (0..least.len()).filter(|leaf| roots.contains(&descriptor.get_column_root_idx(*leaf)));
            let sizes = sizes(rows, &roots, &Layouts::candidates(&descriptor, round), &descriptor, compression)?;
            for (leaf, size) in leaves.zip(sizes) {
                if let Some(layout) = candidates_of(leaf).get(round).filter(|_| size < least[leaf]) {
                    (layouts.0[leaf], least[leaf]) = (*layout, size);
                }
            }
        }
        Ok(layouts)
    }

    /// The candidate of each column at `place`, or its last.
    fn candidates(descriptor: &SchemaDescriptor, place: usize) -> Layouts {
        let candidate = |of_type: &'static [Layout]| of_type[place.min(of_type.len() - 1)];
        Layouts(descriptor.columns().iter().map(|column| candidate(candidates(column.physical_type()))).collect())
    }

    /// Sets them.
    pub(super) fn set(
        &self,
        mut builder: WriterPropertiesBuilder,
        descriptor: &SchemaDescriptor,
    ) -> WriterPropertiesBuilder {
        for (column, (dictionary, encoding)) in descriptor.columns().iter().zip(&self.0) {
            builder = builder
                .set_column_dictionary_enabled(column.path().clone(), *dictionary == Dictionary::Tried)
                .set_column_encoding(column.path().clone(), *encoding);
        }
        builder
    }
}

/// The columns of Parquet for a schema.
pub(super) fn descriptor(schema: &SchemaRef) -> Result<SchemaDescriptor, ParquetError> {
    ArrowSchemaConverter::new().convert(schema)
}

/// What is common to every file: pages of a block of rows, statistics of each column and page.
pub(super) fn builder(compression: Compression) -> WriterPropertiesBuilder {
    WriterProperties::builder()
        .set_compression(compression)
        .set_write_batch_size(BLOCK_ROWS)
        .set_data_page_row_count_limit(BLOCK_ROWS)
}

/// Bytes of the leaves of some root columns, laid out so.
fn sizes(
    rows: &[RecordBatch],
    roots: &[usize],
    layouts: &Layouts,
    descriptor: &SchemaDescriptor,
    compression: Compression,
) -> Result<Vec<i64>, ParquetError> {
    let Some(first) = rows.first() else { return Ok(Vec::new()) };
    let schema = first.project(roots)?.schema();
    let properties = layouts.set(builder(compression), descriptor).build();
    let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(std::io::sink(), schema, options)?;
    for batch in rows {
        writer.write(&batch.project(roots)?)?;
    }
    let metadata = writer.close()?;
    let mut sizes: Vec<i64> = Vec::new();
    for group in metadata.row_groups() {
        sizes.resize(group.num_columns(), 0);
        sizes.iter_mut().zip(group.columns()).for_each(|(size, column)| *size += column.compressed_size());
    }
    Ok(sizes)
}
