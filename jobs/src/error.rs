//! Why a job was not taken, and why one ended.

use store::write::TableRejection;

/// Why a job was not taken.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The table that it would fill cannot be made.
    #[error(transparent)]
    Table(#[from] TableRejection),
    /// A job with this token was asked for not long ago, and it was another one.
    #[error("the token was used for another request")]
    TokenReused,
    /// As many jobs of the kind as may be are not over.
    #[error("{running} jobs of this kind are not over")]
    TooMany {
        /// How many there are.
        running: usize,
    },
    /// The store did not take it.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// Why a job failed, for whoever asks for it later.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Failure {
    /// A word that programs can compare.
    pub code: String,
    /// For people.
    pub message: String,
}

impl Failure {
    /// A failure.
    pub fn new(code: impl Into<String>, message: impl ToString) -> Failure {
        Failure { code: code.into(), message: message.to_string() }
    }
}

/// Why an attempt stopped before its job was done.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Stopped {
    /// For good: the job fails.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// It may pass: the job is attempted again, from its checkpoint.
    #[error("{0}")]
    Later(String),
    /// By the store: attempted again, unless what is stored is corrupt.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Stopped {
    /// A failure for good.
    pub fn failed(code: impl Into<String>, message: impl ToString) -> Stopped {
        Stopped::Failed(Failure::new(code, message))
    }

    /// Is no other attempt made after it? Then the attempt leaves nothing behind.
    pub fn is_final(&self) -> bool {
        matches!(self, Stopped::Failed(_) | Stopped::Store(store::Error::Corrupt { .. }))
    }
}
