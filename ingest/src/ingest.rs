//! The handle that listeners and sources hold.

use std::sync::Arc;

use bytes::Bytes;
use store::Store;
use tokio::{
    sync::{Mutex, OwnedSemaphorePermit, Semaphore},
    task::JoinError,
};

use crate::{
    Config, Entrance, Error, Received, Rows,
    arrival::Arrivals,
    delivery::{Turn, deliver},
    message::Message,
    metrics as names,
    quarantine::{Entry, Quarantine, ledger::EntryId, parse_id},
    retained::{is_clearing, is_retained},
    routes::Routes,
    task::Task,
};

/// Takes readings in. Cloning shares it.
#[derive(Clone)]
pub struct Ingest {
    parts: Arc<Parts>,
    /// Whose turn it is to reach the store, if the calls of this handle keep their order.
    turn: Option<Arc<Mutex<()>>>,
}

/// What every batch needs.
pub(crate) struct Parts {
    pub(crate) store: Store,
    pub(crate) routes: Routes,
    pub(crate) quarantine: Quarantine,
    /// Readings of one message at most.
    pub(crate) readings_max: usize,
    arrivals: Arrivals,
    /// One permit a KiB of memory that messages take while they are mapped and stored.
    room: Arc<Semaphore>,
    /// Batches with retained messages take turns, so that each sees what the one before stored.
    retained_turn: Mutex<()>,
    /// So do replays.
    replay_turn: Mutex<()>,
}

/// Memory of all messages that are mapped and stored at once, in KiB.
const ROOM_KIB: usize = 256 << 10;

impl Parts {
    /// Waits for room for `bytes`. What needs more than there is gets all.
    pub(crate) async fn make_room(&self, bytes: usize) -> OwnedSemaphorePermit {
        let kib = bytes.div_ceil(1024).min(ROOM_KIB);
        let permits = u32::try_from(kib).expect("less than 4 TiB");
        self.room.clone().acquire_many_owned(permits).await.expect("the semaphore is never closed")
    }

    /// The first of `count` arrivals.
    pub(crate) fn arrive(&self, count: u64) -> u64 {
        self.arrivals.take(self.store.clock().now_us(), count)
    }
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct RowsOutcome {
    /// Items made or changed.
    pub stored: u64,
    /// Items that were there already, with the same content.
    pub unchanged: u64,
    /// Rows that were united with an earlier one of the same device and time in their batch.
    pub united: u64,
    /// Values that were replaced, or would have been.
    pub collisions: u64,
    /// Messages or rows that went to quarantine, as a whole or in part.
    pub quarantined: u64,
    /// Entries that left the quarantine.
    pub replayed: u64,
}

impl RowsOutcome {
    /// Adds what became of another batch.
    pub(crate) fn add(&mut self, other: RowsOutcome) {
        self.stored += other.stored;
        self.unchanged += other.unchanged;
        self.united += other.united;
        self.collisions += other.collisions;
        self.quarantined += other.quarantined;
        self.replayed += other.replayed;
    }
}

/// One row of a file: a JSON object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its line in the file, from 1.
    pub line: u64,
    /// The object.
    pub json: Bytes,
}

impl Row {
    /// The rows of JSON lines, of which the first is line `first_line`; blank lines are none. They share `body`.
    pub fn of_lines(body: &Bytes, first_line: u64) -> Vec<Row> {
        let lines = (first_line..).zip(body.split(|byte| *byte == b'\n'));
        let rows = lines.filter(|(_, json)| !json.trim_ascii().is_empty());
        rows.map(|(line, json)| Row { line, json: body.slice_ref(json) }).collect()
    }
}

/// Which entries of the quarantine to replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// All that are there when the replay begins.
    All,
    /// Those of these ids.
    Ids(Vec<String>),
}

/// What became of entries that were mapped again.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Replay {
    /// Entries that were mapped.
    pub tried: u64,
    /// What was stored of them, and how many left the quarantine.
    pub outcome: RowsOutcome,
    /// The oldest that stayed, with its reason of now.
    pub first_left: Option<Entry>,
}

impl Ingest {
    /// Checks `config` and compiles its routes.
    pub fn new(store: Store, config: Config) -> Result<Ingest, Error> {
        config.check()?;
        let parts = Parts {
            routes: Routes::new(&config)?,
            quarantine: Quarantine::new(store.clone(), config.settings.quarantine),
            readings_max: config.settings.limits.message_readings_max,
            arrivals: Arrivals::default(),
            room: Arc::new(Semaphore::new(ROOM_KIB)),
            retained_turn: Mutex::default(),
            replay_turn: Mutex::default(),
            store,
        };
        Ok(Ingest { parts: Arc::new(parts), turn: None })
    }

    /// A handle whose calls reach the store in the order in which they are first polled, though several may be under
    /// way at once. One for each connection: what a device sends twice for one time must not change places.
    pub fn in_order(&self) -> Ingest {
        Ingest { parts: self.parts.clone(), turn: Some(Arc::default()) }
    }

    /// Maps and stores a batch. `Ok` means that every reading of it is stored, in quarantine, or ignored by a rule that
    /// counts it, all durably; readings of one device keep their order. `Err` means that nothing of it may be
    /// acknowledged; sending the whole batch again is safe. What has begun goes on if the call is dropped.
    pub async fn receive(&self, batch: Vec<Received>) -> Result<(), Error> {
        let mut retained = false;
        let mut tasks = Vec::with_capacity(batch.len());
        for received in batch {
            if is_clearing(&received) {
                metrics::counter!(names::RETAINED_EMPTY).increment(1);
                continue;
            }
            retained |= is_retained(&received);
            tasks.push(Task::new(Message { received, row: None }));
        }
        // A full disk takes nothing: whoever sends waits, in its turn, instead of being sent away to come again.
        let turn = self.turn().await;
        self.parts.store.wait_for_room().await;
        let parts = self.parts.clone();
        let delivery = tokio::spawn(async move {
            let _turn = if retained { Some(parts.retained_turn.lock().await) } else { None };
            deliver(parts.clone(), tasks, turn).await
        });
        ended(delivery.await).map(drop)
    }

    /// Maps and stores rows of a file by the same rules. A row that cannot be mapped goes to quarantine with its line.
    /// Rows of one device and time in one batch are united first, so that the same batch again changes nothing.
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
        let (tasks, turn) = (tasks.collect(), self.turn().await);
        ended(tokio::spawn(deliver(self.parts.clone(), tasks, turn)).await)
    }

    /// The last `count` entries of the quarantine before the id `before`, newest first.
    pub async fn quarantine_list(&self, before: Option<&str>, count: usize) -> Result<Vec<Entry>, Error> {
        let before = before.map(entry_id).transpose()?.unwrap_or(EntryId(u64::MAX));
        self.parts.quarantine.before(before, count).await
    }

    /// The entry of an id.
    pub async fn quarantine_entry(&self, id: &str) -> Result<Option<Entry>, Error> {
        self.parts.quarantine.get(entry_id(id)?).await
    }

    /// How many entries the quarantine has, and their bytes.
    pub async fn quarantine_size(&self) -> Result<(usize, u64), Error> {
        self.parts.quarantine.size().await
    }

    /// Maps entries of the quarantine again, by the routes as they are now. Those of which everything could be stored
    /// leave it; the others stay, with their new reason. Doing it again after a crash is safe: keys do not change.
    pub async fn quarantine_replay(&self, selection: Selection) -> Result<Replay, Error> {
        const BATCH: usize = 16;
        let _turn = self.parts.replay_turn.lock().await;
        let ids = match selection {
            Selection::All => self.parts.quarantine.ids().await?,
            Selection::Ids(ids) => ids.iter().map(|id| entry_id(id)).collect::<Result<_, _>>()?,
        };
        let mut replay = Replay::default();
        for ids in ids.chunks(BATCH) {
            let mut tasks = Vec::with_capacity(ids.len());
            for id in ids {
                tasks.extend(self.parts.quarantine.get(*id).await?.map(Task::replay));
            }
            let tried = tasks.len() as u64;
            let outcome = ended(tokio::spawn(deliver(self.parts.clone(), tasks, None)).await)?;
            replay.tried += tried;
            replay.outcome.add(outcome);
            if replay.first_left.is_none() && outcome.replayed < tried {
                replay.first_left = self.first_of(ids).await?;
            }
        }
        Ok(replay)
    }

    /// The first entry of those that are still there.
    async fn first_of(&self, ids: &[EntryId]) -> Result<Option<Entry>, Error> {
        for id in ids {
            if let Some(entry) = self.parts.quarantine.get(*id).await? {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    async fn turn(&self) -> Option<Turn> {
        match &self.turn {
            Some(turn) => Some(turn.clone().lock_owned().await),
            None => None,
        }
    }
}

/// A delivery that did not come to its end stored nothing that may be acknowledged.
fn ended(delivery: Result<Result<RowsOutcome, Error>, JoinError>) -> Result<RowsOutcome, Error> {
    delivery.unwrap_or_else(|error| Err(Error::CutShort { cause: error.to_string() }))
}

fn entry_id(id: &str) -> Result<EntryId, Error> {
    parse_id(id).ok_or_else(|| Error::Config { what: format!("`{id}` is not the id of a quarantine entry") })
}

#[cfg(test)]
mod tests;
