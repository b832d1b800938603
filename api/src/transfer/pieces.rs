//! Work on the disk in pieces: made on a thread of its own, taken by whoever awaits them.

use jobs::Stopped;
use tokio::sync::mpsc;

/// Pieces that may wait: one is taken while the next is made.
const WAITING_MAX: usize = 1;

/// Pieces under way. Dropped, it ends the thread at its next piece.
pub(super) struct Pieces<T>(mpsc::Receiver<Result<T, Stopped>>);

/// Where the thread leaves its pieces.
pub(super) struct Out<T>(mpsc::Sender<Result<T, Stopped>>);

/// Nobody takes any more.
#[derive(Debug)]
pub(super) struct Gone;

impl<T: Send + 'static> Pieces<T> {
    /// Pieces that `make` makes, which may block, until it returns.
    pub(super) fn of(make: impl FnOnce(&Out<T>) -> Result<(), Stopped> + Send + 'static) -> Pieces<T> {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        tokio::task::spawn_blocking(move || {
            let out = Out(sender);
            if let Err(stopped) = make(&out) {
                let _ = out.0.blocking_send(Err(stopped));
            }
        });
        Pieces(receiver)
    }

    /// The next piece; none at the end.
    pub(super) async fn next(&mut self) -> Result<Option<T>, Stopped> {
        self.0.recv().await.transpose()
    }
}

impl<T> Out<T> {
    /// Leaves a piece, waiting until it may.
    pub(super) fn leave(&self, piece: T) -> Result<(), Gone> {
        self.0.blocking_send(Ok(piece)).map_err(|_| Gone)
    }

    /// Tells whether anybody takes them still.
    pub(super) fn check(&self) -> Result<(), Gone> {
        if self.0.is_closed() { Err(Gone) } else { Ok(()) }
    }
}

impl From<Gone> for Stopped {
    fn from(Gone: Gone) -> Stopped {
        Stopped::Later("nobody waits for it any more".into())
    }
}
