//! The codec against an independent one: what rumqttc encodes we read, what we encode rumqttc reads.

use bytes::BytesMut;
use proptest::prelude::*;
use rumqttc::{mqttbytes::v4, v5::mqttbytes::v5};

use super::*;
use crate::mqtt::answer::{Announced, accept, disconnect_with, filters_ack, puback, refuse};

fn read(bytes: &BytesMut, version: Option<Version>) -> Result<Packet, Fault> {
    let frame = frame(bytes, version, 1 << 28)?.expect("a whole packet");
    assert_eq!(frame.total, bytes.len());
    decode(bytes.clone().freeze(), frame, version)
}

fn write_v4(packet: v4::Packet) -> BytesMut {
    let mut bytes = BytesMut::new();
    packet.write(&mut bytes, 1 << 28).unwrap();
    bytes
}

fn write_v5(packet: v5::Packet) -> BytesMut {
    let mut bytes = BytesMut::new();
    packet.write(&mut bytes, None).unwrap();
    bytes
}

fn read_v5(mut bytes: BytesMut) -> v5::Packet {
    let packet = v5::Packet::read(&mut bytes, None).unwrap();
    assert!(bytes.is_empty());
    packet
}

#[test]
fn connack_of_version_5_says_what_is_announced() {
    for client_id in [None, Some("x".repeat(40)), Some("x".repeat(200))] {
        let mut output = BytesMut::new();
        let announced = Announced { receive_maximum: 77, packet_bytes_max: 99, client_id: client_id.as_deref() };
        accept(&mut output, Version::V5, &announced);
        let v5::Packet::ConnAck(connack) = read_v5(output) else { panic!() };
        let properties = connack.properties.unwrap();
        assert_eq!((connack.code, connack.session_present), (v5::ConnectReturnCode::Success, false));
        assert_eq!((properties.receive_max, properties.max_packet_size), (Some(77), Some(99)));
        assert_eq!((properties.max_qos, properties.session_expiry_interval), (Some(1), Some(0)));
        assert_eq!((properties.topic_alias_max, properties.assigned_client_identifier), (None, client_id));
    }
}

#[test]
fn answers_can_be_read() {
    let mut output = BytesMut::new();
    refuse(&mut output, Version::V5, &Fault::QosNotSupported);
    assert!(matches!(read_v5(output), v5::Packet::ConnAck(a) if a.code == v5::ConnectReturnCode::QoSNotSupported));

    let mut output = BytesMut::new();
    filters_ack(&mut output, 0x90, Version::V5, 300, Some(0x83), 200);
    let v5::Packet::SubAck(suback) = read_v5(output) else { panic!() };
    assert_eq!((suback.pkid, suback.return_codes.len()), (300, 200));

    let mut output = BytesMut::new();
    filters_ack(&mut output, 0xB0, Version::V5, 300, Some(0x11), 2);
    assert!(matches!(read_v5(output), v5::Packet::UnsubAck(a) if a.reasons.len() == 2));

    let mut output = BytesMut::new();
    disconnect_with(&mut output, &Fault::TakenOver);
    assert!(
        matches!(read_v5(output), v5::Packet::Disconnect(a) if a.reason_code == v5::DisconnectReasonCode::SessionTakenOver)
    );

    let mut output = BytesMut::new();
    puback(&mut output, 515);
    assert!(matches!(read_v5(output.clone()), v5::Packet::PubAck(a) if a.pkid == 515));
    assert!(matches!(v4::Packet::read(&mut output, 99).unwrap(), v4::Packet::PubAck(a) if a.pkid == 515));

    let mut output = BytesMut::new();
    filters_ack(&mut output, 0x90, Version::V4, 300, Some(0x80), 2);
    assert!(matches!(v4::Packet::read(&mut output, 99).unwrap(), v4::Packet::SubAck(a) if a.return_codes.len() == 2));

    let mut output = BytesMut::new();
    filters_ack(&mut output, 0xB0, Version::V4, 300, None, 2);
    assert!(matches!(v4::Packet::read(&mut output, 99).unwrap(), v4::Packet::UnsubAck(a) if a.pkid == 300));
}

fn text() -> impl Strategy<Value = String> {
    "[a-z/ü]{1,20}"
}

fn user_properties() -> impl Strategy<Value = Vec<(String, String)>> {
    proptest::collection::vec((text(), text()), 0..4)
}

prop_compose! {
    fn publish_properties()(
        payload_format_indicator in proptest::option::of(0_u8..2),
        message_expiry_interval in proptest::option::of(any::<u32>()),
        response_topic in proptest::option::of(text()),
        correlation_data in proptest::option::of(any::<Vec<u8>>()),
        user_properties in user_properties(),
        content_type in proptest::option::of(text()),
    ) -> v5::PublishProperties {
        v5::PublishProperties {
            payload_format_indicator,
            message_expiry_interval,
            response_topic,
            correlation_data: correlation_data.map(Bytes::from),
            user_properties,
            content_type,
            ..Default::default()
        }
    }
}

proptest! {
    #[test]
    fn publish(topic in text(), payload: Vec<u8>, id in 1_u16.., retain: bool, dup: bool, at_least_once: bool, properties in publish_properties()) {
        let (id, dup) = if at_least_once { (id, dup) } else { (0, false) };
        let expected = Packet::Publish(Publish {
            dup, qos: at_least_once.into(), retain, topic: Bytes::from(topic.clone()), id, payload: payload.clone().into(),
        });

        let qos = if at_least_once { rumqttc::QoS::AtLeastOnce } else { rumqttc::QoS::AtMostOnce };
        let mut publish = v4::Publish::new(topic.clone(), qos, payload.clone());
        (publish.pkid, publish.retain, publish.dup) = (id, retain, dup);
        let bytes = write_v4(v4::Packet::Publish(publish));
        prop_assert_eq!(read(&bytes, Some(Version::V4)), Ok(expected.clone()));

        let qos = if at_least_once { rumqttc::v5::mqttbytes::QoS::AtLeastOnce } else { rumqttc::v5::mqttbytes::QoS::AtMostOnce };
        let mut publish = v5::Publish::new(topic, qos, payload, Some(properties));
        (publish.pkid, publish.retain, publish.dup) = (id, retain, dup);
        let bytes = write_v5(v5::Packet::Publish(publish));
        prop_assert_eq!(read(&bytes, Some(Version::V5)), Ok(expected));
    }

    #[test]
    fn connect(
        id in text(), keep_alive: u16, clean: bool, expiry: u32, packet_bytes_max in 1_u32..,
        will in proptest::option::of((text(), any::<Vec<u8>>(), any::<bool>())), login in proptest::option::of((text(), text())),
        user_properties in user_properties(),
    ) {
        let expected = Connect {
            version: Version::V4, clean, keep_alive_s: keep_alive, client_id: id.clone().into(), session_expiry_s: 0,
            packet_bytes_max: u32::MAX, authentication: false,
            will: will.clone().map(|(topic, payload, retain)| Will { topic: topic.into(), payload: payload.into(), qos: 1, retain }),
        };
        let mut connect = v4::Connect::new(id.clone());
        (connect.keep_alive, connect.clean_session) = (keep_alive, clean);
        connect.last_will = will.clone().map(|(topic, payload, retain)| {
            v4::LastWill::new(topic, payload, rumqttc::QoS::AtLeastOnce, retain)
        });
        connect.login = login.clone().map(|(user, password)| v4::Login::new(user, password));
        let bytes = write_v4(v4::Packet::Connect(connect));
        prop_assert_eq!(read(&bytes, None), Ok(Packet::Connect(expected.clone())));

        let properties = v5::ConnectProperties {
            session_expiry_interval: Some(expiry), max_packet_size: Some(packet_bytes_max), user_properties,
            ..v5::ConnectProperties::new()
        };
        let connect = v5::Connect { keep_alive, client_id: id, clean_start: clean, properties: Some(properties) };
        let will = will.map(|(topic, payload, retain)| {
            v5::LastWill::new(topic, payload, rumqttc::v5::mqttbytes::QoS::AtLeastOnce, retain, None)
        });
        let login = login.map(|(user, password)| v5::Login::new(user, password));
        let bytes = write_v5(v5::Packet::Connect(connect, will, login));
        let expected = Connect { version: Version::V5, session_expiry_s: expiry, packet_bytes_max, ..expected };
        prop_assert_eq!(read(&bytes, None), Ok(Packet::Connect(expected)));
    }

    #[test]
    fn subscribe_and_unsubscribe(id in 1_u16.., filters in proptest::collection::vec(text(), 1..5)) {
        let subscribe = Packet::Subscribe { id, filters: filters.len() };
        let unsubscribe = Packet::Unsubscribe { id, filters: filters.len() };

        let mut packet = v4::Subscribe::new_many(filters.iter().map(|filter| {
            v4::SubscribeFilter::new(filter.clone(), rumqttc::QoS::AtLeastOnce)
        }));
        packet.pkid = id;
        prop_assert_eq!(read(&write_v4(v4::Packet::Subscribe(packet)), Some(Version::V4)), Ok(subscribe.clone()));
        let packet = v4::Unsubscribe { pkid: id, topics: filters.clone() };
        prop_assert_eq!(read(&write_v4(v4::Packet::Unsubscribe(packet)), Some(Version::V4)), Ok(unsubscribe.clone()));

        let mut packet = v5::Subscribe::new_many(
            filters.iter().map(|filter| v5::Filter::new(filter.clone(), rumqttc::v5::mqttbytes::QoS::AtLeastOnce)),
            Some(v5::SubscribeProperties { id: Some(300), user_properties: vec![] }),
        );
        packet.pkid = id;
        prop_assert_eq!(read(&write_v5(v5::Packet::Subscribe(packet)), Some(Version::V5)), Ok(subscribe));
        let packet = v5::Unsubscribe { pkid: id, filters, properties: None };
        prop_assert_eq!(read(&write_v5(v5::Packet::Unsubscribe(packet)), Some(Version::V5)), Ok(unsubscribe));
    }

    /// A packet cut short is malformed, never read beyond its end.
    #[test]
    fn a_packet_cut_short_is_refused(topic in text(), cut in 0_usize..100, properties in publish_properties()) {
        let mut publish = v5::Publish::new(topic, rumqttc::v5::mqttbytes::QoS::AtLeastOnce, b"".to_vec(), Some(properties));
        publish.pkid = 1;
        let bytes = write_v5(v5::Packet::Publish(publish)).freeze();
        let whole = frame(&bytes, Some(Version::V5), 1 << 20).unwrap().unwrap();
        let total = whole.header + cut % (whole.total - whole.header);
        let result = decode(bytes.slice(..total), Frame { total, ..whole }, Some(Version::V5));
        prop_assert!(result.is_err());
    }
}
