//! NATS JetStream as a source: a durable pull consumer with explicit acknowledgements, given after durability.
//!
//! 1. Connect, find the stream, make or update the durable consumer. The stream must exist.
//! 2. Collect what has arrived into a batch, hand it to ingest, acknowledge each message when it is durable.
//! 3. While a batch takes long, tell the server that work is in progress, or it would deliver again.
//! 4. When the consumer or a batch fails: wait for what ingest still has, drop the client, back off, begin again.
//!
//! A message's stored time and stream sequence travel with it. They are the same at every delivery, so a redelivery of a
//! reading without a time of its own is the same key. The topic of a reading is the subject, verbatim.
//!
//! JetStream acknowledges to its publishers before it syncs, unless it is configured otherwise (`sync_interval: always`, since
//! version 2.10): what it loses in a power cut never reaches us.

use std::{collections::VecDeque, fmt::Display, sync::Arc, time::Duration};

use async_nats::{
    Client, ConnectOptions, ServerAddr,
    jetstream::{
        self, AckKind,
        consumer::{
            AckPolicy, DeliverPolicy,
            pull::{self, MessagesErrorKind},
        },
        message::Acker,
    },
};
use futures::StreamExt;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval, timeout},
};

use crate::{
    Entrance, Ingest, Limits, Received, Source, StoredTime, backoff::Backoff, pipeline::Pipeline, traffic::Traffic,
};

/// What is not acknowledged in this time is delivered again. Short, because what a killed process had fetched waits for it.
const ACK_WAIT: Duration = Duration::from_secs(10);
/// Messages fetched ahead. They are held in memory, each up to the server's `max_payload`.
const FETCH_MAX: usize = 256;
/// The server tells this often that an idle request is alive.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// After so many heartbeats missed in a row, the client is replaced.
const MISSED_MAX: u32 = 3;
/// A server that takes no acknowledgement for this long is lost.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a connection is over.
enum End {
    /// The server stops.
    Shutdown,
    /// Another attempt is due.
    Lost { reason: &'static str, what: String },
}

/// Takes readings from the stream of `source` until `shutdown` is true; connects again for as long as that takes.
pub async fn run(source: Source, ingest: Ingest, limits: Limits, mut shutdown: watch::Receiver<bool>) {
    let traffic = Traffic::of(&source.name);
    let mut backoff = Backoff::new();
    loop {
        let opened = tokio::select! {
            () = crate::mqtt::stopped(&mut shutdown) => return,
            opened = open(&source, limits) => opened,
        };
        let end = match opened {
            Ok(opened) => {
                let _connected = traffic.connected();
                tracing::info!(source = source.name, "NATS source connected");
                let pipeline = Pipeline::new(ingest.clone(), traffic.clone(), limits.batch_readings_max);
                let conversation = Conversation::new(&source, limits, traffic.clone(), pipeline);
                let (end, progress) = conversation.run(opened, &mut shutdown).await;
                if progress {
                    backoff.reset();
                }
                end
            }
            Err(end) => end,
        };
        match end {
            End::Shutdown => return,
            End::Lost { reason, what } => {
                traffic.error(reason);
                tracing::warn!(
                    source = source.name,
                    reason,
                    cause = what,
                    "a NATS source was lost and will be connected again"
                );
            }
        }
        if !backoff.wait(&mut shutdown).await {
            return;
        }
    }
}

/// Connects and makes the durable consumer what it must be.
async fn open(source: &Source, limits: Limits) -> Result<Opened, End> {
    let address = ServerAddr::from_url(source.url.clone()).map_err(|error| lost("connection", error))?;
    let client = options(source).connect(address).await.map_err(|error| lost("connection", error))?;
    if !client.is_server_compatible(2, 10, 0) {
        let version = client.server_info().version;
        tracing::warn!(
            source = source.name,
            version,
            "this NATS server acknowledges publishes before it syncs them and cannot be told otherwise: 2.10 or newer can"
        );
        if source.subjects.len() > 1 {
            let what = format!("several `subjects` need NATS 2.10 or newer, the server is {version}");
            return Err(lost("subscription", what));
        }
    }
    let name = source.stream.as_deref().unwrap_or_default();
    let stream = jetstream::new(client.clone()).get_stream(name).await.map_err(|error| {
        lost("subscription", format!("stream `{name}`: {error} (the stream must exist, with the subjects to consume)"))
    })?;
    let consumer =
        stream.create_consumer(consumer(source, limits)).await.map_err(|error| lost("subscription", error))?;
    let messages = consumer
        .stream()
        .max_messages_per_batch(FETCH_MAX)
        .heartbeat(HEARTBEAT)
        .messages()
        .await
        .map_err(|error| lost("subscription", error))?;
    Ok(Opened { client, messages })
}

struct Opened {
    client: Client,
    messages: pull::Stream,
}

fn options(source: &Source) -> ConnectOptions {
    let options = ConnectOptions::new().name(format!("thalweg {}", source.name));
    match (&source.username, &source.password) {
        (Some(username), password) => {
            let password = password.as_ref().map_or(String::new(), |secret| secret.0.clone());
            options.user_and_password(username.clone(), password)
        }
        (None, Some(token)) => options.token(token.0.clone()),
        (None, None) => options,
    }
}

fn consumer(source: &Source, limits: Limits) -> pull::Config {
    let mut config = pull::Config {
        durable_name: Some(source.durable.clone().unwrap_or_else(|| format!("thalweg-{}", source.name))),
        deliver_policy: DeliverPolicy::All,
        ack_policy: AckPolicy::Explicit,
        ack_wait: ACK_WAIT,
        max_deliver: -1,
        max_ack_pending: i64::from(limits.inflight_max) + 2 * FETCH_MAX as i64,
        ..pull::Config::default()
    };
    match &source.subjects[..] {
        [] => {}
        [subject] => config.filter_subject = subject.clone(),
        subjects => config.filter_subjects = subjects.to_vec(),
    }
    config
}

struct Conversation {
    name: Arc<str>,
    limits: Limits,
    traffic: Traffic,
    pipeline: Pipeline,
    in_flight: VecDeque<InFlight>,
    in_flight_bytes: usize,
    /// Something was acknowledged.
    progress: bool,
}

struct InFlight {
    acker: Acker,
    bytes: usize,
}

impl Conversation {
    fn new(source: &Source, limits: Limits, traffic: Traffic, pipeline: Pipeline) -> Conversation {
        let name = source.name.as_str().into();
        Conversation {
            name,
            limits,
            traffic,
            pipeline,
            in_flight: VecDeque::new(),
            in_flight_bytes: 0,
            progress: false,
        }
    }

    /// Why it ended, and whether there was any progress.
    async fn run(mut self, opened: Opened, shutdown: &mut watch::Receiver<bool>) -> (End, bool) {
        let Opened { client, mut messages } = opened;
        let end = self.converse(&mut messages, shutdown).await;
        let mut durable = 0;
        let drained = self.pipeline.drain(|readings| durable += readings).await;
        // Unlike MQTT's, these acknowledgements name their message for good. Whatever does not arrive comes again.
        let _ = self.acknowledge(durable).await;
        let _ = timeout(SEND_TIMEOUT, client.flush()).await;
        if let (End::Shutdown, Err(error)) = (&end, drained) {
            tracing::error!(source = &*self.name, %error, "readings were not stored and are not acknowledged");
        }
        (end, self.progress)
    }

    async fn converse(&mut self, messages: &mut pull::Stream, shutdown: &mut watch::Receiver<bool>) -> End {
        let mut progress = interval(ACK_WAIT / 3);
        progress.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut missed = 0;
        loop {
            // While a batch can be handed over, take only what has arrived already.
            let listens =
                !self.is_full() && (self.pipeline.pending.len() < self.batch_max() || !self.pipeline.has_room());
            let result = tokio::select! {
                biased;
                () = crate::mqtt::stopped(shutdown) => return End::Shutdown,
                durable = self.pipeline.durable() => match durable {
                    Ok(readings) => self.acknowledge(readings).await,
                    Err(error) => Err(lost("unavailable", format!("readings were not stored: {error}"))),
                },
                _ = progress.tick() => self.report_progress().await,
                message = messages.next(), if listens => match message {
                    Some(Ok(message)) => {
                        missed = 0;
                        self.take(message)
                    }
                    Some(Err(error)) if error.kind() == MessagesErrorKind::MissingHeartbeat && missed < MISSED_MAX => {
                        // The client may be connecting again by itself, or we have not listened for a while.
                        missed += 1;
                        Ok(())
                    }
                    Some(Err(error)) => Err(lost("connection", error)),
                    None => Err(lost("connection", "the consumer ended")),
                },
                () = std::future::ready(()), if self.pipeline.can_submit() => {
                    self.pipeline.submit();
                    Ok(())
                }
            };
            if let Err(end) = result {
                return end;
            }
        }
    }

    fn take(&mut self, message: jetstream::Message) -> Result<(), End> {
        let (stored, redelivered) = {
            let info = message.info().map_err(|error| lost("protocol", error))?;
            let time_us = info.published.unix_timestamp_nanos() / 1000;
            let time_us = u64::try_from(time_us).map_err(|error| lost("protocol", error))?;
            (StoredTime { time_us, sequence: info.stream_sequence }, info.delivered > 1)
        };
        let (message, acker) = message.split();
        let bytes = message.subject.len() + message.payload.len();
        self.in_flight.push_back(InFlight { acker, bytes });
        self.in_flight_bytes += bytes;
        self.pipeline.pending.push(Received {
            entrance: Entrance::NatsSource(self.name.clone()),
            client: self.name.clone(),
            topic: message.subject.as_str().into(),
            payload: message.payload,
            retain: false,
            redelivered,
            stored: Some(stored),
        });
        Ok(())
    }

    /// The oldest `readings` in flight are durable.
    async fn acknowledge(&mut self, readings: usize) -> Result<(), End> {
        for InFlight { acker, bytes } in self.in_flight.drain(..readings) {
            self.in_flight_bytes -= bytes;
            send(acker.ack()).await?;
            self.traffic.acknowledgements.increment(1);
            self.progress = true;
        }
        Ok(())
    }

    /// Keeps the server from delivering again what is still being stored.
    async fn report_progress(&mut self) -> Result<(), End> {
        for InFlight { acker, .. } in &self.in_flight {
            send(acker.ack_with(AckKind::Progress)).await?;
        }
        Ok(())
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

/// Hands an acknowledgement to the client, which may be without a server.
async fn send(acknowledgement: impl Future<Output = Result<(), async_nats::Error>>) -> Result<(), End> {
    match timeout(SEND_TIMEOUT, acknowledgement).await {
        Ok(sent) => sent.map_err(|error| lost("connection", error)),
        Err(_) => Err(lost("connection", "the server takes no acknowledgements")),
    }
}

fn lost(reason: &'static str, what: impl Display) -> End {
    End::Lost { reason, what: what.to_string() }
}
