//! Whole-system simulation: one thread, a seeded clock, a disk that loses what a real one may lose, a workload, and a model
//! that knows what the answers must be.
//!
//! 1. [`run`] opens a store on a [`disk::SimDisk`] and drives it step by step: which step comes next is drawn by the seed.
//! 2. [`workload`] draws writes, tables and reads; [`model`] says what each must answer, follows the log event by event, and
//!    knows which events the store must never lose.
//! 3. The disk stops at some operation. What was not synced may be gone. The store is opened again, and everything is
//!    compared: the log with what was followed, the tables with the model, a second replay with the first.
//!
//! The same seed gives the same bytes, on the disk and in the report.

pub mod clock;
pub mod disk;
pub mod edits;
pub mod model;
pub mod random;
mod reads;
pub mod report;
pub mod run;
mod session;
pub mod workload;

use std::fmt;

/// Something that the store promised not to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation(pub String);

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Answers with a violation unless `holds`.
fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), Violation> {
    match holds {
        true => Ok(()),
        false => Err(Violation(otherwise())),
    }
}
