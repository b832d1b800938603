//! Items by key, all as of the same moment, whatever asked for them. They become JSON one by one, so that a large answer is
//! never also in memory as items.

use std::{collections::BTreeSet, sync::Arc};

use item::{
    Item, Key, Table,
    expression::{Condition, Projection},
};
use serde::Serialize;
use serde_json::value::RawValue;
use store::transaction::Transaction;

use super::{ITEM_ROOM_BYTES, metered::TRANSACTED};
use crate::{
    App, Error,
    budget::Room,
    cancellation::{Reason, throttled},
    capacity::{ConsumedCapacity, Detail, UnitKind, read_units},
    throttle::{Use, claim},
    values::ItemOut,
};

/// What to read, and what to show of it; the key may not fit the table.
pub(super) struct Read {
    pub(super) given_name: String,
    pub(super) table: Arc<Table>,
    pub(super) key: Result<Key, String>,
    /// Must hold for the item to be shown.
    pub(super) filter: Option<Condition>,
    pub(super) projection: Option<Projection>,
}

/// One item, if there is one.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Response {
    #[serde(skip_serializing_if = "Option::is_none")]
    item: Option<Box<RawValue>>,
}

/// An item on its way out: what of it is to be shown, if anything is.
pub(super) fn shown(
    item: Option<Item>,
    filter: Option<&Condition>,
    projection: Option<&Projection>,
) -> Result<Option<Box<RawValue>>, Error> {
    let item = item.filter(|item| filter.is_none_or(|filter| filter.matches(item)));
    let item = item.map(|item| match projection {
        Some(projection) => projection.apply(&item),
        None => item,
    });
    // Of an item of which nothing is to be shown, nothing is said.
    let item = item.filter(|item| projection.is_none() || !item.is_empty());
    let json = item.map(|item| serde_json::value::to_raw_value(&ItemOut(item))).transpose();
    json.map_err(|error| Error::Internal(error.to_string()))
}

/// Reads all of it; answers the units that were used too, if asked for.
pub(super) async fn read_at_once(
    app: &App,
    reads: Vec<Read>,
    capacity: Detail,
    room: &mut Room<'_>,
) -> Result<(Vec<Response>, Option<Vec<ConsumedCapacity>>), Error> {
    if reads.iter().any(|read| read.key.is_err()) {
        return Err(Error::TransactionCancelled(reads.iter().map(|read| Reason::of(&read.key)).collect()));
    }
    let mut keys = Vec::new();
    let mut told = Vec::new();
    for Read { given_name, table, key, filter, projection } in reads {
        keys.extend(key.map(|key| (table, key)));
        told.push((given_name, filter, projection));
    }
    let distinct: BTreeSet<_> = keys.iter().map(|(table, key)| (table.id, key)).collect();
    if distinct.len() < keys.len() {
        return Err(Error::validation("Transaction request cannot include multiple operations on one item"));
    }
    let mut admitted = Vec::new();
    for (place, (table, _)) in keys.iter().enumerate() {
        let claim = claim(table, None, Use::Read, TRANSACTED * read_units(0, true));
        admitted.push(app.admit(table, claim).map_err(|error| throttled(&error, place, keys.len()))?);
    }
    let tables: Vec<Arc<Table>> = keys.iter().map(|(table, _)| table.clone()).collect();
    room.reserve(ITEM_ROOM_BYTES).await?;
    let snapshot = app.store.snapshot(keys);
    if !snapshot.has_tables() {
        return Err(Error::NotFound("Requested resource not found".into()));
    }
    let mut responses = Vec::new();
    let mut units = Vec::new();
    let (mut bytes, mut json_bytes) = (0, 0);
    for (at, ((_, filter, projection), admitted)) in told.iter().zip(admitted).enumerate() {
        // Once each item by itself, once all together, and room for the next one.
        room.grow(2 * json_bytes + ITEM_ROOM_BYTES)?;
        let item = snapshot.item(at).await?;
        let size = item.as_ref().map_or(0, Item::size);
        bytes += size;
        if bytes > Transaction::SIZE_MAX {
            return Err(Error::validation("Aggregate size of items in the transaction exceeds 4 MB"));
        }
        let used = TRANSACTED * read_units(size, true);
        admitted.settle(&tables[at], &used.into(), Use::Read);
        units.push(used);
        let json = shown(item, filter.as_ref(), projection.as_ref())?;
        json_bytes += json.as_ref().map_or(0, |json| json.get().len());
        responses.push(Response { item: json });
    }
    let names = told.iter().map(|(name, _, _)| name.as_str());
    Ok((responses, capacity.transacted(names.zip(units), UnitKind::Read)))
}
