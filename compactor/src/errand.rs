//! What others ask of whoever holds the compactor's work: done at once if nobody does, else between two steps of the job under
//! way. So a backup need not wait for a merge, and no file that it links goes meanwhile.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError},
};

use store::Error;
use tokio::sync::oneshot;

use crate::Compactor;

type Errand = Box<dyn FnOnce(&Compactor) + Send>;

/// Errands that wait. Cloning shares them.
#[derive(Clone, Default)]
pub(crate) struct Errands(Arc<Mutex<Waiting>>);

#[derive(Default)]
struct Waiting {
    errands: VecDeque<Errand>,
    is_closed: bool,
}

impl Errands {
    /// Runs what waits. For whoever holds the work.
    pub(crate) fn run(&self, compactor: &Compactor) {
        loop {
            // Not under the lock: others may ask meanwhile.
            let errand = self.waiting().errands.pop_front();
            let Some(errand) = errand else { return };
            errand(compactor);
        }
    }

    fn are_waiting(&self) -> bool {
        !self.waiting().errands.is_empty()
    }

    /// Drops what waits, and takes nothing more: whoever waits is told.
    pub(crate) fn close(&self) {
        let mut waiting = self.waiting();
        waiting.is_closed = true;
        waiting.errands.clear();
    }

    fn add(&self, errand: Errand) -> Result<(), Error> {
        let mut waiting = self.waiting();
        if waiting.is_closed {
            return Err(Error::Closed);
        }
        waiting.errands.push_back(errand);
        Ok(())
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Compactor {
    /// Has `errand` done by whoever holds the work, or here if nobody does; answers what it answered.
    pub(crate) async fn send<T: Send + 'static>(
        &self,
        errand: impl FnOnce(&Compactor) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let (sender, answer) = oneshot::channel();
        self.errands.add(Box::new(move |compactor| {
            // Whoever asked may not wait any more.
            let _ = sender.send(errand(compactor));
        }))?;
        let compactor = self.clone();
        // Whoever holds the work looks at errands between two steps, or begins anew within a tick; who held it for errands alone
        // looks again after letting it go.
        let run = move || {
            while compactor.errands.are_waiting() {
                match compactor.working.try_lock() {
                    Ok(_working) => compactor.errands.run(&compactor),
                    Err(TryLockError::Poisoned(working)) => {
                        let _working = working.into_inner();
                        compactor.errands.run(&compactor);
                    }
                    Err(TryLockError::WouldBlock) => return,
                }
            }
        };
        drop(tokio::task::spawn_blocking(run));
        answer.await.map_err(|_| Error::Closed)
    }
}
