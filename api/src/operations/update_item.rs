//! UpdateItem.

use std::{collections::BTreeMap, sync::Arc};

use item::{
    Actor,
    expression::{AttributeUpdate, Kind, Update},
};
use serde::Serialize;
use store::write::{Action, Write};

use super::conditional::{Asked, check_condition};
use crate::{
    App, Error,
    budget::Room,
    capacity::ConsumedCapacity,
    expressions::{Expressions, Names, Values, check_scalar_keys},
    item_collection::ItemCollectionMetrics,
    json::request,
    legacy::{self, WireExpected},
    validate::{self, Violations},
    values::{ItemOut, WireItem, WireValue},
};

request! {
    /// What UpdateItem takes.
    struct Request {
        table_name: String = "TableName",
        key: WireItem = "Key",
        update: String = "UpdateExpression",
        condition: String = "ConditionExpression",
        names: Names = "ExpressionAttributeNames",
        values: Values = "ExpressionAttributeValues",
        return_values: String = "ReturnValues",
        return_capacity: String = "ReturnConsumedCapacity",
        return_metrics: String = "ReturnItemCollectionMetrics",
        return_on_failure: String = "ReturnValuesOnConditionCheckFailure",
        attribute_updates: BTreeMap<String, Wanted> = "AttributeUpdates",
        expected: WireExpected = "Expected",
        conditional_operator: String = "ConditionalOperator",
    }
}

request! {
    /// What shall happen to one attribute, without expressions.
    struct Wanted {
        action: String = "Action",
        value: WireValue = "Value",
    }
}

/// What UpdateItem answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Answer {
    #[serde(skip_serializing_if = "Option::is_none")]
    attributes: Option<ItemOut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consumed_capacity: Option<ConsumedCapacity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    item_collection_metrics: Option<ItemCollectionMetrics>,
}

pub(crate) async fn run(app: &App, request: Request, room: &mut Room<'_>) -> Result<Answer, Error> {
    let given_name = request.table_name.clone().unwrap_or_default();
    let mut violations = Violations::default();
    violations.table_name(request.table_name.as_ref());
    violations.required("key", request.key.as_ref());
    let asked = Asked::of(
        &mut violations,
        request.return_values,
        request.return_capacity,
        request.return_metrics,
        request.return_on_failure,
    );
    for (name, wanted) in request.attribute_updates.iter().flatten() {
        let place = format_args!("attributeUpdates.{name}.member.action");
        violations.one_of(place, wanted.action.as_ref(), &["ADD", "PUT", "DELETE"]);
    }
    let has_expected = request.expected.is_some();
    let expected = request.expected.unwrap_or_default();
    expected.check_members(&mut violations);
    legacy::check_operator(&mut violations, request.conditional_operator.as_ref());
    violations.finish()?;
    let name = validate::table_name(request.table_name)?;
    legacy::check_unmixed(
        &[
            ("AttributeUpdates", request.attribute_updates.is_some()),
            ("Expected", has_expected),
            ("ConditionalOperator", request.conditional_operator.is_some()),
        ],
        &[("UpdateExpression", request.update.is_some()), ("ConditionExpression", request.condition.is_some())],
    )?;
    let any = legacy::is_any(request.conditional_operator.as_ref(), expected.len())?;
    let given = validate::values(request.key.unwrap_or_else(|| WireItem(Ok(Default::default()))))?;
    let by_attribute = attribute_updates(request.attribute_updates)?;
    let expected = expected.condition(any)?;
    let kinds = [(Kind::Update, request.update.is_some()), (Kind::Condition, request.condition.is_some())];
    let mut expressions = Expressions::new(request.names, request.values, &kinds)?;
    let update = Arc::new(expressions.update(request.update.as_ref())?.unwrap_or(by_attribute));
    let condition = expressions.condition(Kind::Condition, request.condition.as_ref())?.or(expected).map(Arc::new);
    expressions.finish()?;
    let table = super::table(app, &name)?;
    let key = validate::request_key(&table, &given)?;
    update.check_key(&table)?;
    check_scalar_keys(&table, &update.nested_attributes())?;
    update.check_index_keys(&table)?;
    check_condition(&table, condition.as_deref())?;
    let action = Action::Update { update: update.clone(), return_new: asked.needs_new() };
    let (written_table, written_key) = (table.clone(), key.clone());
    let write = Write { table, key, action, condition, return_old: asked.needs_old(), actor: Actor::User };
    let (written, consumed_capacity) = asked.write(app, &given_name, write, room).await?;
    let item_collection_metrics = asked.collection(app, &written_table, &written_key)?;
    let attributes = asked.attributes(written, &update);
    Ok(Answer { attributes, consumed_capacity, item_collection_metrics })
}

fn attribute_updates(given: Option<BTreeMap<String, Wanted>>) -> Result<Update, Error> {
    let mut updates = BTreeMap::new();
    for (name, Wanted { action, value }) in given.unwrap_or_default() {
        let value = value.map(|WireValue(value)| value).transpose()?;
        let update = match (action.as_deref(), value) {
            (Some("DELETE"), value) => AttributeUpdate::Delete(value),
            (_, None) => {
                return Err(Error::parameter("Only DELETE action is allowed when no attribute value is specified"));
            }
            (Some("ADD"), Some(value)) => AttributeUpdate::Add(value),
            (_, Some(value)) => AttributeUpdate::Put(value),
        };
        updates.insert(name, update);
    }
    Ok(Update::of_attributes(updates)?)
}
