//! Jobs go on where they were, over restarts and failures, and the tables that they fill are nobody else's until then.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use item::{
    Actor, Item, Key, KeyAttribute, KeyType, Table, TableId, Value,
    table::{Billing, system},
};
use jobs::{Error, Job, Jobs, NewJob, Runner, Started, State, Stopped, Work};
use store::{
    Config, Patience, Store,
    cache::Cache,
    env::{OsClock, OsDisk},
    write::{Action, Rejection, TableRejection, TableWrite, Write},
};
use tokio::sync::{Notify, watch};

const PATIENCE: Patience = Patience { admission: Duration::from_secs(30), answer: Duration::from_secs(30) };

fn open(path: &Path) -> Store {
    let disk = OsDisk::open(path).unwrap();
    Store::open(Arc::new(disk), Arc::new(OsClock), Config::default(), Cache::Off).unwrap()
}

fn table(name: &str) -> Table {
    Table {
        id: TableId(0),
        name: name.to_owned(),
        partition_key: KeyAttribute::new("pk", KeyType::S),
        sort_key: None,
        billing: Billing::OnDemand,
        deletion_protection: false,
        ..system::retained()
    }
}

fn count(name: &str) -> NewJob {
    NewJob { kind: "count", spec: "3".into(), token: None, fills: Some(table(name)) }
}

fn put(table: &Arc<Table>, pk: &str, actor: Actor) -> Write {
    let item = Item([("pk".to_owned(), Value::String(pk.to_owned()))].into());
    let key = Key::of_item(table, &item).unwrap();
    Write { table: table.clone(), key, action: Action::Put(item), condition: None, return_old: false, actor }
}

/// Puts as many items as its spec says, one a checkpoint, and waits to be let go after the first.
async fn count_up(mut work: Work, go: Option<Arc<Notify>>) -> Result<(), Stopped> {
    let from = work.progress::<u64>()?.unwrap_or_default();
    for at in from..work.spec::<u64>()? {
        let table = work.table()?;
        work.store().write(vec![put(&table, &at.to_string(), Actor::Import)]).await?[0].as_ref().unwrap();
        work.checkpoint(&(at + 1)).await?;
        if let Some(go) = &go {
            go.notified().await;
        }
    }
    Ok(())
}

struct Running {
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

fn run(runner: Runner) -> Running {
    let stop = watch::Sender::new(false);
    let task = tokio::spawn(runner.run(stop.subscribe()));
    Running { stop, task }
}

impl Running {
    async fn end(self) {
        self.stop.send_replace(true);
        self.task.await.unwrap();
    }
}

/// The job once `is` holds for it.
async fn until(store: &Store, jobs: &Jobs, job: &Job, is: impl Fn(&Job) -> bool) -> Job {
    let mut applied = store.applied();
    loop {
        let now = jobs.get(&job.kind, &job.id).await.unwrap().unwrap();
        if is(&now) {
            return now;
        }
        tokio::time::timeout(Duration::from_secs(60), applied.changed()).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_job_goes_on_from_its_checkpoint_and_opens_its_table() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let jobs = Jobs::new(store.clone());
    let go = Arc::new(Notify::new());
    let job = jobs.start(count("filled"), PATIENCE).await.unwrap().into_job();
    let filled = store.catalog().by_name("filled").unwrap().clone();
    assert!(filled.settings.is_filling);

    let held = go.clone();
    let running = run(Runner::new(jobs.clone()).with("count", move |work| count_up(work, Some(held.clone()))));
    until(&store, &jobs, &job, |job| job.progress.as_deref() == Some("1")).await;
    let users = store.write(vec![put(&filled, "x", Actor::User)]).await.unwrap();
    assert_eq!(users[0].as_ref().unwrap_err(), &Rejection::TableNotFound);
    let deleted = store.change_table(TableWrite::Delete("filled".into())).await.unwrap();
    assert_eq!(deleted, Err(TableRejection::Filling));
    running.end().await;
    store.close().await.unwrap();
    drop((store, jobs));

    let store = open(dir.path());
    let jobs = Jobs::new(store.clone());
    let attempts = Arc::new(AtomicU64::new(0));
    let counted = attempts.clone();
    let running = run(Runner::new(jobs.clone()).with("count", move |work| {
        counted.fetch_add(1, Ordering::Relaxed);
        assert_eq!(work.progress::<u64>().unwrap(), Some(1));
        count_up(work, None)
    }));
    let done = until(&store, &jobs, &job, Job::is_over).await;
    assert_eq!((done.state, attempts.load(Ordering::Relaxed)), (State::Completed, 1));
    let filled = store.catalog().by_name("filled").unwrap().clone();
    assert!(!filled.settings.is_filling);
    store.write(vec![put(&filled, "x", Actor::User)]).await.unwrap()[0].as_ref().unwrap();
    assert_eq!(store.scan(&filled, 0..1024, None, Default::default()).await.unwrap().items.len(), 4);
    running.end().await;
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_failed_job_says_why_and_takes_its_table_along() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let jobs = Jobs::new(store.clone());
    let runner = Runner::new(jobs.clone())
        .with("count", |_| async { Err(Stopped::failed("NoSuchThing", "it is not there")) })
        .with("panics", |work: Work| async move { panic!("{}", work.job().kind) });
    let running = run(runner);
    let failing = jobs.start(count("filled"), PATIENCE).await.unwrap().into_job();
    let failed = until(&store, &jobs, &failing, Job::is_over).await;
    assert!(matches!(failed.state, State::Failed(failure) if failure.code == "NoSuchThing"));
    assert!(store.catalog().by_name("filled").is_none());

    let panics = NewJob { kind: "panics", ..count("other") };
    let panics = jobs.start(panics, PATIENCE).await.unwrap().into_job();
    let failed = until(&store, &jobs, &panics, Job::is_over).await;
    assert!(matches!(failed.state, State::Failed(failure) if failure.code == "InternalError"));
    assert!(store.catalog().by_name("other").is_none());
    assert_eq!(jobs.list("count").await.unwrap().len(), 1);
    running.end().await;
    store.close().await.unwrap();
}

#[tokio::test]
async fn what_may_pass_is_attempted_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let jobs = Jobs::new(store.clone());
    let attempts = Arc::new(AtomicU64::new(0));
    let running = run(Runner::new(jobs.clone()).with("count", move |work| {
        let first = attempts.fetch_add(1, Ordering::Relaxed) == 0;
        async move { if first { Err(Stopped::Later("not yet".into())) } else { count_up(work, None).await } }
    }));
    let job = jobs.start(count("filled"), PATIENCE).await.unwrap().into_job();
    assert_eq!(until(&store, &jobs, &job, Job::is_over).await.state, State::Completed);
    running.end().await;
    store.close().await.unwrap();
}

/// A job that stopped kept its place at work while it waited for its next attempt: two of them held up all others for ever.
#[tokio::test]
async fn jobs_that_do_not_get_on_hold_up_no_others() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let jobs = Jobs::new(store.clone());
    for at in 0..3 {
        let stuck = NewJob { kind: "stuck", fills: None, ..count("") };
        jobs.start(NewJob { spec: at.to_string(), ..stuck }, PATIENCE).await.unwrap();
    }
    let job = jobs.start(count("filled"), PATIENCE).await.unwrap().into_job();
    let runner = Runner::new(jobs.clone())
        .with("stuck", |_| async { Err(Stopped::Later("never".into())) })
        .with("count", |work| count_up(work, None));
    let running = run(runner);
    assert_eq!(until(&store, &jobs, &job, Job::is_over).await.state, State::Completed);
    assert!(jobs.list("stuck").await.unwrap().iter().all(|job| job.state == State::Running));
    running.end().await;
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_table_is_filled_by_one_job_and_a_token_is_of_one_request() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let jobs = Jobs::new(store.clone());
    let with_token = |spec: &str| NewJob { spec: spec.into(), token: Some("t".into()), ..count("filled") };
    let first = jobs.start(with_token("3"), PATIENCE).await.unwrap().into_job();
    let again = jobs.start(with_token("3"), PATIENCE).await.unwrap();
    assert!(matches!(again, Started::Again(job) if job.id == first.id));
    assert!(matches!(jobs.start(with_token("4"), PATIENCE).await, Err(Error::TokenReused)));
    let same_table = jobs.start(count("filled"), PATIENCE).await;
    assert!(matches!(same_table, Err(Error::Table(TableRejection::Exists(_)))), "{same_table:?}");
    for at in 1..50 {
        jobs.start(count(&format!("filled-{at}")), PATIENCE).await.unwrap();
    }
    assert!(matches!(jobs.start(count("one-more"), PATIENCE).await, Err(Error::TooMany { running: 50 })));
    assert!(store.catalog().by_name("one-more").is_none());
    store.close().await.unwrap();
}
