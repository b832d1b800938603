//! PutItem.

use item::Actor;
use serde::Serialize;
use store::write::{Action, Write};

use super::conditional::{Asked, check_condition, put_legacy};
use crate::{
    App, Error,
    budget::Room,
    capacity::{ConsumedCapacity, write_units},
    expressions::{Names, Values},
    json::{Present, request},
    validate::{self, Violations},
    values::{ItemOut, WireItem},
};

request! {
    /// What PutItem takes.
    struct Request {
        table_name: String = "TableName",
        item: WireItem = "Item",
        condition: String = "ConditionExpression",
        names: Names = "ExpressionAttributeNames",
        values: Values = "ExpressionAttributeValues",
        return_values: String = "ReturnValues",
        return_capacity: String = "ReturnConsumedCapacity",
        return_metrics: String = "ReturnItemCollectionMetrics",
        return_on_failure: String = "ReturnValuesOnConditionCheckFailure",
        expected: Present = "Expected",
        conditional_operator: Present = "ConditionalOperator",
    }
}

/// What PutItem and DeleteItem answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Answer {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) attributes: Option<ItemOut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) consumed_capacity: Option<ConsumedCapacity>,
}

pub(crate) async fn run(app: &App, request: Request, room: &mut Room<'_>) -> Result<Answer, Error> {
    let given_name = request.table_name.clone().unwrap_or_default();
    let name = validate::table_name(request.table_name)?;
    let mut violations = Violations::default();
    violations.required("item", request.item.as_ref());
    let asked = Asked::of(
        &mut violations,
        request.return_values,
        request.return_capacity,
        request.return_metrics,
        request.return_on_failure,
    );
    violations.finish()?;
    put_legacy(&request.expected, &request.conditional_operator, &request.condition)?;
    let asked = asked.check()?;
    let item = validate::item(request.item.unwrap_or_else(|| WireItem(Ok(Default::default()))))?;
    let condition = asked.condition(request.names, request.values, request.condition)?;
    let table = super::table(app, &name)?;
    check_condition(&table, condition.as_deref())?;
    let key = validate::item_key(&table, &item)?;
    let size = item.size();
    let write =
        Write { table, key, action: Action::Put(item), condition, return_old: asked.needs_old(), actor: Actor::User };
    let written = asked.write(app, write, room).await?;
    let old_size = written.old.as_ref().map_or(0, item::Item::size);
    let consumed_capacity = asked.capacity.consumed(&given_name, write_units(size.max(old_size)));
    Ok(Answer { attributes: asked.old(written), consumed_capacity })
}
