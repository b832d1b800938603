//! Parked requests: their keys are pinned until they can be planned.
//!
//! A pinned key is either looked up, or its item is known and kept here: whatever is planned for the key meanwhile renews
//! it. Requests on a pinned key queue behind each other. A transaction stands in the queues of all its keys at once, all of
//! them entered in the same step, and is ready when it leads every one of them and knows every item. Whoever came first
//! leads everywhere, so nobody waits for somebody who waits for him.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use item::{Image, Key, TableId};

use crate::{
    batch::Place,
    request::{Request, Unplanned},
    transaction::TransactionRequest,
};

/// A look-up that planning waits for. It must see a view taken after it was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Fetch {
    /// Tells this look-up from an earlier one of the same key whose requests were abandoned.
    pub(crate) ticket: u64,
    pub(crate) table: TableId,
    pub(crate) key: Key,
    /// Is it to tell how far the partition goes, which nobody knows?
    pub(crate) wants_high: bool,
}

/// What a look-up found.
#[derive(Clone, Debug)]
pub(crate) struct Fetched {
    pub(crate) fetch: Fetch,
    /// The item of the key, if there is one.
    pub(crate) image: Option<Image>,
    /// The greatest sort key of the key's partition, in every tier of the view, if that was wanted.
    pub(crate) high: Option<Bytes>,
}

/// What has nothing left to wait for, with the items of its keys as pinned: what is in the overlay is newer.
pub(crate) enum Ready {
    Write(Place, Request, Option<Image>),
    /// An item for each of [`TransactionRequest::keys`].
    Transaction(Place, TransactionRequest, Vec<Option<Image>>),
}

type TransactionId = u64;

/// A key that requests wait for.
#[derive(Debug)]
struct Pin {
    item: PinnedItem,
    /// The greatest sort key planned in the partition since the pin, or in flight then.
    high: Option<Bytes>,
    /// Requests on this key, in order.
    queue: VecDeque<Waiting>,
}

#[derive(Debug)]
enum PinnedItem {
    /// The look-up of this ticket will tell.
    Awaited(u64),
    Known(Option<Image>),
}

#[derive(Debug)]
enum Waiting {
    Write(Place, Request),
    Transaction(TransactionId),
}

impl Waiting {
    fn is_transaction(&self, id: TransactionId) -> bool {
        matches!(self, Waiting::Transaction(waiting) if *waiting == id)
    }
}

/// All pins. Bounded by what the store admits.
#[derive(Debug, Default)]
pub(crate) struct Park {
    pins: BTreeMap<(TableId, Key), Pin>,
    /// Transactions that wait in queues.
    transactions: BTreeMap<TransactionId, (Place, TransactionRequest)>,
    /// Keys whose queue may have moved on. Each of those that can is here, and perhaps others.
    moved: VecDeque<(TableId, Key)>,
    fetches: Vec<Fetch>,
    last_ticket: u64,
    last_transaction: TransactionId,
}

impl Park {
    pub(crate) fn len(&self) -> usize {
        self.pins.len()
    }

    pub(crate) fn is_pinned(&self, table: TableId, key: &Key) -> bool {
        !self.pins.is_empty() && self.pins.contains_key(&(table, key.clone()))
    }

    /// Pins a key that is not pinned; asks for its fetch unless its `item` is known. `high` is the greatest sort key in flight
    /// in its partition.
    pub(crate) fn pin(
        &mut self,
        table: TableId,
        key: Key,
        item: Option<Option<Image>>,
        high: Option<Bytes>,
        wants_high: bool,
    ) {
        let item = match item {
            Some(item) => PinnedItem::Known(item),
            None => {
                self.last_ticket += 1;
                self.fetches.push(Fetch { ticket: self.last_ticket, table, key: key.clone(), wants_high });
                PinnedItem::Awaited(self.last_ticket)
            }
        };
        self.pins.insert((table, key), Pin { item, high, queue: VecDeque::new() });
    }

    /// Lets a write wait for its key, which is pinned.
    pub(crate) fn queue_write(&mut self, place: Place, request: Request) {
        if let Some(pin) = self.pins.get_mut(&(request.table, request.key.clone())) {
            pin.queue.push_back(Waiting::Write(place, request));
        }
    }

    /// Lets a transaction wait for all its keys, which are pinned.
    pub(crate) fn queue_transaction(&mut self, place: Place, transaction: TransactionRequest) {
        self.last_transaction += 1;
        for key in transaction.keys() {
            if let Some(pin) = self.pins.get_mut(&key) {
                pin.queue.push_back(Waiting::Transaction(self.last_transaction));
            }
        }
        self.transactions.insert(self.last_transaction, (place, transaction));
    }

    /// A key was planned: pins of its partition learn its sort key, and its own its item.
    pub(crate) fn planned(&mut self, table: TableId, key: &Key, item: Option<&Image>) {
        if self.pins.is_empty() {
            return;
        }
        let first = (table, Key { partition: key.partition.clone(), sort: Bytes::new() });
        for ((in_table, pinned), pin) in self.pins.range_mut(first..) {
            if *in_table != table || pinned.partition != key.partition {
                break;
            }
            if pin.high.as_ref().is_none_or(|high| *high < key.sort) {
                pin.high = Some(key.sort.clone());
            }
            if pinned.sort == key.sort && matches!(pin.item, PinnedItem::Known(_)) {
                pin.item = PinnedItem::Known(item.cloned());
            }
        }
    }

    /// Takes a look-up's answer, if it is still waited for; answers the greatest sort key planned meanwhile.
    pub(crate) fn found(&mut self, fetch: &Fetch, image: Option<Image>) -> Option<Option<Bytes>> {
        let place = (fetch.table, fetch.key.clone());
        let pin = self.pins.get_mut(&place)?;
        if !matches!(pin.item, PinnedItem::Awaited(ticket) if ticket == fetch.ticket) {
            return None;
        }
        pin.item = PinnedItem::Known(image);
        self.moved.push_back(place);
        Some(pin.high.take())
    }

    /// Ends the pin of a look-up that failed; answers everything that waited for it.
    pub(crate) fn fail(&mut self, fetch: &Fetch) -> Vec<Unplanned> {
        let place = (fetch.table, fetch.key.clone());
        let awaited = |pin: &Pin| matches!(pin.item, PinnedItem::Awaited(ticket) if ticket == fetch.ticket);
        if !self.pins.get(&place).is_some_and(awaited) {
            return Vec::new();
        }
        let queue = self.pins.remove(&place).map(|pin| pin.queue).unwrap_or_default();
        let failed = queue.into_iter().filter_map(|waiting| match waiting {
            Waiting::Write(place, request) => Some(Unplanned::Write(place, request)),
            Waiting::Transaction(id) => self.withdraw(id),
        });
        failed.collect()
    }

    /// Takes a transaction out of every queue.
    fn withdraw(&mut self, id: TransactionId) -> Option<Unplanned> {
        let (place, transaction) = self.transactions.remove(&id)?;
        for key in transaction.keys() {
            if let Some(pin) = self.pins.get_mut(&key) {
                pin.queue.retain(|waiting| !waiting.is_transaction(id));
                self.moved.push_back(key);
            }
        }
        Some(Unplanned::Transaction(place, transaction))
    }

    /// The next one that has nothing left to wait for.
    pub(crate) fn next_ready(&mut self) -> Option<Ready> {
        while let Some(key) = self.moved.pop_front() {
            let Some(pin) = self.pins.get_mut(&key) else { continue };
            let PinnedItem::Known(item) = &pin.item else { continue };
            match pin.queue.pop_front() {
                None => _ = self.pins.remove(&key),
                Some(Waiting::Write(place, request)) => {
                    let item = item.clone();
                    self.move_on(key);
                    return Some(Ready::Write(place, request, item));
                }
                Some(waiting @ Waiting::Transaction(id)) => {
                    pin.queue.push_front(waiting);
                    if let Some(ready) = self.take_ready(id) {
                        return Some(ready);
                    }
                }
            }
        }
        None
    }

    /// Takes a transaction that leads all its queues and knows all its items.
    fn take_ready(&mut self, id: TransactionId) -> Option<Ready> {
        let item = |key: (TableId, Key)| {
            let pin = self.pins.get(&key)?;
            match &pin.item {
                PinnedItem::Known(item) if pin.queue.front()?.is_transaction(id) => Some(item.clone()),
                _ => None,
            }
        };
        let items = self.transactions.get(&id)?.1.keys().map(item).collect::<Option<Vec<_>>>()?;
        let (place, transaction) = self.transactions.remove(&id)?;
        for key in transaction.keys() {
            if let Some(pin) = self.pins.get_mut(&key) {
                pin.queue.pop_front();
                self.move_on(key);
            }
        }
        Some(Ready::Transaction(place, transaction, items))
    }

    /// The first of a queue has left it.
    fn move_on(&mut self, key: (TableId, Key)) {
        match self.pins.get(&key) {
            Some(pin) if pin.queue.is_empty() => _ = self.pins.remove(&key),
            _ => self.moved.push_front(key),
        }
    }

    /// Drops all pins and the requests behind them.
    pub(crate) fn clear(&mut self) {
        self.pins.clear();
        self.transactions.clear();
        self.moved.clear();
        self.fetches.clear();
    }

    /// Fetches asked for since the last call.
    pub(crate) fn take_fetches(&mut self) -> Vec<Fetch> {
        std::mem::take(&mut self.fetches)
    }
}

#[cfg(test)]
mod tests;
