//! What inputs begin from: the golden requests, what is in them, and examples of the codecs. Nothing is stored twice.

use std::{
    collections::BTreeSet,
    fs,
    io::{Error, Result},
    path::Path,
};

use hyper::{HeaderMap, Method, Uri, header::HeaderValue};
use item::{
    Actor, Change, Event, Image, Item, Key, KeyAttribute, KeyType, Old, SequenceNumber, Table, TableId, Value,
    table::system,
};
use serde_json::Value as Json;

use crate::Entry;

/// When entries happen: 2026-01-01T00:00:00Z, microseconds since 1970.
pub const NOW_US: u64 = 1_767_225_600_000_000;

/// The table that statements are about, as a request.
pub(crate) const TABLE: &str = r#"{"TableName":"Music","BillingMode":"PAY_PER_REQUEST",
    "AttributeDefinitions":[{"AttributeName":"Artist","AttributeType":"S"},{"AttributeName":"SongTitle","AttributeType":"S"}],
    "KeySchema":[{"AttributeName":"Artist","KeyType":"HASH"},{"AttributeName":"SongTitle","KeyType":"RANGE"}]}"#;

/// A table with keys `pk` (S) and `sk` (N).
pub(crate) fn table() -> Table {
    Table {
        name: "Table".to_owned(),
        partition_key: KeyAttribute::new("pk", KeyType::S),
        sort_key: Some(KeyAttribute::new("sk", KeyType::N)),
        ..system::retained()
    }
}

/// The seeds of an entry, each once, in order. They are made from what the repository holds beside this directory.
pub fn of(entry: Entry) -> Result<BTreeSet<Vec<u8>>> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../api/tests/golden");
    let mut files = Vec::new();
    for file in fs::read_dir(golden)? {
        let path = file?.path();
        if path.extension().is_some_and(|extension| extension == "request") {
            files.push(fs::read_to_string(path)?);
        }
    }
    let texts = |names: &[&str]| files.iter().flat_map(|file| texts_of(file, names)).map(String::into_bytes).collect();
    let mut seeds: BTreeSet<Vec<u8>> = match entry {
        Entry::Condition => texts(&["ConditionExpression", "FilterExpression"]),
        Entry::Update => texts(&["UpdateExpression"]),
        Entry::Projection => texts(&["ProjectionExpression"]),
        Entry::KeyCondition => texts(&["KeyConditionExpression"]),
        Entry::Statement => texts(&["Statement"]),
        Entry::Requests => files.iter().map(|file| file.clone().into_bytes()).collect(),
        Entry::Signature => signatures().map_err(Error::other)?,
        Entry::Payload => payloads(),
        Entry::Session => sessions(),
        Entry::Image => items(&files).iter().map(|item| Image::encode(item).bytes().to_vec()).collect(),
        Entry::Event => events(&items(&files)),
        Entry::Key => items(&files).iter().flat_map(keys).collect(),
    };
    seeds.extend(EXAMPLES.iter().filter(|(of, _)| *of == entry).map(|(_, text)| text.as_bytes().to_vec()));
    Ok(seeds)
}

/// What the golden files show too little of.
const EXAMPLES: &[(Entry, &str)] = &[
    (Entry::Condition, "NOT (#a = :a OR #b <> :b) AND attribute_type(#c[0].#m, :t) AND size(#l) BETWEEN :v AND :n"),
    (Entry::Condition, "contains(#s, :a) AND begins_with(#a, :e) AND #n IN (:one, :v) AND attribute_not_exists(#m.x)"),
    (Entry::Condition, "((((((((#a = :a))))))))"),
    (Entry::Update, "SET #a = :a, #l[0] = list_append(#l, :l), #n = if_not_exists(#n, :v) + :one REMOVE #c[1], #b"),
    (Entry::Update, "ADD #n :one, #s :s DELETE #z :z"),
    (Entry::Projection, "#a, #l[0], #m.x, #c[0].#l[1], pk"),
    (Entry::KeyCondition, "pk = :k AND sk BETWEEN :v AND :one"),
    (Entry::KeyCondition, "(begins_with(sk, :a)) AND (#p = :k)"),
    (
        Entry::Statement,
        "SELECT a.b[0], \"c\" FROM \"Music\".\"Index\" WHERE Artist IN ['x', 'y'] AND SongTitle > ? ORDER BY SongTitle DESC",
    ),
    (
        Entry::Statement,
        "INSERT INTO Music VALUE {'Artist': ?, 'SongTitle': 'x', 's': <<1, 2.5e3>>, 'l': [{'m': MISSING}]}",
    ),
    (
        Entry::Statement,
        "UPDATE Music SET a = list_append(a, ?) REMOVE b.c WHERE Artist = 'it''s' AND SongTitle = ? RETURNING ALL OLD *",
    ),
    (Entry::Statement, "DELETE FROM Music WHERE Artist = -1.5 AND begins_with(SongTitle, 'x') -- why"),
    (Entry::Key, "-123.456e-78"),
    (Entry::Key, "00012345678901234567890123456789012345678.90"),
];

/// The texts of members with these names, wherever they are in the requests of a file.
fn texts_of(file: &str, names: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let bodies = file.split("\n---\n").filter_map(|request| request.find('{').map(|at| &request[at..]));
    let mut open: Vec<Json> = bodies.filter_map(|body| serde_json::from_str(body.trim()).ok()).collect();
    while let Some(value) = open.pop() {
        match value {
            Json::Object(members) => {
                for (name, value) in members {
                    match value {
                        Json::String(text) if names.contains(&name.as_str()) => found.push(text),
                        value => open.push(value),
                    }
                }
            }
            Json::Array(values) => open.extend(values),
            _ => {}
        }
    }
    found
}

/// Items like those of the golden files' puts: their attributes' names with values of all types.
fn items(files: &[String]) -> Vec<Item> {
    let texts = files.iter().flat_map(|file| texts_of(file, &["S", "N", "B"]));
    let mut items = vec![Item::new()];
    for (place, text) in texts.enumerate() {
        let mut item = items[place % items.len()].clone();
        let value = match (place % 5, text.parse()) {
            (0, Ok(number)) => Value::Number(number),
            (1, _) => Value::List(vec![Value::Map(item.0.clone()), Value::Bool(true)]),
            (2, _) => Value::StringSet([text.clone()].into()),
            (3, _) => Value::Binary(text.clone().into_bytes().into()),
            (_, Ok(number)) => Value::NumberSet([number].into()),
            (_, Err(_)) => Value::String(text.clone()),
        };
        if item.size() > 500 {
            item = Item::new();
        }
        item.insert("pk", Value::from("device"));
        item.insert("sk", Value::Number((place as u64).into()));
        item.insert(text, value);
        item.remove("");
        items.push(item);
        if items.len() > 60 {
            break;
        }
    }
    items
}

fn keys(item: &Item) -> Vec<Vec<u8>> {
    let Ok(Key { partition, sort }) = Key::of_item(&table(), item) else { return Vec::new() };
    vec![partition.to_vec(), sort.to_vec(), [partition, sort].concat()]
}

fn events(items: &[Item]) -> BTreeSet<Vec<u8>> {
    let mut seeds = BTreeSet::new();
    let mut encoded = Vec::new();
    table().encode(&mut encoded);
    seeds.insert(encoded);
    for pair in items.windows(2) {
        let Ok(key) = Key::of_item(&table(), &pair[1]) else { continue };
        let [old, new] = [&pair[0], &pair[1]].map(Image::encode);
        let mut bytes = Vec::new();
        for change in [
            Change::Put { key: key.clone(), old: Old::Image(old.clone()), new },
            Change::Remove { key, old: Old::Image(old) },
        ] {
            let event = Event {
                sequence: SequenceNumber(1),
                shard: item::ShardId(0),
                actor: Actor::User,
                table: TableId(7),
                schema_version: 1,
                change,
            };
            event.encode(&mut bytes);
        }
        seeds.insert(bytes);
    }
    seeds
}

fn payloads() -> BTreeSet<Vec<u8>> {
    [
        "greenhouse/north\n{\"ts\": 1767225600000, \"temperature\": 21.50, \"humidity\": 48}",
        "home/bedroom/temperature\n21.5",
        "a//b/\n[{\"device_id\":\"x\",\"time\":\"2026-01-01T00:00:00.123456Z\",\"v\":[1,{\"a\":null}]},7]",
        "t\n{\"timestamp\":\"1767225600\",\"nan\":NaN,\"long\":1e999,\"\":1,\"a\":1,\"a\":2,\"text\":\"\\u00fc\\ud83d\\ude00\"}",
        "t\n{\"ts\":\"2026-01-01 00:00:00\",\"ok\":true,\"bad\":\"\\ud800\"}",
        "t\n  on \u{0}",
        "t\n",
    ]
    .into_iter()
    .map(|text| text.as_bytes().to_vec())
    .collect()
}

fn sessions() -> BTreeSet<Vec<u8>> {
    let connect_4 = b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04mine";
    let connect_5 = b"\x10\x16\x00\x04MQTT\x05\x02\x00\x3c\x05\x11\x00\x00\x00\x0a\x00\x04mine";
    let will_4 = b"\x10\x19\x00\x04MQTT\x04\x0e\x00\x00\x00\x04mine\x00\x01w\x00\x04gone";
    let publish_4 = b"\x32\x0a\x00\x03a/b\x00\x0121.";
    let publish_5 = b"\x33\x12\x00\x03a/b\x00\x02\x07\x01\x01\x02\x00\x00\x00\x0921.";
    let rest = b"\x30\x04\x00\x01ax\xc0\x00\x82\x06\x00\x05\x00\x01a\x00\x62\x00\xe0\x00";
    [
        [&[7], &connect_4[..], publish_4, rest].concat(),
        [&[255], &connect_5[..], publish_5, rest].concat(),
        [&[1], &will_4[..], publish_4].concat(),
    ]
    .into()
}

/// A request as its owner signs it, and one that is presigned; the signatures are of another secret.
fn signatures() -> std::result::Result<BTreeSet<Vec<u8>>, hyper::http::Error> {
    let credentials = api::Credentials {
        access_key: "@access_key@".to_owned(),
        secret_key: "secret".to_owned(),
        session_token: Some("token".to_owned()),
    };
    let mut headers = HeaderMap::new();
    headers.insert("host", HeaderValue::from_static("localhost"));
    headers.insert("x-amz-target", HeaderValue::from_static("DynamoDB_20120810.ListTables"));
    headers.insert("content-type", HeaderValue::from_static("application/x-amz-json-1.0"));
    credentials.sign(&Method::POST, &Uri::from_static("/"), &mut headers, b"{}", NOW_US);
    let lines = headers.iter().map(|(name, value)| format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())));
    let signed = format!("POST /\n{}\n{{}}", lines.collect::<String>());
    let presigned = "POST /?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=@access_key@%2F20260101%2Fus-east-1%2Fdynamodb\
                     %2Faws4_request&X-Amz-Date=20260101T000000Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host%3Bx-amz-target\
                     &X-Amz-Signature=00ff\nhost: localhost\nx-amz-target: DynamoDB_20120810.ListTables\n\n{}";
    let dated = "POST /\nhost: localhost\ndate: Thu, 01 Jan 2026 00:00:00 GMT\nauthorization: AWS4-HMAC-SHA256 \
                 Credential=@access_key@/20260101/us-east-1/dynamodb/aws4_request,SignedHeaders=host;date,Signature=00ff\n\n{}";
    Ok([signed, presigned.to_owned(), dated.to_owned()].into_iter().map(String::into_bytes).collect())
}
