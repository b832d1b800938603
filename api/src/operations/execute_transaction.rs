//! ExecuteTransaction: up to 100 PartiQL statements, all reads or all writes, each of another item. What they ask for takes
//! the same way as what TransactGetItems and TransactWriteItems ask for.

use serde::Serialize;
use store::transaction::Token;

use super::{
    commit::commit,
    read_at_once::{Response, read_at_once},
    statement::{Given, WriteStatement, only_reads, read},
    transaction::{check_count, digest},
};
use crate::{
    App, Error,
    budget::Room,
    capacity::{ConsumedCapacity, Detail},
    json::request,
    partiql::{Select, Statement},
    validate::{RETURN_CONSUMED_CAPACITY, RETURN_ON_FAILURE, Violations},
    values::WireValue,
};

request! {
    /// What ExecuteTransaction takes.
    struct Request {
        statements: Vec<Parameterized> = "TransactStatements",
        token: String = "ClientRequestToken",
        return_capacity: String = "ReturnConsumedCapacity",
    }
}

request! {
    /// One statement.
    struct Parameterized {
        statement: String = "Statement",
        parameters: Vec<WireValue> = "Parameters",
        return_on_failure: String = "ReturnValuesOnConditionCheckFailure",
    }
}

/// What ExecuteTransaction answers. Writes have no responses.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Answer {
    responses: Vec<Response>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consumed_capacity: Option<Vec<ConsumedCapacity>>,
}

pub(crate) async fn run(app: &App, request: Request, room: &mut Room<'_>) -> Result<Answer, Error> {
    let mut violations = Violations::default();
    check_count(&mut violations, "transactStatements", request.statements.as_ref());
    violations.length("clientRequestToken", request.token.as_ref(), 1, 36);
    violations.one_of("returnConsumedCapacity", request.return_capacity.as_ref(), RETURN_CONSUMED_CAPACITY);
    let mut statements = Vec::new();
    for (place, Parameterized { statement, parameters, return_on_failure }) in
        (1..).zip(request.statements.unwrap_or_default())
    {
        let place = format!("transactStatements.{place}.member.");
        let given = Given { text: statement, parameters };
        given.check(&mut violations, &place);
        let on_failure = format_args!("{place}returnValuesOnConditionCheckFailure");
        violations.one_of(on_failure, return_on_failure.as_ref(), RETURN_ON_FAILURE);
        statements.push((given, return_on_failure.as_deref() == Some("ALL_OLD")));
    }
    violations.finish()?;
    let capacity = Detail::of(request.return_capacity.as_deref());
    let token = request.token.map(|name| {
        let request = digest(statements.iter().map(|(given, _)| given.describe()));
        Token { name, request: request.to_vec().into() }
    });
    let statements: Vec<(Statement, bool)> = statements
        .into_iter()
        .map(|(given, old_on_failure)| Ok((given.parse()?, old_on_failure)))
        .collect::<Result<_, Error>>()?;
    let reads = only_reads(statements.iter().map(|(statement, _)| statement), "ExecuteTransaction")?;
    statements.iter().try_for_each(|(statement, _)| check(statement))?;
    if reads {
        let gets = statements.into_iter().filter_map(|(statement, _)| as_select(statement));
        let gets = gets.map(|select| read(app, select, "ExecuteTransaction")).collect::<Result<_, _>>()?;
        let (responses, consumed_capacity) = read_at_once(app, gets, capacity, room).await?;
        return Ok(Answer { responses, consumed_capacity });
    }
    let prepare = |(statement, old_on_failure)| {
        let statement = WriteStatement::of(app, statement, old_on_failure)?;
        Ok(statement.prepared)
    };
    let actions = statements.into_iter().map(prepare).collect::<Result<_, Error>>()?;
    let consumed_capacity = commit(app, actions, token, capacity, room).await?;
    Ok(Answer { responses: Vec::new(), consumed_capacity })
}

/// Refuses what no transaction can do.
fn check(statement: &Statement) -> Result<(), Error> {
    if statement.returning().is_some() {
        return Err(Error::validation("RETURNING clause is not supported in ExecuteTransaction"));
    }
    match statement {
        Statement::Select(select) | Statement::Exists(select) if select.source.index.is_some() => {
            Err(Error::validation("Reads on indices are not supported within transactions"))
        }
        _ => Ok(()),
    }
}

fn as_select(statement: Statement) -> Option<Select> {
    if let Statement::Select(select) = statement { Some(select) } else { None }
}
