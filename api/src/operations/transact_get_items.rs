//! TransactGetItems: up to 100 items by key, all as of the same moment. Items become JSON one by one, so that a large answer
//! is never also in memory as items.

use std::collections::BTreeSet;

use item::{
    Item,
    expression::{Kind, Projection},
};
use serde::Serialize;
use serde_json::value::RawValue;
use store::transaction::Transaction;

use super::{ITEM_ROOM_BYTES, metered::TRANSACTED, transaction::check_count};
use crate::{
    App, Error,
    budget::Room,
    cancellation::{Reason, key_reason, throttled},
    capacity::{ConsumedCapacity, Detail, UnitKind, read_units},
    expressions::{Expressions, Names, check_scalar_keys},
    json::request,
    throttle::{Claim, Use, claim},
    validate::{self, RETURN_CONSUMED_CAPACITY, Violations},
    values::{ItemOut, WireItem},
};

request! {
    /// What TransactGetItems takes.
    struct Request {
        items: Vec<AnyAction> = "TransactItems",
        return_capacity: String = "ReturnConsumedCapacity",
    }
}

request! {
    /// There is one kind.
    struct AnyAction { get: Get = "Get", }
}

request! {
    /// An item to read.
    struct Get {
        table_name: String = "TableName",
        key: WireItem = "Key",
        projection: String = "ProjectionExpression",
        names: Names = "ExpressionAttributeNames",
    }
}

/// What TransactGetItems answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Answer {
    responses: Vec<Response>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consumed_capacity: Option<Vec<ConsumedCapacity>>,
}

/// One item, if there is one.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Response {
    #[serde(skip_serializing_if = "Option::is_none")]
    item: Option<Box<RawValue>>,
}

/// What to read, and what to show of it; the key may not fit the table.
struct Prepared {
    given_name: String,
    table: std::sync::Arc<item::Table>,
    key: Result<item::Key, String>,
    projection: Option<Projection>,
}

pub(crate) async fn run(app: &App, request: Request, room: &mut Room<'_>) -> Result<Answer, Error> {
    let mut violations = Violations::default();
    check_count(&mut violations, request.items.as_ref());
    violations.one_of("returnConsumedCapacity", request.return_capacity.as_ref(), RETURN_CONSUMED_CAPACITY);
    let items = request.items.unwrap_or_default();
    for (place, AnyAction { get }) in (1..).zip(&items) {
        let member = |member: &str| format!("transactItems.{place}.member.get{member}");
        violations.required(member(""), get.as_ref());
        if let Some(get) = get {
            violations.required(member(".tableName"), get.table_name.as_ref());
            violations.required(member(".key"), get.key.as_ref());
        }
    }
    violations.finish()?;
    let gets = items.into_iter().filter_map(|action| action.get).map(|get| prepare(app, get));
    let gets = gets.collect::<Result<Vec<_>, _>>()?;
    if gets.iter().any(|get| get.key.is_err()) {
        return Err(Error::TransactionCancelled(gets.iter().map(|get| Reason::of(&get.key)).collect()));
    }
    let mut keys = Vec::new();
    let mut shown = Vec::new();
    for Prepared { given_name, table, key, projection } in gets {
        keys.extend(key.map(|key| (table, key)));
        shown.push((given_name, projection));
    }
    let distinct: BTreeSet<_> = keys.iter().map(|(table, key)| (table.id, key)).collect();
    if distinct.len() < keys.len() {
        return Err(Error::validation("Transaction request cannot include multiple operations on one item"));
    }
    let mut claims: Vec<Option<Claim>> = Vec::new();
    for (place, (table, _)) in keys.iter().enumerate() {
        let claim = claim(table, None, Use::Read, TRANSACTED * read_units(0, true));
        app.admit(claim.as_slice()).map_err(|error| throttled(&error, place, keys.len()))?;
        claims.push(claim);
    }
    let tables: Vec<_> = keys.iter().map(|(table, _)| table.clone()).collect();
    room.reserve(ITEM_ROOM_BYTES).await?;
    let snapshot = app.store.snapshot(keys);
    if !snapshot.has_tables() {
        return Err(Error::NotFound("Requested resource not found".into()));
    }
    let mut responses = Vec::new();
    let mut units = Vec::new();
    let (mut bytes, mut json_bytes) = (0, 0);
    for (at, (_, projection)) in shown.iter().enumerate() {
        // Once each item by itself, once all together, and room for the next one.
        room.grow(2 * json_bytes + ITEM_ROOM_BYTES)?;
        let item = snapshot.item(at).await?;
        let size = item.as_ref().map_or(0, Item::size);
        bytes += size;
        if bytes > Transaction::SIZE_MAX {
            return Err(Error::validation("Aggregate size of items in the transaction exceeds 4 MB"));
        }
        let used = TRANSACTED * read_units(size, true);
        app.settle(claims[at].as_slice(), &tables[at], &used.into(), Use::Read);
        units.push(used);
        let item = item.map(|item| match projection {
            Some(projection) => projection.apply(&item),
            None => item,
        });
        let json = item.map(|item| serde_json::value::to_raw_value(&ItemOut(item))).transpose();
        let json = json.map_err(|error| Error::Internal(error.to_string()))?;
        json_bytes += json.as_ref().map_or(0, |json| json.get().len());
        responses.push(Response { item: json });
    }
    let names = shown.iter().map(|(name, _)| name.as_str());
    let consumed_capacity = Detail::of(request.return_capacity.as_deref()).transacted(names.zip(units), UnitKind::Read);
    Ok(Answer { responses, consumed_capacity })
}

/// Prepares one read, or says what is wrong with the whole request.
fn prepare(app: &App, get: Get) -> Result<Prepared, Error> {
    let given_name = get.table_name.clone().unwrap_or_default();
    let name = validate::table_name(get.table_name)?;
    let given = validate::values(get.key.unwrap_or_else(|| WireItem(Ok(Item::default()))))?;
    let mut expressions = Expressions::new(get.names, None, &[(Kind::Projection, get.projection.is_some())])?;
    let projection = expressions.projection(get.projection.as_ref())?;
    expressions.finish()?;
    let table = super::table(app, &name)?;
    if let Some(projection) = &projection {
        check_scalar_keys(&table, &projection.nested_attributes())?;
    }
    let key = key_reason(&table, &given, validate::request_key(&table, &given))?;
    Ok(Prepared { given_name, table, key, projection })
}
