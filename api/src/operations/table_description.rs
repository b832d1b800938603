//! A table as DescribeTable and its like tell it.

use std::collections::BTreeSet;

use item::{IndexKind, KeyAttribute, Table, table::Billing};
use serde::Serialize;
use streams::StreamName;

use super::{index_description::IndexDescription, stream_arn};
use crate::App;

/// The region of every ARN and record.
pub(crate) const REGION: &str = "ddblocal";
/// The account of every ARN.
pub(crate) const ACCOUNT: &str = "000000000000";

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
    #[serde(skip_serializing_if = "Vec::is_empty")]
    local_secondary_indexes: Vec<IndexDescription>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    global_secondary_indexes: Vec<IndexDescription>,
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
pub(super) struct Throughput {
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
        let mode = if table.billing == Billing::OnDemand { "PAY_PER_REQUEST" } else { "PROVISIONED" };
        let indexes = |kind| IndexDescription::all(app, table, kind);
        let stream = table.stream.as_ref().map(|stream| StreamName::new(table, stream));
        TableDescription {
            attribute_definitions: definitions(table),
            table_name: table.name.clone(),
            key_schema: key_schema(&table.partition_key, table.sort_key.as_ref()),
            table_status: status,
            creation_date_time: created,
            provisioned_throughput: Throughput::of(table.billing),
            table_size_bytes,
            item_count,
            table_arn: table_arn(&table.name),
            table_id: format!("00000000-0000-4000-8000-{:012x}", table.id.0),
            billing_mode_summary: BillingModeSummary {
                billing_mode: mode,
                last_update_to_pay_per_request_date_time: (mode == "PAY_PER_REQUEST").then_some(created),
            },
            local_secondary_indexes: indexes(IndexKind::Local),
            global_secondary_indexes: indexes(IndexKind::Global),
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

impl Throughput {
    pub(super) fn of(billing: Billing) -> Throughput {
        let (read_capacity_units, write_capacity_units) = match billing {
            Billing::OnDemand => (0, 0),
            Billing::Provisioned { read_units, write_units } => (read_units, write_units),
        };
        Throughput { number_of_decreases_today: 0, read_capacity_units, write_capacity_units }
    }
}

/// The key attributes of a table and its indexes, each once.
fn definitions(table: &Table) -> Vec<AttributeDefinition> {
    let mut seen = BTreeSet::new();
    let attributes = table.all_key_attributes().filter(|attribute| seen.insert(&attribute.name));
    attributes.map(AttributeDefinition::of).collect()
}

/// The key schema of a table or an index.
pub(crate) fn key_schema(partition: &KeyAttribute, sort: Option<&KeyAttribute>) -> Vec<KeySchemaElement> {
    let element = |key: &KeyAttribute, key_type| KeySchemaElement { attribute_name: key.name.clone(), key_type };
    let mut schema = vec![element(partition, "HASH")];
    schema.extend(sort.map(|key| element(key, "RANGE")));
    schema
}

/// Seconds since 1970, to the millisecond, as times are told.
pub(crate) fn seconds(time_us: u64) -> f64 {
    (time_us / 1000) as f64 / 1000.0
}
