//! Rows on their way from other files into one, until there are enough of them.

use std::{ops::Range, sync::Arc};

use arrow_array::{Array, RecordBatch};
use arrow_schema::{ArrowError, SchemaRef};
use arrow_select::interleave::interleave;

use super::columns::Columns;

/// Rows are put together when there are so many.
const ROWS_MAX: usize = 4096;
/// Spans of rows, in the order in which they are to be written.
#[derive(Default)]
pub(super) struct Gather {
    sources: Vec<Arc<Columns>>,
    spans: Vec<(usize, Range<usize>)>,
    rows: usize,
    /// Memory of all sources.
    memory_bytes: usize,
    /// Bytes of the rows that are wanted, about.
    bytes: usize,
}

impl Gather {
    pub(super) fn push(&mut self, columns: &Arc<Columns>, rows: Range<usize>) {
        // It is mostly one of the last.
        let known = self.sources.iter().rposition(|source| Arc::ptr_eq(source, columns));
        let source = known.unwrap_or_else(|| {
            self.memory_bytes += columns.memory_bytes();
            self.sources.push(Arc::clone(columns));
            self.sources.len() - 1
        });
        self.rows += rows.len();
        self.bytes += columns.bytes() * rows.len() / columns.rows();
        self.spans.push((source, rows));
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes of the rows, about.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Are there enough rows, or do the columns that they are in take so much memory, whether few or many of their rows are
    /// wanted?
    pub(super) fn is_full(&self, memory_bytes_max: usize) -> bool {
        self.rows >= ROWS_MAX || self.memory_bytes >= memory_bytes_max
    }

    /// All rows in one batch; none are left.
    pub(super) fn take_batch(&mut self, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
        let Gather { sources, spans, rows, .. } = std::mem::take(self);
        if let [(source, rows)] = spans.as_slice() {
            return Ok(sources[*source].batch().slice(rows.start, rows.len()));
        }
        let mut places = Vec::with_capacity(rows);
        for (source, rows) in spans {
            places.extend(rows.map(|row| (source, row)));
        }
        let column = |at: usize| {
            let arrays: Vec<&dyn Array> = sources.iter().map(|source| source.batch().column(at).as_ref()).collect();
            interleave(&arrays, &places)
        };
        let columns = (0..schema.fields().len()).map(column).collect::<Result<Vec<_>, _>>()?;
        RecordBatch::try_new(Arc::clone(schema), columns)
    }
}
