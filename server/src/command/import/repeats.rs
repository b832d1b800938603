//! Rows of one device and time are sent together, in their order.
//!
//! Real series repeat times (an hour, at the end of daylight saving). Sent one by one a second time, the first of two
//! such rows would change the item and the second would change it back. Sent in one request, the server sees that they
//! leave the item as it is. So:
//!
//! 1. A first pass finds the keys that occur more than once, by sorting their hashes, a share of the hashes at a time
//!    if the file is large.
//! 2. In the second pass a row of such a key is held until the last of them is read.
//!
//! Held rows are bounded: past the bound the oldest group goes out early.

use std::collections::BTreeMap;

use super::rows::{Row, Rows};

/// Bytes of a file per share of the hashes that is sorted at once: some 200 MB of hashes.
const BYTES_PER_SHARE: u64 = 1 << 30;
/// Bytes of rows that may be held.
const HELD_BYTES_MAX: usize = 64 << 20;

/// How often each key occurs that occurs more than once; `open` opens the file anew.
pub(crate) fn count(bytes: u64, open: impl Fn() -> anyhow::Result<Rows>) -> anyhow::Result<BTreeMap<u64, u32>> {
    let shares = bytes / BYTES_PER_SHARE + 1;
    let mut repeated = BTreeMap::new();
    for share in 0..shares {
        let mut rows = open()?;
        let mut keys = Vec::new();
        while let Some(row) = rows.next()? {
            keys.extend(row.ok().map(|row| row.key).filter(|key| key % shares == share));
        }
        keys.sort_unstable();
        for group in keys.chunk_by(|left, right| left == right).filter(|group| group.len() > 1) {
            repeated.insert(group[0], group.len() as u32);
        }
    }
    Ok(repeated)
}

/// Holds rows of repeated keys back.
#[derive(Debug)]
pub(crate) struct Hold {
    /// Rows still to come, by key.
    left: BTreeMap<u64, u32>,
    /// Held rows, by the line of the group's first.
    groups: BTreeMap<u64, Vec<Row>>,
    /// The group of a key.
    by_key: BTreeMap<u64, u64>,
    bytes: usize,
    bytes_max: usize,
}

impl Hold {
    /// Holds the rows of the keys in `repeated`, each until it was seen so often.
    pub(crate) fn new(repeated: BTreeMap<u64, u32>) -> Hold {
        Hold { left: repeated, groups: BTreeMap::new(), by_key: BTreeMap::new(), bytes: 0, bytes_max: HELD_BYTES_MAX }
    }

    /// Takes a row and answers the rows that may go now, those of one key together.
    pub(crate) fn pass(&mut self, row: Row) -> Vec<Row> {
        let key = row.key;
        let Some(left) = self.left.get_mut(&key) else { return vec![row] };
        *left -= 1;
        let last = *left == 0;
        self.bytes += row.json.len();
        let group = *self.by_key.entry(key).or_insert(row.line);
        self.groups.entry(group).or_default().push(row);
        if last {
            self.left.remove(&key);
            return self.release(group);
        }
        if self.bytes > self.bytes_max {
            return self
                .groups
                .first_key_value()
                .map(|(first, _)| *first)
                .map_or_else(Vec::new, |first| self.release(first));
        }
        Vec::new()
    }

    /// A row that was imported before is not held, only counted.
    pub(crate) fn skip(&mut self, row: &Row) {
        if let Some(left) = self.left.get_mut(&row.key) {
            *left -= 1;
        }
    }

    /// Everything still held.
    pub(crate) fn finish(&mut self) -> Vec<Row> {
        self.by_key.clear();
        std::mem::take(&mut self.groups).into_values().flatten().collect()
    }

    /// The first line that is held: everything before it may have gone.
    pub(crate) fn first_line(&self) -> Option<u64> {
        self.groups.first_key_value().map(|(line, _)| *line)
    }

    fn release(&mut self, group: u64) -> Vec<Row> {
        let rows = self.groups.remove(&group).unwrap_or_default();
        if let Some(row) = rows.first() {
            self.by_key.remove(&row.key);
        }
        self.bytes -= rows.iter().map(|row| row.json.len()).sum::<usize>();
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(line: u64, key: u64) -> Row {
        Row { line, json: vec![b'x'; 10], key }
    }

    const NONE: [u64; 0] = [];

    fn lines(rows: &[Row]) -> Vec<u64> {
        rows.iter().map(|row| row.line).collect()
    }

    #[test]
    fn rows_of_one_key_go_together_in_their_order() {
        let mut hold = Hold::new(BTreeMap::from([(7, 3)]));
        assert_eq!(lines(&hold.pass(row(1, 1))), [1]);
        assert_eq!(lines(&hold.pass(row(2, 7))), NONE);
        assert_eq!(lines(&hold.pass(row(3, 2))), [3]);
        assert_eq!(lines(&hold.pass(row(4, 7))), NONE);
        assert_eq!(hold.first_line(), Some(2));
        assert_eq!(lines(&hold.pass(row(5, 7))), [2, 4, 5]);
        assert_eq!(hold.first_line(), None);
    }

    #[test]
    fn what_is_held_is_bounded() {
        let mut hold = Hold { bytes_max: 25, ..Hold::new(BTreeMap::from([(7, 2), (8, 9)])) };
        assert_eq!(lines(&hold.pass(row(1, 8))), NONE);
        assert_eq!(lines(&hold.pass(row(2, 7))), NONE);
        assert_eq!(lines(&hold.pass(row(3, 8))), [1, 3]);
        assert_eq!(lines(&hold.pass(row(4, 7))), [2, 4]);
        assert_eq!(lines(&hold.pass(row(5, 8))), NONE);
        assert_eq!(lines(&hold.finish()), [5]);
    }

    #[test]
    fn repeated_keys_are_found() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.csv");
        std::fs::write(&path, "t,v\n1,1\n2,1\n1,3\n3,1\n1,4\n").unwrap();
        let columns = super::super::rows::Columns { device: None, time: "t".into() };
        let repeated = count(24, || Rows::open(&path, &columns)).unwrap();
        assert_eq!(repeated.values().copied().collect::<Vec<_>>(), [3]);
    }
}
