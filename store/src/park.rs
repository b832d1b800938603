//! Parked requests: their keys are pinned until a fetch tells the item.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use item::{Image, Key, TableId};

use crate::{batch::Place, request::Request};

/// A look-up that planning waits for. It must see a view taken after it was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Fetch {
    /// Tells this look-up from an earlier one of the same key whose requests were abandoned.
    pub(crate) ticket: u64,
    pub(crate) table: TableId,
    pub(crate) key: Key,
}

/// What a look-up found.
#[derive(Clone, Debug)]
pub(crate) struct Fetched {
    pub(crate) fetch: Fetch,
    /// The item of the key, if there is one.
    pub(crate) image: Option<Image>,
    /// The greatest sort key of the key's partition, in every tier of the view.
    pub(crate) high: Option<Bytes>,
}

/// A key that waits for its fetch.
#[derive(Debug)]
pub(crate) struct Pin {
    ticket: u64,
    /// The greatest sort key planned in the partition since the pin, or in flight then.
    pub(crate) high: Option<Bytes>,
    /// Requests on this key, in order.
    pub(crate) queue: VecDeque<(Place, Request)>,
}

/// All pins. Bounded by what the store admits.
#[derive(Debug, Default)]
pub(crate) struct Park {
    pins: BTreeMap<(TableId, Key), Pin>,
    fetches: Vec<Fetch>,
    last_ticket: u64,
}

impl Park {
    pub(crate) fn len(&self) -> usize {
        self.pins.len()
    }

    pub(crate) fn is_pinned(&self, table: TableId, key: &Key) -> bool {
        !self.pins.is_empty() && self.pins.contains_key(&(table, key.clone()))
    }

    /// Pins the request's key and asks for its fetch; `high` is the greatest sort key in flight in its partition.
    pub(crate) fn pin(&mut self, place: Place, request: Request, high: Option<Bytes>) {
        let (table, key) = (request.table, request.key.clone());
        self.last_ticket += 1;
        let ticket = self.last_ticket;
        self.fetches.push(Fetch { ticket, table, key: key.clone() });
        self.pins.insert((table, key), Pin { ticket, high, queue: VecDeque::from([(place, request)]) });
    }

    /// Lets a request wait behind those that pinned its key.
    pub(crate) fn queue(&mut self, place: Place, request: Request) {
        if let Some(pin) = self.pins.get_mut(&(request.table, request.key.clone())) {
            pin.queue.push_back((place, request));
        }
    }

    /// A key was planned: pins of its partition learn its sort key.
    pub(crate) fn raise(&mut self, table: TableId, key: &Key) {
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
        }
    }

    /// Ends the pin that `fetch` was asked for.
    pub(crate) fn unpin(&mut self, fetch: &Fetch) -> Option<Pin> {
        let place = (fetch.table, fetch.key.clone());
        if self.pins.get(&place)?.ticket != fetch.ticket {
            return None;
        }
        self.pins.remove(&place)
    }

    /// Drops all pins and the requests behind them.
    pub(crate) fn clear(&mut self) {
        self.pins.clear();
        self.fetches.clear();
    }

    /// Fetches asked for since the last call.
    pub(crate) fn take_fetches(&mut self) -> Vec<Fetch> {
        std::mem::take(&mut self.fetches)
    }
}
