//! Why a stream could not be read.

use item::CodecError;
use store::log::FrameNumber;

/// A refusal or failure of a stream operation.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// There is no such stream, or it ended so long ago that nothing tells of it.
    #[error("there is no stream {stream}")]
    StreamNotFound {
        /// What was asked for.
        stream: String,
    },
    /// The stream has no such shard.
    #[error("the stream has no shard {shard}")]
    ShardNotFound {
        /// What was asked for.
        shard: String,
    },
    /// The shard has not got so far, or this is not a sequence number at all.
    #[error("{sequence} is not a sequence number of the shard")]
    InvalidSequence {
        /// What was asked for.
        sequence: String,
    },
    /// The token is not one of ours, or was changed.
    #[error("the token is malformed: {what}")]
    InvalidToken {
        /// What was expected.
        what: &'static str,
    },
    /// The iterator is older than 15 minutes. Retryable with a new one.
    #[error("the iterator expired: it was issued {age_us} microseconds ago")]
    ExpiredIterator {
        /// Its age.
        age_us: u64,
    },
    /// What was asked for is no longer kept.
    #[error("the stream is trimmed there: it is kept from frame {trim_point} on")]
    Trimmed {
        /// The first frame that is kept.
        trim_point: u64,
    },
    /// A stored event is not what was written.
    #[error("frame {} holds no proper event: {source}", frame.0)]
    Corrupt {
        /// The frame.
        frame: FrameNumber,
        /// What is wrong.
        source: CodecError,
    },
    /// The log could not be read, or the store is closing.
    #[error(transparent)]
    Store(store::Error),
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Error {
        match error {
            store::Error::Trimmed { trim_point } => Error::Trimmed { trim_point },
            other => Error::Store(other),
        }
    }
}
