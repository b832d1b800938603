//! `thalweg serve`: the server, until SIGTERM or Ctrl-C.

use std::io::Write;

use serde_json::json;

use super::Output;
use crate::{cli::ServeArguments, compose::Running, config::Config, open_files, shutdown::Signals, telemetry};

pub(crate) async fn run(arguments: &ServeArguments, output: Output) -> anyhow::Result<()> {
    let config = Config::load(arguments)?;
    telemetry::start_logs("info,foyer=warn", config.log_format)?;
    open_files::raise_limit();
    let file = config.told.file.as_ref().map_or_else(|| "none".to_owned(), |file| file.display().to_string());
    tracing::info!(version = env!("CARGO_PKG_VERSION"), configuration_file = file, "starting");
    // Before anyone is told that it serves, so that a signal never meets a server that would not drain.
    let mut signals = Signals::listen()?;
    let (metrics, upkeep) = telemetry::start_metrics()?;
    let mut running = Running::start(config, metrics).await?;
    announce(&running, output)?;
    let mqtt = running.mqtt.map(|address| address.to_string());
    tracing::info!(http = %running.http, mqtt, tls = running.is_secured, data_dir = %running.data_dir.display(), "serving");
    let failed = tokio::select! {
        () = signals.requested() => Ok(()),
        error = running.failed() => Err(error),
    };
    tracing::info!("stopping: draining what is under way");
    let stopped = tokio::select! {
        biased;
        code = signals.exit_code() => {
            tracing::warn!("stopping at once, asked a second time: what is under way is not acknowledged");
            std::process::exit(code);
        }
        stopped = running.stop() => stopped,
    };
    upkeep.abort();
    failed.and(stopped)
}

/// One line on standard output says that everything serves, and where.
fn announce(running: &Running, output: Output) -> std::io::Result<()> {
    let data = running.data_dir.display();
    let mut out = std::io::stdout().lock();
    match output {
        Output::Text => {
            let mqtt = running.mqtt.map(|address| format!(" mqtt={address}")).unwrap_or_default();
            let tls = if running.is_secured { " tls=on" } else { "" };
            writeln!(out, "ready http={}{mqtt}{tls} data={data}", running.http)?;
        }
        Output::Json => {
            let mut line = json!({ "ready": true, "http": running.http.to_string(), "data": data.to_string() });
            if let Some(mqtt) = running.mqtt {
                line["mqtt"] = json!(mqtt.to_string());
            }
            if running.is_secured {
                line["tls"] = json!("on");
            }
            writeln!(out, "{line}")?;
        }
    }
    out.flush()
}
