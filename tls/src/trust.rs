//! Whom our own commands believe.

use std::{path::Path, sync::Arc};

use rustls::{ClientConfig, RootCertStore, crypto::ring};

use crate::{Error, pem};

/// A client's settings that believe the authorities in the PEM file `authorities`, or else those of the system. Blocks
/// on the files.
pub fn trusted(authorities: Option<&Path>) -> Result<ClientConfig, Error> {
    let mut roots = RootCertStore::empty();
    match authorities {
        Some(path) => {
            for certificate in pem::certificates(path)? {
                let added = roots.add(certificate);
                added.map_err(|error| Error::Untrusted(format!("{}: {error}", path.display())))?;
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            if roots.add_parsable_certificates(found.certs).0 == 0 {
                let why = found.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
                return Err(Error::Untrusted(format!("this system names no certificate authorities{why}")));
            }
        }
    }
    Ok(trusting(roots))
}

/// A client's settings that believe nobody, for who will not ask anybody inside TLS.
pub fn trusting_nobody() -> ClientConfig {
    trusting(RootCertStore::empty())
}

/// What went wrong inside TLS, if that is why something failed.
pub fn failure<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e rustls::Error> {
    let inner = |error: &'e (dyn std::error::Error + 'static)| {
        let inner = error.downcast_ref::<std::io::Error>()?.get_ref()?;
        inner.downcast_ref::<rustls::Error>().or_else(|| failure(inner))
    };
    std::iter::successors(Some(error), |error| error.source()).find_map(inner)
}

fn trusting(roots: RootCertStore) -> ClientConfig {
    let versions =
        ClientConfig::builder_with_provider(Arc::new(ring::default_provider())).with_safe_default_protocol_versions();
    let versions = versions.expect("ring has what TLS 1.2 and 1.3 need");
    versions.with_root_certificates(roots).with_no_client_auth()
}
