//! The commit of a transaction, whatever asked for it: all its writes, or none.
//!
//! The store never finds transactions in conflict: one is planned after the other. So of the reasons why DynamoDB cancels,
//! a condition, an item that is there already and a broken rule are left.

use item::{ItemError, KeyError, expression::UpdateError};
use store::{
    transaction::{Token, Transacted, Transaction, TransactionError},
    write::{Rejection, Write},
};

use super::{
    ITEM_ROOM_BYTES,
    metered::{Metered, TRANSACTED, handed_in},
};
use crate::{
    App, Error,
    budget::Room,
    cancellation::Reason,
    capacity::{ConsumedCapacity, Detail, UnitKind, Usage, read_units},
};

/// One action, ready for the store but for its key, which may not fit the table.
pub(super) struct Prepared {
    pub(super) given_name: String,
    pub(super) write: Result<Write, String>,
    pub(super) old_on_failure: bool,
    /// Of the item to be put.
    pub(super) size: usize,
    /// Does its condition fail only because the item is there?
    pub(super) inserts: bool,
}

/// Commits `actions`; answers the units that they used, if asked for.
pub(super) async fn commit(
    app: &App,
    actions: Vec<Prepared>,
    token: Option<Token>,
    capacity: Detail,
    room: &mut Room<'_>,
) -> Result<Option<Vec<ConsumedCapacity>>, Error> {
    if actions.iter().any(|action| action.write.is_err()) {
        return Err(Error::TransactionCancelled(actions.iter().map(|action| Reason::of(&action.write)).collect()));
    }
    let mut writes = Vec::new();
    let mut told = Vec::new();
    for Prepared { given_name, write, old_on_failure, size, inserts } in actions {
        writes.extend(write);
        told.push(Told { given_name, old_on_failure, size, inserts });
    }
    let mut metered = Metered::admit_all(app, &mut writes, capacity)?;
    let returned = writes.iter().filter(|write| write.return_old).count();
    let transaction = Transaction::new(writes, token).map_err(|error| match error {
        TransactionError::Repeated => {
            Error::validation("Transaction request cannot include multiple operations on one item")
        }
        TransactionError::TooMany { .. } | TransactionError::Token => Error::parameter(error),
    })?;
    if returned > 0 {
        room.reserve(returned * ITEM_ROOM_BYTES).await?;
    }
    let (kind, units): (UnitKind, Vec<Usage>) =
        match handed_in(metered.iter_mut().flatten(), app.store.transact_within(transaction, app.config.patience))
            .await?
        {
            Transacted::Written(written) => {
                let settle = |(metered, written): (Option<Metered>, _)| {
                    metered.map_or_else(Usage::default, |metered| metered.settle(Ok(written)))
                };
                (UnitKind::Write, metered.into_iter().zip(&written).map(settle).collect())
            }
            Transacted::Repeated => {
                let read = |told: &Told| Usage::from(TRANSACTED * read_units(told.size, true));
                (UnitKind::Read, told.iter().map(read).collect())
            }
            Transacted::Cancelled(rejections) => {
                for (metered, rejection) in metered.into_iter().zip(&rejections) {
                    match (metered, rejection) {
                        (Some(metered), Some(rejection)) => _ = metered.settle(Err(rejection)),
                        (Some(metered), None) => metered.keep(),
                        (None, _) => {}
                    }
                }
                let reasons = rejections.into_iter().zip(&told).map(|(rejection, told)| reason(rejection, told));
                return Err(Error::TransactionCancelled(reasons.collect::<Result<_, _>>()?));
            }
            Transacted::TokenReused => return Err(Error::TokenReused),
            Transacted::TooLarge => {
                return Err(Error::validation("Aggregate size of items in the transaction exceeds 4 MB"));
            }
        };
    let names = told.iter().map(|told| told.given_name.as_str());
    Ok(capacity.transacted(names.zip(units), kind))
}

/// What is kept of an action to tell of it.
struct Told {
    given_name: String,
    old_on_failure: bool,
    size: usize,
    inserts: bool,
}

/// What the store says of one action, for its client.
fn reason(rejection: Option<Rejection>, told: &Told) -> Result<Reason, Error> {
    Ok(match rejection {
        None => Reason::None,
        Some(Rejection::ConditionFailed { .. }) if told.inserts => Reason::Duplicate,
        Some(Rejection::ConditionFailed { old }) => Reason::ConditionFailed(old.filter(|_| told.old_on_failure)),
        Some(gone @ Rejection::TableNotFound) => return Err(gone.into()),
        Some(empty) if is_empty_index_key(&empty) => return Err(empty.into()),
        Some(broken) => Reason::Invalid(Error::from(broken).to_string()),
    })
}

/// Would an index have an empty key? That is no reason among others: the whole request is wrong.
fn is_empty_index_key(rejection: &Rejection) -> bool {
    let (Rejection::Invalid(error) | Rejection::Update(UpdateError::Unfit(error))) = rejection else { return false };
    matches!(error, ItemError::IndexKey { error: KeyError::Empty { .. }, .. })
}
