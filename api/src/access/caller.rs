//! Who sends a request.

use std::sync::Arc;

use hyper::http::request::Parts;

use super::{Access, AccessKey, Keys};
use crate::{App, Error, signature::Claim};

/// Who sends a request, as far as that is looked at.
pub(crate) struct Caller<'r>(Option<Signed<'r>>);

/// A request that says that it is signed.
struct Signed<'r> {
    head: &'r Parts,
    claim: Claim,
    key: Arc<AccessKey>,
}

impl<'r> Caller<'r> {
    /// Anyone on this machine: there are no keys.
    pub(crate) const ANYONE: Caller<'static> = Caller(None);

    /// Reads the claim of a request that must be signed, and finds its key.
    pub(crate) fn of(keys: &Keys, head: &'r Parts, now_us: u64) -> Result<Caller<'r>, Error> {
        let claim = Claim::of(head, now_us)?;
        let key = keys.get(&claim.access_key).ok_or(Error::UnknownKey)?;
        Ok(Caller(Some(Signed { head, claim, key })))
    }

    /// Refuses a signature that is not of this request and this body, which is as it came.
    pub(crate) fn verify(&self, body: &[u8], now_us: u64) -> Result<(), Error> {
        let Some(Signed { head, claim, key }) = &self.0 else { return Ok(()) };
        key.verify(claim, head, body)?;
        key.check_session(claim, now_us)
    }

    /// Refuses one thing that the key does not allow.
    pub(crate) fn require(&self, access: &Access) -> Result<(), Error> {
        self.key().map_or(Ok(()), |key| key.require(access))
    }

    /// Refuses an operation that the key does not allow on what `body` names.
    pub(crate) fn require_operation(&self, app: &App, operation: &str, body: &[u8]) -> Result<(), Error> {
        match self.key() {
            Some(key) if !key.allows_all() => {
                super::needs(app, operation, body)?.iter().try_for_each(|access| key.require(access))
            }
            _ => Ok(()),
        }
    }

    /// The key, if there is one.
    pub(crate) fn key(&self) -> Option<&Arc<AccessKey>> {
        self.0.as_ref().map(|signed| &signed.key)
    }
}
