//! What becomes of a request whose client does not wait for the answer.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use futures::FutureExt;
use serde_json::json;
use support::operation_request;

/// A client that left after its write was handed in got its units back, and could write for ever what it had no units for.
#[tokio::test]
async fn who_leaves_has_used_its_units() {
    let served = support::serve();
    let table = json!({
        "TableName": "Rivers",
        "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
        "ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1},
    });
    assert_eq!(served.call("CreateTable", table.to_string()).await.status, 200);
    // All that five minutes leave, and more than a minute's units beyond.
    let put = |name: &str| json!({"TableName": "Rivers", "Item": {"pk": {"S": name}, "v": {"S": "x".repeat(390_000)}}});
    let request = operation_request("PutItem", put("Mosel").to_string());
    assert!(served.service.handle(request).now_or_never().is_none(), "it waits for the sync");
    let answer = served.call("PutItem", put("Saar").to_string()).await;
    let told = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(told.contains("ProvisionedThroughputExceededException"), "{told}");
}
