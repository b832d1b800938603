//! A message in a batch, and what has become of it so far.

use crate::{
    message::Message,
    quarantine::{Entry, ledger::EntryId},
    rules::Problem,
};

/// A message and what has become of it.
pub(crate) struct Task {
    pub(crate) message: Message,
    /// The first reading's arrival, once it is mapped.
    pub(crate) arrival_us: u64,
    /// Why some of it is not stored.
    pub(crate) problems: Vec<Problem>,
    /// Problems that the quarantine does not know yet.
    pub(crate) unreported: bool,
    /// Puts that the store took.
    pub(crate) stored: u64,
    /// Puts that it has not answered yet.
    pub(crate) waiting: u64,
    /// Its place in the quarantine.
    pub(crate) entry: Option<EntryId>,
    /// Did it come from there?
    pub(crate) replayed: bool,
}

impl Task {
    /// A message that has just come in.
    pub(crate) fn new(message: Message) -> Task {
        Task {
            message,
            arrival_us: 0,
            problems: Vec::new(),
            unreported: false,
            stored: 0,
            waiting: 0,
            entry: None,
            replayed: false,
        }
    }

    /// An entry of the quarantine, to be mapped again.
    pub(crate) fn replay(entry: Entry) -> Task {
        let mut task = Task::new(entry.message);
        task.arrival_us = entry.arrival_us;
        task.entry = Some(entry.id);
        task.replayed = true;
        task
    }

    /// About how much memory it takes while it is mapped and stored, at most: small objects grow the most.
    pub(crate) fn memory_bytes(&self) -> usize {
        let received = &self.message.received;
        let objects = received.payload.iter().filter(|byte| **byte == b'{').count();
        16 * received.payload.len() + (1 + objects) * (1024 + 2 * received.topic.len())
    }

    /// Notes why some of it is not stored.
    pub(crate) fn add(&mut self, problems: Vec<Problem>) {
        self.unreported |= !problems.is_empty();
        self.problems.extend(problems);
    }

    /// The quarantine's entry of its problems, at the place `id`.
    pub(crate) fn entry(&self, id: EntryId) -> Entry {
        Entry {
            id,
            message: self.message.clone(),
            arrival_us: self.arrival_us,
            kind: self.problems.first().map_or("", |problem| problem.kind.name()).to_owned(),
            reason: reason(&self.problems, self.message.line()),
            partial: self.stored + self.waiting > 0,
        }
    }
}

/// All problems of a message in one text, bounded.
fn reason(problems: &[Problem], line: Option<u64>) -> String {
    const SHOWN_MAX: usize = 16;
    let mut texts: Vec<&str> = problems.iter().take(SHOWN_MAX).map(|problem| problem.text.as_str()).collect();
    let more = format!("and {} more", problems.len().saturating_sub(SHOWN_MAX));
    if problems.len() > SHOWN_MAX {
        texts.push(&more);
    }
    let reason = texts.join("; ");
    match line {
        Some(line) => format!("line {line}: {reason}"),
        None => reason,
    }
}
