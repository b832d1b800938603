//! UpdateItem.

use std::sync::Arc;

use item::{Actor, Item, expression::Kind};
use serde::Serialize;
use store::write::{Action, Write};

use super::conditional::{Asked, check_condition};
use crate::{
    App, Error,
    budget::Room,
    capacity::{ConsumedCapacity, write_units},
    expressions::{Expressions, Names, Values, check_scalar_keys},
    json::{Present, request},
    validate::{self, Violations},
    values::{ItemOut, WireItem},
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
        attribute_updates: Present = "AttributeUpdates",
        expected: Present = "Expected",
        conditional_operator: Present = "ConditionalOperator",
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
}

pub(crate) async fn run(app: &App, request: Request, room: &mut Room<'_>) -> Result<Answer, Error> {
    let given_name = request.table_name.clone().unwrap_or_default();
    let name = validate::table_name(request.table_name.clone())?;
    let mut violations = Violations::default();
    violations.required("key", request.key.as_ref());
    let asked = Asked::of(
        &mut violations,
        request.return_values.clone(),
        request.return_capacity.clone(),
        request.return_metrics.clone(),
        request.return_on_failure.clone(),
    );
    violations.finish()?;
    refuse_legacy(&request)?;
    let given = validate::values(request.key.unwrap_or_else(|| WireItem(Ok(Default::default()))))?;
    let kinds = [(Kind::Update, request.update.is_some()), (Kind::Condition, request.condition.is_some())];
    let mut expressions = Expressions::new(request.names, request.values, &kinds)?;
    let update = Arc::new(expressions.update(request.update.as_ref())?.unwrap_or_default());
    let condition = expressions.condition(Kind::Condition, request.condition.as_ref())?.map(Arc::new);
    expressions.finish()?;
    let table = super::table(app, &name)?;
    let key = validate::request_key(&table, &given)?;
    update.check_key(&table)?;
    check_scalar_keys(&table, &update.nested_attributes())?;
    check_condition(&table, condition.as_deref())?;
    let action = Action::Update { update: update.clone(), return_new: asked.needs_new() };
    let write = Write { table, key, action, condition, return_old: asked.needs_old(), actor: Actor::User };
    let written = asked.write(app, write, room).await?;
    let size = |item: &Option<Item>| item.as_ref().map_or(0, Item::size);
    let consumed_capacity =
        asked.capacity.consumed(&given_name, write_units(size(&written.old).max(size(&written.new))));
    Ok(Answer { attributes: asked.attributes(written, &update), consumed_capacity })
}

fn refuse_legacy(request: &Request) -> Result<(), Error> {
    validate::refuse_legacy(
        &[
            ("AttributeUpdates", request.attribute_updates.is_some()),
            ("Expected", request.expected.is_some()),
            ("ConditionalOperator", request.conditional_operator.is_some()),
        ],
        &[("UpdateExpression", request.update.is_some()), ("ConditionExpression", request.condition.is_some())],
        "UpdateExpression and ConditionExpression",
    )
}
