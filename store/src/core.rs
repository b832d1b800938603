//! The core: planner, one frame in flight, apply. A synchronous state machine; a thread or the simulator drives it.
//!
//! ```text
//!   admit -> plan -> (take_draft) -> log -> (appended) -> apply -> answers leave
//!               \-> (take_fetches) -> cold read -> (fetched) -> plan
//! ```
//! While a frame is with the log, later requests may be planned against the overlay into the next one. An answer leaves when
//! the newest draft that it was planned against is applied.
//!
//! An event may be far larger than its request: a merge of one attribute holds the whole item, twice. So it is events that
//! bound a frame, and a batch whose events do not fit is planned on into the next. A transaction is planned in one step, and
//! a frame is taken between steps: all its events are in the same one, which may pass the bound by as much.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use item::{Event, SequenceNumber, Table};
use tokio::sync::{oneshot, watch};

use crate::{
    Config, Error,
    apply::Applied,
    batch::{Batches, Place, Reply},
    claim::Claim,
    log::{Draft, FrameNumber},
    overlay::Ordinal,
    park::{Fetch, Fetched},
    plan::{Drafted, Planner, Settled},
    request::{Request, Unplanned},
    transaction::{Transacted, TransactionRequest},
    view::CurrentView,
    write::{Rejection, TableRejection, TableWrite, Written},
};

/// What one write of a batch is answered with.
type WriteAnswer = Result<Written, Rejection>;

/// What a change of the catalogue is answered with.
pub(crate) type TableAnswer = Result<Arc<Table>, TableRejection>;

/// Where that answer goes.
pub(crate) type TableReply = oneshot::Sender<Result<TableAnswer, Error>>;

/// What callers ask of the core, until they take it back.
pub(crate) struct Ask {
    pub(crate) wanted: Wanted,
    pub(crate) claim: Claim,
}

pub(crate) enum Wanted {
    Write(Vec<Request>, Reply<WriteAnswer>),
    Transaction(TransactionRequest, Reply<Transacted>),
    Table(Box<TableWrite>, TableReply),
}

impl Ask {
    /// Answers it with `error`.
    pub(crate) fn refuse(self, error: Error) {
        self.wanted.refuse(error);
    }
}

impl Wanted {
    fn refuse(self, error: Error) {
        match self {
            Wanted::Write(_, reply) => drop(reply.sender.send(Err(error))),
            Wanted::Transaction(_, reply) => drop(reply.sender.send(Err(error))),
            Wanted::Table(_, reply) => drop(reply.send(Err(error))),
        }
    }
}

/// Why the log took no frame when it was last asked, and when that was.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) error: Error,
    pub(crate) at_us: u64,
}

/// A frame that the log has and has not yet answered.
struct InFlight {
    ordinal: Ordinal,
    events: Vec<Event>,
}

/// Keys that are pinned at once, before a last transaction pins its own, as many as a transaction may have.
const PARKED_KEYS_MAX: usize = 128;

pub(crate) struct Core {
    planner: Planner,
    batches: Batches<WriteAnswer>,
    /// Each transaction is a batch of one answer.
    transactions: Batches<Transacted>,
    /// What is admitted and not planned yet, because the next frame is full or too much is parked.
    admitted: VecDeque<Unplanned>,
    /// Planned changes of the catalogue, by the draft that their answers wait for.
    table_replies: BTreeMap<Ordinal, Vec<(TableReply, TableAnswer)>>,
    applied: Applied,
    in_flight: Option<InFlight>,
    /// Per shard, the number of the first event after the last draft.
    draft_sequences: Vec<SequenceNumber>,
    last_committed_at_us: u64,
    poison: Option<Error>,
    view: Arc<CurrentView>,
    tail: watch::Sender<FrameNumber>,
    refusal: watch::Sender<Option<Refusal>>,
    memtable_bytes_max: usize,
    sealed_max: usize,
    frame_bytes_max: usize,
}

impl Core {
    /// Goes on after `applied`; `tail` is told the first frame that is not yet applied, `refusal` whether the log takes
    /// frames.
    pub(crate) fn new(
        applied: Applied,
        last_committed_at_us: u64,
        view: Arc<CurrentView>,
        tail: watch::Sender<FrameNumber>,
        refusal: watch::Sender<Option<Refusal>>,
        config: &Config,
    ) -> Core {
        let catalog = crate::Catalog::clone(&view.get().catalog);
        let next_sequences = applied.next_sequences.clone();
        Core {
            planner: Planner::new(next_sequences.clone(), catalog, applied.next_table, config.high_keys_bytes_max),
            batches: Batches::default(),
            transactions: Batches::default(),
            admitted: VecDeque::new(),
            table_replies: BTreeMap::new(),
            applied,
            in_flight: None,
            draft_sequences: next_sequences,
            last_committed_at_us,
            poison: None,
            view,
            tail,
            refusal,
            memtable_bytes_max: config.memtable_bytes_max,
            sealed_max: config.sealed_max,
            frame_bytes_max: config.frame_bytes_max,
        }
    }

    /// May more be admitted? Not while something admitted is not planned.
    pub(crate) fn can_admit(&self) -> bool {
        self.admitted.is_empty() && self.can_plan()
    }

    /// May more be planned? Not while the next frame is full, too much is parked, or memory waits for the compactor.
    fn can_plan(&self) -> bool {
        self.has_room() && !self.waits_for_flush()
    }

    /// Is there room in the next frame, and for more that is parked?
    fn has_room(&self) -> bool {
        self.planner.open_bytes() < self.frame_bytes_max && self.planner.parked_keys() < PARKED_KEYS_MAX
    }

    /// Takes a request, unless its caller has taken it back: plans it, parks it, or refuses it.
    pub(crate) fn admit(&mut self, ask: Ask, now_us: u64) {
        if !ask.claim.take() {
            return;
        }
        match ask.wanted {
            Wanted::Write(requests, reply) => self.write(requests, reply),
            Wanted::Transaction(transaction, reply) => self.transact(transaction, reply, now_us),
            Wanted::Table(change, reply) => self.change_table(*change, reply, now_us),
        }
    }

    fn write(&mut self, requests: Vec<Request>, reply: Reply<WriteAnswer>) {
        if let Some(poison) = &self.poison {
            return Wanted::Write(requests, reply).refuse(poison.clone());
        }
        let batch = self.batches.open(requests.len(), reply);
        let places = (0..).map(|at| Place { batch, at });
        self.admitted.extend(places.zip(requests).map(|(place, request)| Unplanned::Write(place, request)));
        self.plan();
    }

    fn transact(&mut self, mut transaction: TransactionRequest, reply: Reply<Transacted>, now_us: u64) {
        if let Some(poison) = &self.poison {
            return Wanted::Transaction(transaction, reply).refuse(poison.clone());
        }
        transaction.at_us = now_us.max(self.last_committed_at_us);
        let place = Place { batch: self.transactions.open(1, reply), at: 0 };
        self.admitted.push_back(Unplanned::Transaction(place, transaction));
        self.plan();
    }

    /// Plans what is parked and has nothing left to wait for, then what is admitted, in its order, as far as it may. Due
    /// whenever something that held it up has changed.
    fn plan(&mut self) {
        let view = self.view.get();
        // What is parked is planned even when memory waits for the compactor: it is bounded, and keeps keys pinned.
        while self.planner.open_bytes() < self.frame_bytes_max {
            let Some(settled) = self.planner.resume(&view) else { break };
            self.settle(settled);
        }
        // Planning takes no memory of memtables: one look is enough.
        let waits_for_flush = self.waits_for_flush();
        while !waits_for_flush && self.has_room() {
            let Some(unplanned) = self.admitted.pop_front() else { break };
            if let Some(settled) = self.planner.plan(unplanned, &view) {
                self.settle(settled);
            }
        }
    }

    /// Notes what a request came to.
    fn settle(&mut self, settled: Settled) {
        match settled {
            Settled::Write(place, planning) => self.batches.answer(place, planning.answer, planning.after),
            Settled::Transaction(place, planning) => self.transactions.answer(place, planning.answer, planning.after),
        }
    }

    /// Answers the whole batch, or the transaction, of a request that will not be planned.
    fn refuse(&mut self, unplanned: &Unplanned, error: &Error) {
        match unplanned {
            Unplanned::Write(place, _) => self.batches.fail_one(place.batch, error),
            Unplanned::Transaction(place, _) => self.transactions.fail_one(place.batch, error),
        }
    }

    fn change_table(&mut self, change: TableWrite, reply: TableReply, now_us: u64) {
        if let Some(poison) = &self.poison {
            return Wanted::Table(Box::new(change), reply).refuse(poison.clone());
        }
        // A stream is found again by the time in its label, so that must not lie behind the log's.
        let planning = self.planner.table(change, now_us.max(self.last_committed_at_us));
        self.table_replies.entry(planning.after).or_default().push((reply, planning.answer));
        self.answer_tables(self.applied_ordinal());
    }

    /// The next frame, unless one is in flight or nothing is planned.
    pub(crate) fn take_draft(&mut self, now_us: u64) -> Option<Draft> {
        if self.in_flight.is_some() {
            return None;
        }
        let Drafted { ordinal, events, body } = self.planner.take_events()?;
        let first_sequences = std::mem::replace(&mut self.draft_sequences, self.planner.next_sequences().to_vec());
        self.in_flight = Some(InFlight { ordinal, events });
        // Time never goes back in the log, whatever the clock does.
        self.last_committed_at_us = self.last_committed_at_us.max(now_us);
        self.plan();
        Some(Draft { committed_at_us: self.last_committed_at_us, first_sequences, body })
    }

    /// The log's answer for the draft in flight.
    pub(crate) fn appended(&mut self, result: Result<FrameNumber, Error>, now_us: u64) {
        let Some(InFlight { ordinal, events }) = self.in_flight.take() else { return };
        let frame = match result {
            Ok(frame) => frame,
            Err(error) => return self.abandon(&error, now_us),
        };
        self.refusal.send_if_modified(|refusal| refusal.take().is_some());
        self.applied.apply(&self.view, frame, &events);
        self.tail.send_replace(FrameNumber(frame.0 + 1));
        self.planner.applied(ordinal, events);
        self.batches.applied(ordinal);
        self.transactions.applied(ordinal);
        self.answer_tables(ordinal);
        self.seal_if_full(now_us);
    }

    /// Look-ups that planning asked for since the last call. Each must see a view taken from now on.
    pub(crate) fn take_fetches(&mut self) -> Vec<Fetch> {
        self.planner.take_fetches()
    }

    /// A look-up's answer. A failed one fails the batches and transactions that wait for it.
    pub(crate) fn fetched(&mut self, fetch: &Fetch, result: Result<Fetched, Error>) {
        match result {
            Ok(fetched) => self.planner.fetched(fetched),
            Err(error) => {
                for unplanned in self.planner.fetch_failed(fetch) {
                    self.refuse(&unplanned, &error);
                }
            }
        }
        self.plan();
    }

    /// Nothing in flight, parked, planned or unanswered.
    pub(crate) fn is_idle(&self) -> bool {
        self.in_flight.is_none()
            && self.planner.parked_keys() == 0
            && self.batches.is_empty()
            && self.transactions.is_empty()
            && self.table_replies.is_empty()
    }

    /// Seals the active memtables, unless as many sets as may wait are waiting; answers whether everything applied is sealed.
    pub(crate) fn seal(&mut self, now_us: u64) -> bool {
        if self.view.get().sealed.len() >= self.sealed_max {
            return self.applied.is_sealed();
        }
        self.applied.seal(&self.view, now_us);
        self.plan();
        true
    }

    /// Is planning held up until the compactor has flushed something?
    pub(crate) fn waits_for_flush(&self) -> bool {
        let view = self.view.get();
        view.sealed.len() >= self.sealed_max && self.is_full(&view.active)
    }

    /// Is anything planned and not yet taken as a draft?
    pub(crate) fn has_planned(&self) -> bool {
        self.planner.open_bytes() > 0
    }

    /// Is anything admitted and not planned?
    pub(crate) fn has_unplanned(&self) -> bool {
        !self.admitted.is_empty()
    }

    /// Answers the batches of everything that is admitted and not planned with `error`.
    pub(crate) fn refuse_unplanned(&mut self, error: &Error) {
        for unplanned in std::mem::take(&mut self.admitted) {
            self.refuse(&unplanned, error);
        }
    }

    /// Seals when the active memtables are full and there is room for one more sealed set.
    pub(crate) fn seal_if_full(&mut self, now_us: u64) {
        let view = self.view.get();
        if view.sealed.len() < self.sealed_max && self.is_full(&view.active) {
            self.applied.seal(&self.view, now_us);
        }
        self.plan();
    }

    fn is_full(&self, active: &[crate::memtable::Memtable]) -> bool {
        active.iter().map(crate::memtable::Memtable::bytes).sum::<usize>() >= self.memtable_bytes_max
    }

    /// The last draft that is applied: everything before the one in flight.
    fn applied_ordinal(&self) -> Ordinal {
        self.in_flight.as_ref().map_or(self.planner.ordinal(), |in_flight| in_flight.ordinal) - 1
    }

    fn answer_tables(&mut self, applied: Ordinal) {
        let later = self.table_replies.split_off(&(applied + 1));
        for (reply, answer) in std::mem::replace(&mut self.table_replies, later).into_values().flatten() {
            drop(reply.send(Ok(answer)));
        }
    }

    /// The log refused a frame: nothing planned will be, and everyone who waits is told.
    fn abandon(&mut self, error: &Error, now_us: u64) {
        self.refusal.send_replace(Some(Refusal { error: error.clone(), at_us: now_us }));
        if matches!(error, Error::Poisoned { .. }) {
            tracing::error!(%error, "writes have stopped");
            self.poison = Some(error.clone());
        } else {
            tracing::warn!(%error, "a frame was refused");
        }
        let catalog = crate::Catalog::clone(&self.view.get().catalog);
        self.planner.abandon(self.applied.next_sequences.clone(), catalog, self.applied.next_table);
        self.draft_sequences = self.applied.next_sequences.clone();
        self.admitted.clear();
        let given_up = self.planner.ordinal() - 1;
        self.batches.fail(error, given_up);
        self.transactions.fail(error, given_up);
        for (reply, _) in std::mem::take(&mut self.table_replies).into_values().flatten() {
            drop(reply.send(Err(error.clone())));
        }
    }
}
