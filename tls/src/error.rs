//! Why a certificate cannot be used.

use std::{io, path::PathBuf};

/// Why a certificate, its key or a list of authorities cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file is no PEM file, or holds nothing of what is wanted.
    #[error("{}: there is no {wanted} in PEM form{why}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What should be in it.
        wanted: &'static str,
        /// What is wrong with what looked like it, or nothing.
        why: String,
    },
    /// The key is not that of the certificate, or of a kind that cannot be used, or the certificate is none.
    #[error("{} and {}: {source}", certificate.display(), key.display())]
    Unusable {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong.
        source: rustls::Error,
    },
    /// Nobody can be believed.
    #[error("{0}")]
    Untrusted(String),
}
