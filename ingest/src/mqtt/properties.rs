//! MQTT 5 properties: which may stand where, and the few that mean something to us.

use super::{Fault, codec::Reader};

/// Those that a CONNECT may have.
pub(crate) const CONNECT: u64 = set(&[17, 21, 22, 23, 25, 33, 34, 38, 39]);
/// Those that a will may have.
pub(crate) const WILL: u64 = set(&[1, 2, 3, 8, 9, 24, 38]);
/// Those that a PUBLISH from a client may have: no subscription identifier.
pub(crate) const PUBLISH: u64 = set(&[1, 2, 3, 8, 9, 35, 38]);
/// Those that a SUBSCRIBE may have.
pub(crate) const SUBSCRIBE: u64 = set(&[11, 38]);
/// Those that an UNSUBSCRIBE may have.
pub(crate) const UNSUBSCRIBE: u64 = set(&[38]);
/// Those that a DISCONNECT from a client may have.
pub(crate) const DISCONNECT: u64 = set(&[17, 31, 38]);

/// The properties that change what we do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Properties {
    pub(crate) session_expiry_s: Option<u32>,
    pub(crate) packet_bytes_max: Option<u32>,
    pub(crate) topic_alias: bool,
    pub(crate) authentication: bool,
}

/// Reads the properties in `reader` up to its end. Each must be in `allowed`, and be there once.
pub(crate) fn decode(mut reader: Reader, allowed: u64) -> Result<Properties, Fault> {
    const USER_PROPERTY: usize = 38;
    let mut properties = Properties::default();
    let (mut seen, mut authentication_data) = (0, false);
    while !reader.0.is_empty() {
        let property = reader.varint()?;
        if property >= 64 || allowed >> property & 1 == 0 {
            return Err(Fault::Protocol("a property that may not be here"));
        }
        if property != USER_PROPERTY && seen >> property & 1 == 1 {
            return Err(Fault::Protocol("a property twice"));
        }
        seen |= 1_u64 << property;
        match property {
            // Payload Format Indicator, Request Problem Information, Request Response Information.
            1 | 23 | 25 if reader.u8()? > 1 => return Err(Fault::Protocol("a property that must be 0 or 1")),
            1 | 23 | 25 => {}
            // Message Expiry Interval, Will Delay Interval.
            2 | 24 => {
                reader.u32()?;
            }
            // Content Type, Reason String.
            3 | 31 => {
                reader.utf8()?;
            }
            // Response Topic.
            8 if reader.utf8()?.iter().any(|&byte| byte == b'+' || byte == b'#') => {
                return Err(Fault::Protocol("wildcard in a response topic"));
            }
            8 => {}
            // Correlation Data.
            9 => {
                reader.binary()?;
            }
            // Subscription Identifier.
            11 if reader.varint()? == 0 => return Err(Fault::Protocol("subscription identifier 0")),
            11 => {}
            17 => properties.session_expiry_s = Some(reader.u32()?),
            21 => {
                reader.utf8()?;
                properties.authentication = true;
            }
            22 => {
                reader.binary()?;
                authentication_data = true;
            }
            // Receive Maximum.
            33 if reader.u16()? == 0 => return Err(Fault::Protocol("receive maximum 0")),
            33 => {}
            // Topic Alias Maximum: what the client would take from us.
            34 => {
                reader.u16()?;
            }
            35 => {
                reader.u16()?;
                properties.topic_alias = true;
            }
            USER_PROPERTY => {
                reader.utf8()?;
                reader.utf8()?;
            }
            39 => match reader.u32()? {
                0 => return Err(Fault::Protocol("maximum packet size 0")),
                bytes => properties.packet_bytes_max = Some(bytes),
            },
            _ => return Err(Fault::Protocol("a property that may not be here")),
        }
    }
    if authentication_data && !properties.authentication {
        return Err(Fault::Protocol("authentication data without a method"));
    }
    Ok(properties)
}

const fn set(properties: &[u8]) -> u64 {
    let (mut bits, mut index) = (0, 0);
    while index < properties.len() {
        bits |= 1 << properties[index];
        index += 1;
    }
    bits
}
