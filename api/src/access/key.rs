//! One access key.

use std::sync::{Mutex, PoisonError};

use hyper::http::request::Parts;
use ring::{digest, hmac};
use tokio::sync::watch;

use super::{Access, Permission};
use crate::{
    Credentials, Error,
    signature::{Claim, Payload, Scope, signing_key},
};

/// Signing keys that are remembered of each access key: some regions of two days.
const SIGNING_KEYS_MAX: usize = 8;

/// A key that may be used.
pub(crate) struct AccessKey {
    pub(crate) credentials: Credentials,
    /// When it ends by itself, in microseconds since 1970; goes with a session token.
    pub(crate) until_us: Option<u64>,
    pub(crate) permissions: Vec<Permission>,
    pub(crate) created_at_us: u64,
    /// Deriving one takes longer than all the rest; only those that have signed something are kept.
    signing_keys: Mutex<Vec<(Scope, hmac::Key)>>,
    revoked: watch::Sender<bool>,
}

impl AccessKey {
    pub(crate) fn new(
        credentials: Credentials,
        until_us: Option<u64>,
        permissions: Vec<Permission>,
        created_at_us: u64,
    ) -> AccessKey {
        let (signing_keys, revoked) = (Mutex::default(), watch::Sender::new(false));
        AccessKey { credentials, until_us, permissions, created_at_us, signing_keys, revoked }
    }

    /// Refuses another session than its own, and what is over.
    pub(super) fn check_session(&self, claim: &Claim, now_us: u64) -> Result<(), Error> {
        let given = claim.session_token.as_deref().map(digest_of);
        let wanted = self.credentials.session_token.as_deref().map(digest_of);
        if given != wanted {
            return Err(Error::UnknownKey);
        }
        match self.until_us {
            Some(until_us) if until_us <= now_us => Err(Error::ExpiredKey),
            _ => Ok(()),
        }
    }

    /// Has the owner of this key signed the request?
    pub(super) fn verify(&self, claim: &Claim, head: &Parts, payload: Payload<'_>) -> Result<(), Error> {
        let known = || self.signing_keys.lock().unwrap_or_else(PoisonError::into_inner);
        let remembered = known().iter().find(|(scope, _)| *scope == claim.scope).map(|(_, key)| key.clone());
        if let Some(key) = remembered {
            return claim.verify(head, payload, &key);
        }
        let key = signing_key(&self.credentials.secret_key, &claim.scope);
        claim.verify(head, payload, &key)?;
        let mut known = known();
        if known.len() >= SIGNING_KEYS_MAX {
            known.remove(0);
        }
        known.push((claim.scope.clone(), key));
        Ok(())
    }

    /// May its owner do all that there is?
    pub(super) fn allows_all(&self) -> bool {
        self.permissions.iter().any(Permission::is_all)
    }

    /// Refuses what it does not allow, in DynamoDB's words.
    pub(super) fn require(&self, access: &Access) -> Result<(), Error> {
        if self.permissions.iter().any(|permission| permission.allows(access)) {
            return Ok(());
        }
        let table = match &access.table {
            super::Scope::One(name) => name,
            super::Scope::Every | super::Scope::Any => "*",
        };
        Err(Error::NotAuthorized(format!(
            "User: {} is not authorized to perform: {} on resource: {}",
            format_args!("arn:aws:iam::{}:user/{}", crate::operations::ACCOUNT, self.credentials.access_key),
            access.action,
            crate::operations::table_arn(table),
        )))
    }

    pub(super) fn revoke(&self) {
        self.revoked.send_replace(true);
    }

    /// Refuses a key that was revoked.
    pub(super) fn check_good(&self) -> Result<(), Error> {
        if *self.revoked.borrow() { Err(Error::UnknownKey) } else { Ok(()) }
    }

    /// Tells when it is revoked.
    pub(crate) fn revoked(&self) -> watch::Receiver<bool> {
        self.revoked.subscribe()
    }
}

/// Equal for equal texts, and how long comparing takes tells nothing of them.
fn digest_of(text: &str) -> Vec<u8> {
    digest::digest(&digest::SHA256, text.as_bytes()).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use hyper::{Method, Request};

    use super::*;

    #[test]
    fn a_session_ends_by_itself() {
        let credentials =
            Credentials { access_key: "a".into(), secret_key: "b".into(), session_token: Some("c".into()) };
        let key = AccessKey::new(credentials.clone(), Some(2_000_000), vec![Permission::all()], 0);
        let request = Request::builder().method(Method::GET).uri("/").header("host", "h").body(()).unwrap();
        let (mut head, ()) = request.into_parts();
        credentials.sign(&head.method, &head.uri, &mut head.headers, b"", 1_000_000);
        let claim = Claim::of(&head, 1_000_000).unwrap();
        assert_eq!(key.verify(&claim, &head, Payload::Whole(b"")), Ok(()));
        assert_eq!(
            key.verify(&claim, &head, Payload::Whole(b"")),
            Ok(()),
            "with the signing key that is remembered now"
        );
        assert_eq!(key.signing_keys.lock().unwrap().len(), 1);
        assert_eq!(key.check_session(&claim, 1_999_999), Ok(()));
        assert_eq!(key.check_session(&claim, 2_000_000), Err(Error::ExpiredKey));
    }
}
