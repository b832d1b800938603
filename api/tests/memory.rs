//! What requests and answers may take in memory is bounded, whatever clients ask for and do not read.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{sync::Arc, time::Duration};

use api::Config;
use bytes::Bytes;
use futures::poll;
use http_body_util::BodyExt;
use hyper::{Response, body::Body};
use serde_json::{Value, json};
use support::{Answer, Served, app, app_on, operation_request, serve_app, serve_with, sim_disk};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

const ITEM_BYTES: usize = 300_000;

async fn fill(served: &Served, items: usize) {
    let table = json!({
        "TableName": "Rivers", "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
    });
    assert_eq!(served.call("CreateTable", table.to_string()).await.status, 200);
    for number in 0..items {
        let item = json!({"pk": {"S": number.to_string()}, "v": {"S": "x".repeat(ITEM_BYTES)}});
        let put = served.call("PutItem", json!({"TableName": "Rivers", "Item": item}).to_string()).await;
        assert_eq!(put.status, 200);
    }
}

/// Asks for `items` items at once.
fn batch(items: usize) -> String {
    let keys: Vec<Value> = (0..items).map(|number| json!({"pk": {"S": number.to_string()}})).collect();
    json!({"RequestItems": {"Rivers": {"Keys": keys}}}).to_string()
}

async fn ask(served: &Served, operation: &str, body: String) -> Response<api::Payload> {
    served.service.handle(operation_request(operation, body)).await
}

/// A hundred clients that asked for 16 MB each, and read nothing, took 1.5 GB.
#[tokio::test]
async fn answers_that_nobody_takes_are_bounded() {
    let answers_bytes_max = 16 << 20;
    let config = Config { answers_bytes_max, memory_timeout: Duration::from_millis(20), ..Config::default() };
    let served = serve_with(config);
    fill(&served, 10).await;
    let mut untaken = Vec::new();
    let (mut bytes, mut partial, mut throttled) = (0, 0, 0);
    for _ in 0..20 {
        let response = ask(&served, "BatchGetItem", batch(10)).await;
        if response.status() == 200 {
            let size = response.body().size_hint().exact().unwrap();
            partial += u32::from(size < 10 * ITEM_BYTES as u64);
            bytes += size;
            untaken.push(response);
        } else {
            let answer = Answer::of(response).await;
            assert_eq!(answer.status, 400);
            let body: Value = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!(body["__type"], "com.amazon.coral.availability#ThrottlingException");
            throttled += 1;
        }
    }
    assert!(bytes <= answers_bytes_max as u64, "{bytes} bytes of answers wait");
    assert!(partial > 0 && throttled > 0, "{partial} partial answers, {throttled} throttled");
    // Small answers pass all the same; large ones say that they had no room.
    assert_eq!(ask(&served, "ListTables", "{}".into()).await.status(), 200);
    for (operation, body) in [
        ("Scan", json!({"TableName": "Rivers"})),
        ("GetItem", json!({"TableName": "Rivers", "Key": {"pk": {"S": "1"}}})),
    ] {
        assert_eq!(ask(&served, operation, body.to_string()).await.status(), 400, "{operation}");
    }
    // What is left unprocessed can be asked for again, and all of it comes once the others are gone.
    let parts = untaken.into_iter().map(Response::into_body);
    let mut unprocessed = 0;
    for part in parts {
        let answer: Value = serde_json::from_slice(&part.collect().await.unwrap().to_bytes()).unwrap();
        let keys = answer["UnprocessedKeys"]["Rivers"]["Keys"].as_array().map_or(0, Vec::len);
        assert_eq!(answer["Responses"]["Rivers"].as_array().unwrap().len() + keys, 10);
        unprocessed += keys;
    }
    assert!(unprocessed > 0);
    let answer = Answer::of(ask(&served, "BatchGetItem", batch(10)).await).await;
    assert!(answer.body.len() > 10 * ITEM_BYTES);
}

/// JSON takes much more memory when it is parsed, and stays there while its write waits for the store.
#[tokio::test]
async fn parsed_requests_are_bounded() {
    let disk = Arc::new(sim_disk());
    // Nothing is flushed, so that writes soon wait.
    let settings = store::Config { memtable_bytes_max: 4 << 10, sealed_max: 1, ..store::Config::default() };
    let config =
        Config { parsed_bytes_max: 128 << 10, memory_timeout: Duration::from_millis(200), ..Config::default() };
    let served = serve_app(app_on(disk, settings, config));
    fill(&served, 0).await;
    let put_of = |attributes: usize, name: String| {
        let numbers = (0..attributes).map(|number| (format!("a{number}"), json!({"N": "1"})));
        let mut item: serde_json::Map<String, Value> = numbers.collect();
        item.insert("pk".into(), json!({"S": name}));
        operation_request("PutItem", json!({"TableName": "Rivers", "Item": item}).to_string())
    };
    let put = |name| put_of(300, name);
    // What would never fit is told so at once.
    let larger = Answer::of(served.service.handle(put_of(600, "larger".into())).await).await;
    assert_eq!(larger.status.as_u16(), 413, "{:?}", larger.body);
    assert!(String::from_utf8_lossy(&larger.body).contains("over the 131072 that requests may"));
    let mut waiting = Vec::new();
    let mut number = 0;
    let refused = loop {
        number += 1;
        let mut write = Box::pin(served.service.handle(put(number.to_string())));
        match tokio::time::timeout(Duration::from_secs(1), &mut write).await {
            Ok(response) if response.status() == 200 => {}
            Ok(response) => break Answer::of(response).await,
            Err(_) => waiting.push(write),
        }
        assert!(waiting.len() < 2, "two waiting writes are more than the bound allows");
    };
    let body: Value = serde_json::from_slice(&refused.body).unwrap();
    assert!(body["message"].as_str().unwrap().contains("parsed requests"), "{body}");
    assert!(poll!(waiting.pop().unwrap()).is_pending());
    // It was dropped, and with it its share.
    assert_eq!(ask(&served, "ListTables", "{}".into()).await.status(), 200);
}

/// A server on a socket with items in it, and the request for `items` of them.
async fn serve_on_socket(config: Config, items: usize) -> (std::net::SocketAddr, Bytes, watch::Sender<bool>) {
    let directory = tempfile::tempdir().unwrap();
    let app = app(directory.path(), config);
    fill(&serve_app(app.clone()), items).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = watch::Sender::new(false);
    tokio::spawn(api::serve(listener, app, stop.subscribe()));
    let body = batch(items);
    let head = "POST / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nx-amz-target: DynamoDB_20120810.BatchGetItem\r\n\
                content-type: application/x-amz-json-1.0\r\n";
    let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
    (address, request.into(), stop)
}

#[tokio::test]
async fn clients_that_read_nothing_make_room_for_those_that_do() {
    // Room for one answer at a time.
    let config = Config {
        answers_bytes_max: 40 << 20,
        write_timeout: Duration::from_millis(200),
        memory_timeout: Duration::from_secs(60),
        ..Config::default()
    };
    let (address, request, _stop) = serve_on_socket(config, 50).await;
    let mut idle = Vec::new();
    for _ in 0..4 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&request).await.unwrap();
        idle.push(stream);
    }
    // Whatever it gets, it gets it, and once it is alone it gets everything.
    loop {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&request).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200"));
        if answer.len() > 50 * ITEM_BYTES {
            break;
        }
    }
}

#[tokio::test]
async fn a_client_that_reads_too_slowly_is_cut_off() {
    let config =
        Config { write_timeout: Duration::from_millis(500), answer_bytes_per_s_min: u32::MAX, ..Config::default() };
    let (address, request, _stop) = serve_on_socket(config, 50).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&request).await.unwrap();
    // Never idle for long, but at this pace it would take minutes.
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    let mut buffer = vec![0; 16 << 10];
    let mut taken = 0;
    let began = tokio::time::Instant::now();
    while began.elapsed() < Duration::from_secs(2) {
        pace.tick().await;
        match stream.read(&mut buffer).await {
            Ok(bytes @ 1..) => taken += bytes,
            _ => break,
        }
    }
    assert!(taken > 0);
    // What is left in the system's buffers still comes, and then the end, long before the whole.
    let mut rest = Vec::new();
    let _reset = stream.read_to_end(&mut rest).await.is_err();
    assert!(taken + rest.len() < 50 * ITEM_BYTES, "{}", taken + rest.len());
}
