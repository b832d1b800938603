//! Requests: writes made ready for planning, and what of them depends on no other request.

use std::sync::Arc;

use item::{
    Actor, EncodedItem, Image, Item, ItemError, Key, Table, TableId,
    expression::{Condition, Update, UpdateError},
};

use crate::{
    batch::Place,
    transaction::TransactionRequest,
    write::{Action, Rejection, Write},
};

/// A request that is admitted and not planned.
#[derive(Debug)]
pub(crate) enum Unplanned {
    Write(Place, Request),
    Transaction(Place, TransactionRequest),
}

/// A write, made ready by the caller's thread.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) table: TableId,
    pub(crate) key: Key,
    pub(crate) action: Prepared,
    pub(crate) condition: Option<Arc<Condition>>,
    pub(crate) return_old: bool,
    pub(crate) actor: Actor,
}

/// An action whose item is checked and encoded, as far as that can be done beforehand.
#[derive(Debug)]
pub(crate) enum Prepared {
    Put(Image),
    Merge(Image),
    Update {
        update: Arc<Update>,
        return_new: bool,
    },
    Remove,
    Check,
    /// What would be refused whatever is stored, such as an item that no table may store: an image of it might not decode.
    Refused(Rejection),
}

impl Request {
    pub(crate) fn new(write: Write) -> Request {
        let checked = match &write.action {
            Action::Put(item) | Action::Merge(item) => check(&write.table, item).map_err(Rejection::from),
            Action::PutEncoded(item) => check_encoded(&write.table, item).map_err(Rejection::from),
            Action::Update { update, .. } => update.check_key(&write.table).map_err(Rejection::from),
            Action::Restore(_) | Action::Remove | Action::Check => Ok(()),
        };
        let action = match (checked, write.action) {
            (Err(rejection), _) => Prepared::Refused(rejection),
            (Ok(()), Action::Put(item)) => Prepared::Put(Image::encode(&item)),
            (Ok(()), Action::PutEncoded(item)) => Prepared::Put(item.into_image()),
            (Ok(()), Action::Restore(image)) => Prepared::Put(image),
            (Ok(()), Action::Merge(item)) => Prepared::Merge(Image::encode(&item)),
            (Ok(()), Action::Update { update, return_new }) => Prepared::Update { update, return_new },
            (Ok(()), Action::Remove) => Prepared::Remove,
            (Ok(()), Action::Check) => Prepared::Check,
        };
        Request {
            table: write.table.id,
            key: write.key,
            action,
            condition: write.condition,
            return_old: write.return_old,
            actor: write.actor,
        }
    }

    /// Does its outcome or its answer depend on the item as it is?
    pub(crate) fn reads(&self) -> bool {
        self.condition.is_some()
            || self.return_old
            || matches!(self.action, Prepared::Merge(_) | Prepared::Update { .. })
    }

    /// May it store something? What removes is taken also while the disk is full.
    pub(crate) fn grows(&self) -> bool {
        matches!(self.action, Prepared::Put(_) | Prepared::Merge(_) | Prepared::Update { .. })
    }

    /// Memory that it holds until it is answered, approximately, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let action = match &self.action {
            Prepared::Put(image) | Prepared::Merge(image) => image.bytes().len(),
            Prepared::Update { update, .. } => update.size(),
            Prepared::Remove | Prepared::Check | Prepared::Refused(_) => 0,
        };
        // The event holds the old image too, and the overlay, the key again.
        256 + 2 * (self.key.partition.len() + self.key.sort.len() + action)
    }
}

/// May `table` store `item`? Reserved system tables may hold what is too large for any other.
pub(crate) fn check(table: &Table, item: &Item) -> Result<(), ItemError> {
    if table.id.is_system() {
        return item.check_shape();
    }
    item.check()?;
    check_index_keys(table, item)
}

/// May `table` store `item`, which may be stored as such?
fn check_encoded(table: &Table, item: &EncodedItem) -> Result<(), ItemError> {
    if table.indexes.is_empty() { Ok(()) } else { check_index_keys(table, &item.decode()) }
}

fn check_index_keys(table: &Table, item: &Item) -> Result<(), ItemError> {
    table.indexes.iter().try_for_each(|index| {
        let told = |error| ItemError::IndexKey { index: index.name.clone(), error };
        index.check_item(item).map_err(told)
    })
}

/// What an update makes of the item of `key`, if there is one then.
pub(crate) fn updated(table: &Table, key: &Key, old: Option<Item>, update: &Update) -> Result<Option<Item>, Rejection> {
    let is_new = old.is_none();
    let old = match old {
        Some(item) => item,
        None => key.to_item(table).map_err(|_| Rejection::TableNotFound)?,
    };
    let item = update.apply(old)?;
    if is_new && !update.makes_item() {
        return Ok(None);
    }
    check(table, &item).map_err(UpdateError::Unfit)?;
    Ok(Some(item))
}
