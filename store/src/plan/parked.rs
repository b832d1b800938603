//! Going on with what is parked.

use bytes::Bytes;
use item::{Image, Key, TableId};

use super::{Known, Planner, Planning, Settled};
use crate::{
    park::{Fetch, Fetched, Ready},
    request::Unplanned,
    view::View,
    write::Rejection,
};

impl Planner {
    /// Pins a key; its `item` is known, or a fetch is asked for.
    pub(super) fn pin(&mut self, table: TableId, key: Key, item: Option<Option<Image>>) {
        let high = self.overlay.greatest_sort(table, &key.partition);
        let has_sort_key = self.catalog.by_id(table).is_some_and(|table| table.sort_key.is_some());
        let wants_high = has_sort_key && !self.high_keys.knows(table, &key.partition);
        self.park.pin(table, key, item, high, wants_high);
        self.meter.parked_keys.set(self.park.len() as f64);
    }

    /// Takes a look-up's answer.
    pub(crate) fn fetched(&mut self, fetched: Fetched) {
        let Fetched { fetch, image, high } = fetched;
        let Some(planned_high) = self.park.found(&fetch, image) else { return };
        if fetch.wants_high && !self.high_keys.knows(fetch.table, &fetch.key.partition) {
            // The fetch saw every tier after the pin; what was planned since raised the pin's own bound.
            let bounds: [Option<Bytes>; 2] = [high, planned_high];
            if let Some(high) = bounds.into_iter().flatten().max() {
                self.high_keys.set(fetch.table, &fetch.key.partition, &high);
            }
        }
    }

    /// Plans the next parked request that has nothing left to wait for; answers what it came to.
    pub(crate) fn resume(&mut self, view: &View) -> Option<Settled> {
        let ready = self.park.next_ready()?;
        self.meter.parked_keys.set(self.park.len() as f64);
        Some(match ready {
            Ready::Write(place, request, item) => {
                let planning = match self.catalog.by_id(request.table).cloned() {
                    Some(table) => {
                        let known = self.pinned(table.id, &request.key, item);
                        self.decide(&table, request, known, view)
                    }
                    None => Planning { answer: Err(Rejection::TableNotFound), after: self.newest_planned() },
                };
                Settled::Write(place, planning)
            }
            Ready::Transaction(place, transaction, items) => {
                let keys = transaction.keys().zip(items);
                let known = keys.map(|((table, key), item)| self.pinned(table, &key, item)).collect();
                Settled::Transaction(place, self.settle(transaction, known, view))
            }
        })
    }

    /// Gives up the requests that wait for a look-up.
    pub(crate) fn fetch_failed(&mut self, fetch: &Fetch) -> Vec<Unplanned> {
        self.meter.failed.increment(1);
        let failed = self.park.fail(fetch);
        self.meter.parked_keys.set(self.park.len() as f64);
        failed
    }

    /// What is known of a key whose pin says `item`.
    fn pinned(&self, table: TableId, key: &Key, item: Option<Image>) -> Known {
        match self.overlay.get(table, key) {
            Some(planned) => Known::State(planned.image.clone(), planned.ordinal),
            None => Known::State(item, 0),
        }
    }
}
