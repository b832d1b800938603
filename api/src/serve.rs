//! The accept loop: bounded connections, bounded waiting, and an end that lets requests under way finish.

use std::{convert::Infallible, io, pin::pin, sync::Arc, time::Duration};

use hyper::{
    Request, Response, StatusCode,
    body::{Body, Incoming},
    header::{self, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tls::Acceptor;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::Instant,
};

use crate::{
    App, Config, Service,
    client::Client,
    metrics,
    socket::{Deadline, Socket},
    wire::{self, Payload},
};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A connection buffers this much of what it reads; a request's head must fit.
const BUFFER_BYTES_MAX: usize = 128 << 10;
/// How long to leave the listener alone after it failed, for example for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `app` on `listener`, inside TLS if it has a certificate, until `shutdown` turns true (or its sender is gone); then takes no more connections,
/// lets requests under way end within [`Config::drain_timeout`](crate::Config::drain_timeout), and returns.
pub async fn serve(listener: TcpListener, app: App, mut shutdown: watch::Receiver<bool>) {
    let config = app.config;
    let tls = app.certificate.as_ref().map(|shown| Acceptor::new(shown, &["http/1.1"], config.handshake_timeout));
    let service = Arc::new(Service::new(app, shutdown.clone()));
    let places = Arc::new(Semaphore::new(config.connections_max));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            () = stopped(&mut shutdown) => break,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, place)) => _ = connections.spawn(connection(stream, place, Arc::clone(&service), tls.clone())),
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection");
                pause().await;
            }
        }
    }
    drop(listener);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(config.drain_timeout, drained).await.is_err() {
        tracing::warn!(left = connections.len(), "requests were still under way when the server stopped");
        connections.shutdown().await;
    }
}

/// Ends when the server is to stop.
async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    // An error means that nobody is left who could say so: the same.
    let _stop = shutdown.wait_for(|stop| *stop).await.is_ok();
}

/// The next connection, once there is a place for it.
async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}

/// Serves one connection to its end, or to the end of its request when the server stops.
async fn connection(stream: TcpStream, _place: OwnedSemaphorePermit, service: Arc<Service>, tls: Option<Acceptor>) {
    let config = service.app.config;
    let mut shutdown = service.shutdown.clone();
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "could not turn off delays");
    }
    ::metrics::gauge!(metrics::CONNECTIONS).increment(1);
    let client = stream.peer_addr().map_or_else(|_| "unknown".to_owned(), |address| address.ip().to_string());
    let client = Client::at(&client);
    let mut conversation = Conversation { service, client, deadline: Deadline::default(), is_plain: false };
    let served = async {
        let Some(tls) = tls else {
            let socket = Socket::new(stream, config.write_timeout, conversation.deadline.clone());
            return conversation.serve(socket).await;
        };
        conversation.is_plain = tokio::select! {
            begun = tokio::time::timeout(config.handshake_timeout, speaks_http(&stream)) => begun?,
            () = stopped(&mut shutdown) => return Ok(()),
        };
        let socket = Socket::new(stream, config.write_timeout, conversation.deadline.clone());
        if conversation.is_plain {
            return conversation.serve(socket).await;
        }
        let secured = tokio::select! {
            secured = tls.accept(socket) => secured?,
            () = stopped(&mut shutdown) => return Ok(()),
        };
        conversation.serve(secured).await
    };
    if let Err(error) = served.await {
        tracing::debug!(%error, "a connection ended early");
    }
    ::metrics::gauge!(metrics::CONNECTIONS).decrement(1);
}

/// Does the client begin as HTTP does, with the letters of a method? TLS begins with 22.
async fn speaks_http(stream: &TcpStream) -> bool {
    let mut first = [0];
    matches!(stream.peek(&mut first).await, Ok(1)) && first[0].is_ascii_alphabetic()
}

/// What one client asks, and is answered.
struct Conversation {
    service: Arc<Service>,
    client: Client,
    /// When it must have taken its present answer.
    deadline: Deadline,
    /// It is not inside TLS where it should be.
    is_plain: bool,
}

impl Conversation {
    /// Serves the client on `stream`.
    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<(), BoxError> {
        let mut shutdown = self.service.shutdown.clone();
        let config = self.service.app.config;
        let handler =
            service_fn(|request: Request<Incoming>| async { Ok::<_, Infallible>(self.answer(request).await) });
        let mut connection = pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(config.head_timeout)
                .max_buf_size(BUFFER_BYTES_MAX)
                .serve_connection(TokioIo::new(stream), handler)
        );
        tokio::select! {
            result = connection.as_mut() => result?,
            () = stopped(&mut shutdown) => {
                connection.as_mut().graceful_shutdown();
                connection.await?;
            }
        }
        Ok(())
    }

    async fn answer(&self, mut request: Request<Incoming>) -> Response<Payload> {
        if self.is_plain {
            return tls_wanted();
        }
        request.extensions_mut().insert(self.client.clone());
        let response = self.service.handle(request).await;
        // An answer begins when the one before it is sent.
        let allowed = response.body().size_hint().exact().map(|bytes| allowed(&self.service.app.config, bytes));
        self.deadline.set(allowed.map(|allowed| Instant::now() + allowed));
        response
    }
}

/// What is said to who speaks HTTP where TLS is spoken.
fn tls_wanted() -> Response<Payload> {
    let mut response =
        wire::refusal(StatusCode::BAD_REQUEST, "this address speaks TLS: ask by https:// instead of http://");
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// How long a client may take over an answer of `bytes`.
fn allowed(config: &Config, bytes: u64) -> Duration {
    config.write_timeout + Duration::from_secs(bytes / u64::from(config.answer_bytes_per_s_min.max(1)))
}

#[expect(clippy::disallowed_methods, reason = "a back-off: nothing tells when file descriptors are free again")]
async fn pause() {
    tokio::time::sleep(ACCEPT_PAUSE).await;
}
