//! What can be asked of the bench.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand, value_parser};

use super::{pace::End, reading::DEVICES_MAX};

#[derive(Args, Clone, Debug)]
pub(crate) struct BenchArguments {
    #[command(subcommand)]
    pub(super) mode: Mode,
}

#[derive(Clone, Debug, Subcommand)]
pub(super) enum Mode {
    /// Publish readings of 139 bytes over MQTT.
    Mqtt(MqttArguments),
    /// Write items of 12 attributes, one a request.
    PutItem(LoadArguments),
    /// Write items of 12 attributes, 25 a request.
    BatchWriteItem(LoadArguments),
    /// Read items by their keys, after writing them.
    GetItem(ReadArguments),
    /// Change items by their keys under a condition, and read as many, after writing them.
    UpdateItem(ReadArguments),
    /// Read the readings of a device, after writing them.
    Query(QueryArguments),
    /// Follow a table's changes while items are written.
    Followers(FollowersArguments),
    /// Write and sync on the disk itself: the limit of every log on it.
    Disk(DiskArguments),
    /// Insert items of 12 attributes into a memtable, and nothing else: the limit of every recovery.
    Memtable(MemtableArguments),
}

/// The server under load. Without an address the bench starts one of its own, in a directory that goes with it.
#[derive(Args, Clone, Debug)]
pub(super) struct TargetArguments {
    /// Address of a running server that speaks DynamoDB: Thalweg or a peer.
    #[arg(long, env = "THALWEG_HTTP", value_name = "ADDRESS")]
    pub(super) http: Option<String>,
    /// Address of a running MQTT server [default: what the server at --http says]
    #[arg(long, env = "THALWEG_MQTT", value_name = "ADDRESS")]
    pub(super) mqtt: Option<String>,
    /// The running server's process, whose processor time is then told.
    #[arg(long, value_name = "PID")]
    pub(super) pid: Option<u32>,
    /// Where the bench's own server has its directory [default: the system's temporary directory]
    #[arg(long, value_name = "DIRECTORY")]
    pub(super) dir: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub(super) struct LoadArguments {
    #[command(flatten)]
    pub(super) target: TargetArguments,
    /// Connections, each with one request under way.
    #[arg(long, default_value_t = 32, value_name = "N", value_parser = value_parser!(u64).range(1..=10_000))]
    pub(super) connections: u64,
    /// Open loop: so many requests a second, whatever the server does. Latencies count from when a request was due.
    #[arg(long, value_name = "N", value_parser = rate)]
    pub(super) rate: Option<f64>,
    /// How long to go on [default: 10]
    #[arg(long, value_name = "N", conflicts_with = "count", value_parser = seconds)]
    pub(super) seconds: Option<f64>,
    /// End after so many requests.
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    pub(super) count: Option<u64>,
    /// Load for so long before measuring.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(super) warm_up: Option<f64>,
    /// Do so many requests first, and let the server write them to Parquet.
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    pub(super) before: Option<u64>,
    /// So many readings in a hundred are an hour late, if their device has begun before that.
    #[arg(long, default_value_t = 0, value_name = "PERCENT", value_parser = value_parser!(u64).range(0..=100))]
    pub(super) late: u64,
    /// Devices that the readings are of, in turn.
    #[arg(long, default_value_t = 1024, value_name = "N", value_parser = value_parser!(u64).range(1..=DEVICES_MAX))]
    pub(super) devices: u64,
    /// Decides the values, and what is read.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(super) seed: u64,
    /// The table; it is made if it does not exist.
    #[arg(long, default_value = "bench", value_name = "TABLE", value_parser = table)]
    pub(super) table: String,
}

#[derive(Args, Clone, Debug)]
pub(super) struct ReadArguments {
    #[command(flatten)]
    pub(super) load: LoadArguments,
    /// Items that are written first.
    #[arg(long, default_value_t = 50_000, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    pub(super) items: u64,
    /// Let the server write them to Parquet before they are read.
    #[arg(long)]
    pub(super) cold: bool,
}

#[derive(Args, Clone, Debug)]
pub(super) struct QueryArguments {
    #[command(flatten)]
    pub(super) read: ReadArguments,
    /// Ask for so many of a device's newest readings.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    pub(super) newest: u64,
    /// Ask for so many readings in a row instead, from anywhere in a device's time.
    #[arg(long, value_name = "N", conflicts_with = "newest", value_parser = value_parser!(u64).range(1..))]
    pub(super) span: Option<u64>,
}

#[derive(Args, Clone, Debug)]
pub(super) struct MqttArguments {
    #[command(flatten)]
    pub(super) load: LoadArguments,
    /// Quality of service.
    #[arg(long, default_value_t = 1, value_name = "0|1", value_parser = value_parser!(u8).range(0..=1))]
    pub(super) qos: u8,
    /// Readings of a connection that may wait for their PUBACK; at QoS 0, after which a ping is answered.
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = value_parser!(u16).range(1..=10_000))]
    pub(super) in_flight: u16,
    /// Clients that are told every reading at QoS 1. The run ends when each of them has been.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(super) subscribers: u64,
}

#[derive(Args, Clone, Debug)]
pub(super) struct FollowersArguments {
    #[command(flatten)]
    pub(super) load: LoadArguments,
    /// Clients that follow the table's change stream.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = value_parser!(u64).range(1..=1000))]
    pub(super) followers: u64,
}

#[derive(Args, Clone, Debug)]
pub(super) struct MemtableArguments {
    /// Items.
    #[arg(long, default_value_t = 1_000_000, value_name = "N", value_parser = value_parser!(u64).range(1..=100_000_000))]
    pub(super) items: u64,
    /// Devices that they are of, in turn.
    #[arg(long, default_value_t = 1024, value_name = "N", value_parser = value_parser!(u64).range(1..=DEVICES_MAX))]
    pub(super) devices: u64,
}

#[derive(Args, Clone, Debug)]
pub(super) struct DiskArguments {
    /// Where to write [default: the system's temporary directory]
    #[arg(long, value_name = "DIRECTORY")]
    pub(super) dir: Option<PathBuf>,
    /// Bytes of each write; several may be named.
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [4096, 38_400, 614_400, 2_457_600],
        value_parser = value_parser!(u64).range(1..=64 << 20))]
    pub(super) bytes: Vec<u64>,
    /// How long each kind of write goes on at each size.
    #[arg(long, default_value_t = 1.0, value_name = "N", value_parser = seconds)]
    pub(super) seconds: f64,
    /// Append as many bytes of events to Thalweg's own log, in turn with the others.
    #[arg(long)]
    pub(super) log: bool,
}

impl Mode {
    /// As on the command line.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Mode::Mqtt(_) => "mqtt",
            Mode::PutItem(_) => "put-item",
            Mode::BatchWriteItem(_) => "batch-write-item",
            Mode::GetItem(_) => "get-item",
            Mode::UpdateItem(_) => "update-item",
            Mode::Query(_) => "query",
            Mode::Followers(_) => "followers",
            Mode::Disk(_) => "disk",
            Mode::Memtable(_) => "memtable",
        }
    }

    /// How a server is loaded; none if no server is.
    pub(super) fn load(&self) -> Option<&LoadArguments> {
        match self {
            Mode::Mqtt(arguments) => Some(&arguments.load),
            Mode::PutItem(load) | Mode::BatchWriteItem(load) => Some(load),
            Mode::GetItem(arguments) | Mode::UpdateItem(arguments) => Some(&arguments.load),
            Mode::Query(arguments) => Some(&arguments.read.load),
            Mode::Followers(arguments) => Some(&arguments.load),
            Mode::Disk(_) | Mode::Memtable(_) => None,
        }
    }
}

impl LoadArguments {
    /// When the measured run ends.
    pub(super) fn end(&self) -> End {
        match (self.count, self.seconds) {
            (Some(count), _) => End::Count(count),
            (None, seconds) => End::After(Duration::from_secs_f64(seconds.unwrap_or(10.0))),
        }
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.01..=86_400.0).contains(&seconds) => Ok(seconds),
        _ => Err("seconds are from 0.01 to 86400".to_owned()),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.01..=10_000_000.0).contains(&rate) => Ok(rate),
        _ => Err("a rate is from 0.01 to 10000000 a second".to_owned()),
    }
}

/// A table's name goes into requests as it is.
fn table(text: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    match (3..=255).contains(&text.len()) && text.bytes().all(allowed) {
        true => Ok(text.to_owned()),
        false => Err("a table's name has 3 to 255 letters, digits, or characters of `_.-`".to_owned()),
    }
}
