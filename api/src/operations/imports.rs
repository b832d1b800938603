//! ImportTable, DescribeImport, ListImports.

use item::{
    Index, Table,
    table::{Billing, Projection},
};
use jobs::{Job, NewJob, State};
use serde::Serialize;

use super::{
    create_table,
    exports::bucket_constraints,
    listed_jobs::{described, import_arn, internal, page, started, token_constraints},
    table_description::{AttributeDefinition, KeySchemaElement, definitions, key_schema, seconds, table_arn, table_id},
    throughput::global_indexes,
};
use crate::{
    App, Error,
    json::{Integer, request},
    transfer::{
        IMPORT,
        export::is_prefix,
        import::{Compression, Csv, Format, Progress, Spec, check_header},
        unknown_bucket,
    },
    validate::Violations,
};

request! {
    /// What ImportTable takes.
    struct Request {
        token: String = "ClientToken",
        source: Source = "S3BucketSource",
        format: String = "InputFormat",
        options: Options = "InputFormatOptions",
        compression: String = "InputCompressionType",
        table: create_table::Request = "TableCreationParameters",
    }
}

request! {
    /// Where the objects are.
    struct Source {
        owner: String = "S3BucketOwner",
        bucket: String = "S3Bucket",
        prefix: String = "S3KeyPrefix",
    }
}

request! {
    /// Options of formats that have some.
    struct Options { csv: CsvOptions = "Csv", }
}

request! {
    /// Options of CSV.
    struct CsvOptions {
        delimiter: String = "Delimiter",
        header: Vec<String> = "HeaderList",
    }
}

request! {
    /// What DescribeImport takes.
    struct DescribeRequest { arn: String = "ImportArn", }
}

request! {
    /// What ListImports takes.
    struct ListRequest {
        table_arn: String = "TableArn",
        limit: Integer = "PageSize",
        token: String = "NextToken",
    }
}

/// What ImportTable and DescribeImport answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Answer {
    import_table_description: Description,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Description {
    import_arn: String,
    import_status: &'static str,
    table_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    table_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_token: Option<String>,
    s3_bucket_source: BucketSource,
    error_count: u64,
    input_format: Format,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_format_options: Option<FormatOptions>,
    input_compression_type: Compression,
    table_creation_parameters: Parameters,
    start_time: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time: Option<f64>,
    processed_size_bytes: u64,
    processed_item_count: u64,
    imported_item_count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_message: Option<String>,
}

#[derive(Debug, Serialize)]
struct BucketSource {
    #[serde(rename = "S3BucketOwner", skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    #[serde(rename = "S3Bucket")]
    bucket: String,
    #[serde(rename = "S3KeyPrefix", skip_serializing_if = "Option::is_none")]
    prefix: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct FormatOptions {
    csv: Csv,
}

/// A table as it was asked for.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Parameters {
    table_name: String,
    attribute_definitions: Vec<AttributeDefinition>,
    key_schema: Vec<KeySchemaElement>,
    billing_mode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    provisioned_throughput: Option<Units>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    global_secondary_indexes: Vec<IndexParameters>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Units {
    read_capacity_units: u64,
    write_capacity_units: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct IndexParameters {
    index_name: String,
    key_schema: Vec<KeySchemaElement>,
    projection: ProjectionParameters,
    #[serde(skip_serializing_if = "Option::is_none")]
    provisioned_throughput: Option<Units>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ProjectionParameters {
    projection_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    non_key_attributes: Option<Vec<String>>,
}

/// What ListImports answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Listed {
    import_summary_list: Vec<Summary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Summary {
    import_arn: String,
    import_status: &'static str,
    table_arn: String,
    s3_bucket_source: BucketSource,
    input_format: Format,
    start_time: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time: Option<f64>,
}

/// ImportTable.
pub(crate) async fn start(app: &App, request: Request) -> Result<Answer, Error> {
    constraints(&request)?;
    let Source { owner, bucket, prefix } = request.source.unwrap_or_default();
    let parameters = request.table.unwrap_or_default();
    // What an import does not take it ignores, as any member that it does not know.
    let parameters = create_table::Request {
        stream: None,
        deletion_protection: None,
        table_class: None,
        tags: None,
        local_indexes: None,
        resource_policy: None,
        warm_throughput: None,
        ..parameters
    };
    let table = create_table::definition(parameters, Violations::default().within("tableCreationParameters."))?;
    let csv = request.options.and_then(|options| options.csv);
    let csv = csv.map(|CsvOptions { delimiter, header }| Csv { delimiter, header_list: header });
    let format = match request.format.as_deref() {
        Some("CSV") => Format::Csv,
        Some("ION") => {
            return Err(Error::parameter("InputFormat ION is not supported by Thalweg: DYNAMODB_JSON and CSV are"));
        }
        _ => Format::DynamodbJson,
    };
    if format != Format::Csv && csv.is_some() {
        return Err(Error::parameter("InputFormatOptions has options of CSV, and InputFormat is another"));
    }
    if let Some(header) = csv.as_ref().and_then(|csv| csv.header_list.as_ref()) {
        check_header(header).map_err(Error::parameter)?;
    }
    let prefix = prefix.filter(|prefix| !prefix.is_empty());
    if prefix.as_deref().is_some_and(|prefix| !is_prefix(prefix)) {
        return Err(Error::parameter(
            "S3KeyPrefix must have no empty part, and none that is . or .. , between its slashes",
        ));
    }
    let bucket = bucket.unwrap_or_default();
    if super::user_table(app, &table.name).is_some() && request.token.is_none() {
        return Err(Error::InUse(format!("Table already exists: {}", table.name)));
    }
    app.buckets.get(&bucket).ok_or_else(|| Error::Validation(unknown_bucket(&bucket)))?;
    let compression = match request.compression.as_deref() {
        None => None,
        Some("GZIP") => Some(Compression::Gzip),
        Some("ZSTD") => Some(Compression::Zstd),
        Some(_) => Some(Compression::None),
    };
    let spec = Spec { bucket, owner, prefix, format, csv, compression };
    let spec = serde_json::to_string(&spec).map_err(|error| Error::Internal(error.to_string()))?;
    let new = NewJob { kind: IMPORT, spec, token: request.token, fills: Some(table) };
    Ok(Answer { import_table_description: Description::of(&started(app, new, "ImportConflictException").await?)? })
}

/// DescribeImport.
pub(crate) async fn describe(app: &App, request: DescribeRequest) -> Result<Answer, Error> {
    let missing = |arn: &str| Error::exception("ImportNotFoundException", format!("Import not found: {arn}"));
    let job = described(app, IMPORT, "importArn", request.arn.as_ref(), missing).await?;
    Ok(Answer { import_table_description: Description::of(&job)? })
}

/// ListImports.
pub(crate) async fn list(app: &App, request: ListRequest) -> Result<Listed, Error> {
    let limit = ("pageSize", request.limit);
    let (jobs, next_token) = page(app, IMPORT, request.table_arn, limit, request.token).await?;
    let summary = |job: &Job| {
        let Description {
            import_arn,
            import_status,
            table_arn,
            s3_bucket_source,
            input_format,
            start_time,
            end_time,
            ..
        } = Description::of(job)?;
        Ok(Summary { import_arn, import_status, table_arn, s3_bucket_source, input_format, start_time, end_time })
    };
    Ok(Listed { import_summary_list: jobs.iter().map(summary).collect::<Result<_, Error>>()?, next_token })
}

/// What each member must be by itself; the table's are looked at with the table.
fn constraints(request: &Request) -> Result<(), Error> {
    let mut violations = Violations::default();
    token_constraints(&mut violations, request.token.as_ref());
    violations.required("s3BucketSource", request.source.as_ref());
    if let Some(Source { owner, bucket, prefix }) = &request.source {
        bucket_constraints(&mut violations, "s3BucketSource.", bucket.as_ref(), owner.as_ref());
        violations.length("s3BucketSource.s3KeyPrefix", prefix.as_ref(), 0, 1024);
    }
    violations.required("inputFormat", request.format.as_ref());
    violations.one_of("inputFormat", request.format.as_ref(), &["DYNAMODB_JSON", "ION", "CSV"]);
    violations.one_of("inputCompressionType", request.compression.as_ref(), &["GZIP", "ZSTD", "NONE"]);
    if let Some(CsvOptions { delimiter, header }) = request.options.as_ref().and_then(|options| options.csv.as_ref()) {
        let place = "inputFormatOptions.csv.delimiter";
        violations.length(place, delimiter.as_ref(), 1, 1);
        let is_other = |text: &&String| text.chars().count() == 1 && !",;:|\t ".contains(text.as_str());
        if let Some(delimiter) = delimiter.as_ref().filter(is_other) {
            violations.add(place, delimiter, "Member must satisfy regular expression pattern: [,;:|\\t ]");
        }
        header_constraints(&mut violations, header.as_deref());
    }
    violations.required("tableCreationParameters", request.table.as_ref());
    if let Some(table) = &request.table {
        violations.required("tableCreationParameters.tableName", table.table_name.as_ref());
    }
    violations.finish()
}

fn header_constraints(violations: &mut Violations, header: Option<&[String]>) {
    let Some(header) = header else { return };
    let place = "inputFormatOptions.csv.headerList";
    if header.is_empty() {
        violations.add(place, "[]", "Member must have length greater than or equal to 1");
    } else if header.len() > 255 {
        violations.add(
            place,
            format_args!("[{} names]", header.len()),
            "Member must have length less than or equal to 255",
        );
    }
    for (at, name) in header.iter().enumerate() {
        let place = format!("{place}.{}.member", at + 1);
        violations.length(&place, Some(name), 1, 65536);
        if name.bytes().any(|byte| !matches!(byte, b'\x20'..=b'\x7e') || matches!(byte, b'"' | b',')) {
            let pattern = "Member must satisfy regular expression pattern: [\\x20-\\x21\\x23-\\x2B\\x2D-\\x7E]*";
            violations.add(&place, name, pattern);
        }
    }
}

impl Description {
    fn of(job: &Job) -> Result<Description, Error> {
        let Spec { bucket, owner, prefix, format, csv, compression } = job.spec().map_err(internal)?;
        let progress: Progress = job.progress().map_err(internal)?.unwrap_or_default();
        let table = job.fills.as_deref();
        let table = table.ok_or_else(|| Error::Internal("an import fills a table".into()))?;
        let (import_status, failure) = match &job.state {
            _ if !job.is_over() => ("IN_PROGRESS", None),
            State::Failed(failure) => ("FAILED", Some(failure.clone())),
            _ => ("COMPLETED", None),
        };
        Ok(Description {
            import_arn: import_arn(&table.name, &job.id),
            import_status,
            table_arn: table_arn(&table.name),
            table_id: job.table.map(table_id),
            client_token: job.token.clone(),
            s3_bucket_source: BucketSource { owner, bucket, prefix },
            error_count: progress.errors,
            input_format: format,
            input_format_options: csv.map(|csv| FormatOptions { csv }),
            input_compression_type: compression.unwrap_or(Compression::None),
            table_creation_parameters: Parameters::of(table),
            start_time: seconds(job.created_at_us),
            end_time: job.ended_at_us.filter(|_| job.is_over()).map(seconds),
            processed_size_bytes: progress.bytes,
            processed_item_count: progress.processed,
            imported_item_count: progress.imported,
            failure_code: failure.as_ref().map(|failure| failure.code.clone()),
            failure_message: failure.map(|failure| failure.message),
        })
    }
}

impl Parameters {
    fn of(table: &Table) -> Parameters {
        let index = |index: &Index| IndexParameters {
            index_name: index.name.clone(),
            key_schema: key_schema(index.partition_attributes(), index.sort_attributes()),
            projection: match &index.projection {
                Projection::All => ProjectionParameters { projection_type: "ALL", non_key_attributes: None },
                Projection::KeysOnly => ProjectionParameters { projection_type: "KEYS_ONLY", non_key_attributes: None },
                Projection::Include(names) => ProjectionParameters {
                    projection_type: "INCLUDE",
                    non_key_attributes: Some(names.iter().cloned().collect()),
                },
            },
            provisioned_throughput: Units::of(index.billing),
        };
        Parameters {
            table_name: table.name.clone(),
            attribute_definitions: definitions(table),
            key_schema: key_schema(table.partition_attributes(), table.sort_attributes()),
            billing_mode: if table.billing == Billing::OnDemand { "PAY_PER_REQUEST" } else { "PROVISIONED" },
            provisioned_throughput: Units::of(table.billing),
            global_secondary_indexes: global_indexes(table).map(index).collect(),
        }
    }
}

impl Units {
    fn of(billing: Billing) -> Option<Units> {
        match billing {
            Billing::OnDemand => None,
            Billing::Provisioned { read_units, write_units } => {
                Some(Units { read_capacity_units: read_units, write_capacity_units: write_units })
            }
        }
    }
}
