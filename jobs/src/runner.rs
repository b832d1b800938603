//! Attempts jobs until they are over.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::watch,
    task::{Id, JoinSet},
    time::{MissedTickBehavior, timeout},
};

use crate::{Error, Failure, Job, Jobs, State, Stopped, Work, job::INTERNAL, metrics};

/// Jobs at work at once; others wait for their turn.
const AT_ONCE: usize = 2;
/// How long a job waits after an attempt that stopped, and at most, after several.
const BACK_OFF: Duration = Duration::from_secs(1);
const BACK_OFF_MAX: Duration = Duration::from_secs(60);
/// How often it is looked for jobs that were over long ago.
const FORGET_INTERVAL: Duration = Duration::from_secs(3600);

/// An attempt of one kind of job.
type Attempt = Arc<dyn Fn(Work) -> Pin<Box<dyn Future<Output = Result<(), Stopped>> + Send>> + Send + Sync>;

/// A job's kind and id.
type Name = (String, String);

/// Attempts the jobs of some kinds.
pub struct Runner {
    jobs: Jobs,
    kinds: BTreeMap<&'static str, Attempt>,
}

impl Runner {
    /// Of `jobs`; knows no kind yet.
    pub fn new(jobs: Jobs) -> Runner {
        Runner { jobs, kinds: BTreeMap::new() }
    }

    /// Knows jobs of `kind` too. An attempt may be dropped at any await, and begin again from the last checkpoint; it blocks no
    /// thread, holds a bounded part of its work in memory, and leaves room for others: what it writes it awaits.
    pub fn with<F, R>(mut self, kind: &'static str, attempt: F) -> Runner
    where
        F: Fn(Work) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), Stopped>> + Send + 'static,
    {
        self.kinds.insert(kind, Arc::new(move |work| Box::pin(attempt(work))));
        self
    }

    /// Attempts jobs, until `shutdown` is true. Those at work then stop where they are.
    pub async fn run(self, mut shutdown: watch::Receiver<bool>) {
        let mut forget = tokio::time::interval(FORGET_INTERVAL);
        forget.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut tasks = JoinSet::new();
        let mut at_work: BTreeMap<Id, Job> = BTreeMap::new();
        loop {
            if let Err(error) = self.begin(&mut tasks, &mut at_work).await {
                tracing::warn!(%error, retry_in_s = BACK_OFF_MAX.as_secs(), "background jobs could not be read");
                if timeout(BACK_OFF_MAX, stopped(&mut shutdown)).await.is_ok() {
                    return;
                }
                continue;
            }
            tokio::select! {
                () = self.jobs.news() => {}
                Some(ended) = tasks.join_next_with_id(), if !tasks.is_empty() => match ended {
                    Ok((id, ())) => _ = at_work.remove(&id),
                    Err(error) => {
                        let Some(job) = at_work.remove(&error.id()) else { continue };
                        // Its next attempt would most likely end in the same way.
                        let failure = Failure::new(INTERNAL, format_args!("the job ended by a mistake of ours: {error}"));
                        tracing::error!(kind = job.kind, id = job.id, %error, "a background job ended by a panic");
                        let (jobs, name) = (self.jobs.clone(), name_of(&job));
                        let handle = tasks.spawn(async move { fail(&jobs, &name, failure).await });
                        at_work.insert(handle.id(), job);
                    }
                },
                _ = forget.tick() => {
                    if let Err(error) = self.jobs.forget().await {
                        tracing::warn!(%error, "old background jobs were not forgotten");
                    }
                }
                () = stopped(&mut shutdown) => return,
            }
        }
    }

    /// Begins as many of the jobs that wait as may be at work, oldest first.
    async fn begin(&self, tasks: &mut JoinSet<()>, at_work: &mut BTreeMap<Id, Job>) -> Result<(), store::Error> {
        let mut waiting: Vec<Job> = self.jobs.all().await?.into_iter().filter(|job| !job.is_over()).collect();
        ::metrics::gauge!(metrics::RUNNING).set(waiting.len() as f64);
        waiting.sort_by(|one, other| one.id.cmp(&other.id));
        let busy: BTreeSet<Name> = at_work.values().map(name_of).collect();
        for job in waiting.into_iter().filter(|job| !busy.contains(&name_of(job))) {
            if tasks.len() >= AT_ONCE {
                break;
            }
            // A kind that an older server does not know waits for a newer one.
            let Some(attempt) = self.kinds.get(job.kind.as_str()) else { continue };
            let (jobs, attempt, name) = (self.jobs.clone(), Arc::clone(attempt), name_of(&job));
            let handle = tasks.spawn(async move { finish(&jobs, &attempt, &name).await });
            at_work.insert(handle.id(), job);
        }
        Ok(())
    }
}

/// Attempts a job until it is over.
async fn finish(jobs: &Jobs, attempt: &Attempt, name: &Name) {
    let mut back_off = BACK_OFF;
    loop {
        let stopped = match attempt_once(jobs, attempt, name).await {
            Ok(()) => return,
            Err(stopped) => stopped,
        };
        let (kind, id) = name;
        ::metrics::counter!(metrics::RETRIES, "kind" => kind.clone()).increment(1);
        tracing::warn!(kind, id, %stopped, retry_in_s = back_off.as_secs(), "a background job stopped and will go on");
        wait(back_off).await;
        if let Stopped::Store(store::Error::Full { .. }) = stopped {
            jobs.store().wait_for_room().await;
        }
        back_off = (back_off * 2).min(BACK_OFF_MAX);
    }
}

/// One attempt of what is left of a job, and what comes after it; an error if another is to be made.
async fn attempt_once(jobs: &Jobs, attempt: &Attempt, (kind, id): &Name) -> Result<(), Stopped> {
    let Some(mut job) = jobs.get(kind, id).await?.filter(|job| !job.is_over()) else { return Ok(()) };
    let mut outcome = Ok(());
    if job.state == State::Running {
        outcome = match jobs.make_table(&mut job, None).await {
            Ok(()) => match attempt(Work::new(jobs.clone(), job.clone())).await {
                Ok(()) => Ok(()),
                Err(Stopped::Failed(failure)) => Err(failure),
                Err(Stopped::Store(error @ store::Error::Corrupt { .. })) => Err(Failure::new(INTERNAL, error)),
                Err(stopped) => return Err(stopped),
            },
            Err(Error::Store(error)) => return Err(error.into()),
            Err(refused) => Err(Failure::new("TableNotCreated", refused)),
        };
        // With the checkpoints of the attempt.
        if let Some(now) = jobs.get(kind, id).await? {
            job = now;
        }
    }
    Ok(jobs.end(&mut job, outcome).await?)
}

/// Ends a job as failed.
async fn fail(jobs: &Jobs, (kind, id): &Name, failure: Failure) {
    let ended = async {
        match jobs.get(kind, id).await? {
            Some(mut job) if !job.is_over() => jobs.end(&mut job, Err(failure)).await,
            _ => Ok(()),
        }
    };
    if let Err(error) = ended.await {
        tracing::error!(kind, id, %error, "a background job could not be ended");
    }
}

fn name_of(job: &Job) -> Name {
    (job.kind.clone(), job.id.clone())
}

async fn wait(duration: Duration) {
    // Nothing tells when what failed would work.
    let _ = timeout(duration, std::future::pending::<()>()).await;
}

async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    // An error means that nobody can ask any more: stop as well.
    let _ = shutdown.wait_for(|stop| *stop).await;
}
