//! The server's settings: flags over `THALWEG_*` variables over a TOML file over defaults.

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use anyhow::{Context, anyhow, bail};
use serde::{Deserialize, Serialize};
use serde_json::json;
use toml::Spanned;

use crate::{
    cli::ServeArguments,
    memory::{Division, Limit, Overrides},
    telemetry::LogFormat,
};

/// Everything that the server can be told, as it will be used.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The data directory. Default `./thalweg-data`.
    pub(crate) data_dir: PathBuf,
    /// The HTTP listener. Default `127.0.0.1:8000`.
    pub(crate) http: SocketAddr,
    /// The MQTT listener; none if off. Default `127.0.0.1:1883`.
    pub(crate) mqtt: Option<SocketAddr>,
    /// What clients are shown; none to serve without TLS. Default none.
    pub(crate) certificate: Option<tls::Certificate>,
    /// Origins whose pages may ask. Default none.
    pub(crate) origins: api::Origins,
    /// Where exports go to and imports come from, by name. Default none.
    pub(crate) buckets: api::Buckets,
    /// How lines of the log look. Default: as text.
    pub(crate) log_format: LogFormat,
    /// The store's settings.
    pub(crate) store: store::Config,
    /// Sources, routes, limits.
    pub(crate) ingest: ingest::Config,
    /// When the compactor acts by itself, and how long the log is kept.
    pub(crate) compactor: compactor::Config,
    /// What memory is for.
    pub(crate) memory: Division,
    /// Cold pages in memory and on SSD, in bytes.
    pub(crate) cache: CacheSizes,
    /// The same by the names of the file.
    pub(crate) told: Told,
}

/// `[cache]`, as it will be used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CacheSizes {
    /// Memory; 0 for no cache.
    pub(crate) memory_bytes: usize,
    /// SSD; 0 for none.
    pub(crate) ssd_bytes: usize,
}

/// The configuration as a file would say it, with every default.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Told {
    /// The file that was read.
    pub(crate) file: Option<PathBuf>,
    data_dir: PathBuf,
    http: String,
    mqtt: String,
    tls: Option<TlsSection>,
    cors_origin: Vec<String>,
    log_format: LogFormat,
    durability: Durability,
    memory: Division,
    store: StoreSection,
    cache: CacheSection,
    disk: DiskSection,
    compactor: CompactorSection,
    log: LogSection,
    buckets: BTreeMap<String, PathBuf>,
    ingest: serde_json::Value,
    source: Vec<toml::Table>,
    route: Vec<toml::Table>,
}

/// The configuration file. Unknown keys are errors.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    data_dir: Option<PathBuf>,
    http: Option<HttpAddress>,
    mqtt: Option<MqttAddress>,
    tls: Option<TlsSection>,
    cors_origin: Vec<String>,
    log_format: LogFormat,
    durability: Durability,
    memory_limit: Option<Limit>,
    store: StoreSection,
    cache: CacheSection,
    disk: DiskSection,
    compactor: CompactorSection,
    log: LogSection,
    /// `[buckets]`: directories that `S3Bucket` names in exports and imports. A path that is not absolute begins where the server is
    /// started.
    buckets: BTreeMap<String, PathBuf>,
    ingest: ingest::Settings,
    source: Vec<Spanned<ingest::Source>>,
    route: Vec<Spanned<ingest::Route>>,
}

/// `durability`: when an acknowledgement may leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Durability {
    #[default]
    Fsync,
    Memory,
}

/// `[tls]`: with it HTTP and MQTT are served inside TLS only.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsSection {
    /// PEM file: the certificate, then those between it and its authority.
    certificate: PathBuf,
    /// PEM file: its private key.
    key: PathBuf,
}

impl TlsSection {
    /// What flags say, else what the file says, with absolute paths.
    fn of(arguments: &ServeArguments, file: Option<TlsSection>) -> anyhow::Result<Option<TlsSection>> {
        let given = match (&arguments.tls_certificate, &arguments.tls_key) {
            (Some(certificate), Some(key)) => Some(TlsSection { certificate: certificate.clone(), key: key.clone() }),
            (None, None) => file,
            _ => bail!("tls: a certificate and its key are needed, both"),
        };
        let absolute = |path: &Path| std::path::absolute(path).with_context(|| format!("tls: {}", path.display()));
        let Some(TlsSection { certificate, key }) = given else { return Ok(None) };
        Ok(Some(TlsSection { certificate: absolute(&certificate)?, key: absolute(&key)? }))
    }

    fn read(&self) -> anyhow::Result<tls::Certificate> {
        let TlsSection { certificate, key } = self.clone();
        tls::Certificate::read(tls::Files { certificate, key }).context("tls")
    }
}

/// `[store]`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct StoreSection {
    /// Shards of a new data directory, 1 to 64. Default 4.
    shards: u16,
    /// Memory of recent rows before they go to Parquet, in bytes, 16 KiB to 4 GiB; up to five times as much waits to go there.
    /// Default a 16th of `memory_limit`, 64 MiB at most.
    memtable_bytes_max: Option<usize>,
    /// Size of one log segment, in bytes, 64 KiB to 4 GiB. Default 64 MiB.
    segment_bytes: u64,
}

impl Default for StoreSection {
    fn default() -> Self {
        let defaults = store::Config::default();
        StoreSection { shards: defaults.shards, memtable_bytes_max: None, segment_bytes: defaults.segment_bytes }
    }
}

/// `[cache]`: cold pages kept near.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct CacheSection {
    /// Memory, in bytes, at least 64 KiB. Default a tenth of `memory_limit`, about; 0 turns the cache off.
    memory_bytes: Option<usize>,
    /// SSD under `<data-dir>/cache`, in bytes, at least 64 MiB. Default 4 GiB; 0 keeps the cache in memory only.
    ssd_bytes: usize,
    /// Memory for single rows of cold data that are asked for again, and for keys around late ones, in bytes. Default a thirtieth of `memory_limit`, about; 0 for
    /// none.
    row_bytes: Option<usize>,
}

impl Default for CacheSection {
    fn default() -> Self {
        CacheSection { memory_bytes: None, ssd_bytes: 4 << 30, row_bytes: None }
    }
}

/// `[disk]`: what is done when it fills up.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct DiskSection {
    /// Below so many percent of it the log is kept for less long than it should be, 0 to 90. Default 10.
    low_percent: u8,
    /// Below so many free bytes only what removes something is taken. Default: room for what makes room again, that is
    /// `store.memtable_bytes_max` + `store.segment_bytes` + 1 MiB.
    reserve_bytes: Option<u64>,
}

impl Default for DiskSection {
    fn default() -> Self {
        DiskSection { low_percent: store::Config::default().disk_low_percent, reserve_bytes: None }
    }
}

/// `[compactor]`: from recent rows to Parquet.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct CompactorSection {
    /// Recent rows reach Parquet after at most so many seconds, 1 to a day. Default 300.
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
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LogSection {
    /// Hours, 1 to ten years. Default 24.
    retention_hours: u64,
    /// Bytes, at least one segment; the log is kept shorter if it would take more. Default 16 GiB.
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
        let (file, tables) = match &arguments.config {
            Some(path) => read(path).with_context(|| format!("configuration file {}", path.display()))?,
            None => Default::default(),
        };
        let data_dir = arguments.data_dir.clone().or(file.data_dir).unwrap_or_else(|| "./thalweg-data".into());
        let http = arguments.http.or(file.http).map_or(local(8000), |address| address.0);
        let mqtt = arguments.mqtt.or(file.mqtt).map_or(Some(local(1883)), |address| address.0);
        if let Some(mqtt) = mqtt {
            refuse_mqtt_other_than_loopback(mqtt)?;
        }
        let tls = TlsSection::of(arguments, file.tls)?;
        let certificate = tls.as_ref().map(TlsSection::read).transpose()?;
        let cors_origin = arguments.cors_origin.clone().unwrap_or(file.cors_origin);
        let origins = api::Origins::new(cors_origin.clone()).context("cors_origin")?;
        let ingest = ingest::Config {
            sources: file.source.into_iter().map(Spanned::into_inner).collect(),
            routes: file.route.into_iter().map(Spanned::into_inner).collect(),
            settings: file.ingest,
        };
        ingest.check().with_context(|| match &arguments.config {
            Some(path) => format!("configuration file {}", path.display()),
            None => "configuration".to_owned(),
        })?;
        let log_format = arguments.log_format.unwrap_or(file.log_format);
        let data_dir =
            std::path::absolute(&data_dir).with_context(|| format!("data directory {}", data_dir.display()))?;
        let absolute = |(name, directory): (String, PathBuf)| {
            let absolute = std::path::absolute(&directory);
            Ok((name, absolute.with_context(|| format!("buckets: directory {}", directory.display()))?))
        };
        let directories = file.buckets.into_iter().map(absolute).collect::<anyhow::Result<BTreeMap<_, _>>>()?;
        for (name, directory) in &directories {
            if directory.starts_with(&data_dir) || data_dir.starts_with(directory) {
                bail!("buckets: `{name}`, {}, and the data directory lie in one another", directory.display());
            }
        }
        let buckets = api::Buckets::new(directories.clone()).map_err(|text| anyhow!("buckets: {text}"))?;
        let overrides = Overrides {
            memtable: file.store.memtable_bytes_max,
            cache: file.cache.memory_bytes,
            rows: file.cache.row_bytes,
        };
        let sealed_max = store::Config::default().sealed_max;
        let memory = Division::new(arguments.memory_limit.or(file.memory_limit), overrides, sealed_max)?;
        let limits = &ingest.settings;
        let told = Told {
            file: arguments.config.clone(),
            data_dir: data_dir.clone(),
            http: http.to_string(),
            mqtt: mqtt.map_or_else(|| "off".to_owned(), |address| address.to_string()),
            tls,
            cors_origin,
            log_format,
            durability: file.durability,
            memory,
            store: StoreSection { memtable_bytes_max: Some(memory.memtable_set), ..file.store },
            cache: CacheSection { memory_bytes: Some(memory.cache), row_bytes: Some(memory.rows), ..file.cache },
            disk: file.disk,
            compactor: file.compactor,
            log: file.log,
            buckets: directories,
            ingest: json!({
                "zone": limits.zone.0.iana_name(), "limits": limits.limits, "quarantine": limits.quarantine,
            }),
            source: tables.source.into_iter().map(without_password).collect(),
            route: tables.route,
        };
        Ok(Config {
            data_dir,
            http,
            mqtt,
            certificate,
            origins,
            buckets,
            log_format,
            store: store::Config {
                durability: match file.durability {
                    Durability::Fsync => store::Durability::Fsync,
                    Durability::Memory => store::Durability::Memory,
                },
                shards: file.store.shards,
                memtable_bytes_max: memory.memtable_set,
                high_keys_bytes_max: memory.high_keys,
                // A frame may have memory of twice its length.
                recent_bytes_max: memory.recent_frames / 2,
                admission_bytes_max: memory.admission,
                frame_bytes_max: memory.frame_bytes_max(),
                segment_bytes: file.store.segment_bytes,
                row_cache_bytes: memory.rows,
                disk_low_percent: file.disk.low_percent,
                disk_reserve_bytes: file.disk.reserve_bytes,
                ..store::Config::default()
            },
            ingest,
            compactor: compactor::Config {
                seal_interval: Duration::from_secs(file.compactor.flush_interval_s),
                merge_age: Duration::from_secs(file.compactor.flush_interval_s),
                grace: Duration::from_secs(file.compactor.grace_s),
                retention: Duration::from_secs(file.log.retention_hours * 3600),
                retention_bytes: file.log.retention_bytes,
                memory_bytes_max: memory.compactor,
                ..compactor::Config::default()
            },
            memory,
            cache: CacheSizes { memory_bytes: memory.cache, ssd_bytes: file.cache.ssd_bytes },
            told,
        })
    }
}

impl File {
    /// Refuses numbers with which nothing would work, or not as meant.
    fn check(&self) -> anyhow::Result<()> {
        let File { store, cache, disk, compactor, log, .. } = self;
        within("store.shards", u64::from(store.shards), 1, 64)?;
        if let Some(bytes) = store.memtable_bytes_max {
            within("store.memtable_bytes_max", bytes as u64, 16 << 10, 4 << 30)?;
        }
        within("store.segment_bytes", store.segment_bytes, 64 << 10, 4 << 30)?;
        if let Some(bytes) = cache.memory_bytes.filter(|bytes| *bytes != 0) {
            within("cache.memory_bytes", bytes as u64, 64 << 10, u64::MAX).context("0 turns the cache off")?;
        }
        if let Some(bytes) = cache.row_bytes.filter(|bytes| *bytes != 0) {
            within("cache.row_bytes", bytes as u64, 64 << 10, u64::MAX).context("0 keeps no rows")?;
        }
        if cache.ssd_bytes != 0 {
            within("cache.ssd_bytes", cache.ssd_bytes as u64, store::cache::SSD_BYTES_MIN as u64, u64::MAX)
                .context("0 keeps the cache in memory only")?;
        }
        within("disk.low_percent", u64::from(disk.low_percent), 0, 90)?;
        within("compactor.flush_interval_s", compactor.flush_interval_s, 1, 24 * 3600)?;
        within("compactor.grace_s", compactor.grace_s, 0, 365 * 24 * 3600)?;
        within("log.retention_hours", log.retention_hours, 1, 10 * 366 * 24)?;
        within("log.retention_bytes", log.retention_bytes, store.segment_bytes, u64::MAX)
            .context("at least store.segment_bytes, one segment")
    }
}

fn within(key: &str, value: u64, min: u64, max: u64) -> anyhow::Result<()> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    if max == u64::MAX {
        bail!("{key} = {value}: at least {min} is needed");
    }
    bail!("{key} = {value}: {min} to {max} are possible")
}

/// Sources and routes as they are written.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Tables {
    source: Vec<toml::Table>,
    route: Vec<toml::Table>,
}

/// A source as it may be shown.
fn without_password(mut source: toml::Table) -> toml::Table {
    if let Some(password) = source.get_mut("password") {
        *password = "(secret)".into();
    }
    if let Some(toml::Value::String(text)) = source.get_mut("url")
        && let Ok(mut url) = url::Url::parse(text)
        && url.set_password(None).is_ok()
    {
        *text = url.to_string();
    }
    source
}

fn read(path: &Path) -> anyhow::Result<(File, Tables)> {
    let text = std::fs::read_to_string(path)?;
    for name in ["source", "route"] {
        let single = format!("[{name}]");
        if let Some(line) =
            text.lines().position(|line| line.split('#').next().is_some_and(|line| line.trim() == single))
        {
            bail!("line {}: write [{single}] instead of {single}: there may be several", line + 1);
        }
    }
    let file: File = toml::from_str(&text)?;
    for (index, source) in file.source.iter().enumerate() {
        let line = || format!("line {}", line_of(&text, source.span().start));
        source.get_ref().check().with_context(line)?;
        let name = &source.get_ref().name;
        if file.source[..index].iter().any(|earlier| earlier.get_ref().name == *name) {
            bail!("{}: source `{name}`: another source has this name", line());
        }
    }
    file.check()?;
    Ok((file, toml::from_str(&text)?))
}

/// The line, counted from 1, of a byte in a text.
fn line_of(text: &str, offset: usize) -> usize {
    1 + text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count()
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

fn refuse_mqtt_other_than_loopback(address: SocketAddr) -> anyhow::Result<()> {
    if address.ip().is_loopback() {
        return Ok(());
    }
    bail!(
        "mqtt = {address}: this version can only listen for MQTT on loopback (127.0.0.1 or [::1]), because it has no \
         users yet that would protect another address, and access keys are for HTTP; to reach it from elsewhere, put \
         something that checks access in front of mqtt = 127.0.0.1:{}",
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
pub(crate) struct AddressError {
    text: String,
    example: &'static str,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not an address and port, such as {}", self.text, self.example)
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
        let wrong = |_| AddressError { text: text.to_owned(), example: "127.0.0.1:8000" };
        spelled_out.parse().map(HttpAddress).map_err(wrong)
    }
}

impl FromStr for MqttAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        match text {
            "off" => Ok(MqttAddress(None)),
            address => match address.parse() {
                Ok(HttpAddress(address)) => Ok(MqttAddress(Some(address))),
                Err(_) => Err(AddressError { text: address.to_owned(), example: "127.0.0.1:1883, nor `off`" }),
            },
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
        let error = format!("{:#}", load("mqtt = \"0.0.0.0:1883\"").unwrap_err());
        assert!(error.contains("0.0.0.0:1883") && error.contains("loopback") && error.contains("users"), "{error}");
    }

    #[test]
    fn a_certificate_goes_with_its_key() {
        for (text, told) in [
            ("[tls]\ncertificate = \"c.pem\"", "missing field `key`"),
            ("[tls]\ncertificate = \"/nowhere/c.pem\"\nkey = \"/nowhere/k.pem\"", "tls: /nowhere/c.pem"),
            ("[tls]\ncert = \"c.pem\"", "unknown field `cert`"),
        ] {
            let error = format!("{:#}", load(text).unwrap_err());
            assert!(error.contains(told), "{error}");
        }
        let flags = ServeArguments { tls_key: Some("k.pem".into()), ..ServeArguments::default() };
        assert!(format!("{:#}", Config::load(&flags).unwrap_err()).contains("both"));
    }

    #[test]
    fn origins_are_checked() {
        let error = format!("{:#}", load("cors_origin = [\"example.com\"]").unwrap_err());
        assert!(error.contains("cors_origin") && error.contains("`example.com`"), "{error}");
        load("cors_origin = [\"https://example.com\", \"*\"]").unwrap();
    }

    #[test]
    fn an_address_is_host_and_port() {
        let error = load("http = \"8000\"").unwrap_err();
        assert!(format!("{error:#}").contains("`8000` is not an address and port"), "{error:#}");
        assert_eq!("off".parse::<MqttAddress>().unwrap(), MqttAddress(None));
    }

    #[test]
    fn numbers_with_which_nothing_works_are_refused_with_key_and_bounds() {
        for (text, told) in [
            ("[cache]\nssd_bytes = 1", ["cache.ssd_bytes = 1", "67108864"]),
            ("[cache]\nssd_bytes = 16777215", ["cache.ssd_bytes = 16777215", "0 keeps"]),
            ("[cache]\nmemory_bytes = 1", ["cache.memory_bytes = 1", "65536"]),
            ("[store]\nshards = 0", ["store.shards = 0", "1 to 64"]),
            ("[store]\nmemtable_bytes_max = 1", ["store.memtable_bytes_max = 1", "16384"]),
            ("[disk]\nlow_percent = 91", ["disk.low_percent = 91", "0 to 90"]),
            ("[store]\nsegment_bytes = 1", ["store.segment_bytes = 1", "65536"]),
            ("[compactor]\nflush_interval_s = 0", ["compactor.flush_interval_s = 0", "1 to"]),
            ("[log]\nretention_hours = 0", ["log.retention_hours = 0", "1 to"]),
            ("[log]\nretention_bytes = 1000", ["log.retention_bytes = 1000", "segment_bytes"]),
            ("[buckets]\n\"-no\" = \"/srv/a\"", ["buckets", "`-no` is no name"]),
            ("[buckets]\nour = \"thalweg-data/cold\"", ["`our`", "data directory"]),
        ] {
            let error = format!("{:#}", load(text).unwrap_err());
            assert!(told.iter().all(|told| error.contains(told)), "{text}: {error}");
        }
        load("[cache]\nmemory_bytes = 0\nssd_bytes = 0").unwrap();
        load("[cache]\nssd_bytes = 67108864").unwrap();
    }

    #[test]
    fn likely_slips_are_told_with_what_to_write() {
        for (text, told) in [
            ("\n[route] # mine\ntopic = \"a\"", ["line 2", "[[route]]"]),
            ("mqtt = \"no\"", ["`no`", "`off`"]),
            ("[[source]]\nname=\"a\"\nurl=\"mqtt://h\"\n[[source]]\nname=\"a\"\nurl=\"mqtt://i\"", ["line 4", "`a`"]),
        ] {
            let error = format!("{:#}", load(text).unwrap_err());
            assert!(told.iter().all(|told| error.contains(told)), "{text}: {error}");
        }
    }

    #[test]
    fn a_password_is_not_told() {
        let text = "[[source]]\nname=\"a\"\nurl=\"mqtt://u:hidden@h/\"\npassword = \"hidden\"";
        let told = serde_json::to_string(&load(text).unwrap().told).unwrap();
        assert!(!told.contains("hidden") && told.contains("mqtt://u@h/"), "{told}");
    }
}
