//! The handshake of one entrance.

use std::{io, sync::Arc, time::Duration};

use rustls::{ServerConfig, crypto::ring};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

use crate::Certificate;

/// A connection after its handshake.
pub type Secured<S> = tokio_rustls::server::TlsStream<S>;

/// Does handshakes, each within a time, by TLS 1.2 or 1.3.
#[derive(Clone)]
pub struct Acceptor {
    tls: TlsAcceptor,
    timeout: Duration,
}

impl Acceptor {
    /// An acceptor that shows `certificate`. Of the protocols that a client offers one of `protocols` is chosen; a client
    /// that offers only others is refused, one that offers none is not, and without `protocols` nothing is chosen.
    pub fn new(certificate: &Certificate, protocols: &[&str], timeout: Duration) -> Acceptor {
        let provider = Arc::new(ring::default_provider());
        let versions = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let versions = versions.expect("ring has what TLS 1.2 and 1.3 need");
        let mut config = versions.with_no_client_auth().with_cert_resolver(certificate.resolver());
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        Acceptor { tls: TlsAcceptor::from(Arc::new(config)), timeout }
    }

    /// Secures a connection, or fails when the client does something else, or takes longer than the time that it has.
    pub async fn accept<S>(&self, stream: S) -> io::Result<Secured<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "the TLS handshake took too long");
        tokio::time::timeout(self.timeout, self.tls.accept(stream)).await.map_err(late)?
    }
}
