//! Certificates and keys in PEM files.

use std::{fs::File, io::Read, path::Path};

use rustls::pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{self, PemObject},
};

use crate::Error;

/// No file of certificates is larger; who names another file is told so instead of waiting for its end.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// All certificates of a file, in its order; there is at least one.
pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(path)?).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(missing(path, "certificate", None)),
        Err(error) => Err(missing(path, "certificate", Some(&error))),
    }
}

/// The first private key of a file.
pub(crate) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    match PrivateKeyDer::from_pem_slice(&read(path)?) {
        Ok(key) => Ok(key),
        Err(pem::Error::NoItemsFound) => Err(missing(path, "private key without a password", None)),
        Err(error) => Err(missing(path, "private key without a password", Some(&error))),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let read = || {
        let mut bytes = Vec::new();
        File::open(path)?.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|source| Error::Read { path: path.to_owned(), source })
}

fn missing(path: &Path, wanted: &'static str, error: Option<&pem::Error>) -> Error {
    Error::Pem { path: path.to_owned(), wanted, why: error.map(|error| format!(": {error}")).unwrap_or_default() }
}
