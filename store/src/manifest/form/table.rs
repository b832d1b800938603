//! A table in the manifest's text.

use std::collections::BTreeMap;

use item::{Index, KeyAttribute, KeyType, Stream, StreamView, Table, TableId, table::Billing};
use serde::{Deserialize, Serialize};

use super::{index::IndexForm, settings::SettingsForm};

#[derive(Serialize, Deserialize)]
pub(super) struct TableForm {
    id: u32,
    name: String,
    version: u32,
    partition_key: KeyAttributeForm,
    sort_key: Option<KeyAttributeForm>,
    sort_key_is_time: bool,
    #[serde(default, skip_serializing_if = "SettingsForm::is_default")]
    settings: SettingsForm,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    indexes: Vec<IndexForm>,
    stream: Option<StreamForm>,
    created_at_us: u64,
    billing: BillingForm,
    deletion_protection: bool,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    tags: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct KeyAttributeForm {
    name: String,
    #[serde(rename = "type")]
    key_type: KeyTypeForm,
}

#[derive(Serialize, Deserialize)]
enum KeyTypeForm {
    S,
    N,
    B,
}

#[derive(PartialEq, Serialize, Deserialize)]
pub(super) struct StreamForm {
    view: StreamViewForm,
    enabled_at_us: u64,
}

#[derive(PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum StreamViewForm {
    KeysOnly,
    NewImage,
    OldImage,
    NewAndOldImages,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum BillingForm {
    OnDemand,
    Provisioned { read_units: u64, write_units: u64 },
}

impl From<&Table> for TableForm {
    fn from(table: &Table) -> Self {
        TableForm {
            id: table.id.0,
            name: table.name.clone(),
            version: table.version,
            partition_key: (&table.partition_key).into(),
            sort_key: table.sort_key.as_ref().map(KeyAttributeForm::from),
            sort_key_is_time: table.sort_key_is_time,
            settings: (&table.settings).into(),
            indexes: table.indexes.iter().map(IndexForm::from).collect(),
            stream: table.stream.as_ref().map(StreamForm::from),
            created_at_us: table.created_at_us,
            billing: table.billing.into(),
            deletion_protection: table.deletion_protection,
            tags: table.tags.clone(),
        }
    }
}

impl From<TableForm> for Table {
    fn from(form: TableForm) -> Self {
        Table {
            id: TableId(form.id),
            name: form.name,
            version: form.version,
            partition_key: form.partition_key.into(),
            sort_key: form.sort_key.map(KeyAttribute::from),
            sort_key_is_time: form.sort_key_is_time,
            item_key: Vec::new(),
            further_keys: Default::default(),
            settings: form.settings.into(),
            indexes: form.indexes.into_iter().map(Index::from).collect(),
            stream: form.stream.map(Stream::from),
            created_at_us: form.created_at_us,
            billing: form.billing.into(),
            deletion_protection: form.deletion_protection,
            tags: form.tags,
        }
    }
}

impl From<&KeyAttribute> for KeyAttributeForm {
    fn from(key: &KeyAttribute) -> Self {
        let key_type = match key.key_type {
            KeyType::S => KeyTypeForm::S,
            KeyType::N => KeyTypeForm::N,
            KeyType::B => KeyTypeForm::B,
        };
        KeyAttributeForm { name: key.name.clone(), key_type }
    }
}

impl From<KeyAttributeForm> for KeyAttribute {
    fn from(form: KeyAttributeForm) -> Self {
        let key_type = match form.key_type {
            KeyTypeForm::S => KeyType::S,
            KeyTypeForm::N => KeyType::N,
            KeyTypeForm::B => KeyType::B,
        };
        KeyAttribute { name: form.name, key_type }
    }
}

impl From<&Stream> for StreamForm {
    fn from(stream: &Stream) -> Self {
        let view = match stream.view {
            StreamView::KeysOnly => StreamViewForm::KeysOnly,
            StreamView::NewImage => StreamViewForm::NewImage,
            StreamView::OldImage => StreamViewForm::OldImage,
            StreamView::NewAndOldImages => StreamViewForm::NewAndOldImages,
        };
        StreamForm { view, enabled_at_us: stream.enabled_at_us }
    }
}

impl From<StreamForm> for Stream {
    fn from(form: StreamForm) -> Self {
        let view = match form.view {
            StreamViewForm::KeysOnly => StreamView::KeysOnly,
            StreamViewForm::NewImage => StreamView::NewImage,
            StreamViewForm::OldImage => StreamView::OldImage,
            StreamViewForm::NewAndOldImages => StreamView::NewAndOldImages,
        };
        Stream { view, enabled_at_us: form.enabled_at_us }
    }
}

impl From<Billing> for BillingForm {
    fn from(billing: Billing) -> Self {
        match billing {
            Billing::OnDemand => BillingForm::OnDemand,
            Billing::Provisioned { read_units, write_units } => BillingForm::Provisioned { read_units, write_units },
        }
    }
}

impl From<BillingForm> for Billing {
    fn from(form: BillingForm) -> Self {
        match form {
            BillingForm::OnDemand => Billing::OnDemand,
            BillingForm::Provisioned { read_units, write_units } => Billing::Provisioned { read_units, write_units },
        }
    }
}
