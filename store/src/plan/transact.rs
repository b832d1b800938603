//! Planning transactions: everything is decided before anything changes, and all changes go into the same frame.
//!
//! A transaction whose items are not all known in memory, or one of whose keys is pinned, is parked: all its keys are
//! pinned in one step, and whatever comes later queues behind it.

use std::sync::Arc;

use item::{Actor, Image, Old, Table, table::system};

use super::{Changing, Known, Planner, Planning, changing};
use crate::{
    batch::Place,
    overlay::Ordinal,
    transaction::{Transacted, TransactionRequest, fits},
    view::View,
    write::{Rejection, Written},
};

/// A write of a transaction that nothing is against.
type Decided = (Arc<Table>, Written, Option<Changing>);

impl Planner {
    /// Plans a transaction; none if it is parked.
    pub(super) fn transact(
        &mut self,
        place: Place,
        transaction: TransactionRequest,
        view: &View,
    ) -> Option<Planning<Transacted>> {
        let is_free = transaction.keys().all(|(table, key)| !self.park.is_pinned(table, &key));
        if is_free && let Some(known) = self.look_up_all(&transaction, view) {
            return Some(self.settle(transaction, known, view));
        }
        for (table, key) in transaction.keys() {
            if self.park.is_pinned(table, &key) {
                continue;
            }
            let item = match self.find(table, &key, self.catalog.by_id(table).is_some(), view) {
                Some(Known::State(image, _)) => Some(image),
                Some(Known::NotNeeded) => Some(None),
                None => None,
            };
            self.pin(table, key, item);
        }
        self.park.queue_transaction(place, transaction);
        None
    }

    /// What is known of every key without a disk; none if one of them needs a disk.
    fn look_up_all(&self, transaction: &TransactionRequest, view: &View) -> Option<Vec<Known>> {
        let written = transaction.requests.iter().map(|request| match self.catalog.by_id(request.table) {
            Some(table) => self.look_up(table, request, view),
            None => Some(Known::NotNeeded),
        });
        let token = transaction.token.iter().map(|token| self.find(system::TOKENS, &token.key, true, view));
        written.chain(token).collect()
    }

    /// Decides and plans a transaction; `known` has an entry for each of its keys.
    pub(super) fn settle(
        &mut self,
        transaction: TransactionRequest,
        known: Vec<Known>,
        view: &View,
    ) -> Planning<Transacted> {
        let TransactionRequest { requests, token, at_us } = transaction;
        let mut known = known.into_iter();
        let mut after: Ordinal = 0;
        let mut reasons = Vec::new();
        let mut decided = Vec::new();
        for (request, known) in requests.into_iter().zip(known.by_ref()) {
            let (old, ordinal) = known.into_parts();
            after = after.max(ordinal);
            let outcome = match self.catalog.by_id(request.table) {
                Some(table) => changing(table, request, old).map(|(written, change)| (table.clone(), written, change)),
                None => {
                    // Its removal may be planned and not yet durable.
                    after = after.max(self.newest_planned());
                    Err(Rejection::TableNotFound)
                }
            };
            match outcome {
                Ok(write) => {
                    decided.push(write);
                    reasons.push(None);
                }
                Err(rejection) => reasons.push(Some(rejection)),
            }
        }
        let mut keep = None;
        if let Some((token, known)) = token.zip(known.next()) {
            let (old, ordinal) = known.into_parts();
            let row = old.flatten();
            let verdict = match token.is_same(row.as_ref(), at_us) {
                Some(true) => Some(Transacted::Repeated),
                Some(false) => Some(Transacted::TokenReused),
                None => None,
            };
            if let Some(answer) = verdict {
                return Planning { answer, after: ordinal };
            }
            after = after.max(ordinal);
            let new = Some(token.row(at_us));
            let old = row.map_or(Old::Absent, Old::Image);
            keep = Some(Changing { key: token.key, actor: Actor::System, old, new });
        }
        if reasons.iter().any(Option::is_some) {
            return Planning { answer: Transacted::Cancelled(reasons), after };
        }
        if !fits(images(&decided)) {
            return Planning { answer: Transacted::TooLarge, after };
        }
        let changes = keep.is_some() || decided.iter().any(|(_, _, change)| change.is_some());
        let change = |(table, mut written, change): Decided| {
            written.sequence = change.map(|change| self.change(&table, change, view));
            written
        };
        let written = decided.into_iter().map(change).collect();
        if let Some(keep) = keep
            && let Some(table) = self.catalog.by_id(system::TOKENS).cloned()
        {
            self.change(&table, keep, view);
        }
        Planning { answer: Transacted::Written(written), after: if changes { self.ordinal } else { after } }
    }
}

/// What the items of a transaction will be, where they change.
fn images(decided: &[Decided]) -> impl Iterator<Item = &Image> + Clone {
    decided.iter().filter_map(|(_, _, change)| change.as_ref()?.new.as_ref())
}
