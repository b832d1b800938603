//! The handle that everyone else holds.

use std::{ops::Range, sync::Arc};

use item::{Item, Key, Table};
use tokio::sync::watch;

use crate::{
    Catalog, Config, Direction, Error, Page, PageLimit, SortRange,
    cache::Cache,
    env::{Clock, Disk},
    log::{FrameNumber, Log},
    write::{Answers, TableRejection, TableWrite, Write},
};

/// An open store. Cloning shares it.
#[derive(Clone)]
pub struct Store {}

impl Store {
    /// Opens or makes the data directory `disk`, replays the log, and starts the planner and log threads.
    pub fn open(disk: Arc<dyn Disk>, clock: Arc<dyn Clock>, config: Config, cache: Cache) -> Result<Store, Error> {
        let _ = (disk, clock, config, cache);
        todo!()
    }

    /// Plans, logs, syncs and applies `batch`; each write is on its own. Waits while too much is admitted.
    /// An error means that nothing of it may be assumed: it may or may not have been stored.
    pub async fn write(&self, batch: Vec<Write>) -> Result<Answers, Error> {
        let _ = batch;
        todo!()
    }

    /// Makes, changes or removes a table, durably; answers its schema as it is (or was, if removed).
    pub async fn change_table(&self, change: TableWrite) -> Result<Result<Arc<Table>, TableRejection>, Error> {
        let _ = change;
        todo!()
    }

    /// The tables, as applied.
    pub fn catalog(&self) -> Arc<Catalog> {
        todo!()
    }

    /// The item of `key`; linearizable.
    pub async fn get(&self, table: &Table, key: &Key) -> Result<Option<Item>, Error> {
        let _ = (table, key);
        todo!()
    }

    /// Items of one partition whose sort key is in `range`, after `after` (exclusive) if given.
    pub async fn query(
        &self,
        table: &Table,
        partition: &[u8],
        range: &SortRange,
        direction: Direction,
        after: Option<&Key>,
        limit: PageLimit,
    ) -> Result<Page, Error> {
        let _ = (table, partition, range, direction, after, limit);
        todo!()
    }

    /// Items whose slot is in `slots`, by shard, then key, after `after` (exclusive) if given.
    pub async fn scan(&self, table: &Table, slots: Range<u16>, after: Option<&Key>, limit: PageLimit) -> Result<Page, Error> {
        let _ = (table, slots, after, limit);
        todo!()
    }

    /// How many shards there are.
    pub fn shards(&self) -> u16 {
        todo!()
    }

    /// The log, for readers. Frames at or past [`Store::applied`] are not to be shown yet.
    pub fn log(&self) -> &Arc<dyn Log> {
        todo!()
    }

    /// The first frame that is not yet applied; changes as writes are applied.
    pub fn applied(&self) -> watch::Receiver<FrameNumber> {
        todo!()
    }

    /// The clock.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        todo!()
    }

    /// Stops taking writes, waits for those taken, records the tail.
    pub async fn close(&self) -> Result<(), Error> {
        todo!()
    }
}
