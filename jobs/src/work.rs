//! What an attempt of a job is given.

use std::sync::Arc;

use item::Table;
use serde::{Serialize, de::DeserializeOwned};
use store::Store;

use crate::{Failure, Job, Jobs, Stopped, job};

/// A job under way, for the attempt that does it.
pub struct Work {
    jobs: Jobs,
    job: Job,
}

impl Work {
    pub(crate) fn new(jobs: Jobs, job: Job) -> Work {
        Work { jobs, job }
    }

    /// The job, as of its last checkpoint.
    pub fn job(&self) -> &Job {
        &self.job
    }

    /// Where everything is stored.
    pub fn store(&self) -> &Store {
        self.jobs.store()
    }

    /// What is asked for.
    pub fn spec<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        self.job.spec()
    }

    /// How far earlier attempts have safely got; none before the first checkpoint.
    pub fn progress<T: DeserializeOwned>(&self) -> Result<Option<T>, Failure> {
        self.job.progress()
    }

    /// Notes, durably, how far the job has safely got: the next attempt begins there. What it says must be done before.
    pub async fn checkpoint(&mut self, progress: &impl Serialize) -> Result<(), Stopped> {
        self.job.progress = Some(job::text(progress)?);
        self.jobs.save(&self.job).await?;
        Ok(())
    }

    /// The table that the job fills, as it is now. Rows of it are written by [`item::Actor::Import`] or
    /// [`item::Actor::System`]: nobody else may yet.
    pub fn table(&self) -> Result<Arc<Table>, Failure> {
        let id = self.job.table.ok_or_else(|| Failure::new(job::INTERNAL, "the job fills no table"))?;
        let table = self.store().catalog().by_id(id).cloned();
        table.ok_or_else(|| Failure::new(job::INTERNAL, "the table that was to be filled is gone"))
    }
}
