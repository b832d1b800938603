//! Drives a store step by step on one thread: the simulator chooses what happens next.

use std::{collections::VecDeque, sync::Arc};

use futures::FutureExt;

use crate::{
    Error,
    core::{Ask, Core},
    drive,
    log::{Draft, FrameNumber},
    park::Fetch,
    store::Shared,
};

/// The core of a store opened with [`crate::Store::open_stepped`].
pub struct Stepper {
    core: Core,
    shared: Arc<Shared>,
    asks: VecDeque<Ask>,
    draft: Option<Draft>,
    appended: Option<Result<FrameNumber, Error>>,
    fetches: VecDeque<Fetch>,
}

impl Stepper {
    pub(crate) fn new(core: Core, shared: Arc<Shared>) -> Stepper {
        let (asks, fetches) = Default::default();
        Stepper { core, shared, asks, draft: None, appended: None, fetches }
    }

    /// Lets writes not renew the row cache any more: a mistake that the simulation must find.
    pub fn break_row_cache(&self) {
        self.shared.view.get().rows.break_renewal();
    }

    /// Plans one request, if there is one and it may be admitted. Answers whether there was something to do.
    pub fn plan(&mut self) -> bool {
        self.take_inbox();
        if !self.core.can_admit() {
            return false;
        }
        let Some(ask) = self.asks.pop_front() else { return false };
        self.core.admit(ask, self.shared.clock.now_us());
        self.fetches.extend(self.core.take_fetches());
        true
    }

    /// Takes what is planned as the frame in flight, if none is. Later requests are planned against it.
    pub fn take_draft(&mut self) -> bool {
        if self.draft.is_none() && self.appended.is_none() {
            self.draft = self.core.take_draft(self.shared.clock.now_us());
            self.fetches.extend(self.core.take_fetches());
            return self.draft.is_some();
        }
        false
    }

    /// Writes and syncs the frame in flight.
    pub fn append(&mut self) -> bool {
        let Some(draft) = self.draft.take() else { return false };
        self.appended = Some(self.shared.log.append(draft));
        true
    }

    /// Applies the frame that the log has answered; its waiters are told.
    pub fn apply(&mut self) -> bool {
        let Some(appended) = self.appended.take() else { return false };
        self.core.appended(appended, self.shared.clock.now_us());
        self.fetches.extend(self.core.take_fetches());
        true
    }

    /// Runs one look-up that a parked request waits for, and goes on with the request.
    pub fn fetch(&mut self) -> bool {
        let Some(fetch) = self.fetches.pop_front() else { return false };
        // Without a cache, reads complete where they are called.
        let answered = drive::answer(fetch, self.shared.clone()).now_or_never();
        debug_assert!(answered.is_some(), "a look-up waited although the cache is off");
        self.take_inbox();
        true
    }

    /// Does steps until nothing is left to do.
    pub fn run(&mut self) {
        loop {
            let planned = self.plan();
            let fetched = self.fetch();
            let drafted = self.take_draft();
            let appended = self.append();
            let applied = self.apply();
            if !(planned || fetched || drafted || appended || applied) {
                return;
            }
        }
    }

    fn take_inbox(&mut self) {
        let (asks, signals, _) = self.shared.inbox.take();
        self.asks.extend(asks);
        for signal in signals {
            drive::take(&mut self.core, signal, self.shared.clock.now_us());
        }
        self.fetches.extend(self.core.take_fetches());
    }
}
