//! Scan, whole or in segments. Segments are ranges of slots.

use std::ops::Range;

use item::{expression::Kind, key::SLOTS};

use super::index_read::{self, Asked, IndexRead, MeteredRead};
use super::page::{Answer, Showing, Told, check_select, naming, page_limit, page_room};
use crate::{
    App, Error,
    budget::Room,
    expressions::{Expressions, Names, Values},
    json::{Integer, request},
    legacy::{self, WireConditions},
    validate::{self, Violations},
    values::WireItem,
};

/// DynamoDB's own bound.
const SEGMENTS_MAX: i64 = 1_000_000;

request! {
    /// What Scan takes.
    struct Request {
        table_name: String = "TableName",
        index_name: String = "IndexName",
        filter: String = "FilterExpression",
        projection: String = "ProjectionExpression",
        names: Names = "ExpressionAttributeNames",
        values: Values = "ExpressionAttributeValues",
        select: String = "Select",
        limit: Integer = "Limit",
        start_key: WireItem = "ExclusiveStartKey",
        segment: Integer = "Segment",
        total_segments: Integer = "TotalSegments",
        consistent: bool = "ConsistentRead",
        return_capacity: String = "ReturnConsumedCapacity",
        scan_filter: WireConditions = "ScanFilter",
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
    legacy::check_operator(&mut violations, request.conditional_operator.as_ref());
    if let Some(filter) = &request.scan_filter {
        filter.check_members(&mut violations, "scanFilter");
    }
    legacy::check_names(&mut violations, "attributesToGet", request.attributes_to_get.as_ref());
    violations.range("limit", request.limit, 1, i64::MAX);
    violations.range("segment", request.segment, 0, SEGMENTS_MAX - 1);
    violations.range("totalSegments", request.total_segments, 1, SEGMENTS_MAX);
    violations.finish()?;
    let name = validate::table_name(request.table_name)?;
    legacy::check_unmixed(
        &[
            ("AttributesToGet", request.attributes_to_get.is_some()),
            ("ScanFilter", request.scan_filter.is_some()),
            ("ConditionalOperator", request.conditional_operator.is_some()),
        ],
        &[("ProjectionExpression", request.projection.is_some()), ("FilterExpression", request.filter.is_some())],
    )?;
    let by_attribute = request.scan_filter.unwrap_or_default();
    let any = legacy::is_any(request.conditional_operator.as_ref(), by_attribute.len())?;
    let naming = naming(request.projection.as_ref(), request.attributes_to_get.as_ref());
    let attributes_to_get = legacy::projection(request.attributes_to_get)?;
    let scan_filter = by_attribute.filter(any)?;
    let start = request.start_key.map(validate::start_values).transpose()?;
    let slots = segment(request.segment, request.total_segments)?;
    let parameters = [(Kind::Filter, request.filter.is_some()), (Kind::Projection, request.projection.is_some())];
    let mut expressions = Expressions::new(request.names, request.values, &parameters)?;
    let count_only = check_select(request.select.as_deref(), naming, request.index_name.is_some(), "")?;
    let filter = expressions.condition(Kind::Filter, request.filter.as_ref())?.or(scan_filter);
    let projection = expressions.projection(request.projection.as_ref())?.or(attributes_to_get);
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
    let held = read.as_ref().and_then(IndexRead::held);
    let showing = Showing { filter, projection, held, count_only, told };
    showing.check_scalar_keys(&table)?;
    let after = start.map(|start| match &read {
        Some(_) => validate::query_start(schema, &start),
        None => validate::scan_start(schema, &start),
    });
    let after = after.transpose()?;
    if let (Some(after), Some(Integer(segment)), Some(Integer(total))) =
        (&after, request.segment, request.total_segments)
        && !slots.contains(&index_read::slot(read.as_ref(), after).0)
    {
        return Err(Error::Validation(format!(
            "The provided starting key is invalid: Invalid ExclusiveStartKey. Please use ExclusiveStartKey with correct \
             Segment. TotalSegments: {total} Segment: {segment}"
        )));
    }
    let limit = page_limit(request.limit);
    let metered = MeteredRead::admit(app, &table, read.as_ref(), showing.told.consistent)?;
    room.reserve(page_room(limit)).await?;
    let page = app.store.scan_images(target, slots, after.as_ref(), limit).await?;
    let usage = metered.settle(&page)?;
    showing.answer(&table, schema, page, usage)
}

/// The slots of a segment; all if there are no segments. With more segments than slots some are empty.
fn segment(segment: Option<Integer>, total: Option<Integer>) -> Result<Range<u16>, Error> {
    match (segment, total) {
        (None, None) => Ok(0..SLOTS),
        (Some(_), None) => Err(Error::validation(
            "The TotalSegments parameter is required but was not present in the request when Segment parameter is present",
        )),
        (None, Some(_)) => Err(Error::validation(
            "The Segment parameter is required but was not present in the request when parameter TotalSegments is present",
        )),
        (Some(Integer(segment)), Some(Integer(total))) if segment >= total => Err(Error::Validation(format!(
            "The Segment parameter is zero-based and must be less than parameter TotalSegments: \
             Segment: {segment} is not less than TotalSegments: {total}"
        ))),
        (Some(Integer(segment)), Some(Integer(total))) => {
            let bound = |segment: i64| (segment * i64::from(SLOTS) / total) as u16;
            Ok(bound(segment)..bound(segment + 1))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_cover_every_slot_once() {
        for total in [1, 2, 3, 7, 1023, 1024, 1025, 4000] {
            let mut next = 0;
            for place in 0..total {
                let slots = segment(Some(Integer(place)), Some(Integer(total))).unwrap();
                assert_eq!(slots.start, next);
                next = slots.end;
            }
            assert_eq!(next, SLOTS);
        }
        let last = segment(Some(Integer(SEGMENTS_MAX - 1)), Some(Integer(SEGMENTS_MAX))).unwrap();
        assert_eq!(last.end, SLOTS);
    }
}
