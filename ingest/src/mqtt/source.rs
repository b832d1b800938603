//! An external MQTT broker as a source: a persistent session with QoS 1, acknowledged in order after durability.
//!
//! 1. Connect with `clean_session = false` and a fixed client identifier, so that the broker keeps what we miss.
//! 2. Subscribe, every time: the broker may have lost the session.
//! 3. Collect what has arrived into a batch, hand it to ingest, acknowledge when it is durable.
//! 4. When the connection or a batch fails: wait for what ingest still has, drop the client, back off, begin again.
//!
//! Every attempt has a client of its own. What it received is acknowledged by it or not at all, because after a
//! session is lost the same packet identifier means another message; and none of the client's state can be stuck.
//! What is not acknowledged comes again, marked as a redelivery.

use std::{
    collections::{BTreeSet, VecDeque},
    fmt::Display,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use rumqttc::{
    AsyncClient, ConnAck, ConnectionError, Event, EventLoop, MqttOptions, Outgoing, Packet, Publish, QoS, SubAck,
    SubscribeFilter, SubscribeReasonCode,
};
use tokio::{sync::watch, time::timeout};

use crate::{
    Entrance, Ingest, Limits, Received, Source,
    backoff::Backoff,
    pipeline::Pipeline,
    traffic::{Connected, Traffic},
};

const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// The last acknowledgements must be sent within this time at shutdown.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(5);
/// The protocol's own limit. A broker cannot be told a smaller one in MQTT 3.1.1, and refusing a message would only bring it
/// again; what is too large for an item, ingest puts into the quarantine.
const PACKET_BYTES_MAX: usize = 268_435_455;

/// Why a connection is over.
enum End {
    /// The server stops.
    Shutdown,
    /// Another attempt is due.
    Lost { reason: &'static str, what: String },
}

/// Takes readings from the broker of `source` until `shutdown` is true; connects again for as long as that takes.
pub async fn run(source: Source, ingest: Ingest, limits: Limits, mut shutdown: watch::Receiver<bool>) {
    let traffic = Traffic::of(&source.name);
    let mut backoff = Backoff::new();
    loop {
        let conversation = Conversation::new(&source, ingest.clone(), limits, traffic.clone());
        let (end, progress) = conversation.run(&mut shutdown).await;
        match end {
            End::Shutdown => return,
            End::Lost { reason, what } => {
                traffic.error(reason);
                tracing::warn!(
                    source = source.name,
                    reason,
                    cause = what,
                    "an MQTT source was lost and will be connected again"
                );
            }
        }
        if progress {
            backoff.reset();
        }
        if !backoff.wait(&mut shutdown).await {
            return;
        }
    }
}

struct Conversation {
    name: Arc<str>,
    filters: Vec<String>,
    limits: Limits,
    traffic: Traffic,
    pipeline: Pipeline,
    client: AsyncClient,
    /// Gone when the connection is over.
    events: Pin<Box<Events>>,
    in_flight: VecDeque<InFlight>,
    in_flight_bytes: usize,
    /// Packet identifiers in flight.
    ids: BTreeSet<u16>,
    /// Packet identifiers whose acknowledgements the client has no room for yet.
    due: VecDeque<u16>,
    connected: Option<Connected>,
    /// Something was acknowledged.
    progress: bool,
}

struct InFlight {
    /// 0: QoS 0, nothing to acknowledge.
    id: u16,
    bytes: usize,
}

/// The client's event loop, waiting for its next event. It is never dropped half way: its polling is not cancel safe.
type Events = dyn Future<Output = (EventLoop, Result<Event, ConnectionError>)> + Send;

fn next(mut events: EventLoop) -> Pin<Box<Events>> {
    Box::pin(async move {
        let event = events.poll().await;
        (events, event)
    })
}

impl Conversation {
    fn new(source: &Source, ingest: Ingest, limits: Limits, traffic: Traffic) -> Conversation {
        // Room for the acknowledgements of all that may be in flight, and for our requests.
        let requests_max = 2 * usize::from(limits.inflight_max) + 16;
        let (client, events) = AsyncClient::new(options(source), requests_max);
        let filters = if source.topics.is_empty() { vec!["#".to_owned()] } else { source.topics.clone() };
        Conversation {
            name: source.name.as_str().into(),
            filters,
            limits,
            pipeline: Pipeline::new(ingest, traffic.clone(), limits.batch_readings_max),
            traffic,
            client,
            events: next(events),
            in_flight: VecDeque::new(),
            in_flight_bytes: 0,
            ids: BTreeSet::new(),
            due: VecDeque::new(),
            connected: None,
            progress: false,
        }
    }

    /// Why it ended, and whether there was any progress.
    async fn run(mut self, shutdown: &mut watch::Receiver<bool>) -> (End, bool) {
        let end = self.converse(shutdown).await;
        let mut durable = 0;
        let drained = self.pipeline.drain(|readings| durable += readings).await;
        if matches!(end, End::Shutdown) {
            match drained {
                Ok(()) => {
                    self.acknowledge(durable);
                    // What is not acknowledged comes again.
                    let _ = timeout(GOODBYE_TIMEOUT, self.goodbye()).await;
                }
                Err(error) => {
                    tracing::error!(source = &*self.name, %error, "readings were not stored and are not acknowledged");
                }
            }
        }
        (end, self.progress)
    }

    async fn converse(&mut self, shutdown: &mut watch::Receiver<bool>) -> End {
        loop {
            self.send_due();
            // While a batch can be handed over, take only what has arrived already.
            let listens =
                !self.is_full() && (self.pipeline.pending.len() < self.batch_max() || !self.pipeline.has_room());
            tokio::select! {
                biased;
                () = super::stopped(shutdown) => return End::Shutdown,
                durable = self.pipeline.durable() => match durable {
                    Ok(readings) => self.acknowledge(readings),
                    Err(error) => return lost("unavailable", format!("readings were not stored: {error}")),
                },
                (events, event) = &mut self.events, if listens => {
                    self.events = next(events);
                    match event {
                        Ok(Event::Incoming(packet)) => if let Err(end) = self.handle(packet) {
                            return end;
                        },
                        Ok(Event::Outgoing(_)) => {}
                        Err(error) => return lost("connection", error),
                    }
                }
                () = std::future::ready(()), if self.pipeline.can_submit() => self.pipeline.submit(),
            }
        }
    }

    fn handle(&mut self, packet: Packet) -> Result<(), End> {
        match packet {
            Packet::ConnAck(ConnAck { session_present, .. }) => {
                self.connected = Some(self.traffic.connected());
                tracing::info!(source = &*self.name, session_present, "MQTT source connected");
                let filters = self.filters.iter().map(|filter| SubscribeFilter::new(filter.clone(), QoS::AtLeastOnce));
                self.client
                    .try_subscribe_many(filters)
                    .map_err(|error| lost("subscription", format!("cannot subscribe: {error}")))
            }
            Packet::SubAck(suback) => self.subscribed(&suback),
            Packet::Publish(publish) => self.publish(publish),
            Packet::Disconnect => Err(lost("connection", "the broker disconnected")),
            _ => Ok(()),
        }
    }

    fn subscribed(&self, suback: &SubAck) -> Result<(), End> {
        for (filter, code) in self.filters.iter().zip(&suback.return_codes) {
            match code {
                SubscribeReasonCode::Failure => {
                    return Err(lost("subscription", format!("the broker refused the subscription of `{filter}`")));
                }
                SubscribeReasonCode::Success(QoS::AtMostOnce) => {
                    tracing::warn!(source = &*self.name, filter, "the broker grants only QoS 0: it may lose messages");
                }
                SubscribeReasonCode::Success(_) => {}
            }
        }
        Ok(())
    }

    fn publish(&mut self, publish: Publish) -> Result<(), End> {
        let Publish { dup, qos, retain, topic, pkid, payload } = publish;
        let id = match qos {
            QoS::AtMostOnce => 0,
            QoS::AtLeastOnce => pkid,
            QoS::ExactlyOnce => {
                return Err(lost("protocol", "the broker sent QoS 2 for a subscription of QoS 1"));
            }
        };
        if id != 0 && !self.ids.insert(id) {
            // Sent again within one connection: the first delivery answers both.
            return Ok(());
        }
        let bytes = topic.len() + payload.len();
        self.in_flight.push_back(InFlight { id, bytes });
        self.in_flight_bytes += bytes;
        self.pipeline.pending.push(Received {
            entrance: Entrance::MqttSource(self.name.clone()),
            client: self.name.clone(),
            topic: topic.into(),
            payload,
            retain,
            redelivered: dup,
            stored: None,
        });
        Ok(())
    }

    /// The oldest `readings` in flight are durable.
    fn acknowledge(&mut self, readings: usize) {
        self.progress = true;
        for InFlight { id, bytes } in self.in_flight.drain(..readings) {
            self.in_flight_bytes -= bytes;
            if id != 0 {
                self.ids.remove(&id);
                self.due.push_back(id);
            }
        }
        self.send_due();
    }

    fn send_due(&mut self) {
        while let Some(&id) = self.due.front() {
            let mut publish = Publish::new("", QoS::AtLeastOnce, Vec::new());
            publish.pkid = id;
            if self.client.try_ack(&publish).is_err() {
                break;
            }
            self.due.pop_front();
            self.traffic.acknowledgements.increment(1);
        }
    }

    /// Sends what is due and a DISCONNECT, which leaves the session with the broker.
    async fn goodbye(&mut self) {
        let mut asked = false;
        loop {
            self.send_due();
            asked = asked || (self.due.is_empty() && self.client.try_disconnect().is_ok());
            let (events, event) = (&mut self.events).await;
            self.events = next(events);
            if matches!(event, Err(_) | Ok(Event::Outgoing(Outgoing::Disconnect))) {
                return;
            }
        }
    }

    fn is_full(&self) -> bool {
        self.in_flight.len() >= usize::from(self.limits.inflight_max)
            || self.in_flight_bytes >= self.limits.batch_bytes_max
    }

    /// Half of what may be in flight, so that one batch can fill while another is synced.
    fn batch_max(&self) -> usize {
        usize::from(self.limits.inflight_max).div_ceil(2)
    }
}

fn lost(reason: &'static str, what: impl Display) -> End {
    End::Lost { reason, what: what.to_string() }
}

fn options(source: &Source) -> MqttOptions {
    let client_id = source.client_id.clone().filter(|id| !id.is_empty());
    let client_id = client_id.unwrap_or_else(|| format!("thalweg-{}", source.name));
    let host = source.url.host_str().unwrap_or("localhost");
    let mut options = MqttOptions::new(client_id, host, source.url.port().unwrap_or(1883));
    options.set_clean_session(false);
    options.set_manual_acks(true);
    options.set_keep_alive(KEEP_ALIVE);
    options.set_max_packet_size(PACKET_BYTES_MAX, PACKET_BYTES_MAX);
    if let Some(username) = &source.username {
        let password = source.password.as_ref().map_or("", |secret| &secret.0);
        options.set_credentials(username, password);
    }
    options
}
