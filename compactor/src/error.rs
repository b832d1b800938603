//! Why cold data could not be made.

/// A failure of the compactor. What was committed before stays; nothing else is visible.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The store or its disk failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// There is no table of that name.
    #[error("table {name} not found")]
    UnknownTable {
        /// The name asked for.
        name: String,
    },
}
