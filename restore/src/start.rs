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

/// Begins to restore a backup as `table`.
pub async fn from_backup(
    jobs: &Jobs,
    backups: &Backups,
    backup: Arc<Base>,
    table: Table,
    patience: Patience,
) -> Result<Job, Error> {
    let name = format!("{PREFIX}{}", backups.new_id());
    let (source, linked) = (backups.clone(), name.clone());
    let copied = tokio::task::spawn_blocking(move || source.copy(&backup, &linked).map(drop));
    copied.await.map_err(|_| store::Error::Closed)??;
    start(jobs, backups, name, table, patience).await
}

/// Begins to restore the table `source` as `table`, as it was at a time, microseconds since 1970, or with every change acknowledged
/// before the call.
pub async fn to_time(
    jobs: &Jobs,
    compactor: &Compactor,
    source: TableId,
    at_us: Option<u64>,
    table: Table,
    patience: Patience,
) -> Result<Job, Error> {
    let backups = compactor.backups();
    let name = format!("{PREFIX}{}", backups.new_id());
    if !compactor.begin_as_of(source, at_us, name.clone()).await? {
        return Err(Error::OutOfReach);
    }
    start(jobs, backups, name, table, patience).await
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
                let backups = backups.clone();
                let removed = tokio::task::spawn_blocking(move || backups.remove_scratch(&base));
                removed.await.map_err(|_| store::Error::Closed)??;
            }
            Err(error.into())
        }
    }
}

/// Removes bases that no job needs: of requests that a crash cut off, and of jobs that are over. Before anything is asked for.
pub async fn tidy(jobs: &Jobs, backups: &Backups) -> Result<(), store::Error> {
    let all = jobs.list(KIND).await?;
    let needed = all.iter().filter(|job| !job.is_over()).filter_map(|job| job.spec().ok());
    let needed: BTreeSet<String> = needed.map(|Spec { base }| base).collect();
    let backups = backups.clone();
    let remove = move || {
        let ours = |name: &String| name.starts_with(PREFIX) && !needed.contains(name);
        for name in backups.scratches()?.into_iter().filter(ours) {
            tracing::info!(name, "removing what no restore needs");
            backups.remove_scratch(&name)?;
        }
        Ok(())
    };
    tokio::task::spawn_blocking(remove).await.map_err(|_| store::Error::Closed)?
}
