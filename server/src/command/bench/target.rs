//! The server under load: one that runs, Thalweg or a peer, or one of our own.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, bail};
use bytes::Bytes;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use super::{
    arguments::TargetArguments,
    http::Connection,
    process::{Process, Usage},
};
use crate::client::Server;

/// The table's key, as the built-in routes have it.
const TABLE_KEYS: &str = "\"KeySchema\":[{\"AttributeName\":\"device_id\",\"KeyType\":\"HASH\"},\
    {\"AttributeName\":\"ts\",\"KeyType\":\"RANGE\"}],\"AttributeDefinitions\":[{\"AttributeName\":\"device_id\",\
    \"AttributeType\":\"S\"},{\"AttributeName\":\"ts\",\"AttributeType\":\"N\"}],\"BillingMode\":\"PAY_PER_REQUEST\"";

/// A stream that shows items as they have become.
const STREAM: &str = ",\"StreamSpecification\":{\"StreamEnabled\":true,\"StreamViewType\":\"NEW_IMAGE\"}";

/// A server.
pub(super) struct Target {
    /// Where it speaks DynamoDB.
    http: Option<String>,
    /// Where it speaks MQTT.
    mqtt: Option<String>,
    /// Set if it is a thalweg server.
    thalweg: Option<Server>,
    /// Set if it is known.
    process: Option<Process>,
    own: Option<Own>,
}

/// A server that the bench has started, in a directory that goes with it.
struct Own {
    child: Child,
    directory: TempDir,
}

impl Target {
    /// The server that the arguments name, or one of our own.
    pub(super) async fn find_or_start(arguments: &TargetArguments) -> anyhow::Result<Target> {
        if arguments.http.is_none() && arguments.mqtt.is_none() {
            return Target::start(&arguments.directory()).await;
        }
        if let Some(secured) = [&arguments.http, &arguments.mqtt].into_iter().flatten().find(|given| is_secured(given))
        {
            bail!("{secured}: the bench's connections are its own and speak no TLS: load a server without it");
        }
        let mut target = Target {
            http: arguments.http.as_deref().map(bare),
            mqtt: arguments.mqtt.as_deref().map(bare),
            thalweg: None,
            process: arguments.pid.map(Process::of),
            own: None,
        };
        if let Some(http) = &target.http {
            let server = Server::new(http, None)?;
            // A peer may answer anything, or nothing.
            if let Ok(status) = server.get("/admin/status").await
                && status["data_directory"].is_string()
            {
                target.mqtt = target.mqtt.or_else(|| status["mqtt"].as_str().map(str::to_owned));
                target.thalweg = Some(server);
            }
        }
        if let Some(process) = &target.process {
            process.usage().context("--pid")?;
        }
        Ok(target)
    }

    async fn start(parent: &Path) -> anyhow::Result<Target> {
        let directory = tempfile::Builder::new().prefix("thalweg-bench-").tempdir_in(parent);
        let directory = directory.with_context(|| format!("temporary directory in {}", parent.display()))?;
        let log = directory.path().join("log");
        let errors = std::fs::File::create(&log).with_context(|| log.display().to_string())?;
        // A process of its own, so that what it uses can be told from what the load uses.
        let mut command = Command::new(std::env::current_exe().context("this program's path")?);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("THALWEG_")) {
            command.env_remove(name);
        }
        command.args(["serve", "--http", "127.0.0.1:0", "--mqtt", "127.0.0.1:0", "--data-dir"]);
        command.arg(directory.path().join("data"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors).kill_on_drop(true);
        let mut child = command.spawn().context("starting a server")?;
        let output = child.stdout.take().context("the server's output")?;
        let ready = BufReader::new(output).lines().next_line().await.context("the server's output")?;
        let Some(ready) = ready else {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            bail!("the bench's own server has not started: {}", said.trim());
        };
        let fact = |name: &str| ready.split(' ').find_map(|part| part.strip_prefix(name)).map(str::to_owned);
        let (http, mqtt) = (fact("http="), fact("mqtt="));
        let process = child.id().map(Process::of);
        let thalweg = Some(Server::new(http.as_deref().with_context(|| format!("the server says {ready}"))?, None)?);
        Ok(Target { http, mqtt, thalweg, process, own: Some(Own { child, directory }) })
    }

    /// Ends the server if it is our own.
    pub(super) async fn end(self) -> anyhow::Result<()> {
        let Some(mut own) = self.own else { return Ok(()) };
        own.child.kill().await.context("ending the bench's own server")?;
        own.directory.close().context("removing the bench's directory")
    }

    /// Where it speaks DynamoDB.
    pub(super) fn http(&self) -> anyhow::Result<&str> {
        self.http.as_deref().context("the server's HTTP address is needed: name it with --http")
    }

    /// Where it speaks MQTT.
    pub(super) fn mqtt(&self) -> anyhow::Result<&str> {
        self.mqtt.as_deref().context("the server's MQTT address is needed: name it with --mqtt")
    }

    /// Is it a thalweg server, as far as we know?
    pub(super) fn is_thalweg(&self) -> bool {
        self.thalweg.is_some()
    }

    /// What it has used until now, if its process is known.
    pub(super) fn usage(&self) -> anyhow::Result<Option<Usage>> {
        self.process.as_ref().map(Process::usage).transpose()
    }

    /// Lets a thalweg server write everything to Parquet, merged, and waits for it; of a peer's work behind we know nothing.
    pub(super) async fn catch_up(&self) -> anyhow::Result<()> {
        if let Some(server) = &self.thalweg {
            server.post("/admin/compact", Bytes::new()).await.context("waiting until the server has caught up")?;
        }
        Ok(())
    }

    /// Makes the table if there is none; `followed` with a stream of its changes.
    pub(super) async fn make_table(&self, table: &str, followed: bool) -> anyhow::Result<()> {
        let mut connection = Connection::open(self.http()?).await?;
        let stream = if followed { STREAM } else { "" };
        let body = format!("{{\"TableName\":\"{table}\",{TABLE_KEYS}{stream}}}");
        let answer = connection.ask("CreateTable", &body).await?;
        let said = String::from_utf8_lossy(answer.body).into_owned();
        if answer.status != 200 && !said.contains("ResourceInUseException") {
            bail!("table {table}: the server says {said}");
        }
        // Peers answer before the table can be used; asking again costs nothing.
        for _ in 0..10_000 {
            let answer = connection.ask("DescribeTable", &format!("{{\"TableName\":\"{table}\"}}")).await?;
            let described: Value = serde_json::from_slice(answer.body).context("DescribeTable")?;
            if described["Table"]["TableStatus"] == "ACTIVE" {
                return Ok(());
            }
            tokio::task::yield_now().await;
        }
        bail!("table {table} does not become active")
    }
}

fn is_secured(address: &str) -> bool {
    ["https://", "mqtts://"].iter().any(|scheme| address.starts_with(scheme))
}

/// `host:port` without what may stand around it.
fn bare(address: &str) -> String {
    let address = address.trim_end_matches('/');
    ["http://", "mqtt://"].iter().find_map(|scheme| address.strip_prefix(scheme)).unwrap_or(address).to_owned()
}

impl TargetArguments {
    /// Where temporary directories are made.
    pub(super) fn directory(&self) -> PathBuf {
        self.dir.clone().unwrap_or_else(std::env::temp_dir)
    }
}
