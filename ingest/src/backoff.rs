//! Waiting before the next attempt to connect.

use std::time::Duration;

use tokio::sync::watch;

const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(15);

/// A delay that doubles from 0.2 s up to 15 s.
pub(crate) struct Backoff(Duration);

impl Backoff {
    pub(crate) fn new() -> Backoff {
        Backoff(FIRST)
    }

    /// The last attempt succeeded.
    pub(crate) fn reset(&mut self) {
        self.0 = FIRST;
    }

    /// Waits. False if the server stops.
    pub(crate) async fn wait(&mut self, shutdown: &mut watch::Receiver<bool>) -> bool {
        let delay = self.0;
        self.0 = (2 * delay).min(LONGEST);
        #[expect(clippy::disallowed_methods, reason = "a back-off: nothing tells when a broker is back")]
        let wait = tokio::time::sleep(delay);
        tokio::select! {
            _ = shutdown.wait_for(|stop| *stop) => false,
            () = wait => true,
        }
    }
}
