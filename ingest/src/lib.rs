//! How readings enter: listeners and sources take them off sockets, rules map them to puts, the store makes them durable.
//!
//! Data flows through [`Ingest::receive`]: a batch of [`Received`] readings is mapped by pure rules, written in one
//! call of the store, and what could not be mapped goes to the quarantine in the same call. The awaited call returning
//! is the permission to acknowledge. This crate must not know how the store stores.

mod arrival;
mod backoff;
mod collision;
mod config;
mod delivery;
mod error;
mod format;
mod ingest;
mod message;
pub mod metrics;
pub mod mqtt;
pub mod nats;
mod pipeline;
mod quarantine;
mod received;
mod retained;
mod routes;
mod rules;
mod tables;
mod task;
mod template;
mod time;
pub mod topic;
pub mod traffic;

pub use config::{
    Config, Limits, OnCollision, QuarantineLimits, Route, Secret, Settings, Source, SourceKind, Times, Zone,
};
pub use error::Error;
pub use format::Format;
pub use ingest::{Ingest, Replay, Row, RowsOutcome, Selection};
pub use message::{RowDevice, Rows};
pub use quarantine::Entry;
pub use received::{Entrance, Received, StoredTime};
pub use template::{Path, Template};
