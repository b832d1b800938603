//! The files of one shard, read side by side, in the order of their keys.
//!
//! Rows are not looked into: only keys and sequence numbers are compared, and what comes out are spans of rows that
//! follow each other in one input, as long as no other input has a key among theirs.

use std::{collections::VecDeque, ops::Range, sync::Arc};

use item::table::system;
use store::{
    Error,
    files::{ColdFile, ColumnReader, ColumnTypes, Columns},
};

/// Rows and bytes read of an input at a time, at most about.
const BATCH_ROWS: usize = 4096;
const BATCH_BYTES: u64 = 4 << 20;
/// Or more, where there are so many inputs that each would get less.
const BATCH_BYTES_MIN: u64 = 64 << 10;

/// Files of one shard, merged as they are read.
pub(crate) struct Inputs {
    types: Arc<ColumnTypes>,
    tokens_at_us: Option<u64>,
    inputs: Vec<Input>,
    batch_bytes: u64,
}

/// Files that follow each other by key: a generation's, or one run.
struct Input {
    files: VecDeque<Arc<ColdFile>>,
    reader: Option<ColumnReader>,
    front: Option<Front>,
}

/// The rows that an input gives next.
struct Front {
    columns: Arc<Columns>,
    at: usize,
}

/// Rows that follow each other, live and the newest of their keys.
pub(crate) struct Span {
    pub(crate) columns: Arc<Columns>,
    pub(crate) rows: Range<usize>,
}

impl Inputs {
    /// Inputs whose files each follow each other by key. Rows come in columns of `types`, which hold all of theirs. If
    /// `tokens_at_us` is given, rows are tokens of transactions, and those that count no more then are as good as removed. What
    /// is read of all inputs takes `bytes_max` bytes, about.
    pub(crate) fn new(
        types: &Arc<ColumnTypes>,
        tokens_at_us: Option<u64>,
        inputs: impl Iterator<Item = VecDeque<Arc<ColdFile>>>,
        bytes_max: usize,
    ) -> Inputs {
        let input = |files| Input { files, reader: None, front: None };
        let inputs: Vec<Input> = inputs.map(input).collect();
        let batch_bytes = (bytes_max / inputs.len().max(1)) as u64;
        let batch_bytes = batch_bytes.clamp(BATCH_BYTES_MIN, BATCH_BYTES);
        Inputs { types: Arc::clone(types), tokens_at_us, inputs, batch_bytes }
    }

    /// The next rows of the generation, greater than all before: of a key's rows the newest, and none if it removed the
    /// key. None at the end. An empty span means that there were only rows to leave out.
    pub(crate) fn next_span(&mut self) -> Result<Option<Span>, Error> {
        for input in &mut self.inputs {
            input.fill(&self.types, self.tokens_at_us, self.batch_bytes)?;
        }
        let fronts = self.inputs.iter().enumerate().filter_map(|(at, input)| Some((at, input.front.as_ref()?)));
        let newest_of_least = |(_, a): &(usize, &Front), (_, b): &(usize, &Front)| {
            a.key().cmp(b.key()).then_with(|| b.columns.sequence(b.at).cmp(&a.columns.sequence(a.at)))
        };
        let Some((at, first)) = fronts.clone().min_by(newest_of_least) else { return Ok(None) };
        let others = fronts.filter(|(other, _)| *other != at).map(|(_, front)| front);
        let next = others.min_by(|a, b| a.key().cmp(b.key()));
        let columns = Arc::clone(&first.columns);
        let start = first.at;
        let end = match next {
            Some(next) if next.key() == first.key() => start + 1,
            Some(next) => first.lower_bound(next.key()),
            None => columns.rows(),
        };
        for input in &mut self.inputs {
            input.skip_key(columns.key(start));
        }
        let removed = (start..end).find(|row| columns.is_removed(*row));
        // What is past the removed row comes with the next span.
        let rows = start..removed.unwrap_or(end);
        self.inputs[at].go_on_at(removed.map_or(end, |row| row + 1));
        Ok(Some(Span { columns, rows }))
    }
}

impl Input {
    /// Has rows at the front, unless there are no more.
    fn fill(&mut self, types: &Arc<ColumnTypes>, tokens_at_us: Option<u64>, batch_bytes: u64) -> Result<(), Error> {
        while self.front.is_none() {
            let mut reader = match self.reader.take() {
                Some(reader) => reader,
                None => match self.files.pop_front() {
                    Some(file) => {
                        let reader = ColumnReader::new(file, types, BATCH_ROWS, batch_bytes)?;
                        match tokens_at_us {
                            Some(now_us) => reader.without(move |token| system::is_token_expired(token, now_us)),
                            None => reader,
                        }
                    }
                    None => break,
                },
            };
            if let Some(columns) = reader.next_rows()? {
                self.front = Some(Front { columns: Arc::new(columns), at: 0 });
                self.reader = Some(reader);
            }
        }
        Ok(())
    }

    /// Passes the row of `key`, if it is the next one.
    fn skip_key(&mut self, key: &[u8]) {
        if let Some(front) = self.front.as_ref().filter(|front| front.key() == key) {
            let next = front.at + 1;
            self.go_on_at(next);
        }
    }

    fn go_on_at(&mut self, row: usize) {
        self.front =
            self.front.take().map(|front| Front { at: row, ..front }).filter(|front| row < front.columns.rows());
    }
}

impl Front {
    fn key(&self) -> &[u8] {
        self.columns.key(self.at)
    }

    /// The first row from here on whose key is not less than `key`; most often it is near.
    fn lower_bound(&self, key: &[u8]) -> usize {
        let rows = self.columns.rows();
        let (mut low, mut step) = (self.at, 1);
        while low + step < rows && self.columns.key(low + step) < key {
            low += step;
            step *= 2;
        }
        // Rows up to `low` are less, the row at `high` is not.
        let mut high = rows.min(low + step);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if self.columns.key(middle) < key { low = middle } else { high = middle }
        }
        high
    }
}
