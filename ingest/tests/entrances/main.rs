//! Readings through real sockets into a real store: the embedded MQTT listener, an external broker (Mosquitto), NATS JetStream.
//!
//! The modules are `cfg(test)` so that the lints know them as tests.

#[cfg(test)]
mod disk;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod listener;
#[cfg(test)]
mod listener_clients;
#[cfg(test)]
mod mosquitto;
#[cfg(test)]
mod mqtt_source;
#[cfg(test)]
mod nats_server;
#[cfg(test)]
mod nats_source;
