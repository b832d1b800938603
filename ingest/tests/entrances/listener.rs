//! The listener, byte for byte.

use std::{net::SocketAddr, time::Duration};

use ingest::Limits;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::fixture::{Fixture, once_each, timed, within};

pub(crate) struct Listener {
    pub(crate) address: SocketAddr,
    pub(crate) task: JoinHandle<()>,
}

pub(crate) async fn listen(fixture: &Fixture, limits: Limits) -> Listener {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serve = ingest::mqtt::listener::serve(listener, fixture.ingest.clone(), limits, None, fixture.stop.subscribe());
    Listener { address, task: tokio::spawn(serve) }
}

/// A device that speaks raw MQTT.
struct Device(TcpStream);

const PUBACK_1: &[u8] = &[0x40, 2, 0, 1];

impl Device {
    async fn dial(listener: &Listener) -> Device {
        Device(TcpStream::connect(listener.address).await.unwrap())
    }

    /// MQTT 3.1.1, keep alive in seconds.
    async fn v4(listener: &Listener, id: &str, keep_alive: u8) -> Device {
        let mut device = Device::dial(listener).await;
        let connect = [
            &[0x10, 12 + id.len() as u8][..],
            b"\x00\x04MQTT\x04\x02\x00",
            &[keep_alive, 0, id.len() as u8],
            id.as_bytes(),
        ];
        device.send(&connect.concat()).await;
        device.expect(&[0x20, 2, 0, 0]).await;
        device
    }

    async fn v5(listener: &Listener, id: &str) -> Device {
        let mut device = Device::dial(listener).await;
        let connect = [
            &[0x10, 13 + id.len() as u8][..],
            b"\x00\x04MQTT\x05\x02\x00\x3c\x00\x00",
            &[id.len() as u8],
            id.as_bytes(),
        ];
        device.send(&connect.concat()).await;
        let mut connack = [0; 20];
        within("CONNACK", device.0.read_exact(&mut connack)).await.unwrap();
        assert_eq!(connack[..4], [0x20, 18, 0, 0]);
        device
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    async fn expect(&mut self, bytes: &[u8]) {
        let mut got = vec![0; bytes.len()];
        within("an answer", self.0.read_exact(&mut got)).await.unwrap();
        assert_eq!(got, bytes);
    }

    /// The server closes without another byte.
    async fn expect_end(&mut self) {
        let mut got = Vec::new();
        within("the end", self.0.read_to_end(&mut got)).await.unwrap();
        assert_eq!(got, b"");
    }
}

/// A 3.1.1 PUBLISH.
fn publish(qos: u8, id: u16, topic: &str, payload: &str) -> Vec<u8> {
    let id = if qos == 0 { vec![] } else { id.to_be_bytes().to_vec() };
    let length = 2 + topic.len() + id.len() + payload.len();
    let mut bytes = vec![0x30 | qos << 1];
    if length < 128 {
        bytes.push(length as u8);
    } else {
        bytes.extend([length as u8 | 0x80, (length >> 7) as u8]);
    }
    bytes.extend((topic.len() as u16).to_be_bytes());
    [bytes, topic.into(), id, payload.into()].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn puback_waits_for_the_sync() {
    let fixture = Fixture::open();
    let listener = listen(&fixture, Limits::default()).await;
    let mut device = Device::v4(&listener, "d", 60).await;
    // The first reading makes the table.
    device.send(&publish(1, 1, "t", &timed(0))).await;
    device.expect(PUBACK_1).await;

    fixture.gate.hold();
    device.send(&publish(1, 1, "t", &timed(1))).await;
    // The connection is not idle: it answers, but it does not acknowledge.
    device.send(&[0xC0, 0]).await;
    device.expect(&[0xD0, 0]).await;
    assert_eq!(fixture.items().await.len(), 1);
    fixture.gate.release();
    device.expect(PUBACK_1).await;
    assert_eq!(fixture.numbers().await, once_each(0..2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_sync_acknowledges_nothing_and_closes() {
    let fixture = Fixture::open();
    let listener = listen(&fixture, Limits::default()).await;
    let mut old = Device::v4(&listener, "old", 60).await;
    old.send(&publish(1, 1, "t", &timed(0))).await;
    old.expect(PUBACK_1).await;
    let mut new = Device::v5(&listener, "new").await;

    fixture.gate.break_down();
    old.send(&publish(1, 2, "t", &timed(1))).await;
    old.expect_end().await;
    new.send(b"\x32\x06\x00\x01t\x00\x01\x00").await;
    new.expect(&[0xE0, 2, 0x80, 0]).await;
    new.expect_end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_acknowledges_what_is_in_flight() {
    let fixture = Fixture::open();
    let listener = listen(&fixture, Limits::default()).await;
    let mut old = Device::v4(&listener, "old", 60).await;
    let mut new = Device::v5(&listener, "new").await;
    old.send(&publish(1, 1, "t", &timed(0))).await;
    old.expect(PUBACK_1).await;

    fixture.gate.hold();
    old.send(&publish(1, 1, "t", &timed(1))).await;
    old.send(&[0xC0, 0]).await;
    old.expect(&[0xD0, 0]).await;
    fixture.stop.send(true).unwrap();
    new.expect(&[0xE0, 2, 0x8B, 0]).await;
    new.expect_end().await;
    fixture.gate.release();
    old.expect(PUBACK_1).await;
    old.expect_end().await;
    drop((old, new));
    within("serve returns", listener.task).await.unwrap();
    assert!(TcpStream::connect(listener.address).await.is_err());
    assert_eq!(fixture.numbers().await, once_each(0..2));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_client_identifier_takes_over() {
    let fixture = Fixture::open();
    let listener = listen(&fixture, Limits::default()).await;
    let mut first = Device::v5(&listener, "same").await;
    let mut second = Device::v4(&listener, "same", 60).await;
    first.expect(&[0xE0, 2, 0x8E, 0]).await;
    first.expect_end().await;
    let mut third = Device::v5(&listener, "same").await;
    second.expect_end().await;
    third.send(&[0xC0, 0]).await;
    third.expect(&[0xD0, 0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_before_closing_is_stored() {
    let fixture = Fixture::open();
    let listener = listen(&fixture, Limits::default()).await;
    let burst =
        |numbers: std::ops::Range<u64>| numbers.map(|n| publish(0, 0, "t", &timed(n))).collect::<Vec<_>>().concat();
    // QoS 0 and a polite end.
    let mut device = Device::v4(&listener, "polite", 60).await;
    device.send(&[burst(0..500), vec![0xE0, 0]].concat()).await;
    device.expect_end().await;
    // QoS 0 and a sudden one.
    let mut device = Device::v4(&listener, "sudden", 60).await;
    device.send(&burst(500..1000)).await;
    drop(device);
    fixture.wait_for(1000).await;
    assert_eq!(fixture.numbers().await, once_each(0..1000));
}

#[tokio::test(flavor = "multi_thread")]
async fn good_readings_before_a_fault_are_stored_and_acknowledged() {
    let fixture = Fixture::open();
    let listener = listen(&fixture, Limits::default()).await;
    let mut device = Device::v4(&listener, "d", 60).await;
    device.send(&[publish(1, 1, "t", &timed(0)), publish(2, 2, "t", &timed(1))].concat()).await;
    device.expect(PUBACK_1).await;
    device.expect_end().await;
    assert_eq!(fixture.numbers().await, once_each(0..1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_will_is_a_reading_of_its_client() {
    let fixture = Fixture::open();
    let listener = listen(&fixture, Limits::default()).await;
    let connect = |number: u8| {
        let mut connect = b"\x10\x1d\x00\x04MQTT\x04\x06\x00\x3c\x00\x02c0\x00\x01w\x00\x0a{\"n\": 100}".to_vec();
        connect[15] = number;
        connect
    };
    for (number, goodbye) in [(b'0', &[0xE0, 0][..]), (b'1', &[])] {
        let mut device = Device::dial(&listener).await;
        device.send(&connect(number)).await;
        device.expect(&[0x20, 2, 0, 0]).await;
        device.send(goodbye).await;
        device.0.shutdown().await.unwrap();
        device.expect_end().await;
    }
    fixture.wait_for(1).await;
    assert_eq!(fixture.numbers().await, [(100, 1)].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_client_is_closed_after_its_keep_alive() {
    let fixture = Fixture::open();
    let listener = listen(&fixture, Limits::default()).await;
    let began = std::time::Instant::now();
    let mut device = Device::v4(&listener, "d", 1).await;
    device.expect_end().await;
    let lasted = began.elapsed();
    assert!((Duration::from_millis(1400)..Duration::from_secs(10)).contains(&lasted), "{lasted:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_refused() {
    let fixture = Fixture::open();
    let limits = Limits { max_packet_size: 300_000, ..Limits::default() };
    let listener = listen(&fixture, limits).await;
    // 300,001 bytes; the client is told while it still sends.
    let packet = [&[0x30, 0xDD, 0xA7, 0x12, 0, 1, b't', 0][..], &vec![b'x'; 299_993]].concat();
    let mut device = Device::v5(&listener, "d").await;
    let _ = device.0.write_all(&packet).await;
    device.expect(&[0xE0, 2, 0x95, 0]).await;
    let mut device = Device::v4(&listener, "e", 60).await;
    let _ = device.0.write_all(&packet).await;
    device.expect_end().await;

    // What is just within the limit is taken, in pieces too.
    let mut device = Device::v4(&listener, "f", 60).await;
    let packet = [&[0x32, 0xDC, 0xA7, 0x12, 0, 1, b't', 0, 1][..], &vec![b'x'; 299_991]].concat();
    for piece in packet.chunks(70_000) {
        device.send(piece).await;
    }
    device.expect(PUBACK_1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_connections_than_allowed_wait_for_their_turn() {
    let fixture = Fixture::open();
    let listener = listen(&fixture, Limits { connections_max: 1, ..Limits::default() }).await;
    let mut first = Device::v4(&listener, "a", 60).await;
    let second = Device::v4(&listener, "b", 60);
    tokio::pin!(second);
    first.send(&[0xC0, 0]).await;
    tokio::select! {
        () = first.expect(&[0xD0, 0]) => {}
        _ = &mut second => panic!("accepted over the limit"),
    }
    first.send(&[0xE0, 0]).await;
    first.expect_end().await;
    within("the second is served", second).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_more_than_can_be_stored_is_slowed_down() {
    let fixture = Fixture::open();
    let listener = listen(&fixture, Limits { inflight_max: 10, ..Limits::default() }).await;
    let mut device = Device::v4(&listener, "d", 60).await;
    device.send(&publish(1, 1, "t", &timed(0))).await;
    device.expect(PUBACK_1).await;

    fixture.gate.hold();
    // The sockets' buffers fill up, then nothing more can be sent.
    let filler = " ".repeat(10_000);
    let (mut reader, mut writer) = device.0.into_split();
    let flood = tokio::spawn(async move {
        for n in 1..5000_u64 {
            let payload = format!(r#"{{"ts":{},"n":{n}{filler}}}"#, 1_700_000_000_000 + n);
            writer.write_all(&publish(1, n as u16, "t", &payload)).await.unwrap();
        }
        writer
    });
    // Another device's connection lives; 50 MB are not read meanwhile.
    let mut other = Device::v4(&listener, "other", 60).await;
    other.send(&[0xC0, 0]).await;
    other.expect(&[0xD0, 0]).await;
    assert!(!flood.is_finished());
    fixture.gate.release();
    let mut acknowledged = vec![0; 4 * 4999];
    within("all PUBACKs", reader.read_exact(&mut acknowledged)).await.unwrap();
    for (index, puback) in acknowledged.chunks(4).enumerate() {
        assert_eq!(puback, [&[0x40, 2][..], &(index as u16 + 1).to_be_bytes()].concat());
    }
    within("all is sent", flood).await.unwrap();
    assert_eq!(fixture.numbers().await, once_each(0..5000));
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_bytes_harm_nobody() {
    let fixture = Fixture::open();
    let listener = listen(&fixture, Limits::default()).await;
    let mut good = Device::v4(&listener, "good", 60).await;
    // A small generator with a fixed seed: what it finds can be found again.
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    for round in 0..200 {
        let mut bytes = if round % 2 == 0 { vec![] } else { b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x0a\x00\x01h".to_vec() };
        bytes.extend((0..random()).map(|_| random()));
        let mut hostile = Device::dial(&listener).await;
        let _ = hostile.0.write_all(&bytes).await;
    }
    good.send(&publish(1, 1, "t", &timed(0))).await;
    good.expect(PUBACK_1).await;
}
