//! Query.

use item::{
    Key,
    expression::{KeyCondition, Kind},
};
use store::{Direction, SortRange};

use super::index_read::{self, Asked, IndexRead};
use super::page::{Answer, Showing, Told, check_select, page_limit, page_room};
use crate::{
    App, Error,
    budget::Room,
    expressions::{Expressions, Names, Values, key_attribute},
    json::{Integer, Present, request},
    validate::{self, Violations},
    values::WireItem,
};

request! {
    /// What Query takes.
    struct Request {
        table_name: String = "TableName",
        index_name: String = "IndexName",
        key_condition: String = "KeyConditionExpression",
        filter: String = "FilterExpression",
        projection: String = "ProjectionExpression",
        names: Names = "ExpressionAttributeNames",
        values: Values = "ExpressionAttributeValues",
        select: String = "Select",
        limit: Integer = "Limit",
        start_key: WireItem = "ExclusiveStartKey",
        forward: bool = "ScanIndexForward",
        consistent: bool = "ConsistentRead",
        return_capacity: String = "ReturnConsumedCapacity",
        key_conditions: Present = "KeyConditions",
        query_filter: Present = "QueryFilter",
        attributes_to_get: Present = "AttributesToGet",
        conditional_operator: Present = "ConditionalOperator",
    }
}

pub(crate) async fn run(app: &App, request: Request, room: &mut Room<'_>) -> Result<Answer, Error> {
    let given_name = request.table_name.clone().unwrap_or_default();
    let name = validate::table_name(request.table_name)?;
    let mut violations = Violations::default();
    let told = Told::of(
        &mut violations,
        given_name,
        request.select.as_ref(),
        request.index_name.as_ref(),
        request.return_capacity.as_ref(),
        request.consistent,
    );
    violations.finish()?;
    if request.limit.is_some_and(|Integer(limit)| limit < 1) {
        return Err(Error::validation(
            "1 validation error detected: Value at 'Limit' failed to satisfy constraint: \
             Member must have value greater than or equal to 1",
        ));
    }
    validate::refuse_legacy(
        &[
            ("KeyConditions", request.key_conditions.is_some()),
            ("QueryFilter", request.query_filter.is_some()),
            ("AttributesToGet", request.attributes_to_get.is_some()),
            ("ConditionalOperator", request.conditional_operator.is_some()),
        ],
        &[
            ("KeyConditionExpression", request.key_condition.is_some()),
            ("FilterExpression", request.filter.is_some()),
            ("ProjectionExpression", request.projection.is_some()),
        ],
        "KeyConditionExpression, FilterExpression and ProjectionExpression",
    )?;
    let parameters = [
        (Kind::Filter, request.filter.is_some()),
        (Kind::KeyCondition, request.key_condition.is_some()),
        (Kind::Projection, request.projection.is_some()),
    ];
    let start = request.start_key.map(validate::values).transpose()?;
    let mut expressions = Expressions::new(request.names, request.values, &parameters)?;
    let Some(key_condition) = &request.key_condition else {
        return Err(Error::validation(
            "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.",
        ));
    };
    let count_only = check_select(
        request.select.as_deref(),
        request.projection.is_some(),
        request.index_name.is_some(),
        "Querying",
    )?;
    let filter = expressions.condition(Kind::Filter, request.filter.as_ref())?;
    let terms = expressions.key_terms(key_condition)?;
    let projection = expressions.projection(request.projection.as_ref())?;
    expressions.finish()?;
    let table = super::table(app, &name)?;
    let asked = Asked {
        consistent: told.consistent,
        select: request.select.as_deref(),
        filter: filter.as_ref(),
        projection: projection.as_ref(),
    };
    let read = request.index_name.as_ref().map(|name| IndexRead::of(&table, name, &asked)).transpose()?;
    let (schema, target) = index_read::target(&table, read.as_ref());
    let condition = terms.bind(schema)?;
    if let Some(name) = filter.as_ref().and_then(|filter| key_attribute(schema, &filter.attributes())) {
        return Err(Error::Validation(format!(
            "Filter Expression can only contain non-primary key attributes: Primary key attribute: {name}"
        )));
    }
    let held = read.as_ref().and_then(IndexRead::held);
    let showing = Showing { filter, projection, held, count_only, told };
    showing.check_scalar_keys(schema)?;
    let after = start.map(|start| validate::start_key(schema, &start)).transpose()?;
    if let Some(after) = &after {
        check_start(after, &condition)?;
    }
    let range = SortRange { from: condition.from, until: condition.until };
    let direction = if request.forward.unwrap_or(true) { Direction::Forward } else { Direction::Backward };
    let limit = page_limit(request.limit);
    room.reserve(page_room(limit)).await?;
    let page = app.store.query(target, &condition.partition, &range, direction, after.as_ref(), limit).await?;
    showing.answer(&table, schema, page)
}

/// A page can only start where the key condition holds.
pub(super) fn check_start(after: &Key, condition: &KeyCondition) -> Result<(), Error> {
    if after.partition != condition.partition {
        return Err(Error::validation(
            "The provided starting key is outside query boundaries based on provided conditions",
        ));
    }
    if after.sort < condition.from || condition.until.as_ref().is_some_and(|until| after.sort >= *until) {
        return Err(Error::validation("The provided starting key does not match the range key predicate"));
    }
    Ok(())
}
