//! Why a batch could not be taken, or a configuration is refused.

use store::write::Rejection;

/// A failure of ingest. Bad readings are not failures: they go to the quarantine.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The store failed: nothing of the batch may be acknowledged, and all of it may be sent again.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The store refused an entry of a system table: nothing of the batch may be acknowledged.
    #[error("the store refused what must be kept: {0}")]
    Refused(Rejection),
    /// Storing the batch did not come to its end: nothing of it may be acknowledged, and all of it may be sent again.
    #[error("storing a batch was cut short: {cause}")]
    CutShort {
        /// By what.
        cause: String,
    },
    /// The configuration, or what was asked for, is not usable.
    #[error("{what}")]
    Config {
        /// What is wrong, and in which source or route.
        what: String,
    },
}
