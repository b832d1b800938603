//! A backup as DescribeBackup and its like tell it.

use backup::{Base, Kind};
use item::{
    Index, IndexKind, Table,
    table::{self, Billing, Projection},
};
use serde::Serialize;

use super::{
    stream_arn,
    table_description::{KeySchemaElement, OnDemandThroughput, key_schema, seconds, table_arn, table_id},
    throughput::Units,
};

/// A backup's name among all of them.
pub(crate) fn backup_arn(table: &str, id: &str) -> String {
    format!("{}/backup/{id}", table_arn(table))
}

/// A backup, described.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct BackupDescription {
    backup_details: BackupDetails,
    source_table_details: SourceTable,
    source_table_feature_details: SourceFeatures,
}

/// What is known of the backup itself.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct BackupDetails {
    backup_arn: String,
    backup_name: String,
    backup_size_bytes: u64,
    backup_status: &'static str,
    backup_type: &'static str,
    backup_creation_date_time: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    backup_expiry_date_time: Option<f64>,
}

/// A backup in a list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct BackupSummary {
    table_name: String,
    table_id: String,
    table_arn: String,
    #[serde(flatten)]
    details: BackupDetails,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct SourceTable {
    table_name: String,
    table_id: String,
    table_arn: String,
    table_size_bytes: u64,
    key_schema: Vec<KeySchemaElement>,
    table_creation_date_time: f64,
    provisioned_throughput: Units,
    #[serde(skip_serializing_if = "Option::is_none")]
    on_demand_throughput: Option<OnDemandThroughput>,
    item_count: u64,
    billing_mode: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct SourceFeatures {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    local_secondary_indexes: Vec<IndexInfo>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    global_secondary_indexes: Vec<IndexInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_description: Option<StreamDescription>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time_to_live_description: Option<TimeToLive>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct IndexInfo {
    index_name: String,
    key_schema: Vec<KeySchemaElement>,
    projection: Projected,
    #[serde(skip_serializing_if = "Option::is_none")]
    provisioned_throughput: Option<Units>,
    #[serde(skip_serializing_if = "Option::is_none")]
    on_demand_throughput: Option<OnDemandThroughput>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Projected {
    projection_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    non_key_attributes: Option<Vec<String>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct StreamDescription {
    stream_enabled: bool,
    stream_view_type: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct TimeToLive {
    time_to_live_status: &'static str,
    attribute_name: String,
}

impl BackupDetails {
    /// Of a backup that is `status`.
    pub(crate) fn of(base: &Base, status: &'static str) -> BackupDetails {
        BackupDetails {
            backup_arn: backup_arn(&base.table.name, base.id()),
            backup_name: base.note.name.clone(),
            backup_size_bytes: base.note.bytes,
            backup_status: status,
            backup_type: if base.note.kind == Kind::System { "SYSTEM" } else { "USER" },
            backup_creation_date_time: seconds(base.note.created_at_us),
            backup_expiry_date_time: base.note.expires_at_us.map(seconds),
        }
    }
}

impl BackupSummary {
    pub(crate) fn of(base: &Base) -> BackupSummary {
        BackupSummary {
            table_name: base.table.name.clone(),
            table_id: table_id(base.table.id),
            table_arn: table_arn(&base.table.name),
            details: BackupDetails::of(base, "AVAILABLE"),
        }
    }
}

impl BackupDescription {
    /// Of a backup that is `status`.
    pub(crate) fn of(base: &Base, status: &'static str) -> BackupDescription {
        let table: &Table = &base.table;
        let indexes = |kind| {
            let indexes = table.indexes.iter().filter(move |index| index.kind == kind);
            indexes.map(IndexInfo::of).collect()
        };
        BackupDescription {
            backup_details: BackupDetails::of(base, status),
            source_table_details: SourceTable {
                table_name: table.name.clone(),
                table_id: table_id(table.id),
                table_arn: table_arn(&table.name),
                table_size_bytes: base.note.bytes,
                key_schema: key_schema(table.partition_attributes(), table.sort_attributes()),
                table_creation_date_time: seconds(table.created_at_us),
                provisioned_throughput: Units::of(table.billing),
                on_demand_throughput: OnDemandThroughput::of(&table.settings.throughput),
                item_count: base.note.items,
                billing_mode: if table.billing == Billing::OnDemand { "PAY_PER_REQUEST" } else { "PROVISIONED" },
            },
            source_table_feature_details: SourceFeatures {
                local_secondary_indexes: indexes(IndexKind::Local),
                global_secondary_indexes: indexes(IndexKind::Global),
                stream_description: table.stream.as_ref().map(|stream| StreamDescription {
                    stream_enabled: true,
                    stream_view_type: stream_arn::view_word(stream.view),
                }),
                time_to_live_description: table.expiry().map(|index| TimeToLive {
                    time_to_live_status: "ENABLED",
                    attribute_name: index.partition_key.name.clone(),
                }),
            },
        }
    }
}

impl IndexInfo {
    fn of(index: &Index) -> IndexInfo {
        let is_global = index.kind == IndexKind::Global;
        let (projection_type, non_key_attributes) = match &index.projection {
            Projection::All => ("ALL", None),
            Projection::KeysOnly => ("KEYS_ONLY", None),
            Projection::Include(names) => ("INCLUDE", Some(names.iter().cloned().collect())),
        };
        let on_demand = |throughput: &table::Throughput| OnDemandThroughput::of(throughput);
        IndexInfo {
            index_name: index.name.clone(),
            key_schema: key_schema(index.partition_attributes(), index.sort_attributes()),
            projection: Projected { projection_type, non_key_attributes },
            provisioned_throughput: is_global.then(|| Units::of(index.billing)),
            on_demand_throughput: if is_global { on_demand(&index.throughput) } else { None },
        }
    }
}
