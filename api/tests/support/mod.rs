//! A service over a store in a temporary directory, asked without sockets.
#![allow(dead_code, reason = "each test file uses its part")]

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use api::{App, Config, Facts, Payload, Service};
use bytes::Bytes;
use compactor::Compactor;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Request, Response, StatusCode};
use ingest::Ingest;
use metrics_exporter_prometheus::PrometheusBuilder;
use sim::{disk::SimDisk, random::Random};
use store::{
    Store,
    cache::Cache,
    env::{DirectoryId, Disk, OsClock, OsDisk, open_format},
};
use streams::Streams;
use tokio::sync::watch;

/// A service, its directory, and the way to stop it.
pub(crate) struct Served {
    pub(crate) service: Service,
    pub(crate) stop: watch::Sender<bool>,
    _directory: Option<tempfile::TempDir>,
}

/// An app over a new store in `directory`.
pub(crate) fn app(directory: &std::path::Path, config: Config) -> App {
    let settings = store::Config { segment_bytes: 1 << 20, ..store::Config::default() };
    app_on(Arc::new(OsDisk::open(directory).unwrap()), settings, config)
}

/// A disk that can be told to fail.
pub(crate) fn sim_disk() -> SimDisk {
    sim_disk_of(1)
}

/// The same, with a fate of its own.
pub(crate) fn sim_disk_of(seed: u64) -> SimDisk {
    let disk = SimDisk::new(Random::new(seed));
    open_format(&disk, || Ok(DirectoryId(1))).unwrap();
    disk
}

/// An app over a store on `disk`.
pub(crate) fn app_on(disk: Arc<dyn Disk>, settings: store::Config, config: Config) -> App {
    let store = Store::open(disk, Arc::new(OsClock), settings, Cache::Off).unwrap();
    let metrics = PrometheusBuilder::new().build_recorder().handle();
    let compactor = Compactor::open(store.clone(), compactor::Config::default()).unwrap();
    let ingest = Ingest::new(store.clone(), ingest::Config::default()).unwrap();
    let streams = Streams::new(&store);
    let (keys, origins) = (api::Keys::new(store.clone(), None), api::Origins::default());
    let jobs = jobs::Jobs::new(store.clone());
    // Nothing runs jobs here, so what is asked for stays as it begins.
    let buckets = api::Buckets::new([("bucket".to_owned(), "/nonexistent/bucket".into())].into()).unwrap();
    let (facts, throttle) = (Facts::default(), api::Throttle::default());
    App {
        store,
        streams,
        ingest,
        compactor,
        jobs,
        buckets,
        keys,
        certificate: None,
        origins,
        metrics,
        facts,
        config,
        throttle,
    }
}

/// A service over a new store.
pub(crate) fn serve() -> Served {
    serve_with(Config::default())
}

/// A service over a new store, with these bounds.
pub(crate) fn serve_with(config: Config) -> Served {
    let directory = tempfile::tempdir().unwrap();
    let served = serve_app(app(directory.path(), config));
    Served { _directory: Some(directory), ..served }
}

/// A service for `app`.
pub(crate) fn serve_app(app: App) -> Served {
    let stop = watch::Sender::new(false);
    let service = Service::new(app, stop.subscribe());
    Served { service, stop, _directory: None }
}

/// A whole answer.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) async fn of(response: Response<Payload>) -> Answer {
        let (head, body) = response.into_parts();
        Answer { status: head.status, headers: head.headers, body: body.collect().await.unwrap().to_bytes() }
    }
}

impl Served {
    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        Answer::of(self.service.handle(request).await).await
    }

    /// The answer to a GET.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).header("host", "localhost").body(Full::default()).unwrap()).await
    }

    /// One operation of the DynamoDB protocol (or of Streams, which has its own).
    pub(crate) async fn call(&self, operation: &str, body: impl Into<Bytes>) -> Answer {
        self.send(operation_request(operation, body)).await
    }
}

/// The request of one operation.
pub(crate) fn operation_request(operation: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let streams = ["ListStreams", "DescribeStream", "GetShardIterator", "GetRecords"].contains(&operation);
    let protocol = if streams { "DynamoDBStreams_20120810" } else { "DynamoDB_20120810" };
    Request::post("/")
        .header("host", "localhost")
        .header("x-amz-target", format!("{protocol}.{operation}"))
        .header("content-type", "application/x-amz-json-1.0")
        .body(Full::new(body.into()))
        .unwrap()
}

#[expect(clippy::disallowed_methods, reason = "the server under test has the system's clock")]
fn now_us() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap()
}

/// A request with the signature of `key`'s owner.
pub(crate) fn signed(request: Request<Full<Bytes>>, body: &[u8], key: &api::Credentials) -> Request<Full<Bytes>> {
    let (mut head, whole) = request.into_parts();
    key.sign(&head.method, &head.uri, &mut head.headers, body, now_us());
    Request::from_parts(head, whole)
}
