//! When to stop: at SIGTERM or Ctrl-C. How: [`crate::compose::Running::stop`].

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that ask for an end. From [`Signals::listen`] on they no longer end the process by themselves.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Begins to listen.
    pub(crate) fn listen() -> anyhow::Result<Signals> {
        let listen = |kind| signal(kind).context("listening for signals");
        Ok(Signals { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    /// Returns at the first SIGTERM or Ctrl-C.
    pub(crate) async fn requested(&mut self) {
        self.exit_code().await;
    }

    /// Returns at the next one, with the exit code of a process that it ended.
    pub(crate) async fn exit_code(&mut self) -> i32 {
        let kind = tokio::select! {
            _ = self.interrupt.recv() => SignalKind::interrupt(),
            _ = self.terminate.recv() => SignalKind::terminate(),
        };
        128 + kind.as_raw_value()
    }
}
