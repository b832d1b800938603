//! The thread of an open store: it plans, logs and applies. It ends when the inbox closes and everything taken is answered.
//!
//! It writes the log itself. Requests that come while it waits for the disk wake nobody; they are planned together
//! after it, which takes a small part of the time that the disk does.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::{self, JoinHandle},
};

use tokio::runtime::Handle;

use crate::{
    Error,
    core::{Ask, Core},
    inbox::{Inbox, Signal},
    park::Fetch,
    store::Shared,
};

/// Starts the thread. Look-ups run as tasks of `runtime`.
pub(crate) fn start(core: Core, shared: Arc<Shared>, runtime: Handle) -> Result<JoinHandle<()>, Error> {
    let thread = thread::Builder::new().name("core".to_owned());
    thread.spawn(move || run(core, &shared, &runtime)).map_err(Error::io("start", "core thread"))
}

fn run(mut core: Core, shared: &Arc<Shared>, runtime: &Handle) {
    let mut waiting: VecDeque<Ask> = VecDeque::new();
    loop {
        let can_admit = core.can_admit();
        let (asks, signals, closing) = if core.has_planned() || can_admit && !waiting.is_empty() {
            shared.inbox.take()
        } else {
            let refusable = core.waits_for_flush() && (core.has_unplanned() || !waiting.is_empty());
            shared.inbox.wait(can_admit, refusable || core.is_idle() && waiting.is_empty())
        };
        waiting.extend(asks);
        for signal in signals {
            take(&mut core, signal, shared.clock.now_us());
        }
        while core.can_admit() {
            let Some(ask) = waiting.pop_front() else { break };
            core.admit(ask, shared.clock.now_us());
        }
        let draft = core.take_draft(shared.clock.now_us());
        start_fetches(&mut core, shared, runtime);
        if let Some(draft) = draft {
            // A panic must not leave those who wait for this frame waiting for ever.
            let appended = catch_unwind(AssertUnwindSafe(|| shared.log.append(draft)));
            let panicked = |_| Err(Error::Poisoned { cause: "the log panicked".to_owned() });
            core.appended(appended.unwrap_or_else(panicked), shared.clock.now_us());
            start_fetches(&mut core, shared, runtime);
        }
        if closing && core.waits_for_flush() {
            // Whoever closes the store has ended the compactor first: nothing will make room any more.
            core.refuse_unplanned(&Error::Closed);
            waiting.drain(..).for_each(|ask| ask.refuse(Error::Closed));
        }
        if closing && core.is_idle() && waiting.is_empty() {
            return;
        }
    }
}

/// Lets look-ups that planning asked for begin.
fn start_fetches(core: &mut Core, shared: &Arc<Shared>, runtime: &Handle) {
    for fetch in core.take_fetches() {
        runtime.spawn(answer(fetch, shared.clone()));
    }
}

/// Hands a signal to the core.
pub(crate) fn take(core: &mut Core, signal: Signal, now_us: u64) {
    match signal {
        Signal::Fetched(fetch, result) => core.fetched(&fetch, *result),
        Signal::Committed => core.seal_if_full(now_us),
        Signal::Seal(reply) => {
            let sealed = core.seal(now_us);
            let _ = reply.send(sealed);
        }
    }
}

/// Looks a fetch up in the newest view and hands the result to the core.
pub(crate) async fn answer(fetch: Fetch, shared: Arc<Shared>) {
    let result = shared.fetch(&fetch).await;
    let inbox: &Inbox = &shared.inbox;
    inbox.signal(Signal::Fetched(fetch, Box::new(result)));
}
