//! What a server must answer, and what it must refuse.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::*;

const V4: &[u8] = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x0a\x00\x01c";
const V5: &[u8] = b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x0a\x00\x00\x01c";
const V4_ACCEPTED: &[u8] = &[0x20, 2, 0, 0];
const V5_ACCEPTED: &[u8] = b"\x20\x12\x00\x00\x0f\x11\x00\x00\x00\x00\x21\x04\x00\x24\x01\x27\x00\x10\x00\x00";
const SECOND: u64 = 1_000_000;

fn session() -> Session {
    Session::new(Limits::default(), "auto-127.0.0.1:9".into(), 0)
}

/// Feeds `bytes` at time 0 and answers the readings, or the fault after them.
fn feed(session: &mut Session, bytes: &[u8]) -> (Vec<Received>, Result<Flow, Fault>) {
    let (mut input, mut readings) = (BytesMut::from(bytes), Vec::new());
    let flow = session.take(&mut input, &mut readings, 0);
    if let Err(fault) = &flow {
        session.end(fault);
    }
    (readings, flow)
}

fn output(session: &mut Session) -> Bytes {
    session.output().split().freeze()
}

fn connected(connect: &[u8]) -> Session {
    let mut session = session();
    assert_eq!(feed(&mut session, connect), (vec![], Ok(Flow::Open)));
    output(&mut session);
    session
}

fn publish(id: u16) -> Vec<u8> {
    let [high, low] = id.to_be_bytes();
    vec![0x32, 6, 0, 1, b't', high, low, b'1']
}

#[test]
fn connect_is_accepted_in_both_versions() {
    for (connect, accepted) in [(V4, V4_ACCEPTED), (V5, V5_ACCEPTED)] {
        let mut session = session();
        assert_eq!(feed(&mut session, connect).1, Ok(Flow::Open));
        assert_eq!(output(&mut session), accepted);
        assert_eq!(&**session.client_id().unwrap(), "c");
    }
}

#[test]
fn a_client_without_identifier_is_given_one() {
    let mut session = session();
    feed(&mut session, b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x0a\x00\x00\x00").1.unwrap();
    let answer = output(&mut session);
    assert_eq!(answer.len(), usize::from(answer[1]) + 2);
    assert!(answer.ends_with(b"\x12\x00\x10auto-127.0.0.1:9"));
    assert_eq!(&**session.client_id().unwrap(), "auto-127.0.0.1:9");

    // 3.1.1: only with CleanSession.
    let mut session = self::session();
    assert_eq!(feed(&mut session, b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x0a\x00\x00").1, Ok(Flow::Open));
    let mut session = self::session();
    assert!(matches!(feed(&mut session, b"\x10\x0c\x00\x04MQTT\x04\x00\x00\x0a\x00\x00").1, Err(Fault::ClientId(_))));
    assert_eq!(output(&mut session), &[0x20, 2, 0, 2][..]);
}

#[test]
fn puback_waits_for_durability_and_keeps_order() {
    let mut session = connected(V4);
    let bytes = [publish(7), b"\x30\x04\x00\x01t0".to_vec(), publish(3), publish(9)].concat();
    let (readings, flow) = feed(&mut session, &bytes);
    assert_eq!((readings.len(), flow), (4, Ok(Flow::Open)));
    assert_eq!(&*readings[0].topic, "t");
    assert_eq!(readings[1].payload, "0");
    assert_eq!(output(&mut session), "");
    assert_eq!(session.durable(3, 0), 2);
    assert_eq!(output(&mut session), &[0x40, 2, 0, 7, 0x40, 2, 0, 3][..]);
    assert_eq!(session.durable(1, 0), 1);
    assert_eq!(output(&mut session), &[0x40, 2, 0, 9][..]);
    assert_eq!((session.in_flight(), session.in_flight_bytes()), (0, 0));
}

#[test]
fn publishes_may_follow_connect_at_once() {
    let mut session = session();
    let (readings, flow) = feed(&mut session, &[V5, &[0x32, 7, 0, 1, b't', 0, 1, 0, b'1']].concat());
    assert_eq!((readings.len(), flow), (1, Ok(Flow::Open)));
    session.durable(1, 0);
    assert_eq!(output(&mut session), [V5_ACCEPTED, &[0x40, 2, 0, 1]].concat());
}

#[test]
fn packets_may_come_byte_by_byte() {
    let mut session = session();
    let (mut input, mut readings) = (BytesMut::new(), Vec::new());
    for byte in [V4, &publish(5), &[0xC0, 0]].concat() {
        input.extend_from_slice(&[byte]);
        session.take(&mut input, &mut readings, 0).unwrap();
    }
    assert_eq!(readings.len(), 1);
    assert_eq!(output(&mut session), [V4_ACCEPTED, &[0xD0, 0]].concat());
}

#[test]
fn a_redelivery_of_what_is_in_flight_is_answered_once() {
    let mut session = connected(V4);
    let mut again = publish(1);
    again[0] |= 0x08;
    let (readings, flow) = feed(&mut session, &[publish(1), again.clone()].concat());
    assert_eq!((readings.len(), flow), (1, Ok(Flow::Open)));
    assert_eq!(session.seen().duplicates, 1);
    session.durable(1, 0);
    assert_eq!(output(&mut session), &[0x40, 2, 0, 1][..]);
    // After the answer, or in a new connection, it is a message, marked as sent before.
    let (readings, _) = feed(&mut session, &again);
    assert!(readings[0].redelivered);
}

#[test]
fn flags_of_a_publish_are_passed_on() {
    let mut session = connected(V4);
    let (readings, _) = feed(&mut session, b"\x3b\x06\x00\x01t\x00\x01x\x31\x04\x00\x01tx");
    assert!(readings[0].redelivered && readings[0].retain);
    assert!(!readings[1].redelivered && readings[1].retain);
}

#[test]
fn subscriptions_are_refused_and_counted() {
    for (connect, subscribe, refused) in [
        (V4, &b"\x82\x0a\x00\x05\x00\x01#\x00\x00\x01+\x01"[..], &[0x90, 4, 0, 5, 0x80, 0x80][..]),
        (V5, b"\x82\x0b\x00\x05\x00\x00\x01#\x00\x00\x01+\x01", &[0x90, 5, 0, 5, 0, 0x83, 0x83]),
    ] {
        let mut session = connected(connect);
        assert_eq!(feed(&mut session, subscribe), (vec![], Ok(Flow::Open)));
        assert_eq!(output(&mut session), refused);
        assert_eq!(session.seen().subscriptions_refused, 2);
    }
}

#[test]
fn unsubscribe_and_ping_are_answered() {
    let mut session = connected(V4);
    feed(&mut session, b"\xa2\x05\x00\x06\x00\x01a\xc0\x00").1.unwrap();
    assert_eq!(output(&mut session), &[0xB0, 2, 0, 6, 0xD0, 0][..]);
    let mut session = connected(V5);
    feed(&mut session, b"\xa2\x06\x00\x06\x00\x00\x01a\xc0\x00").1.unwrap();
    assert_eq!(output(&mut session), &[0xB0, 4, 0, 6, 0, 0x11, 0xD0, 0][..]);
}

#[test]
fn answers_respect_the_clients_maximum_packet_size() {
    // Maximum packet size 24: CONNACK fits in, the answer to 30 filters does not.
    let connect = b"\x10\x13\x00\x04MQTT\x05\x02\x00\x0a\x05\x27\x00\x00\x00\x18\x00\x01c";
    let mut session = connected(connect);
    let mut subscribe = vec![0x82, 123, 0, 5, 0];
    subscribe.extend(b"\x00\x01a\x00".repeat(30));
    feed(&mut session, &subscribe).1.unwrap();
    assert_eq!(output(&mut session), "");

    let connect = b"\x10\x13\x00\x04MQTT\x05\x02\x00\x0a\x05\x27\x00\x00\x00\x05\x00\x01c";
    let mut session = self::session();
    assert!(matches!(feed(&mut session, connect).1, Err(Fault::Protocol(_))));
    assert_eq!(output(&mut session), "");
}

/// A will with retain: topic `w`, payload `gone`.
const WILL: &[u8] = b"\x10\x16\x00\x04MQTT\x04\x26\x00\x0a\x00\x01c\x00\x01w\x00\x04gone";

#[test]
fn a_will_is_due_unless_the_client_says_goodbye() {
    let mut session = connected(WILL);
    assert_eq!(feed(&mut session, &[0xE0, 0]).1, Ok(Flow::Disconnected));
    assert_eq!(session.take_will(), None);

    let mut session = connected(WILL);
    session.end(&Fault::KeepAlive);
    let will = session.take_will().unwrap();
    assert_eq!((&*will.client, &*will.topic, &will.payload[..], will.retain), ("c", "w", &b"gone"[..], true));
    assert_eq!(session.take_will(), None);
}

#[test]
fn v5_disconnect_with_will_message_keeps_the_will() {
    let connect = b"\x10\x18\x00\x04MQTT\x05\x26\x00\x0a\x00\x00\x01c\x00\x00\x01w\x00\x04gone";
    for (disconnect, due) in
        [(&[0xE0, 0][..], false), (&[0xE0, 1, 0], false), (&[0xE0, 1, 4], true), (&[0xE0, 2, 4, 0], true)]
    {
        let mut session = connected(connect);
        assert_eq!(feed(&mut session, disconnect).1, Ok(Flow::Disconnected), "{disconnect:?}");
        assert_eq!(session.take_will().is_some(), due, "{disconnect:?}");
        assert_eq!(output(&mut session), "");
    }
}

#[test]
fn nothing_is_taken_after_disconnect() {
    let mut session = connected(V4);
    let (readings, flow) = feed(&mut session, &[&[0xE0, 0][..], &publish(1)].concat());
    assert_eq!((readings, flow), (vec![], Ok(Flow::Disconnected)));
    assert!(!session.wants_input());
}

#[test]
fn keep_alive_is_one_and_a_half_times() {
    let mut session = connected(V4);
    assert_eq!(session.deadline_us(), Some(15 * SECOND));
    assert_eq!(session.check_time(15 * SECOND - 1), Ok(()));
    assert_eq!(session.check_time(15 * SECOND), Err(Fault::KeepAlive));
    session.take(&mut BytesMut::from(&[0xC0, 0][..]), &mut vec![], 4 * SECOND).unwrap();
    assert_eq!(session.deadline_us(), Some(19 * SECOND));
    // Half a packet does not count.
    session.take(&mut BytesMut::from(&[0xC0][..]), &mut vec![], 9 * SECOND).unwrap();
    assert_eq!(session.deadline_us(), Some(19 * SECOND));

    let never = connected(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01c");
    assert_eq!(never.deadline_us(), None);
}

#[test]
fn connect_must_come_in_time() {
    assert_eq!(session().check_time(10 * SECOND), Err(Fault::ConnectTimeout));
    assert_eq!(session().check_time(10 * SECOND - 1), Ok(()));
}

#[test]
fn a_full_v4_session_takes_nothing_more_and_keeps_its_client() {
    let limits = Limits { inflight_max: 3, ..Limits::default() };
    let mut session = Session::new(limits, "a".into(), 0);
    let mut input = BytesMut::from(&[V4, &publish(1), &publish(2), &publish(3), &publish(4), &publish(5)].concat()[..]);
    let mut readings = Vec::new();
    session.take(&mut input, &mut readings, 0).unwrap();
    assert_eq!((readings.len(), session.wants_input()), (4, false));
    // Full is our fault, not silence of the client.
    assert_eq!(session.check_time(100 * SECOND), Ok(()));
    session.durable(1, 100 * SECOND);
    assert_eq!(session.deadline_us(), Some(115 * SECOND));
    session.take(&mut input, &mut readings, 100 * SECOND).unwrap();
    assert_eq!((readings.len(), input.len()), (5, 0));
}

#[test]
fn bytes_in_flight_are_bounded() {
    let limits = Limits { batch_bytes_max: 1000, ..Limits::default() };
    let mut session = Session::new(limits, "a".into(), 0);
    let mut packets = V4.to_vec();
    for id in 1..100 {
        packets.extend(publish(id));
    }
    let (readings, _) = feed(&mut session, &packets);
    assert_eq!(readings.len(), 1000_usize.div_ceil(READING_OVERHEAD_BYTES + 2));
}

#[test]
fn unsent_answers_are_bounded() {
    let mut session = connected(V4);
    let mut input = BytesMut::from(&[0xC0, 0].repeat(100_000)[..]);
    session.take(&mut input, &mut vec![], 0).unwrap();
    assert_eq!(session.output().len(), OUTPUT_BYTES_MAX);
    assert!(!session.wants_input());
}

#[test]
fn v5_receive_maximum_is_enforced() {
    let limits = Limits { inflight_max: 2, ..Limits::default() };
    let mut session = Session::new(limits, "a".into(), 0);
    let publish = |id| vec![0x32, 6, 0, 1, b't', 0, id, 0];
    let (readings, flow) = feed(&mut session, &[V5.to_vec(), publish(1), publish(2)].concat());
    assert_eq!((readings.len(), flow), (2, Ok(Flow::Open)));
    output(&mut session);
    assert_eq!(feed(&mut session, &publish(3)).1, Err(Fault::ReceiveMaximum(2)));
    assert_eq!(output(&mut session), &[0xE0, 2, 0x93, 0][..]);
}

#[test]
fn what_is_too_large_is_refused_by_its_header() {
    let limits = Limits { max_packet_size: 100, ..Limits::default() };
    for (connect, answer) in [(V4, &[][..]), (V5, &[0xE0, 2, 0x95, 0])] {
        let mut session = Session::new(limits, "a".into(), 0);
        feed(&mut session, connect).1.unwrap();
        output(&mut session);
        assert_eq!(feed(&mut session, &[0x30, 98]).1, Ok(Flow::Open));
        assert_eq!(feed(&mut session, &[0x30, 99]).1, Err(Fault::TooLarge { bytes: 101, bytes_max: 100 }));
        assert_eq!(output(&mut session), answer);
    }
}

/// Everything here ends the connection: in MQTT 5 with this reason code, in 3.1.1 in silence.
#[test]
fn what_is_forbidden_ends_the_connection() {
    let both: &[(&str, u8, &[u8])] = &[
        ("second CONNECT", 0x82, V4),
        ("packet identifier 0 in SUBSCRIBE", 0x82, b"\x82\x06\x00\x00\x00\x01a\x00"),
        ("packet identifier 0 in UNSUBSCRIBE", 0x82, b"\xa2\x05\x00\x00\x00\x01a"),
        ("wildcard in a topic", 0x81, b"\x30\x05\x00\x03a/+"),
        ("wildcard in a topic", 0x81, b"\x30\x05\x00\x03a/#"),
        ("NUL in a topic", 0x81, b"\x30\x05\x00\x03a\x00b"),
        ("topic is not UTF-8", 0x81, b"\x30\x04\x00\x02\xc3\x28"),
        ("surrogate in a topic", 0x81, b"\x30\x05\x00\x03\xed\xa0\x80"),
        ("topic longer than the packet", 0x81, b"\x30\x04\x00\x09ab"),
        ("DUP with QoS 0", 0x81, b"\x38\x04\x00\x01tx"),
        ("QoS 3", 0x81, b"\x36\x06\x00\x01t\x00\x01x"),
        ("reserved flags of SUBSCRIBE", 0x81, b"\x80\x06\x00\x01\x00\x01a\x00"),
        ("reserved flags of UNSUBSCRIBE", 0x81, b"\xa0\x05\x00\x01\x00\x01a"),
        ("reserved flags of PINGREQ", 0x81, b"\xc1\x00"),
        ("PINGREQ with contents", 0x81, b"\xc0\x01\x00"),
        ("reserved flags of DISCONNECT", 0x81, b"\xe1\x00"),
        ("SUBSCRIBE of nothing", 0x82, b"\x82\x03\x00\x01\x00"),
        ("reserved packet type", 0x81, b"\x00\x00"),
        ("CONNACK from a client", 0x82, b"\x20\x02\x00\x00"),
        ("SUBACK from a client", 0x82, b"\x90\x03\x00\x01\x00"),
        ("PINGRESP from a client", 0x82, b"\xd0\x00"),
        ("PUBACK of nothing", 0x82, b"\x40\x02\x00\x01"),
        ("PUBREC of nothing", 0x82, b"\x50\x02\x00\x01"),
        ("PUBREL before PUBREC", 0x82, b"\x62\x02\x00\x01"),
        ("reserved flags of PUBREL", 0x82, b"\x60\x02\x00\x01"),
        ("PUBCOMP of nothing", 0x82, b"\x70\x02\x00\x01"),
        ("remaining length of five bytes", 0x81, b"\x30\xff\xff\xff\xff\x01"),
    ];
    let v4: &[(&str, u8, &[u8])] = &[
        ("packet identifier 0", 0, b"\x32\x06\x00\x01t\x00\x00x"),
        ("QoS 2", 0, b"\x34\x06\x00\x01t\x00\x01x"),
        ("empty topic", 0, b"\x30\x03\x00\x00x"),
        ("a packet identifier in use", 0, b"\x32\x06\x00\x01t\x00\x01x\x32\x06\x00\x01t\x00\x01x"),
        ("filter `a#`", 0, b"\x82\x07\x00\x01\x00\x02a#\x00"),
        ("filter `#/a`", 0, b"\x82\x08\x00\x01\x00\x03#/a\x00"),
        ("filter `a+/b`", 0, b"\x82\x09\x00\x01\x00\x04a+/b\x00"),
        ("filter `++`", 0, b"\x82\x07\x00\x01\x00\x02++\x00"),
        ("empty filter", 0, b"\x82\x05\x00\x01\x00\x00\x00"),
        ("reserved subscription options", 0, b"\x82\x06\x00\x01\x00\x01a\x04"),
        ("subscription QoS 3", 0, b"\x82\x06\x00\x01\x00\x01a\x03"),
        ("DISCONNECT with contents", 0, b"\xe0\x01\x00"),
        ("AUTH", 0, b"\xf0\x00"),
        ("UNSUBSCRIBE of nothing", 0, b"\xa2\x02\x00\x01"),
        ("UNSUBSCRIBE of `a#`", 0, b"\xa2\x06\x00\x01\x00\x02a#"),
    ];
    let v5: &[(&str, u8, &[u8])] = &[
        ("packet identifier 0", 0x82, b"\x32\x07\x00\x01t\x00\x00\x00x"),
        ("QoS 2", 0x9B, b"\x34\x07\x00\x01t\x00\x01\x00x"),
        ("empty topic", 0x82, b"\x30\x04\x00\x00\x00x"),
        ("topic alias", 0x94, b"\x30\x08\x00\x01t\x03\x23\x00\x01x"),
        ("topic alias for an empty topic", 0x94, b"\x30\x07\x00\x00\x03\x23\x00\x01x"),
        ("subscription identifier in PUBLISH", 0x82, b"\x30\x07\x00\x01t\x02\x0b\x01x"),
        ("a property twice", 0x82, b"\x30\x09\x00\x01t\x04\x01\x00\x01\x00x"),
        ("payload format indicator 2", 0x82, b"\x30\x07\x00\x01t\x02\x01\x02x"),
        ("wildcard in the response topic", 0x82, b"\x30\x09\x00\x01t\x04\x08\x00\x01#x"),
        ("properties longer than the packet", 0x81, b"\x30\x05\x00\x01t\x09x"),
        ("a property beyond the properties", 0x81, b"\x30\x0a\x00\x01t\x01\x02\x00\x00\x00\x09x"),
        ("an unknown property", 0x82, b"\x30\x07\x00\x01t\x02\x3f\x00x"),
        ("filter `a#`", 0x81, b"\x82\x08\x00\x01\x00\x00\x02a#\x00"),
        ("reserved subscription options", 0x81, b"\x82\x07\x00\x01\x00\x00\x01a\x40"),
        ("retain handling 3", 0x82, b"\x82\x07\x00\x01\x00\x00\x01a\x30"),
        ("no local on a shared subscription", 0x82, b"\x82\x10\x00\x01\x00\x00\x0a$share/g/a\x04"),
        ("subscription identifier 0", 0x82, b"\x82\x09\x00\x01\x02\x0b\x00\x00\x01a\x00"),
        ("AUTH", 0x82, b"\xf0\x00"),
        ("unknown reason in DISCONNECT", 0x81, b"\xe0\x01\x01"),
        ("session expiry in DISCONNECT after none", 0x82, b"\xe0\x07\x00\x05\x11\x00\x00\x00\x01"),
        ("remaining length not in its shortest form", 0x81, b"\xc0\x80\x00"),
    ];
    for (connect, case) in both
        .iter()
        .flat_map(|case| [(V4, case), (V5, case)])
        .chain(v4.iter().map(|case| (V4, case)).chain(v5.iter().map(|case| (V5, case))))
    {
        let (name, code, bytes) = *case;
        // SUBSCRIBE and its like have properties in MQTT 5: the shared cases fail before that.
        let mut session = connected(connect);
        let (_, flow) = feed(&mut session, bytes);
        let fault = flow.expect_err(name);
        let expected = if connect == V5 { vec![0xE0, 2, code, 0] } else { vec![] };
        assert_eq!(output(&mut session), expected, "{name}: {fault}");
        assert!(!session.wants_input(), "{name}");
    }
}

#[test]
fn a_connect_that_is_wrong_is_refused() {
    let cases: &[(&str, &[u8], &[u8])] = &[
        ("PUBLISH first", b"\x30\x04\x00\x01tx", b""),
        ("PINGREQ first", b"\xc0\x00", b""),
        ("reserved flags", b"\x11\x0d\x00\x04MQTT\x04\x02\x00\x0a\x00\x01c", b""),
        ("level 3", b"\x10\x0f\x00\x06MQIsdp\x03\x02\x00\x0a\x00\x01c", &[0x20, 2, 0, 1]),
        ("level 6", b"\x10\x0d\x00\x04MQTT\x06\x02\x00\x0a\x00\x01c", &[0x20, 2, 0, 1]),
        ("another protocol", b"\x10\x0d\x00\x04HTTP\x04\x02\x00\x0a\x00\x01c", b""),
        ("reserved connect flag", b"\x10\x0d\x00\x04MQTT\x04\x03\x00\x0a\x00\x01c", b""),
        ("will QoS without a will", b"\x10\x0d\x00\x04MQTT\x04\x0a\x00\x0a\x00\x01c", b""),
        ("will QoS 3", b"\x10\x13\x00\x04MQTT\x04\x1e\x00\x0a\x00\x01c\x00\x01w\x00\x01x", b""),
        ("wildcard in the will's topic", b"\x10\x13\x00\x04MQTT\x04\x06\x00\x0a\x00\x01c\x00\x01#\x00\x01x", b""),
        ("a password without a user", b"\x10\x10\x00\x04MQTT\x04\x42\x00\x0a\x00\x01c\x00\x01p", b""),
        ("bytes after the end", b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x0a\x00\x01cx", b""),
        ("NUL in the client identifier", b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x0a\x00\x01\x00", b""),
        (
            "v5 will QoS 2",
            b"\x10\x15\x00\x04MQTT\x05\x16\x00\x0a\x00\x00\x01c\x00\x00\x01w\x00\x01x",
            &[0x20, 3, 0, 0x9B, 0],
        ),
        (
            "v5 authentication",
            b"\x10\x12\x00\x04MQTT\x05\x02\x00\x0a\x04\x15\x00\x01m\x00\x01c",
            &[0x20, 3, 0, 0x8C, 0],
        ),
        ("v5 receive maximum 0", b"\x10\x11\x00\x04MQTT\x05\x02\x00\x0a\x03\x21\x00\x00\x00\x01c", b""),
        ("v5 a property twice", b"\x10\x14\x00\x04MQTT\x05\x02\x00\x0a\x06\x21\x00\x01\x21\x00\x01\x00\x01c", b""),
    ];
    for (name, bytes, answer) in cases {
        let mut session = session();
        assert!(feed(&mut session, bytes).1.is_err(), "{name}");
        assert_eq!(output(&mut session), *answer, "{name}");
        assert!(session.take_will().is_none() && !session.wants_input(), "{name}");
    }
}

#[test]
fn passwords_may_be_binary() {
    let connect = b"\x10\x14\x00\x04MQTT\x04\xc2\x00\x0a\x00\x01c\x00\x01u\x00\x02\xff\x00";
    assert_eq!(feed(&mut session(), connect).1, Ok(Flow::Open));
}

/// Bytes that look enough like packets to reach deep.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let packet = prop_oneof![
        3 => any::<Vec<u8>>(),
        3 => (any::<u8>(), proptest::collection::vec(any::<u8>(), 0..60)).prop_map(|(first, body)| {
            [&[first, body.len() as u8][..], &body].concat()
        }),
        2 => (1_u16..5).prop_map(publish),
        1 => Just(b"\x82\x06\x00\x01\x00\x01a\x00".to_vec()),
        1 => Just(vec![0xC0, 0]),
    ];
    (0..3_usize, proptest::collection::vec(packet, 0..20)).prop_map(|(connect, packets)| {
        let connect = [&b""[..], V4, V5][connect];
        [connect, &packets.concat()].concat()
    })
}

proptest! {
    /// Whatever comes, however it is cut: no panic, the same outcome, and never more PUBACKs than durable readings.
    #[test]
    fn hostile_bytes_never_panic(bytes in hostile(), cut in 1_usize..50, lag in 0_usize..4) {
        let run = |cut: usize| {
            let mut session = session();
            let (mut input, mut readings) = (BytesMut::new(), Vec::new());
            let mut result = Ok(Flow::Open);
            for piece in bytes.chunks(cut) {
                input.extend_from_slice(piece);
                result = session.take(&mut input, &mut readings, 0);
                if result != Ok(Flow::Open) {
                    break;
                }
            }
            if let Err(fault) = &result {
                session.end(fault);
            }
            session.durable(session.in_flight().saturating_sub(lag), 1);
            let _ = (session.take_will(), session.deadline_us(), session.expects(&input));
            (readings, result, output(&mut session))
        };
        prop_assert_eq!(run(cut), run(bytes.len().max(1)));
    }

    /// PUBACKs come for exactly the QoS 1 publishes that are durable, in their order.
    #[test]
    fn acknowledgements_follow_durability(qos in proptest::collection::vec(any::<bool>(), 1..200), steps in proptest::collection::vec(0_usize..20, 1..40)) {
        let mut session = connected(V4);
        let (mut input, mut readings, mut expected) = (BytesMut::new(), Vec::new(), Vec::new());
        for (index, &at_least_once) in qos.iter().enumerate() {
            if at_least_once {
                input.extend_from_slice(&publish(index as u16 + 1));
            } else {
                input.extend_from_slice(b"\x30\x04\x00\x01t0");
            }
        }
        session.take(&mut input, &mut readings, 0).unwrap();
        prop_assert_eq!(readings.len(), qos.len());
        let mut done = 0;
        for step in steps {
            let step = step.min(session.in_flight());
            session.durable(step, 0);
            for (index, &at_least_once) in qos.iter().enumerate().skip(done).take(step) {
                if at_least_once {
                    expected.extend_from_slice(&[0x40, 2, ((index + 1) >> 8) as u8, (index + 1) as u8]);
                }
            }
            done += step;
            prop_assert_eq!(&session.output()[..], &expected[..]);
        }
    }
}
