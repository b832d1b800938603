//! A table as DescribeTable and its like tell it.

use std::collections::BTreeSet;

use item::{
    IndexKind, KeyAttribute, Table, TableId,
    table::{self, Billing, TableClass},
};
use serde::Serialize;
use streams::StreamName;

use super::{backup_description::backup_arn, index_description::IndexDescription, stream_arn, throughput};
use crate::App;

/// The region of every ARN and record.
pub(crate) const REGION: &str = "ddblocal";
/// The account of every ARN.
pub(crate) const ACCOUNT: &str = "000000000000";

/// The ARN of a table.
pub(crate) fn table_arn(name: &str) -> String {
    format!("arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{name}")
}

/// A table's number as clients are told it.
pub(crate) fn table_id(id: TableId) -> String {
    format!("00000000-0000-4000-8000-{:012x}", id.0)
}

/// Does an ARN name something of this server's region and account?
pub(crate) fn is_own_arn(arn: &str) -> bool {
    arn.starts_with(&table_arn(""))
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
    /// DynamoDB tells it only of tables that are on-demand or once were.
    #[serde(skip_serializing_if = "Option::is_none")]
    billing_mode_summary: Option<BillingModeSummary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    table_class_summary: Option<TableClassSummary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    on_demand_throughput: Option<OnDemandThroughput>,
    warm_throughput: WarmThroughput,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    restore_summary: Option<RestoreSummary>,
}

/// Of what the table was, or is being, restored.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct RestoreSummary {
    #[serde(skip_serializing_if = "Option::is_none")]
    source_backup_arn: Option<String>,
    source_table_arn: String,
    restore_date_time: f64,
    restore_in_progress: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AttributeDefinition {
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
    #[serde(skip_serializing_if = "Option::is_none")]
    last_increase_date_time: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_decrease_date_time: Option<f64>,
    number_of_decreases_today: u32,
    read_capacity_units: u64,
    write_capacity_units: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct BillingModeSummary {
    billing_mode: &'static str,
    last_update_to_pay_per_request_date_time: f64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct TableClassSummary {
    table_class: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_update_date_time: Option<f64>,
}

/// Most units a second on demand; -1 is for no bound.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct OnDemandThroughput {
    max_read_request_units: i64,
    max_write_request_units: i64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct WarmThroughput {
    read_units_per_second: u64,
    write_units_per_second: u64,
    status: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct StreamSpecification {
    stream_enabled: bool,
    stream_view_type: &'static str,
}

impl TableDescription {
    /// Tells of a global index that it is `status`.
    pub(crate) fn set_index_status(&mut self, name: &str, status: &'static str) {
        let mut indexes = self.global_secondary_indexes.iter_mut();
        if let Some(index) = indexes.find(|index| index.name() == name) {
            index.set_status(status);
        }
    }

    /// Describes `table`, which is `status`.
    pub(crate) fn of(app: &App, table: &Table, status: &'static str) -> TableDescription {
        let (item_count, table_size_bytes) = app.store.approximate_size(table);
        let mode = if table.billing == Billing::OnDemand { "PAY_PER_REQUEST" } else { "PROVISIONED" };
        let settings = &table.settings;
        let indexes = |kind| IndexDescription::all(app, table, kind);
        let ended = settings.ended_streams.last().map(|ended| &ended.stream);
        let stream = table.stream.as_ref().or(ended).map(|stream| StreamName::new(table, stream));
        TableDescription {
            attribute_definitions: definitions(table),
            table_name: table.name.clone(),
            key_schema: key_schema(table.partition_attributes(), table.sort_attributes()),
            table_status: status,
            creation_date_time: seconds(table.created_at_us),
            provisioned_throughput: Throughput::of(app, table.billing, &settings.throughput),
            table_size_bytes,
            item_count,
            table_arn: table_arn(&table.name),
            table_id: table_id(table.id),
            billing_mode_summary: table.on_demand_since_us().map(|since_us| BillingModeSummary {
                billing_mode: mode,
                last_update_to_pay_per_request_date_time: seconds(since_us),
            }),
            table_class_summary: settings.class.map(|class| TableClassSummary {
                table_class: match class {
                    TableClass::Standard => "STANDARD",
                    TableClass::InfrequentAccess => "STANDARD_INFREQUENT_ACCESS",
                },
                last_update_date_time: settings.class_changed_at_us.map(seconds),
            }),
            on_demand_throughput: OnDemandThroughput::of(&settings.throughput),
            warm_throughput: WarmThroughput::of(table.billing, &settings.throughput),
            local_secondary_indexes: indexes(IndexKind::Local),
            global_secondary_indexes: indexes(IndexKind::Global),
            stream_specification: table.stream.as_ref().map(|stream| StreamSpecification {
                stream_enabled: true,
                stream_view_type: stream_arn::view_word(stream.view),
            }),
            latest_stream_arn: stream.as_ref().map(stream_arn::arn),
            latest_stream_label: stream.map(|stream| stream.label),
            deletion_protection_enabled: table.deletion_protection,
            restore_summary: settings.restored.as_ref().map(|restored| RestoreSummary {
                source_backup_arn: (!restored.backup.is_empty()).then(|| backup_arn(&restored.table, &restored.backup)),
                source_table_arn: table_arn(&restored.table),
                restore_date_time: seconds(restored.as_of_us),
                restore_in_progress: settings.is_filling,
            }),
        }
    }
}

impl AttributeDefinition {
    fn of(key: &KeyAttribute) -> AttributeDefinition {
        AttributeDefinition { attribute_name: key.name.clone(), attribute_type: key.key_type.to_string() }
    }
}

impl Throughput {
    pub(super) fn of(app: &App, billing: Billing, known: &table::Throughput) -> Throughput {
        let (read_capacity_units, write_capacity_units) = match billing {
            Billing::OnDemand => (0, 0),
            Billing::Provisioned { read_units, write_units } => (read_units, write_units),
        };
        Throughput {
            last_increase_date_time: known.increased_at_us.map(seconds),
            last_decrease_date_time: known.decreased.map(|decreased| seconds(decreased.last_at_us)),
            number_of_decreases_today: known.decreases_on(app.store.clock().now_us()),
            read_capacity_units,
            write_capacity_units,
        }
    }
}

impl OnDemandThroughput {
    /// Told if a bound was set.
    pub(super) fn of(known: &table::Throughput) -> Option<OnDemandThroughput> {
        let units = |units_max: Option<u64>| units_max.and_then(|units| i64::try_from(units).ok()).unwrap_or(-1);
        (known.read_units_max.is_some() || known.write_units_max.is_some()).then(|| OnDemandThroughput {
            max_read_request_units: units(known.read_units_max),
            max_write_request_units: units(known.write_units_max),
        })
    }
}

impl WarmThroughput {
    pub(super) fn of(billing: Billing, known: &table::Throughput) -> WarmThroughput {
        let warm = throughput::warm(billing, known);
        WarmThroughput {
            read_units_per_second: warm.read_units,
            write_units_per_second: warm.write_units,
            status: "ACTIVE",
        }
    }
}

/// The key attributes of a table and its indexes, each once.
pub(super) fn definitions(table: &Table) -> Vec<AttributeDefinition> {
    let mut seen = BTreeSet::new();
    let attributes = table.all_key_attributes().filter(|attribute| seen.insert(&attribute.name));
    attributes.map(AttributeDefinition::of).collect()
}

/// The key schema of a table or an index.
pub(crate) fn key_schema<'a>(
    partition: impl Iterator<Item = &'a KeyAttribute>,
    sort: impl Iterator<Item = &'a KeyAttribute>,
) -> Vec<KeySchemaElement> {
    let element = |key: &KeyAttribute, key_type| KeySchemaElement { attribute_name: key.name.clone(), key_type };
    let partition = partition.map(|key| element(key, "HASH"));
    partition.chain(sort.map(|key| element(key, "RANGE"))).collect()
}

/// Seconds since 1970, to the millisecond, as times are told.
pub(crate) fn seconds(time_us: u64) -> f64 {
    (time_us / 1000) as f64 / 1000.0
}
