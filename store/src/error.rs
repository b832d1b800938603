//! Why the store could not answer.

use std::io;

/// A failure of the store; a refused write is not one (see [`crate::write::Rejection`]).
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// An operation on the disk failed.
    #[error("{operation} {path}: {source}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what, relative to the data directory.
        path: String,
        /// What the system said.
        source: std::sync::Arc<io::Error>,
    },
    /// Stored bytes are not what was written.
    #[error("{path} is corrupt at byte {offset}: {what}")]
    Corrupt {
        /// The file, relative to the data directory.
        path: String,
        /// Where in it.
        offset: u64,
        /// What is wrong.
        what: String,
    },
    /// The directory was written by a newer Thalweg.
    #[error("{path} has format {found}, this version reads up to {supported}: use a newer thalweg")]
    NewerFormat {
        /// The file that says so.
        path: String,
        /// Its format.
        found: u32,
        /// Ours.
        supported: u32,
    },
    /// Another process serves this directory.
    #[error("data directory {path} is in use by another thalweg process")]
    InUse {
        /// The directory.
        path: String,
    },
    /// A write or sync of the log failed: writes have stopped, and whether this one was stored is unknown. Retryable
    /// after a restart.
    #[error("the log has failed ({cause}); writes have stopped and the outcome of this one is unknown")]
    Poisoned {
        /// The first failure.
        cause: String,
    },
    /// Publishing a manifest failed half-way: whether it is in force shows at the next open. Until then no other can be
    /// published, so memtables stay in memory and the log is not trimmed.
    #[error("publishing manifest {number} failed ({cause}); nothing more can be flushed until a restart")]
    Unpublished {
        /// The manifest's number.
        number: u64,
        /// What failed.
        cause: String,
    },
    /// The disk has no more room than what is kept in reserve for what makes room again; nothing was stored. Retryable: it
    /// goes on by itself when there is room.
    #[error(
        "the disk is full: {free_bytes} bytes are free and {reserve_bytes} are kept in reserve; only what removes is taken, and \
         nothing was stored"
    )]
    Full {
        /// Bytes that are free.
        free_bytes: u64,
        /// Bytes that are kept.
        reserve_bytes: u64,
    },
    /// The store is shutting down; nothing was stored. Retryable.
    #[error("shutting down")]
    Closed,
    /// Memory waits for the compactor, or too much is admitted already: the caller waited as long as it would, and nothing
    /// was stored. Retryable.
    #[error("the store takes no writes at present; nothing was stored")]
    Busy,
    /// The caller waited as long as it would for the log, and may find the write stored or not.
    #[error("the log did not answer in time; the outcome of this write is unknown")]
    Unanswered,
    /// The position is before the trim point.
    #[error("the log before frame {trim_point} has been trimmed")]
    Trimmed {
        /// First frame still kept.
        trim_point: u64,
    },
}

impl Error {
    /// Names the operation and path of an I/O failure.
    pub fn io(operation: &'static str, path: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
        let path = path.into();
        move |source| Error::Io { operation, path, source: std::sync::Arc::new(source) }
    }
}
