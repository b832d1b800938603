//! Shards, log, memtable, manifest, cache and cold reads: what makes an acknowledged write durable and findable.
//!
//! A write passes `plan` (pure), [`log`] (one frame, one sync), and apply into the [`memtable`]; then its awaited call
//! returns. A read takes one [`view`] and asks memtables first, cold files after. This crate must not know MQTT, HTTP or SQL.

mod apply;
mod batch;
pub mod cache;
pub mod catalog;
mod claim;
mod config;
mod core;
mod drive;
mod entries;
pub mod env;
mod error;
pub mod files;
mod gauges;
mod high_keys;
mod inbox;
pub mod log;
pub mod manifest;
pub mod memtable;
pub mod metric;
mod overlay;
mod park;
mod plan;
mod read;
mod recover;
mod request;
pub mod room;
pub mod rows;
mod snapshot;
mod stepper;
mod store;
pub mod transaction;
pub mod view;
pub mod write;

pub use catalog::Catalog;
pub use config::{Config, Durability};
pub use error::Error;
pub use gauges::METRICS;
pub use high_keys::METRICS as HIGH_KEYS_METRICS;
pub use plan::METRICS as PLANNER_METRICS;
pub use read::{Direction, Page, PageLimit, SortRange, Target};
pub use snapshot::Snapshot;
pub use stepper::Stepper;
pub use store::{Patience, Store};
