//! When to stop, and how: stop taking, drain, sync, close.

use tokio::signal::unix::{SignalKind, signal};

/// Returns at the first SIGTERM or Ctrl-C.
pub(crate) async fn requested() {
    let interrupted = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    match signal(SignalKind::terminate()) {
        Ok(mut terminated) => tokio::select! {
            () = interrupted => {},
            _ = terminated.recv() => {},
        },
        Err(_) => interrupted.await,
    }
}
