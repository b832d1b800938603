//! The wire, by example: `golden/<name>.request` holds requests, `golden/<name>.response` the answers that the public
//! documentation of DynamoDB promises for them, both parted by lines of `---`. A new store for each file.
//!
//! A request is an operation and its JSON, or a request line (`GET /health/live`), headers, an empty line and a body. An
//! answer is a status and its JSON or text; `"*"` stands for any value, and `"@name"` for one that later requests of the
//! file may name as `@name@`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{collections::BTreeMap, path::Path};

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use serde_json::Value;
use support::{Answer, Served};

#[tokio::test]
async fn every_answer_is_as_documented() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut files: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "request"));
    files.sort();
    assert!(!files.is_empty());
    let mut wrong = Vec::new();
    for file in &files {
        wrong.extend(check(file).await);
    }
    assert!(wrong.is_empty(), "{} wrong answers\n\n{}", wrong.len(), wrong.join("\n\n"));
}

/// Sends one file's requests; tells each answer that is not the expected one.
async fn check(file: &Path) -> Vec<String> {
    let name = file.file_stem().unwrap().to_string_lossy().into_owned();
    let requests = std::fs::read_to_string(file).unwrap();
    let responses = std::fs::read_to_string(file.with_extension("response")).unwrap();
    let requests: Vec<&str> = requests.split("\n---\n").collect();
    let responses: Vec<&str> = responses.split("\n---\n").collect();
    assert_eq!(requests.len(), responses.len(), "{name}: as many answers as requests");
    let served = support::serve();
    let mut captured: BTreeMap<String, String> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (place, (request, expected)) in requests.iter().zip(&responses).enumerate() {
        let mut request = (*request).to_owned();
        for (name, value) in &captured {
            request = request.replace(&format!("@{name}@"), value);
        }
        let answer = send(&served, &request).await;
        if let Err(difference) = compare(&answer, expected, &mut captured) {
            let body = String::from_utf8_lossy(&answer.body).into_owned();
            wrong.push(format!(
                "{name}, request {}:\n{}\nexpected {}\ngot {} {body}\n{difference}",
                place + 1,
                request.trim(),
                expected.trim(),
                answer.status.as_u16()
            ));
        }
    }
    wrong
}

async fn send(served: &Served, request: &str) -> Answer {
    let (first, rest) = request.trim_start().split_once('\n').unwrap_or((request.trim(), ""));
    let Some((method, path)) = first.trim().split_once(' ') else {
        let answer = served.call(first.trim(), rest.trim().to_owned()).await;
        check_headers(&answer);
        return answer;
    };
    let (headers, body) = match rest.strip_prefix('\n') {
        Some(body) => ("", body),
        None => rest.split_once("\n\n").unwrap_or((rest, "")),
    };
    let mut builder = Request::builder().method(method).uri(path);
    let mut hosted = false;
    for (name, value) in headers.lines().filter_map(|line| line.split_once(':')) {
        hosted |= name.eq_ignore_ascii_case("host");
        builder = builder.header(name, value.trim());
    }
    if !hosted {
        builder = builder.header("host", "localhost:8000");
    }
    served.send(builder.body(Full::new(Bytes::from(body.trim().to_owned()))).unwrap()).await
}

/// What every answer of an operation has.
fn check_headers(answer: &Answer) {
    let header = |name: &str| answer.headers.get(name).unwrap_or_else(|| panic!("no {name}")).to_str().unwrap();
    assert_eq!(header("x-amzn-requestid").len(), 52);
    assert_eq!(header("content-type"), "application/x-amz-json-1.0");
    let checksum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, &answer.body);
    assert_eq!(header("x-amz-crc32"), checksum.to_string());
}

fn compare(answer: &Answer, expected: &str, captured: &mut BTreeMap<String, String>) -> Result<(), String> {
    let (status, body) = expected.trim().split_once('\n').unwrap_or((expected.trim(), ""));
    if status != answer.status.as_u16().to_string() {
        return Err("another status".into());
    }
    let text = std::str::from_utf8(&answer.body).map_err(|error| error.to_string())?;
    match serde_json::from_str::<Value>(body) {
        Ok(expected) => {
            let got: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
            compare_json("", &got, &expected, captured)
        }
        Err(_) if body.trim() == text.trim() => Ok(()),
        Err(error) => Err(format!("another text (expected is no JSON: {error})")),
    }
}

fn compare_json(
    place: &str,
    got: &Value,
    expected: &Value,
    captured: &mut BTreeMap<String, String>,
) -> Result<(), String> {
    match (got, expected) {
        (_, Value::String(any)) if any == "*" => Ok(()),
        (got, Value::String(name)) if name.starts_with('@') => {
            let text = got.as_str().map_or_else(|| got.to_string(), str::to_owned);
            captured.insert(name[1..].to_owned(), text);
            Ok(())
        }
        (Value::Object(got), Value::Object(expected)) => {
            if let Some(name) = got.keys().find(|name| !expected.contains_key(*name)) {
                return Err(format!("{place}: unexpected member {name}"));
            }
            for (name, expected) in expected {
                let got = got.get(name).ok_or_else(|| format!("{place}: missing member {name}"))?;
                compare_json(&format!("{place}.{name}"), got, expected, captured)?;
            }
            Ok(())
        }
        (Value::Array(got), Value::Array(expected)) if got.len() == expected.len() => got
            .iter()
            .zip(expected)
            .enumerate()
            .try_for_each(|(at, (got, expected))| compare_json(&format!("{place}[{at}]"), got, expected, captured)),
        _ if got == expected => Ok(()),
        _ => Err(format!("{place}: {got} is not {expected}")),
    }
}
