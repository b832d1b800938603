//! Who is at the other end of a connection.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use hyper::http::request::Parts;

/// The other end of a request's connection; goes with each of its requests.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    /// The address, without the port.
    pub(crate) address: Arc<str>,
    /// Has it sent a request whose signature was good?
    has_signed: Arc<AtomicBool>,
}

impl Client {
    /// Whoever is at `address`.
    pub(crate) fn at(address: &str) -> Client {
        Client { address: address.into(), has_signed: Arc::default() }
    }

    /// Who sent a request, if it came over a connection.
    pub(crate) fn of(head: &Parts) -> Option<&Client> {
        head.extensions.get()
    }

    /// Has it shown that it knows a key's secret?
    pub(crate) fn has_signed(&self) -> bool {
        self.has_signed.load(Ordering::Relaxed)
    }

    /// It has shown it now.
    pub(crate) fn signed(&self) {
        self.has_signed.store(true, Ordering::Relaxed);
    }
}
