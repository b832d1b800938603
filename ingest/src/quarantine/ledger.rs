//! What is in quarantine, in numbers: who holds how much, and who must go when it is full. Pure.

use std::{
    cmp::Reverse,
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
    /// Bytes and oldest entry of each client, the noisiest last; of equally noisy ones, the one with the oldest entry.
    noise: BTreeSet<(u64, Reverse<EntryId>)>,
    /// Evicted entries whose puts are not all answered: a removal could overtake them.
    leaving: BTreeMap<EntryId, Slot>,
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
    /// Is it stored? Only then it is shown.
    durable: bool,
    /// Puts of it that are not answered yet.
    puts: u32,
}

/// An entry that has left the ledger and must leave the table.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Evicted {
    pub(crate) id: EntryId,
    pub(crate) client: Arc<str>,
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
            leaving: BTreeMap::new(),
            bytes: 0,
            last: EntryId::default(),
        }
    }

    /// Takes in an entry that is stored already.
    pub(crate) fn load(&mut self, id: EntryId, client: Arc<str>, bytes: u64) {
        self.insert(id, Slot { client, bytes, durable: true, puts: 0 });
    }

    /// Gives a new entry, about to be put, its number. For it go the oldest entries of the noisiest client; answers those
    /// that can be removed at once. The others follow from [`Ledger::settle`].
    pub(crate) fn admit(&mut self, now_us: u64, client: Arc<str>, bytes: u64) -> (EntryId, Vec<Evicted>) {
        let id = EntryId(now_us.max(self.last.0 + 1));
        self.insert(id, Slot { client, bytes, durable: false, puts: 1 });
        let mut evicted = Vec::new();
        for _ in 0..Ledger::EVICTIONS_MAX {
            match self.noise.last() {
                Some((_, Reverse(oldest))) if self.is_over() => evicted.extend(self.evict(*oldest)),
                _ => break,
            }
        }
        (id, evicted)
    }

    /// An entry is about to be put again; answers whether it is still there.
    pub(crate) fn put_again(&mut self, id: EntryId) -> bool {
        self.entries.get_mut(&id).map(|slot| slot.puts += 1).is_some()
    }

    /// A put of the entry is durable. Answers the entry if it was evicted meanwhile, and can be removed now.
    pub(crate) fn settle(&mut self, id: EntryId) -> Option<Evicted> {
        if let Some(slot) = self.entries.get_mut(&id) {
            slot.durable = true;
            slot.puts -= 1;
            return None;
        }
        let mut slot = self.leaving.remove(&id)?;
        slot.puts -= 1;
        self.leave(id, slot)
    }

    /// Takes an entry out; answers whose it was.
    pub(crate) fn remove(&mut self, id: EntryId) -> Option<Arc<str>> {
        self.take(id).map(|slot| slot.client)
    }

    /// Whose entry it is, if it is there and durable.
    pub(crate) fn client(&self, id: EntryId) -> Option<Arc<str>> {
        self.entries.get(&id).filter(|slot| slot.durable).map(|slot| slot.client.clone())
    }

    /// The last durable entries before `before`, newest first.
    pub(crate) fn before(&self, before: EntryId, count: usize) -> Vec<EntryId> {
        let earlier = self.entries.range(..before).rev();
        earlier.filter(|(_, slot)| slot.durable).take(count).map(|(id, _)| *id).collect()
    }

    /// All durable entries, oldest first.
    pub(crate) fn ids(&self) -> Vec<EntryId> {
        self.entries.iter().filter(|(_, slot)| slot.durable).map(|(id, _)| *id).collect()
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

    fn take(&mut self, id: EntryId) -> Option<Slot> {
        let slot = self.entries.remove(&id)?;
        self.bytes -= slot.bytes;
        self.change_account(&slot.client, |account| {
            account.bytes -= slot.bytes;
            account.entries.remove(&id);
        });
        Some(slot)
    }

    /// Takes the entry out; answers it if it can be removed from the table at once.
    fn evict(&mut self, id: EntryId) -> Option<Evicted> {
        let slot = self.take(id)?;
        self.leave(id, slot)
    }

    fn leave(&mut self, id: EntryId, slot: Slot) -> Option<Evicted> {
        if slot.puts == 0 {
            return Some(Evicted { id, client: slot.client });
        }
        self.leaving.insert(id, slot);
        None
    }

    fn change_account(&mut self, client: &Arc<str>, change: impl FnOnce(&mut Account)) {
        let mut account = self.clients.remove(client).unwrap_or_default();
        if let Some(noise) = account.noise() {
            self.noise.remove(&noise);
        }
        change(&mut account);
        if let Some(noise) = account.noise() {
            self.noise.insert(noise);
            self.clients.insert(client.clone(), account);
        }
    }

    fn is_over(&self) -> bool {
        self.bytes > self.limits.bytes_max || self.entries.len() as u64 > self.limits.entries_max
    }
}

impl Account {
    /// Its place among the others.
    fn noise(&self) -> Option<(u64, Reverse<EntryId>)> {
        self.entries.first().map(|oldest| (self.bytes, Reverse(*oldest)))
    }
}

#[cfg(test)]
mod tests;
