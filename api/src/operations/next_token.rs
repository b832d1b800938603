//! Where a SELECT goes on, as an opaque token.
//!
//! A token is base64url (no padding) of:
//!
//! ```text
//! form 1: 1 byte | digest of the statement: 16 | partition: 2 | has key: 1 | length: 2, partition key | sort key
//!         | checksum: 4
//! ```
//! Numbers are big-endian; the checksum is CRC-32C of what is before it. It finds what was damaged; it is no signature, so the
//! key is checked against the statement as a starting key of a query is.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use crc_fast::CrcAlgorithm;
use item::Key;

use crate::Error;

/// Longest token, in characters.
pub(super) const TOKEN_LENGTH_MAX: usize = 32_768;

const FORM: u8 = 1;

/// Where a SELECT goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NextToken {
    /// Stands for the statement and its parameters.
    pub(super) statement: [u8; 16],
    /// The place, among the partitions that the statement names, of the one to go on in.
    pub(super) partition: u16,
    /// The key to go on after; none to begin with the partition.
    pub(super) after: Option<Key>,
}

impl NextToken {
    pub(super) fn encode(&self) -> String {
        let mut bytes = vec![FORM];
        bytes.extend(self.statement);
        bytes.extend(self.partition.to_be_bytes());
        bytes.push(u8::from(self.after.is_some()));
        if let Some(Key { partition, sort }) = &self.after {
            let length = u16::try_from(partition.len()).expect("an encoded partition key is at most twice 2048 bytes");
            bytes.extend(length.to_be_bytes());
            bytes.extend_from_slice(partition);
            bytes.extend_from_slice(sort);
        }
        bytes.extend(checksum(&bytes));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The token of that text, if it was given for `statement`.
    pub(super) fn decode(text: &str, statement: [u8; 16]) -> Result<NextToken, Error> {
        let token = Self::parse(text).ok_or_else(invalid)?;
        if token.statement != statement {
            return Err(Error::validation(
                "The provided NextToken is invalid: it was given for another statement or other parameters",
            ));
        }
        Ok(token)
    }

    fn parse(text: &str) -> Option<NextToken> {
        let bytes = Bytes::from(URL_SAFE_NO_PAD.decode(text).ok()?);
        let (body, sum) = bytes.split_last_chunk::<4>()?;
        let (form, rest) = body.split_first()?;
        let (statement, rest) = rest.split_first_chunk::<16>()?;
        let (partition, rest) = rest.split_first_chunk::<2>()?;
        let (has_key, rest) = rest.split_first()?;
        if checksum(body) != *sum || *form != FORM {
            return None;
        }
        let after = match (has_key, rest) {
            (0, []) => None,
            (1, rest) => {
                let (length, rest) = rest.split_first_chunk::<2>()?;
                let (partition, sort) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
                Some(Key { partition: bytes.slice_ref(partition), sort: bytes.slice_ref(sort) })
            }
            _ => return None,
        };
        Some(NextToken { statement: *statement, partition: u16::from_be_bytes(*partition), after })
    }
}

/// What is said of a token that is none.
pub(super) fn invalid() -> Error {
    Error::validation("The provided NextToken is invalid")
}

fn checksum(bytes: &[u8]) -> [u8; 4] {
    (crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, bytes) as u32).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::{array::uniform16, collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn a_token_is_what_was_encoded(
            statement in uniform16(any::<u8>()),
            partition: u16,
            after in proptest::option::of((vec(any::<u8>(), 0..40), vec(any::<u8>(), 0..40))),
        ) {
            let after = after.map(|(partition, sort)| Key { partition: partition.into(), sort: sort.into() });
            let token = NextToken { statement, partition, after };
            prop_assert_eq!(NextToken::decode(&token.encode(), statement), Ok(token.clone()));
            let mut other = statement;
            other[7] ^= 1;
            prop_assert!(NextToken::decode(&token.encode(), other).is_err());
        }

        #[test]
        fn no_text_hurts(text in "\\PC{0,80}", bytes in vec(any::<u8>(), 0..80)) {
            prop_assert!(NextToken::decode(&text, [0; 16]).is_err());
            prop_assert!(NextToken::decode(&URL_SAFE_NO_PAD.encode(bytes), [0; 16]).is_err());
        }
    }
}
