//! Query.

use item::{
    Key,
    expression::{KeyCondition, Kind},
};
use store::{Direction, SortRange};

use super::index_read::{self, Asked, IndexRead, MeteredRead};
use super::page::{Answer, Showing, Told, check_select, naming, page_limit, page_room};
use crate::{
    App, Error,
    budget::Room,
    expressions::{Expressions, Names, Values, key_attribute},
    json::{Integer, request},
    legacy::{self, WireConditions},
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
        key_conditions: WireConditions = "KeyConditions",
        query_filter: WireConditions = "QueryFilter",
        attributes_to_get: Vec<String> = "AttributesToGet",
        conditional_operator: String = "ConditionalOperator",
    }
}

pub(crate) async fn run(app: &App, request: Request, room: &mut Room<'_>) -> Result<Answer, Error> {
    let given_name = request.table_name.clone().unwrap_or_default();
    let mut violations = Violations::default();
    violations.table_name(request.table_name.as_ref());
    let told = Told::of(
        &mut violations,
        given_name,
        request.select.as_ref(),
        request.index_name.as_ref(),
        request.return_capacity.as_ref(),
        request.consistent,
    );
    if let Some(filter) = &request.query_filter {
        filter.check_members(&mut violations, "queryFilter");
    }
    legacy::check_operator(&mut violations, request.conditional_operator.as_ref());
    legacy::check_names(&mut violations, "attributesToGet", request.attributes_to_get.as_ref());
    if let Some(conditions) = &request.key_conditions {
        conditions.check_members(&mut violations, "keyConditions");
    }
    violations.finish()?;
    let name = validate::table_name(request.table_name)?;
    if request.limit.is_some_and(|Integer(limit)| limit < 1) {
        return Err(Error::validation(
            "1 validation error detected: Value at 'Limit' failed to satisfy constraint: \
             Member must have value greater than or equal to 1",
        ));
    }
    // Without an expression for the key, its conditions may be beside other expressions.
    let has_both_keys = request.key_conditions.is_some() && request.key_condition.is_some();
    legacy::check_unmixed(
        &[
            ("AttributesToGet", request.attributes_to_get.is_some()),
            ("QueryFilter", request.query_filter.is_some()),
            ("ConditionalOperator", request.conditional_operator.is_some()),
            ("KeyConditions", has_both_keys),
        ],
        &[
            ("ProjectionExpression", request.projection.is_some()),
            ("FilterExpression", request.filter.is_some()),
            ("KeyConditionExpression", request.key_condition.is_some()),
        ],
    )?;
    let by_attribute = request.query_filter.unwrap_or_default();
    let any = legacy::is_any(request.conditional_operator.as_ref(), by_attribute.len())?;
    let parameters = [
        (Kind::Filter, request.filter.is_some()),
        (Kind::KeyCondition, request.key_condition.is_some()),
        (Kind::Projection, request.projection.is_some()),
    ];
    let naming = naming(request.projection.as_ref(), request.attributes_to_get.as_ref());
    let query_filter = by_attribute.filter(any)?;
    let attributes_to_get = legacy::projection(request.attributes_to_get)?;
    let start = request.start_key.map(validate::start_values).transpose()?;
    let mut expressions = Expressions::new(request.names, request.values, &parameters)?;
    if request.key_condition.is_none() && request.key_conditions.is_none() {
        return Err(Error::validation(
            "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.",
        ));
    }
    let preface = "1 validation error detected: ";
    let count_only = check_select(request.select.as_deref(), naming, request.index_name.is_some(), preface)?;
    let filter_name = if query_filter.is_some() { "QueryFilter" } else { "Filter Expression" };
    let terms = match &request.key_condition {
        Some(text) => expressions.key_terms(text)?,
        None => request.key_conditions.unwrap_or_default().key_terms()?,
    };
    let filter = expressions.condition(Kind::Filter, request.filter.as_ref())?.or(query_filter);
    let projection = expressions.projection(request.projection.as_ref())?.or(attributes_to_get);
    expressions.finish()?;
    terms.check()?;
    let table = super::table(app, &name)?;
    let asked = Asked {
        consistent: told.consistent,
        select: request.select.as_deref(),
        filter: filter.as_ref(),
        projection: projection.as_ref(),
    };
    let read = request.index_name.as_ref().map(|name| IndexRead::of(&table, name, &asked)).transpose()?;
    let (schema, target) = index_read::target(&table, read.as_ref());
    let after = start.map(|start| validate::query_start(schema, &start)).transpose()?;
    let condition = terms.bind(schema)?;
    if let Some(name) = filter.as_ref().and_then(|filter| key_attribute(schema, &filter.attributes())) {
        return Err(Error::Validation(format!(
            "{filter_name} can only contain non-primary key attributes: Primary key attribute: {name}"
        )));
    }
    let held = read.as_ref().and_then(IndexRead::held);
    let showing = Showing { filter, projection, held, count_only, told };
    showing.check_scalar_keys(&table)?;
    if let Some(after) = &after {
        check_start(after, &condition)?;
    }
    let range = SortRange { from: condition.from, until: condition.until };
    let direction = if request.forward.unwrap_or(true) { Direction::Forward } else { Direction::Backward };
    let limit = page_limit(request.limit);
    let metered = MeteredRead::admit(app, &table, read.as_ref(), showing.told.consistent)?;
    room.reserve(page_room(limit)).await?;
    let page = app.store.query_images(target, &condition.partition, &range, direction, after.as_ref(), limit).await?;
    let usage = metered.settle(&page)?;
    showing.answer(&table, schema, page, usage)
}

/// A page can only start where the key condition holds.
pub(super) fn check_start(after: &Key, condition: &KeyCondition) -> Result<(), Error> {
    let is_range = !condition.from.is_empty() || condition.until.is_some();
    if after.partition != condition.partition && !is_range {
        return Err(Error::validation(
            "The provided starting key is outside query boundaries based on provided conditions",
        ));
    }
    if after.sort < condition.from || condition.until.as_ref().is_some_and(|until| after.sort >= *until) {
        return Err(Error::validation("The provided starting key does not match the range key predicate"));
    }
    if after.partition != condition.partition {
        return Err(Error::validation("The query can return at most one row and cannot be restarted"));
    }
    Ok(())
}
