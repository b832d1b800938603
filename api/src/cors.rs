//! Pages of other origins: which of them may ask, and what their browsers want to be told.

use hyper::{HeaderMap, Response, StatusCode, header, header::HeaderValue, http::request::Parts};

use crate::wire::{self, Payload};

/// Browsers may remember for two days what they were told, as DynamoDB says.
const MAX_AGE_S: &str = "172800";
/// What pages may read of an answer beside its body.
const EXPOSED: &str =
    "x-amzn-RequestId,x-amzn-ErrorType,x-amz-request-id,x-amz-id-2,x-amzn-ErrorMessage,x-amz-crc32,Date";

/// Origins whose pages may ask, such as `https://example.com`; `*` stands for all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins(Vec<String>);

/// A text that is no origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no origin: write `*`, or a scheme and a host as browsers send them, such as https://example.com:8443"
)]
pub struct OriginError(String);

impl Origins {
    /// The origins of a list; each is checked.
    pub fn new(origins: Vec<String>) -> Result<Origins, OriginError> {
        match origins.iter().find(|origin| !is_origin(origin)) {
            Some(wrong) => Err(OriginError(wrong.clone())),
            None => Ok(Origins(origins)),
        }
    }

    /// What to allow the page that sends `headers`: its origin if it is listed.
    pub(crate) fn allowed(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        if self.0.is_empty() {
            return None;
        }
        let origin = headers.get(header::ORIGIN)?;
        if self.0.iter().any(|listed| listed == "*") {
            return Some(HeaderValue::from_static("*"));
        }
        let text = origin.to_str().ok()?;
        self.0.iter().any(|listed| listed.eq_ignore_ascii_case(text)).then(|| origin.clone())
    }
}

/// The answer to a browser that asks whether its page may: it may.
pub(crate) fn preflight(request_id: &str, head: &Parts) -> Response<Payload> {
    let mut answer = wire::numbered(request_id, StatusCode::OK, "text/plain", "");
    let headers = answer.headers_mut();
    let echoed = [
        (header::ACCESS_CONTROL_REQUEST_HEADERS, header::ACCESS_CONTROL_ALLOW_HEADERS),
        (header::ACCESS_CONTROL_REQUEST_METHOD, header::ACCESS_CONTROL_ALLOW_METHODS),
    ];
    for (asked, allowed) in echoed {
        if let Some(value) = head.headers.get(asked) {
            headers.insert(allowed, value.clone());
        }
    }
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE_S));
    answer
}

/// Tells the browser that its page may read the answer.
pub(crate) fn allow(headers: &mut HeaderMap, origin: HeaderValue) {
    if origin != "*" {
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
}

fn is_origin(text: &str) -> bool {
    let plain = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/');
    text == "*" || text.split_once("://").is_some_and(|(scheme, host)| plain(scheme) && plain(host) && host != "*")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(listed: &[&str], origin: &str) -> Option<HeaderValue> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ORIGIN, origin.parse().unwrap());
        Origins::new(listed.iter().map(|text| (*text).to_owned()).collect()).unwrap().allowed(&headers)
    }

    #[test]
    fn only_listed_origins_are_allowed() {
        assert_eq!(allowed(&[], "https://a.example"), None);
        assert_eq!(allowed(&["*"], "https://a.example").unwrap(), "*");
        let listed = ["https://b.example", "https://a.example:1"];
        assert_eq!(allowed(&listed, "https://a.example:1").unwrap(), "https://a.example:1");
        for other in ["https://a.example", "http://a.example:1", "null", "https://a.example:1.evil"] {
            assert_eq!(allowed(&listed, other), None, "{other}");
        }
        for wrong in ["", "a.example", "https://", "https://a/", "https://a b", "https://*", "://a"] {
            assert!(Origins::new(vec![wrong.to_owned()]).is_err(), "{wrong}");
        }
    }
}
