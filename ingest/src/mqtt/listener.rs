//! The embedded MQTT listener: accepts connections and bounds them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tls::Acceptor;
use tokio::{
    net::TcpListener,
    sync::{Semaphore, oneshot, watch},
    task::JoinSet,
};

use super::connection;
use crate::{Ingest, Limits, traffic::Traffic};

/// Bytes of readings in flight, and of large packets not yet whole, over all connections.
const BUDGET_BYTES: usize = 64 << 20;
/// After a failed accept (too many open files, most likely) we wait this long for a connection to close.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// What the connections of a listener share.
pub(super) struct Shared {
    pub(super) ingest: Ingest,
    pub(super) limits: Limits,
    pub(super) tls: Option<Acceptor>,
    pub(super) traffic: Traffic,
    /// One permit a byte of readings in flight.
    pub(super) in_flight: Arc<Semaphore>,
    /// One permit a byte of large packets that are not whole yet. A budget of its own, so that who never completes
    /// them stops nobody's small ones.
    pub(super) assembly: Arc<Semaphore>,
    pub(super) clients: Clients,
}

/// Serves MQTT 3.1.1 and 5 on `listener`, inside TLS if there is an acceptor, until `shutdown` is true; then stops reading,
/// waits for what is in flight, acknowledges it, and closes. More than `limits.connections_max` connections wait to be
/// accepted.
pub async fn serve(
    listener: TcpListener,
    ingest: Ingest,
    limits: Limits,
    tls: Option<Acceptor>,
    mut shutdown: watch::Receiver<bool>,
) {
    let budget_bytes =
        BUDGET_BYTES.max(2 * (limits.batch_bytes_max + limits.max_packet_size)).min(Semaphore::MAX_PERMITS);
    let shared = Arc::new(Shared {
        ingest,
        limits,
        tls,
        traffic: Traffic::of("mqtt"),
        in_flight: Arc::new(Semaphore::new(budget_bytes)),
        assembly: Arc::new(Semaphore::new(budget_bytes)),
        clients: Clients::default(),
    });
    let slots = Arc::new(Semaphore::new(limits.connections_max));
    let mut connections = JoinSet::new();
    let mut number = 0;
    loop {
        let accept = async {
            if slots.available_permits() == 0 {
                tracing::warn!(
                    connections_max = limits.connections_max,
                    "the MQTT listener is full, new connections wait"
                );
            }
            let slot = slots.clone().acquire_owned().await;
            (slot, listener.accept().await)
        };
        tokio::select! {
            (slot, accepted) = accept => match accepted {
                Ok((stream, peer)) => {
                    number += 1;
                    let conversation = connection::run(shared.clone(), stream, peer, number, shutdown.clone());
                    connections.spawn(async move {
                        conversation.await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "accept failed");
                    #[expect(clippy::disallowed_methods, reason = "a back-off: there is no event for a free descriptor")]
                    tokio::time::sleep(ACCEPT_BACKOFF).await;
                }
            },
            Some(ended) = connections.join_next() => report(ended),
            () = super::stopped(&mut shutdown) => break,
        }
    }
    drop(listener);
    while let Some(ended) = connections.join_next().await {
        report(ended);
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "an MQTT connection ended by a panic");
    }
}

/// Which connection speaks for which client identifier.
#[derive(Default)]
pub(super) struct Clients(Mutex<BTreeMap<Arc<str>, Owner>>);

struct Owner {
    connection: u64,
    taken_over: oneshot::Sender<()>,
}

impl Clients {
    /// `connection` speaks for `client` from now on. Another that did is told, and so is this one when its turn comes.
    pub(super) fn take_over(&self, client: Arc<str>, connection: u64) -> oneshot::Receiver<()> {
        let (taken_over, receiver) = oneshot::channel();
        let before = self.lock().insert(client, Owner { connection, taken_over });
        if let Some(owner) = before {
            // If it has just ended by itself, that is as good.
            let _ = owner.taken_over.send(());
        }
        receiver
    }

    /// `connection` has ended.
    pub(super) fn leave(&self, client: &str, connection: u64) {
        let mut clients = self.lock();
        if clients.get(client).is_some_and(|owner| owner.connection == connection) {
            clients.remove(client);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Arc<str>, Owner>> {
        // No operation under the lock leaves the map half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
