//! The certificate that connections are shown.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use rustls::{
    crypto::ring,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use crate::{Error, pem};

/// Where a certificate lies, in two PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The certificate, followed by those between it and an authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// The certificate that connections are shown until another one is read.
#[derive(Clone, Debug)]
pub struct Certificate(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    files: Files,
    shown: RwLock<Arc<CertifiedKey>>,
    /// Held while it is read again, so that the newest read wins.
    change: Mutex<()>,
}

impl Certificate {
    /// Reads a certificate and its key. Blocks on the files.
    pub fn read(files: Files) -> Result<Certificate, Error> {
        let shown = RwLock::new(load(&files)?);
        Ok(Certificate(Arc::new(Inner { files, shown, change: Mutex::default() })))
    }

    /// Reads the files again: from now on new connections are shown what they hold. Answers whether that is another
    /// certificate. If they hold nothing that can be used the old one stays, and the error says why. Blocks on the files.
    pub fn reload(&self) -> Result<bool, Error> {
        let _alone = self.0.change.lock().unwrap_or_else(PoisonError::into_inner);
        let read = load(&self.0.files)?;
        let mut shown = self.0.shown.write().unwrap_or_else(PoisonError::into_inner);
        let is_another = shown.cert != read.cert;
        *shown = read;
        Ok(is_another)
    }

    /// Where it lies.
    pub fn files(&self) -> &Files {
        &self.0.files
    }

    pub(crate) fn resolver(&self) -> Arc<dyn ResolvesServerCert> {
        Arc::clone(&self.0) as Arc<dyn ResolvesServerCert>
    }
}

impl ResolvesServerCert for Inner {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.shown.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// What the files hold, if the key is that of the certificate.
fn load(files: &Files) -> Result<Arc<CertifiedKey>, Error> {
    let (chain, key) = (pem::certificates(&files.certificate)?, pem::private_key(&files.key)?);
    CertifiedKey::from_der(chain, key, &ring::default_provider()).map(Arc::new).map_err(|source| Error::Unusable {
        certificate: files.certificate.clone(),
        key: files.key.clone(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn told(certificate: &str, key: &str) -> String {
        let directory = tempfile::tempdir().unwrap();
        let files = Files { certificate: directory.path().join("c.pem"), key: directory.path().join("k.pem") };
        fs::write(&files.certificate, certificate).unwrap();
        fs::write(&files.key, key).unwrap();
        Certificate::read(files).unwrap_err().to_string()
    }

    #[test]
    fn what_cannot_be_used_is_told_with_its_file() {
        const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        const KEY: &str = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        const LOCKED: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        for (certificate, key, expected) in [
            ("", KEY, ["c.pem", "no certificate"]),
            (KEY, KEY, ["c.pem", "no certificate"]),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n", KEY, ["c.pem", "no certificate"]),
            (CERTIFICATE, "", ["k.pem", "no private key"]),
            (CERTIFICATE, LOCKED, ["k.pem", "without a password"]),
            (CERTIFICATE, KEY, ["c.pem", "k.pem"]),
        ] {
            let told = told(certificate, key);
            assert!(expected.iter().all(|part| told.contains(part)), "{told}");
        }
        let files = Files { certificate: "/nowhere/c.pem".into(), key: "/nowhere/k.pem".into() };
        let told = Certificate::read(files).unwrap_err().to_string();
        assert!(told.contains("/nowhere/c.pem"), "{told}");
    }
}
