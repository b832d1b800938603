//! The few MQTT 3.1.1 packets that a load generator sends and is sent.
//!
//! ```text
//!   byte 0         type (4 bits), flags (4 bits)
//!   bytes 1..      remaining length, 7 bits a byte, least first, the high bit says that another follows
//!   then           by type; texts have two bytes of length in front, most significant first
//! ```

use anyhow::{Context, bail};

/// Types as the first byte of a packet has them, flags included where they are fixed.
pub(super) const CONNACK: u8 = 0x20;
pub(super) const PUBLISH: u8 = 0x30;
pub(super) const PUBACK: u8 = 0x40;
pub(super) const SUBACK: u8 = 0x90;
pub(super) const PINGRESP: u8 = 0xD0;
/// All of a PINGREQ.
pub(super) const PINGREQ: [u8; 2] = [0xC0, 0];
/// The quality of service in a PUBLISH's flags.
const QOS: u8 = 0x06;

/// CONNECT with a clean session, and without keep-alive: a run may be slower than any.
pub(super) fn connect(client_id: &str) -> Vec<u8> {
    let mut packet = vec![0x10];
    push_length(&mut packet, 12 + client_id.len());
    packet.extend_from_slice(b"\0\x04MQTT\x04\x02\0\0");
    push_text(&mut packet, client_id);
    packet
}

/// SUBSCRIBE to one filter at QoS 1, with packet identifier 1.
pub(super) fn subscribe(filter: &str) -> Vec<u8> {
    let mut packet = vec![0x82];
    push_length(&mut packet, 5 + filter.len());
    packet.extend_from_slice(&[0, 1]);
    push_text(&mut packet, filter);
    packet.push(1);
    packet
}

/// What comes in front of a PUBLISH's topic.
pub(super) fn publish_head(qos: u8, topic_bytes: usize, rest_bytes: usize) -> Vec<u8> {
    let mut packet = vec![PUBLISH | qos << 1];
    push_length(&mut packet, 2 + topic_bytes + rest_bytes);
    packet.extend_from_slice(&(topic_bytes as u16).to_be_bytes());
    packet
}

/// PUBACK.
pub(super) fn puback(id: u16) -> [u8; 4] {
    let [high, low] = id.to_be_bytes();
    [PUBACK, 2, high, low]
}

/// A packet as it arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packet<'a> {
    /// Type and flags.
    pub(super) first: u8,
    /// What follows the remaining length.
    pub(super) rest: &'a [u8],
    /// All of its bytes.
    pub(super) bytes: usize,
}

/// The packet at the start of `input`; none if it is not all there.
pub(super) fn split(input: &[u8]) -> anyhow::Result<Option<Packet<'_>>> {
    let Some(first) = input.first() else { return Ok(None) };
    let mut length = 0;
    for (index, byte) in input[1..].iter().take(4).enumerate() {
        length |= usize::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            let head = index + 2;
            let rest = input.get(head..head + length);
            return Ok(rest.map(|rest| Packet { first: *first, rest, bytes: head + length }));
        }
    }
    if input.len() > 4 { bail!("a packet's length has more than four bytes") } else { Ok(None) }
}

impl<'a> Packet<'a> {
    /// The type, as in this file's constants.
    pub(super) fn kind(&self) -> u8 {
        self.first & 0xF0
    }

    /// The identifier at the start of an acknowledgement.
    pub(super) fn id(&self) -> anyhow::Result<u16> {
        self.rest.first_chunk().map(|id| u16::from_be_bytes(*id)).context("a packet ends before its identifier")
    }

    /// A PUBLISH's topic, identifier if it has one, and payload.
    pub(super) fn publish(&self) -> Option<(&'a str, Option<u16>, &'a [u8])> {
        let (length, rest) = self.rest.split_first_chunk()?;
        let (topic, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        let topic = std::str::from_utf8(topic).ok()?;
        if self.first & QOS == 0 {
            return Some((topic, None, rest));
        }
        let (id, payload) = rest.split_first_chunk()?;
        Some((topic, Some(u16::from_be_bytes(*id)), payload))
    }
}

fn push_length(packet: &mut Vec<u8>, mut length: usize) {
    while length >= 0x80 {
        packet.push((length & 0x7F) as u8 | 0x80);
        length >>= 7;
    }
    packet.push(length as u8);
}

fn push_text(packet: &mut Vec<u8>, text: &str) {
    packet.extend_from_slice(&(text.len() as u16).to_be_bytes());
    packet.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_as_the_standard_draws_them() {
        assert_eq!(connect("ab"), b"\x10\x0e\0\x04MQTT\x04\x02\0\0\0\x02ab");
        assert_eq!(subscribe("a/#"), b"\x82\x08\0\x01\0\x03a/#\x01");
        assert_eq!(publish_head(1, 20, 141), [0x32, 0xA3, 0x01, 0, 20]);
        assert_eq!(puback(0x1234), [0x40, 2, 0x12, 0x34]);
    }

    #[test]
    fn a_packet_is_split_off_once_it_is_whole() {
        let mut bytes = publish_head(1, 3, 2 + 130);
        bytes.extend_from_slice(b"t/1\0\x07");
        bytes.extend_from_slice(&[b'x'; 130]);
        for end in 0..bytes.len() {
            assert_eq!(split(&bytes[..end]).unwrap(), None);
        }
        bytes.extend_from_slice(&puback(9));
        let packet = split(&bytes).unwrap().unwrap();
        assert_eq!((packet.kind(), packet.publish()), (PUBLISH, Some(("t/1", Some(7), &[b'x'; 130][..]))));
        let next = split(&bytes[packet.bytes..]).unwrap().unwrap();
        assert_eq!((next.kind(), next.id().unwrap()), (PUBACK, 9));
        assert!(split(&[0x30, 0x80, 0x80, 0x80, 0x80, 1]).is_err());
    }
}
