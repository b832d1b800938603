//! One connection of the listener: moves bytes between a socket, its [`Session`] and [`crate::Ingest`].
//!
//! Where there is a certificate the socket is one inside TLS, after its handshake.
//!
//! 1. Read what is there; the session decodes all of it; the readings join the next batch.
//! 2. When ingest has room for it, hand the batch over.
//! 3. When the oldest batch is durable, the session writes its PUBACKs; send what the socket takes.
//! 4. At the end: hand over the rest, wait for all, acknowledge, say why, publish the will, close.
//!
//! The socket is not read while the session is full, while the readings in flight of all connections are over their budget,
//! or while a large packet waits for its part of the other budget. So the memory of a connection is bounded by
//! its part of the budgets and one read.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch},
    time::{Instant, sleep_until, timeout},
};

use super::{
    Fault,
    listener::Shared,
    session::{Flow, Session},
};
use crate::{Error, pipeline::Pipeline};

/// A read asks for this much at first, and for twice as much whenever it got all that it asked for.
const READ_BYTES_MIN: usize = 4 << 10;
const READ_BYTES_MAX: usize = 64 << 10;
/// How long a connection that has ended waits for what it took to be stored; a full disk may keep that waiting for ever. What is
/// not acknowledged is sent again.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(60);
/// The last answers of a connection must be taken within this time.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a client that we disconnect may go on sending before the socket is closed under it. Closing at once would
/// reset the connection, and the reason with it.
const LINGER: Duration = Duration::from_secs(1);

/// Why the conversation is over.
enum End {
    /// The client's DISCONNECT.
    Goodbye,
    /// The client closed, or the network did.
    Closed,
    /// We close.
    Fault(Fault),
}

/// Waits for what a connection took to be stored, but not for ever.
async fn drain(pipeline: &mut Pipeline, durable: impl FnMut(usize)) -> Result<(), Error> {
    let given_up = |_| Err(Error::CutShort { cause: format!("not stored within {} s", DRAIN_TIMEOUT.as_secs()) });
    timeout(DRAIN_TIMEOUT, pipeline.drain(durable)).await.unwrap_or_else(given_up)
}

/// Serves the client at the other end of `stream` until it or we are done.
pub(super) async fn run(
    shared: Arc<Shared>,
    mut stream: TcpStream,
    peer: SocketAddr,
    number: u64,
    mut shutdown: watch::Receiver<bool>,
) {
    // Answers are small and awaited. A socket that refuses this is about to fail anyway.
    let _ = stream.set_nodelay(true);
    let _connected = shared.traffic.connected();
    let limits = shared.limits;
    let tls = shared.tls.clone();
    let session = Session::new(limits, format!("auto-{peer}").into(), 0);
    let claim = Claim::new(shared.in_flight.clone());
    let pipeline = Pipeline::new(shared.ingest.clone(), shared.traffic.clone(), limits.batch_readings_max);
    let connection = Connection {
        shared,
        peer,
        number,
        started: Instant::now(),
        session,
        input: BytesMut::new(),
        read_bytes: READ_BYTES_MIN,
        pipeline,
        claim,
        taken_over: None,
        told_of_subscriptions: false,
        is_secured: tls.is_some(),
        unsent: false,
    };
    let Some(tls) = tls else {
        let (reader, writer) = stream.split();
        return connection.serve(reader, writer, shutdown).await;
    };
    let secured = tokio::select! {
        secured = tls.accept(stream) => secured,
        () = super::stopped(&mut shutdown) => return,
    };
    match secured {
        Ok(stream) => {
            let (reader, writer) = tokio::io::split(stream);
            connection.serve(reader, writer, shutdown).await;
        }
        Err(error) => {
            connection.shared.traffic.error("handshake");
            tracing::debug!(%peer, %error, "a TLS handshake failed");
        }
    }
}

struct Connection {
    shared: Arc<Shared>,
    peer: SocketAddr,
    number: u64,
    /// Time in the session counts from here.
    started: Instant,
    session: Session,
    /// Bytes read and not decoded.
    input: BytesMut,
    read_bytes: usize,
    pipeline: Pipeline,
    /// This connection's part of the budget for readings in flight.
    claim: Claim,
    taken_over: Option<oneshot::Receiver<()>>,
    told_of_subscriptions: bool,
    /// What is written inside TLS may wait for the next flush.
    is_secured: bool,
    /// Something was written and not flushed.
    unsent: bool,
}

impl Connection {
    async fn serve(
        mut self,
        mut reader: impl AsyncRead + Unpin,
        mut writer: impl AsyncWrite + Unpin,
        shutdown: watch::Receiver<bool>,
    ) {
        let end = self.converse(&mut reader, &mut writer, shutdown).await;
        self.finish(end, &mut reader, &mut writer).await;
    }

    async fn converse(
        &mut self,
        reader: &mut (impl AsyncRead + Unpin),
        writer: &mut (impl AsyncWrite + Unpin),
        mut shutdown: watch::Receiver<bool>,
    ) -> End {
        let mut assembly: Option<OwnedSemaphorePermit> = None;
        loop {
            let now_us = self.now_us();
            match self.session.take(&mut self.input, &mut self.pipeline.pending, now_us) {
                Ok(Flow::Open) => {}
                Ok(Flow::Disconnected) => return End::Goodbye,
                Err(fault) => return End::Fault(fault),
            }
            self.notice();
            self.pipeline.submit();
            let missing = self.claim.missing(self.session.in_flight_bytes());
            let large = self.large_packet_bytes();
            if large == 0 {
                assembly = None;
            }
            let wants_assembly = large > 0 && assembly.is_none();
            let reads = self.session.wants_input() && missing == 0 && !wants_assembly;
            if reads {
                self.input.reserve(self.read_bytes.max(large.saturating_sub(self.input.len())));
            }
            let deadline = self.session.deadline_us().map(|us| self.started + Duration::from_micros(us));
            tokio::select! {
                biased;
                () = super::stopped(&mut shutdown) => return End::Fault(Fault::ShuttingDown),
                _ = taken_over(&mut self.taken_over) => return End::Fault(Fault::TakenOver),
                durable = self.pipeline.durable() => match durable {
                    Ok(readings) => self.acknowledge(readings),
                    Err(_) => return End::Fault(Fault::Unavailable),
                },
                sent = send(writer, self.session.output()), if self.unsent || !self.session.output().is_empty() => match sent {
                    Ok(bytes) => {
                        self.session.output().advance(bytes);
                        self.unsent = self.is_secured && bytes > 0;
                    }
                    Err(_) => return End::Closed,
                },
                read = reader.read_buf(&mut self.input), if reads => match read {
                    Ok(bytes) if bytes > 0 => self.adapt(bytes),
                    _ => return End::Closed,
                },
                permit = self.shared.in_flight.clone().acquire_many_owned(missing), if missing > 0 => {
                    self.claim.add(permit.ok());
                }
                permit = self.shared.assembly.clone().acquire_many_owned(permits(large)), if wants_assembly => {
                    assembly = permit.ok();
                }
                () = sleep_until(deadline.unwrap_or(self.started)), if deadline.is_some() => {
                    if let Err(fault) = self.session.check_time(self.now_us()) {
                        return End::Fault(fault);
                    }
                }
            }
        }
    }

    /// Stores and acknowledges what was taken, then closes.
    async fn finish(mut self, end: End, reader: &mut (impl AsyncRead + Unpin), writer: &mut (impl AsyncWrite + Unpin)) {
        self.notice();
        let Connection { shared, mut session, mut pipeline, started, peer, number, .. } = self;
        let now_us = started.elapsed().as_micros() as u64;
        let acknowledge = |readings| {
            shared.traffic.acknowledgements.increment(session.durable(readings, now_us) as u64);
        };
        let mut stored = drain(&mut pipeline, acknowledge).await;
        let client = session.client_id().cloned().unwrap_or_default();
        if let End::Fault(fault) = &end {
            session.end(fault);
            shared.traffic.error(fault.label());
            if fault.is_clients() {
                tracing::warn!(?client, peer = %peer, cause = %fault, "an MQTT connection was closed");
            } else {
                tracing::debug!(?client, peer = %peer, cause = %fault, "an MQTT connection was closed");
            }
        }
        shared.traffic.subscriptions_refused.increment(session.seen().subscriptions_refused);
        shared.clients.leave(&client, number);
        if let Some(will) = session.take_will() {
            pipeline.pending.push(will);
            stored = drain(&mut pipeline, |_| {}).await;
        }
        if let Err(error) = stored {
            tracing::error!(?client, peer = %peer, %error, "readings were not stored and are not acknowledged");
        }
        // A peer that is gone, or does not read, costs it only its last answers.
        let flush = async {
            writer.write_all_buf(session.output()).await?;
            writer.shutdown().await
        };
        let flushed = timeout(FLUSH_TIMEOUT, flush).await;
        if matches!((&end, flushed), (End::Fault(_), Ok(Ok(())))) {
            let _ = timeout(LINGER, discard(reader)).await;
        }
    }

    /// Looks at what the session has learned.
    fn notice(&mut self) {
        if self.taken_over.is_none()
            && let Some(client) = self.session.client_id()
        {
            self.taken_over = Some(self.shared.clients.take_over(client.clone(), self.number));
        }
        if !self.told_of_subscriptions && self.session.seen().subscriptions_refused > 0 {
            self.told_of_subscriptions = true;
            let client = self.session.client_id();
            tracing::warn!(?client, peer = %self.peer, "subscriptions are not served; SUBSCRIBE was answered with a failure");
        }
    }

    /// The oldest `readings` in flight are durable.
    fn acknowledge(&mut self, readings: usize) {
        let acknowledged = self.session.durable(readings, self.now_us());
        self.shared.traffic.acknowledgements.increment(acknowledged as u64);
        self.claim.shrink(self.session.in_flight_bytes());
    }

    fn adapt(&mut self, read: usize) {
        if read >= self.read_bytes {
            self.read_bytes = (2 * self.read_bytes).min(READ_BYTES_MAX);
        }
    }

    /// The length of the packet at the head of the input if it is a large one that is not whole, else 0.
    fn large_packet_bytes(&self) -> usize {
        match self.session.expects(&self.input) {
            Some(bytes) if bytes > READ_BYTES_MAX && bytes > self.input.len() => bytes,
            _ => 0,
        }
    }

    fn now_us(&self) -> u64 {
        self.started.elapsed().as_micros() as u64
    }
}

/// Writes some of `output`, or when all is written lets it leave; answers how much was written.
async fn send(writer: &mut (impl AsyncWrite + Unpin), output: &[u8]) -> io::Result<usize> {
    if output.is_empty() {
        return writer.flush().await.map(|()| 0);
    }
    match writer.write(output).await? {
        0 => Err(io::ErrorKind::WriteZero.into()),
        bytes => Ok(bytes),
    }
}

async fn taken_over(by: &mut Option<oneshot::Receiver<()>>) {
    match by {
        // An error means that this connection's own entry is gone, which happens only when it has ended.
        Some(by) => {
            let _ = by.await;
        }
        None => std::future::pending().await,
    }
}

async fn discard(reader: &mut (impl AsyncRead + Unpin)) {
    let mut scratch = [0; 4096];
    while reader.read(&mut scratch).await.is_ok_and(|bytes| bytes > 0) {}
}

/// Permits for bytes of a budget, given back as what they stand for goes.
struct Claim(OwnedSemaphorePermit);

impl Claim {
    fn new(budget: Arc<Semaphore>) -> Claim {
        let none =
            budget.try_acquire_many_owned(0).expect("none is always available of a semaphore that nobody closes");
        Claim(none)
    }

    /// How many more are needed for `bytes`, as far as they can be had without waiting none.
    fn missing(&mut self, bytes: usize) -> u32 {
        let missing = permits(bytes.saturating_sub(self.0.num_permits()));
        if missing > 0
            && let Ok(more) = self.0.semaphore().clone().try_acquire_many_owned(missing)
        {
            self.0.merge(more);
            return 0;
        }
        missing
    }

    fn add(&mut self, more: Option<OwnedSemaphorePermit>) {
        if let Some(more) = more {
            self.0.merge(more);
        }
    }

    fn shrink(&mut self, bytes: usize) {
        drop(self.0.split(self.0.num_permits().saturating_sub(bytes)));
    }
}

fn permits(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_claim_follows_what_is_in_flight() {
        let budget = Arc::new(Semaphore::new(100));
        let (mut one, mut other) = (Claim::new(budget.clone()), Claim::new(budget.clone()));
        assert_eq!(one.missing(70), 0);
        assert_eq!(one.missing(50), 0);
        assert_eq!(other.missing(40), 40);
        one.shrink(60);
        assert_eq!(other.missing(40), 0);
        assert_eq!(budget.available_permits(), 0);

        // Who waits gets what another gives back, and drops nothing by asking again.
        assert_eq!(other.missing(50), 10);
        let waiting = budget.clone().acquire_many_owned(10);
        one.shrink(0);
        other.add(waiting.await.ok());
        assert_eq!(other.missing(50), 0);
        assert_eq!(budget.available_permits(), 50);
        drop(other);
        assert_eq!(budget.available_permits(), 100);
    }
}
