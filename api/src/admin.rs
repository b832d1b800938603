//! `/admin/...`: what the command line asks of a running server.

pub(crate) mod keys;

use std::time::Duration;

use hyper::{Response, StatusCode};
use ingest::Selection;
use serde_json::{Value, json};
use store::Patience;

use crate::{
    Error, Service, parameters, process,
    wire::{self, Payload},
};

/// So long `status` waits for a write that changes nothing.
const STATUS_PATIENCE: Patience = Patience { admission: Duration::from_secs(1), answer: Duration::from_secs(1) };
/// Entries of the quarantine in one answer, if the request does not say.
const ENTRIES: usize = 50;
/// And at most.
const ENTRIES_MAX: usize = 10_000;
/// Entries are read with their payloads, so only a few at once.
const ENTRIES_AT_ONCE: usize = 16;

/// `POST /admin/compact?table=TABLE`: everything acknowledged before is under `cold/tables`, merged.
pub(crate) async fn compact(service: &Service, query: Option<&str>) -> Response<Payload> {
    let result = async {
        let given = parameters::parse(query, &["table"]).map_err(Error::Validation)?;
        let compacted = service.app.compactor.compact(given.get("table").map(String::as_str)).await?;
        let report =
            |report: &compactor::Report| json!({ "files": report.files, "rows": report.rows, "bytes": report.bytes });
        let tables = compacted.iter().map(|compacted| {
            json!({
                "table": compacted.table,
                "generation": compacted.generation,
                "written": report(&compacted.written),
                "total": report(&compacted.total),
            })
        });
        Ok(json!({ "tables": tables.collect::<Vec<_>>() }))
    };
    answer(result.await)
}

/// `POST /admin/reload`: the certificate is read again.
pub(crate) async fn reload(service: &Service) -> Response<Payload> {
    let result = async {
        let Some(certificate) = service.app.certificate.clone() else {
            return Err(Error::Validation("there is nothing to read again: this server has no certificate".into()));
        };
        let file = certificate.files().certificate.display().to_string();
        let read = tokio::task::spawn_blocking(move || certificate.reload()).await;
        let read = read.map_err(|error| Error::Internal(error.to_string()))?;
        let is_another = read.map_err(|error| Error::Validation(format!("the old certificate stays: {error}")))?;
        tracing::info!(file, is_another, "the certificate was read again");
        Ok(json!({ "certificate": file, "changed": is_another }))
    };
    answer(result.await)
}

/// `GET /admin/status`: what runs, how much there is, how far things are.
pub(crate) async fn status(service: &Service) -> Response<Payload> {
    let result = async {
        let app = &service.app;
        let store = &app.store;
        let facts = &app.facts;
        let (entries, entry_bytes) = app.ingest.quarantine_size().await?;
        let catalog = store.catalog();
        let tables = catalog.user_tables().map(|table| {
            let (items, bytes) = store.approximate_size(table);
            json!({ "table": table.name, "items": items, "bytes": bytes, "stream": table.stream.is_some() })
        });
        let (manifest, view) = (store.manifest(), store.view());
        let (room, space) = store.room();
        let backlog = compactor::Backlog::of(store);
        let refused = store.health(STATUS_PATIENCE).await.err();
        let log = store.log();
        let up_us = store.clock().now_us().saturating_sub(facts.started_at_us);
        Ok(json!({
            "version": facts.version,
            "data_directory": facts.data_directory,
            "durability": facts.durability,
            "mqtt": facts.mqtt,
            "tls": app.certificate.is_some(),
            "up_seconds": up_us / 1_000_000,
            "writes": match refused {
                None => json!("taken"),
                Some(cause) => json!(format!("refused: {cause}")),
            },
            "disk": {
                "room": format!("{room:?}").to_lowercase(),
                "free": space.map(|space| space.free_bytes),
                "total": space.map(|space| space.total_bytes),
            },
            "memory": {
                "resident": process::resident_bytes(),
                "memtables": view.active_bytes(),
                "sealed": view.sealed_bytes(),
                "cache": store.cache().memory_bytes(),
                "rows": view.rows.bytes(),
                "admitted": store.admitted_bytes(),
            },
            "shards": store.shards(),
            "tables": tables.collect::<Vec<_>>(),
            "log": {
                "trim_point": log.trim_point().0,
                "applied": store.applied().borrow().0,
                "tail": log.tail().0,
                "bytes": log.bytes(),
            },
            "cold": {
                "manifest": manifest.number,
                "flushed": manifest.flushed.0,
                "files": manifest.files.len(),
                "bytes": manifest.files.values().map(|file| file.bytes).sum::<u64>(),
                "sealed_memtables": view.sealed.len(),
                "runs": backlog.runs,
                "run_bytes": backlog.run_bytes,
                "oldest_run_seconds": backlog.oldest_run_us / 1_000_000,
            },
            "quarantine": { "entries": entries, "bytes": entry_bytes },
        }))
    };
    answer(result.await)
}

/// `GET /admin/quarantine?before=ID&limit=N`: entries without their payloads, newest first, and how many there are in
/// all. If there are older ones, `before` says how to ask for them.
pub(crate) async fn quarantine(service: &Service, query: Option<&str>) -> Response<Payload> {
    let result = async {
        let mut given = parameters::parse(query, &["before", "limit"]).map_err(Error::Validation)?;
        let limit = match given.get("limit").map(|limit| limit.parse()) {
            None => ENTRIES,
            Some(Ok(limit @ 1..=ENTRIES_MAX)) => limit,
            Some(_) => return Err(Error::Validation(format!("limit must be from 1 to {ENTRIES_MAX}"))),
        };
        let ingest = &service.app.ingest;
        let mut before = given.remove("before");
        let mut entries: Vec<Value> = Vec::new();
        // One more than asked for tells whether there are more.
        while entries.len() <= limit {
            let some = ingest.quarantine_list(before.as_deref(), ENTRIES_AT_ONCE).await?;
            let Some(last) = some.last() else { break };
            before = Some(last.id());
            entries.extend(some.iter().map(|entry| entry.to_json(false)));
        }
        let more = entries.len() > limit;
        entries.truncate(limit);
        let next = if more { entries.last().map(|entry| entry["id"].clone()) } else { None };
        let mut answer = json!({ "entries": entries, "total": ingest.quarantine_size().await?.0 });
        if let Some(next) = next {
            answer["before"] = next;
        }
        Ok(answer)
    };
    answer(result.await)
}

/// `GET /admin/quarantine/<id>`: one entry with its payload.
pub(crate) async fn entry(service: &Service, id: &str) -> Response<Payload> {
    let result = async {
        let id = parameters::decode(id).map_err(Error::Validation)?;
        let entry = service.app.ingest.quarantine_entry(&id).await?;
        Ok(entry.ok_or_else(|| no_such_entry(&id))?.to_json(true))
    };
    answer(result.await)
}

/// `POST /admin/quarantine/replay`, or of one entry `/admin/quarantine/<id>/replay`.
pub(crate) async fn replay(service: &Service, id: Option<&str>) -> Response<Payload> {
    let result = async {
        let selection = match id {
            None => Selection::All,
            Some(id) => {
                let id = parameters::decode(id).map_err(Error::Validation)?;
                if service.app.ingest.quarantine_entry(&id).await?.is_none() {
                    return Err(no_such_entry(&id));
                }
                Selection::Ids(vec![id])
            }
        };
        let replay = service.app.ingest.quarantine_replay(selection).await?;
        let outcome = replay.outcome;
        let mut told = json!({
            "tried": replay.tried,
            "replayed": outcome.replayed,
            "remaining": replay.tried.saturating_sub(outcome.replayed),
            "stored": outcome.stored,
            "unchanged": outcome.unchanged,
            "collisions": outcome.collisions,
        });
        if let Some(left) = replay.first_left {
            told["first_remaining"] = json!({ "id": left.id(), "reason": left.reason() });
        }
        Ok(told)
    };
    answer(result.await)
}

fn no_such_entry(id: &str) -> Error {
    Error::NotFound(format!("the quarantine has no entry {id}"))
}

fn answer(result: Result<Value, Error>) -> Response<Payload> {
    match result {
        Ok(body) => wire::json(StatusCode::OK, &body),
        Err(error) => wire::failure(&error),
    }
}

impl From<compactor::Error> for Error {
    fn from(error: compactor::Error) -> Error {
        match error {
            compactor::Error::Store(error) => error.into(),
            compactor::Error::UnknownTable { .. } => Error::NotFound(error.to_string()),
        }
    }
}
