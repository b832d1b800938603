//! The manifests of an export, in DynamoDB's form.
//!
//! ```text
//! manifest-files.json      a line an object: {"itemCount", "md5Checksum": base64, "etag", "dataFileS3Key"}
//! manifest-files.md5       base64 of its MD5
//! manifest-summary.json    one object: what was exported, when, where, how much
//! manifest-summary.md5     base64 of its MD5
//! ```

use std::io;

use base64::{Engine, engine::general_purpose::STANDARD};
use jobs::Job;
use serde::{Deserialize, Serialize};

use super::{Format, Place, Progress, Spec};
use crate::operations::{export_arn, table_arn, table_id};

/// An object that is written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Object {
    pub(super) key: String,
    pub(super) items: u64,
    /// Of its items, as DynamoDB counts them.
    pub(super) bytes: u64,
    /// Its MD5.
    pub(super) digest: [u8; 16],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FileLine<'a> {
    item_count: u64,
    md5_checksum: String,
    etag: String,
    #[serde(rename = "dataFileS3Key")]
    key: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary<'a> {
    version: &'static str,
    export_arn: String,
    start_time: String,
    end_time: String,
    table_arn: String,
    table_id: String,
    export_time: String,
    s3_bucket: &'a str,
    s3_prefix: Option<&'a str>,
    s3_sse_algorithm: &'a str,
    s3_sse_kms_key_id: Option<&'a str>,
    manifest_files_s3_key: String,
    billed_size_bytes: u64,
    item_count: u64,
    output_format: Format,
    export_type: &'static str,
}

/// Puts the manifests, the summary last.
pub(super) fn put(place: &Place, spec: &Spec, job: &Job, done: &Progress, end_time_us: u64) -> io::Result<()> {
    let Place { bucket, directory } = place;
    let mut files = Vec::new();
    for object in &done.objects {
        let line = FileLine {
            item_count: object.items,
            md5_checksum: STANDARD.encode(object.digest),
            etag: object.digest.iter().map(|byte| format!("{byte:02x}")).collect(),
            key: &object.key,
        };
        serde_json::to_writer(&mut files, &line)?;
        files.push(b'\n');
    }
    let summary = Summary {
        version: "2020-06-30",
        export_arn: export_arn(&spec.table_name, &job.id),
        start_time: time(job.created_at_us),
        end_time: time(end_time_us),
        table_arn: table_arn(&spec.table_name),
        table_id: table_id(item::TableId(spec.table)),
        export_time: time(done.export_time_us),
        s3_bucket: &spec.bucket,
        s3_prefix: spec.prefix.as_deref(),
        s3_sse_algorithm: spec.sse_algorithm.as_deref().unwrap_or("AES256"),
        s3_sse_kms_key_id: spec.sse_key.as_deref(),
        manifest_files_s3_key: format!("{directory}/manifest-files.json"),
        billed_size_bytes: done.billed_bytes(),
        item_count: done.items(),
        output_format: spec.format,
        export_type: "FULL_EXPORT",
    };
    let summary = serde_json::to_vec(&summary)?;
    for (name, content) in [("manifest-files", &files), ("manifest-summary", &summary)] {
        let digest = STANDARD.encode(md5::compute(content).0);
        bucket.put(&format!("{directory}/{name}.md5"), digest.as_bytes())?;
        bucket.put(&format!("{directory}/{name}.json"), content)?;
    }
    bucket.sync(directory)
}

/// A time as manifests tell it, in UTC, to the millisecond.
fn time(time_us: u64) -> String {
    let time = i64::try_from(time_us).ok().and_then(|time_us| jiff::Timestamp::from_microsecond(time_us).ok());
    format!("{:.3}", time.unwrap_or_default())
}
