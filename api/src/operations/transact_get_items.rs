//! TransactGetItems: up to 100 items by key, all as of the same moment.

use item::{
    Item,
    expression::{Kind, Projection},
};
use serde::Serialize;

use super::{
    read_at_once::{Read, Response, read_at_once},
    transaction::check_count,
};
use crate::{
    App, Error,
    budget::Room,
    cancellation::key_reason,
    capacity::{ConsumedCapacity, Detail},
    expressions::{Expressions, Names, check_scalar_keys},
    json::request,
    validate::{self, RETURN_CONSUMED_CAPACITY, Violations},
    values::WireItem,
};

request! {
    /// What TransactGetItems takes.
    struct Request {
        items: Vec<AnyAction> = "TransactItems",
        return_capacity: String = "ReturnConsumedCapacity",
    }
}

request! {
    /// There is one kind.
    struct AnyAction { get: Get = "Get", }
}

request! {
    /// An item to read.
    struct Get {
        table_name: String = "TableName",
        key: WireItem = "Key",
        projection: String = "ProjectionExpression",
        names: Names = "ExpressionAttributeNames",
    }
}

/// What TransactGetItems answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Answer {
    responses: Vec<Response>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consumed_capacity: Option<Vec<ConsumedCapacity>>,
}

pub(crate) async fn run(app: &App, request: Request, room: &mut Room<'_>) -> Result<Answer, Error> {
    let mut violations = Violations::default();
    check_count(&mut violations, "transactItems", request.items.as_ref());
    violations.one_of("returnConsumedCapacity", request.return_capacity.as_ref(), RETURN_CONSUMED_CAPACITY);
    let items = request.items.unwrap_or_default();
    for (place, AnyAction { get }) in (1..).zip(&items) {
        let member = |member: &str| format!("transactItems.{place}.member.get{member}");
        violations.required(member(""), get.as_ref());
        if let Some(get) = get {
            violations.required(member(".tableName"), get.table_name.as_ref());
            violations.required(member(".key"), get.key.as_ref());
        }
    }
    violations.finish()?;
    let gets = items.into_iter().filter_map(|action| action.get).map(check);
    let gets = gets.collect::<Result<Vec<_>, _>>()?;
    let gets = gets.into_iter().map(|get| prepare(app, get)).collect::<Result<Vec<_>, _>>()?;
    let capacity = Detail::of(request.return_capacity.as_deref());
    let (responses, consumed_capacity) = read_at_once(app, gets, capacity, room).await?;
    Ok(Answer { responses, consumed_capacity })
}

/// A read, as far as it can be checked without its table.
struct Checked {
    given_name: String,
    name: String,
    given: Item,
    projection: Option<Projection>,
}

/// Checks one read, or says what is wrong with the whole request.
fn check(get: Get) -> Result<Checked, Error> {
    let given_name = get.table_name.clone().unwrap_or_default();
    let name = validate::table_name(get.table_name)?;
    let given = validate::values(get.key.unwrap_or_else(|| WireItem(Ok(Item::default()))))?;
    let mut expressions = Expressions::new(get.names, None, &[(Kind::Projection, get.projection.is_some())])?;
    let projection = expressions.projection(get.projection.as_ref())?;
    expressions.finish()?;
    Ok(Checked { given_name, name, given, projection })
}

/// Finds the table of a read.
fn prepare(app: &App, checked: Checked) -> Result<Read, Error> {
    let Checked { given_name, name, given, projection } = checked;
    let table = super::table(app, &name)?;
    if let Some(projection) = &projection {
        check_scalar_keys(&table, &projection.nested_attributes())?;
    }
    let key = key_reason(&table, &given, validate::request_key(&table, &given))?;
    Ok(Read { given_name, table, key, filter: None, projection })
}
