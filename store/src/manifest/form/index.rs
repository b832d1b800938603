//! A secondary index in the manifest's text.

use std::collections::BTreeSet;

use item::{FurtherKeys, Index, IndexKind, IndexStatus, KeyAttribute, TableId, table::Projection};
use serde::{Deserialize, Serialize};

use super::{
    settings::ThroughputForm,
    table::{BillingForm, KeyAttributeForm},
};

#[derive(Serialize, Deserialize)]
pub(super) struct IndexForm {
    id: u32,
    name: String,
    kind: KindForm,
    partition_key: KeyAttributeForm,
    sort_key: Option<KeyAttributeForm>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    further_partition_keys: Vec<KeyAttributeForm>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    further_sort_keys: Vec<KeyAttributeForm>,
    projection: ProjectionForm,
    status: StatusForm,
    billing: BillingForm,
    #[serde(default, skip_serializing_if = "ThroughputForm::is_default")]
    throughput: ThroughputForm,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum KindForm {
    Global,
    Local,
    Expiry,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ProjectionForm {
    KeysOnly,
    Include(BTreeSet<String>),
    All,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StatusForm {
    Filling,
    Active,
}

impl From<&Index> for IndexForm {
    fn from(index: &Index) -> Self {
        IndexForm {
            id: index.id.0,
            name: index.name.clone(),
            kind: match index.kind {
                IndexKind::Global => KindForm::Global,
                IndexKind::Local => KindForm::Local,
                IndexKind::Expiry => KindForm::Expiry,
            },
            partition_key: (&index.partition_key).into(),
            sort_key: index.sort_key.as_ref().map(KeyAttributeForm::from),
            further_partition_keys: index.further_keys.partition.iter().map(KeyAttributeForm::from).collect(),
            further_sort_keys: index.further_keys.sort.iter().map(KeyAttributeForm::from).collect(),
            projection: match &index.projection {
                Projection::KeysOnly => ProjectionForm::KeysOnly,
                Projection::Include(names) => ProjectionForm::Include(names.clone()),
                Projection::All => ProjectionForm::All,
            },
            status: match index.status {
                IndexStatus::Filling => StatusForm::Filling,
                IndexStatus::Active => StatusForm::Active,
            },
            billing: index.billing.into(),
            throughput: (&index.throughput).into(),
        }
    }
}

impl From<IndexForm> for Index {
    fn from(form: IndexForm) -> Self {
        Index {
            id: TableId(form.id),
            name: form.name,
            kind: match form.kind {
                KindForm::Global => IndexKind::Global,
                KindForm::Local => IndexKind::Local,
                KindForm::Expiry => IndexKind::Expiry,
            },
            partition_key: form.partition_key.into(),
            sort_key: form.sort_key.map(KeyAttribute::from),
            further_keys: FurtherKeys {
                partition: form.further_partition_keys.into_iter().map(KeyAttribute::from).collect(),
                sort: form.further_sort_keys.into_iter().map(KeyAttribute::from).collect(),
            },
            projection: match form.projection {
                ProjectionForm::KeysOnly => Projection::KeysOnly,
                ProjectionForm::Include(names) => Projection::Include(names),
                ProjectionForm::All => Projection::All,
            },
            status: match form.status {
                StatusForm::Filling => IndexStatus::Filling,
                StatusForm::Active => IndexStatus::Active,
            },
            billing: form.billing.into(),
            throughput: form.throughput.into(),
        }
    }
}
