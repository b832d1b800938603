//! New tables, as others were: a kind of job.
//!
//! 1. Before the request is answered, what is restored is linked under `restores/<name>` ([`from_backup`], [`to_time`]): whatever
//!    becomes of the backup or of the source, the job has what it needs.
//! 2. The job makes a base of it, if it is not one yet, and writes its items into the new table, by shard and key. Its
//!    checkpoint is the last key that is durable.
//! 3. When all are, the base goes. The table is opened by whoever runs the job.
//!
//! After a crash anywhere the job goes on from its checkpoint; what no job needs, [`tidy`] removes.

mod attempt;
mod error;
mod progress;
mod start;

pub use attempt::attempt;
pub use error::Error;
pub use start::{from_backup, keep_only, tidy, to_time};

/// The kind of these jobs.
pub const KIND: &str = "restore";

/// What a job is asked for. Persisted.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Spec {
    /// The name of the base that it restores.
    pub(crate) base: String,
}
