//! PutItem and DeleteItem: one takes an item, the other a key, and all else is the same.

use item::{Actor, Item, expression::Update};
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

/// What becomes of the item.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Verb {
    Put,
    Delete,
}

request! {
    /// What PutItem and DeleteItem take.
    struct Request {
        table_name: String = "TableName",
        item: WireItem = "Item",
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

/// What PutItem and DeleteItem answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Answer {
    #[serde(skip_serializing_if = "Option::is_none")]
    attributes: Option<ItemOut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consumed_capacity: Option<ConsumedCapacity>,
}

pub(crate) async fn run(app: &App, verb: Verb, request: Request, room: &mut Room<'_>) -> Result<Answer, Error> {
    let given_name = request.table_name.clone().unwrap_or_default();
    let name = validate::table_name(request.table_name)?;
    let mut violations = Violations::default();
    let (member, given) = match verb {
        Verb::Put => ("item", request.item),
        Verb::Delete => ("key", request.key),
    };
    violations.required(member, given.as_ref());
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
    let given = given.unwrap_or_else(|| WireItem(Ok(Default::default())));
    let given = match verb {
        Verb::Put => validate::item(given)?,
        Verb::Delete => validate::values(given)?,
    };
    let condition = asked.condition(request.names, request.values, request.condition)?;
    let table = super::table(app, &name)?;
    check_condition(&table, condition.as_deref())?;
    let (key, new_size, action) = match verb {
        Verb::Put => (validate::item_key(&table, &given)?, given.size(), Action::Put(given)),
        Verb::Delete => (validate::request_key(&table, &given)?, 0, Action::Remove),
    };
    let write = Write { table, key, action, condition, return_old: asked.needs_old(), actor: Actor::User };
    let written = asked.write(app, write, room).await?;
    let old_size = written.old.as_ref().map_or(0, Item::size);
    let consumed_capacity = asked.capacity.consumed(&given_name, write_units(new_size.max(old_size)));
    Ok(Answer { attributes: asked.attributes(written, &Update::default()), consumed_capacity })
}
