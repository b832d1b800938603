//! MQTT: the embedded listener and the client of an external broker.
//!
//! The listener is a pure session ([`session`]) over a strict codec, and a thin shell that moves bytes ([`listener`]).
//! The client of an external broker is [`source`]. Both hand batches to [`crate::Ingest::receive`] and acknowledge, in order,
//! when it returns.

mod answer;
mod codec;
mod connection;
mod fault;
pub mod listener;
mod properties;
pub mod session;
pub mod source;

pub use fault::Fault;

/// Returns when the server stops: when it says so, or is gone.
pub(crate) async fn stopped(shutdown: &mut tokio::sync::watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|stop| *stop).await;
}
