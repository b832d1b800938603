//! ListTables.

use serde::Serialize;

use crate::{
    App, Error,
    json::{Integer, request},
    validate::{Violations, is_table_name},
};

/// Names of one answer at most.
const LIMIT_MAX: i64 = 100;

request! {
    /// What ListTables takes.
    struct Request {
        start: String = "ExclusiveStartTableName",
        limit: Integer = "Limit",
    }
}

/// What ListTables answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Answer {
    table_names: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_evaluated_table_name: Option<String>,
}

pub(crate) fn run(app: &App, request: Request) -> Result<Answer, Error> {
    let mut violations = Violations::default();
    let start = request.start.as_ref();
    if let Some(name) = start.filter(|name| !is_table_name(name)) {
        let place = "exclusiveStartTableName";
        violations.add(place, name, "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+");
    }
    violations.length("exclusiveStartTableName", start, 3, 255);
    violations.range("limit", request.limit, 1, LIMIT_MAX);
    violations.finish()?;
    let Integer(limit) = request.limit.unwrap_or(Integer(LIMIT_MAX));
    let limit = usize::try_from(limit).unwrap_or(0);
    let catalog = app.store.catalog();
    let mut names = catalog.user_tables().map(|table| &table.name).filter(|name| start.is_none_or(|s| *name > s));
    let table_names: Vec<String> = names.by_ref().take(limit).cloned().collect();
    let last_evaluated_table_name = names.next().and_then(|_| table_names.last().cloned());
    Ok(Answer { table_names, last_evaluated_table_name })
}
