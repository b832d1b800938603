//! GetItem.

use item::expression::Kind;
use serde::Serialize;

use super::ITEM_ROOM_BYTES;
use crate::{
    App, Error,
    budget::Room,
    capacity::{ConsumedCapacity, Detail, Usage, read_units},
    expressions::{Expressions, Names, check_scalar_keys},
    json::request,
    legacy,
    throttle::{Use, claim},
    validate::{self, RETURN_CONSUMED_CAPACITY, Violations},
    values::{ItemOut, WireItem},
};

request! {
    /// What GetItem takes.
    struct Request {
        table_name: String = "TableName",
        key: WireItem = "Key",
        projection: String = "ProjectionExpression",
        names: Names = "ExpressionAttributeNames",
        consistent: bool = "ConsistentRead",
        return_capacity: String = "ReturnConsumedCapacity",
        attributes_to_get: Vec<String> = "AttributesToGet",
    }
}

/// What GetItem answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Answer {
    #[serde(skip_serializing_if = "Option::is_none")]
    item: Option<ItemOut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consumed_capacity: Option<ConsumedCapacity>,
}

pub(crate) async fn run(app: &App, request: Request, room: &mut Room<'_>) -> Result<Answer, Error> {
    let given_name = request.table_name.clone().unwrap_or_default();
    let mut violations = Violations::default();
    violations.table_name(request.table_name.as_ref());
    violations.required("key", request.key.as_ref());
    violations.one_of("returnConsumedCapacity", request.return_capacity.as_ref(), RETURN_CONSUMED_CAPACITY);
    legacy::check_names(&mut violations, "attributesToGet", request.attributes_to_get.as_ref());
    violations.finish()?;
    let name = validate::table_name(request.table_name)?;
    legacy::check_unmixed(
        &[("AttributesToGet", request.attributes_to_get.is_some())],
        &[("ProjectionExpression", request.projection.is_some())],
    )?;
    let given = validate::values(request.key.unwrap_or_else(|| WireItem(Ok(Default::default()))))?;
    let mut expressions = Expressions::new(request.names, None, &[(Kind::Projection, request.projection.is_some())])?;
    let by_attribute = legacy::projection(request.attributes_to_get)?;
    let projection = expressions.projection(request.projection.as_ref())?.or(by_attribute);
    expressions.finish()?;
    let table = super::table(app, &name)?;
    if let Some(projection) = &projection {
        check_scalar_keys(&table, &projection.nested_attributes())?;
    }
    let key = validate::request_key(&table, &given)?;
    let consistent = request.consistent.unwrap_or(false);
    let admitted = app.admit(&table, claim(&table, None, Use::Read, read_units(0, consistent)))?;
    room.reserve(ITEM_ROOM_BYTES).await?;
    let item = app.store.get(&table, &key).await?;
    let usage = Usage::from(read_units(item.as_ref().map_or(0, item::Item::size), consistent));
    admitted.settle(&table, &usage, Use::Read);
    let item = match projection {
        Some(projection) => item.map(|item| projection.apply(&item)),
        None => item,
    };
    let consumed_capacity = Detail::of(request.return_capacity.as_deref()).consumed(&given_name, usage);
    Ok(Answer { item: item.map(ItemOut), consumed_capacity })
}
