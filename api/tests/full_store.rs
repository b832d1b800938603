//! What clients are told while the store takes no writes: whether a server is ready, and that they may try again.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{sync::Arc, time::Duration};

use api::Config;
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use serde_json::{Value, json};
use sim::disk::{SimDisk, Trouble};
use store::Patience;
use support::{Served, app_on, serve_app, sim_disk, sim_disk_of};

const SEGMENT_BYTES: u64 = 64 << 10;

async fn serve_on(disk: &SimDisk, settings: store::Config) -> Served {
    let patience = Patience { admission: Duration::from_millis(50), answer: Duration::from_secs(60) };
    let config = Config { patience, ..Config::default() };
    let served = serve_app(app_on(Arc::new(disk.clone()), settings, config));
    let table = json!({
        "TableName": "Rivers", "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
    });
    assert_eq!(served.call("CreateTable", table.to_string()).await.status, 200);
    assert_eq!(ready(&served).await, (200, json!({"ready": true})));
    served
}

fn settings() -> store::Config {
    store::Config {
        segment_bytes: SEGMENT_BYTES,
        log_preparation: store::log::Preparation::Inline,
        ..store::Config::default()
    }
}

async fn put(served: &Served, name: &str, bytes: usize) -> (u16, Value) {
    let body = json!({"TableName": "Rivers", "Item": {"pk": {"S": name}, "v": {"S": "x".repeat(bytes)}}});
    let answer = served.call("PutItem", body.to_string()).await;
    (answer.status.as_u16(), serde_json::from_slice(&answer.body).unwrap())
}

async fn ready(served: &Served) -> (u16, Value) {
    let answer = served.get("/health/ready").await;
    (answer.status.as_u16(), serde_json::from_slice(&answer.body).unwrap())
}

#[tokio::test]
async fn a_server_whose_log_has_failed_is_not_ready() {
    let disk = sim_disk();
    let served = serve_on(&disk, settings()).await;
    disk.trouble(Trouble { syncs: 1000, ..Trouble::default() });
    let (status, body) = put(&served, "Mosel", 1).await;
    assert_eq!((status, &body["__type"]), (500, &json!("com.amazonaws.dynamodb.v20120810#InternalServerError")));
    // For good: no sync is tried again.
    disk.trouble(Trouble::default());
    let (status, body) = ready(&served).await;
    assert_eq!((status, &body["ready"]), (503, &json!(false)));
    let cause = body["cause"].as_str().unwrap();
    assert!(cause.starts_with("the log has failed") && cause.contains("sync"), "{cause}");
    assert_eq!(served.get("/health/live").await.status, 200);
}

#[tokio::test]
async fn a_server_is_not_ready_while_its_disk_is_full() {
    let disk = sim_disk();
    let served = serve_on(&disk, settings()).await;
    disk.trouble(Trouble { full: 1000, ..Trouble::default() });
    // This needs a new segment, for which there is no room.
    let (status, body) = put(&served, "Mosel", 2 * SEGMENT_BYTES as usize).await;
    assert_eq!(status, 500, "{body}");
    let (status, body) = ready(&served).await;
    assert_eq!((status, &body["ready"]), (503, &json!(false)), "{body}");
    // There is room again.
    disk.trouble(Trouble::default());
    assert_eq!(put(&served, "Mosel", 2 * SEGMENT_BYTES as usize).await, (200, json!({})));
    assert_eq!(ready(&served).await, (200, json!({"ready": true})));
}

#[tokio::test]
async fn writes_into_full_memory_are_told_to_come_back() {
    // No compactor runs, so nothing is flushed.
    let disk = sim_disk();
    let served = serve_on(&disk, store::Config { memtable_bytes_max: 4 << 10, sealed_max: 1, ..settings() }).await;
    let mut number = 0;
    let (status, body) = loop {
        let answer = put(&served, &number.to_string(), 1 << 10).await;
        if answer.0 != 200 {
            break answer;
        }
        number += 1;
    };
    assert_eq!((status, &body["__type"]), (400, &json!("com.amazon.coral.availability#ThrottlingException")));
    let get = json!({"TableName": "Rivers", "Key": {"pk": {"S": number.to_string()}}}).to_string();
    assert_eq!(&served.call("GetItem", get).await.body[..], b"{}");
    let other = json!({
        "TableName": "Lakes", "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
    });
    assert_eq!(served.call("CreateTable", other.to_string()).await.status, 400);
    let (status, body) = ready(&served).await;
    assert_eq!((status, &body["ready"]), (503, &json!(false)), "{body}");
}

async fn create_key(served: &Served) -> u16 {
    let request = Request::post("/admin/keys").header("host", "localhost").body(Full::<Bytes>::default()).unwrap();
    served.send(request).await.status.as_u16()
}

/// Must requests be signed?
async fn is_closed(served: &Served) -> bool {
    let answer = served.call("ListTables", "{}").await;
    String::from_utf8_lossy(&answer.body).contains("MissingAuthenticationTokenException")
}

/// A key was answered from memory like a reading, and after a power cut the server was open again.
#[tokio::test]
async fn keys_survive_a_power_cut_whatever_the_durability() {
    for seed in 0..8 {
        let disk = sim_disk_of(seed);
        let settings = store::Config { durability: store::Durability::Memory, ..settings() };
        let served = serve_on(&disk, settings.clone()).await;
        assert_eq!(create_key(&served).await, 200);
        disk.cut_power();
        drop(served);
        let served = serve_app(app_on(Arc::new(disk), settings, Config::default()));
        assert!(is_closed(&served).await, "seed {seed}");
    }
}

/// A key whose making ended without an answer was known to nobody until a restart, which then closed the server.
#[tokio::test]
async fn a_key_that_may_have_been_made_counts() {
    let disk = sim_disk();
    let served = serve_on(&disk, settings()).await;
    assert!(!is_closed(&served).await);
    disk.trouble(Trouble { syncs: 1000, ..Trouble::default() });
    assert_eq!(create_key(&served).await, 500);
    assert!(is_closed(&served).await);
}
