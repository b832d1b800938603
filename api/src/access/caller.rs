//! Who sends a request.

use std::sync::Arc;

use hyper::http::request::Parts;

use super::{Access, AccessKey, Keys};
use crate::{
    App, Error,
    signature::{Claim, Payload, content_hash},
};

/// Who sends a request, as far as that is looked at.
pub(crate) enum Caller<'r> {
    /// Whoever asks for what is open to all.
    Anyone,
    /// Who came unsigned, because there were no keys.
    Unsigned(&'r Keys),
    /// Who says to have signed.
    Signed(Signed<'r>),
}

/// A request that says that it is signed.
pub(crate) struct Signed<'r> {
    head: &'r Parts,
    claim: Claim,
    key: Arc<AccessKey>,
}

impl<'r> Caller<'r> {
    /// Reads the claim of a request that must be signed, and finds its key.
    pub(crate) fn of(keys: &Keys, head: &'r Parts, now_us: u64) -> Result<Caller<'r>, Error> {
        let claim = Claim::of(head, now_us)?;
        let key = keys.get(&claim.access_key).ok_or(Error::UnknownKey)?;
        Ok(Caller::Signed(Signed { head, claim, key }))
    }

    /// Refuses a signature that is not of this request and this body, which is as it came; and, now that all of it is here,
    /// who may not ask any more: a request can take long to arrive.
    pub(crate) fn verify(&self, body: &[u8], now_us: u64) -> Result<(), Error> {
        match self {
            Caller::Anyone => Ok(()),
            Caller::Unsigned(keys) => keys.check(None),
            Caller::Signed(Signed { head, claim, key }) => {
                key.verify(claim, head, Payload::Whole(body))?;
                key.check_session(claim, now_us)?;
                key.check_good()
            }
        }
    }

    /// Is it sure before the body is here that who knows the key's secret has sent this? So it is if the headers name the
    /// body's hash, and are signed with it. Of a caller who need not sign it is not asked.
    pub(crate) fn is_sure(&self) -> bool {
        match self {
            Caller::Anyone | Caller::Unsigned(_) => true,
            Caller::Signed(Signed { head, claim, key }) => {
                content_hash(&head.headers).is_some_and(|hash| key.verify(claim, head, Payload::Hash(hash)).is_ok())
            }
        }
    }

    /// Refuses one thing that the key does not allow.
    pub(crate) fn require(&self, access: &Access) -> Result<(), Error> {
        self.key().map_or(Ok(()), |key| key.require(access))
    }

    /// Refuses an operation that the key does not allow on what `body` names.
    pub(crate) fn require_operation(&self, app: &App, operation: &str, body: &[u8]) -> Result<(), Error> {
        match self.key() {
            Some(key) if !key.allows_all() => {
                super::needs(app, key, operation, body)?.iter().try_for_each(|access| key.require(access))
            }
            _ => Ok(()),
        }
    }

    /// The key, if there is one.
    pub(crate) fn key(&self) -> Option<&Arc<AccessKey>> {
        if let Caller::Signed(Signed { key, .. }) = self { Some(key) } else { None }
    }
}
