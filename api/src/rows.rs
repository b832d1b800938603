//! `POST /ingest/<table>?device=COLUMN|device_id=ID&time=COLUMN&zone=ZONE`: rows as JSON lines, mapped and stored.
//!
//! Each line is a JSON object, or a number, a tab and the object, where the number is the row's line in the file that it
//! comes from; else lines are counted from the body's first. The answer, which comes when every row is durable, counts what
//! became of them: `{"stored": 3, "unchanged": 0, "collisions": 0, "quarantined": 0}`. The same rows again change nothing.

use std::sync::Arc;

use bytes::Bytes;
use hyper::{Response, StatusCode, body::Body, http::request::Parts};
use ingest::{Entrance, Row, RowDevice, Rows};

use crate::{
    Error, Service,
    access::{Access, Caller},
    body,
    client::Client,
    parameters,
    wire::{self, Payload},
};

/// Rows of one request at most; they are mapped all at once.
const ROWS_MAX: usize = 50_000;

/// Maps and stores the rows of `body` for `table`.
pub(crate) async fn answer<B>(
    service: &Service,
    caller: &Caller<'_>,
    table: &str,
    head: &Parts,
    body: B,
) -> Response<Payload>
where
    B: Body<Data = Bytes>,
    B::Error: std::fmt::Display,
{
    let result = async {
        let body = body::read(service, caller, head, body).await?;
        let table = parameters::decode(table).map_err(Error::Validation)?;
        caller.require(&Access::table("thalweg:Ingest", &table))?;
        let rows = Arc::new(mapping(&table, head.uri.query())?);
        let batch = split(&body.bytes)?;
        let client = Client::of(head).map_or("http", |client| &client.address);
        Ok(service.app.ingest.rows(Entrance::Http, client, &rows, batch).await?)
    };
    match result.await {
        Ok(outcome) => wire::json(
            StatusCode::OK,
            &serde_json::json!({
                "stored": outcome.stored,
                "unchanged": outcome.unchanged,
                "collisions": outcome.collisions,
                "quarantined": outcome.quarantined,
            }),
        ),
        Err(error) => wire::failure(&error),
    }
}

/// How the rows become items.
fn mapping(table: &str, query: Option<&str>) -> Result<Rows, Error> {
    let mut given = parameters::parse(query, &["device", "device_id", "time", "zone"]).map_err(Error::Validation)?;
    let device = match (given.remove("device"), given.remove("device_id")) {
        (Some(column), None) => RowDevice::Column(column),
        (None, Some(id)) => RowDevice::Fixed(id),
        _ => return Err(Error::validation("exactly one of the parameters device and device_id is wanted")),
    };
    let time =
        given.remove("time").ok_or_else(|| Error::validation("the parameter time is wanted: the time's column"))?;
    let zone = given.remove("zone");
    Ok(Rows::new(table, device, &time, zone.as_deref().unwrap_or("UTC"))?)
}

fn split(body: &Bytes) -> Result<Vec<Row>, Error> {
    let mut rows = Vec::new();
    for (place, line) in body.split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        if rows.len() == ROWS_MAX {
            return Err(Error::Validation(format!("more than {ROWS_MAX} rows in one request")));
        }
        let (number, json) = numbered(line).unwrap_or((place as u64 + 1, line));
        rows.push(Row { line: number, json: body.slice_ref(json) });
    }
    Ok(rows)
}

/// A row that brings its line's number.
fn numbered(line: &[u8]) -> Option<(u64, &[u8])> {
    let tab = line.iter().take(21).position(|byte| *byte == b'\t')?;
    let number = std::str::from_utf8(&line[..tab]).ok()?.parse().ok()?;
    Some((number, &line[tab + 1..]))
}

impl From<ingest::Error> for Error {
    fn from(error: ingest::Error) -> Error {
        match error {
            ingest::Error::Store(error) => error.into(),
            ingest::Error::Config { what } => Error::Validation(what),
            ingest::Error::Refused(_) => Error::Internal(error.to_string()),
            ingest::Error::CutShort { .. } => Error::Unavailable(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_rows_with_their_numbers() {
        let rows = split(&Bytes::from_static(b"{\"a\":1}\n\n  {\"a\":2}\r\n77\t{\"a\":3}\n-1\tx\n")).unwrap();
        let rows: Vec<(u64, &[u8])> = rows.iter().map(|row| (row.line, row.json.as_ref())).collect();
        let expected: [(u64, &[u8]); 4] = [(1, b"{\"a\":1}"), (3, b"{\"a\":2}"), (77, b"{\"a\":3}"), (5, b"-1\tx")];
        assert_eq!(rows, expected);
        assert!(split(&Bytes::from("1\n".repeat(ROWS_MAX + 1))).is_err());
    }

    #[test]
    fn a_mapping_needs_a_device_and_a_time() {
        assert!(mapping("t.x", Some("device=a&time=b")).is_ok());
        assert!(mapping("t.x", Some("device_id=a%20b&time=b&zone=Europe%2FBerlin")).is_ok());
        for query in [
            "",
            "time=b",
            "device=a",
            "device=a&device_id=b&time=c",
            "device=a&time=b&zone=Nowhere",
            "device=a&time=b&x=1",
        ] {
            assert!(matches!(mapping("table", Some(query)), Err(Error::Validation(_))), "{query}");
        }
        assert!(mapping("no table", Some("device=a&time=b")).is_err());
    }
}
