//! The quarantine: messages of which something could not be stored, with the reason, bounded and replayable.
//!
//! Entries are items of a system table, written in the same call of the store as the readings of their batch. What they
//! amount to is kept in memory by the [`ledger`], which is filled from the table when it is first needed.

mod entry;
pub(crate) mod ledger;
mod warnings;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use item::{Actor, Item, Key, Table, Value, key::SLOTS, table::system};
use store::{
    PageLimit, Store,
    write::{Action, Write},
};
use tokio::sync::OnceCell;

pub use entry::Entry;
pub(crate) use entry::parse_id;
use ledger::{EntryId, Evicted, Ledger};
use warnings::Warnings;

use crate::{Error, QuarantineLimits, message::Message, metrics as names};

/// The quarantine of a store.
pub(crate) struct Quarantine {
    store: Store,
    limits: QuarantineLimits,
    ledger: OnceCell<Mutex<Ledger>>,
    warnings: Mutex<Warnings>,
}

/// A new entry's place.
pub(crate) struct Admitted {
    /// Its number.
    pub(crate) id: EntryId,
    /// Removals of entries that must go for it.
    pub(crate) evictions: Vec<Write>,
}

impl Quarantine {
    pub(crate) fn new(store: Store, limits: QuarantineLimits) -> Quarantine {
        Quarantine { store, limits, ledger: OnceCell::new(), warnings: Mutex::default() }
    }

    /// Makes room for a message.
    pub(crate) async fn admit(&self, message: &Message) -> Result<Admitted, Error> {
        let now_us = self.store.clock().now_us();
        let (id, evicted) = self.ledger().await?.admit(now_us, Entry::account(message), Entry::bytes(message));
        let evictions = evicted.iter().map(|evicted| self.eviction(evicted)).collect();
        Ok(Admitted { id, evictions })
    }

    /// Must come before an entry is put again; answers whether it is still there.
    pub(crate) async fn put_again(&self, id: EntryId) -> Result<bool, Error> {
        Ok(self.ledger().await?.put_again(id))
    }

    /// The write that stores `entry`, in the place of the one of the same id.
    pub(crate) fn put(&self, entry: &Entry) -> Write {
        self.write(&Entry::account(&entry.message), entry.id, Action::Put(entry.to_item()))
    }

    /// The write that removes an entry.
    pub(crate) fn removal(&self, account: &str, id: EntryId) -> Write {
        self.write(account, id, Action::Remove)
    }

    /// An entry became durable. Answers its removal if it has had to go meanwhile.
    pub(crate) async fn settle(&self, id: EntryId) -> Result<Option<Write>, Error> {
        let evicted = self.ledger().await?.settle(id);
        Ok(evicted.map(|evicted| self.eviction(&evicted)))
    }

    /// An entry's removal became durable.
    pub(crate) async fn forget(&self, id: EntryId) -> Result<(), Error> {
        self.ledger().await?.remove(id);
        Ok(())
    }

    /// The entry of that id, if it is there.
    pub(crate) async fn get(&self, id: EntryId) -> Result<Option<Entry>, Error> {
        let Some(account) = self.ledger().await?.client(id) else {
            return Ok(None);
        };
        let table = self.table();
        let found = self.store.get(&table, &key(&table, &account, id)).await?;
        Ok(found.as_ref().and_then(Entry::from_item))
    }

    /// The last entries before `before`, newest first.
    pub(crate) async fn before(&self, before: EntryId, count: usize) -> Result<Vec<Entry>, Error> {
        let ids = self.ledger().await?.before(before, count);
        let mut entries = Vec::with_capacity(ids.len());
        for id in ids {
            // It may have left meanwhile.
            entries.extend(self.get(id).await?);
        }
        Ok(entries)
    }

    /// The ids of all entries, oldest first.
    pub(crate) async fn ids(&self) -> Result<Vec<EntryId>, Error> {
        Ok(self.ledger().await?.ids())
    }

    /// Tells of a new entry in the log, unless its client was told of a moment ago.
    pub(crate) fn tell(&self, entry: &Entry) {
        let received = entry.received();
        let now_us = self.store.clock().now_us();
        let due = self.warnings.lock().unwrap_or_else(PoisonError::into_inner).due(now_us, &received.client);
        let (client, topic, reason) = (&*received.client, &*received.topic, entry.reason());
        match due {
            Some(untold) => tracing::warn!(
                client,
                topic,
                reason,
                untold,
                "a message went to quarantine; `thalweg quarantine list` shows what else did"
            ),
            None => tracing::debug!(client, topic, reason, "a message went to quarantine"),
        }
    }

    /// How many entries there are, and their bytes.
    pub(crate) async fn size(&self) -> Result<(usize, u64), Error> {
        let ledger = self.ledger().await?;
        Ok((ledger.len(), ledger.bytes()))
    }

    /// Shows its size in the metrics.
    pub(crate) async fn show_size(&self) -> Result<(), Error> {
        let (entries, bytes) = self.size().await?;
        metrics::gauge!(names::QUARANTINE_ENTRIES).set(entries as f64);
        metrics::gauge!(names::QUARANTINE_BYTES).set(bytes as f64);
        Ok(())
    }

    async fn ledger(&self) -> Result<MutexGuard<'_, Ledger>, Error> {
        let ledger = self.ledger.get_or_try_init(|| self.load()).await?;
        Ok(ledger.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn load(&self) -> Result<Mutex<Ledger>, Error> {
        let mut ledger = Ledger::new(self.limits);
        let table = self.table();
        let mut after = None;
        loop {
            let page = self.store.scan(&table, 0..SLOTS, after.as_ref(), PageLimit::default()).await?;
            for entry in page.items.iter().filter_map(Entry::from_item) {
                ledger.load(entry.id, Entry::account(&entry.message), Entry::bytes(&entry.message));
            }
            after = page.last_key;
            if after.is_none() {
                return Ok(Mutex::new(ledger));
            }
        }
    }

    fn eviction(&self, evicted: &Evicted) -> Write {
        self.removal(&evicted.client, evicted.id)
    }

    fn write(&self, account: &str, id: EntryId, action: Action) -> Write {
        let table = self.table();
        let key = key(&table, account, id);
        Write { table, key, action, condition: None, return_old: false, actor: Actor::System }
    }

    fn table(&self) -> Arc<Table> {
        self.store.catalog().by_id(system::QUARANTINE).expect("system tables are in every catalogue").clone()
    }
}

fn key(table: &Table, account: &str, id: EntryId) -> Key {
    let mut item = Item::new();
    item.insert("client", Value::String(account.to_owned()));
    item.insert("id", Value::String(entry::show_id(id)));
    Key::of_item(table, &item).expect("an account and an id are short and not empty")
}
