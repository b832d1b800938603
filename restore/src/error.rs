//! Why a restore was not taken.

/// Why a restore was not taken.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The table's continuous backups do not go back so far, or are off.
    #[error("the table cannot be restored to this time")]
    OutOfReach,
    /// The job was not taken.
    #[error(transparent)]
    Job(#[from] jobs::Error),
    /// The base could not be made.
    #[error(transparent)]
    Compactor(#[from] compactor::Error),
    /// The base could not be made.
    #[error(transparent)]
    Store(#[from] store::Error),
}
