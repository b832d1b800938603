//! Batches that wait for their answers.

use std::collections::BTreeMap;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::{Error, overlay::Ordinal};

/// Tells the batches of one run apart.
pub(crate) type BatchId = u64;

/// A write's place in its batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) batch: BatchId,
    pub(crate) at: usize,
}

/// Where a batch's answers go, each an `A`. The permit is its share of what is admitted, given back when it is answered.
pub(crate) struct Reply<A> {
    pub(crate) sender: oneshot::Sender<Result<Vec<A>, Error>>,
    pub(crate) permit: Option<OwnedSemaphorePermit>,
}

struct Waiting<A> {
    reply: Reply<A>,
    answers: Vec<Option<A>>,
    missing: usize,
    /// The newest draft that an answer was planned against.
    after: Ordinal,
}

/// Batches whose answers are not all planned, or planned against drafts that are not yet applied.
pub(crate) struct Batches<A> {
    last_id: BatchId,
    waiting: BTreeMap<BatchId, Waiting<A>>,
    /// Completely planned batches, by the draft that they wait for.
    planned: BTreeMap<Ordinal, Vec<BatchId>>,
    /// Every draft up to this one is applied.
    applied: Ordinal,
}

impl<A> Default for Batches<A> {
    fn default() -> Self {
        Batches { last_id: 0, waiting: BTreeMap::new(), planned: BTreeMap::new(), applied: 0 }
    }
}

impl<A> Batches<A> {
    /// Registers a batch of `len` writes.
    pub(crate) fn open(&mut self, len: usize, reply: Reply<A>) -> BatchId {
        self.last_id += 1;
        let id = self.last_id;
        if len == 0 {
            // Nobody may be waiting any more; then the answer is for no one.
            drop(reply.sender.send(Ok(Vec::new())));
            return id;
        }
        let answers = (0..len).map(|_| None).collect();
        self.waiting.insert(id, Waiting { reply, answers, missing: len, after: 0 });
        id
    }

    /// Notes one answer; the batch's answers leave once all are there and draft `after` is applied.
    pub(crate) fn answer(&mut self, place: Place, answer: A, after: Ordinal) {
        let Some(waiting) = self.waiting.get_mut(&place.batch) else { return };
        waiting.after = waiting.after.max(after);
        if waiting.answers[place.at].replace(answer).is_none() {
            waiting.missing -= 1;
        }
        if waiting.missing == 0 {
            let after = waiting.after;
            if after <= self.applied {
                self.send(place.batch);
            } else {
                self.planned.entry(after).or_default().push(place.batch);
            }
        }
    }

    /// Every draft up to `ordinal` is applied: what waited for it leaves.
    pub(crate) fn applied(&mut self, ordinal: Ordinal) {
        self.applied = ordinal;
        let later = self.planned.split_off(&(ordinal + 1));
        for batch in std::mem::replace(&mut self.planned, later).into_values().flatten() {
            self.send(batch);
        }
    }

    /// Answers every waiting batch with `error`. No draft up to `ordinal` will be applied any more: nothing waits for one.
    pub(crate) fn fail(&mut self, error: &Error, ordinal: Ordinal) {
        self.applied = ordinal;
        self.planned.clear();
        for waiting in std::mem::take(&mut self.waiting).into_values() {
            drop(waiting.reply.sender.send(Err(error.clone())));
        }
    }

    /// Answers one batch with `error`.
    pub(crate) fn fail_one(&mut self, batch: BatchId, error: &Error) {
        if let Some(waiting) = self.waiting.remove(&batch) {
            drop(waiting.reply.sender.send(Err(error.clone())));
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    fn send(&mut self, batch: BatchId) {
        if let Some(waiting) = self.waiting.remove(&batch) {
            let answers = waiting.answers.into_iter().flatten().collect();
            drop(waiting.reply.permit);
            drop(waiting.reply.sender.send(Ok(answers)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_waits_for_a_draft_that_was_given_up() {
        let mut batches: Batches<&str> = Batches::default();
        let (sender, mut failed) = oneshot::channel();
        let batch = batches.open(2, Reply { sender, permit: None });
        batches.answer(Place { batch, at: 0 }, "planned", 7);
        batches.fail(&Error::Closed, 8);
        assert!(matches!(failed.try_recv(), Ok(Err(Error::Closed))));
        for (after, is_answered) in [(8, true), (9, false)] {
            let (sender, mut answers) = oneshot::channel();
            let batch = batches.open(1, Reply { sender, permit: None });
            batches.answer(Place { batch, at: 0 }, "later", after);
            assert_eq!(answers.try_recv().is_ok(), is_answered, "after draft {after}");
        }
        assert!(!batches.is_empty());
        batches.applied(9);
        assert!(batches.is_empty());
    }
}
