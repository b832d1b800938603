//! BatchGetItem: up to 100 items by key. What would pass 16 MB is left unprocessed, as is what finds no
//! memory, or no units of a provisioned table. Items become
//! JSON one by one, so that a large answer is never also in memory as items.

use std::collections::BTreeSet;

use item::{Image, Item, Key, TableId, expression::Kind};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::ITEM_ROOM_BYTES;
use crate::{
    App, Error,
    budget::Room,
    capacity::{ConsumedCapacity, Detail, read_units},
    expressions::{Expressions, Names, check_scalar_keys},
    json::{Members, request},
    legacy,
    throttle::{Use, claim},
    validate::{self, RETURN_CONSUMED_CAPACITY, Violations},
    values::{ItemOut, WireItem},
};

/// DynamoDB's own bounds.
const KEYS_MAX: usize = 100;
const ANSWER_BYTES_MAX: usize = 16 << 20;

request! {
    /// What BatchGetItem takes.
    struct Request {
        items: Members<KeysAndAttributes> = "RequestItems",
        return_capacity: String = "ReturnConsumedCapacity",
    }
}

request! {
    /// The keys of one table, and what to show of their items.
    struct KeysAndAttributes {
        keys: Vec<WireItem> = "Keys",
        projection: String = "ProjectionExpression",
        names: Names = "ExpressionAttributeNames",
        consistent: bool = "ConsistentRead",
        attributes_to_get: Vec<String> = "AttributesToGet",
    }
}

/// What BatchGetItem answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Answer {
    responses: ByName<Vec<Box<RawValue>>>,
    unprocessed_keys: ByName<Unprocessed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consumed_capacity: Option<Vec<ConsumedCapacity>>,
}

/// Keys to ask for again, with what was asked of them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Unprocessed {
    keys: Vec<ItemOut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    projection_expression: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attributes_to_get: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expression_attribute_names: Option<Names>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consistent_read: Option<bool>,
}

/// An object, in order.
#[derive(Debug)]
struct ByName<T>(Vec<(String, T)>);

impl<T: Serialize> Serialize for ByName<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

pub(crate) async fn run(app: &App, request: Request, room: &mut Room<'_>) -> Result<Answer, Error> {
    let mut violations = Violations::default();
    violations.required("requestItems", request.items.as_ref());
    violations.one_of("returnConsumedCapacity", request.return_capacity.as_ref(), RETURN_CONSUMED_CAPACITY);
    let tables = request.items.map_or_else(Vec::new, |Members(tables)| tables);
    for (name, asked) in &tables {
        violations.required(format_args!("requestItems.{name}.member.keys"), asked.keys.as_ref());
        let place = format!("requestItems.{name}.member.attributesToGet");
        legacy::check_names(&mut violations, &place, asked.attributes_to_get.as_ref());
    }
    violations.finish()?;
    if tables.is_empty() {
        return Err(Error::validation("The requestItems parameter is required for BatchGetItem"));
    }
    check_counts(&tables)?;
    let capacity = Detail::of(request.return_capacity.as_deref());
    let mut seen: BTreeSet<(TableId, Key)> = BTreeSet::new();
    let checked = tables.into_iter().map(|(given_name, asked)| Checked::of(given_name, asked));
    let checked = checked.collect::<Result<Vec<_>, _>>()?;
    let reads = checked.into_iter().map(|checked| checked.of_table(app, &mut seen));
    let reads = reads.collect::<Result<Vec<_>, _>>()?;
    let mut answer =
        Answer { responses: ByName(Vec::new()), unprocessed_keys: ByName(Vec::new()), consumed_capacity: None };
    let mut consumed = Vec::new();
    let (mut bytes, mut json_bytes) = (0, 0);
    let (mut processed, mut throttled) = (false, false);
    room.reserve(ITEM_ROOM_BYTES).await?;
    for read in reads {
        let consistent = read.consistent.unwrap_or(false);
        let mut shown = Vec::new();
        let mut unprocessed = Vec::new();
        let mut units = 0.0;
        for (given, key) in &read.keys {
            // Once each item by itself, once all together, and room for the next one.
            if bytes >= ANSWER_BYTES_MAX || !room.resize(2 * json_bytes + ITEM_ROOM_BYTES) {
                unprocessed.push(ItemOut(given.clone()));
                continue;
            }
            let claim = claim(&read.table, None, Use::Read, read_units(0, consistent));
            let Ok(admitted) = app.admit(&read.table, claim) else {
                unprocessed.push(ItemOut(given.clone()));
                throttled = true;
                continue;
            };
            let item = app.store.get(&read.table, key).await?;
            let size = item.as_ref().map_or(0, Item::size);
            bytes += size;
            let used = read_units(size, consistent);
            admitted.settle(&read.table, &used.into(), Use::Read);
            units += used;
            processed = true;
            let Some(item) = item else { continue };
            let item = match &read.projection {
                Some(projection) => projection.apply(&item),
                None => item,
            };
            let json = serde_json::value::to_raw_value(&ItemOut(item));
            let json = json.map_err(|error| Error::Internal(error.to_string()))?;
            json_bytes += json.get().len();
            shown.push(json);
        }
        consumed.extend(capacity.consumed(&read.given_name, units));
        if !unprocessed.is_empty() {
            let unprocessed = Unprocessed {
                keys: unprocessed,
                projection_expression: read.projection_text,
                attributes_to_get: read.attributes_to_get,
                expression_attribute_names: read.names,
                consistent_read: read.consistent,
            };
            answer.unprocessed_keys.0.push((read.given_name.clone(), unprocessed));
        }
        answer.responses.0.push((read.given_name, shown));
    }
    if throttled && !processed {
        return Err(Error::ThroughputExceeded { index: false });
    }
    answer.consumed_capacity = (capacity != Detail::None).then_some(consumed);
    Ok(answer)
}

fn check_counts(tables: &[(String, KeysAndAttributes)]) -> Result<(), Error> {
    let count = |asked: &KeysAndAttributes| asked.keys.as_ref().map_or(0, Vec::len);
    for (name, asked) in tables {
        let constraint = match count(asked) {
            0 => "greater than or equal to 1",
            1..=KEYS_MAX => continue,
            _ => "less than or equal to 100",
        };
        return Err(Error::Validation(format!(
            "1 validation error detected: Value at 'RequestItems.{name}.member.Keys' failed to satisfy constraint: \
             Member must have length {constraint}"
        )));
    }
    if tables.iter().map(|(_, asked)| count(asked)).sum::<usize>() > KEYS_MAX {
        return Err(Error::validation("Too many items requested for the BatchGetItem call"));
    }
    Ok(())
}

/// What to read of one table.
struct TableRead {
    given_name: String,
    table: std::sync::Arc<item::Table>,
    keys: Vec<(Item, Key)>,
    projection: Option<item::expression::Projection>,
    projection_text: Option<String>,
    attributes_to_get: Option<Vec<String>>,
    names: Option<Names>,
    consistent: Option<bool>,
}

/// What is asked of one table, as far as it can be checked without it.
struct Checked {
    given_name: String,
    name: String,
    keys: Vec<Item>,
    projection: Option<item::expression::Projection>,
    asked: KeysAndAttributes,
}

impl Checked {
    fn of(given_name: String, mut asked: KeysAndAttributes) -> Result<Checked, Error> {
        let name = validate::table_name(Some(given_name.clone()))?;
        legacy::check_unmixed(
            &[("AttributesToGet", asked.attributes_to_get.is_some())],
            &[("ProjectionExpression", asked.projection.is_some())],
        )?;
        let parameters = [(Kind::Projection, asked.projection.is_some())];
        let mut expressions = Expressions::new(asked.names.clone(), None, &parameters)?;
        let by_attribute = legacy::projection(asked.attributes_to_get.clone())?;
        let projection = expressions.projection(asked.projection.as_ref())?.or(by_attribute);
        expressions.finish()?;
        let keys = asked.keys.take().unwrap_or_default().into_iter().map(validate::values);
        let keys = keys.collect::<Result<Vec<Item>, _>>()?;
        let distinct: BTreeSet<_> = keys.iter().map(|key| Image::encode(key).bytes().clone()).collect();
        if distinct.len() < keys.len() {
            return Err(duplicates());
        }
        Ok(Checked { given_name, name, keys, projection, asked })
    }

    fn of_table(self, app: &App, seen: &mut BTreeSet<(TableId, Key)>) -> Result<TableRead, Error> {
        let Checked { given_name, name, keys, projection, asked } = self;
        let table = super::table(app, &name)?;
        if let Some(projection) = &projection {
            check_scalar_keys(&table, &projection.nested_attributes())?;
        }
        let mut known = Vec::new();
        for given in keys {
            let key = validate::request_key(&table, &given)?;
            // A table can be named by its name and by its ARN.
            if !seen.insert((table.id, key.clone())) {
                return Err(duplicates());
            }
            known.push((given, key));
        }
        Ok(TableRead {
            given_name,
            table,
            keys: known,
            projection,
            projection_text: asked.projection,
            attributes_to_get: asked.attributes_to_get,
            names: asked.names,
            consistent: asked.consistent,
        })
    }
}

fn duplicates() -> Error {
    Error::validation("Provided list of item keys contains duplicates")
}
