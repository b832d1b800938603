//! Reading: one view, memtables first, cold files after, merged by key.

use bytes::Bytes;
use item::{Item, Key};

/// Ascending or descending by key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Least key first.
    Forward,
    /// Greatest key first.
    Backward,
}

/// Encoded sort keys `from <= sort < until` of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SortRange {
    /// Least encoded sort key; empty means from the first.
    pub from: Bytes,
    /// First one past the range; none means to the end.
    pub until: Option<Bytes>,
}

/// Some items of a query or scan.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The items, in order.
    pub items: Vec<Item>,
    /// Sum of their sizes as DynamoDB counts them.
    pub bytes: usize,
    /// The key of the last one, if the page ended because of a limit; go on after it.
    pub last_key: Option<Key>,
}

/// Where a page ends.
#[derive(Clone, Copy, Debug)]
pub struct PageLimit {
    /// Items at most.
    pub items: usize,
    /// The page ends with the item that reaches this size. 1 MB on the DynamoDB wire.
    pub bytes: usize,
}

impl Default for PageLimit {
    fn default() -> Self {
        PageLimit { items: usize::MAX, bytes: 1 << 20 }
    }
}
