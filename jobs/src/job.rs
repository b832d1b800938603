//! A job as it stands.

use std::sync::Arc;

use item::{Table, TableId};
use serde::{Serialize, de::DeserializeOwned};

use crate::Failure;

/// A job as its row has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Who does it: the word under which the runner knows it.
    pub kind: String,
    /// Its number among those of its kind: milliseconds since 1970 and eight random digits, so ids ascend with time.
    pub id: String,
    /// What is asked for, in the kind's own JSON.
    pub spec: String,
    /// The token with which it was asked for.
    pub token: Option<String>,
    /// How far it has safely got, in the kind's own JSON; none before the first checkpoint.
    pub progress: Option<String>,
    /// The table that it fills, as it is to be.
    pub fills: Option<Arc<Table>>,
    /// That table's number, once it is made.
    pub table: Option<TableId>,
    /// What came of it.
    pub state: State,
    /// Has the outcome been carried out? Until then the table that it fills is neither open nor gone.
    pub(crate) is_settled: bool,
    /// When it was asked for, microseconds since 1970.
    pub created_at_us: u64,
    /// When its outcome was known, microseconds since 1970.
    pub ended_at_us: Option<u64>,
}

/// What came of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing yet: it waits, or is at work.
    Running,
    /// It is done.
    Completed,
    /// It could not be done.
    Failed(Failure),
}

/// A job to be started.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// Its kind.
    pub kind: &'static str,
    /// What is asked for, in the kind's own JSON. The same request gives the same text.
    pub spec: String,
    /// Whoever asks again within eight hours with the same token and spec gets the same job.
    pub token: Option<String>,
    /// A table to be made and filled. The store gives its number, version and times.
    pub fills: Option<Table>,
}

/// A job that was asked for.
#[derive(Clone, Debug)]
pub enum Started {
    /// It is new.
    New(Job),
    /// It was asked for before.
    Again(Job),
}

impl Started {
    /// The job, be it new or not.
    pub fn into_job(self) -> Job {
        match self {
            Started::New(job) | Started::Again(job) => job,
        }
    }
}

impl Job {
    /// Is it over, with all that belongs to it?
    pub fn is_over(&self) -> bool {
        self.is_settled && self.state != State::Running
    }

    /// What is asked for.
    pub fn spec<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_str(&self.spec).map_err(|error| self.unreadable(&error))
    }

    /// How far it has got; none before the first checkpoint.
    pub fn progress<T: DeserializeOwned>(&self) -> Result<Option<T>, Failure> {
        let read = |progress: &String| serde_json::from_str(progress).map_err(|error| self.unreadable(&error));
        self.progress.as_ref().map(read).transpose()
    }

    fn unreadable(&self, error: &serde_json::Error) -> Failure {
        Failure::new(INTERNAL, format_args!("what is stored of {} {} cannot be read: {error}", self.kind, self.id))
    }
}

/// The code of failures that are nobody's request's fault.
pub(crate) const INTERNAL: &str = "InternalError";

/// A kind's own JSON.
pub(crate) fn text(of: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(of).map_err(|error| Failure::new(INTERNAL, error))
}
