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

use backup::{Base, Cursor};
use base64::{Engine, engine::general_purpose::STANDARD};
use compactor::Compactor;
use item::{Key, ShardId, TableId};
use jobs::{Stopped, Work};
use serde::{Deserialize, Serialize};

use super::{
    bucket::{Bucket, Buckets, is_key},
    bucket_failure,
    pieces::Pieces,
    unknown_bucket,
};
pub(crate) use manifest::Object;

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
    /// Is everything done?
    is_done: bool,
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
    let name = format!("export-{}", work.job().id);
    let exported = export(&mut work, &buckets, &compactor, &name).await;
    if matches!(exported, Ok(()) | Err(Stopped::Failed(_))) {
        let backups = compactor.backups().clone();
        blocking(move || Ok(backups.remove_scratch(&name)?)).await?;
    }
    exported
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

    let base = base(compactor, &spec, name).await?;
    progress.export_time_us = base.note.as_of_us;
    progress.manifest = format!("{}/manifest-summary.json", place.directory);
    let (to, from, format) = (place.clone(), progress.cursor(work)?, spec.format);
    let mut steps = Pieces::of(move |out| objects::write(&base, &to, format, from, out));
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
    progress.is_done = true;
    work.checkpoint(&progress).await
}

/// The table as of the export's time: what an earlier attempt made or began, or a new one.
async fn base(compactor: &Compactor, spec: &Spec, name: &str) -> Result<Base, Stopped> {
    let (backups, scratch) = (compactor.backups().clone(), name.to_owned());
    let made = blocking(move || {
        if let Some(base) = backups.scratch(&scratch)? {
            return Ok(Some(base));
        }
        let Some(mut begun) = backups.resume(&scratch)? else { return Ok(None) };
        loop {
            if let Some(base) = begun.step()? {
                return Ok(Some(base));
            }
        }
    });
    if let Some(base) = made.await? {
        return Ok(base);
    }
    let made =
        compactor.as_of(TableId(spec.table), spec.time_us, name.to_owned()).await.map_err(|error| match error {
            compactor::Error::Store(error) => Stopped::from(error),
            other => Stopped::failed("TableNotFound", other),
        })?;
    made.ok_or_else(|| {
        let text =
            format!("the continuous backups of table {} do not go back so far, or were turned off", spec.table_name);
        Stopped::failed("PointInTimeRecoveryUnavailable", text)
    })
}

impl Progress {
    pub(crate) fn items(&self) -> u64 {
        self.objects.iter().map(|object| object.items).sum()
    }

    /// Of the items, as DynamoDB counts them.
    pub(crate) fn billed_bytes(&self) -> u64 {
        self.objects.iter().map(|object| object.bytes).sum()
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
