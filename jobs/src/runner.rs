//! Attempts jobs until they are over.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::watch,
    task::{Id, JoinError, JoinSet},
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
        for kind in self.kinds.keys() {
            // Most servers never have one, and an alert needs something to look at.
            ::metrics::counter!(metrics::RETRIES, "kind" => *kind).increment(0);
            for outcome in [metrics::COMPLETED, metrics::FAILED] {
                ::metrics::counter!(metrics::ENDED, "kind" => *kind, "outcome" => outcome).increment(0);
            }
        }
        let mut turns = Turns::default();
        loop {
            if let Err(error) = self.begin(&mut turns).await {
                tracing::warn!(%error, retry_in_s = BACK_OFF_MAX.as_secs(), "background jobs could not be read");
                if timeout(BACK_OFF_MAX, stopped(&mut shutdown)).await.is_ok() {
                    return;
                }
                continue;
            }
            tokio::select! {
                () = self.jobs.news() => {}
                Some(ended) = turns.at_work.join_next_with_id(), if !turns.at_work.is_empty() => {
                    turns.end(&self.jobs, ended);
                }
                Some(rested) = turns.resting.join_next_with_id(), if !turns.resting.is_empty() => {
                    let id = rested.map_or_else(|error| error.id(), |(id, ())| id);
                    turns.names.remove(&id);
                }
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
    async fn begin(&self, turns: &mut Turns) -> Result<(), store::Error> {
        let mut waiting: Vec<Job> = self.jobs.all().await?.into_iter().filter(|job| !job.is_over()).collect();
        ::metrics::gauge!(metrics::RUNNING).set(waiting.len() as f64);
        waiting.sort_by(|one, other| one.id.cmp(&other.id));
        let busy: BTreeSet<Name> = turns.names.values().cloned().collect();
        for name in waiting.iter().map(name_of).filter(|name| !busy.contains(name)) {
            if turns.at_work.len() >= AT_ONCE {
                break;
            }
            // A kind that an older server does not know waits for a newer one.
            let Some(attempt) = self.kinds.get(name.0.as_str()) else { continue };
            let (jobs, attempt, job) = (self.jobs.clone(), Arc::clone(attempt), name.clone());
            let handle = match turns.failures.get(&name).cloned() {
                Some(failure) => turns.at_work.spawn(async move { fail(&jobs, &job, failure).await }),
                None => turns.at_work.spawn(async move { attempt_once(&jobs, &attempt, &job).await }),
            };
            turns.names.insert(handle.id(), name);
        }
        Ok(())
    }
}

/// The jobs that have begun since the runner has, and are not over.
#[derive(Default)]
struct Turns {
    at_work: JoinSet<Result<(), Stopped>>,
    /// Those that stopped, until they may go on. They hold up nobody else meanwhile.
    resting: JoinSet<()>,
    /// Which job a task of either is of.
    names: BTreeMap<Id, Name>,
    /// How long jobs that stopped rest the next time.
    back_offs: BTreeMap<Name, Duration>,
    /// How jobs end that ended by a panic, until that is durable.
    failures: BTreeMap<Name, Failure>,
}

impl Turns {
    /// A job's turn is over, and so is the job, unless something stopped it.
    fn end(&mut self, jobs: &Jobs, ended: Result<(Id, Result<(), Stopped>), JoinError>) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let Some(name) = self.names.remove(&id) else { return };
        let (kind, id) = &name;
        let stopped = match ended {
            Ok((_, Ok(()))) => {
                self.back_offs.remove(&name);
                self.failures.remove(&name);
                return;
            }
            Ok((_, Err(stopped))) => stopped,
            Err(error) => {
                tracing::error!(kind, id, %error, "a background job ended by a panic");
                // Its next attempt would most likely end in the same way.
                let failure = Failure::new(INTERNAL, format_args!("the job ended by a mistake of ours: {error}"));
                if self.failures.insert(name.clone(), failure).is_none() {
                    return;
                }
                Stopped::Later("it could not be ended".to_owned())
            }
        };
        let back_off = self.back_offs.get(&name).copied().unwrap_or(BACK_OFF);
        ::metrics::counter!(metrics::RETRIES, "kind" => kind.clone()).increment(1);
        tracing::warn!(kind, id, %stopped, retry_in_s = back_off.as_secs(), "a background job stopped and will go on");
        let jobs = jobs.clone();
        let handle = self.resting.spawn(async move {
            wait(back_off).await;
            if let Stopped::Store(store::Error::Full { .. }) = stopped {
                jobs.store().wait_for_room().await;
            }
        });
        self.back_offs.insert(name.clone(), (back_off * 2).min(BACK_OFF_MAX));
        self.names.insert(handle.id(), name);
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
                Err(stopped) if stopped.is_final() => Err(Failure::new(INTERNAL, stopped)),
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
async fn fail(jobs: &Jobs, (kind, id): &Name, failure: Failure) -> Result<(), Stopped> {
    match jobs.get(kind, id).await? {
        Some(mut job) if !job.is_over() => Ok(jobs.end(&mut job, Err(failure)).await?),
        _ => Ok(()),
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
