//! What operations of exports and imports have in common: ARNs, client tokens, pages of jobs.
//!
//! An export's ARN is `TABLE-ARN/export/ID`, an import's `TABLE-ARN/import/ID`, the id being the job's.

use jobs::{Job, NewJob, Started};

use super::table_description::{is_own_arn, table_arn};
use crate::{
    App, Error,
    json::Integer,
    transfer::{EXPORT, IMPORT},
    validate::{self, Violations},
};

/// Jobs of one answer at most.
const PAGE_MAX: i64 = 25;
/// Bytes of a token, of which two characters each are shown: so long must a token of DynamoDB's be.
const TOKEN_BYTES: usize = 56;

/// The ARN of an export.
pub(crate) fn export_arn(table: &str, id: &str) -> String {
    format!("{}/{EXPORT}/{id}", table_arn(table))
}

/// The ARN of an import.
pub(super) fn import_arn(table: &str, id: &str) -> String {
    format!("{}/{IMPORT}/{id}", table_arn(table))
}

/// The table and the id that the ARN of a job of `kind` names, if it is one.
fn parts<'a>(kind: &str, arn: &'a str) -> Option<(String, &'a str)> {
    let (table, rest) = arn.rsplit_once(&format!("/{kind}/"))?;
    let table = table.starts_with("arn:").then(|| validate::table_name(Some(table.to_owned())).ok())??;
    Some((table, rest))
}

/// The table of a job of `kind` that an ARN names, for who must be allowed to ask for it.
pub(crate) fn table_of_job(kind: &str, arn: &str) -> Option<String> {
    parts(kind, arn).map(|(table, _)| table)
}

/// The job of `kind` that the member `place` names; `missing` makes the refusal if there is none.
pub(super) async fn described(
    app: &App,
    kind: &str,
    place: &str,
    given: Option<&String>,
    missing: impl Fn(&str) -> Error,
) -> Result<Job, Error> {
    let mut violations = Violations::default();
    violations.required(place, given);
    violations.length(place, given, 37, 1024);
    violations.finish()?;
    let arn = given.map(String::as_str).unwrap_or_default();
    let named = parts(kind, arn);
    let (table, id) = named.ok_or_else(|| {
        let what = if kind == EXPORT { "ExportArn" } else { "ImportArn" };
        Error::Validation(format!("Invalid {what}: Invalid ResourceArn provided as input {arn}"))
    })?;
    let job = if is_own_arn(arn) { app.jobs.get(kind, id).await? } else { None };
    let job = job.filter(|job| table_name(job).is_ok_and(|name| name == table));
    job.ok_or_else(|| missing(arn))
}

/// Starts a job; whoever asks again with the same token gets the same. `conflict` is the exception for a token that was used for another.
pub(super) async fn started(app: &App, new: NewJob, conflict: &'static str) -> Result<Job, Error> {
    let name = new.fills.as_ref().map(|table| table.name.clone()).unwrap_or_default();
    match app.jobs.start(new, app.config.patience).await {
        Ok(started @ (Started::New(_) | Started::Again(_))) => Ok(started.into_job()),
        Err(jobs::Error::TokenReused) => Err(Error::exception(
            conflict,
            "The ClientToken was used within eight hours for a request with other parameters",
        )),
        Err(jobs::Error::TooMany { running }) => Err(Error::LimitExceeded(format!(
            "Subscriber limit exceeded: there are {running} of them that have not ended; wait until one has"
        ))),
        Err(jobs::Error::Table(rejection)) => Err(super::create_table::refusal(&name, rejection)),
        Err(jobs::Error::Store(error)) => Err(error.into()),
    }
}

/// What a client token must be.
pub(super) fn token_constraints(violations: &mut Violations, token: Option<&String>) {
    if let Some(token) = token.filter(|token| token.is_empty() || token.contains('$')) {
        violations.add("clientToken", token, "Member must satisfy regular expression pattern: ^[^\\$]+$");
    }
}

/// A page of the jobs of `kind`, newest first: those of a table, or all; and the token of the next one.
pub(super) async fn page(
    app: &App,
    kind: &str,
    table_arn: Option<String>,
    (place, limit): (&str, Option<Integer>),
    token: Option<String>,
) -> Result<(Vec<Job>, Option<String>), Error> {
    let mut violations = Violations::default();
    violations.length("tableArn", table_arn.as_ref(), 1, 1024);
    violations.range(place, limit, 1, PAGE_MAX);
    violations.finish()?;
    let table = table_arn.map(|arn| validate::table_name(Some(arn))).transpose()?;
    let before = token.map(|token| id_of(&token).ok_or_else(|| Error::validation("Invalid NextToken"))).transpose()?;
    let limit = limit.map_or(PAGE_MAX, |Integer(limit)| limit) as usize;
    let mut jobs = app.jobs.list(kind).await?;
    jobs.retain(|job| table.as_ref().is_none_or(|table| table_name(job).is_ok_and(|name| name == *table)));
    jobs.retain(|job| before.as_ref().is_none_or(|before| job.id < *before));
    jobs.reverse();
    let has_more = jobs.len() > limit;
    jobs.truncate(limit);
    let next = jobs.last().filter(|_| has_more).map(|job| token_of(&job.id));
    Ok((jobs, next))
}

/// The table that a job is about.
fn table_name(job: &Job) -> Result<String, Error> {
    match &job.fills {
        Some(table) => Ok(table.name.clone()),
        None => Ok(job.spec::<crate::transfer::export::Spec>().map_err(internal)?.table_name),
    }
}

/// What is stored of a job does not decode.
pub(super) fn internal(failure: jobs::Failure) -> Error {
    Error::Internal(failure.to_string())
}

fn token_of(id: &str) -> String {
    let mut bytes = id.as_bytes().to_vec();
    bytes.resize(TOKEN_BYTES, 0);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn id_of(token: &str) -> Option<String> {
    if token.len() != 2 * TOKEN_BYTES || !token.is_ascii() {
        return None;
    }
    let byte = |at: usize| u8::from_str_radix(&token[at..at + 2], 16).ok();
    let bytes: Vec<u8> = (0..token.len()).step_by(2).map(byte).collect::<Option<_>>()?;
    let id = std::str::from_utf8(&bytes).ok()?.trim_end_matches('\0');
    (token_of(id) == token).then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_an_id_and_nothing_else_is() {
        let id = "01700000000000-0a1b2c3d";
        let token = token_of(id);
        assert_eq!((token.len(), id_of(&token).as_deref()), (112, Some(id)));
        for other in ["", "zz", &token[1..], &token.to_uppercase().replace('3', "G"), &"é".repeat(56)] {
            assert_eq!(id_of(other), None, "{other}");
        }
    }

    #[test]
    fn a_job_is_named_by_table_and_id() {
        let arn = export_arn("a.b-c", "01-2");
        assert_eq!(parts(EXPORT, &arn), Some(("a.b-c".to_owned(), "01-2")));
        assert_eq!((table_of_job(IMPORT, &arn), table_of_job(EXPORT, &arn)), (None, Some("a.b-c".to_owned())));
        assert_eq!(parts(EXPORT, "table/abc/export/1"), None);
    }
}
