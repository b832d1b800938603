//! The packets that a client may send, from bytes: MQTT 3.1.1 and 5.
//!
//! Decoding is strict: whatever the standards call malformed or a protocol error is a [`Fault`], because one wrong
//! length taken kindly shifts everything after it. Payloads are slices of the read buffer, never copies.

use bytes::{Buf, Bytes};

use super::{
    Fault,
    properties::{self, Properties},
};

/// Which standard a connection speaks, as its CONNECT said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// MQTT 3.1.1, level 4.
    V4,
    /// MQTT 5, level 5.
    V5,
}

/// What a client may send. Acknowledgements are not among it: we never publish to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Packet {
    Connect(Connect),
    Publish(Publish),
    /// How many filters were asked for.
    Subscribe {
        id: u16,
        filters: usize,
    },
    Unsubscribe {
        id: u16,
        filters: usize,
    },
    PingReq,
    Disconnect {
        with_will: bool,
        session_expiry_s: Option<u32>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Connect {
    pub(crate) version: Version,
    /// CleanSession or Clean Start.
    pub(crate) clean: bool,
    pub(crate) keep_alive_s: u16,
    pub(crate) client_id: Bytes,
    pub(crate) will: Option<Will>,
    pub(crate) session_expiry_s: u32,
    /// What the client takes at most in one packet.
    pub(crate) packet_bytes_max: u32,
    /// An authentication method was named.
    pub(crate) authentication: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Will {
    pub(crate) topic: Bytes,
    pub(crate) payload: Bytes,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Publish {
    pub(crate) dup: bool,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    /// UTF-8, without NUL and wildcards, not empty.
    pub(crate) topic: Bytes,
    /// 0 for QoS 0 only.
    pub(crate) id: u16,
    pub(crate) payload: Bytes,
}

/// Where the packet at the head of a buffer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Bytes of its fixed header.
    pub(crate) header: usize,
    /// Bytes altogether.
    pub(crate) total: usize,
}

/// Finds the packet at the head of `buffer`; none until its fixed header is whole. Nothing else of it need be there:
/// what is too large, or of a type that no client sends, is refused by its header.
pub(crate) fn frame(buffer: &[u8], version: Option<Version>, bytes_max: usize) -> Result<Option<Frame>, Fault> {
    let Some(&first) = buffer.first() else { return Ok(None) };
    check_type(first, version)?;
    let mut remaining = 0;
    for (index, &byte) in buffer[1..].iter().take(4).enumerate() {
        remaining |= usize::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            if byte == 0 && index > 0 && version == Some(Version::V5) {
                return Err(Fault::Malformed("remaining length is not in its shortest form"));
            }
            let header = index + 2;
            let total = header + remaining;
            if total > bytes_max {
                return Err(Fault::TooLarge { bytes: total, bytes_max });
            }
            return Ok(Some(Frame { header, total }));
        }
    }
    if buffer.len() > 4 { Err(Fault::Malformed("remaining length has more than four bytes")) } else { Ok(None) }
}

fn check_type(first: u8, version: Option<Version>) -> Result<(), Fault> {
    let flags = match (first >> 4, version) {
        (1, None) => 0,
        (_, None) => return Err(Fault::Protocol("the first packet is not CONNECT")),
        (1, _) => return Err(Fault::Protocol("a second CONNECT")),
        (3, _) => return Ok(()),
        (8 | 10, _) => 0b0010,
        (12 | 14, _) => 0,
        (4..=7, _) => return Err(Fault::Protocol("an acknowledgement of nothing that we sent")),
        (15, Some(Version::V5)) => return Err(Fault::Protocol("AUTH without an authentication method")),
        (0 | 15, _) => return Err(Fault::Malformed("reserved packet type")),
        _ => return Err(Fault::Protocol("a packet that only a server sends")),
    };
    if first & 0x0F == flags { Ok(()) } else { Err(Fault::Malformed("reserved flags of the fixed header")) }
}

/// Decodes one whole packet, found by [`frame`].
pub(crate) fn decode(mut packet: Bytes, frame: Frame, version: Option<Version>) -> Result<Packet, Fault> {
    let first = packet[0];
    packet.advance(frame.header);
    let mut reader = Reader(packet);
    let packet = match (first >> 4, version) {
        (1, _) => Packet::Connect(connect(&mut reader)?),
        (3, Some(version)) => Packet::Publish(publish(first, &mut reader, version)?),
        (8, Some(version)) => subscribe(&mut reader, version)?,
        (10, Some(version)) => unsubscribe(&mut reader, version)?,
        (12, Some(_)) => Packet::PingReq,
        (14, Some(version)) => disconnect(&mut reader, version)?,
        _ => return Err(Fault::Malformed("packet type")),
    };
    reader.end()?;
    Ok(packet)
}

fn connect(reader: &mut Reader) -> Result<Connect, Fault> {
    let protocol = reader.binary()?;
    let level = reader.u8()?;
    let version = match (&protocol[..], level) {
        (b"MQTT", 4) => Version::V4,
        (b"MQTT", 5) => Version::V5,
        (b"MQTT" | b"MQIsdp", level) => return Err(Fault::Version(level)),
        _ => return Err(Fault::Malformed("protocol name")),
    };
    let flags = reader.u8()?;
    let (has_will, will_qos) = (flags & 0x04 != 0, flags >> 3 & 3);
    let (has_password, has_user) = (flags & 0x40 != 0, flags & 0x80 != 0);
    if flags & 0x01 != 0 {
        return Err(Fault::Malformed("reserved connect flag"));
    }
    if (!has_will && flags & 0x38 != 0) || will_qos == 3 {
        return Err(Fault::Malformed("will flags"));
    }
    if version == Version::V4 && has_password && !has_user {
        return Err(Fault::Malformed("a password without a user name"));
    }
    let keep_alive_s = reader.u16()?;
    let properties = reader.properties(version, properties::CONNECT)?;
    let client_id = reader.utf8()?;
    let will = if has_will {
        reader.properties(version, properties::WILL)?;
        let topic = topic(reader.utf8()?)?;
        if topic.is_empty() {
            return Err(Fault::Malformed("empty will topic"));
        }
        Some(Will { topic, payload: reader.binary()?, qos: will_qos, retain: flags & 0x20 != 0 })
    } else {
        None
    };
    if has_user {
        reader.utf8()?;
    }
    if has_password {
        reader.binary()?;
    }
    Ok(Connect {
        version,
        clean: flags & 0x02 != 0,
        keep_alive_s,
        client_id,
        will,
        session_expiry_s: properties.session_expiry_s.unwrap_or(0),
        packet_bytes_max: properties.packet_bytes_max.unwrap_or(u32::MAX),
        authentication: properties.authentication,
    })
}

fn publish(first: u8, reader: &mut Reader, version: Version) -> Result<Publish, Fault> {
    let (dup, qos, retain) = (first & 0x08 != 0, first >> 1 & 3, first & 0x01 != 0);
    if qos == 3 {
        return Err(Fault::Malformed("QoS 3"));
    }
    if dup && qos == 0 {
        return Err(Fault::Malformed("DUP with QoS 0"));
    }
    let topic = topic(reader.utf8()?)?;
    let id = if qos == 0 { 0 } else { reader.id()? };
    let properties = reader.properties(version, properties::PUBLISH)?;
    if qos == 2 {
        return Err(Fault::QosNotSupported);
    }
    if properties.topic_alias {
        return Err(Fault::TopicAlias);
    }
    if topic.is_empty() {
        return Err(Fault::Protocol("empty topic"));
    }
    Ok(Publish { dup, qos, retain, topic, id, payload: reader.rest() })
}

fn topic(topic: Bytes) -> Result<Bytes, Fault> {
    if topic.iter().any(|&byte| byte == b'+' || byte == b'#') {
        return Err(Fault::Malformed("wildcard in a topic"));
    }
    Ok(topic)
}

fn subscribe(reader: &mut Reader, version: Version) -> Result<Packet, Fault> {
    let id = reader.id()?;
    reader.properties(version, properties::SUBSCRIBE)?;
    let mut filters = 0;
    while !reader.0.is_empty() {
        let filter = reader.utf8()?;
        check_filter(&filter)?;
        let options = reader.u8()?;
        let reserved = if version == Version::V4 { 0xFC } else { 0xC0 };
        if options & reserved != 0 || options & 3 == 3 {
            return Err(Fault::Malformed("subscription options"));
        }
        if options & 0x30 == 0x30 || (options & 0x04 != 0 && filter.starts_with(b"$share/")) {
            return Err(Fault::Protocol("subscription options"));
        }
        filters += 1;
    }
    if filters == 0 {
        Err(Fault::Protocol("SUBSCRIBE without a filter"))
    } else {
        Ok(Packet::Subscribe { id, filters })
    }
}

fn unsubscribe(reader: &mut Reader, version: Version) -> Result<Packet, Fault> {
    let id = reader.id()?;
    reader.properties(version, properties::UNSUBSCRIBE)?;
    let mut filters = 0;
    while !reader.0.is_empty() {
        check_filter(&reader.utf8()?)?;
        filters += 1;
    }
    if filters == 0 {
        Err(Fault::Protocol("UNSUBSCRIBE without a filter"))
    } else {
        Ok(Packet::Unsubscribe { id, filters })
    }
}

/// `+` and `#` stand alone in their level, `#` only in the last one.
fn check_filter(filter: &[u8]) -> Result<(), Fault> {
    let mut levels = filter.split(|&byte| byte == b'/').peekable();
    while let Some(level) = levels.next() {
        let wildcard = level.iter().any(|&byte| byte == b'+' || byte == b'#');
        if wildcard && (level.len() > 1 || (level == b"#" && levels.peek().is_some())) {
            return Err(Fault::Malformed("wildcard in a topic filter"));
        }
    }
    if filter.is_empty() { Err(Fault::Malformed("empty topic filter")) } else { Ok(()) }
}

fn disconnect(reader: &mut Reader, version: Version) -> Result<Packet, Fault> {
    let (mut reason, mut session_expiry_s) = (0, None);
    if version == Version::V5 && !reader.0.is_empty() {
        reason = reader.u8()?;
        if !matches!(reason, 0x00 | 0x04 | 0x80..=0x83 | 0x90 | 0x93..=0x99) {
            return Err(Fault::Malformed("reason code of DISCONNECT"));
        }
        if !reader.0.is_empty() {
            session_expiry_s = reader.properties(version, properties::DISCONNECT)?.session_expiry_s;
        }
    }
    Ok(Packet::Disconnect { with_will: reason != 0, session_expiry_s })
}

/// The bytes of one packet that are not read yet.
pub(crate) struct Reader(pub(crate) Bytes);

impl Reader {
    fn need(&self, bytes: usize) -> Result<(), Fault> {
        if self.0.len() < bytes { Err(Fault::Malformed("packet ends early")) } else { Ok(()) }
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Fault> {
        self.need(1)?;
        Ok(self.0.get_u8())
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Fault> {
        self.need(2)?;
        Ok(self.0.get_u16())
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Fault> {
        self.need(4)?;
        Ok(self.0.get_u32())
    }

    fn id(&mut self) -> Result<u16, Fault> {
        match self.u16()? {
            0 => Err(Fault::Protocol("packet identifier 0")),
            id => Ok(id),
        }
    }

    /// A variable byte integer, in its shortest form.
    pub(crate) fn varint(&mut self) -> Result<usize, Fault> {
        let mut value = 0;
        for index in 0..4 {
            let byte = self.u8()?;
            value |= usize::from(byte & 0x7F) << (7 * index);
            if byte & 0x80 == 0 {
                let shortest = byte != 0 || index == 0;
                return if shortest { Ok(value) } else { Err(Fault::Malformed("integer is not in its shortest form")) };
            }
        }
        Err(Fault::Malformed("integer has more than four bytes"))
    }

    pub(crate) fn binary(&mut self) -> Result<Bytes, Fault> {
        let length = usize::from(self.u16()?);
        self.take(length)
    }

    pub(crate) fn utf8(&mut self) -> Result<Bytes, Fault> {
        let text = self.binary()?;
        if text.contains(&0) {
            return Err(Fault::Malformed("NUL in a string"));
        }
        if text.is_ascii() || std::str::from_utf8(&text).is_ok() {
            Ok(text)
        } else {
            Err(Fault::Malformed("string is not UTF-8"))
        }
    }

    /// The properties that MQTT 5 has here; 3.1.1 has none.
    fn properties(&mut self, version: Version, allowed: u64) -> Result<Properties, Fault> {
        match version {
            Version::V4 => Ok(Properties::default()),
            Version::V5 => {
                let length = self.varint()?;
                properties::decode(Reader(self.take(length)?), allowed)
            }
        }
    }

    fn take(&mut self, bytes: usize) -> Result<Bytes, Fault> {
        self.need(bytes)?;
        Ok(self.0.split_to(bytes))
    }

    fn rest(&mut self) -> Bytes {
        self.0.split_to(self.0.len())
    }

    fn end(&self) -> Result<(), Fault> {
        if self.0.is_empty() { Ok(()) } else { Err(Fault::Malformed("bytes after the end of the packet's contents")) }
    }
}

#[cfg(test)]
mod tests;
