//! A batch on its way into the store.
//!
//! 1. Each message is mapped; tables are made where they are missing.
//! 2. The puts of all messages, and the quarantine's entries for what could not be mapped, go to the store in one call.
//! 3. What the store refuses is sent again in another form or goes to quarantine, in further calls, until nothing is left.
//! 4. Retained messages are remembered, and replayed entries that succeeded leave the quarantine.
//!
//! Nothing is held twice for the rare refusal: a message is mapped again, with the same arrival, when a put is needed again.

mod answers;

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
    sync::Arc,
    task::Poll,
};

use bytes::Bytes;
use item::{Actor, Item, Key, Table, TableId, expression::Condition};
use store::write::{Action, Write};

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

/// Stores `tasks`, in several parts if they would take much memory at once. `turn` is given back as soon as the store has
/// them in their order. Spawn it: cut short, it would leave the quarantine's accounts open.
pub(crate) async fn deliver(parts: Arc<Parts>, tasks: Vec<Task>, mut turn: Option<Turn>) -> Result<RowsOutcome, Error> {
    let mut outcome = RowsOutcome::default();
    let mut tasks = tasks.into_iter().peekable();
    while tasks.peek().is_some() {
        let mut part = Vec::with_capacity(tasks.len());
        let mut bytes = 0;
        while let Some(task) = tasks.next_if(|task| part.is_empty() || bytes + task.memory_bytes() <= PART_BYTES_MAX) {
            bytes += task.memory_bytes();
            part.push(task);
        }
        let room = parts.make_room(bytes).await;
        let last_turn = if tasks.peek().is_none() { turn.take() } else { None };
        outcome.add(deliver_part(&parts, part, last_turn).await?);
        drop(room);
    }
    Ok(outcome)
}

/// Messages are mapped together up to this much memory.
const PART_BYTES_MAX: usize = 64 << 20;

async fn deliver_part(parts: &Parts, tasks: Vec<Task>, turn: Option<Turn>) -> Result<RowsOutcome, Error> {
    let mut delivery = Delivery {
        parts,
        tasks,
        known: Vec::new(),
        trust_catalog: true,
        writes: Vec::new(),
        purposes: Vec::new(),
        row_places: BTreeMap::new(),
        memories: BTreeMap::new(),
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
    /// Where in them the rows of a key are.
    row_places: BTreeMap<(TableId, Key), usize>,
    /// Retained messages to remember, by key.
    memories: BTreeMap<String, Bytes>,
    outcome: RowsOutcome,
}

/// The table of a mapping.
struct Known {
    mapping: Arc<Mapping>,
    table: Arc<Table>,
    /// Holds where there is no item, once that was asked for.
    absent: Option<Arc<Condition>>,
}

enum Purpose {
    Put(Sent),
    /// A message's entry in the quarantine.
    Entry(EntryId),
    /// An entry that makes room.
    Eviction,
}

/// A reading on its way.
struct Sent {
    task: usize,
    position: usize,
    /// Its arrival is made unique by asking for absence.
    conditional: bool,
    /// These attributes only, none of which may change; all if none.
    only: Option<BTreeSet<String>>,
    tries: u32,
    /// Later rows of the same key, united with it.
    also: Vec<Sent>,
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
        let readings = decoded.readings();
        let arrival_us = if task.replayed { task.arrival_us } else { parts.arrive(readings as u64) };
        let mapped = if readings <= parts.readings_max {
            decoded.map(envelope(&task.message, &captures, arrival_us), mapping)
        } else {
            let text = format!("a message of {readings} readings, over the limit of {}", parts.readings_max);
            Mapped::refused(ProblemKind::TooLarge, text)
        };
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
        let of_this_batch = self.memories.get(&key).cloned();
        let all_is_stored = of_this_batch.is_none();
        let remembered = match of_this_batch {
            Some(payload) => Some(payload),
            None => retained::recall(&self.parts.store, &key).await?,
        };
        let repeated = match &mapped.puts[..] {
            _ if remembered.as_ref() == Some(&payload) => true,
            [put] if all_is_stored => match self.parts.store.catalog().by_name(&mapping.table) {
                Some(table) => retained::is_last(&self.parts.store, table, mapping, put).await?,
                None => false,
            },
            _ => false,
        };
        if remembered.as_ref() != Some(&payload) {
            self.memories.insert(key, payload);
        }
        Ok(repeated)
    }

    /// Where among the known the table of a mapping is; a problem if it cannot take its readings.
    async fn table(&mut self, mapping: &Arc<Mapping>) -> Result<Result<usize, Problem>, Error> {
        if let Some(at) = self.known.iter().position(|known| Arc::ptr_eq(&known.mapping, mapping)) {
            return Ok(Ok(at));
        }
        Ok(tables::find_or_make(&self.parts.store, mapping, self.trust_catalog).await?.map(|table| {
            self.known.push(Known { mapping: mapping.clone(), table, absent: None });
            self.known.len() - 1
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
            Ok(at) => &mut self.known[at],
            Err(problem) => {
                self.tasks[index].add(vec![problem]);
                return Ok(());
            }
        };
        let key = match Key::of_item(table, &put.item) {
            Ok(key) => key,
            Err(error) => {
                self.tasks[index].add(vec![Problem { kind: ProblemKind::Device, text: error.to_string() }]);
                return Ok(());
            }
        };
        let table = table.clone();
        let Put { position, item, time } = put;
        let sent = |conditional, only| Sent { task: index, position, conditional, only, tries, also: Vec::new() };
        match mapping.on_collision {
            OnCollision::Overwrite if mapping.rows => self.add_row(table, key, item, sent(false, None)),
            OnCollision::Overwrite if time == TimeOrigin::Arrival && !self.tasks[index].replayed => {
                let absent = absent.get_or_insert_with(|| collision::absent(&table)).clone();
                self.add(table, key, Action::Put(item), Some(absent), sent(true, None));
            }
            OnCollision::Overwrite => self.add(table, key, Action::Merge(item), None, sent(false, None)),
            OnCollision::Quarantine => {
                for part in collision::parts(&table, item, only.as_ref()) {
                    let only = part.0.keys().filter(|name| !table.is_key(name)).cloned().collect();
                    let condition = collision::unchanged(&table, &part);
                    self.add(table.clone(), key.clone(), Action::Merge(part), condition, sent(false, Some(only)));
                }
            }
        }
        Ok(())
    }

    /// Rows of one key in one batch are united before they are stored. One after another they would change the item and
    /// change it back whenever the file is imported again.
    fn add_row(&mut self, table: Arc<Table>, key: Key, item: Item, sent: Sent) {
        let Some(&place) = self.row_places.get(&(table.id, key.clone())) else {
            self.row_places.insert((table.id, key.clone()), self.writes.len());
            return self.add(table, key, Action::Merge(item), None, sent);
        };
        if let (Action::Merge(earlier), Purpose::Put(first)) =
            (&mut self.writes[place].action, &mut self.purposes[place])
        {
            self.outcome.collisions += earlier.merge(item).len() as u64;
            self.tasks[sent.task].waiting += 1;
            first.also.push(sent);
        }
    }

    fn add(&mut self, table: Arc<Table>, key: Key, action: Action, condition: Option<Arc<Condition>>, sent: Sent) {
        let task = &mut self.tasks[sent.task];
        task.waiting += 1;
        let actor = if task.message.received.entrance == Entrance::Import { Actor::Import } else { Actor::User };
        self.writes.push(Write { table, key, action, condition, return_old: false, actor });
        self.purposes.push(Purpose::Put(sent));
    }

    /// Calls the store until nothing is left to store.
    async fn store_all(&mut self, mut turn: Option<Turn>) -> Result<(), Error> {
        loop {
            self.report_problems().await?;
            if self.writes.is_empty() {
                return Ok(());
            }
            let purposes = std::mem::take(&mut self.purposes);
            self.row_places.clear();
            if turn.is_some() {
                // It may have filled since the batch was let in.
                self.parts.store.wait_for_room().await;
            }
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
                    Purpose::Put(sent) => self.answered(sent, answer).await?,
                    Purpose::Entry(id) => {
                        answer.map_err(Error::Refused)?;
                        let eviction = self.parts.quarantine.settle(id).await?;
                        self.evict(eviction);
                    }
                    Purpose::Eviction => {
                        answer.map_err(Error::Refused)?;
                        metrics::counter!(names::QUARANTINE_EVICTED).increment(1);
                    }
                }
            }
        }
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
                Some(id) if self.parts.quarantine.put_again(id).await? => id,
                // It has had to go already.
                Some(_) => continue,
                None => {
                    let admitted = self.parts.quarantine.admit(&task.message).await?;
                    self.evict(admitted.evictions);
                    admitted.id
                }
            };
            let task = &mut self.tasks[index];
            task.entry = Some(id);
            let entry = task.entry(id);
            if known.is_none() {
                self.outcome.quarantined += 1;
                metrics::counter!(names::QUARANTINED, "kind" => task.problems[0].kind.name()).increment(1);
                if entry.partial {
                    metrics::counter!(names::QUARANTINED_PARTIAL).increment(1);
                }
                self.parts.quarantine.tell(&entry);
            }
            self.writes.push(self.parts.quarantine.put(&entry));
            self.purposes.push(Purpose::Entry(id));
        }
        Ok(())
    }

    /// Adds removals that make room to the next call.
    fn evict(&mut self, evictions: impl IntoIterator<Item = Write>) {
        for eviction in evictions {
            self.writes.push(eviction);
            self.purposes.push(Purpose::Eviction);
        }
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
