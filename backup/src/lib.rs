//! Tables as they were.
//!
//! ```text
//! files of a manifest --link--> a base: a table as of one flushed frame
//! the log --record--> history: a table's events after its bases
//! a base + history up to a time --AsOf--> another base
//! ```
//! A [`Base`] is a directory that stands alone: hard links to Parquet files, which never change, and a manifest that names
//! them. A backup is a base with a name. A table with continuous backups has a [`Past`]: bases, and the history between and
//! after them. What it was at a time is made into a base of its own, and read by [`Rows`]: restores and exports need no other
//! form. Layouts, and the order of what is done on the disk: `docs/backup.md`.
//!
//! This crate must not know protocols, nor who restores.

mod as_of;
mod backups;
mod base;
mod draft;
mod history;
mod metrics;
mod note;
mod past;
mod recorder;
mod rows;
mod subtree;
mod survey;

pub use as_of::AsOf;
pub use backups::{Backups, Need};
pub use base::Base;
pub use history::{HistoryFile, HistoryReader};
pub use metrics::METRICS;
pub use note::{Kind, Note};
pub use past::Past;
pub use rows::{Cursor, Rows};
pub use survey::{Survey, survey};
