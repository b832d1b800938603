//! NATS JetStream as a source.

use async_nats::jetstream::{self, Context, stream};
use ingest::{Limits, Source};
use tokio::task::JoinHandle;

use crate::{
    fixture::{Fixture, once_each, timed, within},
    nats_server::NatsServer,
};

/// Starts the source; aborting the task is as sudden as a kill.
fn source(fixture: &Fixture, server: &NatsServer) -> JoinHandle<()> {
    let text = format!("[[source]]\nname = \"n\"\nurl = \"nats://127.0.0.1:{}\"\nstream = \"FLEET\"\n", server.port);
    let source: Source = ingest::Config::from_toml(&text).unwrap().sources.remove(0);
    tokio::spawn(ingest::nats::run(source, fixture.ingest.clone(), Limits::default(), fixture.stop.subscribe()))
}

async fn connect(server: &NatsServer) -> Context {
    let client = within("connect", async_nats::connect(format!("127.0.0.1:{}", server.port))).await.unwrap();
    jetstream::new(client)
}

async fn make_stream(context: &Context) {
    let config = stream::Config { name: "FLEET".into(), subjects: vec!["fleet.>".into()], ..Default::default() };
    within("the stream", context.create_stream(config)).await.unwrap();
}

async fn publish(context: &Context, payloads: impl IntoIterator<Item = String>) {
    let mut stored = Vec::new();
    for payload in payloads {
        stored.push(context.publish("fleet.truck", payload.into()).await.unwrap());
    }
    for acknowledgement in stored {
        within("the server's acknowledgement", async { acknowledgement.await }).await.unwrap();
    }
}

/// Messages that were delivered and not acknowledged, or not delivered at all.
async fn outstanding(context: &Context) -> (usize, u64) {
    let mut stream = context.get_stream("FLEET").await.unwrap();
    stream.info().await.unwrap();
    let info = stream.consumer_info("thalweg-n").await.unwrap();
    (info.num_ack_pending, info.num_pending)
}

#[tokio::test(flavor = "multi_thread")]
async fn readings_come_through_and_are_acknowledged() {
    let fixture = Fixture::open();
    let server = NatsServer::start();
    let context = connect(&server).await;
    make_stream(&context).await;
    publish(&context, (0..1500).map(timed)).await;
    let task = source(&fixture, &server);
    fixture.wait_for(1500).await;
    assert_eq!(fixture.numbers().await, once_each(0..1500));

    fixture.stop.send(true).unwrap();
    within("the source ends", task).await.unwrap();
    // The server takes acknowledgements in at its leisure, but they have all been sent: nobody sends them now.
    within("all acknowledged", async { while outstanding(&context).await != (0, 0) {} }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redelivery_is_the_same_item_even_without_a_time() {
    let fixture = Fixture::open();
    let server = NatsServer::start();
    let context = connect(&server).await;
    make_stream(&context).await;
    publish(&context, [r#"{"n":0}"#.to_owned()]).await;
    let task = source(&fixture, &server);
    fixture.wait_for(1).await;

    // Fetched, handed to the store, never acknowledged: then we are gone. It is stored all the same.
    fixture.gate.hold();
    publish(&context, (1..100).map(|n| format!(r#"{{"n":{n}}}"#))).await;
    within("delivery", async { while outstanding(&context).await.1 > 0 {} }).await;
    task.abort();
    let _ = task.await;
    fixture.gate.release();
    let again = source(&fixture, &server);
    within("all acknowledged", async { while outstanding(&context).await != (0, 0) {} }).await;
    assert_eq!(fixture.numbers().await, once_each(0..100));
    assert!(!again.is_finished());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_restarts_is_found_again() {
    let fixture = Fixture::open();
    let mut server = NatsServer::start();
    let context = connect(&server).await;
    make_stream(&context).await;
    let _source = source(&fixture, &server);
    publish(&context, (0..100).map(timed)).await;
    fixture.wait_for(100).await;
    for round in 1..3 {
        server.kill();
        server.run();
        let context = connect(&server).await;
        publish(&context, (100 * round..100 * round + 100).map(timed)).await;
        fixture.wait_for(100 * round as usize + 100).await;
    }
    assert_eq!(fixture.numbers().await, once_each(0..300));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_does_not_exist_yet_is_waited_for() {
    let fixture = Fixture::open();
    let server = NatsServer::start();
    let _source = source(&fixture, &server);
    let context = connect(&server).await;
    make_stream(&context).await;
    publish(&context, (0..10).map(timed)).await;
    fixture.wait_for(10).await;
}
