//! Mosquitto as a source.

use std::time::Duration;

use ingest::{Limits, Source};
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use tokio::task::JoinHandle;

use crate::{
    fixture::{Fixture, timed, within},
    mosquitto::Mosquitto,
};

/// Starts the source; aborting the task is as sudden as a kill.
fn source(fixture: &Fixture, broker: &Mosquitto) -> JoinHandle<()> {
    let text =
        format!("[[source]]\nname = \"m\"\nurl = \"mqtt://127.0.0.1:{}\"\ntopics = [\"fleet/#\"]\n", broker.port);
    let source: Source = ingest::Config::from_toml(&text).unwrap().sources.remove(0);
    tokio::spawn(ingest::mqtt::source::run(source, fixture.ingest.clone(), Limits::default(), fixture.stop.subscribe()))
}

/// Publishes `payloads` to `fleet/truck`, and returns when the broker has them all.
async fn publish(broker: &Mosquitto, payloads: impl IntoIterator<Item = String>, retain: bool) {
    let mut options = MqttOptions::new("publisher", "127.0.0.1", broker.port);
    options.set_keep_alive(Duration::from_secs(5));
    let (client, mut events) = AsyncClient::new(options, 100_000);
    let mut expected = 0;
    for payload in payloads {
        client.try_publish("fleet/truck", QoS::AtLeastOnce, retain, payload).unwrap();
        expected += 1;
    }
    while expected > 0 {
        if let Event::Incoming(Packet::PubAck(_)) = within("the broker's PUBACK", events.poll()).await.unwrap() {
            expected -= 1;
        }
    }
    client.disconnect().await.unwrap();
    while within("goodbye", events.poll()).await.is_ok() {}
}

/// Publishes until one reading has come through: then the source is subscribed. The readings `0..n` are stored, `n` is answered.
async fn subscribed(fixture: &Fixture, broker: &Mosquitto) -> u64 {
    let mut applied = fixture.store.applied();
    let mut n = 0;
    loop {
        publish(broker, [timed(n)], true).await;
        n += 1;
        let stored = tokio::time::timeout(Duration::from_millis(500), async {
            while fixture.numbers().await.is_empty() {
                applied.changed().await.unwrap();
            }
        });
        if stored.await.is_ok() {
            return n;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readings_come_through_and_the_session_outlives_us() {
    let fixture = Fixture::open();
    let broker = Mosquitto::start();
    let task = source(&fixture, &broker);
    // A retained reading, there before or after the subscription.
    let first = subscribed(&fixture, &broker).await;
    publish(&broker, (first..1000).map(timed), false).await;
    fixture.wait_for((1001 - first) as usize).await;

    // A graceful end: nothing that was acknowledged comes again, what comes meanwhile is kept.
    fixture.stop.send(true).unwrap();
    within("the source ends", task).await.unwrap();
    publish(&broker, (1000..3000).map(timed), false).await;
    fixture.stop.send_replace(false);
    let _again = source(&fixture, &broker);
    fixture.wait_for((3001 - first) as usize).await;
    let numbers = fixture.numbers().await;
    assert!(numbers.values().all(|&count| count == 1));
    assert!((first..3000).all(|n| numbers.contains_key(&n)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_durable_comes_again() {
    let fixture = Fixture::open();
    let broker = Mosquitto::start();
    let task = source(&fixture, &broker);
    let first = subscribed(&fixture, &broker).await;

    // Received, not durable, not acknowledged: then we are gone.
    fixture.gate.hold();
    publish(&broker, (first..first + 100).map(timed), false).await;
    task.abort();
    let _ = task.await;
    fixture.gate.release();
    let _again = source(&fixture, &broker);
    fixture.wait_for(101).await;
    let numbers = fixture.numbers().await;
    assert!((first..first + 100).all(|n| numbers.get(&n) == Some(&1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_restarts_is_found_again() {
    let fixture = Fixture::open();
    let mut broker = Mosquitto::start();
    let _source = source(&fixture, &broker);
    let first = subscribed(&fixture, &broker).await;

    // An orderly restart keeps the session.
    broker.stop();
    broker.run();
    publish(&broker, (first..500).map(timed), false).await;
    fixture.wait_for((501 - first) as usize).await;

    // A kill loses it: we subscribe again, as a new client of the same identifier.
    broker.kill();
    broker.run();
    within("a reading after the kill", async {
        let mut n = 500;
        while !fixture.numbers().await.keys().any(|&stored| stored >= 500) {
            publish(&broker, [timed(n)], false).await;
            n += 1;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_readings_keep_their_order() {
    let fixture = Fixture::open();
    let broker = Mosquitto::start();
    let _source = source(&fixture, &broker);
    let first = subscribed(&fixture, &broker).await;
    // All at one time: the last value stands, as it was published last.
    let same = (0..5000).map(|n| format!(r#"{{"ts":1600000000000,"n":{n}}}"#));
    publish(&broker, same.chain([timed(first)]), false).await;
    within("the last reading", async {
        let mut applied = fixture.store.applied();
        while !fixture.numbers().await.contains_key(&first) {
            applied.changed().await.unwrap();
        }
    })
    .await;
    assert_eq!(fixture.numbers().await.get(&4999), Some(&1));
}
