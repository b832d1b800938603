//! The listener with a real client, in both versions.

use std::time::Duration;

use ingest::Limits;
use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Packet, QoS, v5};

use crate::{
    fixture::{Fixture, once_each, timed, within},
    listener::listen,
};

/// Polls until `count` PUBACKs came.
async fn pubacks(events: &mut EventLoop, count: usize) {
    let mut seen = 0;
    while seen < count {
        if let Event::Incoming(Packet::PubAck(_)) = within("PUBACK", events.poll()).await.unwrap() {
            seen += 1;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn version_4_publishes() {
    let fixture = Fixture::open();
    let listener = listen(&fixture, Limits::default()).await;
    let mut options = MqttOptions::new("c", "127.0.0.1", listener.address.port());
    options.set_inflight(200).set_keep_alive(Duration::from_secs(5));
    let (client, mut events) = AsyncClient::new(options, 10);
    let publisher = tokio::spawn(async move {
        for n in 0..2000 {
            client.publish("fleet/truck", QoS::AtLeastOnce, false, timed(n)).await.unwrap();
        }
        client
    });
    pubacks(&mut events, 2000).await;
    assert_eq!(fixture.numbers().await, once_each(0..2000));
    publisher.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn version_5_publishes_and_is_refused_subscriptions() {
    let fixture = Fixture::open();
    let listener = listen(&fixture, Limits { inflight_max: 50, ..Limits::default() }).await;
    let mut options = v5::MqttOptions::new("c", "127.0.0.1", listener.address.port());
    options.set_keep_alive(Duration::from_secs(5));
    let (client, mut events) = v5::AsyncClient::new(options, 10);
    let publisher = tokio::spawn(async move {
        client.subscribe("fleet/#", v5::mqttbytes::QoS::AtLeastOnce).await.unwrap();
        for n in 0..1000 {
            client.publish("fleet/truck", v5::mqttbytes::QoS::AtLeastOnce, false, timed(n)).await.unwrap();
        }
        client
    });
    let (mut acknowledged, mut refused) = (0, false);
    while acknowledged < 1000 {
        match within("PUBACK", events.poll()).await.unwrap() {
            v5::Event::Incoming(v5::Incoming::PubAck(_)) => acknowledged += 1,
            v5::Event::Incoming(v5::Incoming::SubAck(suback)) => {
                refused = !matches!(suback.return_codes[..], [v5::mqttbytes::v5::SubscribeReasonCode::Success(_)]);
            }
            _ => {}
        }
    }
    assert!(refused);
    assert_eq!(fixture.numbers().await, once_each(0..1000));
    publisher.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_clients_at_once() {
    let fixture = Fixture::open();
    let listener = listen(&fixture, Limits::default()).await;
    let port = listener.address.port();
    let clients: Vec<_> = (0..50_u64)
        .map(|number| {
            tokio::spawn(async move {
                let options = MqttOptions::new(format!("c{number}"), "127.0.0.1", port);
                let (client, mut events) = AsyncClient::new(options, 200);
                for n in 0..100 {
                    client
                        .try_publish(format!("d/{number}"), QoS::AtLeastOnce, false, timed(100 * number + n))
                        .unwrap();
                }
                pubacks(&mut events, 100).await;
            })
        })
        .collect();
    for client in clients {
        within("a client", client).await.unwrap();
    }
    assert_eq!(fixture.numbers().await, once_each(0..5000));
}
