//! The DynamoDB and DynamoDB Streams wire protocol, and the HTTP server.
//!
//! A request passes [`serve`] (sockets and their bounds), the router (who may ask, which route), the body (size,
//! inflation), an operation (typed request, rules, store, typed answer) and the wire (errors, checksum, compression).
//! This crate must not know file formats.

mod admin;
mod app;
mod body;
mod budget;
mod cancellation;
mod capacity;
mod config;
mod error;
mod expressions;
mod follow;
mod guard;
mod json;
mod metrics;
mod observe;
mod operations;
mod parameters;
mod partiql;
pub mod process;
mod router;
mod rows;
mod serve;
mod socket;
mod validate;
mod values;
mod wire;

pub use app::{App, Facts, Service};
pub use cancellation::Reason;
pub use config::Config;
pub use error::Error;
pub use metrics::METRICS;
pub use serve::serve;
pub use wire::Payload;
