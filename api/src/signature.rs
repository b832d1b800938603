//! Signature Version 4 of AWS: what a request says about who signed it, and whether that is so.
//!
//! A [`Claim`] is what the headers, or the query of a presigned request, say; it is checked in the order in which DynamoDB
//! does, so that its errors are DynamoDB's. [`Claim::verify`] then takes the body as it came, before anything is inflated.
//! This module knows no keys and no clock: both are arguments.

mod canonical;
mod claim;
#[cfg(test)]
mod tests;
mod time;

use hyper::{HeaderMap, Method, Uri, header::HeaderValue};
use ring::hmac;

pub(crate) use canonical::{Payload, content_hash};
pub(crate) use claim::{Claim, Scope};

/// The only algorithm.
const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// What scopes end with.
const TERMINATOR: &str = "aws4_request";
/// The name of both services, DynamoDB and its streams, in scopes.
pub(crate) const SERVICE: &str = "dynamodb";
/// A region for what we sign ourselves; any is taken.
const REGION: &str = "us-east-1";

/// The key that signs all requests of one day to one service of one region.
pub(crate) fn signing_key(secret: &str, scope: &Scope) -> hmac::Key {
    let start = hmac::Key::new(hmac::HMAC_SHA256, format!("AWS4{secret}").as_bytes());
    [&scope.date, &scope.region, &scope.service, TERMINATOR]
        .into_iter()
        .fold(start, |key, part: &str| hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&key, part.as_bytes()).as_ref()))
}

/// What a client signs its requests with.
#[derive(Clone)]
pub struct Credentials {
    /// Names the key.
    pub access_key: String,
    /// Signs.
    pub secret_key: String,
    /// Goes with a key that ends by itself.
    pub session_token: Option<String>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

impl Credentials {
    /// Signs a request at `now_us`, microseconds since 1970, by adding to its headers, among which its host must be.
    pub fn sign(&self, method: &Method, uri: &Uri, headers: &mut HeaderMap, body: &[u8], now_us: u64) {
        let time = time::show(now_us);
        let scope = Scope { date: time[..8].to_owned(), region: REGION.to_owned(), service: SERVICE.to_owned() };
        let mut insert = |name: &'static str, text: &str| {
            if let Ok(value) = HeaderValue::from_str(text) {
                headers.insert(name, value);
            }
        };
        insert("x-amz-date", &time);
        if let Some(token) = &self.session_token {
            insert("x-amz-security-token", token);
        }
        let is_signed = |name: &&str| matches!(*name, "host" | "content-type") || name.starts_with("x-amz-");
        let mut signed: Vec<String> =
            headers.keys().map(|name| name.as_str()).filter(is_signed).map(str::to_owned).collect();
        signed.sort_unstable();
        let request = canonical::Request { method, path: uri.path(), query: uri.query(), headers, signed: &signed };
        let to_sign = canonical::string_to_sign(&request, Payload::Whole(body), &time, &scope);
        let signature = hmac::sign(&signing_key(&self.secret_key, &scope), to_sign.as_bytes());
        let authorization = format!(
            "{ALGORITHM} Credential={}/{scope}, SignedHeaders={}, Signature={}",
            self.access_key,
            signed.join(";"),
            canonical::hex(signature.as_ref())
        );
        if let Ok(value) = HeaderValue::from_str(&authorization) {
            headers.insert(hyper::header::AUTHORIZATION, value);
        }
    }
}
