//! Against the vectors that AWS publishes, and against what they do not say: each way of being wrong has its words.

use hyper::{HeaderMap, Method, Request, Uri, header::HeaderName, http::request::Parts};

use super::*;
use crate::Error;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const NOW: &str = "20150830T123600Z";

fn now_us() -> u64 {
    time::parse(NOW).unwrap()
}

/// A request as it is written on the wire, and its body.
fn parse(text: &str) -> (Parts, Vec<u8>) {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let first: Vec<&str> = lines.next().unwrap().split(' ').collect();
    let uri = Uri::try_from(first[1].as_bytes()).unwrap();
    let mut request = Request::builder().method(first[0]).uri(uri);
    for line in lines {
        let (name, value) = line.split_once(':').unwrap();
        request = request.header(name.parse::<HeaderName>().unwrap(), value.trim());
    }
    (request.body(()).unwrap().into_parts().0, body.as_bytes().to_vec())
}

#[test]
fn the_published_vectors_hold() {
    let vectors = include_str!("vectors.txt").split("=== ").skip(1);
    let mut count = 0;
    for vector in vectors {
        let (name, text) = vector.split_once('\n').unwrap();
        let (head, body) = parse(text.trim_end_matches('\n'));
        let claim = Claim::of_service(&head, now_us(), "service").unwrap();
        assert_eq!(claim.access_key, "AKIDEXAMPLE");
        let key = signing_key(SECRET, &claim.scope);
        assert_eq!(claim.verify(&head, Payload::Whole(&body), &key), Ok(()), "{name}");
        let other = signing_key("another", &claim.scope);
        assert!(claim.verify(&head, Payload::Whole(&body), &other).is_err(), "{name}");
        assert!(claim.verify(&head, Payload::Whole(b"another"), &key).is_err(), "{name}");
        count += 1;
    }
    assert_eq!(count, 28);
}

fn signed(edit: impl FnOnce(&mut HeaderMap)) -> (Parts, hmac::Key) {
    let credentials =
        Credentials { access_key: "AKID".into(), secret_key: SECRET.into(), session_token: Some("token".into()) };
    let (mut head, _) = parse("POST /a%20b?z=1&a=%2f HTTP/1.1\nhost: localhost:8000");
    credentials.sign(&head.method, &head.uri, &mut head.headers, b"{}", now_us());
    edit(&mut head.headers);
    let scope = Scope { date: NOW[..8].into(), region: REGION.into(), service: SERVICE.into() };
    (head, signing_key(SECRET, &scope))
}

#[test]
fn what_is_signed_here_is_taken_here() {
    let (head, key) = signed(|_| {});
    let claim = Claim::of(&head, now_us()).unwrap();
    assert_eq!(claim.session_token.as_deref(), Some("token"));
    assert_eq!(claim.verify(&head, Payload::Whole(b"{}"), &key), Ok(()));
    for (name, value) in
        [("host", "localhost:8001"), ("x-amz-security-token", "other"), ("x-amz-date", "20150830T123601Z")]
    {
        let (head, key) = signed(|headers| _ = headers.insert(name, value.parse().unwrap()));
        let claim = Claim::of(&head, now_us()).unwrap();
        assert!(claim.verify(&head, Payload::Whole(b"{}"), &key).is_err(), "{name}");
    }
    let (mut head, key) = signed(|_| {});
    head.uri = "/a%20b?z=2&a=%2f".parse().unwrap();
    assert!(claim.verify(&head, Payload::Whole(b"{}"), &key).is_err());
    head.uri = "/a%20b?a=%2F&z=1".parse().unwrap();
    assert_eq!(claim.verify(&head, Payload::Whole(b"{}"), &key), Ok(()), "the order of parameters does not count");
    head.method = Method::PUT;
    assert!(claim.verify(&head, Payload::Whole(b"{}"), &key).is_err());
}

#[test]
fn a_presigned_request_is_good_as_long_as_it_says() {
    let scope = Scope { date: NOW[..8].into(), region: "eu".into(), service: SERVICE.into() };
    let key = signing_key(SECRET, &scope);
    let query = format!(
        "X-Amz-Algorithm={ALGORITHM}&X-Amz-Credential=AKID%2F{}&X-Amz-Date={NOW}&X-Amz-Expires=3600&\
         X-Amz-SignedHeaders=host",
        scope.to_string().replace('/', "%2F")
    );
    let sign = |query: &str| {
        let (head, _) = parse(&format!("GET /streams/t?{query} HTTP/1.1\nhost: h"));
        let (path, signed) = (head.uri.path(), ["host".to_owned()]);
        let request = canonical::Request {
            method: &head.method,
            path,
            query: head.uri.query(),
            headers: &head.headers,
            signed: &signed,
        };
        canonical::hex(
            hmac::sign(&key, canonical::string_to_sign(&request, Payload::Whole(b""), NOW, &scope).as_bytes()).as_ref(),
        )
    };
    let (head, _) = parse(&format!("GET /streams/t?{query}&X-Amz-Signature={} HTTP/1.1\nhost: h", sign(&query)));
    let claim = Claim::of(&head, now_us() + 3599 * 1_000_000).unwrap();
    assert_eq!(claim.verify(&head, Payload::Whole(b""), &key), Ok(()));
    assert!(
        matches!(Claim::of(&head, now_us() + 3601 * 1_000_000), Err(Error::InvalidSignature(text)) if text.starts_with("Signature expired: 20150830T133600Z"))
    );
    for expires in ["0", "604801", "x", "-1"] {
        let (head, _) = parse(
            &format!("GET /?{query}&X-Amz-Signature=0 HTTP/1.1\nhost: h").replace("=3600", &format!("={expires}")),
        );
        assert!(matches!(Claim::of(&head, now_us()), Err(Error::IncompleteSignature(_))), "{expires}");
    }
}

/// What DynamoDB says of each header, without the account of the service's documentation.
#[test]
fn each_way_of_being_wrong_has_its_words() {
    let credential = "Credential=a/20150830/us-east-1/dynamodb/aws4_request";
    let rest = format!("{credential}, SignedHeaders=host;x-amz-date, Signature=00");
    let date = "x-amz-date: 20150830T123600Z";
    let good = format!("authorization: {ALGORITHM} {rest}\n{date}");
    let scoped = |scope: &str| good.replace("a/20150830/us-east-1/dynamodb/aws4_request", scope);
    let incomplete = |text: &str| Error::IncompleteSignature(text.to_owned());
    let invalid = |text: &str| Error::InvalidSignature(text.to_owned());
    for (path, headers, expected) in [
        ("/", "x: y".to_owned(), Error::MissingAuthentication),
        ("/", "authorization: AWS4".to_owned(), Error::MissingAuthentication),
        ("/", "authorization: Bearer x".to_owned(), Error::MissingAuthentication),
        ("/?X-Amz-Credential=a", "x: y".to_owned(), Error::MissingAuthentication),
        (
            "/?X-Amz-Algorithm",
            good.clone(),
            invalid("Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header."),
        ),
        (
            "/",
            "authorization: AWS4-".to_owned(),
            incomplete(
                "Authorization header requires 'Credential' parameter. Authorization header requires 'Signature' \
                 parameter. Authorization header requires 'SignedHeaders' parameter. Authorization header requires \
                 existence of either a 'X-Amz-Date' or a 'Date' header. Authorization=AWS4-",
            ),
        ),
        (
            "/",
            "authorization: AWS4- Signature=b,Credential=a\ndate: a".to_owned(),
            incomplete(
                "Authorization header requires 'SignedHeaders' parameter. Authorization=AWS4- Signature=b,Credential=a",
            ),
        ),
        (
            "/",
            format!("authorization: {ALGORITHM} Signature=b, Credential\n{date}"),
            incomplete(
                "'Credential' not a valid key=value pair (missing equal-sign) in Authorization header: \
                 'AWS4-HMAC-SHA256 Signature=b, Credential'.",
            ),
        ),
        (
            "/?X-Amz-Algorithm=a&X-Amz-Credential=b&X-Amz-Signature=c&X-Amz-Date=d",
            "x: y".to_owned(),
            incomplete(
                "AWS query-string parameters must include 'X-Amz-SignedHeaders'. Re-examine the query-string parameters.",
            ),
        ),
        (
            "/",
            good.replace(date, "x-amz-date: 201"),
            incomplete("Date must be in ISO-8601 'basic format'. Got '201'. See http://en.wikipedia.org/wiki/ISO_8601"),
        ),
        (
            "/",
            good.replace(date, "x-amz-date: 20150830T122059Z"),
            invalid(
                "Signature expired: 20150830T122059Z is now earlier than 20150830T122100Z (20150830T123600Z - 15 min.)",
            ),
        ),
        (
            "/",
            good.replace(date, "x-amz-date: 20150830T125101Z"),
            invalid(
                "Signature not yet current: 20150830T125101Z is still later than 20150830T125100Z \
                 (20150830T123600Z + 15 min.)",
            ),
        ),
        (
            "/",
            good.replace("=host;", "="),
            invalid("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."),
        ),
        (
            "/",
            good.replace(";x-amz-date", ""),
            invalid("'X-Amz-Date' must be a 'SignedHeader' in the AWS Authorization."),
        ),
        (
            "/",
            format!("{good}\nx-amz-target: x"),
            invalid("'X-Amz-Target' must be a 'SignedHeader' in the AWS Authorization."),
        ),
        (
            "/",
            good.replace(date, "date: Sun, 30 Aug 2015 12:36:00 GMT"),
            invalid("'Date' must be a 'SignedHeader' in the AWS Authorization."),
        ),
        (
            "/",
            good.replace("SHA256", "SHA25"),
            incomplete("Unsupported AWS 'algorithm': 'AWS4-HMAC-SHA25' (only AWS4-HMAC-SHA256 for now). "),
        ),
        (
            "/",
            scoped("a/b/c/d"),
            incomplete(
                "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got \
                 'a/b/c/d'",
            ),
        ),
        (
            "/",
            scoped("a/b/c/d/e"),
            invalid(
                "Credential should be scoped to correct service: 'dynamodb'. Credential should be scoped with a valid \
                 terminator: 'aws4_request', not 'e'. Date in Credential scope does not match YYYYMMDD from ISO-8601 \
                 version of date from HTTP: 'b' != '20150830', from '20150830T123600Z'.",
            ),
        ),
    ] {
        let (head, _) = parse(&format!("POST {path} HTTP/1.1\nhost: h\n{headers}"));
        assert_eq!(Claim::of(&head, now_us()).unwrap_err(), expected, "{path} {headers}");
    }
    let (head, _) = parse(&format!("POST / HTTP/1.1\nhost: h\n{good}"));
    let claim = Claim::of(&head, now_us()).unwrap();
    assert!(matches!(
        claim.verify(&head, Payload::Whole(b""), &signing_key(SECRET, &claim.scope)),
        Err(Error::InvalidSignature(text)) if text.starts_with("The request signature we calculated does not match")
    ));
}
