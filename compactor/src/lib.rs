//! Rolls sealed memtables into Parquet, merges, publishes, and gives up what is no longer needed.
//!
//! ```text
//! sealed memtables --flush--> runs --merge--> a generation of the table --link--> cold/tables/<name>
//! items older than an index --fill--> runs of its entries
//! tables with continuous backups --protect--> bases and history (see the crate `backup`)
//! items whose time is over --expire--> removed, by events like any other
//! ```
//! 1. [`plan`] says what to do next: a pure function of manifest, catalogue, sealed sets and clock.
//! 2. A [`Job`] does it, one bounded step at a time, so that flushes can go on in the middle of a long merge.
//! 3. Each job writes new files only, syncs them, and commits them through [`store::Store::commit`]; only then are links
//!    swapped and old files removed. A crash anywhere leaves a state that [`Compactor::open`] tidies.
//!
//! This crate must not know protocols.

mod collect;
mod compactor;
mod config;
mod errand;
mod error;
mod expiry;
mod fill;
mod flush;
mod indexes;
mod inputs;
mod job;
mod layout;
mod links;
mod listing;
mod merge;
mod metrics;
pub mod plan;
mod protect;
mod retention;
mod verify;

pub use compactor::{Compacted, Compactor};
pub use config::Config;
pub use error::Error;
pub use expiry::{Due, Expirer};
pub use job::{Job, Report, Step};
pub use metrics::{Backlog, METRICS};
pub use plan::Task;
pub use verify::{Verified, verify};
