//! The command line: what can be asked, and nothing that does not work.

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::{
    command::BenchArguments,
    config::{HttpAddress, MqttAddress},
    memory::Limit,
    telemetry::LogFormat,
};

/// An event-sourced database for IoT telemetry.
///
/// Devices publish over MQTT or NATS, applications read with any DynamoDB SDK, everyone reads the Parquet files.
/// Without a command, `serve` runs, with its flags.
#[derive(Debug, Parser)]
#[command(name = "thalweg", version, max_term_width = 100)]
pub(crate) struct Cli {
    /// Print JSON instead of text.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server.
    Serve(ServeArguments),
    /// Show a simulated fleet publishing over MQTT, on a running server or on one of its own.
    Demo(DemoArguments),
    /// Load an entrance of a server, and say what it made of it.
    Bench(BenchArguments),
    /// Import a CSV or JSON lines file; importing it twice changes nothing.
    Import(ImportArguments),
    /// Print the changes of a table as JSON lines, as they happen.
    Tail(TailArguments),
    /// Write everything acknowledged so far to Parquet, merged, and wait for it.
    Compact(CompactArguments),
    /// Check a data directory that no server uses: log, manifest and Parquet files agree, checksums are good.
    Verify(VerifyArguments),
    /// What runs, how much, how far behind.
    #[command(after_help = STATUS_TERMS)]
    Status(ServerArguments),
    /// Let a running server read its certificate again; so does SIGHUP.
    Reload(ServerArguments),
    /// The configuration.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// What `/metrics` shows: names, types, units, labels, meanings.
    Metrics,
    /// Access keys. Once there is one, requests must be signed.
    #[command(after_help = KEY_TERMS)]
    Key {
        #[command(subcommand)]
        command: KeyCommand,
    },
    /// What was received and could not be stored as an item.
    Quarantine {
        #[command(subcommand)]
        command: QuarantineCommand,
    },
}

/// What `status` prints.
const STATUS_TERMS: &str = "\
What the lines mean:
  up_seconds   seconds since the start
  writes       taken, or refused and why
  disk         room is fine, low (the log is kept for less long) or full (only what removes is taken); bytes
  memory       bytes: of the process, of recent rows, of those on their way to Parquet, of the caches of pages and of
               rows, of writes that wait for their answer
  tables       items and bytes are estimates; stream says whether changes can be read
  log          one frame holds the writes of one sync. Frames before `trim_point` are no longer kept, those before
               `applied` are visible to readers, `tail` is the next one; bytes are those on disk
  cold         the Parquet files. Everything before the frame `flushed` is in them; sealed_memtables are sets of recent
               rows on their way there (writers wait when there are 4); runs are files on their way into a table's, and
               wait for it since oldest_run_seconds; manifest counts what was published
  quarantine   messages of which something could not be stored: see `thalweg quarantine list`";

/// How commands sign.
const KEY_TERMS: &str = "\
Commands sign with THALWEG_ACCESS_KEY and THALWEG_SECRET_KEY, or with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and
AWS_SESSION_TOKEN. Without them they use the key that a running server leaves for its own user in its data directory
(THALWEG_DATA_DIR, by default ./thalweg-data), which may do everything.";

/// The process's arguments. Flags of `serve` without a command are flags of `serve`.
pub(crate) fn arguments(mut arguments: Vec<OsString>) -> Vec<OsString> {
    const OF_SERVE: [&str; 9] = [
        "--config",
        "--cors-origin",
        "--data-dir",
        "--http",
        "--mqtt",
        "--log-format",
        "--memory-limit",
        "--tls-certificate",
        "--tls-key",
    ];
    let first = (1..arguments.len()).find(|place| arguments[*place] != "--json");
    let is_of_serve = |argument: &OsString| {
        let text = argument.to_string_lossy();
        OF_SERVE.iter().any(|flag| text.strip_prefix(flag).is_some_and(|rest| rest.is_empty() || rest.starts_with('=')))
    };
    if let Some(place) = first
        && is_of_serve(&arguments[place])
    {
        arguments.insert(place, "serve".into());
    }
    arguments
}

/// Where the server is.
#[derive(Args, Clone, Debug)]
pub(crate) struct ServerArguments {
    /// Address of the running server's HTTP listener.
    #[arg(long, env = "THALWEG_HTTP", default_value = "127.0.0.1:8000", value_name = "[https://]ADDRESS")]
    pub(crate) http: String,
    /// PEM file of the authorities that its certificate may be of [default: AWS_CA_BUNDLE, else those of the system]
    #[arg(long, env = "THALWEG_CA", value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
}

#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ServeArguments {
    /// Configuration file (TOML). Flags win over THALWEG_* variables, which win over the file.
    #[arg(long, env = "THALWEG_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Directory of the log and of everything made from it [default: ./thalweg-data]
    #[arg(long, env = "THALWEG_DATA_DIR", value_name = "DIRECTORY")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Where to listen for DynamoDB and admin requests; port 0 takes a free one [default: 127.0.0.1:8000]
    #[arg(long, env = "THALWEG_HTTP", value_name = "ADDRESS")]
    pub(crate) http: Option<HttpAddress>,
    /// Where to listen for MQTT, or `off`; port 0 takes a free one [default: 127.0.0.1:1883]
    #[arg(long, env = "THALWEG_MQTT", value_name = "ADDRESS|off")]
    pub(crate) mqtt: Option<MqttAddress>,
    /// Origins whose pages may ask, separated by commas, such as https://example.com; `*` for all [default: none]
    #[arg(long, env = "THALWEG_CORS_ORIGIN", value_name = "ORIGINS", value_delimiter = ',')]
    pub(crate) cors_origin: Option<Vec<String>>,
    /// Certificate to serve TLS with, HTTP and MQTT: a PEM file with the chain to its authority [default: no TLS]
    #[arg(long, env = "THALWEG_TLS_CERTIFICATE", value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_certificate: Option<PathBuf>,
    /// Its private key: a PEM file
    #[arg(long, env = "THALWEG_TLS_KEY", value_name = "FILE", requires = "tls_certificate")]
    pub(crate) tls_key: Option<PathBuf>,
    /// How lines of the log look, which goes to standard error [default: text]
    #[arg(long, env = "THALWEG_LOG_FORMAT", value_name = "FORMAT")]
    pub(crate) log_format: Option<LogFormat>,
    /// Bound on the memory of the process, such as 1GiB [default: a quarter of the machine's]
    #[arg(long, env = "THALWEG_MEMORY_LIMIT", value_name = "SIZE")]
    pub(crate) memory_limit: Option<Limit>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct DemoArguments {
    #[command(flatten)]
    pub(crate) server: ServerArguments,
    /// End after so many seconds; without it, Ctrl-C ends the demo.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) seconds: Option<u64>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct ImportArguments {
    /// The file: `.csv` with a header line, or `.jsonl`/`.ndjson` with one object a line.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) server: ServerArguments,
    /// The table; it is made, with keys `device_id` and `ts`, if it does not exist.
    #[arg(long, value_name = "TABLE")]
    pub(crate) table: String,
    #[command(flatten)]
    pub(crate) device: DeviceArguments,
    /// The column that holds the time: a number (seconds to nanoseconds, told apart by size) or a date and time.
    #[arg(long, value_name = "COLUMN")]
    pub(crate) time: String,
    /// Zone of times that have no offset of their own, such as `Europe/Berlin` [default: UTC]
    #[arg(long, value_name = "ZONE")]
    pub(crate) zone: Option<String>,
    /// Go on where an interrupted import of this file ended.
    #[arg(long)]
    pub(crate) resume: bool,
}

/// Whose readings the rows are: exactly one of the two.
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct DeviceArguments {
    /// The column that names the device.
    #[arg(long = "device", value_name = "COLUMN")]
    pub(crate) column: Option<String>,
    /// The device of every row.
    #[arg(long = "device-id", value_name = "ID")]
    pub(crate) id: Option<String>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct TailArguments {
    /// The table.
    #[arg(value_name = "TABLE")]
    pub(crate) table: String,
    #[command(flatten)]
    pub(crate) server: ServerArguments,
    /// Where to begin: `trim-horizon`, `latest`, a position that an earlier line named, or a time, such as
    /// 2026-01-31T12:00:00Z, 2026-01-31 (UTC) or 1769860800000 (milliseconds since 1970).
    #[arg(long, default_value = "latest", value_name = "PLACE")]
    pub(crate) from: String,
    /// End after so many changes; without it, Ctrl-C ends it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: Option<u64>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct CompactArguments {
    #[command(flatten)]
    pub(crate) server: ServerArguments,
    /// Only this table.
    #[arg(long, value_name = "TABLE")]
    pub(crate) table: Option<String>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct VerifyArguments {
    /// The data directory.
    #[arg(long, env = "THALWEG_DATA_DIR", default_value = "./thalweg-data", value_name = "DIRECTORY")]
    pub(crate) data_dir: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Read the configuration as `serve` would, and say what it amounts to.
    Check(ServeArguments),
}

#[derive(Debug, Subcommand)]
pub(crate) enum QuarantineCommand {
    /// Entries without their payloads, newest first.
    List {
        /// So many at most.
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=10_000))]
        limit: u64,
        /// Only entries older than this one, by its id.
        #[arg(long, value_name = "ID")]
        before: Option<String>,
        #[command(flatten)]
        server: ServerArguments,
    },
    /// One entry with its payload.
    Show {
        /// Its id, as `list` prints it.
        id: String,
        #[command(flatten)]
        server: ServerArguments,
    },
    /// Map entries again, by the rules of now; what can be stored leaves the quarantine.
    Replay {
        /// Only this entry; without it, all.
        id: Option<String>,
        #[command(flatten)]
        server: ServerArguments,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a key, and print its secret, this once. From the first key on every request must be signed.
    Create {
        /// What it may do: `read`, `write`, `admin` (everything), or a pattern of actions, such as `dynamodb:*Item` or
        /// `thalweg:Metrics`; may be given several times [default: admin]
        #[arg(long, value_name = "ACTION")]
        allow: Vec<String>,
        /// Only in tables of such names; `*` stands for any text.
        #[arg(long, value_name = "GLOB", default_value = "*")]
        table: String,
        /// Only items of such devices, that is partition keys.
        #[arg(long, value_name = "GLOB", default_value = "*")]
        device: String,
        /// End by itself after so long; such a key goes with a session token.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(900..=129_600))]
        session_seconds: Option<u64>,
        #[command(flatten)]
        server: ServerArguments,
    },
    /// All keys and what they allow, without their secrets.
    List {
        #[command(flatten)]
        server: ServerArguments,
    },
    /// End a key.
    Revoke {
        /// The access key, as `create` and `list` print it.
        access_key: String,
        #[command(flatten)]
        server: ServerArguments,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Cli {
        let line = line.split(' ').map(OsString::from).collect();
        Cli::try_parse_from(arguments(line)).unwrap()
    }

    #[test]
    fn flags_without_a_command_are_those_of_serve() {
        for line in ["thalweg --data-dir x", "thalweg --json --data-dir=x --mqtt off", "thalweg serve --data-dir x"] {
            let Some(Command::Serve(serve)) = parsed(line).command else { panic!("{line}") };
            assert_eq!(serve.data_dir, Some("x".into()), "{line}");
        }
        assert!(matches!(parsed("thalweg --json status --http 127.0.0.1:1").command, Some(Command::Status(_))));
        assert!(parsed("thalweg --json").command.is_none());
    }
}
