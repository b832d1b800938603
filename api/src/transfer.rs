//! Tables out of and into buckets: exports and imports, as background jobs.
//!
//! ```text
//! ImportTable ──> job `import`: bucket ─> objects ─> records ─> items ─> batches of puts
//! ExportTableToPointInTime ──> job `export`: flush ─> files of one frame ─> rows ─> objects ─> manifests
//! ```
//! What lies in a bucket is laid out as DynamoDB lays it out, so it is read by whatever reads DynamoDB's exports. The operations, in
//! `operations/`, check what is asked for and tell how far it is; what is done is here.

mod bucket;
pub(crate) mod export;
pub(crate) mod import;
mod pieces;

pub use bucket::Buckets;

use std::io;

use backup::Backups;
use jobs::{Jobs, Runner, Stopped};

/// The kinds of jobs.
pub(crate) const IMPORT: &str = "import";
pub(crate) const EXPORT: &str = "export";

/// Adds what exports and imports are to what `runner` knows.
pub fn with_transfers(runner: Runner, buckets: &Buckets, compactor: &compactor::Compactor) -> Runner {
    let (from, to, compactor) = (buckets.clone(), buckets.clone(), compactor.clone());
    runner
        .with(IMPORT, move |work| import::run(work, from.clone()))
        .with(EXPORT, move |work| export::run(work, to.clone(), compactor.clone()))
}

/// Removes bases that no export needs. Before anything is asked for.
pub async fn tidy_transfers(jobs: &Jobs, backups: &Backups) -> Result<(), store::Error> {
    export::tidy(jobs, backups).await
}

/// May a bucket be called so? As in DynamoDB's model.
pub(crate) fn is_bucket_name(name: &str) -> bool {
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    (2..=255).contains(&bytes.len())
        && ends(bytes.first())
        && ends(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}

/// What stops a job whose bucket is not, or not any more, as it should be; `what` was tried.
fn bucket_failure(what: &str, error: &io::Error) -> Stopped {
    let code = match error.kind() {
        io::ErrorKind::NotFound => "S3NoSuchBucket",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => "S3AccessDenied",
        io::ErrorKind::InvalidInput | io::ErrorKind::NotADirectory => "S3InvalidKey",
        _ if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => "S3InvalidKey",
        // What is full may have room again.
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => return Stopped::Later(format!("{what}: {error}")),
        _ => "S3InternalError",
    };
    Stopped::failed(code, format_args!("{what}: {error}"))
}

/// The refusal of a bucket that is not configured.
pub(crate) fn unknown_bucket(name: &str) -> String {
    format!(
        "The bucket {name} is not known to this server. A bucket is a directory that the operator names in the configuration file, \
         under [buckets]: {name} = \"/absolute/path\""
    )
}
