//! A table as DescribeTable and its like tell it.

use item::{KeyAttribute, Table, table::Billing};
use serde::Serialize;
use streams::StreamName;

use super::stream_arn;
use crate::App;

/// The region of every ARN and record.
pub(crate) const REGION: &str = "ddblocal";
/// The account of every ARN.
const ACCOUNT: &str = "000000000000";

/// The ARN of a table.
pub(crate) fn table_arn(name: &str) -> String {
    format!("arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{name}")
}

/// A table, described.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TableDescription {
    attribute_definitions: Vec<AttributeDefinition>,
    table_name: String,
    key_schema: Vec<KeySchemaElement>,
    table_status: &'static str,
    creation_date_time: f64,
    provisioned_throughput: Throughput,
    /// Approximate, as DynamoDB's is.
    table_size_bytes: u64,
    item_count: u64,
    table_arn: String,
    table_id: String,
    billing_mode_summary: BillingModeSummary,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_specification: Option<StreamSpecification>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latest_stream_label: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latest_stream_arn: Option<String>,
    deletion_protection_enabled: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct AttributeDefinition {
    attribute_name: String,
    attribute_type: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct KeySchemaElement {
    attribute_name: String,
    key_type: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Throughput {
    number_of_decreases_today: u64,
    read_capacity_units: u64,
    write_capacity_units: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct BillingModeSummary {
    billing_mode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_update_to_pay_per_request_date_time: Option<f64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct StreamSpecification {
    stream_enabled: bool,
    stream_view_type: &'static str,
}

impl TableDescription {
    /// Describes `table`, which is `status`.
    pub(crate) fn of(app: &App, table: &Table, status: &'static str) -> TableDescription {
        let (item_count, table_size_bytes) = app.store.approximate_size(table);
        let created = seconds(table.created_at_us);
        let (mode, read_units, write_units) = match table.billing {
            Billing::OnDemand => ("PAY_PER_REQUEST", 0, 0),
            Billing::Provisioned { read_units, write_units } => ("PROVISIONED", read_units, write_units),
        };
        let keys = || std::iter::once(&table.partition_key).chain(&table.sort_key);
        let stream = table.stream.as_ref().map(|stream| StreamName::new(table, stream));
        TableDescription {
            attribute_definitions: keys().map(AttributeDefinition::of).collect(),
            table_name: table.name.clone(),
            key_schema: key_schema(table),
            table_status: status,
            creation_date_time: created,
            provisioned_throughput: Throughput {
                number_of_decreases_today: 0,
                read_capacity_units: read_units,
                write_capacity_units: write_units,
            },
            table_size_bytes,
            item_count,
            table_arn: table_arn(&table.name),
            table_id: format!("00000000-0000-4000-8000-{:012x}", table.id.0),
            billing_mode_summary: BillingModeSummary {
                billing_mode: mode,
                last_update_to_pay_per_request_date_time: (mode == "PAY_PER_REQUEST").then_some(created),
            },
            stream_specification: table.stream.as_ref().map(|stream| StreamSpecification {
                stream_enabled: true,
                stream_view_type: stream_arn::view_word(stream.view),
            }),
            latest_stream_arn: stream.as_ref().map(stream_arn::arn),
            latest_stream_label: stream.map(|stream| stream.label),
            deletion_protection_enabled: table.deletion_protection,
        }
    }
}

impl AttributeDefinition {
    fn of(key: &KeyAttribute) -> AttributeDefinition {
        AttributeDefinition { attribute_name: key.name.clone(), attribute_type: key.key_type.to_string() }
    }
}

/// The key schema of `table`.
pub(crate) fn key_schema(table: &Table) -> Vec<KeySchemaElement> {
    let element = |key: &KeyAttribute, key_type| KeySchemaElement { attribute_name: key.name.clone(), key_type };
    let mut schema = vec![element(&table.partition_key, "HASH")];
    schema.extend(table.sort_key.as_ref().map(|key| element(key, "RANGE")));
    schema
}

/// Seconds since 1970, to the millisecond, as times are told.
pub(crate) fn seconds(time_us: u64) -> f64 {
    (time_us / 1000) as f64 / 1000.0
}
