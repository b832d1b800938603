//! Logs to standard error, metrics to the recorder that `/metrics` shows.

use std::{io::IsTerminal, time::Duration};

use anyhow::Context;
use clap::ValueEnum;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use serde::{Deserialize, Serialize};
use store::metric::Metric;
use tokio::task::JoinHandle;
use tracing_subscriber::EnvFilter;

use crate::metrics;

/// How often histograms are folded, so that they do not grow between two scrapes.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For programs: one JSON object, with `timestamp`, `level`, `target`, `message` and the fields of the event.
    Json,
}

/// Sends logs to standard error. `THALWEG_LOG` (such as `debug` or `ingest=debug,info`) wins over `level`.
pub(crate) fn start_logs(level: &str, format: LogFormat) -> anyhow::Result<()> {
    let filter = match std::env::var("THALWEG_LOG") {
        Ok(text) => EnvFilter::try_new(&text).with_context(|| format!("THALWEG_LOG = `{text}`"))?,
        Err(_) => EnvFilter::new(level),
    };
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => logs.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => logs.json().flatten_event(true).with_current_span(false).with_span_list(false).init(),
    }
    Ok(())
}

/// Installs the process's metrics recorder; the task keeps it small and is ended with the server.
pub(crate) fn start_metrics() -> anyhow::Result<(PrometheusHandle, JoinHandle<()>)> {
    let mut builder = PrometheusBuilder::new();
    let of = |suffix: &str| Matcher::Suffix(suffix.to_owned());
    builder = builder.set_buckets_for_metric(of("_seconds"), metrics::SECONDS)?;
    builder = builder.set_buckets_for_metric(of("_bytes"), metrics::BYTES)?;
    for name in metrics::LONG {
        builder = builder.set_buckets_for_metric(Matcher::Full((*name).to_owned()), metrics::LONG_SECONDS)?;
    }
    let handle = builder.install_recorder().context("metrics recorder")?;
    metrics::all().for_each(Metric::register);
    let upkept = handle.clone();
    let upkeep = tokio::spawn(async move {
        let mut interval = tokio::time::interval(UPKEEP_INTERVAL);
        loop {
            interval.tick().await;
            upkept.run_upkeep();
        }
    });
    Ok((handle, upkeep))
}
