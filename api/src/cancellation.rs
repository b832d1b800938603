//! Why a transaction was cancelled: a reason for each of its actions.

use item::{Item, Key, KeyError, Table};
use serde::{Serialize, Serializer, ser::SerializeMap};

use crate::{Error, values::ItemOut};

/// What is against one action, if anything is.
#[derive(Clone, Debug, PartialEq)]
pub enum Reason {
    /// Nothing; another action was refused.
    None,
    /// Its condition did not hold; with the item that failed it, if that was asked for.
    ConditionFailed(Option<Item>),
    /// It inserts an item that there is.
    Duplicate,
    /// Its table, or one of that table's indexes, has no units left; the text says so.
    Throttled(String),
    /// It breaks a rule; the text says which.
    Invalid(String),
}

impl Reason {
    /// Nothing is against it, or what `error` says.
    pub(crate) fn of<T>(checked: &Result<T, String>) -> Reason {
        checked.as_ref().err().map_or(Reason::None, |text| Reason::Invalid(text.clone()))
    }

    /// The word that stands for it.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Reason::None => "None",
            Reason::ConditionFailed(_) => "ConditionalCheckFailed",
            Reason::Duplicate => "DuplicateItem",
            Reason::Throttled(_) => "ProvisionedThroughputExceeded",
            Reason::Invalid(_) => "ValidationError",
        }
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("Code", self.code())?;
        match self {
            Reason::None => {}
            Reason::ConditionFailed(item) => {
                if let Some(item) = item {
                    map.serialize_entry("Item", &ItemOut(item.clone()))?;
                }
                map.serialize_entry("Message", &Error::ConditionFailed(None).to_string())?;
            }
            Reason::Duplicate => map.serialize_entry("Message", &Error::DuplicateItem.to_string())?,
            Reason::Throttled(text) | Reason::Invalid(text) => map.serialize_entry("Message", text)?,
        }
        map.end()
    }
}

/// The cancellation of a transaction of `actions`, of which the one at `place` was not let through.
pub(crate) fn throttled(error: &Error, place: usize, actions: usize) -> Error {
    let mut reasons = vec![Reason::None; actions];
    reasons[place] = Reason::Throttled(error.to_string());
    Error::TransactionCancelled(reasons)
}

/// The message that names all reasons.
pub(crate) fn message(reasons: &[Reason]) -> String {
    let codes: Vec<&str> = reasons.iter().map(Reason::code).collect();
    format!("Transaction cancelled, please refer cancellation reasons for specific reasons [{}]", codes.join(", "))
}

/// Tells apart what is wrong with the key of `given`: of the wrong attributes or types, which cancels a transaction, or of
/// values that no key may have, which makes the whole request invalid.
pub(crate) fn key_reason(table: &Table, given: &Item, key: Result<Key, Error>) -> Result<Result<Key, String>, Error> {
    match (key, Key::of_item(table, given)) {
        (Ok(key), _) => Ok(Ok(key)),
        (Err(error), Ok(_) | Err(KeyError::Missing { .. } | KeyError::WrongType { .. })) => Ok(Err(error.to_string())),
        (Err(error), Err(_)) => Err(error),
    }
}
