//! The jobs that there are: rows of `$jobs`, and the table that a job fills.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use item::{Actor, Item, Key, Table, TableId, Value, key, table::system};
use store::{
    Direction, PageLimit, Patience, SortRange, Store,
    write::{Action, TableRejection, TableWrite, Write},
};
use tokio::sync::{Mutex, Notify};

use crate::{
    Error, Failure, Job, NewJob, Started, State, metrics,
    row::{item_of, job_of},
};

/// Jobs of one kind that are not over, at most: DynamoDB takes 50 imports at once.
const RUNNING_MAX: usize = 50;
/// A job that is over is told of for so long, as DynamoDB lists exports and imports.
const KEPT_US: u64 = 90 * 24 * 3600 * 1_000_000;
/// And of those that are over, no more than so many of one kind, the newest.
const KEPT_MAX: usize = 10_000;
/// A token counts for so long, as in DynamoDB.
const TOKEN_US: u64 = 8 * 3600 * 1_000_000;

/// The jobs of a server. Cloning shares them.
#[derive(Clone)]
pub struct Jobs(Arc<Inner>);

struct Inner {
    store: Store,
    /// Held while a job is asked for: of two that would fill one table, one is refused.
    change: Mutex<()>,
    /// There is a new job.
    news: Notify,
}

impl Jobs {
    /// The jobs that `store` holds.
    pub fn new(store: Store) -> Jobs {
        Jobs(Arc::new(Inner { store, change: Mutex::new(()), news: Notify::new() }))
    }

    /// Takes a job in, durably, with the table that it fills; somebody must run a [`crate::Runner`]. Once begun it goes on,
    /// also if the caller goes away.
    pub async fn start(&self, new: NewJob, patience: Patience) -> Result<Started, Error> {
        let jobs = self.clone();
        match tokio::spawn(async move { jobs.start_alone(new, patience).await }).await {
            Ok(result) => result,
            Err(join) => match join.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(store::Error::Closed.into()),
            },
        }
    }

    async fn start_alone(&self, new: NewJob, patience: Patience) -> Result<Started, Error> {
        let _alone = self.0.change.lock().await;
        let now_us = self.store().clock().now_us();
        let all = self.all().await?;
        let mut of_kind = all.iter().filter(|job| job.kind == new.kind);
        let is_same = |job: &&Job| job.token == new.token && now_us.saturating_sub(job.created_at_us) < TOKEN_US;
        if new.token.is_some()
            && let Some(job) = of_kind.clone().rfind(is_same)
        {
            let fills = new.fills.map(numbered);
            let is_same = job.spec == new.spec && job.fills.as_deref() == fills.as_ref();
            return if is_same { Ok(Started::Again(job.clone())) } else { Err(Error::TokenReused) };
        }
        let running = of_kind.clone().filter(|job| !job.is_over()).count();
        if running >= RUNNING_MAX {
            return Err(Error::TooMany { running });
        }
        if let Some(table) = &new.fills {
            // Also one that a crash has kept from making its table.
            let name = |job: &Job| job.fills.as_ref().is_some_and(|other| other.name == table.name);
            if let Some(there) = self.store().catalog().by_name(&table.name) {
                return Err(TableRejection::Exists(there.clone()).into());
            }
            if all.iter().any(|job| !job.is_over() && name(job)) {
                return Err(TableRejection::Filling.into());
            }
        }
        let mut job = Job {
            kind: new.kind.to_owned(),
            id: id(now_us, |id| of_kind.any(|job| job.id == id)),
            spec: new.spec,
            token: new.token,
            progress: None,
            fills: new.fills.map(|table| Arc::new(numbered(table))),
            table: None,
            state: State::Running,
            is_settled: false,
            created_at_us: now_us,
            ended_at_us: None,
        };
        self.write(&job, Action::Put(item_of(&job)), Some(patience)).await?;
        if let Err(error) = self.make_table(&mut job, Some(patience)).await {
            // Nobody was told of it. What cannot be taken back now is found out by the runner.
            if let Error::Table(_) = error {
                self.write(&job, Action::Remove, Some(patience)).await?;
            }
            self.0.news.notify_one();
            return Err(error);
        }
        tracing::info!(kind = job.kind, id = job.id, "a background job was asked for");
        self.0.news.notify_one();
        Ok(Started::New(job))
    }

    /// Makes the table that the job fills, if it is not made yet.
    pub(crate) async fn make_table(&self, job: &mut Job, patience: Option<Patience>) -> Result<(), Error> {
        let (Some(table), None) = (&job.fills, job.table) else { return Ok(()) };
        let create = TableWrite::Create(Table::clone(table));
        let made = match patience {
            Some(patience) => self.store().change_table_within(create, patience).await?,
            None => self.store().change_table(create).await?,
        };
        let table = match made {
            Ok(table) => table,
            // A crash came between the table and the row that says its number: no other job may have that name.
            Err(TableRejection::Exists(table)) if table.settings.is_filling => table,
            Err(rejection) => return Err(rejection.into()),
        };
        job.table = Some(table.id);
        self.write(job, Action::Put(item_of(job)), patience).await?;
        Ok(())
    }

    /// The job of that kind and id.
    pub async fn get(&self, kind: &str, id: &str) -> Result<Option<Job>, store::Error> {
        let Ok(key) = Key::of_item(&self.table(), &key_item(kind, id)) else { return Ok(None) };
        Ok(self.store().get(&self.table(), &key).await?.as_ref().and_then(job_of))
    }

    /// All jobs of a kind, oldest first.
    pub async fn list(&self, kind: &str) -> Result<Vec<Job>, store::Error> {
        let table = self.table();
        let partition = key::encode_partition_attribute(&table.partition_key, &Value::String(kind.to_owned()));
        let Ok(partition) = partition else { return Ok(Vec::new()) };
        let (mut jobs, mut after) = (Vec::new(), None);
        loop {
            let range = SortRange::default();
            let page = self
                .store()
                .query(&table, &partition, &range, Direction::Forward, after.as_ref(), PageLimit::default())
                .await?;
            jobs.extend(page.items.iter().filter_map(job_of));
            after = page.last_key;
            if after.is_none() {
                return Ok(jobs);
            }
        }
    }

    /// All jobs, those of a kind oldest first.
    pub(crate) async fn all(&self) -> Result<Vec<Job>, store::Error> {
        let (mut jobs, mut after) = (Vec::new(), None);
        loop {
            let page = self.store().scan(&self.table(), 0..key::SLOTS, after.as_ref(), PageLimit::default()).await?;
            jobs.extend(page.items.iter().filter_map(job_of));
            after = page.last_key;
            if after.is_none() {
                return Ok(jobs);
            }
        }
    }

    /// Removes the rows of jobs that were over long ago.
    pub(crate) async fn forget(&self) -> Result<(), store::Error> {
        let now_us = self.store().clock().now_us();
        let all = self.all().await?;
        let over: Vec<&Job> = all.iter().filter(|job| job.is_over()).collect();
        for (at, job) in over.iter().enumerate() {
            let is_old = job.ended_at_us.is_none_or(|ended_at_us| now_us.saturating_sub(ended_at_us) > KEPT_US);
            if is_old || over[at..].iter().filter(|later| later.kind == job.kind).count() > KEPT_MAX {
                self.write(job, Action::Remove, None).await?;
            }
        }
        Ok(())
    }

    /// Writes the job's row as the job is now.
    pub(crate) async fn save(&self, job: &Job) -> Result<(), store::Error> {
        self.write(job, Action::Put(item_of(job)), None).await
    }

    /// Ends a job: its outcome is durable first, so that a crash leaves no doubt of what is to become of its table.
    pub(crate) async fn end(&self, job: &mut Job, outcome: Result<(), Failure>) -> Result<(), store::Error> {
        if job.state == State::Running {
            job.state = outcome.map_or_else(State::Failed, |()| State::Completed);
            job.ended_at_us = Some(self.store().clock().now_us());
            self.save(job).await?;
        }
        if let Some(table) = job.table {
            let change = match job.state {
                State::Completed => TableWrite::Open(table),
                _ => TableWrite::Discard(table),
            };
            // There is none any more if a crash came after this, and what then happened to it is its users' affair.
            let _: Result<_, TableRejection> = self.store().change_table(change).await?;
        }
        job.is_settled = true;
        self.save(job).await?;
        let outcome = if job.state == State::Completed { metrics::COMPLETED } else { metrics::FAILED };
        ::metrics::counter!(metrics::ENDED, "kind" => job.kind.clone(), "outcome" => outcome).increment(1);
        match &job.state {
            State::Failed(failure) => tracing::warn!(kind = job.kind, id = job.id, %failure, "a background job failed"),
            _ => tracing::info!(kind = job.kind, id = job.id, "a background job is done"),
        }
        Ok(())
    }

    /// Returns when a job was asked for since the last call.
    pub(crate) async fn news(&self) {
        self.0.news.notified().await;
    }

    pub(crate) fn store(&self) -> &Store {
        &self.0.store
    }

    async fn write(&self, job: &Job, action: Action, patience: Option<Patience>) -> Result<(), store::Error> {
        let table = self.table();
        let key = Key::of_item(&table, &key_item(&job.kind, &job.id)).expect("kinds and ids are short and not empty");
        let write = Write { table, key, action, condition: None, return_old: false, actor: Actor::System };
        let answers = match patience {
            Some(patience) => self.store().write_within(vec![write], patience).await?,
            None => self.store().write(vec![write]).await?,
        };
        for answer in answers {
            answer.expect("a row of a system table is never refused");
        }
        Ok(())
    }

    fn table(&self) -> Arc<Table> {
        self.store().catalog().by_id(system::JOBS).expect("system tables are in every catalogue").clone()
    }
}

fn key_item(kind: &str, id: &str) -> Item {
    let text = |text: &str| Value::String(text.to_owned());
    Item([("kind".to_owned(), text(kind)), ("id".to_owned(), text(id))].into())
}

/// The schema with numbers that can be encoded; the store gives others.
fn numbered(mut table: Table) -> Table {
    table.id = TableId::FIRST_USER;
    table.version = 1;
    table.settings.is_filling = true;
    for (index, number) in table.indexes.iter_mut().zip(TableId::FIRST_USER.0 + 1..) {
        index.id = TableId(number);
    }
    table
}

/// An id that is not `taken`.
fn id(now_us: u64, mut taken: impl FnMut(&str) -> bool) -> String {
    loop {
        let random = RandomState::new().hash_one(now_us) as u32;
        let id = format!("{:014}-{random:08x}", now_us / 1000);
        if !taken(&id) {
            return id;
        }
    }
}
