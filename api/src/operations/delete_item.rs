//! DeleteItem.

use item::Actor;
use store::write::{Action, Write};

use super::{
    conditional::{Asked, check_condition, put_legacy},
    put_item::Answer,
};
use crate::{
    App, Error,
    budget::Room,
    capacity::write_units,
    expressions::{Names, Values},
    json::{Present, request},
    validate::{self, Violations},
    values::WireItem,
};

request! {
    /// What DeleteItem takes.
    struct Request {
        table_name: String = "TableName",
        key: WireItem = "Key",
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

pub(crate) async fn run(app: &App, request: Request, room: &mut Room<'_>) -> Result<Answer, Error> {
    let given_name = request.table_name.clone().unwrap_or_default();
    let name = validate::table_name(request.table_name)?;
    let mut violations = Violations::default();
    violations.required("key", request.key.as_ref());
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
    let given = validate::values(request.key.unwrap_or_else(|| WireItem(Ok(Default::default()))))?;
    let condition = asked.condition(request.names, request.values, request.condition)?;
    let table = super::table(app, &name)?;
    check_condition(&table, condition.as_deref())?;
    let key = validate::request_key(&table, &given)?;
    let return_old = asked.needs_old();
    let write = Write { table, key, action: Action::Remove, condition, return_old, actor: Actor::User };
    let written = asked.write(app, write, room).await?;
    let old_size = written.old.as_ref().map_or(0, item::Item::size);
    let consumed_capacity = asked.capacity.consumed(&given_name, write_units(old_size));
    Ok(Answer { attributes: asked.old(written), consumed_capacity })
}
