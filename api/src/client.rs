//! Who is at the other end of a connection.

use std::sync::Arc;

use hyper::http::request::Parts;

/// The other end of a request's connection; goes with each of its requests.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    /// The address, without the port.
    pub(crate) address: Arc<str>,
}

impl Client {
    /// Whoever is at `address`.
    pub(crate) fn at(address: &str) -> Client {
        Client { address: address.into() }
    }

    /// Who sent a request, if it came over a connection.
    pub(crate) fn of(head: &Parts) -> Option<&Client> {
        head.extensions.get()
    }
}
