//! The handle that listeners and sources hold.

use std::sync::Arc;

use bytes::Bytes;
use store::Store;

use crate::{
    Config, Entrance, Error, Received, Rows,
    arrival::Arrivals,
    delivery::{Task, deliver},
    message::Message,
    metrics as names,
    quarantine::{Entry, Quarantine, ledger::EntryId, parse_id},
    retained::is_retained,
    routes::Routes,
};

/// Takes readings in. Cloning shares it.
#[derive(Clone)]
pub struct Ingest(Arc<Parts>);

/// What every batch needs.
pub(crate) struct Parts {
    pub(crate) store: Store,
    pub(crate) routes: Routes,
    pub(crate) quarantine: Quarantine,
    arrivals: Arrivals,
    /// Batches with retained messages take turns, so that each sees what the one before stored.
    retained_turn: tokio::sync::Mutex<()>,
    /// So do replays.
    replay_turn: tokio::sync::Mutex<()>,
}

impl Parts {
    /// The first of `count` arrivals.
    pub(crate) fn arrive(&self, count: u64) -> u64 {
        self.arrivals.take(self.store.clock().now_us(), count)
    }
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowsOutcome {
    /// Items made or changed.
    pub stored: u64,
    /// Items that were there already, with the same content.
    pub unchanged: u64,
    /// Stored values that were replaced, or would have been.
    pub collisions: u64,
    /// Messages or rows that went to quarantine, as a whole or in part.
    pub quarantined: u64,
    /// Entries that left the quarantine.
    pub replayed: u64,
}

/// One row of a file: a JSON object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its line in the file, from 1.
    pub line: u64,
    /// The object.
    pub json: Bytes,
}

/// Which entries of the quarantine to replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// All that are there when the replay begins.
    All,
    /// Those of these ids.
    Ids(Vec<String>),
}

impl Ingest {
    /// Checks `config` and compiles its routes.
    pub fn new(store: Store, config: Config) -> Result<Ingest, Error> {
        config.check()?;
        Ok(Ingest(Arc::new(Parts {
            routes: Routes::new(&config)?,
            quarantine: Quarantine::new(store.clone(), config.settings.quarantine),
            arrivals: Arrivals::default(),
            retained_turn: tokio::sync::Mutex::new(()),
            replay_turn: tokio::sync::Mutex::new(()),
            store,
        })))
    }

    /// Maps and stores a batch. `Ok` means that every reading of it is stored, in quarantine, or ignored by a rule that
    /// counts it, all durably; readings of one device keep their order. `Err` means that nothing of it may be
    /// acknowledged; sending the whole batch again is safe.
    pub async fn receive(&self, batch: Vec<Received>) -> Result<(), Error> {
        let mut retained = false;
        let mut tasks = Vec::with_capacity(batch.len());
        for received in batch {
            if is_retained(&received) {
                if received.payload.is_empty() {
                    metrics::counter!(names::RETAINED_EMPTY).increment(1);
                    continue;
                }
                retained = true;
            }
            tasks.push(Task::new(Message { received, row: None }));
        }
        let _turn = if retained { Some(self.0.retained_turn.lock().await) } else { None };
        deliver(&self.0, tasks).await.map(drop)
    }

    /// Maps and stores rows of a file by the same rules. A row that cannot be mapped goes to quarantine with its line.
    /// The same rows again change nothing.
    pub async fn rows(
        &self,
        entrance: Entrance,
        client: &str,
        rows: &Arc<Rows>,
        batch: Vec<Row>,
    ) -> Result<RowsOutcome, Error> {
        let (client, topic): (Arc<str>, Arc<str>) = (client.into(), "".into());
        let tasks = batch.into_iter().map(|row| {
            let received = Received {
                entrance: entrance.clone(),
                client: client.clone(),
                topic: topic.clone(),
                payload: row.json,
                retain: false,
                redelivered: false,
                stored: None,
            };
            Task::new(Message { received, row: Some((rows.clone(), row.line)) })
        });
        deliver(&self.0, tasks.collect()).await
    }

    /// The first `count` entries of the quarantine after the id `after`, oldest first.
    pub async fn quarantine_list(&self, after: Option<&str>, count: usize) -> Result<Vec<Entry>, Error> {
        let after = after.map(|id| entry_id(id)).transpose()?.unwrap_or_default();
        self.0.quarantine.after(after, count).await
    }

    /// The entry of an id.
    pub async fn quarantine_entry(&self, id: &str) -> Result<Option<Entry>, Error> {
        self.0.quarantine.get(entry_id(id)?).await
    }

    /// How many entries the quarantine has, and their bytes.
    pub async fn quarantine_size(&self) -> Result<(usize, u64), Error> {
        self.0.quarantine.size().await
    }

    /// Maps entries of the quarantine again, by the routes as they are now. Those of which everything could be stored
    /// leave it; the others stay, with their new reason. Doing it again after a crash is safe: keys do not change.
    pub async fn quarantine_replay(&self, selection: Selection) -> Result<RowsOutcome, Error> {
        const BATCH: usize = 16;
        let _turn = self.0.replay_turn.lock().await;
        let ids = match selection {
            Selection::All => self.0.quarantine.after_ids(EntryId::default()).await?,
            Selection::Ids(ids) => ids.iter().map(|id| entry_id(id)).collect::<Result<_, _>>()?,
        };
        let mut sum = RowsOutcome::default();
        for ids in ids.chunks(BATCH) {
            let mut tasks = Vec::with_capacity(ids.len());
            for id in ids {
                tasks.extend(self.0.quarantine.get(*id).await?.map(Task::replay));
            }
            let outcome = deliver(&self.0, tasks).await?;
            sum.stored += outcome.stored;
            sum.unchanged += outcome.unchanged;
            sum.collisions += outcome.collisions;
            sum.replayed += outcome.replayed;
        }
        Ok(sum)
    }
}

fn entry_id(id: &str) -> Result<EntryId, Error> {
    parse_id(id).ok_or_else(|| Error::Config { what: format!("`{id}` is not the id of a quarantine entry") })
}

#[cfg(test)]
mod tests;
