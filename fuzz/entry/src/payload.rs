//! Readings: every message ends as items or in the quarantine, so taking one in has no reason to fail.

use bytes::Bytes;
use ingest::{Entrance, Received, StoredTime};

use crate::Served;

pub(crate) fn payload(bytes: &[u8]) {
    let cut = bytes.iter().position(|&byte| byte == b'\n').unwrap_or(0);
    let topic = String::from_utf8_lossy(&bytes[..cut]).into_owned();
    let payload = Bytes::copy_from_slice(bytes.get(cut + 1..).unwrap_or_default());
    let served = Served::new();
    let stored = Some(StoredTime { time_us: crate::seeds::NOW_US, sequence: 1 });
    for (entrance, retain, stored) in [
        (Entrance::Listener, false, None),
        (Entrance::Listener, true, None),
        (Entrance::NatsSource("source".into()), false, stored),
    ] {
        let (client, topic, payload) = ("client".into(), topic.as_str().into(), payload.clone());
        let received = Received { entrance, client, topic, payload, retain, redelivered: false, stored };
        served.receive(received).expect("a message ends stored or quarantined");
    }
}
