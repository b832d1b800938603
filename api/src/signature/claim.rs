//! What a request says about its signature.

use std::{collections::BTreeMap, fmt};

use hyper::{HeaderMap, header, http::request::Parts};
use percent_encoding::percent_decode_str;
use ring::hmac;

use super::{ALGORITHM, Payload, SERVICE, TERMINATOR, canonical, time};
use crate::Error;

/// So far a client's clock may be from ours.
const SKEW_US: u64 = 15 * 60 * 1_000_000;
/// A presigned request is good for a week at most.
const EXPIRES_S_MAX: u64 = 7 * 24 * 3600;

/// What a signing key is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scope {
    /// `YYYYMMDD`.
    pub(crate) date: String,
    pub(crate) region: String,
    pub(crate) service: String,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{TERMINATOR}", self.date, self.region, self.service)
    }
}

/// Who is said to have signed a request, and how.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) access_key: String,
    pub(crate) scope: Scope,
    pub(crate) session_token: Option<String>,
    /// When it was signed, as it is signed.
    time: String,
    signed: Vec<String>,
    signature: String,
}

/// The parts of a claim before they are looked at.
struct Given<'r> {
    algorithm: &'r str,
    credential: &'r str,
    signed: &'r str,
    signature: &'r str,
    /// `X-Amz-Date`, or `Date` in its own form.
    time: &'r str,
    is_http_time: bool,
    /// Seconds for which a presigned request is good.
    expires: Option<&'r str>,
}

impl Claim {
    /// The claim of a request that came at `now_us` to `service`.
    pub(crate) fn of(head: &Parts, now_us: u64) -> Result<Claim, Error> {
        Claim::of_service(head, now_us, SERVICE)
    }

    pub(super) fn of_service(head: &Parts, now_us: u64, service: &str) -> Result<Claim, Error> {
        let query = parameters(head.uri.query().unwrap_or_default());
        let authorization = text(&head.headers, header::AUTHORIZATION.as_str());
        let is_presigned = query.contains_key("X-Amz-Algorithm");
        let given = match authorization.map(str::trim) {
            Some(_) if is_presigned => {
                return Err(Error::InvalidSignature(
                    "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header.".into(),
                ));
            }
            Some(authorization) if authorization.starts_with("AWS4-") => of_header(authorization, &head.headers)?,
            None if is_presigned => of_query(&query)?,
            _ => return Err(Error::MissingAuthentication),
        };
        let session_token = match is_presigned {
            true => query.get("X-Amz-Security-Token").cloned(),
            false => text(&head.headers, "x-amz-security-token").map(str::to_owned),
        };
        given.check(head, now_us, service, session_token)
    }

    /// Did the owner of `key` sign this request with this body, which is as it came?
    pub(crate) fn verify(&self, head: &Parts, payload: Payload<'_>, key: &hmac::Key) -> Result<(), Error> {
        let request = canonical::Request {
            method: &head.method,
            path: head.uri.path(),
            query: head.uri.query(),
            headers: &head.headers,
            signed: &self.signed,
        };
        let to_sign = canonical::string_to_sign(&request, payload, &self.time, &self.scope);
        // Compares in constant time.
        let signature = canonical::unhex(&self.signature).unwrap_or_default();
        hmac::verify(key, to_sign.as_bytes(), &signature).map_err(|_| {
            Error::InvalidSignature(
                "The request signature we calculated does not match the signature you provided. Check your AWS Secret \
                 Access Key and signing method. Consult the service documentation for details."
                    .into(),
            )
        })
    }
}

impl Given<'_> {
    fn check(self, head: &Parts, now_us: u64, service: &str, session_token: Option<String>) -> Result<Claim, Error> {
        let wrong_time = || {
            Error::IncompleteSignature(format!(
                "Date must be in ISO-8601 'basic format'. Got '{}'. See http://en.wikipedia.org/wiki/ISO_8601",
                self.time
            ))
        };
        let signed_us = time::parse(self.time).or_else(|| self.is_http_time.then(|| time::parse_http(self.time))?);
        let signed_us = signed_us.ok_or_else(wrong_time)?;
        let time = time::show(signed_us);
        self.check_time(signed_us, now_us)?;
        let signed: Vec<String> = self.signed.split(';').map(str::to_ascii_lowercase).collect();
        check_signed(&signed, &head.headers)?;
        if self.algorithm != ALGORITHM {
            return Err(Error::IncompleteSignature(format!(
                "Unsupported AWS 'algorithm': '{}' (only {ALGORITHM} for now). ",
                self.algorithm
            )));
        }
        let parts: Vec<&str> = self.credential.trim_end_matches('/').split('/').collect();
        let [access_key, date, region, of_service, terminator] = parts[..] else {
            return Err(Error::IncompleteSignature(format!(
                "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '{}'",
                self.credential
            )));
        };
        let mut wrong = Vec::new();
        if region.is_empty() {
            wrong.push("Credential should be scoped to a valid region. ".to_owned());
        }
        if of_service != service {
            wrong.push(format!("Credential should be scoped to correct service: '{service}'. "));
        }
        if terminator != TERMINATOR {
            wrong.push(format!(
                "Credential should be scoped with a valid terminator: '{TERMINATOR}', not '{terminator}'. "
            ));
        }
        if date != &time[..8] {
            wrong.push(format!(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{date}' != \
                 '{}', from '{time}'.",
                &time[..8]
            ));
        }
        if !wrong.is_empty() {
            return Err(Error::InvalidSignature(wrong.concat()));
        }
        let scope = Scope { date: date.to_owned(), region: region.to_owned(), service: of_service.to_owned() };
        let signature = self.signature.to_owned();
        Ok(Claim { access_key: access_key.to_owned(), scope, session_token, time, signed, signature })
    }

    /// Was it signed about now, or is it presigned for longer?
    fn check_time(&self, signed_us: u64, now_us: u64) -> Result<(), Error> {
        let show = time::show;
        let expired = |text: String| Err(Error::InvalidSignature(format!("Signature expired: {text}")));
        if signed_us > now_us + SKEW_US {
            return Err(Error::InvalidSignature(format!(
                "Signature not yet current: {} is still later than {} ({} + 15 min.)",
                show(signed_us),
                show(now_us + SKEW_US),
                show(now_us)
            )));
        }
        let Some(expires) = self.expires else {
            let earliest = now_us.saturating_sub(SKEW_US);
            if signed_us < earliest {
                return expired(format!(
                    "{} is now earlier than {} ({} - 15 min.)",
                    show(signed_us),
                    show(earliest),
                    show(now_us)
                ));
            }
            return Ok(());
        };
        let seconds =
            expires.parse().ok().filter(|seconds| (1..=EXPIRES_S_MAX).contains(seconds)).ok_or_else(|| {
                Error::IncompleteSignature(format!(
                    "X-Amz-Expires must be a number of seconds from 1 to {EXPIRES_S_MAX}"
                ))
            })?;
        let until_us = signed_us + seconds * 1_000_000;
        if until_us < now_us {
            return expired(format!("{} is now earlier than {}", show(until_us), show(now_us)));
        }
        Ok(())
    }
}

/// Refuses a signature that leaves out what says where, when and what.
fn check_signed(signed: &[String], headers: &HeaderMap) -> Result<(), Error> {
    let is_signed = |name: &str| signed.iter().any(|signed| signed == name);
    if !is_signed("host") {
        return Err(unsigned("'Host' or ':authority'"));
    }
    for (name, told) in [("x-amz-date", "'X-Amz-Date'"), ("x-amz-target", "'X-Amz-Target'")] {
        // What a presigned request has in its query is signed anyway.
        if headers.contains_key(name) && !is_signed(name) {
            return Err(unsigned(told));
        }
    }
    let has_time = headers.contains_key("x-amz-date") || !headers.contains_key(header::AUTHORIZATION);
    if !has_time && !is_signed("date") {
        return Err(unsigned("'Date'"));
    }
    Ok(())
}

fn unsigned(told: &str) -> Error {
    Error::InvalidSignature(format!("{told} must be a 'SignedHeader' in the AWS Authorization."))
}

fn of_header<'r>(authorization: &'r str, headers: &'r HeaderMap) -> Result<Given<'r>, Error> {
    let (algorithm, rest) = authorization.split_once(' ').unwrap_or((authorization, ""));
    let mut parts = BTreeMap::new();
    for pair in rest.split([',', ' ']).filter(|pair| !pair.is_empty()) {
        let Some((name, value)) = pair.split_once('=') else {
            return Err(Error::IncompleteSignature(format!(
                "'{pair}' not a valid key=value pair (missing equal-sign) in Authorization header: '{authorization}'."
            )));
        };
        parts.insert(name, value);
    }
    let (time, is_http_time) = match text(headers, "x-amz-date") {
        Some(time) => (Some(time), false),
        None => (text(headers, "date"), true),
    };
    let mut missing = String::new();
    let mut part = |name: &str| {
        let part = parts.get(name).copied().unwrap_or_default();
        if part.is_empty() {
            missing.push_str(&format!("Authorization header requires '{name}' parameter. "));
        }
        part
    };
    let (credential, signature, signed) = (part("Credential"), part("Signature"), part("SignedHeaders"));
    if time.is_none() {
        missing.push_str("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ");
    }
    if !missing.is_empty() {
        return Err(Error::IncompleteSignature(format!("{missing}Authorization={authorization}")));
    }
    let time = time.unwrap_or_default();
    Ok(Given { algorithm, credential, signed, signature, time, is_http_time, expires: None })
}

fn of_query(query: &BTreeMap<String, String>) -> Result<Given<'_>, Error> {
    let mut missing = String::new();
    let mut part = |name: &str| {
        let part = query.get(name).map(String::as_str).unwrap_or_default();
        if part.is_empty() {
            missing.push_str(&format!("AWS query-string parameters must include '{name}'. "));
        }
        part
    };
    let given = Given {
        algorithm: part("X-Amz-Algorithm"),
        credential: part("X-Amz-Credential"),
        signature: part("X-Amz-Signature"),
        signed: part("X-Amz-SignedHeaders"),
        time: part("X-Amz-Date"),
        is_http_time: false,
        expires: Some(query.get("X-Amz-Expires").map_or("900", String::as_str)),
    };
    if !missing.is_empty() {
        return Err(Error::IncompleteSignature(format!("{missing}Re-examine the query-string parameters.")));
    }
    Ok(given)
}

/// The parameters of a query that are about its signature, decoded.
fn parameters(query: &str) -> BTreeMap<String, String> {
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.filter(|(name, _)| name.starts_with("X-Amz-")).map(|(name, value)| (decode(name), decode(value))).collect()
}

/// The text of a header that is there once.
fn text<'r>(headers: &'r HeaderMap, name: &str) -> Option<&'r str> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())?.to_str().ok()
}
