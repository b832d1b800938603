//! The server's parts, opened in order: each takes the handles of those before it.
//!
//! Disk, cache, store, streams, ingest, compactor, jobs, listeners and sources, HTTP. [`Running::stop`] ends them in reverse: who takes writes stops and
//! drains first, the store closes last, when nothing can ask it any more.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use compactor::{Compactor, Expirer};
use ingest::{Ingest, SourceKind};
use jobs::{Jobs, Runner};
use metrics_exporter_prometheus::PrometheusHandle;
use store::{
    Durability, Store,
    cache::{Cache, CacheConfig},
    env::{Clock, OsClock, OsDisk},
};
use streams::Streams;
use tls::{Acceptor, Certificate};
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    task::JoinSet,
    time::MissedTickBehavior,
};

use crate::{
    config::{CacheSizes, Config},
    owner,
};

/// A server that serves.
pub(crate) struct Running {
    /// Where HTTP is served.
    pub(crate) http: SocketAddr,
    /// Where MQTT is served, if it is.
    pub(crate) mqtt: Option<SocketAddr>,
    /// Are both served inside TLS?
    pub(crate) is_secured: bool,
    /// The data directory, absolute.
    pub(crate) data_dir: PathBuf,
    store: Store,
    /// Listeners and sources: what takes readings.
    entrances: Part,
    /// The HTTP server.
    api: Part,
    /// What works behind: flushes, merges, trims, jobs.
    background: Part,
}

/// A TLS handshake with a device must be done so long after the connection was made.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a part may drain; there are three, one after the other. Long enough for every sync under way, short enough that a
/// full disk does not keep the process from ending.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// Tasks that end when they are told to.
struct Part {
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Part {
    fn new() -> Part {
        Part { stop: watch::Sender::new(false), tasks: JoinSet::new() }
    }

    /// Returns if a task ends though nobody told it to: a mistake of ours.
    async fn ended(&mut self) -> anyhow::Error {
        match self.tasks.join_next().await {
            None => std::future::pending().await,
            Some(Ok(())) => anyhow::anyhow!("a part of the server has ended by itself"),
            Some(Err(error)) => anyhow::Error::new(error).context("a part of the server has failed"),
        }
    }

    /// Tells the tasks to end, and waits until they have drained, or until [`DRAIN_MAX`]: a full disk may hold them up for
    /// ever. What was not acknowledged by then never is; its senders send it again.
    async fn end(mut self) {
        self.stop.send_replace(true);
        if tokio::time::timeout(DRAIN_MAX, self.drained()).await.is_err() {
            tracing::warn!(after_s = DRAIN_MAX.as_secs(), "stopping although not everything under way is done");
            self.tasks.abort_all();
            self.drained().await;
        }
    }

    async fn drained(&mut self) {
        while let Some(ended) = self.tasks.join_next().await {
            if let Some(error) = ended.err().filter(|error| error.is_panic()) {
                tracing::error!(%error, "a part of the server ended by a panic");
            }
        }
    }
}

impl Running {
    /// Opens everything; serves when it returns. `metrics` renders what the process measures.
    pub(crate) async fn start(config: Config, metrics: PrometheusHandle) -> anyhow::Result<Running> {
        if config.store.durability == Durability::Memory {
            tracing::warn!(
                "durability = \"memory\": acknowledgements leave before readings are on stable storage, a power cut loses them"
            );
        }
        let started_at_us = OsClock.now_us();
        tracing::info!(division = %config.memory, "memory_limit");
        config.memory.choose_pages();
        // A directory that is not there has no keys either, and shall not be made for nothing.
        if !config.http.ip().is_loopback() && !config.data_dir.exists() {
            return Err(no_keys(&config));
        }
        // The directory is held before anything of it is touched: the cache lies in it.
        let disk = open_disk(&config).await?;
        let data_dir = disk.root().to_owned();
        let cache = open_cache(&config).await?;
        let store = open_store(&config, disk, cache).await?;
        let streams = Streams::new(&store);
        let ingest = Ingest::new(store.clone(), config.ingest.clone()).context("configuration")?;
        let compactor = open_compactor(&store, &config).await?;

        let keys = api::Keys::new(store.clone(), owner::make(&data_dir));
        let checking = keys.checking().await.context("access keys")?;
        if !checking && !config.http.ip().is_loopback() {
            return Err(no_keys(&config));
        }
        if config.certificate.is_none() && !config.http.ip().is_loopback() {
            tracing::warn!(
                http = %config.http,
                "without TLS requests are signed but not secret: who is between can read them, and their answers; see [tls]"
            );
        }

        // Both addresses before anything is taken from anyone: a port that is taken is the most common mistake.
        let (http_listener, http) = listen("http", config.http).await?;
        let mqtt_listener = match config.mqtt {
            Some(address) => Some(listen("mqtt", address).await?),
            None => None,
        };
        let mqtt = mqtt_listener.as_ref().map(|(_, address)| *address);

        let mut background = Part::new();
        let (worker, stop) = (compactor.clone(), background.stop.subscribe());
        background.tasks.spawn(async move { worker.serve(stop).await });
        let (expirer, stop) = (Expirer::new(store.clone()), background.stop.subscribe());
        background.tasks.spawn(expirer.run(stop));
        let jobs = Jobs::new(store.clone());
        restore::tidy(&jobs, compactor.backups()).await.context("bases of restores")?;
        api::tidy_transfers(&jobs, compactor.backups()).await.context("bases of exports")?;
        let restorer = compactor.clone();
        let runner = Runner::new(jobs.clone())
            .with(restore::KIND, move |work| restore::attempt(work, restorer.backups().clone()));
        let runner = api::with_transfers(runner, &config.buckets, &compactor);
        background.tasks.spawn(runner.run(background.stop.subscribe()));
        metrics::gauge!("thalweg_memory_limit_bytes").set(config.memory.memory_limit as f64);

        let (watched, stop) = (store.clone(), background.stop.subscribe());
        background.tasks.spawn(watch_room(watched, stop));

        let mut entrances = Part::new();
        let limits = config.ingest.settings.limits;
        if let Some((listener, _)) = mqtt_listener {
            let stop = entrances.stop.subscribe();
            let tls = config.certificate.as_ref().map(|shown| Acceptor::new(shown, &[], HANDSHAKE_TIMEOUT));
            entrances.tasks.spawn(ingest::mqtt::listener::serve(listener, ingest.clone(), limits, tls, stop));
        }
        for source in &config.ingest.sources {
            let (source, ingest, stop) = (source.clone(), ingest.clone(), entrances.stop.subscribe());
            match source.kind()? {
                SourceKind::Mqtt => entrances.tasks.spawn(ingest::mqtt::source::run(source, ingest, limits, stop)),
                SourceKind::Nats => entrances.tasks.spawn(ingest::nats::run(source, ingest, limits, stop)),
            };
        }

        let mut api = Part::new();
        let facts = api::Facts {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            data_directory: data_dir.display().to_string(),
            durability: format!("{:?}", config.store.durability).to_lowercase(),
            mqtt: mqtt.map(|address| address.to_string()),
            started_at_us,
        };
        let is_secured = config.certificate.is_some();
        if let Some(certificate) = config.certificate.clone() {
            let hangups = signal(SignalKind::hangup()).context("listening for signals")?;
            background.tasks.spawn(reload_at_hangups(certificate, hangups, background.stop.subscribe()));
        }
        let certificate = config.certificate.clone();
        let (origins, buckets) = (config.origins.clone(), config.buckets.clone());
        let config = config.memory.requests();
        let app = api::App {
            store: store.clone(),
            streams,
            ingest,
            compactor,
            jobs,
            buckets,
            keys,
            certificate,
            origins,
            metrics,
            facts,
            config,
            throttle: api::Throttle::default(),
        };
        api.tasks.spawn(api::serve(http_listener, app, api.stop.subscribe()));
        Ok(Running { http, mqtt, is_secured, data_dir, store, entrances, api, background })
    }

    /// Returns if a part does not work any more, so that the process can end instead of looking alive.
    pub(crate) async fn failed(&mut self) -> anyhow::Error {
        tokio::select! {
            error = self.entrances.ended() => error,
            error = self.api.ended() => error,
            error = self.background.ended() => error,
        }
    }

    /// Stops taking, drains, syncs, closes.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.entrances.end().await;
        self.api.end().await;
        self.background.end().await;
        self.store.close().await.context("closing the store")?;
        self.store.cache().close().await;
        Ok(())
    }
}

/// What to do before an address can be used that others can reach.
fn no_keys(config: &Config) -> anyhow::Error {
    let (address, data_dir) = (config.http, config.data_dir.display());
    let local = SocketAddr::from(([127, 0, 0, 1], address.port().max(1)));
    anyhow::anyhow!(
        "http = {address}: other addresses than loopback (127.0.0.1 or [::1]) can only be used once an access key \
         exists; to make one:\n  thalweg serve --data-dir {data_dir} --http {local}\n  thalweg key create --http \
         {local}\nthen stop the server, and start it again with --http {address}"
    )
}

/// Reads the certificate again at each SIGHUP, until told to stop. What cannot be used changes nothing.
async fn reload_at_hangups(certificate: Certificate, mut hangups: Signal, mut stop: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            _ = hangups.recv() => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        let reloaded = certificate.clone();
        let file = certificate.files().certificate.display().to_string();
        match tokio::task::spawn_blocking(move || reloaded.reload()).await {
            Ok(Ok(is_another)) => tracing::info!(file, is_another, "the certificate was read again"),
            Ok(Err(error)) => tracing::error!(%error, "the old certificate stays: the new one cannot be used"),
            Err(error) => tracing::error!(%error, "the old certificate stays: reading the new one failed"),
        }
    }
}

/// How often the disk is asked how much room is left: in that time no more is written than the reserve.
const ROOM_INTERVAL: Duration = Duration::from_millis(100);

/// Asks the disk how much room is left, until told to stop.
async fn watch_room(store: Store, mut stop: watch::Receiver<bool>) {
    let mut interval = tokio::time::interval(ROOM_INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        let asked = store.clone();
        // A disk that does not answer holds up nobody else.
        let _ = tokio::task::spawn_blocking(move || asked.check_room()).await;
    }
}

/// Opens the cache with what an earlier process left on SSD.
async fn open_cache(config: &Config) -> anyhow::Result<Cache> {
    let sizes = config.cache;
    if sizes.memory_bytes == 0 {
        return Ok(Cache::Off);
    }
    let settings = CacheConfig {
        memory_bytes: sizes.memory_bytes,
        ssd_bytes: sizes.ssd_bytes,
        directory: config.data_dir.join("cache"),
    };
    Cache::open(settings).await.with_context(|| {
        let CacheSizes { memory_bytes, ssd_bytes } = sizes;
        format!("cache.memory_bytes = {memory_bytes}, cache.ssd_bytes = {ssd_bytes}")
    })
}

/// Opens the data directory, making it if there is none, and holds it.
async fn open_disk(config: &Config) -> anyhow::Result<OsDisk> {
    let path = config.data_dir.clone();
    let opened = tokio::task::spawn_blocking(move || OsDisk::open(&path));
    opened
        .await
        .context("opening the data directory")?
        .with_context(|| format!("data directory {}", shown(&config.data_dir)))
}

/// Opens the store and replays its log, which may take seconds, off the runtime's threads.
async fn open_store(config: &Config, disk: OsDisk, cache: Cache) -> anyhow::Result<Store> {
    let settings = config.store.clone();
    let opened = tokio::task::spawn_blocking(move || Store::open(Arc::new(disk), Arc::new(OsClock), settings, cache));
    opened.await.context("opening the store")?.with_context(|| format!("data directory {}", shown(&config.data_dir)))
}

fn shown(path: &Path) -> std::path::Display<'_> {
    path.display()
}

/// Opens the cold part of the data directory and tidies it.
async fn open_compactor(store: &Store, config: &Config) -> anyhow::Result<Compactor> {
    let (store, settings) = (store.clone(), config.compactor.clone());
    let opened = tokio::task::spawn_blocking(move || Compactor::open(store, settings));
    opened
        .await
        .context("opening the cold data")?
        .with_context(|| format!("data directory {}", shown(&config.data_dir)))
}

/// Listens, and says what to change where that is not possible.
async fn listen(name: &str, address: SocketAddr) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await.with_context(|| {
        format!(
            "cannot listen on {name} {address}: give another address or port with --{name} (port 0 takes a free one)"
        )
    })?;
    let address = listener.local_addr().with_context(|| format!("{name} {address}"))?;
    Ok((listener, address))
}
