//! Every entrance and every kind of principal: who is let in, and who is told what.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use api::{Config, Credentials, Payload};
use bytes::Bytes;
use futures::{FutureExt, StreamExt, stream};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::{
    Request, Response,
    body::{Body, Frame, SizeHint},
    header,
};
use ring::digest;
use serde_json::{Value, json};
use support::{Answer, Served, operation_request, signed};
use tokio::sync::oneshot;

const TABLE: &str = r#"{"TableName":"plant-1","AttributeDefinitions":[{"AttributeName":"pk","AttributeType":"S"},
    {"AttributeName":"n","AttributeType":"N"},{"AttributeName":"kin","AttributeType":"S"}],
    "KeySchema":[{"AttributeName":"pk","KeyType":"HASH"},{"AttributeName":"n","KeyType":"RANGE"}],
    "LocalSecondaryIndexes":[{"IndexName":"lsi","KeySchema":[{"AttributeName":"pk","KeyType":"HASH"},
     {"AttributeName":"kin","KeyType":"RANGE"}],"Projection":{"ProjectionType":"ALL"}}],
    "GlobalSecondaryIndexes":[{"IndexName":"gsi","KeySchema":[{"AttributeName":"kin","KeyType":"HASH"}],
     "Projection":{"ProjectionType":"ALL"}}],
    "BillingMode":"PAY_PER_REQUEST","StreamSpecification":{"StreamEnabled":true,"StreamViewType":"KEYS_ONLY"}}"#;

/// A request of a route, or of an operation if the path is one's name.
fn request(method: &str, path: &str, body: &str) -> Request<Full<Bytes>> {
    if !path.starts_with('/') {
        return operation_request(path, body.to_owned());
    }
    let body = Full::new(Bytes::from(body.to_owned()));
    Request::builder().method(method).uri(path).header("host", "db.example").body(body).unwrap()
}

async fn call(served: &Served, key: &Credentials, operation: &str, body: &str) -> Answer {
    served.send(signed(operation_request(operation, body.to_owned()), body.as_bytes(), key)).await
}

async fn create(served: &Served, by: Option<&Credentials>, wanted: &Value) -> Credentials {
    let body = wanted.to_string();
    let request = Request::post("/admin/keys").header("host", "localhost").body(Full::new(Bytes::from(body.clone())));
    let request = request.unwrap();
    let request = match by {
        Some(key) => signed(request, body.as_bytes(), key),
        None => request,
    };
    let answer = served.send(request).await;
    let told: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(answer.status, 200, "{told}");
    let text = |name: &str| told[name].as_str().map(str::to_owned);
    let (access_key, secret_key) = (text("access_key").unwrap(), text("secret_key").unwrap());
    Credentials { access_key, secret_key, session_token: text("session_token") }
}

async fn revoke(served: &Served, by: &Credentials, access_key: &str) -> Answer {
    served.send(signed(request("POST", &format!("/admin/keys/{access_key}/revoke"), ""), b"", by)).await
}

fn allowing(action: &str) -> Value {
    json!({ "permissions": [{ "action": action }] })
}

/// What became of a request: `+` let in, `?` not known, `-` known, but not allowed.
async fn outcome(response: Response<Payload>) -> char {
    let (head, body) = response.into_parts();
    // A stream that is followed has no end.
    let body = match body.size_hint().exact() {
        Some(_) => body.collect().await.unwrap().to_bytes(),
        None => Bytes::new(),
    };
    let told: Value = serde_json::from_slice(&body).unwrap_or_default();
    let kind = told["__type"].as_str().and_then(|kind| kind.rsplit('#').next()).unwrap_or_default();
    match (head.status.as_u16(), kind) {
        (401, "") => '?',
        (400, "MissingAuthenticationTokenException" | "UnrecognizedClientException" | "InvalidSignatureException") => {
            '?'
        }
        (403, "") | (400, "AccessDeniedException") => '-',
        (status, kind) => {
            assert!(![401, 403].contains(&status), "{status} {kind}");
            '+'
        }
    }
}

#[tokio::test]
async fn every_entrance_knows_every_principal() {
    let served = support::serve();
    assert_eq!(served.call("CreateTable", TABLE).await.status, 200);
    let arn = served.call("ListStreams", "{}").await;
    let arn: Value = serde_json::from_slice(&arn.body).unwrap();
    let arn = arn["Streams"][0]["StreamArn"].as_str().unwrap().to_owned();
    let stream = format!(r#"{{"StreamArn":"{arn}"}}"#);
    let shard: Value = serde_json::from_slice(&served.call("DescribeStream", stream.clone()).await.body).unwrap();
    let shard = &shard["StreamDescription"]["Shards"][0]["ShardId"];
    let place = json!({ "StreamArn": arn, "ShardId": shard, "ShardIteratorType": "LATEST" }).to_string();
    let iterator: Value = serde_json::from_slice(&served.call("GetShardIterator", place.clone()).await.body).unwrap();
    let iterator = iterator.to_string();

    let admin = create(&served, None, &json!({})).await;
    let owner = Some(&admin);
    let revoked = create(&served, owner, &json!({})).await;
    assert_eq!(revoke(&served, &admin, &revoked.access_key).await.status, 200);
    let wrong = Credentials { secret_key: "wrong".into(), ..admin.clone() };
    let token = Credentials { session_token: Some("made up".into()), ..admin.clone() };
    let principals = [
        None,
        Some(wrong),
        Some(token),
        Some(revoked),
        Some(create(&served, owner, &allowing("read")).await),
        Some(create(&served, owner, &allowing("write")).await),
        Some(create(&served, owner, &allowing("thalweg:Metrics")).await),
        Some(create(&served, owner, &allowing("dynamodb:*")).await),
        Some(create(&served, owner, &json!({ "permissions": [{ "action": "admin", "table": "other" }] })).await),
        Some(admin.clone()),
    ];
    let key = r#"{"TableName":"plant-1","Key":{"pk":{"S":"a"},"n":{"N":"1"}}}"#;
    let item = r#"{"TableName":"plant-1","Item":{"pk":{"S":"a"},"n":{"N":"1"}}}"#;
    let select = r#"{"Statement":"SELECT * FROM \"plant-1\" WHERE pk = 'a' AND n = 1"}"#;
    let insert = r#"{"Statement":"INSERT INTO \"plant-1\" VALUE {'pk': 'b', 'n': 1}"}"#;
    let table = r#"{"TableName":"plant-1"}"#;
    let resource = r#"{"ResourceArn":"arn:aws:dynamodb:us-east-1:000000000000:table/plant-1"}"#;
    let query =
        r#"{"TableName":"plant-1","KeyConditionExpression":"pk = :a","ExpressionAttributeValues":{":a":{"S":"a"}}}"#;
    let (batch_get, batch_write) = (
        r#"{"RequestItems":{"plant-1":{"Keys":[{"pk":{"S":"a"},"n":{"N":"1"}}]}}}"#,
        r#"{"RequestItems":{"plant-1":[{"DeleteRequest":{"Key":{"pk":{"S":"a"},"n":{"N":"1"}}}}]}}"#,
    );
    let get = format!(r#"{{"TransactItems":[{{"Get":{key}}}]}}"#);
    let transaction = format!(r#"{{"TransactItems":[{{"Put":{item}}}]}}"#);
    let rows = r#"{"t":1767225600000,"v":1}"#;
    let table_arn = "arn:aws:dynamodb:ddblocal:000000000000:table/plant-1";
    let export = json!({ "TableArn": table_arn, "S3Bucket": "bucket" }).to_string();
    let import = r#"{"TableCreationParameters":{"TableName":"plant-1"}}"#;
    let (export_arn, import_arn) = (format!("{table_arn}/export/1"), format!("{table_arn}/import/1"));
    let described = json!({ "ExportArn": export_arn, "ImportArn": import_arn }).to_string();
    //       none, wrong, made-up token, revoked | read, write, metrics, dynamodb:*, admin of another table | admin
    for (method, path, body, expected) in [
        ("GET", "/", "", "+++++ +++++"),
        ("GET", "/health/live", "", "+++++ +++++"),
        ("GET", "/health/ready", "", "+++++ +++++"),
        ("GET", "/metrics", "", "????- -+--+"),
        ("GET", "/streams/plant-1?from=latest", "", "????+ ----+"),
        ("POST", "/ingest/plant-1?device_id=d&time=t", rows, "????- +---+"),
        ("GET", "/admin/status", "", "????- ----+"),
        ("POST", "/admin/compact", "", "????- ----+"),
        ("POST", "/admin/reload", "", "????- ----+"),
        ("GET", "/admin/quarantine", "", "????- ----+"),
        ("GET", "/admin/quarantine/1", "", "????- ----+"),
        ("POST", "/admin/quarantine/replay", "", "????- ----+"),
        ("POST", "/admin/quarantine/1/replay", "", "????- ----+"),
        ("GET", "/admin/keys", "", "????- ----+"),
        ("POST", "/admin/keys", "{}", "????- ----+"),
        ("POST", "/admin/keys/none/revoke", "", "????- ----+"),
        ("", "GetItem", key, "????+ --+-+"),
        ("", "PutItem", item, "????- +-+-+"),
        ("", "UpdateItem", key, "????- +-+-+"),
        ("", "DeleteItem", key, "????- +-+-+"),
        ("", "Query", query, "????+ --+-+"),
        ("", "Scan", table, "????+ --+-+"),
        ("", "ExecuteStatement", select, "????+ --+-+"),
        ("", "ExecuteStatement", insert, "????- +-+-+"),
        ("", "BatchExecuteStatement", &format!(r#"{{"Statements":[{select}]}}"#), "????+ --+-+"),
        ("", "ExecuteTransaction", &format!(r#"{{"TransactStatements":[{insert}]}}"#), "????- +-+-+"),
        ("", "TagResource", resource, "????- --+-+"),
        ("", "UpdateTimeToLive", table, "????- --+-+"),
        ("", "BatchGetItem", batch_get, "????+ --+-+"),
        ("", "BatchWriteItem", batch_write, "????- +-+-+"),
        ("", "TransactGetItems", &get, "????+ --+-+"),
        ("", "TransactWriteItems", &transaction, "????- +-+-+"),
        ("", "DescribeTable", table, "????+ --+-+"),
        ("", "DescribeTimeToLive", table, "????+ --+-+"),
        ("", "ListTagsOfResource", resource, "????+ --+-+"),
        ("", "ListTables", "{}", "????+ --+-+"),
        ("", "DescribeLimits", "{}", "????+ --+++"),
        ("", "DescribeEndpoints", "{}", "????+ --+++"),
        ("", "CreateTable", TABLE, "????- --+-+"),
        ("", "UpdateTable", table, "????- --+-+"),
        ("", "ListStreams", "{}", "????+ --+-+"),
        ("", "DescribeStream", &stream, "????+ --+-+"),
        ("", "GetShardIterator", &place, "????+ --+-+"),
        ("", "GetRecords", &iterator, "????+ --+-+"),
        ("", "ExportTableToPointInTime", &export, "????- --+-+"),
        ("", "ImportTable", import, "????- --+-+"),
        ("", "DescribeExport", &described, "????+ --+-+"),
        ("", "DescribeImport", &described, "????+ --+-+"),
        ("", "ListExports", "{}", "????+ --+-+"),
        ("", "ListImports", "{}", "????+ --+-+"),
        ("", "DeleteTable", table, "????- --+-+"),
    ] {
        let mut outcomes = String::new();
        for principal in &principals {
            let request = request(method, path, body);
            let request = match principal {
                Some(key) => signed(request, body.as_bytes(), key),
                None => request,
            };
            outcomes.push(outcome(served.service.handle(request).await).await);
        }
        assert_eq!(outcomes, expected.replace(' ', ""), "{method} {path} {body}");
    }
}

#[tokio::test]
async fn a_key_of_some_devices_sees_no_others() {
    let served = support::serve();
    assert_eq!(served.call("CreateTable", TABLE).await.status, 200);
    assert_eq!(served.call("CreateTable", TABLE.replace("plant-1", "secret")).await.status, 200);
    let admin = create(&served, None, &json!({})).await;
    let permission = |action: &str| json!({ "action": action, "table": "plant-*", "device": "pump-?" });
    let wanted = json!({ "permissions": [permission("read"), permission("write"), permission("dynamodb:*Table")] });
    let some = create(&served, Some(&admin), &wanted).await;
    let key = |device: &str| json!({ "pk": { "S": device }, "n": { "N": "1" } });
    let values = |device: &str| json!({ ":v": { "S": device } });
    let of = |operation: &str, device: &str| {
        let (key, table) = (key(device), "plant-1");
        match operation {
            "PutItem" => json!({ "TableName": table, "Item": key }),
            "Query" => json!({ "TableName": table, "KeyConditionExpression": "pk = :v AND n > :n", "FilterExpression":
                "x <> :v", "ExpressionAttributeValues": { ":v": { "S": device }, ":n": { "N": "0" } } }),
            "Query lsi" => json!({ "TableName": table, "IndexName": "lsi", "KeyConditionExpression":
                "#k = :v AND begins_with(kin, :v)", "ExpressionAttributeNames": { "#k": "pk" },
                "ExpressionAttributeValues": values(device) }),
            "BatchGetItem" => {
                json!({ "RequestItems": { table: { "Keys": [{ "pk": { "S": "pump-9" }, "n": { "N": "2" } }, key] } } })
            }
            "BatchWriteItem put" => json!({ "RequestItems": { table: [{ "PutRequest": { "Item": key } }] } }),
            "BatchWriteItem delete" => json!({ "RequestItems": { table: [{ "DeleteRequest": { "Key": key } }] } }),
            "TransactGetItems" => json!({ "TransactItems": [{ "Get": { "TableName": table, "Key": key } }] }),
            "TransactWriteItems put" => json!({ "TransactItems": [{ "Put": { "TableName": table, "Item": key } }] }),
            "TransactWriteItems delete" => {
                json!({ "TransactItems": [{ "Delete": { "TableName": table, "Key": key } }] })
            }
            "TransactWriteItems check" => {
                json!({ "TransactItems": [{ "ConditionCheck": { "TableName": table, "Key": key,
                "ConditionExpression": "attribute_not_exists(y)" } }] })
            }
            "TransactWriteItems update" => json!({ "TransactItems": [{ "Update": { "TableName": table, "Key": key,
                "UpdateExpression": "SET x = :v", "ExpressionAttributeValues": values(device) } }] }),
            _ => json!({ "TableName": table, "Key": key }),
        }
    };
    for operation in [
        "GetItem",
        "PutItem",
        "UpdateItem",
        "DeleteItem",
        "Query",
        "Query lsi",
        "BatchGetItem",
        "BatchWriteItem put",
        "BatchWriteItem delete",
        "TransactGetItems",
        "TransactWriteItems put",
        "TransactWriteItems delete",
        "TransactWriteItems check",
        "TransactWriteItems update",
    ] {
        for (device, allowed) in [("pump-1", true), ("pump-10", false), ("fan-1", false)] {
            let name = operation.split(' ').next().unwrap();
            let answer = call(&served, &some, name, &of(operation, device).to_string()).await;
            let told = String::from_utf8_lossy(&answer.body).into_owned();
            assert_eq!(answer.status == 200, allowed, "{operation} {device}: {told}");
            let part = name.replace("TransactGetItems", "GetItem");
            let part = if part == "TransactWriteItems" { "Item" } else { &part };
            assert!(allowed || told.contains("AccessDeniedException") && told.contains(part), "{operation}: {told}");
        }
    }
    // The second of two names counts for both who checks and who does it.
    let doubled = r#"{"TableName":"plant-1","Item":{"pk":{"S":"pump-1"},"n":{"N":"1"},"pk":{"S":"fan-1"}}}"#;
    let denied = call(&served, &some, "PutItem", doubled).await;
    assert_eq!(denied.status, 400);
    let all = r#"{"TableName":"plant-1"}"#;
    let gsi = r#"{"TableName":"plant-1","IndexName":"gsi","KeyConditionExpression":"kin = :v",
        "ExpressionAttributeValues":{":v":{"S":"pump-1"}}}"#;
    for (operation, body, expected) in [
        ("Scan", all, "AccessDeniedException"),
        ("Query", gsi, "AccessDeniedException"),
        ("DeleteTable", all, "AccessDeniedException"),
        ("UpdateTable", all, "AccessDeniedException"),
        ("ListTables", "{}", "AccessDeniedException"),
        // Whether there is such a table is told only to whom it may concern.
        ("GetItem", r#"{"TableName":"other","Key":{"pk":{"S":"pump-1"}}}"#, "AccessDeniedException"),
        ("GetItem", r#"{"TableName":"secret","Key":{"wrong":{"S":"pump-1"}}}"#, "AccessDeniedException"),
        ("PutItem", r#"{"TableName":"secret","Item":{}}"#, "AccessDeniedException"),
        ("BatchGetItem", r#"{"RequestItems":{"secret":{"Keys":[{"x":{"S":"1"}}]}}}"#, "AccessDeniedException"),
        ("TransactGetItems", r#"{"TransactItems":[{"Get":{"TableName":"secret","Key":{}}}]}"#, "AccessDeniedException"),
        ("GetItem", r#"{"TableName":"plant-2","Key":{"pk":{"S":"pump-1"}}}"#, "ResourceNotFoundException"),
        ("GetItem", r#"{"TableName":"plant-1","Key":{"pk":{"S":"pump-1"}}}"#, "ValidationException"),
        ("GetItem", r#"{"TableName":"plant-1","Key":7}"#, "SerializationException"),
        ("DescribeTable", all, "TableDescription"),
    ] {
        let answer = call(&served, &some, operation, body).await;
        let told = String::from_utf8_lossy(&answer.body).into_owned();
        let expected = expected.replace("TableDescription", "\"Table\"");
        assert!(told.contains(&expected), "{operation} {body}: {told}");
    }
    let text = call(&served, &some, "DeleteTable", all).await;
    let text: Value = serde_json::from_slice(&text.body).unwrap();
    assert_eq!(
        text,
        json!({
            "__type": "com.amazon.coral.service#AccessDeniedException",
            "Message": format!(
                "User: arn:aws:iam::000000000000:user/{} is not authorized to perform: dynamodb:DeleteTable on \
                 resource: arn:aws:dynamodb:ddblocal:000000000000:table/plant-1", some.access_key
            ),
        })
    );
}

/// Who named an export of a table of its own beside an import of another table was told of that import: one name was checked, and
/// the other one used.
#[tokio::test]
async fn what_is_checked_is_what_is_told() {
    let served = support::serve();
    let told = |answer: &Answer| String::from_utf8_lossy(&answer.body).into_owned();
    for name in ["plant-1", "secret"] {
        assert_eq!(served.call("CreateTable", TABLE.replace("plant-1", name)).await.status, 200);
        let on = json!({"TableName": name, "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": true}});
        let on = served.call("UpdateContinuousBackups", on.to_string()).await;
        assert_eq!(on.status, 200, "{}", told(&on));
    }
    let arn = |name: &str| format!("arn:aws:dynamodb:ddblocal:000000000000:table/{name}");
    let export = async |name: &str| {
        let wanted = json!({"TableArn": arn(name), "S3Bucket": "bucket"}).to_string();
        let made: Value = serde_json::from_slice(&served.call("ExportTableToPointInTime", wanted).await.body).unwrap();
        made["ExportDescription"]["ExportArn"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned()
    };
    let (ours, theirs) = (export("plant-1").await, export("secret").await);
    let import = json!({"S3BucketSource": {"S3Bucket": "bucket"}, "InputFormat": "CSV", "TableCreationParameters": {
        "TableName": "secret-2", "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}]}});
    let import: Value = serde_json::from_slice(&served.call("ImportTable", import.to_string()).await.body).unwrap();
    let import = import["ImportTableDescription"]["ImportArn"].as_str().unwrap_or_else(|| panic!("{import}"));
    let backup = async |name: &str| {
        let wanted = json!({"TableName": name, "BackupName": "now"}).to_string();
        let made: Value = serde_json::from_slice(&served.call("CreateBackup", wanted).await.body).unwrap();
        made["BackupDetails"]["BackupArn"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned()
    };
    let (our_backup, their_backup) = (backup("plant-1").await, backup("secret").await);
    let admin = create(&served, None, &json!({})).await;
    let some = json!({ "permissions": [
        { "action": "read", "table": "plant-*" },
        { "action": "dynamodb:*Table*", "table": "plant-*" },
    ] });
    let some = create(&served, Some(&admin), &some).await;
    for (operation, body) in [
        ("DescribeExport", json!({ "ExportArn": ours })),
        ("DescribeExport", json!({ "ExportArn": ours, "ImportArn": import })),
        ("ListExports", json!({ "TableArn": arn("plant-1") })),
        ("ListImports", json!({ "TableArn": arn("plant-1") })),
    ] {
        let answer = call(&served, &some, operation, &body.to_string()).await;
        assert_eq!(answer.status, 200, "{operation} {body}: {}", told(&answer));
    }
    let to = "plant-2";
    for (operation, body) in [
        ("DescribeExport", json!({ "ExportArn": theirs })),
        ("DescribeExport", json!({ "ExportArn": theirs, "ImportArn": ours })),
        ("DescribeImport", json!({ "ImportArn": import })),
        ("DescribeImport", json!({ "ExportArn": ours, "ImportArn": import })),
        ("ListExports", json!({})),
        ("ListExports", json!({ "TableArn": arn("secret") })),
        ("ListImports", json!({})),
        ("ExportTableToPointInTime", json!({ "TableArn": arn("secret"), "S3Bucket": "bucket" })),
        ("ImportTable", json!({ "TableName": to, "TableCreationParameters": { "TableName": "secret-3" } })),
        (
            "RestoreTableFromBackup",
            json!({ "TargetTableName": to, "BackupArn": their_backup,
            "SourceTableName": "plant-1", "SourceTableArn": arn("plant-1") }),
        ),
        (
            "RestoreTableToPointInTime",
            json!({ "TargetTableName": to, "SourceTableName": "secret",
            "SourceTableArn": arn("plant-1"), "BackupArn": our_backup, "UseLatestRestorableTime": true }),
        ),
        (
            "RestoreTableToPointInTime",
            json!({ "TargetTableName": to, "SourceTableArn": arn("secret"),
            "BackupArn": our_backup, "UseLatestRestorableTime": true }),
        ),
    ] {
        let answer = call(&served, &some, operation, &body.to_string()).await;
        let told = told(&answer);
        assert!(told.contains("AccessDeniedException"), "{operation} {body}: {told}");
    }
    // Two names of two tables are refused, whichever of them is checked.
    let both = json!({ "TargetTableName": to, "SourceTableName": "plant-1", "SourceTableArn": arn("secret"),
        "UseLatestRestorableTime": true });
    let both = told(&call(&served, &some, "RestoreTableToPointInTime", &both.to_string()).await);
    assert!(both.contains("must name the same table"), "{both}");
}

#[tokio::test]
async fn a_revoked_key_ends_what_it_follows_and_leaves_the_server_closed() {
    let served = support::serve();
    assert_eq!(served.call("CreateTable", TABLE).await.status, 200);
    let admin = create(&served, None, &json!({})).await;
    let reader = create(&served, Some(&admin), &allowing("read")).await;
    let following = signed(request("GET", "/streams/plant-1", ""), b"", &reader);
    let following = served.service.handle(following).await;
    assert_eq!(following.status(), 200);
    assert_eq!(revoke(&served, &admin, &reader.access_key).await.status, 200);
    assert!(following.into_body().collect().await.unwrap().to_bytes().is_empty());
    assert_eq!(revoke(&served, &admin, &reader.access_key).await.status, 404);
    assert_eq!(revoke(&served, &admin, &admin.access_key).await.status, 200);
    let answer = served.call("ListTables", "{}").await;
    assert!(String::from_utf8_lossy(&answer.body).contains("MissingAuthenticationTokenException"));
    let answer = call(&served, &admin, "ListTables", "{}").await;
    assert_eq!(
        serde_json::from_slice::<Value>(&answer.body).unwrap(),
        json!({
            "__type": "com.amazon.coral.service#UnrecognizedClientException",
            "message": "The security token included in the request is invalid.",
        })
    );
}

#[tokio::test]
async fn a_session_needs_its_token() {
    let served = support::serve();
    let session = create(&served, None, &json!({ "session_seconds": 900 })).await;
    assert_eq!(call(&served, &session, "ListTables", "{}").await.status, 200);
    for token in [None, Some("another".to_owned())] {
        let answer = call(&served, &Credentials { session_token: token, ..session.clone() }, "ListTables", "{}").await;
        assert!(String::from_utf8_lossy(&answer.body).contains("UnrecognizedClientException"));
    }
    for (wanted, told) in [
        (json!({ "session_seconds": 899 }), "900"),
        (json!({ "session_seconds": 129_601 }), "129600"),
        (json!({ "permissions": [] }), "permissions"),
        (json!({ "permissions": [{ "action": "reed" }] }), "`reed`"),
        (json!({ "permissions": [{ "action": "read", "tabel": "x" }] }), "tabel"),
        (json!([]), "invalid"),
    ] {
        let body = wanted.to_string();
        let answer = served.send(signed(request("POST", "/admin/keys", &body), body.as_bytes(), &session)).await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(answer.status == 400 && text.contains(told), "{wanted}: {text}");
    }
}

#[tokio::test]
async fn a_signature_is_of_the_body_as_it_came() {
    use std::io::Write;
    let served = support::serve();
    let admin = create(&served, None, &json!({})).await;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(b"{}").unwrap();
    let compressed = encoder.finish().unwrap();
    for (signed_body, expected) in
        [(compressed.as_slice(), "TableNames"), (b"{}".as_slice(), "InvalidSignatureException")]
    {
        let mut request = operation_request("ListTables", compressed.clone());
        request.headers_mut().insert(header::CONTENT_ENCODING, "gzip".parse().unwrap());
        let answer = served.send(signed(request, signed_body, &admin)).await;
        let told = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(told.contains(expected), "{told}");
    }
}

/// The request with a body that comes only when the other side says so.
fn slow(request: Request<Full<Bytes>>, body: &'static str) -> (oneshot::Sender<()>, Request<Slow>) {
    let (go, wait) = oneshot::channel::<()>();
    let pieces = stream::once(async move {
        wait.await.unwrap();
        Ok::<_, Infallible>(Frame::data(Bytes::from(body)))
    });
    (go, request.map(|_| StreamBody::new(pieces.boxed())))
}

type Slow = StreamBody<stream::BoxStream<'static, Result<Frame<Bytes>, Infallible>>>;

#[tokio::test]
async fn who_came_in_time_and_speaks_too_late_is_not_let_in() {
    let served = support::serve();
    let local = || request("POST", "/admin/keys", "");
    let mut unsigned = local();
    unsigned.headers_mut().insert("host", "localhost".parse().unwrap());
    let (go, unsigned) = slow(unsigned, "{}");
    let mut followed = request("GET", "/streams/plant-1", "");
    followed.headers_mut().insert("host", "localhost".parse().unwrap());
    assert_eq!(served.call("CreateTable", TABLE).await.status, 200);
    let followed = served.service.handle(followed).await;
    let late = async {
        let admin = create(&served, None, &json!({})).await;
        go.send(()).unwrap();
        admin
    };
    // Polled first, so that it is let in before there is a key.
    let (answer, admin) = tokio::join!(served.service.handle(unsigned), late);
    assert_eq!(outcome(answer).await, '?', "it came without a key before there was one");
    assert!(followed.into_body().collect().await.unwrap().to_bytes().is_empty(), "and so did who followed");

    let thief = create(&served, Some(&admin), &json!({})).await;
    let (go, theirs) = slow(signed(local(), b"{}", &thief), "{}");
    let late = async {
        assert_eq!(revoke(&served, &admin, &thief.access_key).await.status, 200);
        go.send(()).unwrap();
    };
    let (answer, ()) = tokio::join!(served.service.handle(theirs), late);
    assert_eq!(outcome(answer).await, '?', "its key is revoked when all of it is here");
}

/// A body that announces its size, brings `first`, and then nothing.
struct Announced {
    bytes: u64,
    first: Option<Bytes>,
}

impl Body for Announced {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        self.first.take().map_or(Poll::Pending, |first| Poll::Ready(Some(Ok(Frame::data(first)))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes)
    }
}

/// Whoever knew the name of a key, which is no secret, could announce large bodies and send none of them: the memory for
/// bodies was given by what was announced, before the signature could be looked at, and nobody else got any.
#[tokio::test]
async fn who_only_announces_bodies_takes_nothing_from_others() {
    let config = Config { bodies_bytes_max: 4 << 20, memory_timeout: Duration::from_millis(200), ..Config::default() };
    let served = support::serve_with(config);
    let admin = create(&served, None, &json!({})).await;
    let stranger = Credentials { secret_key: "guessed".into(), ..admin.clone() };
    let large = format!("{{{}}}", " ".repeat(2 << 20));
    let announce = |first: Option<Bytes>| {
        let request = signed(operation_request("ListTables", "{}".to_owned()), b"{}", &stranger);
        Box::pin(served.service.handle(request.map(|_| Announced { bytes: 3 << 20, first })))
    };
    let mut waiting: Vec<_> = (0..50).map(|_| announce(None)).collect();
    for request in &mut waiting {
        assert!(request.as_mut().now_or_never().is_none());
    }
    let answer = call(&served, &admin, "ListTables", &large).await;
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));

    // Those who send a lot share a quarter, and only a body whose hash is signed passes them by.
    let mut sending: Vec<_> = (0..2).map(|_| announce(Some(Bytes::from(vec![b' '; 1 << 20])))).collect();
    for request in &mut sending {
        assert!(request.as_mut().now_or_never().is_none());
    }
    let answer = call(&served, &admin, "ListTables", &large).await;
    assert!(String::from_utf8_lossy(&answer.body).contains("ThrottlingException"), "{}", answer.status);
    let mut request = operation_request("ListTables", large.clone());
    let hash = digest::digest(&digest::SHA256, large.as_bytes());
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    request.headers_mut().insert("x-amz-content-sha256", hash.parse().unwrap());
    let answer = served.send(signed(request, large.as_bytes(), &admin)).await;
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    assert_eq!(call(&served, &admin, "ListTables", "{}").await.status, 200, "small ones wait for nobody");

    drop((waiting, sending));
    assert_eq!(call(&served, &admin, "ListTables", &large).await.status, 200);
}
