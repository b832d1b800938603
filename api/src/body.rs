//! Request bodies: bounded in size, in time, in sum, and after inflation.

use std::io::Read;

use bytes::{Bytes, BytesMut};
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http_body_util::BodyExt;
use hyper::{HeaderMap, body::Body, header, http::request::Parts};

use crate::{Error, Service, access::Caller, arriving::Arriving, budget::Share};

/// A whole request body. While it is held, it and what it becomes count against the bounds of all of them.
pub(crate) struct WholeBody {
    pub(crate) bytes: Bytes,
    _shares: (Share, Share),
}

/// What a value takes beside its text, in a list that grows by doubling or a set half full: two slots of 40 bytes and an
/// allocation.
const VALUE_BYTES: usize = 96;
/// What each `{` may stand for. A map of one member is a whole node of a tree, eleven slots of 64 bytes, and is written with
/// three: `{"M":{"a":{"S":""}}}`.
const MAP_BYTES: usize = 256;

/// A body that announces no more than this is not counted while it arrives: the bound on connections bounds them too.
const SMALL_BYTES: u64 = 16 << 10;

/// Reads the body of `head`, refuses it unless `caller` has signed it as it came, and inflates it.
pub(crate) async fn read<B>(service: &Service, caller: &Caller<'_>, head: &Parts, body: B) -> Result<WholeBody, Error>
where
    B: Body<Data = Bytes>,
    B::Error: std::fmt::Display,
{
    let config = &service.app.config;
    let bytes_max = config.body_bytes_max;
    let encoding = Encoding::of(&head.headers)?;
    let size = body.size_hint();
    if size.lower() > bytes_max as u64 {
        return Err(Error::BodyTooLarge { bytes_max });
    }
    let late = |_| Error::BodyIncomplete("the request body did not arrive in time".into());
    let is_large = size.exact().is_none_or(|bytes| bytes > SMALL_BYTES);
    // Others have shown nothing yet: not even who signed the request before on the same connection has signed this one.
    let is_sure = caller.key().is_none() || is_large && caller.is_sure();
    let (bytes, mut share) = if is_sure {
        // What may become larger than it says is admitted at its largest.
        let bytes = match (encoding, size.exact()) {
            (Encoding::Identity, Some(exact)) => exact as usize,
            _ => bytes_max,
        };
        let share = service.bodies.take(bytes).await?;
        let bytes = tokio::time::timeout(config.body_timeout, collect(body, bytes_max, None)).await.map_err(late)??;
        caller.verify(&bytes, service.now_us())?;
        (bytes, share)
    } else {
        let mut arriving = service.arrivals.begin();
        let collected = collect(body, bytes_max, is_large.then_some(&mut arriving));
        let bytes = tokio::time::timeout(config.body_timeout, collected).await.map_err(late)??;
        caller.verify(&bytes, service.now_us())?;
        let admitted = if encoding == Encoding::Identity { bytes.len() } else { bytes_max };
        (bytes, service.bodies.take(admitted).await?)
    };
    let bytes = match encoding {
        Encoding::Identity => bytes,
        Encoding::Gzip => inflate("gzip", MultiGzDecoder::new(bytes.as_ref()), bytes_max)?,
        // Some clients leave out the wrapping that the name stands for.
        Encoding::Deflate if is_zlib(&bytes) => inflate("deflate", ZlibDecoder::new(bytes.as_ref()), bytes_max)?,
        Encoding::Deflate => inflate("deflate", DeflateDecoder::new(bytes.as_ref()), bytes_max)?,
    };
    service.bodies.resize(&mut share, bytes.len());
    let parsed_bytes = parsed_bytes(&bytes);
    let bytes_max = service.parsed.bytes_max();
    if parsed_bytes > bytes_max {
        return Err(Error::RequestTooLarge { bytes: parsed_bytes, bytes_max });
    }
    let parsed = service.parsed.take(parsed_bytes).await?;
    Ok(WholeBody { bytes, _shares: (share, parsed) })
}

/// What JSON takes when it is parsed, roughly, and not less: its texts, and a constant for each value and each map.
fn parsed_bytes(json: &[u8]) -> usize {
    // In pieces that a byte can count, which is many bytes at a time.
    let of_piece = |piece: &[u8], wanted: u8| piece.iter().map(|byte| u8::from(*byte == wanted)).sum::<u8>();
    let count = |wanted: u8| json.chunks(255).map(|piece| usize::from(of_piece(piece, wanted))).sum::<usize>();
    let (mut values, mut maps) = (count(b','), count(b'{'));
    if json.contains(&b'\\') {
        // The texts of statements are parsed too, and may have these as escapes.
        let escaped = |wanted: &[u8; 6]| json.windows(6).filter(|escape| escape.eq_ignore_ascii_case(wanted)).count();
        values += escaped(b"\\u002c");
        maps += escaped(b"\\u007b");
    }
    json.len() + VALUE_BYTES * values + MAP_BYTES * maps
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Identity,
    Gzip,
    Deflate,
}

impl Encoding {
    fn of(headers: &HeaderMap) -> Result<Encoding, Error> {
        let mut encoding = Encoding::Identity;
        for value in headers.get_all(header::CONTENT_ENCODING) {
            match value.as_bytes().to_ascii_lowercase().as_slice() {
                b"" | b"identity" => {}
                b"gzip" | b"x-gzip" if matches!(encoding, Encoding::Identity) => encoding = Encoding::Gzip,
                b"deflate" if matches!(encoding, Encoding::Identity) => encoding = Encoding::Deflate,
                _ => return Err(Error::BodyEncoding("content-encoding must be gzip, deflate or identity".into())),
            }
        }
        Ok(encoding)
    }
}

/// All of a body; what has arrived of it is told `arriving`.
async fn collect<B>(body: B, bytes_max: usize, mut arriving: Option<&mut Arriving<'_>>) -> Result<Bytes, Error>
where
    B: Body<Data = Bytes>,
    B::Error: std::fmt::Display,
{
    let mut body = std::pin::pin!(body);
    // Most bodies are one frame, which need not be copied.
    let mut only = Bytes::new();
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Error::BodyIncomplete(format!("the request body ended early: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        let bytes = only.len() + whole.len() + data.len();
        if bytes > bytes_max {
            return Err(Error::BodyTooLarge { bytes_max });
        }
        if let Some(arriving) = &mut arriving {
            arriving.grow(bytes).await?;
        }
        if only.is_empty() && whole.is_empty() {
            only = data;
        } else {
            whole.extend_from_slice(&std::mem::take(&mut only));
            whole.extend_from_slice(&data);
        }
    }
    Ok(if whole.is_empty() { only } else { whole.freeze() })
}

/// Does it begin as zlib's form does?
fn is_zlib(compressed: &[u8]) -> bool {
    matches!(compressed, [method, flags, ..] if method & 15 == 8 && u16::from_be_bytes([*method, *flags]) % 31 == 0)
}

fn inflate(name: &str, from: impl Read, bytes_max: usize) -> Result<Bytes, Error> {
    let mut bytes = Vec::new();
    from.take(bytes_max as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Error::Serialization(Some(format!("The request body is not valid {name}: {error}"))))?;
    if bytes.len() > bytes_max {
        return Err(Error::BodyTooLarge { bytes_max });
    }
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_statement_becomes_is_counted_also_where_it_is_escaped() {
        let plain = parsed_bytes(br#"{"Statement":"INSERT INTO t VALUE {'a':[{},{}]}"}"#);
        let escaped = parsed_bytes(br#"{"Statement":"INSERT INTO t VALUE \u007b'a':[\u007B}\u002C{}]}"}"#);
        assert!(plain > 4 * MAP_BYTES + VALUE_BYTES);
        assert_eq!(escaped, plain + 3 * 5, "an escape is five bytes longer, and else the same");
    }
}
