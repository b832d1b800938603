//! A request as both sides write it down before they sign: one form, whatever the bytes on the wire looked like.

use hyper::{HeaderMap, Method};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode, utf8_percent_encode};
use ring::digest;

use super::{ALGORITHM, claim::Scope};

/// Everything but what RFC 3986 leaves as it is.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
const PATH: &AsciiSet = &QUERY.remove(b'/');

/// What of a request is signed, beside its body.
pub(super) struct Request<'r> {
    pub(super) method: &'r Method,
    pub(super) path: &'r str,
    pub(super) query: Option<&'r str>,
    pub(super) headers: &'r HeaderMap,
    /// Names of headers, in small letters.
    pub(super) signed: &'r [String],
}

/// A request's body, as far as it is known.
#[derive(Clone, Copy)]
pub(crate) enum Payload<'b> {
    /// All of it.
    Whole(&'b [u8]),
    /// What the headers say of it: its SHA-256 in small hexadecimal digits.
    Hash(&'b str),
}

/// The hash of the body that the headers name, if they name one.
pub(crate) fn content_hash(headers: &HeaderMap) -> Option<&str> {
    let hash = headers.get("x-amz-content-sha256")?.to_str().ok()?;
    (hash.len() == 64 && hash.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))).then_some(hash)
}

/// The text that is signed.
pub(super) fn string_to_sign(request: &Request<'_>, payload: Payload<'_>, time: &str, scope: &Scope) -> String {
    let canonical = match payload {
        Payload::Whole(body) => request.canonical(&hash(body)),
        Payload::Hash(hash) => request.canonical(hash),
    };
    format!("{ALGORITHM}\n{time}\n{scope}\n{}", hash(canonical.as_bytes()))
}

impl Request<'_> {
    fn canonical(&self, body_hash: &str) -> String {
        let mut names: Vec<&str> = self.signed.iter().map(String::as_str).collect();
        names.sort_unstable();
        let mut text = String::with_capacity(512);
        for part in [self.method.as_str(), &path(self.path), &query(self.query.unwrap_or_default())] {
            text.push_str(part);
            text.push('\n');
        }
        for name in &names {
            text.push_str(name);
            text.push(':');
            for (place, value) in self.headers.get_all(*name).iter().enumerate() {
                if place > 0 {
                    text.push(',');
                }
                push_words(&mut text, &String::from_utf8_lossy(value.as_bytes()));
            }
            text.push('\n');
        }
        text.push('\n');
        text.push_str(&names.join(";"));
        text.push('\n');
        text.push_str(body_hash);
        text
    }
}

/// A value without blanks at its ends, and with single ones inside.
fn push_words(text: &mut String, value: &str) {
    for (place, word) in value.split_ascii_whitespace().enumerate() {
        if place > 0 {
            text.push(' ');
        }
        text.push_str(word);
    }
}

/// The path without empty and dotted segments, escaped once more.
fn path(path: &str) -> String {
    if path == "/" {
        return path.to_owned();
    }
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => _ = segments.pop(),
            segment => segments.push(segment),
        }
    }
    let is_directory = matches!(path.rsplit('/').next(), Some("" | "." | ".."));
    let end = if is_directory && !segments.is_empty() { "/" } else { "" };
    format!("/{}{end}", utf8_percent_encode(&segments.join("/"), PATH))
}

/// The parameters in order, but for the signature itself.
fn query(query: &str) -> String {
    if query.is_empty() {
        return String::new();
    }
    let escape = |text: &str| percent_encode(&percent_decode_str(text).collect::<Vec<u8>>(), QUERY).to_string();
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (escape(name), escape(value)))
        .filter(|(name, _)| name != "X-Amz-Signature")
        .collect();
    pairs.sort_unstable();
    let pairs: Vec<String> = pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

fn hash(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// Bytes in small hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    digits.map(char::from).collect()
}

/// The bytes that hexadecimal digits stand for; none if they are none.
pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_made_plain() {
        for (given, plain) in [
            ("/", "/"),
            ("//", "/"),
            ("/./", "/"),
            ("/a/..", "/"),
            ("/a/b/../..", "/"),
            ("//a//", "/a/"),
            ("/./a", "/a"),
            ("/a/.", "/a/"),
            ("/a.", "/a."),
            ("/../a", "/a"),
            ("/a%20b", "/a%2520b"),
        ] {
            assert_eq!(path(given), plain, "{given}");
        }
    }

    #[test]
    fn parameters_are_ordered_and_escaped_alike() {
        assert_eq!(query("b=2&a=%7e%2f&X-Amz-Signature=x&a="), "a=&a=~%2F&b=2");
        assert_eq!(query("x&&y=a=b"), "x=&y=a%3Db");
    }

    #[test]
    fn digits_are_read_back() {
        assert_eq!(unhex(&hex(&[0, 15, 255])), Some(vec![0, 15, 255]));
        assert!(unhex("0").is_none() && unhex("0g").is_none() && unhex("\u{e9}").is_none());
    }
}
