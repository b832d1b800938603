//! A secondary index as DescribeTable and its like tell it.

use item::{Index, IndexKind, IndexStatus, Table, table::Projection};
use serde::Serialize;

use super::table_description::{
    KeySchemaElement, OnDemandThroughput, Throughput, WarmThroughput, key_schema, table_arn,
};
use crate::App;

/// An index, described. Only a global one has a status and throughput of its own.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct IndexDescription {
    index_name: String,
    key_schema: Vec<KeySchemaElement>,
    projection: ProjectionDescription,
    #[serde(skip_serializing_if = "Option::is_none")]
    index_status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backfilling: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provisioned_throughput: Option<Throughput>,
    #[serde(skip_serializing_if = "Option::is_none")]
    on_demand_throughput: Option<OnDemandThroughput>,
    #[serde(skip_serializing_if = "Option::is_none")]
    warm_throughput: Option<WarmThroughput>,
    /// Approximate, as the table's is.
    index_size_bytes: u64,
    item_count: u64,
    index_arn: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ProjectionDescription {
    projection_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    non_key_attributes: Option<Vec<String>>,
}

impl IndexDescription {
    /// The table's indexes of that kind.
    pub(super) fn all(app: &App, table: &Table, kind: IndexKind) -> Vec<IndexDescription> {
        let indexes = table.indexes.iter().filter(|index| index.kind == kind);
        indexes.map(|index| IndexDescription::of(app, table, index)).collect()
    }

    pub(super) fn name(&self) -> &str {
        &self.index_name
    }

    pub(super) fn set_status(&mut self, status: &'static str) {
        self.index_status = Some(status);
    }

    fn of(app: &App, table: &Table, index: &Index) -> IndexDescription {
        let (item_count, index_size_bytes) = app.store.approximate_size(&index.entries(table));
        let is_global = index.kind == IndexKind::Global;
        let is_filling = index.status == IndexStatus::Filling;
        let is_creating = is_filling || table.settings.is_filling;
        IndexDescription {
            index_name: index.name.clone(),
            key_schema: key_schema(index.partition_attributes(), index.sort_attributes()),
            projection: match &index.projection {
                Projection::All => projection("ALL", None),
                Projection::KeysOnly => projection("KEYS_ONLY", None),
                Projection::Include(names) => projection("INCLUDE", Some(names.iter().cloned().collect())),
            },
            index_status: is_global.then_some(if is_creating { "CREATING" } else { "ACTIVE" }),
            backfilling: is_filling.then_some(true),
            provisioned_throughput: is_global.then(|| Throughput::of(app, index.billing, &index.throughput)),
            on_demand_throughput: OnDemandThroughput::of(&index.throughput),
            warm_throughput: is_global.then(|| WarmThroughput::of(index.billing, &index.throughput)),
            index_size_bytes,
            item_count,
            index_arn: format!("{}/index/{}", table_arn(&table.name), index.name),
        }
    }
}

fn projection(projection_type: &'static str, non_key_attributes: Option<Vec<String>>) -> ProjectionDescription {
    ProjectionDescription { projection_type, non_key_attributes }
}
