//! A simulated fleet: every truck has its own MQTT connection and publishes at QoS 1.

use std::{
    collections::BTreeMap,
    f64::consts::TAU,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Outgoing, Packet, QoS, TlsConfiguration, Transport};
use serde_json::json;
use store::env::{Clock, OsClock};
use tls::ClientConfig;
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};

/// Trucks in the fleet.
pub(super) const TRUCKS: usize = 20;
/// Each truck publishes so often.
const INTERVAL: Duration = Duration::from_millis(100);
/// Times to acknowledgement that are kept for the percentiles.
const DELAYS_MAX: usize = 10_000;

/// What the fleet has seen.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Readings handed to MQTT.
    pub(super) published: u64,
    /// Readings whose PUBACK came: they are on stable storage.
    pub(super) acknowledged: u64,
    /// From publish to PUBACK, of the readings since the last look, in microseconds.
    pub(super) delays_us: Vec<u64>,
    /// The last failure of a connection.
    pub(super) failure: Option<String>,
}

/// The running fleet.
pub(super) struct Fleet {
    tally: Arc<Mutex<Tally>>,
    tasks: JoinSet<()>,
}

impl Fleet {
    /// Connects every truck to the MQTT listener at `host`, inside TLS if there is a way to trust it, and lets it publish.
    pub(super) fn start(host: &str, port: u16, tls: Option<&Arc<ClientConfig>>) -> Fleet {
        let tally = Arc::new(Mutex::new(Tally::default()));
        let mut tasks = JoinSet::new();
        for truck in 0..TRUCKS {
            let mut options = MqttOptions::new(format!("thalweg-demo-{}-{truck}", std::process::id()), host, port);
            if let Some(tls) = tls {
                options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::clone(tls))));
            }
            options.set_keep_alive(Duration::from_secs(10));
            let (client, connection) = AsyncClient::new(options, 64);
            tasks.spawn(publish(truck, client, tally.clone()));
            tasks.spawn(acknowledge(connection, tally.clone()));
        }
        Fleet { tally, tasks }
    }

    /// What was seen; the delays only since the last look.
    pub(super) fn look(&self) -> Tally {
        let mut tally = lock(&self.tally);
        let delays_us = std::mem::take(&mut tally.delays_us);
        Tally { delays_us, failure: tally.failure.clone(), ..*tally }
    }

    /// Stops publishing.
    pub(super) async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

fn lock(tally: &Mutex<Tally>) -> std::sync::MutexGuard<'_, Tally> {
    // Nobody panics while holding it, and counters have no broken state.
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One truck's readings. They end when its connection's task does.
async fn publish(truck: usize, client: AsyncClient, tally: Arc<Mutex<Tally>>) {
    let topic = format!("demo/truck-{truck:02}");
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 0u64.. {
        ticks.tick().await;
        let payload = reading(truck, number, OsClock.now_us()).to_string();
        if client.publish(&topic, QoS::AtLeastOnce, false, payload).await.is_err() {
            return;
        }
        lock(&tally).published += 1;
    }
}

/// One truck's connection: moves its packets, and times each PUBACK.
async fn acknowledge(mut connection: EventLoop, tally: Arc<Mutex<Tally>>) {
    let mut sent: BTreeMap<u16, Instant> = BTreeMap::new();
    let mut reconnect = tokio::time::interval(Duration::from_secs(1));
    reconnect.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        match connection.poll().await {
            Ok(Event::Outgoing(Outgoing::Publish(id))) => {
                sent.insert(id, Instant::now());
            }
            Ok(Event::Incoming(Packet::PubAck(ack))) => {
                let mut tally = lock(&tally);
                tally.acknowledged += 1;
                if let Some(sent) = sent.remove(&ack.pkid)
                    && tally.delays_us.len() < DELAYS_MAX
                {
                    tally.delays_us.push(sent.elapsed().as_micros() as u64);
                }
            }
            Ok(_) => {}
            Err(error) => {
                lock(&tally).failure = Some(error.to_string());
                reconnect.tick().await;
            }
        }
    }
}

/// What a truck measures: slow waves, each truck at its own phase.
fn reading(truck: usize, number: u64, now_us: u64) -> serde_json::Value {
    let phase = number as f64 / 600.0 + truck as f64 / TRUCKS as f64;
    let wave = |turns: f64| (TAU * phase * turns).sin();
    let round = |value: f64, digits: i32| (value * 10f64.powi(digits)).round() / 10f64.powi(digits);
    json!({
        "ts": now_us / 1000,
        "speed": round(62.0 + 25.0 * wave(3.0), 1),
        "fuel": round(80.0 - number as f64 / 200.0 % 75.0, 2),
        "engine_temperature": round(88.0 + 4.0 * wave(7.0), 2),
        "position": {
            "latitude": round(48.2 + 0.5 * wave(0.2), 5),
            "longitude": round(11.6 + 0.5 * (TAU * phase * 0.2).cos(), 5),
        },
        "doors_closed": !number.is_multiple_of(50),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_are_small_and_carry_their_time() {
        let first = reading(3, 0, 1_700_000_000_000_999);
        assert_eq!(first["ts"], 1_700_000_000_000u64);
        for number in [1, 1000, 1_000_000] {
            let reading = reading(19, number, 0);
            assert!(reading.to_string().len() < 250, "{reading}");
            assert!(reading["fuel"].as_f64().is_some_and(|fuel| (0.0..=80.0).contains(&fuel)));
        }
    }
}
