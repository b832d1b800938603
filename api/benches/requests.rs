//! What processor time do requests take between their sockets and the store, in one thread?
//!
//! `cargo bench -p api --bench requests`: the median of rounds, for
//!
//! - a PutItem of 12 attributes up to the store: to a table that is not there, which is found out when all else is parsed and
//!   valid, the error's answer included;
//! - the check of a signature: what a signed request takes more than an unsigned one;
//! - a page of 1 MB from memory, of items of 12 attributes and of items of 1 KB of text, in bytes as DynamoDB counts them and as JSON;
//! - the same of GetRecords.
//!
//! `-- NAME` asks one of `put`, `signature`, `query`, `records`. Keys once made stay, so signatures come last.
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::fmt::Write;

use api::Credentials;
use serde_json::Value;
use support::{Answer, Served};
use tokio::runtime::Runtime;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 9;
/// Small requests of one round.
const REQUESTS: usize = 5_000;
/// Items of one partition: some pages of them.
const ITEMS: u64 = 40_000;

fn main() {
    // Cargo adds `--bench`.
    let wanted = std::env::args().skip(1).find(|argument| argument != "--bench");
    let is_wanted = |name: &str| wanted.as_ref().is_none_or(|wanted| wanted == name);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bench = { Bench { served: runtime.block_on(async { support::serve() }), runtime } };
    if is_wanted("put") {
        println!("PutItem of 12 attributes up to the store: {:.2} us", bench.put());
    }
    for (name, text_bytes) in [("12 attributes", 0), ("1 KB of text", 1000)] {
        if is_wanted("query") || is_wanted("records") {
            bench.fill(name, text_bytes);
        }
        if is_wanted("query") {
            println!("Query of a page of items of {name}: {}", bench.pages(text_bytes));
        }
        if is_wanted("records") {
            println!("GetRecords of items of {name}: {}", bench.records(text_bytes));
        }
    }
    if is_wanted("signature") {
        println!("check of a signature: {:.2} us", bench.signature());
    }
}

struct Bench {
    served: Served,
    runtime: Runtime,
}

impl Bench {
    fn call(&self, operation: &str, body: &str) -> Answer {
        self.runtime.block_on(self.served.call(operation, body.to_owned()))
    }

    fn put(&self) -> f64 {
        let body = format!("{{\"TableName\":\"absent\",\"Item\":{}}}", item(7, 0));
        assert_eq!(self.call("PutItem", &body).status, 400);
        median(|| each(|| drop(self.call("PutItem", &body))))
    }

    /// 12 attributes in each item; of `text_bytes`, one of them has a text of so many.
    fn fill(&self, name: &str, text_bytes: usize) {
        let table = table(text_bytes);
        let made = self.call(
            "CreateTable",
            &format!(
                "{{\"TableName\":\"{table}\",\"BillingMode\":\"PAY_PER_REQUEST\",\"AttributeDefinitions\":[\
                 {{\"AttributeName\":\"device_id\",\"AttributeType\":\"S\"}},{{\"AttributeName\":\"ts\",\"AttributeType\":\"N\"}}],\
                 \"KeySchema\":[{{\"AttributeName\":\"device_id\",\"KeyType\":\"HASH\"}},\
                 {{\"AttributeName\":\"ts\",\"KeyType\":\"RANGE\"}}],\
                 \"StreamSpecification\":{{\"StreamEnabled\":true,\"StreamViewType\":\"NEW_IMAGE\"}}}}"
            ),
        );
        assert_eq!(made.status, 200, "{name}");
        let items = if text_bytes == 0 { ITEMS } else { ITEMS / 8 };
        for first in (0..items).step_by(25) {
            let mut body = format!("{{\"RequestItems\":{{\"{table}\":[");
            for number in first..items.min(first + 25) {
                let comma = if number == first { "" } else { "," };
                write!(body, "{comma}{{\"PutRequest\":{{\"Item\":{}}}}}", item(number, text_bytes)).unwrap();
            }
            body += "]}}";
            assert_eq!(self.call("BatchWriteItem", &body).status, 200);
        }
    }

    fn pages(&self, text_bytes: usize) -> String {
        let table = table(text_bytes);
        let body = format!(
            "{{\"TableName\":\"{table}\",\"KeyConditionExpression\":\"device_id = :d\",\
             \"ExpressionAttributeValues\":{{\":d\":{{\"S\":\"{DEVICE}\"}}}}}}"
        );
        let answer = self.call("Query", &body);
        let page: Value = serde_json::from_slice(&answer.body).unwrap();
        assert!(page.get("LastEvaluatedKey").is_some(), "a page is full");
        let (count, bytes) = (page["Count"].as_u64().unwrap() as f64, answer.body.len() as f64);
        let us = median(|| repeat(|| drop(self.call("Query", &body)), 20));
        told(us, count, f64::from(1 << 20), bytes)
    }

    fn records(&self, text_bytes: usize) -> String {
        let table = table(text_bytes);
        let text = |operation: &str, body: &str, pointer: &str| {
            let answer: Value = serde_json::from_slice(&self.call(operation, body).body).unwrap();
            answer.pointer(pointer).and_then(Value::as_str).unwrap().to_owned()
        };
        let arn = text("ListStreams", &format!("{{\"TableName\":\"{table}\"}}"), "/Streams/0/StreamArn");
        let described: Value =
            serde_json::from_slice(&self.call("DescribeStream", &format!("{{\"StreamArn\":\"{arn}\"}}")).body).unwrap();
        for shard in described["StreamDescription"]["Shards"].as_array().unwrap() {
            let shard = shard["ShardId"].as_str().unwrap();
            let start =
                format!("{{\"StreamArn\":\"{arn}\",\"ShardId\":\"{shard}\",\"ShardIteratorType\":\"TRIM_HORIZON\"}}");
            let iterator = text("GetShardIterator", &start, "/ShardIterator");
            let body = format!("{{\"ShardIterator\":\"{iterator}\"}}");
            let answer = self.call("GetRecords", &body);
            let page: Value = serde_json::from_slice(&answer.body).unwrap();
            let records = page["Records"].as_array().unwrap();
            if records.len() > 100 {
                let size: u64 = records.iter().map(|record| record["dynamodb"]["SizeBytes"].as_u64().unwrap()).sum();
                let us = median(|| repeat(|| drop(self.call("GetRecords", &body)), 20));
                return told(us, records.len() as f64, size as f64, answer.body.len() as f64);
            }
        }
        panic!("one shard has the device")
    }

    fn signature(&self) -> f64 {
        let body = format!("{{\"TableName\":\"absent\",\"Item\":{}}}", item(7, 0));
        let unsigned = self.put();
        let request = hyper::Request::post("/admin/keys").header("host", "localhost").body(Default::default()).unwrap();
        let made: Value = serde_json::from_slice(&self.runtime.block_on(self.served.send(request)).body).unwrap();
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        let key = Credentials { access_key: text("access_key"), secret_key: text("secret_key"), session_token: None };
        let sign = || support::signed(support::operation_request("PutItem", body.clone()), body.as_bytes(), &key);
        let signed = median(|| {
            let mut requests: Vec<_> = (0..REQUESTS).map(|_| sign()).collect();
            each(|| drop(self.runtime.block_on(self.served.send(requests.pop().unwrap()))))
        });
        let made = median(|| each(|| drop(support::operation_request("PutItem", body.clone()))));
        signed - (unsigned - made)
    }
}

const DEVICE: &str = "bench/00000/0000001";

fn table(text_bytes: usize) -> String {
    format!("bench-{text_bytes}")
}

/// The item of a number, as JSON.
fn item(number: u64, text_bytes: usize) -> String {
    let mut item =
        format!("{{\"device_id\":{{\"S\":\"{DEVICE}\"}},\"ts\":{{\"N\":\"{}\"}}", 1_767_225_600_000 + number * 1000);
    for (place, name) in (0..).zip(["lat", "lon", "alt", "vel", "hdg", "fuel", "rpm", "oil", "t1", "t2"]) {
        let value = number.wrapping_mul(0x9e37_79b9).wrapping_add(place * 0x85eb) % 9000 + 1000;
        if place == 0 && text_bytes > 0 {
            write!(item, ",\"{name}\":{{\"S\":\"{}\"}}", "a text ".repeat(text_bytes / 7)).unwrap();
        } else {
            write!(item, ",\"{name}\":{{\"N\":\"{}.{:02}\"}}", value / 100, value % 100).unwrap();
        }
    }
    item + "}"
}

fn told(us: f64, count: f64, bytes: f64, json_bytes: f64) -> String {
    let mb = |bytes: f64| bytes / us;
    format!(
        "{us:.0} us, {count} items, {:.0} ns an item, {:.0} MB/s of items ({:.2} MB), {:.0} MB/s of JSON ({:.2} MB)",
        1000.0 * us / count,
        mb(bytes),
        bytes / 1e6,
        mb(json_bytes),
        json_bytes / 1e6
    )
}

/// Microseconds of one of [`REQUESTS`].
fn each(work: impl FnMut()) -> f64 {
    repeat(work, REQUESTS)
}

/// Microseconds of this thread's processor time that one `work` takes, of `count`.
fn repeat(mut work: impl FnMut(), count: usize) -> f64 {
    let before = thread_ns();
    (0..count).for_each(|_| work());
    (thread_ns() - before) as f64 / 1000.0 / count as f64
}

/// The median of some rounds, after one that warms up.
fn median(mut round: impl FnMut() -> f64) -> f64 {
    round();
    let mut rounds: Vec<f64> = (0..ROUNDS).map(|_| round()).collect();
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}

/// This thread's processor time.
fn thread_ns() -> u64 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    told.split(' ').next().unwrap().parse().unwrap()
}
