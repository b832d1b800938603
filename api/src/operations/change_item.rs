//! PutItem and DeleteItem: one takes an item, the other a key, and all else is the same.

use std::sync::Arc;

use item::{Actor, EncodedItem, Item, expression::Update};
use serde::Serialize;
use store::write::{Action, Write};

use super::conditional::{Asked, check_condition};
use crate::{
    App, Error,
    budget::Room,
    capacity::ConsumedCapacity,
    expressions::{Names, Values},
    item_collection::ItemCollectionMetrics,
    json::request,
    legacy::{self, WireExpected},
    validate::{self, Violations},
    values::{ItemOut, WireEncoded, WireItem},
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
        item: WireEncoded = "Item",
        key: WireItem = "Key",
        condition: String = "ConditionExpression",
        names: Names = "ExpressionAttributeNames",
        values: Values = "ExpressionAttributeValues",
        return_values: String = "ReturnValues",
        return_capacity: String = "ReturnConsumedCapacity",
        return_metrics: String = "ReturnItemCollectionMetrics",
        return_on_failure: String = "ReturnValuesOnConditionCheckFailure",
        expected: WireExpected = "Expected",
        conditional_operator: String = "ConditionalOperator",
    }
}

/// What follows the rules of a put's item or a delete's key.
enum Given {
    Item(EncodedItem),
    Key(Item),
}

/// What PutItem and DeleteItem answer.
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

pub(crate) async fn run(app: &App, verb: Verb, request: Request, room: &mut Room<'_>) -> Result<Answer, Error> {
    let given_name = request.table_name.clone().unwrap_or_default();
    let mut violations = Violations::default();
    violations.table_name(request.table_name.as_ref());
    match verb {
        Verb::Put => violations.required("item", request.item.as_ref()),
        Verb::Delete => violations.required("key", request.key.as_ref()),
    }
    let has_expected = request.expected.is_some();
    let asked = Asked::of(
        &mut violations,
        request.return_values,
        request.return_capacity,
        request.return_metrics,
        request.return_on_failure,
    );
    let expected = request.expected.unwrap_or_default();
    expected.check_members(&mut violations);
    legacy::check_operator(&mut violations, request.conditional_operator.as_ref());
    violations.finish()?;
    let name = validate::table_name(request.table_name)?;
    legacy::check_unmixed(
        &[("Expected", has_expected), ("ConditionalOperator", request.conditional_operator.is_some())],
        &[("ConditionExpression", request.condition.is_some())],
    )?;
    let any = legacy::is_any(request.conditional_operator.as_ref(), expected.len())?;
    let asked = asked.check()?;
    let given = match verb {
        Verb::Put => {
            let item = request.item.unwrap_or_else(|| WireEncoded(Ok(Default::default())));
            Given::Item(validate::encoded_item(item)?)
        }
        Verb::Delete => Given::Key(validate::values(request.key.unwrap_or_else(|| WireItem(Ok(Default::default()))))?),
    };
    let expected = expected.condition(any)?;
    let condition = asked.condition(request.names, request.values, request.condition)?.or(expected.map(Arc::new));
    let table = super::table(app, &name)?;
    check_condition(&table, condition.as_deref())?;
    let (key, action) = match given {
        Given::Item(item) => (validate::encoded_item_key(&table, &item)?, Action::PutEncoded(item)),
        Given::Key(key) => (validate::request_key(&table, &key)?, Action::Remove),
    };
    let (written_table, written_key) = (table.clone(), key.clone());
    let write = Write { table, key, action, condition, return_old: asked.needs_old(), actor: Actor::User };
    let (written, consumed_capacity) = asked.write(app, &given_name, write, room).await?;
    let item_collection_metrics = asked.collection(app, &written_table, &written_key)?;
    let attributes = asked.attributes(written, &Update::default());
    Ok(Answer { attributes, consumed_capacity, item_collection_metrics })
}
