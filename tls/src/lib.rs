//! TLS at every entrance, with `ring` as its only cryptography.
//!
//! A [`Certificate`] is what connections are shown, and can be read again while they go on; an [`Acceptor`] does the
//! handshake of one entrance; [`trusted`] is what our own commands believe. This crate must not know what is spoken inside.

mod acceptor;
mod certificate;
mod error;
mod pem;
mod trust;

pub use acceptor::{Acceptor, Secured};
pub use certificate::{Certificate, Files};
pub use error::Error;
pub use rustls::ClientConfig;
pub use trust::{failure, trusted, trusting_nobody};
