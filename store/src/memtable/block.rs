//! Rows copied out of an arena, into one piece of memory.

use std::ops::Range;

use bytes::Bytes;
use item::{Image, Key, SequenceNumber};

use super::{arena::Place, record::Record};
use crate::files::Row;

/// A block ends with the row that reaches this size, so that a reader does not hold up apply, nor take much memory.
const BLOCK_BYTES_MAX: usize = 256 << 10;

/// The rows so far.
pub(crate) struct Copied {
    bytes: Vec<u8>,
    spans: Vec<Span>,
    rows_max: usize,
    /// The partition of the last row, and where its key is.
    partition: Option<(Place, Range<usize>)>,
}

/// Where the parts of a row are.
struct Span {
    partition: Range<usize>,
    sort: Range<usize>,
    sequence: SequenceNumber,
    image: Option<Range<usize>>,
}

impl Copied {
    /// No rows, of at most `rows_max`.
    pub(crate) fn new(rows_max: usize) -> Copied {
        Copied { bytes: Vec::new(), spans: Vec::new(), rows_max, partition: None }
    }

    /// Copies a row of the partition with its key, `key`, at `place`; answers whether there is room for more.
    pub(crate) fn push(&mut self, place: Place, key: &[u8], row: &Record<'_>) -> bool {
        let partition = match self.partition.take().filter(|(last, _)| *last == place) {
            Some((_, partition)) => partition,
            None => self.copy(key),
        };
        self.partition = Some((place, partition.clone()));
        let sort = self.copy(row.sort);
        let image = row.image.map(|image| self.copy(image));
        self.spans.push(Span { partition, sort, sequence: row.sequence, image });
        self.spans.len() < self.rows_max && self.bytes.len() < BLOCK_BYTES_MAX
    }

    fn copy(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }

    /// The rows, which share their memory.
    pub(crate) fn into_rows(self) -> Vec<Row> {
        let bytes = Bytes::from(self.bytes);
        let row = |span: Span| Row {
            key: Key { partition: bytes.slice(span.partition), sort: bytes.slice(span.sort) },
            sequence: span.sequence,
            image: span.image.map(|image| Image::from_bytes(bytes.slice(image))),
        };
        self.spans.into_iter().map(row).collect()
    }
}
