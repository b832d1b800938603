//! The server's settings: flags over `THALWEG_*` variables over a TOML file over defaults.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::cli::ServeArguments;

/// Everything that the server can be told, as it will be used.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The data directory. Default `./thalweg-data`.
    pub(crate) data_dir: PathBuf,
    /// The HTTP listener. Default `127.0.0.1:8000`.
    pub(crate) http: SocketAddr,
    /// The MQTT listener; none if off. Default `127.0.0.1:1883`.
    pub(crate) mqtt: Option<SocketAddr>,
    /// The store's settings.
    pub(crate) store: store::Config,
    /// The cache's sizes.
    pub(crate) cache: CacheSection,
    /// Sources, routes, limits.
    pub(crate) ingest: ingest::Config,
    /// When the compactor acts by itself, and how long the log is kept.
    pub(crate) compactor: compactor::Config,
}

/// The configuration file. Unknown keys are errors.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    data_dir: Option<PathBuf>,
    http: Option<HttpAddress>,
    mqtt: Option<MqttAddress>,
    durability: Durability,
    store: StoreSection,
    cache: CacheSection,
    compactor: CompactorSection,
    log: LogSection,
    ingest: ingest::Settings,
    source: Vec<Spanned<ingest::Source>>,
    route: Vec<Spanned<ingest::Route>>,
}

/// `durability`: when an acknowledgement may leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Durability {
    #[default]
    Fsync,
    Memory,
}

/// `[store]`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct StoreSection {
    /// Shards of a new data directory, 1 to 64. Default 4.
    shards: u16,
    /// Recent rows kept in memory before they go to Parquet, in bytes. Default 64 MiB.
    memtable_bytes_max: usize,
    /// Size of one log segment, in bytes. Default 64 MiB.
    segment_bytes: u64,
}

impl Default for StoreSection {
    fn default() -> Self {
        let defaults = store::Config::default();
        StoreSection {
            shards: defaults.shards,
            memtable_bytes_max: defaults.memtable_bytes_max,
            segment_bytes: defaults.segment_bytes,
        }
    }
}

/// `[cache]`: cold pages kept near.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CacheSection {
    /// Memory, in bytes. Default 256 MiB; 0 turns the cache off.
    pub(crate) memory_bytes: usize,
    /// SSD under `<data-dir>/cache`, in bytes. Default 4 GiB; 0 keeps the cache in memory only.
    pub(crate) ssd_bytes: usize,
}

impl Default for CacheSection {
    fn default() -> Self {
        CacheSection { memory_bytes: 256 << 20, ssd_bytes: 4 << 30 }
    }
}

/// `[compactor]`: from recent rows to Parquet.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct CompactorSection {
    /// Recent rows reach Parquet after at most so many seconds. Default 300.
    flush_interval_s: u64,
    /// A generation of files that is no longer in use stays so many seconds for those who still read it. Default 600.
    grace_s: u64,
}

impl Default for CompactorSection {
    fn default() -> Self {
        let defaults = compactor::Config::default();
        CompactorSection { flush_interval_s: defaults.seal_interval.as_secs(), grace_s: defaults.grace.as_secs() }
    }
}

/// `[log]`: how long changes can be read again.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LogSection {
    /// Hours. Default 24.
    retention_hours: u64,
    /// Bytes; the log is kept shorter if it would take more. Default 16 GiB.
    retention_bytes: u64,
}

impl Default for LogSection {
    fn default() -> Self {
        let defaults = compactor::Config::default();
        LogSection { retention_hours: defaults.retention.as_secs() / 3600, retention_bytes: defaults.retention_bytes }
    }
}

impl Config {
    /// Reads what `arguments` name. Errors say which file, line and key.
    pub(crate) fn load(arguments: &ServeArguments) -> anyhow::Result<Config> {
        let file = match &arguments.config {
            Some(path) => read(path).with_context(|| format!("configuration file {}", path.display()))?,
            None => File::default(),
        };
        if !(1..=64).contains(&file.store.shards) {
            bail!("store.shards = {}: 1 to 64 are possible", file.store.shards);
        }
        let data_dir = arguments.data_dir.clone().or(file.data_dir).unwrap_or_else(|| "./thalweg-data".into());
        let http = arguments.http.or(file.http).map_or(local(8000), |address| address.0);
        let mqtt = arguments.mqtt.or(file.mqtt).map_or(Some(local(1883)), |address| address.0);
        refuse_other_than_loopback("http", http)?;
        if let Some(mqtt) = mqtt {
            refuse_other_than_loopback("mqtt", mqtt)?;
        }
        let ingest = ingest::Config {
            sources: file.source.into_iter().map(Spanned::into_inner).collect(),
            routes: file.route.into_iter().map(Spanned::into_inner).collect(),
            settings: file.ingest,
        };
        ingest.check().with_context(|| match &arguments.config {
            Some(path) => format!("configuration file {}", path.display()),
            None => "configuration".to_owned(),
        })?;
        Ok(Config {
            data_dir: std::path::absolute(&data_dir)
                .with_context(|| format!("data directory {}", data_dir.display()))?,
            http,
            mqtt,
            store: store::Config {
                durability: match file.durability {
                    Durability::Fsync => store::Durability::Fsync,
                    Durability::Memory => store::Durability::Memory,
                },
                shards: file.store.shards,
                memtable_bytes_max: file.store.memtable_bytes_max,
                segment_bytes: file.store.segment_bytes,
                ..store::Config::default()
            },
            cache: file.cache,
            ingest,
            compactor: compactor::Config {
                seal_interval: Duration::from_secs(file.compactor.flush_interval_s.max(1)),
                merge_age: Duration::from_secs(file.compactor.flush_interval_s.max(1)),
                grace: Duration::from_secs(file.compactor.grace_s),
                retention: Duration::from_secs(file.log.retention_hours.saturating_mul(3600)),
                retention_bytes: file.log.retention_bytes,
                ..compactor::Config::default()
            },
        })
    }
}

fn read(path: &Path) -> anyhow::Result<File> {
    let text = std::fs::read_to_string(path)?;
    let file: File = toml::from_str(&text)?;
    for source in &file.source {
        source.get_ref().check().with_context(|| format!("line {}", line_of(&text, source.span().start)))?;
    }
    Ok(file)
}

/// The line, counted from 1, of a byte in a text.
fn line_of(text: &str, offset: usize) -> usize {
    1 + text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count()
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

fn refuse_other_than_loopback(name: &str, address: SocketAddr) -> anyhow::Result<()> {
    if address.ip().is_loopback() {
        return Ok(());
    }
    bail!(
        "{name} = {address}: this version can only listen on loopback (127.0.0.1 or [::1]), because it has no access \
         keys and no users yet that would protect another address; to reach it from elsewhere, put something that \
         checks access in front of {name} = 127.0.0.1:{}",
        address.port()
    )
}

/// Where to listen for HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct HttpAddress(pub(crate) SocketAddr);

/// Where to listen for MQTT; none is `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct MqttAddress(pub(crate) Option<SocketAddr>);

/// Text that is not an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AddressError(String);

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not an address and port, such as 127.0.0.1:8000", self.0)
    }
}

impl std::error::Error for AddressError {}

impl FromStr for HttpAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let spelled_out = match text.strip_prefix("localhost:") {
            Some(port) => format!("127.0.0.1:{port}"),
            None => text.to_owned(),
        };
        spelled_out.parse().map(HttpAddress).map_err(|_| AddressError(text.to_owned()))
    }
}

impl FromStr for MqttAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        match text {
            "off" => Ok(MqttAddress(None)),
            address => address.parse().map(|HttpAddress(address)| MqttAddress(Some(address))),
        }
    }
}

impl TryFrom<String> for HttpAddress {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl TryFrom<String> for MqttAddress {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> anyhow::Result<Config> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("thalweg.toml");
        std::fs::write(&path, text).unwrap();
        Config::load(&ServeArguments { config: Some(path), ..ServeArguments::default() })
    }

    #[test]
    fn needs_no_file() {
        let config = Config::load(&ServeArguments::default()).unwrap();
        assert_eq!(config.http, "127.0.0.1:8000".parse().unwrap());
        assert_eq!(config.mqtt, Some("127.0.0.1:1883".parse().unwrap()));
        assert!(config.data_dir.is_absolute() && config.data_dir.ends_with("thalweg-data"));
        assert_eq!(config.store.durability, store::Durability::Fsync);
    }

    #[test]
    fn flags_win_over_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("thalweg.toml");
        std::fs::write(&path, "http = \"127.0.0.1:1\"\nmqtt = \"off\"\ndurability = \"memory\"\n").unwrap();
        let flags = ServeArguments {
            config: Some(path),
            http: Some("localhost:2".parse().unwrap()),
            ..ServeArguments::default()
        };
        let config = Config::load(&flags).unwrap();
        assert_eq!(config.http, "127.0.0.1:2".parse().unwrap());
        assert_eq!(config.mqtt, None);
        assert_eq!(config.store.durability, store::Durability::Memory);
    }

    #[test]
    fn an_unknown_key_is_an_error_with_its_line() {
        let error = format!("{:#}", load("http = \"127.0.0.1:0\"\n\n[cache]\nmemory_byte = 3\n").unwrap_err());
        assert!(error.contains("line 4") && error.contains("memory_byte") && error.contains("thalweg.toml"), "{error}");
    }

    #[test]
    fn a_source_that_cannot_work_is_an_error_with_its_line() {
        let text = "mqtt = \"off\"\n\n[[source]]\nname = \"plant\"\nurl = \"nats://127.0.0.1:4222\"\n";
        let error = format!("{:#}", load(text).unwrap_err());
        assert!(error.contains("line 3") && error.contains("`plant`") && error.contains("`stream`"), "{error}");
    }

    #[test]
    fn other_than_loopback_is_refused_and_told_why() {
        let error = format!("{:#}", load("http = \"0.0.0.0:8000\"").unwrap_err());
        assert!(error.contains("0.0.0.0:8000") && error.contains("loopback") && error.contains("keys"), "{error}");
    }

    #[test]
    fn an_address_is_host_and_port() {
        let error = load("http = \"8000\"").unwrap_err();
        assert!(format!("{error:#}").contains("`8000` is not an address and port"), "{error:#}");
        assert_eq!("off".parse::<MqttAddress>().unwrap(), MqttAddress(None));
    }
}
