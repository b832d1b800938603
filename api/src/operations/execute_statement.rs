//! ExecuteStatement: one PartiQL statement.

use serde::Serialize;

use super::{
    ITEM_ROOM_BYTES,
    metered::{Metered, handed_in},
    next_token::{self, TOKEN_LENGTH_MAX},
    page::Shown,
    select::{Asked, Selected, select},
    statement::{Given, WriteStatement},
};
use crate::{
    App, Error,
    budget::Room,
    capacity::{ConsumedCapacity, Detail},
    json::{Integer, request},
    partiql::Statement,
    validate::{RETURN_CONSUMED_CAPACITY, RETURN_ON_FAILURE, Violations},
    values::{ItemOut, WireValue},
};

request! {
    /// What ExecuteStatement takes.
    struct Request {
        statement: String = "Statement",
        parameters: Vec<WireValue> = "Parameters",
        consistent: bool = "ConsistentRead",
        next_token: String = "NextToken",
        return_capacity: String = "ReturnConsumedCapacity",
        limit: Integer = "Limit",
        return_on_failure: String = "ReturnValuesOnConditionCheckFailure",
    }
}

/// What ExecuteStatement answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Answer {
    items: Shown,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_evaluated_key: Option<ItemOut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consumed_capacity: Option<ConsumedCapacity>,
}

pub(crate) async fn run(app: &App, request: Request, room: &mut Room<'_>) -> Result<Answer, Error> {
    let given = Given { text: request.statement, parameters: request.parameters };
    let mut violations = Violations::default();
    given.check(&mut violations, "");
    violations.length("nextToken", request.next_token.as_ref(), 1, TOKEN_LENGTH_MAX);
    violations.one_of("returnConsumedCapacity", request.return_capacity.as_ref(), RETURN_CONSUMED_CAPACITY);
    violations.range("limit", request.limit, 1, i64::MAX);
    let on_failure = request.return_on_failure.as_ref();
    violations.one_of("returnValuesOnConditionCheckFailure", on_failure, RETURN_ON_FAILURE);
    violations.finish()?;
    let capacity = Detail::of(request.return_capacity.as_deref());
    let old_on_failure = request.return_on_failure.as_deref() == Some("ALL_OLD");
    let digest = given.digest()?;
    match given.parse()? {
        Statement::Select(statement) => {
            let asked = Asked {
                statement: digest,
                next_token: request.next_token,
                limit: request.limit,
                consistent: request.consistent.unwrap_or(false),
                capacity,
            };
            let Selected { items, next_token, last_key, consumed_capacity } =
                select(app, statement, asked, room).await?;
            Ok(Answer { items, next_token, last_evaluated_key: last_key, consumed_capacity })
        }
        Statement::Exists(_) => Err(Error::validation("EXISTS is only supported in ExecuteTransaction")),
        _ if request.next_token.is_some() => Err(next_token::invalid()),
        statement => {
            let written = WriteStatement::of(app, statement, old_on_failure)?;
            write(app, written, capacity, room).await
        }
    }
}

async fn write(app: &App, statement: WriteStatement, capacity: Detail, room: &mut Room<'_>) -> Result<Answer, Error> {
    let (mut write, telling) = statement.split()?;
    let mut metered = Metered::admit(app, &mut write, capacity, 1.0)?;
    if telling.tells_items() || write.return_old {
        room.reserve(ITEM_ROOM_BYTES).await?;
    }
    let answers = handed_in(metered.iter_mut(), app.store.write_within(vec![write], app.config.patience)).await?;
    let answer = answers.into_iter().next().ok_or_else(|| Error::Internal("the store answered nothing".into()))?;
    let usage = metered.map(|metered| metered.settle(answer.as_ref()));
    let written = answer.map_err(|rejection| telling.refusal(rejection))?;
    Ok(Answer {
        items: Shown::Parts(telling.returned(written).map(ItemOut).into_iter().collect()),
        next_token: None,
        last_evaluated_key: None,
        consumed_capacity: usage.and_then(|usage| capacity.consumed(&telling.given_name, usage)),
    })
}
