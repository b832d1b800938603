//! Requests to a server without sockets. It answers each, with a status and words that DynamoDB has, and never that something
//! went wrong inside.

use std::sync::Arc;

use api::{App, Config, Credentials, Facts, Payload, Service};
use bytes::Bytes;
use compactor::Compactor;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, StatusCode, header::HeaderName};
use ingest::{Ingest, Received};
use metrics_exporter_prometheus::PrometheusBuilder;
use sim::{clock::SimClock, disk::SimDisk, random::Random};
use store::{
    Store,
    cache::Cache,
    env::{DirectoryId, open_format},
};
use streams::Streams;
use tokio::{runtime::Runtime, sync::watch};

use crate::seeds;

/// Requests of one input, at most.
const REQUESTS_MAX: usize = 40;

/// Takes requests in the form of golden files: parted by lines of `---`.
pub(crate) fn requests(bytes: &[u8]) {
    let served = Served::new();
    let text = String::from_utf8_lossy(bytes);
    for request in text.split("\n---\n").take(REQUESTS_MAX) {
        if let Some(request) = request_of(request) {
            served.ask(request);
        }
    }
}

/// Takes a statement, without and with parameters.
pub(crate) fn statement(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let served = Served::new();
    served.ask(operation("CreateTable", seeds::TABLE));
    let parameters = serde_json::json!([{"S": "device"}, {"N": "7"}, {"L": [{"NULL": true}]}]);
    for body in [
        serde_json::json!({ "Statement": text }),
        serde_json::json!({ "Statement": text, "Parameters": parameters, "ReturnConsumedCapacity": "INDEXES" }),
    ] {
        served.ask(operation("ExecuteStatement", &body.to_string()));
    }
}

/// Takes a request line with headers for a server that has a key. Who has not its secret is not let in.
pub(crate) fn signature(bytes: &[u8]) {
    let served = Served::new();
    let key = served.make_key();
    let text = String::from_utf8_lossy(bytes).replace("@access_key@", &key.access_key);
    let Some(request) = request_of(&text) else { return };
    let is_open = request.method() != "POST" || request.uri().path() != "/";
    let status = served.ask(request);
    assert!(is_open || status.is_client_error(), "nobody guesses a signature");
}

/// An operation's request.
fn operation(name: &str, body: &str) -> Request<Full<Bytes>> {
    request_of(&format!("{name}\n{body}")).expect("a request of the right form")
}

/// A request as golden files have it: an operation and its JSON, or a request line, headers, an empty line and a body. None
/// if HTTP does not have such.
fn request_of(text: &str) -> Option<Request<Full<Bytes>>> {
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    let Some((method, path)) = first.split_once(' ') else {
        let streams = ["ListStreams", "DescribeStream", "GetShardIterator", "GetRecords"].contains(&first);
        let protocol = if streams { "DynamoDBStreams_20120810" } else { "DynamoDB_20120810" };
        return Request::post("/")
            .header("host", "localhost")
            .header("x-amz-target", format!("{protocol}.{first}"))
            .header("content-type", "application/x-amz-json-1.0")
            .body(Full::new(Bytes::copy_from_slice(rest.as_bytes())))
            .ok();
    };
    if path.starts_with("/streams/") {
        // Its answer ends when the server does.
        return None;
    }
    let (headers, body) = match rest.strip_prefix('\n') {
        Some(body) => ("", body),
        None => rest.split_once("\n\n").unwrap_or((rest, "")),
    };
    let mut builder = Request::builder().method(method).uri(path);
    for (name, value) in headers.lines().filter_map(|line| line.split_once(':')) {
        builder = builder.header(HeaderName::try_from(name).ok()?, value.trim());
    }
    if builder.headers_ref().is_some_and(|headers| !headers.contains_key("host")) {
        builder = builder.header("host", "localhost");
    }
    builder.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).ok()
}

/// A server over a disk in memory, asked without sockets.
pub struct Served {
    service: Service,
    ingest: Ingest,
    runtime: Runtime,
    _stop: watch::Sender<bool>,
}

impl Served {
    /// A server with no tables.
    pub fn new() -> Served {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let within = runtime.enter();
        let disk = SimDisk::new(Random::new(1));
        open_format(&disk, || Ok(DirectoryId(1))).expect("a new disk");
        let settings = store::Config { segment_bytes: 1 << 18, ..store::Config::default() };
        let store = Store::open(Arc::new(disk), Arc::new(SimClock::new(seeds::NOW_US)), settings, Cache::Off)
            .expect("a new store");
        let compactor = Compactor::open(store.clone(), compactor::Config::default()).expect("a new store");
        let ingest = Ingest::new(store.clone(), ingest::Config::default()).expect("no routes");
        let stop = watch::Sender::new(false);
        let app = App {
            streams: Streams::new(&store),
            ingest: ingest.clone(),
            compactor,
            jobs: jobs::Jobs::new(store.clone()),
            buckets: api::Buckets::default(),
            keys: api::Keys::new(store.clone(), None),
            certificate: None,
            origins: api::Origins::default(),
            metrics: PrometheusBuilder::new().build_recorder().handle(),
            facts: Facts::default(),
            config: Config::default(),
            throttle: api::Throttle::default(),
            store,
        };
        let service = Service::new(app, stop.subscribe());
        drop(within);
        Served { service, ingest, runtime, _stop: stop }
    }

    /// Asks, and looks at the answer.
    ///
    /// # Panics
    ///
    /// If the answer is none of DynamoDB's, or tells of a mistake of ours.
    pub fn ask(&self, request: Request<Full<Bytes>>) -> StatusCode {
        let is_operation = request.method() == "POST" && request.uri().path() == "/";
        let (status, body) = self.runtime.block_on(async { whole(self.service.handle(request).await).await });
        assert!(!status.is_server_error(), "{status}: {}", String::from_utf8_lossy(&body));
        let is_json = body.is_empty() || serde_json::from_slice::<serde_json::Value>(&body).is_ok();
        assert!(is_json || !is_operation || status == StatusCode::NOT_FOUND, "{}", String::from_utf8_lossy(&body));
        status
    }

    /// Makes a key, from which on requests must be signed.
    fn make_key(&self) -> Credentials {
        let request = Request::post("/admin/keys").header("host", "localhost").body(Full::default());
        let request = request.expect("a request of the right form");
        let (status, body) = self.runtime.block_on(async { whole(self.service.handle(request).await).await });
        assert_eq!(status, StatusCode::OK, "a first key is made for whoever asks");
        let told: serde_json::Value = serde_json::from_slice(&body).expect("a key");
        let text = |name: &str| told[name].as_str().expect("a text").to_owned();
        Credentials { access_key: text("access_key"), secret_key: text("secret_key"), session_token: None }
    }

    /// What the ingest takes in.
    pub(crate) fn receive(&self, received: Received) -> Result<(), ingest::Error> {
        self.runtime.block_on(self.ingest.receive(vec![received]))
    }
}

impl Default for Served {
    fn default() -> Served {
        Served::new()
    }
}

async fn whole(response: Response<Payload>) -> (StatusCode, Bytes) {
    let (head, body) = response.into_parts();
    let Ok(body) = body.collect().await;
    (head.status, body.to_bytes())
}
