//! Watches the fleet's table by its change stream: what is told, how late, and each truck's last item.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::{Map, Value};
use store::env::{Clock, OsClock};
use tokio::{task::JoinHandle, time::MissedTickBehavior};

use crate::client::{Server, escape};

/// Lags that are kept for the percentiles.
const LAGS_MAX: usize = 10_000;

/// What was told.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// Changes.
    pub(super) told: u64,
    /// From a reading's own time to its change being told, since the last look, in microseconds.
    pub(super) lags_us: Vec<u64>,
    /// The last item of each device, without its key.
    pub(super) last: BTreeMap<String, Value>,
    /// Why the stream could not be followed, if it could not.
    pub(super) failure: Option<String>,
}

/// Follows the stream in the background.
pub(super) struct Watcher {
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

impl Watcher {
    /// Follows `table` of `server` from now on; the table may be made later.
    pub(super) fn start(server: Server, table: &str) -> Watcher {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let task = tokio::spawn(follow(server, escape(table), seen.clone()));
        Watcher { seen, task }
    }

    /// What was told; the lags only since the last look.
    pub(super) fn look(&self) -> Seen {
        let mut seen = lock(&self.seen);
        let lags_us = std::mem::take(&mut seen.lags_us);
        Seen { lags_us, ..seen.clone() }
    }

    /// Stops following.
    pub(super) async fn stop(self) {
        self.task.abort();
        // It was just told to end early, so that is no news.
        let _ = self.task.await;
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    // Nobody panics while holding it, and it has no broken state.
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn follow(server: Server, table: String, seen: Arc<Mutex<Seen>>) {
    let mut tries = tokio::time::interval(Duration::from_millis(100));
    tries.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // A table that is not there yet is followed from its first change, so that none is missed.
    let mut from = "latest".to_owned();
    loop {
        tries.tick().await;
        match follow_from(&server, &table, &mut from, &seen).await {
            Ok(()) => {}
            Err(error) => {
                from = if from == "latest" { "trim-horizon".to_owned() } else { from };
                lock(&seen).failure = Some(format!("{error:#}"));
            }
        }
    }
}

async fn follow_from(server: &Server, table: &str, from: &mut String, seen: &Mutex<Seen>) -> anyhow::Result<()> {
    let mut lines = server.lines(&format!("/streams/{table}?from={}", escape(from))).await?;
    lock(seen).failure = None;
    while let Some(line) = lines.next().await? {
        let record: Value = serde_json::from_str(&line)?;
        if let Some(position) = record["position"].as_str() {
            *from = position.to_owned();
        }
        take(&record, OsClock.now_us(), &mut lock(seen));
    }
    Ok(())
}

fn take(record: &Value, now_us: u64, seen: &mut Seen) {
    let Some(image) = record["dynamodb"]["NewImage"].as_object() else { return };
    seen.told += 1;
    let mut item: Map<String, Value> = image.iter().map(|(name, value)| (name.clone(), plain(value))).collect();
    let (device, time) = (item.remove("device_id"), item.remove("ts"));
    if let Some(time_ms) = time.as_ref().and_then(Value::as_f64)
        && seen.lags_us.len() < LAGS_MAX
    {
        seen.lags_us.push(now_us.saturating_sub((time_ms * 1000.0) as u64));
    }
    if let Some(Value::String(device)) = device {
        seen.last.insert(device, Value::Object(item));
    }
}

/// A value of the DynamoDB protocol as plain JSON; enough for what the fleet publishes.
fn plain(value: &Value) -> Value {
    let Some((kind, content)) = value.as_object().and_then(|value| value.iter().next()) else { return Value::Null };
    match (kind.as_str(), content) {
        ("N", Value::String(digits)) => serde_json::from_str(digits).unwrap_or_else(|_| content.clone()),
        ("M", Value::Object(fields)) => fields.iter().map(|(name, value)| (name.clone(), plain(value))).collect(),
        ("L", Value::Array(values)) => values.iter().map(plain).collect(),
        ("NULL", _) => Value::Null,
        _ => content.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_record_gives_lag_and_last_item() {
        let record = json!({"eventName": "INSERT", "position": "p", "dynamodb": {"NewImage": {
            "device_id": {"S": "demo/truck-01"}, "ts": {"N": "1000.5"}, "speed": {"N": "61.2"},
            "position": {"M": {"latitude": {"N": "48.2"}}}, "doors_closed": {"BOOL": true},
        }}});
        let mut seen = Seen::default();
        take(&record, 1_002_000, &mut seen);
        assert_eq!((seen.told, seen.lags_us.as_slice()), (1, &[1500][..]));
        let expected = json!({"speed": 61.2, "position": {"latitude": 48.2}, "doors_closed": true});
        assert_eq!(seen.last["demo/truck-01"], expected);
    }
}
