//! Transactions: writes that happen together or not at all.

use std::collections::BTreeSet;

use bytes::Bytes;
use item::{Image, Item, Key, TableId, Value, table::system};

use crate::{
    request::Request,
    write::{Rejection, Write, Written},
};

/// Writes that happen together, in one frame, or not at all.
#[derive(Clone, Debug)]
pub struct Transaction {
    writes: Vec<Write>,
    token: Option<Token>,
}

/// A caller's name for a transaction: the same one within [`Transaction::TOKEN_US`] is not done again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The name: a string key, so neither empty nor over 2048 bytes.
    pub name: String,
    /// What the transaction asks for, or a digest of it: the same name for something else is refused.
    pub request: Bytes,
}

/// Why writes are no transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransactionError {
    /// More than [`Transaction::WRITES_MAX`].
    #[error("{count} writes are too many for one transaction")]
    TooMany {
        /// How many they are.
        count: usize,
    },
    /// Two writes of the same item.
    #[error("a transaction writes each item once")]
    Repeated,
    /// The token's name cannot be a key.
    #[error("the token is empty or too long")]
    Token,
}

/// What became of a transaction.
#[derive(Clone, Debug)]
pub enum Transacted {
    /// All of it is done; one for each write.
    Written(Vec<Written>),
    /// It was done before, under the same token.
    Repeated,
    /// Nothing was done: for each write, what is against it, if anything is.
    Cancelled(Vec<Option<Rejection>>),
    /// Nothing was done: the token was used for another transaction.
    TokenReused,
    /// Nothing was done: the items would be larger, together, than [`Transaction::SIZE_MAX`].
    TooLarge,
}

impl Transaction {
    /// Writes of one transaction, at most.
    pub const WRITES_MAX: usize = 100;

    /// Greatest sum of the sizes of the items that a transaction writes, in bytes, as DynamoDB counts them.
    pub const SIZE_MAX: usize = 4 << 20;

    /// How long a token is kept, in microseconds.
    pub const TOKEN_US: u64 = 600_000_000;

    /// A transaction of `writes`, each of another item.
    pub fn new(writes: Vec<Write>, token: Option<Token>) -> Result<Transaction, TransactionError> {
        if writes.len() > Transaction::WRITES_MAX {
            return Err(TransactionError::TooMany { count: writes.len() });
        }
        let mut keys = BTreeSet::new();
        if !writes.iter().all(|write| keys.insert((write.table.id, &write.key))) {
            return Err(TransactionError::Repeated);
        }
        if token.as_ref().is_some_and(|token| token_key(&token.name).is_none()) {
            return Err(TransactionError::Token);
        }
        Ok(Transaction { writes, token })
    }
}

/// A transaction, made ready by the caller's thread.
#[derive(Debug)]
pub(crate) struct TransactionRequest {
    pub(crate) requests: Vec<Request>,
    pub(crate) token: Option<TokenRequest>,
    /// When it was admitted, microseconds since 1970.
    pub(crate) at_us: u64,
}

/// A token as the key of its row, and what the row must say.
#[derive(Debug)]
pub(crate) struct TokenRequest {
    pub(crate) key: Key,
    name: String,
    pub(crate) request: Bytes,
}

impl TransactionRequest {
    pub(crate) fn new(transaction: Transaction) -> TransactionRequest {
        let token = transaction.token.and_then(|Token { name, request }| {
            // A name that is no key was refused.
            token_key(&name).map(|key| TokenRequest { key, name, request })
        });
        TransactionRequest { requests: transaction.writes.into_iter().map(Request::new).collect(), token, at_us: 0 }
    }

    /// Every key that it reads or writes: those of its writes in order, then that of its token.
    pub(crate) fn keys(&self) -> impl Iterator<Item = (TableId, Key)> {
        let written = self.requests.iter().map(|request| (request.table, request.key.clone()));
        written.chain(self.token.iter().map(|token| (system::TOKENS, token.key.clone())))
    }

    /// Memory that it holds until it is answered, approximately, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let token = self.token.as_ref().map_or(0, |token| 2 * (token.name.len() + token.request.len()) + 256);
        self.requests.iter().map(Request::bytes).sum::<usize>() + token
    }
}

impl TokenRequest {
    /// The row that keeps the token of a transaction admitted at `at_us`.
    pub(crate) fn row(&self, at_us: u64) -> Image {
        let until_us = at_us + Transaction::TOKEN_US;
        Image::encode(&Item(
            [
                (system::TOKEN.to_owned(), Value::String(self.name.clone())),
                (system::TOKEN_REQUEST.to_owned(), Value::Binary(self.request.clone())),
                (system::TOKEN_UNTIL_US.to_owned(), Value::Number(until_us.into())),
            ]
            .into(),
        ))
    }

    /// What a row of the same token says at `at_us`: none if it counts no more, else whether it is of the same request.
    pub(crate) fn is_same(&self, row: Option<&Image>, at_us: u64) -> Option<bool> {
        let row = row?.decode().ok()?;
        if system::is_token_expired(&row, at_us) {
            return None;
        }
        Some(row.get(system::TOKEN_REQUEST) == Some(&Value::Binary(self.request.clone())))
    }
}

fn token_key(name: &str) -> Option<Key> {
    let key = Item([(system::TOKEN.to_owned(), Value::String(name.to_owned()))].into());
    Key::of_item(&system::tokens(), &key).ok()
}

/// Are these items, together, no larger than those of a transaction may be?
pub(crate) fn fits<'a>(images: impl Iterator<Item = &'a Image> + Clone) -> bool {
    let encoded: usize = images.clone().map(|image| image.bytes().len()).sum();
    // An item is at most about twice as large as its image: only images that are large by themselves are looked into.
    encoded <= Transaction::SIZE_MAX / 2
        || images.filter_map(|image| image.decode().ok()).map(|item| item.size()).sum::<usize>()
            <= Transaction::SIZE_MAX
}
