//! Background jobs: what is asked for in one request and takes longer than anybody would wait.
//!
//! ```text
//! start ──> row in `$jobs` ──> table to be filled, if any ──> answer
//!              │  ▲
//!              ▼  │ checkpoints
//!           Runner: attempt, again after a failure that may pass, or after a restart
//!              │
//!              ▼
//!           outcome into the row ──> table opened or discarded ──> row says that the job is over
//! ```
//! 1. A job is one row of a reserved table, written as every item is. [`Jobs::start`] returns when the row is durable.
//! 2. The [`Runner`] attempts a few jobs at once, in the order in which they were asked for. An attempt is the future that its
//!    *kind* makes; it checkpoints how far it has safely got, and may be dropped at any await.
//! 3. After a restart every job that is not over is attempted again, from its checkpoint.
//! 4. A job may fill a new table. Nobody else can read or write that until the job has completed; if it fails the table goes.
//!
//! This crate knows no kind of job: whoever composes the server names them. It must not know protocols or file formats.

mod error;
mod job;
mod metrics;
mod row;
mod runner;
mod table;
mod work;

pub use error::{Error, Failure, Stopped};
pub use job::{Job, NewJob, Started, State};
pub use metrics::METRICS;
pub use runner::Runner;
pub use table::Jobs;
pub use work::Work;
