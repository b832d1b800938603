//! Writes whose units are counted: because they are asked for, or because the table is provisioned. Of all others nothing is
//! looked up that was not needed anyway.

use std::sync::Arc;

use item::{Index, Item, Key, Table};
use store::write::{Action, Rejection, Write, Written};

use crate::{
    App, Error,
    cancellation::throttled,
    capacity::{Detail, Usage, write_units},
    throttle::{Admitted, Claim, Use, claim, is_throttled},
};

/// A transaction prepares each write and then does it.
pub(crate) const TRANSACTED: f64 = 2.0;

/// A write that is counted.
pub(crate) struct Metered {
    table: Arc<Table>,
    key: Key,
    change: Change,
    /// How many units one of the table, and of its local indexes, counts.
    factor: f64,
    admitted: Admitted,
}

/// What becomes of the item, as far as it is known before.
#[derive(Debug)]
enum Change {
    /// An item of this size; with it, if there are indexes.
    Put(usize, Option<Item>),
    /// What the answer will tell.
    Update,
    Remove,
    /// Nothing.
    Check,
}

/// Waits for what becomes of `metered` writes. Who leaves meanwhile has used their units, because they are done all the same;
/// so has who is told that nobody knows.
pub(crate) async fn handed_in<'m, T>(
    metered: impl Iterator<Item = &'m mut Metered>,
    work: impl Future<Output = Result<T, store::Error>>,
) -> Result<T, store::Error> {
    let mut metered: Vec<&mut Metered> = metered.collect();
    metered.iter_mut().for_each(|metered| metered.admitted.set_handed_in(true));
    let result = work.await;
    let is_unknown = matches!(result, Err(store::Error::Unanswered | store::Error::Poisoned { .. }));
    metered.iter_mut().for_each(|metered| metered.admitted.set_handed_in(is_unknown));
    result
}

impl Metered {
    /// Counts `write` if it is to be, and lets it through if there are units for it. `factor`: 2 in a transaction.
    pub(crate) fn admit(app: &App, write: &mut Write, detail: Detail, factor: f64) -> Result<Option<Metered>, Error> {
        if detail == Detail::None && !is_throttled(&write.table) {
            return Ok(None);
        }
        let mut metered = Metered::of(write, factor);
        metered.admitted = app.admit(&write.table, metered.claims(write))?;
        metered.observe(write);
        Ok(Some(metered))
    }

    /// The writes of a transaction: all of them are let through, or it is cancelled.
    pub(crate) fn admit_all(app: &App, writes: &mut [Write], detail: Detail) -> Result<Vec<Option<Metered>>, Error> {
        let mut all: Vec<Option<Metered>> = Vec::new();
        let actions = writes.len();
        for (place, write) in writes.iter_mut().enumerate() {
            match Metered::admit(app, write, detail, TRANSACTED) {
                Ok(metered) => all.push(metered),
                Err(error) => return Err(throttled(&error, place, actions)),
            }
        }
        Ok(all)
    }

    fn of(write: &Write, factor: f64) -> Metered {
        let has_indexes = write.table.user_indexes().next().is_some();
        let change = match &write.action {
            Action::Put(item) | Action::Merge(item) => Change::Put(item.size(), has_indexes.then(|| item.clone())),
            Action::PutEncoded(item) => Change::Put(item.size(), has_indexes.then(|| item.decode())),
            Action::Update { .. } => Change::Update,
            Action::Remove => Change::Remove,
            // No request restores: jobs do, which nobody meters.
            Action::Check | Action::Restore(_) => Change::Check,
        };
        Metered { table: write.table.clone(), key: write.key.clone(), change, factor, admitted: Admitted::default() }
    }

    /// What the write will use at least. Whether an index that is out of units has an entry of the old item is not known yet,
    /// so a write that may remove one waits for it too.
    fn claims(&self, write: &Write) -> Vec<Claim> {
        let mut claims = Vec::new();
        let size = if let Change::Put(size, _) = self.change { size } else { 0 };
        claims.extend(claim(&self.table, None, Use::Write, self.factor * write_units(size)));
        let has = |index: &Index, get: &dyn Fn(&str) -> bool| index.key_attributes().all(|key| get(&key.name));
        for index in self.table.user_indexes() {
            let units = match &write.action {
                Action::Put(item) | Action::Merge(item) if has(index, &|name| item.get(name).is_some()) => 1.0,
                Action::PutEncoded(item) if has(index, &|name| item.get(name).is_some()) => 1.0,
                Action::Update { .. } | Action::Remove => 0.0,
                Action::Put(_) | Action::Merge(_) | Action::PutEncoded(_) | Action::Check | Action::Restore(_) => {
                    continue;
                }
            };
            if index.kind == item::IndexKind::Global {
                claims.extend(claim(&self.table, Some(index), Use::Write, units));
            }
        }
        claims
    }

    /// Has the answer tell what the units depend on.
    fn observe(&self, write: &mut Write) {
        write.return_old = true;
        if let Action::Update { return_new, .. } = &mut write.action {
            *return_new = true;
        }
    }

    /// What it used, now that it was answered: a condition that does not hold is not free.
    pub(crate) fn settle(self, answer: Result<&Written, &Rejection>) -> Usage {
        let size = |item: Option<&Item>| item.map_or(0, Item::size);
        let usage = match answer {
            Ok(written) => {
                let old = written.old.as_ref();
                let (put_size, new) = match &self.change {
                    Change::Put(size, item) => (*size, item.as_ref()),
                    Change::Update => (0, written.new.as_ref()),
                    Change::Remove => (0, None),
                    Change::Check => (0, old),
                };
                let mut usage = Usage::of_entries(&self.table, &self.key, old, new);
                usage.local.values_mut().for_each(|units| *units *= self.factor);
                usage.table = self.factor * write_units(size(old).max(size(new)).max(put_size));
                usage
            }
            Err(Rejection::ConditionFailed { old }) => Usage::from(self.factor * write_units(size(old.as_ref()))),
            Err(_) => Usage::default(),
        };
        self.admitted.settle(&self.table, &usage, Use::Write);
        usage
    }

    /// It would have been done, had nothing been against others of its transaction: what was prepared is paid for.
    pub(crate) fn keep(self) {
        self.admitted.keep();
    }
}
