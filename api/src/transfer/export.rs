//! The job of an export.
//!
//! 1. Make a base: the table as of the export's time, which stays whatever becomes of the table. It is durable, so every attempt reads
//!    the same.
//! 2. Remove what an earlier attempt left and did not note; make `_started`.
//! 3. A thread writes the base's items to objects, one or more a shard. Each is synced, then noted in a checkpoint, with the place
//!    after it: an attempt that begins again goes on there.
//! 4. Put the list of the objects, then the summary: who finds the summary finds everything. Remove the base.

mod manifest;
mod objects;

use backup::{AsOf, Backups, Base, Cursor};
use base64::{Engine, engine::general_purpose::STANDARD};
use compactor::Compactor;
use item::{Key, ShardId, TableId};
use jobs::{Job, Jobs, Stopped, Work};
use serde::{Deserialize, Serialize};
use store::{Store, room::Room};

use super::{
    EXPORT,
    bucket::{Bucket, Buckets, is_key},
    bucket_failure,
    pieces::Pieces,
    unknown_bucket,
};
pub(crate) use manifest::Object;

/// What the names of our bases begin with.
const PREFIX: &str = "export-";

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spec {
    pub(crate) table: u32,
    pub(crate) table_name: String,
    /// The time to export, microseconds since 1970; none for that of the first attempt.
    pub(crate) time_us: Option<u64>,
    pub(crate) bucket: String,
    pub(crate) owner: Option<String>,
    pub(crate) prefix: Option<String>,
    pub(crate) sse_algorithm: Option<String>,
    pub(crate) sse_key: Option<String>,
    pub(crate) format: Format,
}

/// What the objects are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Format {
    /// Lines of DynamoDB JSON, compressed by gzip.
    #[serde(rename = "DYNAMODB_JSON")]
    DynamodbJson,
    /// The columns of the cold tier.
    #[serde(rename = "PARQUET")]
    Parquet,
}

/// How far it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// The table is exported as it was then, microseconds since 1970.
    pub(crate) export_time_us: u64,
    /// The key of the summary.
    pub(crate) manifest: String,
    /// The objects that are done.
    objects: Vec<Object>,
    /// What is done: the shards before this one, and of this one up to the key, its parts in base64.
    shard: u16,
    after: Option<(String, String)>,
    /// Is everything done? Then the manifests tell of the objects, and only how much they are is kept here.
    is_done: bool,
    #[serde(default)]
    totals: Totals,
}

/// Of all objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Totals {
    items: u64,
    bytes: u64,
}

/// Where objects are put.
#[derive(Clone)]
struct Place {
    bucket: Bucket,
    directory: String,
}

/// Is `prefix` one below which an export can be put?
pub(crate) fn is_prefix(prefix: &str) -> bool {
    let prefix = prefix.trim_end_matches('/');
    prefix.is_empty() || is_key(prefix)
}

/// Where an export lies.
fn directory(prefix: Option<&str>, id: &str) -> String {
    match prefix.unwrap_or_default().trim_end_matches('/') {
        "" => format!("AWSDynamoDB/{id}"),
        prefix => format!("{prefix}/AWSDynamoDB/{id}"),
    }
}

/// Exports, from the checkpoint on.
pub(crate) async fn run(mut work: Work, buckets: Buckets, compactor: Compactor) -> Result<(), Stopped> {
    let name = base_name(work.job());
    let exported = export(&mut work, &buckets, &compactor, &name).await;
    if exported.as_ref().is_ok() || exported.as_ref().is_err_and(Stopped::is_final) {
        let backups = compactor.backups().clone();
        blocking(move || Ok(backups.remove_scratch(&name)?)).await?;
    }
    exported
}

/// Removes bases that no export needs: of jobs that ended without their attempt. Before anything is asked for.
pub(super) async fn tidy(jobs: &Jobs, backups: &Backups) -> Result<(), store::Error> {
    let all = jobs.list(EXPORT).await?;
    let needed = all.iter().filter(|job| !job.is_over()).map(base_name).collect();
    restore::keep_only(backups, PREFIX, needed).await
}

/// The name of a job's base.
fn base_name(job: &Job) -> String {
    format!("{PREFIX}{}", job.id)
}

async fn export(work: &mut Work, buckets: &Buckets, compactor: &Compactor, name: &str) -> Result<(), Stopped> {
    let spec: Spec = work.spec()?;
    let mut progress: Progress = work.progress()?.unwrap_or_default();
    if progress.is_done {
        return Ok(());
    }
    let bucket = buckets.get(&spec.bucket);
    let bucket = bucket.ok_or_else(|| Stopped::failed("S3NoSuchBucket", unknown_bucket(&spec.bucket)))?;
    let place = Place { bucket, directory: directory(spec.prefix.as_deref(), &work.job().id) };
    let (begun, done) = (place.clone(), progress.clone());
    blocking(move || begun.begin(&done)).await?;

    let base = base(work.store(), compactor, &spec, name).await?;
    progress.export_time_us = base.note.as_of_us;
    progress.manifest = format!("{}/manifest-summary.json", place.directory);
    let (to, from, format) = (place.clone(), progress.cursor(work)?, spec.format);
    let store = work.store().clone();
    let mut steps = Pieces::of(move |out| objects::write(&store, &base, &to, format, from, out));
    while let Some(objects::Step { object, next }) = steps.next().await? {
        progress.objects.extend(object);
        progress.done_to(next);
        work.checkpoint(&progress).await?;
    }
    let end_time_us = work.store().clock().now_us();
    let (job, done) = (work.job().clone(), progress.clone());
    blocking(move || {
        let failure = |error| bucket_failure("the manifests cannot be written", &error);
        manifest::put(&place, &spec, &job, &done, end_time_us).map_err(failure)
    })
    .await?;
    progress.end();
    work.checkpoint(&progress).await
}

/// The table as of the export's time: what an earlier attempt made or began, or a new one. Made a little at a time.
async fn base(store: &Store, compactor: &Compactor, spec: &Spec, name: &str) -> Result<Base, Stopped> {
    let backups = compactor.backups();
    let (whole, begun) = found(backups, name).await?;
    if let Some(base) = whole {
        return Ok(base);
    }
    let mut as_of = match begun {
        Some(as_of) => as_of,
        None => {
            let begun = compactor.begin_as_of(TableId(spec.table), spec.time_us, name.to_owned()).await;
            let begun = begun.map_err(|error| match error {
                compactor::Error::Store(error) => Stopped::from(error),
                other => Stopped::failed("TableNotFound", other),
            })?;
            match if begun { found(backups, name).await? } else { (None, None) } {
                (Some(base), _) => return Ok(base),
                (None, Some(as_of)) => as_of,
                (None, None) => {
                    let table = &spec.table_name;
                    let text =
                        format!("the continuous backups of table {table} do not go back so far, or were turned off");
                    return Err(Stopped::failed("PointInTimeRecoveryUnavailable", text));
                }
            }
        }
    };
    loop {
        check_room(store)?;
        let (done, rest) = blocking(move || Ok(as_of.step().map(|done| (done, as_of))?)).await?;
        if let Some(base) = done {
            return Ok(base);
        }
        as_of = rest;
    }
}

/// What there is of the base of that name: all, or what it can be made of.
async fn found(backups: &Backups, name: &str) -> Result<(Option<Base>, Option<AsOf>), Stopped> {
    let (backups, name) = (backups.clone(), name.to_owned());
    let found = move || match backups.scratch(&name)? {
        Some(base) => Ok((Some(base), None)),
        None => Ok((None, backups.resume(&name)?)),
    };
    blocking(found).await
}

/// Stops when the data directory's disk is full: what is written here may be large, and the reserve is for what makes room.
fn check_room(store: &Store) -> Result<(), Stopped> {
    if store.room().0 == Room::Full { Err(store.full().into()) } else { Ok(()) }
}

impl Progress {
    pub(crate) fn items(&self) -> u64 {
        self.totals.items + self.objects.iter().map(|object| object.items).sum::<u64>()
    }

    /// Of the items, as DynamoDB counts them.
    pub(crate) fn billed_bytes(&self) -> u64 {
        self.totals.bytes + self.objects.iter().map(|object| object.bytes).sum::<u64>()
    }

    /// Everything is done: the job is told of for months, and need not carry the list of its objects so long.
    fn end(&mut self) {
        self.totals = Totals { items: self.items(), bytes: self.billed_bytes() };
        self.objects = Vec::new();
        self.is_done = true;
    }

    fn done_to(&mut self, next: Cursor) {
        let text = |key: &Key| (STANDARD.encode(&key.partition), STANDARD.encode(&key.sort));
        (self.shard, self.after) = (next.shard.0, next.after.as_ref().map(text));
    }

    fn cursor(&self, work: &Work) -> Result<Cursor, Stopped> {
        let bytes = |text: &String| {
            let unreadable =
                |error| Stopped::failed("InternalError", format_args!("export {}: {error}", work.job().id));
            STANDARD.decode(text).map_err(unreadable)
        };
        let key = |(partition, sort): &(String, String)| {
            Ok::<_, Stopped>(Key { partition: bytes(partition)?.into(), sort: bytes(sort)?.into() })
        };
        Ok(Cursor { shard: ShardId(self.shard), after: self.after.as_ref().map(key).transpose()? })
    }
}

impl Place {
    /// The directory of the objects.
    fn data(&self) -> String {
        format!("{}/data", self.directory)
    }

    /// Leaves of what is there the objects that are done; makes `_started`.
    fn begin(&self, done: &Progress) -> Result<(), Stopped> {
        let failure = |error| bucket_failure(&format!("the bucket cannot be written below {}", self.directory), &error);
        let keys: Vec<&str> = done.objects.iter().filter_map(|object| object.key.rsplit('/').next()).collect();
        // The manifests first: they name the objects.
        self.bucket.clear(&self.directory, &[]).map_err(failure)?;
        self.bucket.clear(&self.data(), &keys).map_err(failure)?;
        self.bucket.put(&format!("{}/_started", self.directory), b"").map_err(failure)
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Stopped> + Send + 'static) -> Result<T, Stopped> {
    tokio::task::spawn_blocking(work).await.map_err(|_| store::Error::Closed)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_keeps_its_counts_and_no_list() {
        let object = |items| Object { key: "a/data/b.json.gz".to_owned(), items, bytes: 10 * items, digest: [7; 16] };
        let mut progress = Progress { objects: vec![object(1), object(2)], ..Progress::default() };
        progress.end();
        let text = serde_json::to_string(&progress).unwrap();
        assert!(!text.contains("json.gz"), "{text}");
        let progress: Progress = serde_json::from_str(&text).unwrap();
        assert_eq!((progress.items(), progress.billed_bytes(), progress.is_done), (3, 30, true));
    }
}
