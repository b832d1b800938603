//! The server's side of one MQTT connection, without the connection: bytes in, readings and answer bytes out.
//!
//! Time is an argument. A reading stays *in flight* from [`Session::take`] until [`Session::durable`] says that it is on
//! stable storage; only then its PUBACK is written, in the order of the publishes. When too much is in flight, or too
//! much of the answers is not sent yet, the session takes nothing more, so the socket is not read: MQTT 3.1.1 has
//! no other way to slow a client down.
//!
//! A session ends with its connection: nothing is kept for a client that is away (session present is always 0, Session
//! Expiry Interval 0 is announced), because a client gets no subscriptions, and what it published is either durable or will be
//! sent again. For the same reason a will's delay never runs: the will is due when its connection ends.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use bytes::{Bytes, BytesMut};

use super::{
    Fault,
    answer::{self, Announced},
    codec::{self, Connect, Packet, Publish, Version, Will},
};
use crate::{Entrance, Limits, Received};

/// A CONNECT must come within this time.
const CONNECT_TIMEOUT_US: u64 = 10_000_000;
/// Longer client identifiers are refused. They are kept with what a client sent.
const CLIENT_ID_BYTES_MAX: usize = 1024;
/// With more answer bytes than this unsent, nothing more is taken.
const OUTPUT_BYTES_MAX: usize = 64 << 10;
/// What a reading costs us besides its payload and topic: counted, so that empty ones are bounded too.
const READING_OVERHEAD_BYTES: usize = 128;

/// What [`Session::take`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// It took what it could.
    Open,
    /// The client said goodbye; what follows its DISCONNECT is not looked at.
    Disconnected,
}

/// Counts of what a session saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Topic filters whose subscription was refused.
    pub subscriptions_refused: u64,
    /// Redeliveries dropped because the first delivery is still in flight; it answers both.
    pub duplicates: u64,
}

/// The server's side of one connection.
pub struct Session {
    limits: Limits,
    /// Used if the client brings no identifier.
    assigned_id: Arc<str>,
    /// None until CONNECT.
    client: Option<Client>,
    in_flight: VecDeque<InFlight>,
    /// Packet identifiers in flight.
    ids: BTreeSet<u16>,
    in_flight_bytes: usize,
    /// Answers to be sent.
    output: BytesMut,
    /// When the last packet came, or the session began, or it began again to take input.
    heard_us: u64,
    ended: bool,
    seen: Seen,
    /// The topic of the last publish: a device repeats itself.
    topic: Arc<str>,
}

/// What CONNECT told.
struct Client {
    version: Version,
    id: Arc<str>,
    keep_alive_us: u64,
    session_expiry_s: u32,
    packet_bytes_max: usize,
    will: Option<Will>,
}

struct InFlight {
    /// 0: QoS 0, nothing to acknowledge.
    id: u16,
    bytes: usize,
}

impl Session {
    /// A session that waits for CONNECT, since `now_us`.
    pub fn new(limits: Limits, assigned_id: Arc<str>, now_us: u64) -> Session {
        Session {
            limits,
            assigned_id,
            client: None,
            in_flight: VecDeque::new(),
            ids: BTreeSet::new(),
            in_flight_bytes: 0,
            output: BytesMut::new(),
            heard_us: now_us,
            ended: false,
            seen: Seen::default(),
            topic: Arc::from(""),
        }
    }

    /// Takes whole packets off the head of `input` and appends the readings among them to `readings`, until no packet is
    /// whole or the session is full ([`Session::wants_input`]). After a fault, [`Session::end`] is due; the readings before
    /// it are good.
    pub fn take(&mut self, input: &mut BytesMut, readings: &mut Vec<Received>, now_us: u64) -> Result<Flow, Fault> {
        while self.wants_input() {
            let version = self.client.as_ref().map(|client| client.version);
            let Some(frame) = codec::frame(input, version, self.limits.max_packet_size)? else { break };
            if input.len() < frame.total {
                break;
            }
            let packet = codec::decode(input.split_to(frame.total).freeze(), frame, version)?;
            self.heard_us = now_us;
            if self.handle(packet, readings)? == Flow::Disconnected {
                self.ended = true;
                return Ok(Flow::Disconnected);
            }
        }
        Ok(Flow::Open)
    }

    /// The oldest `readings` in flight are durable: writes their PUBACKs. Answers how many those are.
    pub fn durable(&mut self, readings: usize, now_us: u64) -> usize {
        let was_full = self.is_full();
        let mut acknowledged = 0;
        for InFlight { id, bytes } in self.in_flight.drain(..readings) {
            self.in_flight_bytes -= bytes;
            if id != 0 {
                self.ids.remove(&id);
                answer::puback(&mut self.output, id);
                acknowledged += 1;
            }
        }
        if was_full && !self.is_full() {
            // The client may have spoken while we did not listen.
            self.heard_us = now_us;
        }
        acknowledged
    }

    /// Ends the session for `fault`: tells the client, as far as its protocol can.
    pub fn end(&mut self, fault: &Fault) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        match self.version() {
            Some(Version::V5) => answer::disconnect_with(&mut self.output, fault),
            Some(Version::V4) => {}
            None if matches!(fault, Fault::Version(_)) => answer::refuse(&mut self.output, Version::V4, fault),
            None => {}
        }
    }

    /// The client's last will, once, if the connection has ended in another way than it wished.
    pub fn take_will(&mut self) -> Option<Received> {
        let client = self.client.as_mut()?;
        let will = client.will.take()?;
        let topic = text(&will.topic);
        Some(received(&client.id, topic, will.payload, will.retain, false))
    }

    /// Whether more input can be taken now.
    pub fn wants_input(&self) -> bool {
        !self.ended && !self.is_full() && self.output.len() < OUTPUT_BYTES_MAX
    }

    /// How many bytes the packet at the head of `input` has, when that is known.
    pub fn expects(&self, input: &[u8]) -> Option<usize> {
        codec::frame(input, self.version(), self.limits.max_packet_size).ok().flatten().map(|frame| frame.total)
    }

    /// When [`Session::check_time`] fails unless a packet comes before; none while nothing is expected of the client.
    pub fn deadline_us(&self) -> Option<u64> {
        match &self.client {
            None => Some(self.heard_us + CONNECT_TIMEOUT_US),
            Some(client) if client.keep_alive_us == 0 || self.is_full() || self.ended => None,
            Some(client) => Some(self.heard_us + client.keep_alive_us * 3 / 2),
        }
    }

    /// Fails if the client has been silent for too long.
    pub fn check_time(&self, now_us: u64) -> Result<(), Fault> {
        match self.deadline_us() {
            Some(deadline_us) if deadline_us <= now_us => {
                Err(if self.client.is_some() { Fault::KeepAlive } else { Fault::ConnectTimeout })
            }
            _ => Ok(()),
        }
    }

    /// Answer bytes to be sent; whoever sends them takes them off the head.
    pub fn output(&mut self) -> &mut BytesMut {
        &mut self.output
    }

    /// The client's identifier, once it is connected.
    pub fn client_id(&self) -> Option<&Arc<str>> {
        self.client.as_ref().map(|client| &client.id)
    }

    /// What it has seen.
    pub fn seen(&self) -> Seen {
        self.seen
    }

    /// Payload, topics and overhead of the readings in flight.
    pub fn in_flight_bytes(&self) -> usize {
        self.in_flight_bytes
    }

    /// Readings in flight.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    fn version(&self) -> Option<Version> {
        self.client.as_ref().map(|client| client.version)
    }

    /// One more than MQTT 5's Receive Maximum is let in, so that its excess is seen and not only waited out.
    fn is_full(&self) -> bool {
        self.in_flight.len() > usize::from(self.limits.inflight_max)
            || self.in_flight_bytes >= self.limits.batch_bytes_max
    }

    fn handle(&mut self, packet: Packet, readings: &mut Vec<Received>) -> Result<Flow, Fault> {
        if let Packet::Connect(connect) = packet {
            return self.connect(connect);
        }
        let Some(client) = &mut self.client else { return Err(Fault::Protocol("the first packet is not CONNECT")) };
        let sent = self.output.len();
        match packet {
            // The codec lets only the first packet be one.
            Packet::Connect(_) => return Err(Fault::Protocol("a second CONNECT")),
            Packet::Publish(publish) => return self.publish(publish, readings),
            Packet::Subscribe { id, filters } => {
                self.seen.subscriptions_refused += filters as u64;
                let code = if client.version == Version::V5 { 0x83 } else { 0x80 };
                answer::filters_ack(&mut self.output, 0x90, client.version, id, Some(code), filters);
            }
            Packet::Unsubscribe { id, filters } => {
                // No subscription existed.
                let code = (client.version == Version::V5).then_some(0x11);
                answer::filters_ack(&mut self.output, 0xB0, client.version, id, code, filters);
            }
            Packet::PingReq => answer::pingresp(&mut self.output),
            Packet::Disconnect { with_will, session_expiry_s } => {
                if client.session_expiry_s == 0 && session_expiry_s.is_some_and(|expiry_s| expiry_s != 0) {
                    return Err(Fault::Protocol("a session expiry interval in DISCONNECT after 0 in CONNECT"));
                }
                if !with_will {
                    client.will = None;
                }
                return Ok(Flow::Disconnected);
            }
        }
        if self.output.len() - sent > client.packet_bytes_max {
            // The client takes no answer of that length, so it gets none.
            self.output.truncate(sent);
        }
        Ok(Flow::Open)
    }

    fn connect(&mut self, connect: Connect) -> Result<Flow, Fault> {
        let version = connect.version;
        if let Err(fault) = check_connect(&connect) {
            answer::refuse(&mut self.output, version, &fault);
            self.ended = true;
            return Err(fault);
        }
        let assigned = connect.client_id.is_empty();
        let id = if assigned { self.assigned_id.clone() } else { text(&connect.client_id) };
        answer::accept(
            &mut self.output,
            version,
            &Announced {
                receive_maximum: self.limits.inflight_max,
                packet_bytes_max: u32::try_from(self.limits.max_packet_size).unwrap_or(u32::MAX),
                client_id: assigned.then_some(&id),
            },
        );
        let packet_bytes_max = connect.packet_bytes_max as usize;
        if self.output.len() > packet_bytes_max {
            self.output.clear();
            return Err(Fault::Protocol("a maximum packet size that CONNACK does not fit in"));
        }
        self.client = Some(Client {
            version,
            id,
            keep_alive_us: u64::from(connect.keep_alive_s) * 1_000_000,
            session_expiry_s: connect.session_expiry_s,
            packet_bytes_max,
            will: connect.will,
        });
        Ok(Flow::Open)
    }

    fn publish(&mut self, publish: Publish, readings: &mut Vec<Received>) -> Result<Flow, Fault> {
        let Publish { dup, retain, topic, id, payload, .. } = publish;
        if id != 0 && !self.ids.insert(id) {
            if dup {
                self.seen.duplicates += 1;
                return Ok(Flow::Open);
            }
            return Err(Fault::Protocol("a packet identifier that is in use"));
        }
        if self.version() == Some(Version::V5) && self.ids.len() > usize::from(self.limits.inflight_max) {
            return Err(Fault::ReceiveMaximum(self.limits.inflight_max));
        }
        if self.topic.as_bytes() != &topic[..] {
            self.topic = text(&topic);
        }
        let bytes = topic.len() + payload.len() + READING_OVERHEAD_BYTES;
        self.in_flight.push_back(InFlight { id, bytes });
        self.in_flight_bytes += bytes;
        if let Some(client) = &self.client {
            readings.push(received(&client.id, self.topic.clone(), payload, retain, dup));
        }
        Ok(Flow::Open)
    }
}

fn check_connect(connect: &Connect) -> Result<(), Fault> {
    if connect.authentication {
        return Err(Fault::Authentication);
    }
    if connect.client_id.len() > CLIENT_ID_BYTES_MAX {
        return Err(Fault::ClientId("over 1024 bytes"));
    }
    if connect.version == Version::V4 && connect.client_id.is_empty() && !connect.clean {
        return Err(Fault::ClientId("empty without CleanSession"));
    }
    if connect.version == Version::V5 && connect.will.as_ref().is_some_and(|will| will.qos == 2) {
        return Err(Fault::QosNotSupported);
    }
    Ok(())
}

fn received(client: &Arc<str>, topic: Arc<str>, payload: Bytes, retain: bool, redelivered: bool) -> Received {
    let entrance = Entrance::Listener;
    Received { entrance, client: client.clone(), topic, payload, retain, redelivered, stored: None }
}

/// The codec has checked that it is UTF-8.
fn text(bytes: &Bytes) -> Arc<str> {
    String::from_utf8_lossy(bytes).into()
}

#[cfg(test)]
mod tests;
