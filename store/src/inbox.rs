//! What waits for the core's thread.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

use crate::{
    Error,
    core::Ask,
    park::{Fetch, Fetched},
};

/// What the core takes at any time, however much is admitted: completed work, and what frees memory.
pub(crate) enum Signal {
    /// A look-up's answer.
    Fetched(Fetch, Box<Result<Fetched, Error>>),
    /// The manifest moved on: sealed sets may be gone.
    Committed,
    /// Seal the active memtables; answered whether it was done.
    Seal(oneshot::Sender<bool>),
}

/// Requests are bounded by what the store admits, signals by what the core handed out.
#[derive(Default)]
pub(crate) struct Inbox {
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Default)]
struct State {
    asks: VecDeque<Ask>,
    signals: VecDeque<Signal>,
    closing: bool,
    /// Does the core sleep until something arrives? Waking it is a call of the system, which a busy core is spared.
    sleeping: bool,
}

impl Inbox {
    /// Hands in a request; refused once closing.
    pub(crate) fn ask(&self, ask: Ask) -> Result<(), Error> {
        let mut state = self.lock();
        if state.closing {
            return Err(Error::Closed);
        }
        state.asks.push_back(ask);
        self.wake(state);
        Ok(())
    }

    /// Hands in a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let mut state = self.lock();
        state.signals.push_back(signal);
        self.wake(state);
    }

    /// Refuses requests from now on.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closing = true;
        self.wake(state);
    }

    /// Takes everything that is here; answers also whether the inbox is closing.
    pub(crate) fn take(&self) -> (VecDeque<Ask>, VecDeque<Signal>, bool) {
        Self::take_from(&mut self.lock())
    }

    /// Waits until something is here or the inbox is closing, then takes it. `asks_wanted`: do requests end the wait?
    pub(crate) fn wait(&self, asks_wanted: bool, closing_wanted: bool) -> (VecDeque<Ask>, VecDeque<Signal>, bool) {
        let mut state = self.lock();
        loop {
            let asked = asks_wanted && !state.asks.is_empty();
            let closing = closing_wanted && state.closing;
            if asked || closing || !state.signals.is_empty() {
                return Self::take_from(&mut state);
            }
            state.sleeping = true;
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.sleeping = false;
        }
    }

    /// Lets the core see what has arrived.
    fn wake(&self, mut state: MutexGuard<'_, State>) {
        if std::mem::take(&mut state.sleeping) {
            drop(state);
            self.arrived.notify_one();
        }
    }

    fn take_from(state: &mut State) -> (VecDeque<Ask>, VecDeque<Signal>, bool) {
        (std::mem::take(&mut state.asks), std::mem::take(&mut state.signals), state.closing)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
