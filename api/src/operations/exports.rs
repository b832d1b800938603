//! ExportTableToPointInTime, DescribeExport, ListExports.

use item::{Table, table::Recovery};
use jobs::{Job, NewJob, State};
use serde::Serialize;

use super::{
    listed_jobs::{described, export_arn, internal, page, started, token_constraints},
    table_description::{is_own_arn, seconds, table_arn, table_id},
};
use crate::{
    App, Error,
    json::{Integer, Present, request},
    transfer::{
        EXPORT,
        export::{Format, Progress, Spec, is_prefix},
        is_bucket_name, unknown_bucket,
    },
    validate::{self, Violations},
};

request! {
    /// What ExportTableToPointInTime takes.
    struct Request {
        table_arn: String = "TableArn",
        time: Integer = "ExportTime",
        token: String = "ClientToken",
        bucket: String = "S3Bucket",
        owner: String = "S3BucketOwner",
        prefix: String = "S3Prefix",
        sse_algorithm: String = "S3SseAlgorithm",
        sse_key: String = "S3SseKmsKeyId",
        format: String = "ExportFormat",
        kind: String = "ExportType",
        incremental: Present = "IncrementalExportSpecification",
        filter: Present = "FilterSpecification",
    }
}

request! {
    /// What DescribeExport takes.
    struct DescribeRequest { arn: String = "ExportArn", }
}

request! {
    /// What ListExports takes.
    struct ListRequest {
        table_arn: String = "TableArn",
        limit: Integer = "MaxResults",
        token: String = "NextToken",
    }
}

/// What ExportTableToPointInTime and DescribeExport answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Answer {
    export_description: Description,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Description {
    export_arn: String,
    export_status: &'static str,
    start_time: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    export_manifest: Option<String>,
    table_arn: String,
    table_id: String,
    export_time: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_token: Option<String>,
    s3_bucket: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    s3_bucket_owner: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    s3_prefix: Option<String>,
    s3_sse_algorithm: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    s3_sse_kms_key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_message: Option<String>,
    export_format: Format,
    #[serde(skip_serializing_if = "Option::is_none")]
    billed_size_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    item_count: Option<u64>,
    export_type: &'static str,
}

/// What ListExports answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Listed {
    export_summaries: Vec<Summary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Summary {
    export_arn: String,
    export_status: &'static str,
    export_type: &'static str,
}

/// ExportTableToPointInTime.
pub(crate) async fn start(app: &App, request: Request) -> Result<Answer, Error> {
    constraints(&request)?;
    let arn = request.table_arn.unwrap_or_default();
    let name = validate::table_name(Some(arn.clone()))?;
    let format = match request.format.as_deref() {
        None | Some("DYNAMODB_JSON") => Format::DynamodbJson,
        Some("PARQUET") => Format::Parquet,
        Some(other) => {
            return Err(Error::parameter(format_args!(
                "ExportFormat {other} is not supported by Thalweg: DYNAMODB_JSON and PARQUET are"
            )));
        }
    };
    let prefix = request.prefix.filter(|prefix| !prefix.is_empty());
    if prefix.as_deref().is_some_and(|prefix| !is_prefix(prefix)) {
        return Err(Error::parameter(
            "S3Prefix must have no empty part, and none that is . or .. , between its slashes",
        ));
    }
    let table = super::table(app, &name).ok().filter(|_| !arn.starts_with("arn:") || is_own_arn(&arn));
    let table = table.ok_or_else(|| Error::exception("TableNotFoundException", format!("Table not found: {name}")))?;
    recoverable(&table)?;
    if request.filter.is_some() {
        return Err(Error::parameter("FilterSpecification is not supported by Thalweg yet"));
    }
    if request.kind.as_deref() == Some("INCREMENTAL_EXPORT") || request.incremental.is_some() {
        return Err(Error::parameter("ExportType INCREMENTAL_EXPORT is not supported by Thalweg yet"));
    }
    let time_us = request.time.map(|Integer(time_s)| checked_time(app, &table, time_s)).transpose()?;
    let bucket = request.bucket.unwrap_or_default();
    app.buckets.get(&bucket).ok_or_else(|| Error::Validation(unknown_bucket(&bucket)))?;
    let spec = Spec {
        table: table.id.0,
        table_name: name,
        time_us,
        bucket,
        owner: request.owner,
        prefix,
        sse_algorithm: request.sse_algorithm,
        sse_key: request.sse_key,
        format,
    };
    let spec = serde_json::to_string(&spec).map_err(|error| Error::Internal(error.to_string()))?;
    let new = NewJob { kind: EXPORT, spec, token: request.token, fills: None };
    Ok(Answer { export_description: Description::of(&started(app, new, "ExportConflictException").await?)? })
}

/// DescribeExport.
pub(crate) async fn describe(app: &App, request: DescribeRequest) -> Result<Answer, Error> {
    let missing = |arn: &str| Error::exception("ExportNotFoundException", format!("Export not found: {arn}"));
    let job = described(app, EXPORT, "exportArn", request.arn.as_ref(), missing).await?;
    Ok(Answer { export_description: Description::of(&job)? })
}

/// ListExports.
pub(crate) async fn list(app: &App, request: ListRequest) -> Result<Listed, Error> {
    let limit = ("maxResults", request.limit);
    let (jobs, next_token) = page(app, EXPORT, request.table_arn, limit, request.token).await?;
    let summary = |job: &Job| {
        let Spec { table_name, .. } = job.spec().map_err(internal)?;
        let export_arn = export_arn(&table_name, &job.id);
        Ok(Summary { export_arn, export_status: status(job), export_type: "FULL_EXPORT" })
    };
    Ok(Listed { export_summaries: jobs.iter().map(summary).collect::<Result<_, Error>>()?, next_token })
}

/// What each member must be by itself.
fn constraints(request: &Request) -> Result<(), Error> {
    let mut violations = Violations::default();
    violations.required("tableArn", request.table_arn.as_ref());
    violations.length("tableArn", request.table_arn.as_ref(), 1, 1024);
    token_constraints(&mut violations, request.token.as_ref());
    bucket_constraints(&mut violations, "", request.bucket.as_ref(), request.owner.as_ref());
    violations.length("s3Prefix", request.prefix.as_ref(), 0, 1024);
    violations.one_of("s3SseAlgorithm", request.sse_algorithm.as_ref(), &["AES256", "KMS"]);
    violations.length("s3SseKmsKeyId", request.sse_key.as_ref(), 1, 2048);
    // The model's words; ours beside them is told where it is refused.
    let format = request.format.as_ref().filter(|word| *word != "PARQUET");
    violations.one_of("exportFormat", format, &["DYNAMODB_JSON", "ION"]);
    violations.one_of("exportType", request.kind.as_ref(), &["FULL_EXPORT", "INCREMENTAL_EXPORT"]);
    violations.finish()
}

/// What the members that name a bucket must be, at `at`, which ends with a dot unless it is empty.
pub(super) fn bucket_constraints(
    violations: &mut Violations,
    at: &str,
    bucket: Option<&String>,
    owner: Option<&String>,
) {
    let place = format!("{at}s3Bucket");
    violations.required(&place, bucket);
    violations.length(&place, bucket, 0, 255);
    if let Some(name) = bucket.filter(|name| name.chars().count() <= 255 && !is_bucket_name(name)) {
        let pattern = "Member must satisfy regular expression pattern: ^[a-z0-9A-Z]+[\\.\\-\\w]*[a-z0-9A-Z]+$";
        violations.add(&place, name, pattern);
    }
    let is_owner = |owner: &str| owner.len() == 12 && owner.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(owner) = owner.filter(|owner| !is_owner(owner)) {
        let pattern = "Member must satisfy regular expression pattern: [0-9]{12}";
        violations.add(format_args!("{at}s3BucketOwner"), owner, pattern);
    }
}

/// Refuses a table that has no continuous backups to be exported from.
fn recoverable(table: &Table) -> Result<Recovery, Error> {
    table.settings.recovery.ok_or_else(|| {
        let text = format!("Point in time recovery is not enabled for table '{}'", table.name);
        Error::exception("PointInTimeRecoveryUnavailableException", text)
    })
}

/// The time to export, if the table is known as of then.
fn checked_time(app: &App, table: &Table, time_s: i64) -> Result<u64, Error> {
    let invalid = |text: String| Error::exception("InvalidExportTimeException", text);
    let now_us = app.store.clock().now_us();
    let time_us = u64::try_from(time_s).ok().and_then(|time_s| time_s.checked_mul(1_000_000));
    let Some(time_us) = time_us.filter(|time_us| *time_us <= now_us) else {
        return Err(invalid("The ExportTime specified must not be in the future".to_owned()));
    };
    let recovery = recoverable(table)?;
    let past = app.compactor.backups().past(table.id).filter(|past| past.since_us() == Some(recovery.since_us));
    let earliest_us = past.map_or(recovery.since_us, |past| past.earliest_us(recovery, now_us));
    if time_us < earliest_us {
        return Err(invalid(format!(
            "The ExportTime specified is before the earliest time that the table can be restored to, {}",
            earliest_us / 1_000_000
        )));
    }
    Ok(time_us)
}

/// How far it is, in the wire's word.
fn status(job: &Job) -> &'static str {
    match job.state {
        _ if !job.is_over() => "IN_PROGRESS",
        State::Failed(_) => "FAILED",
        _ => "COMPLETED",
    }
}

impl Description {
    fn of(job: &Job) -> Result<Description, Error> {
        let spec: Spec = job.spec().map_err(internal)?;
        let progress: Option<Progress> = job.progress().map_err(internal)?;
        let failure = match &job.state {
            State::Failed(failure) if job.is_over() => Some(failure.clone()),
            _ => None,
        };
        let done = progress.as_ref().filter(|_| job.is_over() && job.state == State::Completed);
        let export_time_us = spec.time_us.or(progress.as_ref().map(|progress| progress.export_time_us));
        Ok(Description {
            export_arn: export_arn(&spec.table_name, &job.id),
            export_status: status(job),
            start_time: seconds(job.created_at_us),
            end_time: job.ended_at_us.filter(|_| job.is_over()).map(seconds),
            export_manifest: done.map(|progress| progress.manifest.clone()),
            table_arn: table_arn(&spec.table_name),
            table_id: table_id(item::TableId(spec.table)),
            export_time: seconds(export_time_us.unwrap_or(job.created_at_us)),
            client_token: job.token.clone(),
            s3_bucket: spec.bucket,
            s3_bucket_owner: spec.owner,
            s3_prefix: spec.prefix,
            s3_sse_algorithm: spec.sse_algorithm.unwrap_or_else(|| "AES256".to_owned()),
            s3_sse_kms_key_id: spec.sse_key,
            failure_code: failure.as_ref().map(|failure| failure.code.clone()),
            failure_message: failure.map(|failure| failure.message),
            export_format: spec.format,
            billed_size_bytes: done.map(Progress::billed_bytes),
            item_count: done.map(Progress::items),
            export_type: "FULL_EXPORT",
        })
    }
}
