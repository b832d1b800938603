//! Readings through real sockets into a real store: the embedded MQTT listener, an external broker (Mosquitto), NATS JetStream.

mod disk;
mod fixture;
mod listener;
mod listener_clients;
mod mosquitto;
mod mqtt_source;
mod nats_server;
mod nats_source;
