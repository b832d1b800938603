//! A change as GetRecords and followers tell it.

use item::{Actor, Image};
use serde::Serialize;
use streams::Record;

use super::{stream_arn::view_word, table_description::REGION};
use crate::values::{ImageOut, ItemOut};

/// One change.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StreamRecord {
    #[serde(rename = "eventID")]
    event_id: String,
    event_name: &'static str,
    event_version: &'static str,
    event_source: &'static str,
    aws_region: &'static str,
    dynamodb: Changed,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_identity: Option<UserIdentity>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Changed {
    approximate_creation_date_time: f64,
    keys: ItemOut,
    #[serde(skip_serializing_if = "Option::is_none")]
    new_image: Option<ImageOut<Image>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    old_image: Option<ImageOut<Image>>,
    sequence_number: String,
    size_bytes: usize,
    stream_view_type: &'static str,
}

/// Who made a change, if it was no client.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct UserIdentity {
    principal_id: &'static str,
    r#type: &'static str,
}

impl StreamRecord {
    pub(crate) fn of(record: Record) -> StreamRecord {
        let expired = record.actor == Actor::Ttl;
        StreamRecord {
            event_name: record.event.name(),
            event_version: "1.1",
            event_source: "aws:dynamodb",
            aws_region: REGION,
            user_identity: expired
                .then_some(UserIdentity { principal_id: "dynamodb.amazonaws.com", r#type: "Service" }),
            dynamodb: Changed {
                approximate_creation_date_time: (record.created_at_us / 1_000_000) as f64,
                sequence_number: record.sequence_text(),
                keys: ItemOut(record.keys),
                new_image: record.new_image.map(ImageOut),
                old_image: record.old_image.map(ImageOut),
                size_bytes: record.size_bytes,
                stream_view_type: view_word(record.view),
            },
            event_id: record.id,
        }
    }
}
