//! `thalweg config check`: the configuration as `serve` would read it.

use serde_json::json;

use super::Output;
use crate::{cli::ServeArguments, config::Config};

pub(crate) fn run(arguments: &ServeArguments, output: Output) -> anyhow::Result<()> {
    let config = Config::load(arguments)?;
    output.print(&json!({
        "data_dir": config.data_dir.display().to_string(),
        "http": config.http.to_string(),
        "mqtt": config.mqtt.map_or_else(|| "off".to_owned(), |address| address.to_string()),
        "durability": format!("{:?}", config.store.durability).to_lowercase(),
        "memory_cache_bytes": config.cache.memory_bytes,
        "ssd_cache_bytes": config.cache.ssd_bytes,
        "sources": config.ingest.sources.iter().map(|source| {
            json!({"name": source.name, "url": without_password(&source.url)})
        }).collect::<Vec<_>>(),
        "routes": config.ingest.routes.iter().map(|route| json!({"topic": route.topic.to_string()})).collect::<Vec<_>>(),
    }));
    Ok(())
}

/// The URL as it may be shown.
fn without_password(url: &url::Url) -> String {
    let mut url = url.clone();
    // Fails only for URLs that cannot have a password.
    let _ = url.set_password(None);
    url.to_string()
}
