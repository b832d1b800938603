//! Answers on the wire: headers, checksum, compression.

use std::{convert::Infallible, io::Write};

use bytes::Bytes;
use crc_fast::CrcAlgorithm;
use flate2::{
    Compression,
    write::{GzEncoder, ZlibEncoder},
};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{HeaderMap, Response, StatusCode, header, header::HeaderValue};

use crate::Error;

/// The body of an answer.
pub type Payload = UnsyncBoxBody<Bytes, Infallible>;

/// Smaller answers are not worth compressing.
const COMPRESSED_BYTES_MIN: usize = 1024;

/// A body that is known whole.
pub(crate) fn whole(bytes: impl Into<Bytes>) -> Payload {
    Full::new(bytes.into()).boxed_unsync()
}

/// An answer of the routes beside the DynamoDB protocol.
pub(crate) fn plain(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Payload> {
    let mut response = Response::new(whole(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// An answer at `/`: with a checksum and the request's id.
pub(crate) fn numbered(
    request_id: &str,
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Payload> {
    let body = body.into();
    let checksum = crc_fast::checksum(CrcAlgorithm::Crc32IsoHdlc, &body);
    let mut response = plain(status, content_type, body);
    let headers = response.headers_mut();
    headers.insert("x-amz-crc32", HeaderValue::from(checksum));
    if let Ok(request_id) = HeaderValue::from_str(request_id) {
        headers.insert("x-amzn-requestid", request_id);
    }
    response
}

/// What DynamoDB answers to what is no request of its protocol.
pub(crate) fn no_request(request_id: &str) -> Response<Payload> {
    numbered(request_id, StatusCode::NOT_FOUND, "application/xml", "<UnknownOperationException/>\n")
}

/// A JSON answer of the routes beside the DynamoDB protocol.
pub(crate) fn json(status: StatusCode, body: &impl serde::Serialize) -> Response<Payload> {
    let bytes = serde_json::to_vec(body).expect("our answers have text keys, so they are always JSON");
    plain(status, "application/json", bytes)
}

/// An error of the routes beside the DynamoDB protocol: `{"error": text}`.
pub(crate) fn refusal(status: StatusCode, text: &str) -> Response<Payload> {
    json(status, &serde_json::json!({ "error": text }))
}

/// A failure on a route beside the DynamoDB protocol.
pub(crate) fn failure(error: &Error) -> Response<Payload> {
    let status = match error {
        Error::NotFound(_) => StatusCode::NOT_FOUND,
        Error::Trimmed(_) => StatusCode::GONE,
        Error::NotAuthorized(_) => StatusCode::FORBIDDEN,
        error if error.is_unauthenticated() => StatusCode::UNAUTHORIZED,
        other => StatusCode::from_u16(other.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
    };
    refusal(status, &error.to_string())
}

/// How a client of the DynamoDB protocol wants its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wishes {
    coding: Coding,
    content_type: &'static str,
}

impl Wishes {
    /// What the request's headers ask for; none if it has a body of a content type that is not ours.
    pub(crate) fn of(headers: &HeaderMap, has_body: bool) -> Option<Wishes> {
        let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let content_type = match content_type.split(';').next().unwrap_or_default().trim() {
            "application/x-amz-json-1.0" => "application/x-amz-json-1.0",
            "application/json" => "application/json",
            _ if has_body => return None,
            _ => "application/json",
        };
        Some(Wishes { coding: Coding::wanted(headers), content_type })
    }

    /// For a request whose headers say nothing useful.
    pub(crate) fn none() -> Wishes {
        Wishes { coding: Coding::Identity, content_type: "application/x-amz-json-1.0" }
    }

    /// The answer of an operation.
    pub(crate) fn answer(self, request_id: &str, result: Result<Vec<u8>, Error>) -> Response<Payload> {
        let (status, body) = match result {
            Ok(body) => (200, body),
            Err(error) => (error.status(), error.body()),
        };
        let compressed = if body.len() >= COMPRESSED_BYTES_MIN { self.coding.apply(&body) } else { None };
        let (body, coding) = compressed.map_or((body, None), |(compressed, name)| (compressed, Some(name)));
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = numbered(request_id, status, self.content_type, body);
        let headers = response.headers_mut();
        if let Some(name) = coding {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(name));
        }
        response
    }
}

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Identity,
    Gzip,
    Deflate,
}

impl Coding {
    /// What the client likes best of what there is; of equals the one that takes fewest bytes.
    fn wanted(headers: &HeaderMap) -> Coding {
        let mut qualities: [Option<f32>; 3] = [None; 3];
        let mut others = None;
        let listed = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
        for coding in listed.flat_map(|value| value.split(',')) {
            let (name, quality) = coding.split_once(';').unwrap_or((coding, ""));
            let quality = match quality.trim().split_once('=') {
                Some((name, text)) if name.trim().eq_ignore_ascii_case("q") => {
                    text.trim().parse().ok().filter(|quality| (0.0..=1.0).contains(quality)).unwrap_or(0.0)
                }
                _ => 1.0,
            };
            match name.trim().to_ascii_lowercase().as_str() {
                "gzip" | "x-gzip" => qualities[0] = Some(quality),
                "deflate" => qualities[1] = Some(quality),
                "identity" => qualities[2] = Some(quality),
                "*" => others = Some(quality),
                _ => {}
            }
        }
        let compressed = |place: usize| qualities[place].or(others).unwrap_or(0.0);
        let (gzip, deflate) = (compressed(0), compressed(1));
        // Who does not name it takes it, but rather what he names.
        let identity = qualities[2].unwrap_or(0.0);
        if gzip <= 0.0 && deflate <= 0.0 || identity > gzip.max(deflate) {
            Coding::Identity
        } else if gzip >= deflate {
            Coding::Gzip
        } else {
            Coding::Deflate
        }
    }

    /// The body in this coding with the coding's name; none as it is.
    fn apply(self, body: &[u8]) -> Option<(Vec<u8>, &'static str)> {
        let room = Vec::with_capacity(body.len() / 4);
        let written = match self {
            Coding::Identity => return None,
            Coding::Gzip => {
                let mut encoder = GzEncoder::new(room, Compression::fast());
                encoder.write_all(body).and_then(|()| encoder.finish())
            }
            Coding::Deflate => {
                let mut encoder = ZlibEncoder::new(room, Compression::fast());
                encoder.write_all(body).and_then(|()| encoder.finish())
            }
        };
        let name = if self == Coding::Gzip { "gzip" } else { "deflate" };
        Some((written.expect("a vector takes whatever is written to it"), name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(accepts: Option<&'static str>, bytes: usize) -> (HeaderMap, usize) {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.0"));
        if let Some(accepts) = accepts {
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(accepts));
        }
        let response = Wishes::of(&headers, true).unwrap().answer("id", Ok(vec![b' '; bytes]));
        let exact = hyper::body::Body::size_hint(response.body()).exact().unwrap();
        (response.headers().clone(), usize::try_from(exact).unwrap())
    }

    #[test]
    fn answers_are_compressed_only_if_asked_and_worthwhile() {
        for (accepts, coding) in [
            ("gzip", "gzip"),
            ("br, GZIP;q=0.5", "gzip"),
            ("gzip, deflate", "gzip"),
            ("deflate", "deflate"),
            ("gzip;q=0.5, deflate; q=0.6", "deflate"),
            ("gzip;q=0, *", "deflate"),
            ("*;q=0.1", "gzip"),
            ("identity;q=0.2, gzip;q=0.3", "gzip"),
        ] {
            let (headers, length) = answered(Some(accepts), 100_000);
            assert_eq!(headers[header::CONTENT_ENCODING], coding, "{accepts}");
            assert!(length < 1000);
        }
        for (accepts, bytes) in [
            (None, 100_000),
            (Some("identity"), 100_000),
            (Some("gzip;q=0"), 100_000),
            (Some("gzip; q=0.0"), 100_000),
            (Some("gzip"), 100),
            (Some("identity, gzip;q=0.5"), 100_000),
            (Some("gzip;q=0, deflate;q=0, *"), 100_000),
            (Some("gzip;q=x"), 100_000),
            (Some("br"), 100_000),
        ] {
            let (headers, length) = answered(accepts, bytes);
            assert!(!headers.contains_key(header::CONTENT_ENCODING), "{accepts:?}");
            assert_eq!(length, bytes);
        }
    }
}
