//! Why a batch could not be taken, or a configuration is refused.

/// A failure of ingest. Bad readings are not failures: they go to the quarantine.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The store failed: nothing of the batch may be acknowledged, and all of it may be sent again.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The configuration is not usable.
    #[error("{what}")]
    Config {
        /// What is wrong, and in which source or route.
        what: String,
    },
}
