//! The answers of a server, to bytes: MQTT 3.1.1 and 5.

use bytes::{BufMut, BytesMut};

use super::{Fault, codec::Version};

/// What MQTT 5 tells in CONNACK.
pub(crate) struct Announced<'a> {
    pub(crate) receive_maximum: u16,
    pub(crate) packet_bytes_max: u32,
    /// Given if the client had none.
    pub(crate) client_id: Option<&'a str>,
}

/// CONNACK that accepts. There is never a session: we keep nothing for a client that is away.
pub(crate) fn accept(output: &mut BytesMut, version: Version, announced: &Announced<'_>) {
    let (length, client_id) = match (version, announced.client_id) {
        (Version::V4, _) => return output.put_slice(&[0x20, 2, 0, 0]),
        (Version::V5, Some(id)) => (15 + 3 + id.len(), id),
        (Version::V5, None) => (15, ""),
    };
    output.put_u8(0x20);
    let length_bytes = if length < 128 { 1 } else { 2 };
    put_varint(output, 2 + length_bytes + length);
    output.put_slice(&[0, 0]);
    put_varint(output, length);
    // Session Expiry Interval 0: a session ends with its connection.
    output.put_slice(&[0x11, 0, 0, 0, 0]);
    output.put_u8(0x21);
    output.put_u16(announced.receive_maximum);
    output.put_slice(&[0x24, 1]);
    output.put_u8(0x27);
    output.put_u32(announced.packet_bytes_max);
    if !client_id.is_empty() {
        output.put_u8(0x12);
        output.put_u16(client_id.len() as u16);
        output.put_slice(client_id.as_bytes());
    }
}

/// CONNACK that refuses.
pub(crate) fn refuse(output: &mut BytesMut, version: Version, fault: &Fault) {
    match (version, fault.return_code()) {
        (Version::V5, _) => output.put_slice(&[0x20, 3, 0, fault.reason_code(), 0]),
        (Version::V4, Some(code)) => output.put_slice(&[0x20, 2, 0, code]),
        (Version::V4, None) => {}
    }
}

pub(crate) fn puback(output: &mut BytesMut, id: u16) {
    let [high, low] = id.to_be_bytes();
    output.put_slice(&[0x40, 2, high, low]);
}

/// SUBACK (0x90) or UNSUBACK (0xB0) with the same `code` for each filter; without any where `code` is none.
pub(crate) fn filters_ack(
    output: &mut BytesMut,
    first: u8,
    version: Version,
    id: u16,
    code: Option<u8>,
    filters: usize,
) {
    let codes = if code.is_some() { filters } else { 0 };
    let properties = usize::from(version == Version::V5);
    output.put_u8(first);
    put_varint(output, 2 + properties + codes);
    output.put_u16(id);
    output.put_bytes(0, properties);
    output.put_bytes(code.unwrap_or(0), codes);
}

pub(crate) fn pingresp(output: &mut BytesMut) {
    output.put_slice(&[0xD0, 0]);
}

/// DISCONNECT of MQTT 5; a 3.1.1 server has none.
pub(crate) fn disconnect_with(output: &mut BytesMut, fault: &Fault) {
    output.put_slice(&[0xE0, 2, fault.reason_code(), 0]);
}

fn put_varint(output: &mut BytesMut, mut value: usize) {
    while value >= 128 {
        output.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    output.put_u8(value as u8);
}
