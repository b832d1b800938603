//! What can be answered instead of a result, and how it looks on the wire. Translation goes one way and is all here.

use item::{Item, ItemError, KeyError, expression::UpdateError};
use serde::Serialize;

use crate::{
    cancellation::{self, Reason},
    partiql::StatementError,
    values::{Fault, ItemOut},
};

/// Why a request got no result.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// The input breaks a rule; the text says which.
    #[error("{0}")]
    Validation(String),
    /// The body is not the JSON that the operation takes; DynamoDB says little about it.
    #[error("serialization failed")]
    Serialization(Option<String>),
    /// The target names no operation that is served.
    #[error("{0}")]
    UnknownOperation(String),
    /// A table or stream that is not there.
    #[error("{0}")]
    NotFound(String),
    /// A table that cannot be changed as asked.
    #[error("{0}")]
    InUse(String),
    /// More than a documented bound allows.
    #[error("{0}")]
    LimitExceeded(String),
    /// An exception of DynamoDB's that only a few operations have, such as those of backups, exports and imports.
    #[error("{text}")]
    Exception {
        /// Its name.
        name: &'static str,
        /// What it says.
        text: String,
    },
    /// A provisioned table, or one of its global indexes, has no units left; the client may retry later.
    #[error("{}", THROUGHPUT_EXCEEDED[usize::from(*.index)])]
    ThroughputExceeded {
        /// Is it an index that has none?
        index: bool,
    },
    /// A condition did not hold; with the item that failed it, if that was asked for.
    #[error("The conditional request failed")]
    ConditionFailed(Option<Item>),
    /// A statement inserts an item that there is.
    #[error("Duplicate primary key exists in table")]
    DuplicateItem,
    /// A transaction was not done; a reason for each of its actions.
    #[error("{}", cancellation::message(.0))]
    TransactionCancelled(Vec<Reason>),
    /// A transaction's token was used for another one.
    #[error("the client request token was used within ten minutes for a transaction with other parameters")]
    TokenReused,
    /// Records before the trim point were asked for.
    #[error("{0}")]
    Trimmed(String),
    /// An iterator that is too old.
    #[error("{0}")]
    ExpiredIterator(String),
    /// Asked from where nobody may ask.
    #[error("{0}")]
    AccessDenied(String),
    /// Keys exist, and the request is not signed.
    #[error("Request is missing Authentication Token")]
    MissingAuthentication,
    /// A signature of which something is missing, or that cannot be read.
    #[error("{0}")]
    IncompleteSignature(String),
    /// A signature that is not what the owner of the key would have made, or not now.
    #[error("{0}")]
    InvalidSignature(String),
    /// No key is called so, or its session token is another one.
    #[error("The security token included in the request is invalid.")]
    UnknownKey,
    /// A key that has ended by itself.
    #[error("The security token included in the request is expired")]
    ExpiredKey,
    /// The key does not allow it.
    #[error("{0}")]
    NotAuthorized(String),
    /// A body over the bound.
    #[error("request body is over {bytes_max} bytes")]
    BodyTooLarge {
        /// The bound, before and after inflation.
        bytes_max: usize,
    },
    /// Parsed, the request would take more memory than all requests together may.
    #[error(
        "the request would take about {bytes} bytes of memory, over the {bytes_max} that requests may: send it in parts"
    )]
    RequestTooLarge {
        /// What it would take, roughly.
        bytes: usize,
        /// The bound.
        bytes_max: usize,
    },
    /// A body that is encoded in a way that we do not know.
    #[error("{0}")]
    BodyEncoding(String),
    /// A body that did not arrive in time, or at all.
    #[error("{0}")]
    BodyIncomplete(String),
    /// Stored data or the disk failed us, or writes have stopped; the client may retry.
    #[error("{0}")]
    Internal(String),
    /// We are shutting down or full; nothing was done, the client may retry.
    #[error("{0}")]
    Unavailable(String),
    /// Too much is asked at once; nothing was done, the client may retry, and waits before it does.
    #[error("{0}")]
    Throttled(String),
}

/// What is said of a table that has no units left, and of an index.
const THROUGHPUT_EXCEEDED: [&str; 2] = [
    "The level of configured provisioned throughput for the table was exceeded. Consider increasing your provisioning level \
     with the UpdateTable API.",
    "The level of configured provisioned throughput for one or more global secondary indexes of the table was exceeded. \
     Consider increasing your provisioning level for the under-provisioned global secondary indexes with the UpdateTable API.",
];

/// Prefixes of `__type`.
const MODEL: &str = "com.amazonaws.dynamodb.v20120810#";
const VALIDATE: &str = "com.amazon.coral.validate#";
const SERVICE: &str = "com.amazon.coral.service#";
const AVAILABILITY: &str = "com.amazon.coral.availability#";

#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "__type")]
    kind: String,
    /// The service's own exceptions but those about signatures, and cancelled transactions, spell it with a capital.
    #[serde(rename = "Message", skip_serializing_if = "Option::is_none")]
    service_message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(rename = "Item", skip_serializing_if = "Option::is_none")]
    item: Option<ItemOut>,
    #[serde(rename = "CancellationReasons", skip_serializing_if = "Option::is_none")]
    reasons: Option<&'a [Reason]>,
}

impl Error {
    /// A validation error.
    pub(crate) fn validation(text: impl Into<String>) -> Error {
        Error::Validation(text.into())
    }

    /// An exception that only a few operations have.
    pub(crate) fn exception(name: &'static str, text: impl Into<String>) -> Error {
        Error::Exception { name, text: text.into() }
    }

    /// A validation error that DynamoDB introduces with its usual words.
    pub(crate) fn parameter(text: impl std::fmt::Display) -> Error {
        Error::Validation(format!("One or more parameter values were invalid: {text}"))
    }

    /// The exception's prefix, its name, and the HTTP status.
    fn kind(&self) -> (&'static str, &'static str, u16) {
        match self {
            Error::Validation(_) => (VALIDATE, "ValidationException", 400),
            Error::Serialization(_) => (SERVICE, "SerializationException", 400),
            Error::UnknownOperation(_) => (SERVICE, "UnknownOperationException", 400),
            Error::NotFound(_) => (MODEL, "ResourceNotFoundException", 400),
            Error::InUse(_) => (MODEL, "ResourceInUseException", 400),
            Error::LimitExceeded(_) => (MODEL, "LimitExceededException", 400),
            Error::Exception { name, .. } => (MODEL, name, 400),
            Error::ThroughputExceeded { .. } => (MODEL, "ProvisionedThroughputExceededException", 400),
            Error::ConditionFailed(_) => (MODEL, "ConditionalCheckFailedException", 400),
            Error::DuplicateItem => (MODEL, "DuplicateItemException", 400),
            Error::TransactionCancelled(_) => (MODEL, "TransactionCanceledException", 400),
            Error::TokenReused => (MODEL, "IdempotentParameterMismatchException", 400),
            Error::Trimmed(_) => (MODEL, "TrimmedDataAccessException", 400),
            Error::ExpiredIterator(_) => (MODEL, "ExpiredIteratorException", 400),
            Error::AccessDenied(_) => (SERVICE, "AccessDeniedException", 403),
            Error::MissingAuthentication => (SERVICE, "MissingAuthenticationTokenException", 400),
            Error::IncompleteSignature(_) => (SERVICE, "IncompleteSignatureException", 400),
            Error::InvalidSignature(_) => (SERVICE, "InvalidSignatureException", 400),
            Error::UnknownKey => (SERVICE, "UnrecognizedClientException", 400),
            Error::ExpiredKey => (SERVICE, "ExpiredTokenException", 400),
            Error::NotAuthorized(_) => (SERVICE, "AccessDeniedException", 400),
            Error::BodyTooLarge { .. } | Error::RequestTooLarge { .. } => {
                (SERVICE, "RequestEntityTooLargeException", 413)
            }
            Error::BodyEncoding(_) => (SERVICE, "UnsupportedMediaTypeException", 415),
            Error::BodyIncomplete(_) => (SERVICE, "RequestTimeoutException", 408),
            Error::Internal(_) => (MODEL, "InternalServerError", 500),
            Error::Unavailable(_) => (SERVICE, "ServiceUnavailableException", 503),
            Error::Throttled(_) => (AVAILABILITY, "ThrottlingException", 400),
        }
    }

    /// Does it say that nobody knows who asks?
    pub(crate) fn is_unauthenticated(&self) -> bool {
        matches!(
            self,
            Error::MissingAuthentication
                | Error::IncompleteSignature(_)
                | Error::InvalidSignature(_)
                | Error::UnknownKey
                | Error::ExpiredKey
        )
    }

    /// The HTTP status.
    pub(crate) fn status(&self) -> u16 {
        self.kind().2
    }

    /// The exception's name without its prefix, as metrics show it.
    pub(crate) fn name(&self) -> &'static str {
        self.kind().1
    }

    /// The body of the answer.
    pub(crate) fn body(&self) -> Vec<u8> {
        let (prefix, name, _) = self.kind();
        let text = match self {
            Error::Serialization(message) => message.clone(),
            other => Some(other.to_string()),
        };
        let reasons = match self {
            Error::TransactionCancelled(reasons) => Some(reasons.as_slice()),
            _ => None,
        };
        let has_capital = (prefix == SERVICE && !self.is_unauthenticated()) || reasons.is_some();
        let (service_message, message) = if has_capital { (text.as_deref(), None) } else { (None, text.as_deref()) };
        let item = match self {
            Error::ConditionFailed(Some(item)) => Some(ItemOut(item.clone())),
            _ => None,
        };
        let body = Body { kind: format!("{prefix}{name}"), service_message, message, item, reasons };
        serde_json::to_vec(&body).expect("texts and items are always JSON")
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Error {
        match error {
            store::Error::Closed | store::Error::Full { .. } => Error::Unavailable(error.to_string()),
            store::Error::Busy => Error::Throttled(error.to_string()),
            store::Error::Trimmed { .. } => Error::Trimmed(error.to_string()),
            _ => {
                tracing::error!(%error, "the store failed");
                Error::Internal(error.to_string())
            }
        }
    }
}

impl From<store::write::Rejection> for Error {
    fn from(rejection: store::write::Rejection) -> Error {
        use store::write::Rejection;
        match rejection {
            Rejection::TableNotFound => Error::NotFound("Requested resource not found".into()),
            Rejection::ConditionFailed { old } => Error::ConditionFailed(old),
            Rejection::Invalid(error) => error.into(),
            Rejection::Update(error) => error.into(),
        }
    }
}

impl From<streams::Error> for Error {
    fn from(error: streams::Error) -> Error {
        use streams::Error as Streams;
        match error {
            Streams::StreamNotFound { stream } => {
                Error::NotFound(format!("Requested resource not found: Stream: {stream} not found"))
            }
            Streams::ShardNotFound { shard } => {
                Error::NotFound(format!("Requested resource not found: Shard: {shard} not found"))
            }
            Streams::InvalidSequence { .. } | Streams::InvalidToken { .. } => Error::Validation(error.to_string()),
            Streams::ExpiredIterator { .. } => Error::ExpiredIterator(error.to_string()),
            Streams::Trimmed { .. } => Error::Trimmed(error.to_string()),
            Streams::Corrupt { .. } => {
                tracing::error!(%error, "a stream could not be read");
                Error::Internal(error.to_string())
            }
            Streams::Store(error) => error.into(),
        }
    }
}

impl From<ItemError> for Error {
    fn from(error: ItemError) -> Error {
        match error {
            ItemError::TooLarge { .. } => Error::validation("Item size has exceeded the maximum allowed size"),
            ItemError::TooDeep { .. } => Error::validation(
                "Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond supported limit",
            ),
            ItemError::IndexKey { index, error: KeyError::WrongType { name, expected, actual } } => {
                Error::parameter(format_args!(
                    "Type mismatch for Index Key {name} Expected: {expected} Actual: {actual} IndexName: {index}"
                ))
            }
            ItemError::IndexKey { index, error: KeyError::Empty { name, key_type } } => Error::Validation(format!(
                "One or more parameter values are not valid. A value specified for a secondary index key is not \
                 supported. The AttributeValue for a key attribute cannot contain an empty {} value. IndexName: \
                 {index}, IndexKey: {name}",
                key_type.word()
            )),
            ItemError::IndexKey { index, error: KeyError::TooLong { name, bytes, bytes_max } } => {
                Error::parameter(format_args!(
                    "Size of the index key {name} has exceeded the maximum size limit of {bytes_max} bytes: it has {bytes} \
                     bytes. IndexName: {index}"
                ))
            }
            other => Error::parameter(other),
        }
    }
}

impl From<UpdateError> for Error {
    fn from(error: UpdateError) -> Error {
        match error {
            UpdateError::WrongType | UpdateError::Mismatch | UpdateError::NoAttribute | UpdateError::NoPath => {
                Error::Validation(error.to_string())
            }
            UpdateError::Number(error) => Fault::number("", error).into(),
            UpdateError::Key { .. } => Error::parameter(error),
            UpdateError::Unfit(ItemError::TooLarge { .. }) => {
                Error::validation("Item size to update has exceeded the maximum allowed size")
            }
            UpdateError::Unfit(ItemError::IndexKey { error: KeyError::Empty { key_type, .. }, .. }) => {
                Error::Validation(format!(
                    "One or more parameter values are not valid. The update expression attempted to update a secondary \
                     index key to a value that is not supported. The AttributeValue for a key attribute cannot contain \
                     an empty {} value.",
                    key_type.word()
                ))
            }
            UpdateError::Unfit(ItemError::IndexKey { error: KeyError::WrongType { .. }, .. }) => Error::validation(
                "The update expression attempted to update the secondary index key to unsupported type",
            ),
            UpdateError::Unfit(error) => error.into(),
        }
    }
}

impl From<StatementError> for Error {
    fn from(error: StatementError) -> Error {
        Error::Validation(error.to_string())
    }
}

impl From<Fault> for Error {
    fn from(Fault(text): Fault) -> Error {
        Error::Validation(text.into_owned())
    }
}
