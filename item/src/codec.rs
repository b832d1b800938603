//! The primitives under every encoding here: unsigned LEB128 varints in their shortest form, and length-prefixed bytes.
//!
//! Decoding takes any bytes: it never panics, never recurses without a bound, and allocates no more than the bytes at
//! hand justify.

use bytes::Bytes;

/// Bytes that are not an encoding of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed encoding at byte {offset}: {what}")]
pub struct CodecError {
    /// Where, from the start of the encoded value.
    pub offset: usize,
    /// What was expected.
    pub what: &'static str,
}

/// Appends `value` as a varint: seven bits a byte, the low ones first, the top bit set on all but the last byte.
pub(crate) fn put_varint(value: u128, out: &mut Vec<u8>) {
    let mut rest = value;
    // Most fit a machine word, and 16-byte arithmetic is slow.
    while rest > u128::from(u64::MAX) {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    let mut rest = rest as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Appends the length of `bytes` as a varint, then `bytes`.
pub(crate) fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_varint(bytes.len() as u128, out);
    out.extend_from_slice(bytes);
}

/// Reads an encoding from front to back.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a Bytes,
    offset: usize,
}

impl<'a> Reader<'a> {
    /// Starts reading at `offset`, which may be past the end.
    pub(crate) fn new(bytes: &'a Bytes, offset: usize) -> Reader<'a> {
        Reader { bytes, offset }
    }

    /// What it reads.
    pub(crate) fn bytes(&self) -> &'a Bytes {
        self.bytes
    }

    /// How far it has read.
    pub(crate) fn offset(&self) -> usize {
        self.offset
    }

    /// Has everything been read?
    pub(crate) fn is_done(&self) -> bool {
        self.offset >= self.bytes.len()
    }

    /// The error that `what` was expected at `offset`.
    pub(crate) fn error<T>(&self, offset: usize, what: &'static str) -> Result<T, CodecError> {
        Err(CodecError { offset, what })
    }

    pub(crate) fn byte(&mut self, what: &'static str) -> Result<u8, CodecError> {
        match self.bytes.get(self.offset) {
            Some(&byte) => {
                self.offset += 1;
                Ok(byte)
            }
            None => self.error(self.offset, what),
        }
    }

    /// A varint of up to 128 bits; a longer form than needed is refused.
    pub(crate) fn varint(&mut self, what: &'static str) -> Result<u128, CodecError> {
        // Most are a length or a number of few digits, and 16-byte arithmetic is slow.
        if let Some(short) = self.short_varint() {
            return Ok(short.into());
        }
        let start = self.offset;
        let mut value = 0u128;
        for shift in (0..128).step_by(7) {
            let byte = self.byte(what)?;
            let bits = u128::from(byte & 0x7f);
            if (bits << shift) >> shift != bits || (byte == 0 && shift > 0) {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        self.error(start, what)
    }

    /// A varint of up to four bytes, in its shortest form; none, and nothing read, if what comes is not one.
    fn short_varint(&mut self) -> Option<u32> {
        let bytes = self.bytes.get(self.offset..)?;
        let mut value = 0;
        for (at, &byte) in bytes.iter().take(4).enumerate() {
            value |= u32::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                let is_shortest = byte != 0 || at == 0;
                self.offset += if is_shortest { at + 1 } else { 0 };
                return is_shortest.then_some(value);
            }
        }
        None
    }

    /// A varint that fits `T`.
    pub(crate) fn number<T: TryFrom<u128>>(&mut self, what: &'static str) -> Result<T, CodecError> {
        let start = self.offset;
        let value = self.varint(what)?;
        T::try_from(value).or_else(|_| self.error(start, what))
    }

    /// Length-prefixed bytes, without a copy.
    pub(crate) fn slice(&mut self, what: &'static str) -> Result<&'a [u8], CodecError> {
        let start = self.offset;
        let length: usize = self.number(what)?;
        let end = self.offset.checked_add(length);
        match end.and_then(|end| self.bytes.get(self.offset..end)) {
            Some(slice) => {
                self.offset += length;
                Ok(slice)
            }
            None => self.error(start, what),
        }
    }

    /// Length-prefixed bytes that share the memory they are read from.
    pub(crate) fn blob(&mut self, what: &'static str) -> Result<Bytes, CodecError> {
        self.slice(what).map(|slice| self.bytes.slice_ref(slice))
    }

    /// Length-prefixed UTF-8.
    pub(crate) fn text(&mut self, what: &'static str) -> Result<&'a str, CodecError> {
        let start = self.offset;
        let slice = self.slice(what)?;
        std::str::from_utf8(slice).or_else(|_| self.error(start, what))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn varints_come_back(value: u128, shift in 0u32..128) {
            let value = value >> shift;
            let mut out = Vec::new();
            put_varint(value, &mut out);
            let bytes = Bytes::from(out);
            let mut reader = Reader::new(&bytes, 0);
            prop_assert_eq!(reader.varint("varint"), Ok(value));
            prop_assert!(reader.is_done());
        }

        #[test]
        fn a_varint_has_one_form(bytes: [u8; 20]) {
            let bytes = Bytes::copy_from_slice(&bytes);
            let mut reader = Reader::new(&bytes, 0);
            if let Ok(value) = reader.varint("varint") {
                let mut out = Vec::new();
                put_varint(value, &mut out);
                prop_assert_eq!(&out[..], &bytes[..reader.offset()]);
            }
        }
    }

    #[test]
    fn a_length_beyond_the_end_is_refused() {
        for bytes in [&b"\x05abcd"[..], b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01abcd", b"\x80\x00", b""] {
            let bytes = Bytes::copy_from_slice(bytes);
            assert_eq!(Reader::new(&bytes, 0).slice("a blob"), Err(CodecError { offset: 0, what: "a blob" }));
        }
        assert!(Reader::new(&Bytes::new(), usize::MAX).byte("a byte").is_err());
    }
}
