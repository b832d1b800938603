//! `thalweg demo`: a simulated fleet publishes over real MQTT, and what becomes of its readings is shown as it happens.

mod board;
mod fleet;
mod follow;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use serde_json::{Value, json};
use tempfile::TempDir;
use tls::ClientConfig;
use tokio::time::{Instant, MissedTickBehavior};

use self::{
    board::{Board, Second, percentiles_ms},
    fleet::Fleet,
    follow::Watcher,
};
use super::Output;
use crate::{
    cli::{DemoArguments, ServeArguments, ServerArguments},
    client::Server,
    compose::Running,
    config::{Config, MqttAddress},
    shutdown::Signals,
    telemetry,
};

/// Where the built-in route takes `demo/...` topics.
const TABLE: &str = "demo_readings";

/// The server that the demo shows.
struct Stage {
    server: Server,
    mqtt: SocketAddr,
    /// Set if the server speaks TLS.
    tls: Option<Arc<ClientConfig>>,
    data_dir: String,
    /// Set if the demo has started it, in a directory that goes with it.
    own: Option<(Running, TempDir)>,
}

pub(crate) async fn run(arguments: DemoArguments, output: Output) -> anyhow::Result<()> {
    let mut signals = Signals::listen()?;
    let stage = Stage::find_or_start(&arguments.server).await?;
    announce(&stage, output);
    let fleet = match &stage.tls {
        // Its certificate names the server as it was asked for, and perhaps not its address.
        Some(tls) => Fleet::start(stage.server.host(), stage.mqtt.port(), Some(tls)),
        None => Fleet::start(&stage.mqtt.ip().to_string(), stage.mqtt.port(), None),
    };
    let watcher = Watcher::start(stage.server.clone(), TABLE);
    let shown = tokio::select! {
        shown = show(&fleet, &watcher, arguments.seconds, output) => shown,
        () = signals.requested() => Ok(()),
    };
    fleet.stop().await;
    watcher.stop().await;
    let ended = stage.end().await;
    shown.and(ended)
}

impl Stage {
    async fn find_or_start(arguments: &ServerArguments) -> anyhow::Result<Stage> {
        let server = Server::of(arguments)?;
        // Anything else may listen there: only a thalweg server answers this.
        match server.get("/admin/status").await {
            Ok(status) if status["data_directory"].is_string() => Stage::found(server, &status),
            Err(error) if server.is_secured() => Err(error),
            _ => Stage::start().await,
        }
    }

    fn found(server: Server, status: &Value) -> anyhow::Result<Stage> {
        let Some(mqtt) = status["mqtt"].as_str() else {
            bail!("the server at {} has its MQTT listener off, so the fleet cannot publish", server.address());
        };
        let mqtt = mqtt.parse().context("the server's MQTT address")?;
        let data_dir = status["data_directory"].as_str().unwrap_or_default().to_owned();
        let tls = server.tls();
        Ok(Stage { server, mqtt, tls, data_dir, own: None })
    }

    async fn start() -> anyhow::Result<Stage> {
        let directory = tempfile::Builder::new().prefix("thalweg-demo-").tempdir().context("temporary directory")?;
        let free_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let settings = ServeArguments {
            config: None,
            data_dir: Some(directory.path().join("data")),
            http: Some(crate::config::HttpAddress(free_port)),
            memory_limit: None,
            mqtt: Some(MqttAddress(Some(free_port))),
            log_format: None,
            cors_origin: None,
            tls_certificate: None,
            tls_key: None,
        };
        let (metrics, _) = telemetry::start_metrics()?;
        let running = Running::start(Config::load(&settings)?, metrics).await?;
        let mqtt = running.mqtt.context("the demo's own server listens for MQTT")?;
        Ok(Stage {
            server: Server::new(&running.http.to_string(), None)?,
            mqtt,
            tls: None,
            data_dir: running.data_dir.display().to_string(),
            own: Some((running, directory)),
        })
    }

    async fn end(self) -> anyhow::Result<()> {
        let Some((running, directory)) = self.own else { return Ok(()) };
        running.stop().await?;
        directory.close().context("removing the demo's directory")
    }
}

/// Says what runs, and what to try next, with the real addresses.
fn announce(stage: &Stage, output: Output) {
    let http = stage.server.shown();
    let url = stage.server.url();
    if output == Output::Json {
        println!(
            "{}",
            json!({
                "http": http, "mqtt": stage.mqtt.to_string(), "data": stage.data_dir, "table": TABLE,
                "own_server": stage.own.is_some(), "trucks": fleet::TRUCKS,
            })
        );
        return;
    }
    let whose = match stage.own {
        Some(_) => "its own server, in a temporary directory that goes with it",
        None => "the running server",
    };
    let thalweg = program();
    let mqtt = stage.mqtt;
    let data = &stage.data_dir;
    let trucks = fleet::TRUCKS;
    println!(
        "The demo uses {whose}: http {http}, mqtt {mqtt}, data {data}
{trucks} simulated trucks publish to demo/truck-00 and so on; each reading becomes an item of table {TABLE}.

Try in another terminal:

  export THALWEG_HTTP={http}
  {thalweg} tail {TABLE}
  {thalweg} status
  {thalweg} compact

  export AWS_ENDPOINT_URL={url} AWS_REGION=local AWS_DEFAULT_REGION=local \\
      AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any
  aws dynamodb query --table-name {TABLE} --no-scan-index-forward --max-items 3 \\
      --key-condition-expression 'device_id = :d' --expression-attribute-values '{{\":d\": {{\"S\": \"demo/truck-00\"}}}}'

  # After compact, with `pip install duckdb`:
  python3 -c \"import duckdb; duckdb.sql('''SELECT device_id, count(*), avg(speed)
      FROM '{data}/cold/tables/{TABLE}/*.parquet' GROUP BY ALL''').show()\"

Ctrl-C ends the demo.
"
    );
}

/// How this program is run from another directory too.
fn program() -> String {
    let name = std::env::args().next().unwrap_or_else(|| "thalweg".to_owned());
    match std::env::current_exe() {
        Ok(path) if name.contains('/') => path.display().to_string(),
        _ => name,
    }
}

/// Draws a second a second until the time is up.
async fn show(fleet: &Fleet, watcher: &Watcher, seconds: Option<u64>, output: Output) -> anyhow::Result<()> {
    let mut board = Board::new(output);
    let mut ticks = tokio::time::interval_at(Instant::now() + Duration::from_secs(1), Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let (mut published, mut acknowledged, mut told) = (0, 0, 0);
    for number in 1.. {
        ticks.tick().await;
        let tally = fleet.look();
        let seen = watcher.look();
        board.draw(&Second {
            second: number,
            published: tally.published - published,
            acknowledged: tally.acknowledged - acknowledged,
            acknowledged_total: tally.acknowledged,
            told: seen.told - told,
            told_total: seen.told,
            puback_ms: percentiles_ms(tally.delays_us),
            lag_ms: percentiles_ms(seen.lags_us),
            last: seen.last,
            failure: tally.failure.or(seen.failure),
        })?;
        (published, acknowledged, told) = (tally.published, tally.acknowledged, seen.told);
        if seconds.is_some_and(|seconds| number >= seconds) {
            break;
        }
    }
    Ok(())
}
