//! The two threads of an open store: one plans and applies, one writes the log. Both end when the inbox closes and
//! everything taken is answered.
//!
//! While there is nothing to plan, the first writes a frame itself. Then nobody is woken for it, nor by the requests that come
//! meanwhile: they are planned together once it is synced, which is soon done.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
};

use tokio::runtime::Handle;

use crate::{
    Error,
    core::{Ask, Core},
    inbox::{Inbox, Signal},
    log::{Draft, Log},
    park::Fetch,
    store::Shared,
};

/// Starts both threads. Look-ups run as tasks of `runtime`. Joining the answered handle waits for both.
pub(crate) fn start(core: Core, shared: Arc<Shared>, runtime: Handle) -> Result<JoinHandle<()>, Error> {
    let (drafts, to_write) = mpsc::sync_channel::<Draft>(1);
    let log = shared.log.clone();
    let inbox = shared.inbox.clone();
    let writer = thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || {
            for draft in to_write {
                inbox.signal(append(&*log, draft));
            }
        })
        .map_err(Error::io("start", "log thread"))?;
    thread::Builder::new()
        .name("core".to_owned())
        .spawn(move || {
            run(core, &shared, &drafts, &runtime);
            drop(drafts);
            if writer.join().is_err() {
                tracing::error!("the log thread panicked");
            }
        })
        .map_err(Error::io("start", "core thread"))
}

/// A panic must not leave those who wait for this frame waiting for ever.
fn append(log: &dyn Log, draft: Draft) -> Signal {
    let appended = catch_unwind(AssertUnwindSafe(|| log.append(draft)));
    let panicked = |_| Err(Error::Poisoned { cause: "the log panicked".to_owned() });
    Signal::Appended(appended.unwrap_or_else(panicked))
}

fn run(mut core: Core, shared: &Arc<Shared>, drafts: &mpsc::SyncSender<Draft>, runtime: &Handle) {
    let mut waiting: VecDeque<Ask> = VecDeque::new();
    loop {
        let can_admit = core.can_admit();
        let (asks, signals, closing) = if can_admit && !waiting.is_empty() {
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
        for fetch in core.take_fetches() {
            runtime.spawn(answer(fetch, shared.clone()));
        }
        if let Some(draft) = draft {
            if shared.inbox.is_empty() {
                take(&mut core, append(&*shared.log, draft), shared.clock.now_us());
            } else if drafts.send(draft).is_err() {
                // Else the channel has room: one draft is in flight at a time.
                let cause = "the log thread has ended".to_owned();
                core.appended(Err(Error::Poisoned { cause }), shared.clock.now_us());
            }
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

/// Hands a signal to the core.
pub(crate) fn take(core: &mut Core, signal: Signal, now_us: u64) {
    match signal {
        Signal::Appended(result) => core.appended(result, now_us),
        Signal::Fetched(fetch, result) => core.fetched(&fetch, result),
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
    inbox.signal(Signal::Fetched(fetch, result));
}
