//! The DynamoDB and DynamoDB Streams wire protocol, and the HTTP server.
//!
//! A request passes [`serve`] (sockets and their bounds), the router (who may ask, which route), the body (size,
//! inflation), an operation (typed request, rules, store, typed answer) and the wire (errors, checksum, compression).
//! This crate must not know file formats.

mod access;
mod admin;
mod app;
mod arriving;
mod body;
mod budget;
mod cancellation;
mod capacity;
mod client;
mod config;
mod cors;
mod error;
mod expressions;
mod follow;
mod guard;
mod item_collection;
mod json;
mod legacy;
mod metrics;
mod observe;
mod operations;
mod parameters;
mod partiql;
pub mod process;
mod router;
mod rows;
mod serve;
mod signature;
mod socket;
mod throttle;
mod transfer;
mod validate;
mod values;
mod watched;
mod wire;

pub use access::Keys;
pub use app::{App, Facts, Service};
pub use cancellation::Reason;
pub use config::Config;
pub use cors::{OriginError, Origins};
pub use error::Error;
pub use metrics::METRICS;
pub use serve::serve;
pub use signature::Credentials;
pub use throttle::Throttle;
pub use transfer::{Buckets, tidy_transfers, with_transfers};
pub use wire::Payload;
