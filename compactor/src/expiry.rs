//! Removes items whose time to live is over, each by an event of its own.
//!
//! A table with a time to live has an expiry index: its entries, in order, are the items in the order of their expiry. A
//! [`Expirer`] reads those that are over, from where the last one ended, and removes their items if they still say so. What
//! was written since then with a time before that point is found by a whole sweep, which begins at the start again; whole
//! sweeps are as far apart as bounds their cost.
//!
//! An item expires when its attribute, a number of seconds since 1970, lies in the past, but by less than five years: as in
//! DynamoDB, what is older is taken for a mistake.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::Arc,
    time::Duration,
};

use item::{
    Actor, Item, Key, Number, ShardId, Table, TableId, Value,
    expression::{Condition, ExpressionError, Kind, Substitutions},
    key,
};
use store::{
    Error, Store,
    files::Row,
    write::{Action, Write},
};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior},
};

/// How often it is looked for what has expired.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long it waits after a failure.
const BACK_OFF: Duration = Duration::from_secs(10);
/// A whole sweep is made when as many times the last one's length have passed since.
const WHOLE_SWEEP_SHARE: u32 = 20;
/// What expired longer ago than this, in seconds, stays.
const OLDEST_S: u64 = 5 * 365 * 24 * 60 * 60;
/// Entries read, and so items removed, at a time: their events hold the items as they were.
const BATCH: usize = 64;

/// Removes what has expired.
pub struct Expirer {
    store: Store,
    /// The last entry of each shard of an expiry index up to which nothing is left, but for what was written since.
    done: BTreeMap<(TableId, ShardId), Key>,
    /// When the next whole sweep begins.
    whole_at: Instant,
    /// How long the whole sweep under way has taken so far.
    whole_took: Option<Duration>,
}

impl Expirer {
    /// Of the tables in `store`.
    pub fn new(store: Store) -> Expirer {
        Expirer { store, done: BTreeMap::new(), whole_at: Instant::now(), whole_took: None }
    }

    /// Removes items as they expire, until `shutdown` is true.
    pub async fn run(mut self, mut shutdown: watch::Receiver<bool>) {
        let mut interval = tokio::time::interval(INTERVAL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let sweep = async {
                interval.tick().await;
                self.sweep_when_due().await
            };
            let swept = tokio::select! {
                swept = sweep => swept,
                () = stopped(&mut shutdown) => return,
            };
            if let Err(error) = swept {
                tracing::warn!(%error, retry_in_s = BACK_OFF.as_secs(), "items that have expired were not removed");
                if tokio::time::timeout(BACK_OFF, stopped(&mut shutdown)).await.is_ok() {
                    return;
                }
            }
        }
    }

    async fn sweep_when_due(&mut self) -> Result<(), Error> {
        let began = Instant::now();
        if began >= self.whole_at && self.whole_took.is_none() {
            self.done.clear();
            self.whole_took = Some(Duration::ZERO);
        }
        // What expires meanwhile does not wait until all that has is gone.
        let swept = self.sweep_for(self.store.clock().now_us() / 1_000_000, Some(INTERVAL)).await;
        let whole_took = self.whole_took.take().map(|before| before + began.elapsed());
        let Swept { removed, is_last } = swept?;
        if removed > 0 {
            metrics::counter!("thalweg_compactor_expired_items_total").increment(removed);
            tracing::debug!(removed, "items expired");
        }
        match whole_took {
            Some(took) if is_last => self.whole_at = Instant::now() + took * WHOLE_SWEEP_SHARE,
            unfinished => self.whole_took = unfinished,
        }
        Ok(())
    }

    /// Removes what has expired at `now_s` since the last call, or ever; answers how many items.
    pub async fn sweep(&mut self, now_s: u64) -> Result<u64, Error> {
        Ok(self.sweep_for(now_s, None).await?.removed)
    }

    /// Removes what has expired at `now_s` since the last call, or ever, and begins no further round of turns after so long.
    async fn sweep_for(&mut self, now_s: u64, time: Option<Duration>) -> Result<Swept, Error> {
        let began = Instant::now();
        let catalog = self.store.catalog();
        let expiring: BTreeSet<TableId> = catalog.tables().filter_map(|table| Some(table.expiry()?.id)).collect();
        self.done.retain(|(index, _), _| expiring.contains(index));
        let (mut removed, mut failure) = (0, None);
        let expiring = catalog.tables().filter(|table| table.expiry().is_some());
        let shards = 0..self.store.shards();
        let mut left: Vec<_> =
            expiring.flat_map(|table| shards.clone().map(move |shard| (table, ShardId(shard)))).collect();
        // They take turns, so that one of which much expires at once does not delay the others.
        while !left.is_empty() && time.is_none_or(|time| began.elapsed() < time) {
            let mut unfinished = Vec::new();
            for (table, shard) in left {
                match self.sweep_some(table, shard, now_s).await {
                    Ok(swept) => {
                        removed += swept.removed;
                        unfinished.extend((!swept.is_last).then_some((table, shard)));
                    }
                    // One that cannot be read does not keep the others.
                    Err(error) => failure = failure.or(Some(error)),
                }
            }
            left = unfinished;
        }
        failure.map_or(Ok(Swept { removed, is_last: left.is_empty() }), Err)
    }

    /// Removes the next items of a shard of a table that have expired, so many at most.
    async fn sweep_some(&mut self, table: &Arc<Table>, shard: ShardId, now_s: u64) -> Result<Swept, Error> {
        let Some(mut due) = self.due(table, shard, now_s).await? else {
            return Ok(Swept { removed: 0, is_last: true });
        };
        let writes = mem::take(&mut due.writes);
        let mut removed = 0;
        if !writes.is_empty() {
            let answers = self.store.write(writes).await?;
            // Whatever was refused has another time by now, or is gone with its table.
            removed = answers.iter().flatten().filter(|written| written.sequence.is_some()).count() as u64;
        }
        self.done(&due);
        Ok(Swept { removed, is_last: due.is_last })
    }

    /// What is to be written next because items of a table expired in one shard at `now_s`, if there are such entries after
    /// those that are [done](Expirer::done). To be written: a removal is refused if its item has another time by then.
    pub async fn due(&self, table: &Arc<Table>, shard: ShardId, now_s: u64) -> Result<Option<Due>, Error> {
        let Some(index) = table.expiry() else { return Ok(None) };
        let at = |seconds: u64| {
            let number = Value::Number(Number::from(seconds));
            key::encode_partition_attribute(&index.partition_key, &number).expect("every number can be a key")
        };
        let end = at(now_s);
        let start = || Key { partition: at(now_s.saturating_sub(OLDEST_S)), sort: Default::default() };
        let after = self.done.get(&(index.id, shard)).cloned().unwrap_or_else(start);
        let rows = self.store.rows(index.id, shard, &after, BATCH).await?;
        let is_last = rows.len() < BATCH;
        let expired: Vec<Row> = rows.into_iter().take_while(|row| row.key.partition <= end).collect();
        let Some(last) = expired.last().map(|row| row.key.clone()) else { return Ok(None) };
        let is_last = is_last || expired.len() < BATCH;
        let writes = expired.iter().filter_map(|row| removal(table, row).transpose());
        let writes = writes.collect::<Result<Vec<Write>, Error>>()?;
        Ok(Some(Due { writes, is_last, place: (index.id, shard), last }))
    }

    /// These were written: their entries are not looked at again, but by a whole sweep.
    pub fn done(&mut self, due: &Due) {
        self.done.insert(due.place, due.last.clone());
    }
}

/// Removals that are due.
#[derive(Debug)]
pub struct Due {
    /// One for each entry that is there still.
    pub writes: Vec<Write>,
    /// Are there no more for now?
    pub is_last: bool,
    place: (TableId, ShardId),
    /// The last entry that was looked at.
    last: Key,
}

/// What a turn or a sweep came to.
struct Swept {
    /// Items that were removed.
    removed: u64,
    /// Is nothing left that had expired?
    is_last: bool,
}

/// What removes the item of an entry, if it still expires when the entry says; none if the entry is gone.
fn removal(table: &Arc<Table>, entry: &Row) -> Result<Option<Write>, Error> {
    let (Some(image), Some(index)) = (&entry.image, table.expiry()) else { return Ok(None) };
    let malformed = |error: item::CodecError| Error::Corrupt {
        path: format!("expiry index of table {}", table.name),
        offset: error.offset as u64,
        what: error.what.to_owned(),
    };
    let attribute = &index.partition_key.name;
    let held: Item = image.decode().map_err(malformed)?;
    let Some(expiry) = held.get(attribute) else { return Ok(None) };
    Ok(Some(Write {
        table: Arc::clone(table),
        key: index.item_key(&entry.key).map_err(malformed)?,
        action: Action::Remove,
        condition: Some(Arc::new(still(attribute, expiry).expect("this condition is one"))),
        return_old: false,
        actor: Actor::Ttl,
    }))
}

/// Holds while an item has this value.
fn still(attribute: &str, value: &Value) -> Result<Condition, ExpressionError> {
    let names = [("#expiry".to_owned(), attribute.to_owned())].into();
    let values = [(":expiry".to_owned(), value.clone())].into();
    Condition::parse(Kind::Condition, "#expiry = :expiry", &mut Substitutions::new(Some(names), Some(values))?)
}

async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    // An error means that nobody can ask any more: stop as well.
    let _ = shutdown.wait_for(|stop| *stop).await;
}
