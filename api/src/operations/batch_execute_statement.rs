//! BatchExecuteStatement: up to 25 PartiQL statements, all reads or all writes, each of another item. Each succeeds or fails
//! for itself.

use std::collections::BTreeSet;

use item::Key;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    ITEM_ROOM_BYTES,
    metered::{Metered, handed_in},
    read_at_once::{Read, shown},
    statement::{Given, Telling, WriteStatement, only_reads, read},
};
use crate::{
    App, Error,
    budget::Room,
    capacity::{ConsumedCapacity, Detail, Usage, read_units},
    json::request,
    partiql::Statement,
    throttle::{Use, claim},
    validate::{RETURN_CONSUMED_CAPACITY, RETURN_ON_FAILURE, Violations},
    values::{ItemOut, WireValue},
};

/// DynamoDB's own bound.
const STATEMENTS_MAX: usize = 25;

request! {
    /// What BatchExecuteStatement takes.
    struct Request {
        statements: Vec<Parameterized> = "Statements",
        return_capacity: String = "ReturnConsumedCapacity",
    }
}

request! {
    /// One statement.
    struct Parameterized {
        statement: String = "Statement",
        parameters: Vec<WireValue> = "Parameters",
        consistent: bool = "ConsistentRead",
        return_on_failure: String = "ReturnValuesOnConditionCheckFailure",
    }
}

/// What BatchExecuteStatement answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Answer {
    responses: Vec<Response>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consumed_capacity: Option<Vec<ConsumedCapacity>>,
}

/// What became of one statement. The table is told once the statement has got to it.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Response {
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Failure>,
    #[serde(skip_serializing_if = "Option::is_none")]
    table_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    item: Option<Box<RawValue>>,
}

/// Why one statement failed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Failure {
    code: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    item: Option<ItemOut>,
}

/// A statement that could be parsed, and what its member says beside it.
struct Parsed {
    statement: Statement,
    consistent: bool,
    old_on_failure: bool,
}

pub(crate) async fn run(app: &App, request: Request, room: &mut Room<'_>) -> Result<Answer, Error> {
    let mut violations = Violations::default();
    violations.required("statements", request.statements.as_ref());
    match request.statements.as_ref().map_or(1, Vec::len) {
        0 => violations.add("statements", "[]", "Member must have length greater than or equal to 1"),
        1..=STATEMENTS_MAX => {}
        count => {
            let constraint = format_args!("Member must have length less than or equal to {STATEMENTS_MAX}");
            violations.add("statements", format_args!("[{count} statements]"), constraint);
        }
    }
    violations.one_of("returnConsumedCapacity", request.return_capacity.as_ref(), RETURN_CONSUMED_CAPACITY);
    let mut members = Vec::new();
    for (place, member) in (1..).zip(request.statements.unwrap_or_default()) {
        let place = format!("statements.{place}.member.");
        let given = Given { text: member.statement, parameters: member.parameters };
        given.check(&mut violations, &place);
        let on_failure = format_args!("{place}returnValuesOnConditionCheckFailure");
        violations.one_of(on_failure, member.return_on_failure.as_ref(), RETURN_ON_FAILURE);
        let old_on_failure = member.return_on_failure.as_deref() == Some("ALL_OLD");
        members.push((given, member.consistent.unwrap_or(false), old_on_failure));
    }
    violations.finish()?;
    let capacity = Detail::of(request.return_capacity.as_deref());
    let parse = |(given, consistent, old_on_failure): (Given, bool, bool)| {
        given.parse().map(|statement| Parsed { statement, consistent, old_on_failure })
    };
    let parsed: Vec<Result<Parsed, Error>> = members.into_iter().map(parse).collect();
    let good = parsed.iter().flatten().map(|parsed| &parsed.statement);
    if only_reads(good, "BatchExecuteStatement")? {
        run_reads(app, parsed, capacity, room).await
    } else {
        run_writes(app, parsed, capacity, room).await
    }
}

async fn run_reads(
    app: &App,
    parsed: Vec<Result<Parsed, Error>>,
    capacity: Detail,
    room: &mut Room<'_>,
) -> Result<Answer, Error> {
    let prepare = |parsed: Parsed| match parsed.statement {
        Statement::Select(select) => {
            let Read { given_name, table, key, filter, projection } = read(app, select, "BatchExecuteStatement")?;
            let key = key.map_err(Error::Validation)?;
            Ok((parsed.consistent, given_name, table, key, filter, projection))
        }
        _ => Err(Error::Internal("a read that is no SELECT".into())),
    };
    let reads: Vec<_> = parsed.into_iter().map(|parsed| parsed.and_then(prepare)).collect();
    check_distinct(reads.iter().flatten().map(|(_, _, table, key, ..)| (table.id, key)))?;
    room.reserve(ITEM_ROOM_BYTES).await?;
    let mut answer = Answer::new(capacity);
    let mut json_bytes = 0;
    for read in reads {
        let (consistent, given_name, table, key, filter, projection) = match read {
            Ok(read) => read,
            Err(error) => {
                answer.responses.push(Response::failed(None, error));
                continue;
            }
        };
        // Once each item by itself, once all together, and room for the next one.
        room.grow(2 * json_bytes + ITEM_ROOM_BYTES)?;
        let admitted = match app.admit(&table, claim(&table, None, Use::Read, read_units(0, consistent))) {
            Ok(admitted) => admitted,
            Err(error) => {
                answer.responses.push(Response::failed(Some(table.name.clone()), error));
                continue;
            }
        };
        let item = app.store.get(&table, &key).await?;
        let usage = Usage::from(read_units(item.as_ref().map_or(0, item::Item::size), consistent));
        admitted.settle(&table, &usage, Use::Read);
        answer.consume(capacity, &given_name, usage);
        let item = shown(item, filter.as_ref(), projection.as_ref())?;
        json_bytes += item.as_ref().map_or(0, |json| json.get().len());
        answer.responses.push(Response { error: None, table_name: Some(table.name.clone()), item });
    }
    Ok(answer)
}

async fn run_writes(
    app: &App,
    parsed: Vec<Result<Parsed, Error>>,
    capacity: Detail,
    room: &mut Room<'_>,
) -> Result<Answer, Error> {
    let prepare = |Parsed { statement, old_on_failure, .. }: Parsed| match statement {
        Statement::Exists(_) => Err(Error::validation("EXISTS is only supported in ExecuteTransaction")),
        statement => WriteStatement::of(app, statement, old_on_failure)?.split(),
    };
    let mut writes = Vec::new();
    let mut told: Vec<Result<(String, Telling), Error>> = Vec::new();
    for parsed in parsed {
        told.push(parsed.and_then(prepare).map(|(write, telling)| {
            let name = write.table.name.clone();
            writes.push(write);
            (name, telling)
        }));
    }
    check_distinct(writes.iter().map(|write| (write.table.id, &write.key)))?;
    // Those for which there are no units fail alone.
    let mut admitted = Vec::new();
    let mut metered = Vec::new();
    for (mut write, told) in writes.into_iter().zip(told.iter_mut().filter(|told| told.is_ok())) {
        match Metered::admit(app, &mut write, capacity, 1.0) {
            Ok(counted) => {
                admitted.push(write);
                metered.push(counted);
            }
            Err(error) => *told = Err(error),
        }
    }
    let telling = told.iter().flatten().filter(|(_, telling)| telling.tells_items()).count();
    let returned = admitted.iter().filter(|write| write.return_old).count().max(telling);
    if returned > 0 {
        room.reserve(returned * ITEM_ROOM_BYTES).await?;
    }
    let answers = match admitted.is_empty() {
        true => Vec::new(),
        false => {
            let written = app.store.write_within(admitted, app.config.patience);
            handed_in(metered.iter_mut().flatten(), written).await?
        }
    };
    let mut answers = answers.into_iter().zip(metered);
    let mut answer = Answer::new(capacity);
    for told in told {
        let (table_name, telling) = match told {
            Ok(told) => told,
            Err(error) => {
                answer.responses.push(Response::failed(None, error));
                continue;
            }
        };
        let next = answers.next().ok_or_else(|| Error::Internal("the store answered too little".into()))?;
        let (written, metered) = next;
        if let Some(metered) = metered {
            let usage = metered.settle(written.as_ref());
            if written.is_ok() {
                answer.consume(capacity, &telling.given_name, usage);
            }
        }
        let response = match written {
            Ok(written) => {
                let item = shown(telling.returned(written), None, None)?;
                Response { error: None, table_name: Some(table_name), item }
            }
            Err(rejection) => Response::failed(Some(table_name), telling.refusal(rejection)),
        };
        answer.responses.push(response);
    }
    Ok(answer)
}

/// Refuses statements of one item.
fn check_distinct<'k>(keys: impl Iterator<Item = (item::TableId, &'k Key)>) -> Result<(), Error> {
    let mut seen = BTreeSet::new();
    for key in keys {
        if !seen.insert(key) {
            return Err(Error::validation("Provided list of item keys contains duplicates"));
        }
    }
    Ok(())
}

impl Answer {
    fn new(capacity: Detail) -> Answer {
        Answer { responses: Vec::new(), consumed_capacity: (capacity != Detail::None).then(Vec::new) }
    }

    /// Notes what one statement has used.
    fn consume(&mut self, capacity: Detail, given_name: &str, usage: Usage) {
        if let Some(consumed) = &mut self.consumed_capacity {
            consumed.extend(capacity.consumed(given_name, usage));
        }
    }
}

impl Response {
    fn failed(table_name: Option<String>, error: Error) -> Response {
        let code = match &error {
            Error::ConditionFailed(_) => "ConditionalCheckFailed",
            Error::DuplicateItem => "DuplicateItem",
            Error::NotFound(_) => "ResourceNotFound",
            Error::AccessDenied(_) => "AccessDenied",
            Error::Throttled(_) => "ThrottlingError",
            Error::ThroughputExceeded { .. } => "ProvisionedThroughputExceeded",
            Error::Internal(_) | Error::Unavailable(_) => "InternalServerError",
            _ => "ValidationError",
        };
        let message = error.to_string();
        let item = if let Error::ConditionFailed(item) = error { item.map(ItemOut) } else { None };
        Response { error: Some(Failure { code, message, item }), table_name, item: None }
    }
}
