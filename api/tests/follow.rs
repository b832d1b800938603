//! Following a stream over HTTP: what was, then what comes, until the server stops.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use serde_json::{Value, json};
use support::Served;

async fn put(served: &Served, name: &str) {
    let body = json!({"TableName": "Rivers", "Item": {"pk": {"S": name}}}).to_string();
    assert_eq!(served.call("PutItem", body).await.status, 200);
}

async fn serve_with_stream() -> Served {
    let served = support::serve();
    let table = json!({
        "TableName": "Rivers", "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
        "StreamSpecification": {"StreamEnabled": true, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    });
    assert_eq!(served.call("CreateTable", table.to_string()).await.status, 200);
    served
}

/// Follows, and takes lines one by one.
struct Lines {
    body: api::Payload,
    buffered: Vec<u8>,
}

impl Lines {
    async fn follow(served: &Served, from: &str) -> Lines {
        let request = Request::get(format!("/streams/Rivers?from={from}")).header("host", "localhost");
        let response = served.service.handle(request.body(Full::<Bytes>::default()).unwrap()).await;
        assert_eq!(response.status(), 200);
        Lines { body: response.into_body(), buffered: Vec::new() }
    }

    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.buffered.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffered.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let frame = self.body.frame().await?.unwrap();
            self.buffered.extend_from_slice(&frame.into_data().unwrap());
        }
    }
}

#[tokio::test]
async fn a_follower_gets_what_was_and_what_comes() {
    let served = serve_with_stream().await;
    put(&served, "Mosel").await;
    let mut lines = Lines::follow(&served, "trim-horizon").await;
    let first = lines.next().await.unwrap();
    assert_eq!(first["eventName"], "INSERT");
    assert_eq!(first["dynamodb"]["NewImage"], json!({"pk": {"S": "Mosel"}}));
    put(&served, "Saar").await;
    assert_eq!(lines.next().await.unwrap()["dynamodb"]["Keys"], json!({"pk": {"S": "Saar"}}));

    let mut later = Lines::follow(&served, first["position"].as_str().unwrap()).await;
    assert_eq!(later.next().await.unwrap()["dynamodb"]["Keys"], json!({"pk": {"S": "Saar"}}));

    served.stop.send_replace(true);
    assert_eq!(lines.next().await, None);
    assert_eq!(later.next().await, None);
}

#[tokio::test]
async fn get_records_tells_every_change_once() {
    let served = serve_with_stream().await;
    for name in ["Mosel", "Saar", "Ruwer", "Mosel"] {
        put(&served, name).await;
    }
    let list: Value = serde_json::from_slice(&served.call("ListStreams", "{}").await.body).unwrap();
    let arn = &list["Streams"][0]["StreamArn"];
    let described = served.call("DescribeStream", json!({"StreamArn": arn}).to_string()).await;
    let described: Value = serde_json::from_slice(&described.body).unwrap();
    let mut names = Vec::new();
    for shard in described["StreamDescription"]["Shards"].as_array().unwrap() {
        let body = json!({"StreamArn": arn, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"});
        let iterator = served.call("GetShardIterator", body.to_string()).await;
        let iterator: Value = serde_json::from_slice(&iterator.body).unwrap();
        let mut iterator = iterator["ShardIterator"].clone();
        loop {
            let records = served.call("GetRecords", json!({"ShardIterator": iterator}).to_string()).await;
            let records: Value = serde_json::from_slice(&records.body).unwrap();
            let list = records["Records"].as_array().unwrap();
            names.extend(list.iter().map(|record| record["dynamodb"]["Keys"]["pk"]["S"].as_str().unwrap().to_owned()));
            // Everything is applied, so an empty page that does not move is the end for now.
            if list.is_empty() {
                break;
            }
            iterator = records["NextShardIterator"].clone();
        }
    }
    names.sort();
    assert_eq!(names, ["Mosel", "Ruwer", "Saar"]);
}
