//! DynamoDB JSON: one `{"Item": {...}}` a line, as exports have it.

use item::{EncodedItem, Key, Table};

use super::lines::Line;
use crate::{
    json::{self, request},
    validate,
    values::WireEncoded,
};

request! {
    /// One line.
    struct Record { item: WireEncoded = "Item", }
}

/// The item of a line and its key, or what is wrong with it.
pub(super) fn item(line: &Line<'_>, table: &Table) -> Result<(Key, EncodedItem), String> {
    let Line::Whole(line) = line else {
        return Err(format!("the line is over {} bytes", super::lines::LINE_BYTES_MAX));
    };
    let record: Record = json::parse(line).map_err(|error| match error {
        crate::Error::Serialization(Some(text)) => format!("no item: {text}"),
        _ => "no JSON, or nested too deep".to_owned(),
    })?;
    let item = record.item.ok_or("the line has no Item")?;
    let item = validate::encoded_item(item).map_err(|error| error.to_string())?;
    let key = validate::encoded_item_key(table, &item).map_err(|error| error.to_string())?;
    Ok((key, item))
}

/// Is there nothing in the line?
pub(super) fn is_blank(line: &Line<'_>) -> bool {
    matches!(line, Line::Whole(line) if line.iter().all(u8::is_ascii_whitespace))
}
