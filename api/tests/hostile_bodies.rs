//! No body makes an operation panic, whatever it holds: each gets an answer, and a key that allows little is not let in.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use proptest::prelude::*;

const OPERATIONS: &[&str] = &[
    "BatchGetItem",
    "BatchWriteItem",
    "CreateTable",
    "DeleteItem",
    "DeleteTable",
    "DescribeEndpoints",
    "DescribeLimits",
    "DescribeStream",
    "DescribeTable",
    "DescribeTimeToLive",
    "GetItem",
    "GetRecords",
    "GetShardIterator",
    "ListStreams",
    "ListTables",
    "ListTagsOfResource",
    "PutItem",
    "Query",
    "Scan",
    "TagResource",
    "TransactGetItems",
    "TransactWriteItems",
    "UntagResource",
    "UpdateItem",
    "UpdateTable",
    "UpdateTimeToLive",
];

/// Members that requests have, so that random ones get somewhere.
const MEMBERS: &[&str] = &[
    "TableName",
    "Item",
    "Key",
    "KeySchema",
    "AttributeDefinitions",
    "AttributeName",
    "AttributeType",
    "KeyType",
    "BillingMode",
    "RequestItems",
    "PutRequest",
    "TransactItems",
    "ConditionCheck",
    "Put",
    "Delete",
    "Update",
    "Get",
    "UpdateExpression",
    "ClientRequestToken",
    "Keys",
    "Limit",
    "Segment",
    "TotalSegments",
    "ExclusiveStartKey",
    "KeyConditionExpression",
    "FilterExpression",
    "ProjectionExpression",
    "ConditionExpression",
    "ExpressionAttributeNames",
    "ExpressionAttributeValues",
    "ReturnValues",
    "Select",
    "ShardIterator",
    "StreamArn",
    "ShardId",
    "ShardIteratorType",
    "SequenceNumber",
    "S",
    "N",
    "B",
    "L",
    "M",
    "SS",
    "NS",
    "BS",
    "BOOL",
    "NULL",
    "pk",
    "#n",
    ":v",
    "Table",
    "",
];

const TEXTS: &[&str] = &[
    "Table",
    "pk",
    "HASH",
    "S",
    "PAY_PER_REQUEST",
    "pk = :v",
    "#n",
    "pk, #n",
    "((((",
    "begins_with(pk, :v)",
    "TRIM_HORIZON",
    "1",
    "-0",
    "1E999",
    "AA==",
    "arn:aws:dynamodb:a:b:table/Table",
    "arn:aws:dynamodb:a:b:table/Table/stream/x",
    "\u{0}",
    "ü",
    "",
];

/// A table, and what random requests call its key.
const TABLE: &str = r#"{"TableName":"Table","AttributeDefinitions":[{"AttributeName":"pk","AttributeType":"S"}],
    "KeySchema":[{"AttributeName":"pk","KeyType":"HASH"}],"BillingMode":"PAY_PER_REQUEST"}"#;

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        prop::sample::select(TEXTS).prop_map(serde_json::Value::from),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        any::<f64>().prop_map(serde_json::Value::from),
        Just(serde_json::Value::Null),
    ];
    leaf.prop_recursive(6, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            prop::collection::vec((prop::sample::select(MEMBERS), inner), 0..6)
                .prop_map(|members| { members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect() }),
        ]
    })
}

#[test]
fn every_body_gets_an_answer() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _within = runtime.enter();
    let served = support::serve();
    assert_eq!(runtime.block_on(served.call("CreateTable", TABLE)).status, 200);
    run(|operation, body| runtime.block_on(served.call(operation, body)), |_, _| true);
}

/// Such a key may describe a table, and items of a device that no request names.
#[test]
fn a_key_of_another_device_does_nothing() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _within = runtime.enter();
    let served = support::serve();
    assert_eq!(runtime.block_on(served.call("CreateTable", TABLE)).status, 200);
    let wanted = r#"{"permissions":[{"action":"admin","table":"Table","device":"another"}]}"#;
    let request = hyper::Request::post("/admin/keys").header("host", "localhost").body(wanted.into()).unwrap();
    let answer = runtime.block_on(served.send(request));
    let told: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let text = |name: &str| told[name].as_str().unwrap().to_owned();
    let (access_key, secret_key) = (text("access_key"), text("secret_key"));
    let key = api::Credentials { access_key, secret_key, session_token: None };
    let harmless = |operation: &str, answer: &support::Answer| {
        answer.status == 400 || operation.starts_with("Describe") || operation.starts_with("List")
    };
    run(
        |operation, body| {
            let request = support::operation_request(operation, body.clone());
            runtime.block_on(served.send(support::signed(request, &body, &key)))
        },
        harmless,
    );
}

/// Asks for random things; `fits` says which answers to an operation are right beside being answers.
fn run(ask: impl Fn(&'static str, Vec<u8>) -> support::Answer, fits: impl Fn(&str, &support::Answer) -> bool) {
    let members = prop::collection::vec((prop::sample::select(MEMBERS), json()), 0..8).prop_map(|members| {
        let object: serde_json::Value = members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        object.to_string().into_bytes()
    });
    let body = prop_oneof![4 => members, 1 => prop::collection::vec(any::<u8>(), 0..60)];
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(600));
    let result = runner.run(&(prop::sample::select(OPERATIONS), body), |(operation, body)| {
        let answer = ask(operation, body);
        prop_assert!(fits(operation, &answer), "{operation}");
        prop_assert!([200, 400].contains(&answer.status.as_u16()), "{}", answer.status);
        prop_assert!(serde_json::from_slice::<serde_json::Value>(&answer.body).is_ok());
        Ok(())
    });
    result.unwrap();
}
