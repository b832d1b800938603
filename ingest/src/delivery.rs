//! A batch on its way into the store.
//!
//! 1. Each message is mapped; tables are made where they are missing.
//! 2. The puts of all messages, and the quarantine's entries for what could not be mapped, go to the store in one call.
//! 3. What the store refuses is sent again in another form or goes to quarantine, in further calls, until nothing is left.
//! 4. Retained messages are remembered, and replayed entries that succeeded leave the quarantine.
//!
//! Nothing is held twice for the rare refusal: a message is mapped again, with the same arrival, when a put is needed again.

use std::{collections::BTreeSet, pin::pin, sync::Arc, task::Poll};

use bytes::Bytes;
use item::{Actor, ItemError, Key, Table, expression::Condition};
use store::write::{Action, Rejection, Write, Written};

use crate::{
    Entrance, Error, OnCollision, RowsOutcome, collision,
    ingest::Parts,
    message::Message,
    metrics as names,
    quarantine::{Entry, ledger::EntryId},
    retained,
    routes::Mapping,
    rules::{Counts, Decoded, Envelope, Mapped, Problem, ProblemKind, Put, TimeOrigin},
    tables,
    task::Task,
    topic::Captures,
};

/// A table that is deleted again and again while readings for it come in is given up after so many tries.
const TRIES_MAX: u32 = 4;

/// Stores `tasks`. `turn` is given back as soon as the store has them in their order. Spawn it: cut short, it would leave
/// the quarantine's accounts open.
pub(crate) async fn deliver(parts: Arc<Parts>, tasks: Vec<Task>, turn: Option<Turn>) -> Result<RowsOutcome, Error> {
    let mut delivery = Delivery {
        parts: &parts,
        tasks,
        known: Vec::new(),
        trust_catalog: true,
        writes: Vec::new(),
        purposes: Vec::new(),
        memories: Vec::new(),
        outcome: RowsOutcome::default(),
    };
    delivery.map_all().await?;
    delivery.store_all(turn).await?;
    delivery.finish().await
}

/// The right to reach the store next.
pub(crate) type Turn = tokio::sync::OwnedMutexGuard<()>;

struct Delivery<'a> {
    parts: &'a Parts,
    tasks: Vec<Task>,
    /// Tables found so far.
    known: Vec<Known>,
    /// Until a write was refused because its table is gone.
    trust_catalog: bool,
    writes: Vec<Write>,
    /// What each write is for.
    purposes: Vec<Purpose>,
    /// Retained messages to remember, by key.
    memories: Vec<(String, Bytes)>,
    outcome: RowsOutcome,
}

/// The table of a mapping.
#[derive(Clone)]
struct Known {
    mapping: Arc<Mapping>,
    table: Arc<Table>,
    /// Holds where there is no item.
    absent: Arc<Condition>,
}

enum Purpose {
    /// An item, or some of its attributes.
    Put {
        task: usize,
        position: usize,
        /// Its arrival was made unique by asking for absence.
        conditional: bool,
        /// These attributes only, none of which may change; all if none.
        only: Option<BTreeSet<String>>,
        tries: u32,
    },
    /// A message's entry in the quarantine.
    Entry(EntryId),
    /// An entry that makes room.
    Eviction,
}

impl Delivery<'_> {
    async fn map_all(&mut self) -> Result<(), Error> {
        let mut counts = Counts::default();
        for index in 0..self.tasks.len() {
            let (mapping, mapped) = self.map_first(index);
            let Some(mapping) = mapping else {
                self.tasks[index].add(mapped.problems);
                continue;
            };
            if self.is_repeated(index, &mapping, &mapped).await? {
                metrics::counter!(names::RETAINED_REPEATED).increment(1);
                continue;
            }
            counts.add(mapped.counts);
            self.tasks[index].add(mapped.problems);
            for put in mapped.puts {
                self.send(index, put, &mapping, None, 0).await?;
            }
        }
        counts.emit();
        Ok(())
    }

    /// Maps a message for the first time, and gives it its arrival if it has none.
    fn map_first(&mut self, index: usize) -> (Option<Arc<Mapping>>, Mapped) {
        let parts = self.parts;
        let task = &mut self.tasks[index];
        let (mapping, captures) = match find(parts, &task.message) {
            Some(found) => found,
            None => {
                task.arrival_us = if task.replayed { task.arrival_us } else { parts.arrive(1) };
                let text = "a topic that begins with `$` needs a route of its own";
                return (None, Mapped::refused(ProblemKind::NoRoute, text));
            }
        };
        let decoded = Decoded::new(&task.message.received.payload, mapping);
        let arrival_us = if task.replayed { task.arrival_us } else { parts.arrive(decoded.readings() as u64) };
        let mapped = decoded.map(envelope(&task.message, &captures, arrival_us), mapping);
        let mapping = mapping.clone();
        task.arrival_us = arrival_us;
        (Some(mapping), mapped)
    }

    /// Maps one reading of a message again.
    fn map_again(&self, index: usize, position: usize, arrival_us: u64) -> Option<(Arc<Mapping>, Put)> {
        let message = &self.tasks[index].message;
        let (mapping, captures) = find(self.parts, message)?;
        let decoded = Decoded::new(&message.received.payload, mapping);
        let mapped = decoded.map(envelope(message, &captures, arrival_us), mapping);
        let put = mapped.puts.into_iter().find(|put| put.position == position)?;
        Some((mapping.clone(), put))
    }

    /// Is it a retained message that was stored before? If not, it will be remembered.
    async fn is_repeated(&mut self, index: usize, mapping: &Mapping, mapped: &Mapped) -> Result<bool, Error> {
        let task = &self.tasks[index];
        let received = &task.message.received;
        let timeless = mapped.puts.iter().all(|put| put.time != TimeOrigin::Own);
        if task.replayed || !retained::is_retained(received) || !timeless {
            return Ok(false);
        }
        let Some(key) = retained::memory_key(received) else {
            return Ok(false);
        };
        let payload = received.payload.clone();
        let remembered = match self.memories.iter().rev().find(|(earlier, _)| *earlier == key) {
            Some((_, payload)) => Some(payload.clone()),
            None => retained::recall(&self.parts.store, &key).await?,
        };
        let repeated = match (&remembered, &mapped.puts[..]) {
            (Some(last), _) => *last == payload,
            (None, [put]) => match self.parts.store.catalog().by_name(&mapping.table) {
                Some(table) => retained::is_last(&self.parts.store, table, mapping, put).await?,
                None => false,
            },
            (None, _) => false,
        };
        if remembered.as_ref() != Some(&payload) {
            self.memories.push((key, payload));
        }
        Ok(repeated)
    }

    /// The table of a mapping; a problem if it cannot take its readings.
    async fn table(&mut self, mapping: &Arc<Mapping>) -> Result<Result<Known, Problem>, Error> {
        if let Some(known) = self.known.iter().find(|known| Arc::ptr_eq(&known.mapping, mapping)) {
            return Ok(Ok(known.clone()));
        }
        Ok(tables::find_or_make(&self.parts.store, mapping, self.trust_catalog).await?.map(|table| {
            let absent = collision::absent(&table);
            let known = Known { mapping: mapping.clone(), table, absent };
            self.known.push(known.clone());
            known
        }))
    }

    /// Adds the writes of a put to the next call.
    async fn send(
        &mut self,
        index: usize,
        put: Put,
        mapping: &Arc<Mapping>,
        only: Option<BTreeSet<String>>,
        tries: u32,
    ) -> Result<(), Error> {
        let Known { table, absent, .. } = match self.table(mapping).await? {
            Ok(known) => known,
            Err(problem) => {
                self.tasks[index].add(vec![problem]);
                return Ok(());
            }
        };
        let key = match Key::of_item(&table, &put.item) {
            Ok(key) => key,
            Err(error) => {
                self.tasks[index].add(vec![Problem { kind: ProblemKind::Device, text: error.to_string() }]);
                return Ok(());
            }
        };
        let Put { position, item, time } = put;
        match mapping.on_collision {
            OnCollision::Overwrite if time == TimeOrigin::Arrival && !self.tasks[index].replayed => {
                let purpose = Purpose::Put { task: index, position, conditional: true, only: None, tries };
                self.add(&table, key, Action::Put(item), Some(absent), purpose);
            }
            OnCollision::Overwrite => {
                let purpose = Purpose::Put { task: index, position, conditional: false, only: None, tries };
                self.add(&table, key, Action::Merge(item), None, purpose);
            }
            OnCollision::Quarantine => {
                for part in collision::parts(&table, item, only.as_ref()) {
                    let only = Some(part.0.keys().filter(|name| !table.is_key(name)).cloned().collect());
                    let condition = collision::unchanged(&table, &part);
                    let purpose = Purpose::Put { task: index, position, conditional: false, only, tries };
                    self.add(&table, key.clone(), Action::Merge(part), condition, purpose);
                }
            }
        }
        Ok(())
    }

    fn add(
        &mut self,
        table: &Arc<Table>,
        key: Key,
        action: Action,
        condition: Option<Arc<Condition>>,
        purpose: Purpose,
    ) {
        if let Purpose::Put { task, .. } = purpose {
            self.tasks[task].waiting += 1;
        }
        let actor = match &purpose {
            Purpose::Put { task, .. } if self.tasks[*task].message.received.entrance == Entrance::Import => {
                Actor::Import
            }
            _ => Actor::User,
        };
        self.writes.push(Write { table: table.clone(), key, action, condition, return_old: false, actor });
        self.purposes.push(purpose);
    }

    /// Calls the store until nothing is left to store.
    async fn store_all(&mut self, mut turn: Option<Turn>) -> Result<(), Error> {
        loop {
            self.report_problems().await?;
            if self.writes.is_empty() {
                return Ok(());
            }
            let purposes = std::mem::take(&mut self.purposes);
            let mut write = pin!(self.parts.store.write(std::mem::take(&mut self.writes)));
            // Once asked, the store keeps the order of its callers.
            let asked = futures::poll!(write.as_mut());
            drop(turn.take());
            let answers = match asked {
                Poll::Ready(answers) => answers?,
                Poll::Pending => write.await?,
            };
            for (purpose, answer) in purposes.into_iter().zip(answers) {
                match purpose {
                    Purpose::Put { task, position, conditional, only, tries } => {
                        self.tasks[task].waiting -= 1;
                        match answer {
                            Ok(written) => self.stored(task, &written),
                            Err(rejection) => self.refused(task, position, conditional, only, tries, rejection).await?,
                        }
                    }
                    Purpose::Entry(id) => {
                        answer.map_err(Error::Refused)?;
                        self.parts.quarantine.settle(id).await?;
                    }
                    Purpose::Eviction => {
                        answer.map_err(Error::Refused)?;
                        metrics::counter!(names::QUARANTINE_EVICTED).increment(1);
                    }
                }
            }
        }
    }

    fn stored(&mut self, task: usize, written: &Written) {
        self.tasks[task].stored += 1;
        self.outcome.collisions += written.collisions.len() as u64;
        match written.sequence {
            Some(_) => self.outcome.stored += 1,
            None => self.outcome.unchanged += 1,
        }
    }

    async fn refused(
        &mut self,
        task: usize,
        position: usize,
        conditional: bool,
        only: Option<BTreeSet<String>>,
        tries: u32,
        rejection: Rejection,
    ) -> Result<(), Error> {
        let mut arrival_us = self.tasks[task].arrival_us;
        if conditional && matches!(rejection, Rejection::ConditionFailed { .. }) {
            // The clock was set back since the item of that arrival was stored: draw again.
            arrival_us = self.parts.arrive(1).saturating_sub(position as u64);
        }
        let give_up = |kind, text: String| vec![Problem { kind, text }];
        match rejection {
            Rejection::Invalid(error) => {
                let kind = match error {
                    ItemError::TooLarge { .. } => ProblemKind::TooLarge,
                    _ => ProblemKind::BadField,
                };
                self.tasks[task].add(give_up(kind, format!("with what is stored already: {error}")));
                return Ok(());
            }
            Rejection::TableNotFound if tries >= TRIES_MAX => {
                self.tasks[task]
                    .add(give_up(ProblemKind::Table, "the table was deleted while a reading came in".into()));
                return Ok(());
            }
            Rejection::TableNotFound => {
                self.known.clear();
                self.trust_catalog = false;
            }
            Rejection::ConditionFailed { .. } => {}
        }
        let Some((mapping, mut put)) = self.map_again(task, position, arrival_us) else {
            self.tasks[task].add(give_up(ProblemKind::Table, "the reading could not be mapped again".into()));
            return Ok(());
        };
        let mut only = only;
        if let (Rejection::ConditionFailed { old: Some(old) }, Some(names)) = (rejection, &mut only) {
            let colliding = collision::between(&old, &put.item, names);
            self.outcome.collisions += colliding.len() as u64;
            for name in &colliding {
                names.remove(name);
                put.item.remove(name);
            }
            let text = format!("another value is stored for this device and time: {}", shown_names(&colliding));
            self.tasks[task].add(give_up(ProblemKind::Collision, text));
            if names.is_empty() {
                return Ok(());
            }
        }
        self.send(task, put, &mapping, only, tries + 1).await
    }

    /// Adds the quarantine's entries of new problems to the next call.
    async fn report_problems(&mut self) -> Result<(), Error> {
        for index in 0..self.tasks.len() {
            let task = &mut self.tasks[index];
            if !std::mem::take(&mut task.unreported) {
                continue;
            }
            let known = task.entry;
            let id = match known {
                Some(id) => id,
                None => {
                    let admitted = self.parts.quarantine.admit(&task.message).await?;
                    for eviction in admitted.evictions {
                        self.writes.push(eviction);
                        self.purposes.push(Purpose::Eviction);
                    }
                    admitted.id
                }
            };
            task.entry = Some(id);
            let entry = task.entry(id);
            if known.is_none() {
                self.outcome.quarantined += 1;
                metrics::counter!(names::QUARANTINED, "kind" => task.problems[0].kind.name()).increment(1);
                if entry.partial {
                    metrics::counter!(names::QUARANTINED_PARTIAL).increment(1);
                }
                let received = &task.message.received;
                tracing::debug!(client = %received.client, topic = %received.topic, entry.reason, "quarantined");
            }
            self.writes.push(self.parts.quarantine.put(&entry));
            self.purposes.push(Purpose::Entry(id));
        }
        Ok(())
    }

    async fn finish(mut self) -> Result<RowsOutcome, Error> {
        let mut left = Vec::new();
        let mut writes: Vec<Write> =
            self.memories.iter().map(|(key, payload)| retained::memory(&self.parts.store, key, payload)).collect();
        for task in self.tasks.iter().filter(|task| task.replayed && task.problems.is_empty()) {
            let id = task.entry.expect("a replayed message came from an entry");
            writes.push(self.parts.quarantine.removal(&Entry::account(&task.message), id));
            left.push(id);
        }
        if !writes.is_empty() {
            for answer in self.parts.store.write(writes).await? {
                answer.map_err(Error::Refused)?;
            }
        }
        for id in &left {
            self.parts.quarantine.forget(*id).await?;
        }
        self.outcome.replayed = left.len() as u64;
        self.emit();
        if self.outcome.quarantined + self.outcome.replayed > 0 {
            self.parts.quarantine.show_size().await?;
        }
        Ok(self.outcome)
    }

    fn emit(&self) {
        for (name, count) in [
            (names::ITEMS, self.outcome.stored),
            (names::UNCHANGED, self.outcome.unchanged),
            (names::COLLISIONS, self.outcome.collisions),
            (names::QUARANTINE_REPLAYED, self.outcome.replayed),
        ] {
            if count > 0 {
                metrics::counter!(name).increment(count);
            }
        }
    }
}

/// The mapping of a message and what its route captured; none if no route takes it.
fn find<'a>(parts: &'a Parts, message: &'a Message) -> Option<(&'a Arc<Mapping>, Captures<'a>)> {
    match &message.row {
        Some((rows, _)) => Some((rows.mapping(), Captures::default())),
        None => parts.routes.find(&message.received.entrance, &message.received.topic),
    }
}

fn envelope<'a>(message: &'a Message, captures: &'a Captures<'a>, arrival_us: u64) -> Envelope<'a> {
    Envelope { topic: &message.received.topic, captures, stored: message.received.stored, arrival_us }
}

/// Some names for people, bounded.
fn shown_names(names: &[String]) -> String {
    const SHOWN_MAX: usize = 8;
    let mut shown: Vec<String> = names.iter().take(SHOWN_MAX).map(|name| format!("`{name}`")).collect();
    if names.len() > SHOWN_MAX {
        shown.push(format!("and {} more", names.len() - SHOWN_MAX));
    }
    shown.join(", ")
}
