//! Beginning restores.

use std::{collections::BTreeSet, sync::Arc};

use backup::{Backups, Base};
use compactor::Compactor;
use item::{Table, TableId};
use jobs::{Job, Jobs, NewJob};
use store::Patience;

use crate::{Error, KIND, Spec};

/// What the names of our bases begin with.
const PREFIX: &str = "restore-";

/// Begins to restore a backup as `table`. Once begun it goes on, also if the caller goes away.
pub async fn from_backup(
    jobs: &Jobs,
    backups: &Backups,
    backup: Arc<Base>,
    table: Table,
    patience: Patience,
) -> Result<Job, Error> {
    let (jobs, backups) = (jobs.clone(), backups.clone());
    to_its_end(async move {
        let name = format!("{PREFIX}{}", backups.new_id());
        let (source, linked) = (backups.clone(), name.clone());
        let copied = tokio::task::spawn_blocking(move || source.copy(&backup, &linked).map(drop));
        if let Err(error) = copied.await.unwrap_or(Err(store::Error::Closed)) {
            remove(&backups, name).await?;
            return Err(error.into());
        }
        start(&jobs, &backups, name, table, patience).await
    })
    .await
}

/// Begins to restore the table `source` as `table`, as it was at a time, microseconds since 1970, or with every change acknowledged
/// before the call. Once begun it goes on, also if the caller goes away.
pub async fn to_time(
    jobs: &Jobs,
    compactor: &Compactor,
    source: TableId,
    at_us: Option<u64>,
    table: Table,
    patience: Patience,
) -> Result<Job, Error> {
    let (jobs, compactor) = (jobs.clone(), compactor.clone());
    to_its_end(async move {
        let backups = compactor.backups();
        let name = format!("{PREFIX}{}", backups.new_id());
        match compactor.begin_as_of(source, at_us, name.clone()).await {
            Ok(true) => start(&jobs, backups, name, table, patience).await,
            Ok(false) => Err(Error::OutOfReach),
            Err(error) => {
                remove(backups, name).await?;
                Err(error.into())
            }
        }
    })
    .await
}

/// Goes on with `work` also if nobody awaits it any more: a client that hangs up between a base and its job would leave a base that
/// nobody knows of.
async fn to_its_end(work: impl Future<Output = Result<Job, Error>> + Send + 'static) -> Result<Job, Error> {
    match tokio::spawn(work).await {
        Ok(result) => result,
        Err(join) => match join.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(store::Error::Closed.into()),
        },
    }
}

async fn start(jobs: &Jobs, backups: &Backups, base: String, table: Table, patience: Patience) -> Result<Job, Error> {
    // The same text for the same base.
    let spec = serde_json::to_string(&Spec { base: base.clone() }).expect("a name serializes");
    let started = jobs.start(NewJob { kind: KIND, spec, token: None, fills: Some(table) }, patience).await;
    match started {
        Ok(started) => Ok(started.into_job()),
        Err(error) => {
            // If the job was taken in all the same, which nobody can know of some failures, it needs the base.
            let is_refused = match &error {
                jobs::Error::Table(_) | jobs::Error::TokenReused | jobs::Error::TooMany { .. } => true,
                jobs::Error::Store(_) => false,
            };
            if is_refused {
                remove(backups, base).await?;
            }
            Err(error.into())
        }
    }
}

/// Removes bases that no restore needs: of requests that a crash cut off, and of jobs that are over. Before anything is asked for.
pub async fn tidy(jobs: &Jobs, backups: &Backups) -> Result<(), store::Error> {
    let all = jobs.list(KIND).await?;
    let needed = all.iter().filter(|job| !job.is_over()).filter_map(|job| job.spec().ok());
    let needed = needed.map(|Spec { base }| base).collect();
    keep_only(backups, PREFIX, needed).await
}

/// Removes the bases for jobs whose names begin with `prefix` and are not `needed`.
pub async fn keep_only(backups: &Backups, prefix: &'static str, needed: BTreeSet<String>) -> Result<(), store::Error> {
    let backups = backups.clone();
    let remove = move || {
        let is_left = |name: &String| name.starts_with(prefix) && !needed.contains(name);
        for name in backups.scratches()?.into_iter().filter(is_left) {
            tracing::info!(name, "removing what no job needs");
            backups.remove_scratch(&name)?;
        }
        Ok(())
    };
    tokio::task::spawn_blocking(remove).await.map_err(|_| store::Error::Closed)?
}

async fn remove(backups: &Backups, base: String) -> Result<(), store::Error> {
    let backups = backups.clone();
    let removed = tokio::task::spawn_blocking(move || backups.remove_scratch(&base));
    removed.await.map_err(|_| store::Error::Closed)?
}
