//! The change stream: what changed in a table, in order, read from the log. Nothing is written a second time.
//!
//! A table's stream has one [`shards`] entry for each shard of the store. A client holds a place in it as an opaque token
//! ([`position`]); [`Reader::records`] scans a bounded piece of the log from there and shows ([`view`]) what it finds. A
//! [`Walk`] does the same over all shards at once. Both go through one read path, and neither ever sees a frame that is
//! not applied. They are synchronous; [`Streams`] is the shell for callers that must not block, and a [`Follower`] is a
//! walk that waits for what comes next.
//!
//! This crate must not know who ingests, nor how a wire renders a record.
//!
//! How long a stream can be read is how long the log is kept. A stream that was disabled, or whose table was deleted, is
//! no longer listed; whoever knows its name can read it to its end as long as the log keeps the frame that enabled it, or
//! this process has served it before. Its shards end by answering no next iterator.

mod error;
mod follower;
mod lineage;
pub mod position;
mod reader;
mod scan;
pub mod shards;
mod streams;
#[cfg(test)]
mod tests;
pub mod view;
mod walk;

pub use error::Error;
pub use follower::{FollowFrom, Follower};
pub use position::IteratorStart;
pub use reader::{RECORDS_MAX, Reader, RecordsPage, SHARDS_MAX, StreamPage};
pub use shards::{ShardDescription, StreamDescription, StreamName, label};
pub use streams::Streams;
pub use view::{EventName, Record};
pub use walk::{Followed, Walk};

use store::metric::Metric;

/// What this crate counts.
pub const METRICS: &[Metric] = &[
    Metric::counter("thalweg_streams_records_total", "Records shown to stream readers and followers"),
    Metric::counter("thalweg_streams_scanned_bytes_total", "Bytes of frames read for them"),
    Metric::gauge("thalweg_streams_followers", "Followers that are open"),
    Metric::histogram(
        "thalweg_streams_follower_lag_seconds",
        "Age of the newest record of each piece that a follower was given: how far behind it is",
    ),
];
