//! What is in quarantine, in numbers: who holds how much, and who must go when it is full. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::QuarantineLimits;

/// An entry's number: microseconds of its admission, made unique. It orders entries by time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EntryId(pub(crate) u64);

/// Accounts of the quarantine.
#[derive(Debug)]
pub(crate) struct Ledger {
    limits: QuarantineLimits,
    entries: BTreeMap<EntryId, Slot>,
    clients: BTreeMap<Arc<str>, Account>,
    /// Bytes and name of each client, the noisiest last.
    noise: BTreeSet<(u64, Arc<str>)>,
    bytes: u64,
    last: EntryId,
}

#[derive(Debug, Default)]
struct Account {
    bytes: u64,
    entries: BTreeSet<EntryId>,
}

#[derive(Debug)]
struct Slot {
    client: Arc<str>,
    bytes: u64,
    /// Is it durable? An entry that is still on its way is not evicted: its removal could overtake it.
    settled: bool,
}

impl Ledger {
    /// At most so many entries are evicted for one that comes in, after the limits were lowered.
    const EVICTIONS_MAX: usize = 1000;

    pub(crate) fn new(limits: QuarantineLimits) -> Ledger {
        Ledger {
            limits,
            entries: BTreeMap::new(),
            clients: BTreeMap::new(),
            noise: BTreeSet::new(),
            bytes: 0,
            last: EntryId::default(),
        }
    }

    /// Takes in an entry that is stored already.
    pub(crate) fn load(&mut self, id: EntryId, client: Arc<str>, bytes: u64) {
        self.insert(id, Slot { client, bytes, settled: true });
    }

    /// Gives a new entry its number, and names the entries that must go for it: the oldest ones of the noisiest client.
    pub(crate) fn admit(&mut self, now_us: u64, client: Arc<str>, bytes: u64) -> (EntryId, Vec<(Arc<str>, EntryId)>) {
        let id = EntryId(now_us.max(self.last.0 + 1));
        self.insert(id, Slot { client, bytes, settled: false });
        let mut evicted = Vec::new();
        while self.is_over() && evicted.len() < Ledger::EVICTIONS_MAX {
            let Some(oldest) = self.oldest_of_noisiest() else {
                break;
            };
            let client = self.remove(oldest).expect("an entry of a client is in the ledger");
            evicted.push((client, oldest));
        }
        (id, evicted)
    }

    /// The entry is durable.
    pub(crate) fn settle(&mut self, id: EntryId) {
        if let Some(slot) = self.entries.get_mut(&id) {
            slot.settled = true;
        }
    }

    /// Takes an entry out; answers whose it was.
    pub(crate) fn remove(&mut self, id: EntryId) -> Option<Arc<str>> {
        let slot = self.entries.remove(&id)?;
        self.bytes -= slot.bytes;
        self.change_account(&slot.client, |account| {
            account.bytes -= slot.bytes;
            account.entries.remove(&id);
        });
        Some(slot.client)
    }

    /// Whose entry it is, if it is there and durable.
    pub(crate) fn client(&self, id: EntryId) -> Option<Arc<str>> {
        self.entries.get(&id).filter(|slot| slot.settled).map(|slot| slot.client.clone())
    }

    /// The first durable entries after `after`, oldest first.
    pub(crate) fn after(&self, after: EntryId, count: usize) -> Vec<(Arc<str>, EntryId)> {
        let later = self.entries.range(EntryId(after.0.saturating_add(1))..);
        later.filter(|(_, slot)| slot.settled).take(count).map(|(id, slot)| (slot.client.clone(), *id)).collect()
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many bytes they have.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    fn insert(&mut self, id: EntryId, slot: Slot) {
        self.last = self.last.max(id);
        self.bytes += slot.bytes;
        self.change_account(&slot.client, |account| {
            account.bytes += slot.bytes;
            account.entries.insert(id);
        });
        self.entries.insert(id, slot);
    }

    fn change_account(&mut self, client: &Arc<str>, change: impl FnOnce(&mut Account)) {
        let mut account = self.clients.remove(client).unwrap_or_default();
        self.noise.remove(&(account.bytes, client.clone()));
        change(&mut account);
        if !account.entries.is_empty() {
            self.noise.insert((account.bytes, client.clone()));
            self.clients.insert(client.clone(), account);
        }
    }

    fn is_over(&self) -> bool {
        self.bytes > self.limits.bytes_max || self.entries.len() as u64 > self.limits.entries_max
    }

    fn oldest_of_noisiest(&self) -> Option<EntryId> {
        let settled = |id: &&EntryId| self.entries.get(id).is_some_and(|slot| slot.settled);
        self.noise.iter().rev().find_map(|(_, client)| self.clients.get(client)?.entries.iter().find(settled).copied())
    }
}

#[cfg(test)]
mod tests;
