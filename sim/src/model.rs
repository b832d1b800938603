//! What the store must hold and answer.
//!
//! Every write is predicted when it is handed in, on top of the writes before it on the same key that are not yet in the log.
//! The log is then followed frame by frame: each event must be the next predicted change of its key. So the model's
//! items are always those of the frames followed, and an event that nobody asked for, a missing, a repeated or a changed
//! one is seen at once. An answer is checked against its prediction, and may only rest on events that were followed.
//!
//! After a crash the log must still hold every frame that was followed. Writes that were not answered may follow; what
//! does not is forgotten.

mod rows;
mod transactions;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crc_fast::{CrcAlgorithm, Digest};
use item::{
    Actor, Change, Event, Index, IndexKind, IndexStatus, Item, Number, SequenceNumber, ShardId, Stream, Table, TableId,
    Value,
    table::{Billing, CapacityChange, TableSettings, system},
};
use store::{
    log::{Frame, FrameNumber, Log},
    view::shard_of_key,
    write::{Action, Answers, Rejection, TableRejection, TableWrite, Write, Written},
};

use rows::{Asked, Foreseen, Rows};
pub use rows::{KeyPart, LogicalKey};
pub use transactions::{Group, HandedIn};
use transactions::{InFrame, Transactions};

use crate::{Violation, edits::Edits, ensure, workload::Check};

/// Bytes of frames read at a time.
const READ_BYTES: usize = 1 << 20;

/// Names a write until it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

/// What a client wants done to one item.
#[derive(Clone, Debug)]
pub enum Wish {
    /// Replace it.
    Put(Item),
    /// Unite it with this one.
    Merge(Item),
    /// Change some attributes; perhaps answer it as it is then.
    Update(Edits, bool),
    /// Remove it.
    Remove,
    /// Leave it as it is.
    Check,
}

/// What is asked of one item.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The item's table, as its client knows it.
    pub table: Arc<Table>,
    /// The item's key attributes.
    pub key: Item,
    /// What is to be done.
    pub wish: Wish,
    /// What must hold.
    pub check: Option<Check>,
    /// Is the item before to be answered?
    pub return_old: bool,
    /// Who asks.
    pub actor: Actor,
}

/// What must be answered.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// `optional`: whether there is an event is not certain, because nobody needs to look whether anything changes.
    Written {
        old: Option<Item>,
        new: Option<Item>,
        collisions: Vec<String>,
        optional: bool,
    },
    UpdateRefused,
    ConditionFailed(Option<Item>),
    TableNotFound,
    /// Nothing is against it, but another write of its transaction is refused.
    Spared,
}

struct Waiting {
    table: TableId,
    key: LogicalKey,
    outcome: Outcome,
}

/// One table.
pub struct TableModel {
    /// Its schema, as of the frames followed.
    pub table: Arc<Table>,
    pub(crate) rows: Rows,
}

/// The model of one store.
pub struct Model {
    tables: BTreeMap<TableId, TableModel>,
    /// Tables that are gone; handles of them are still out there.
    pub gone: Vec<Arc<Table>>,
    greatest_table: TableId,
    next_sequences: Vec<SequenceNumber>,
    next_frame: FrameNumber,
    epoch: u64,
    committed_at_us: u64,
    /// Checksum of each frame followed.
    frames: BTreeMap<FrameNumber, u64>,
    log_hash: Digest,
    table_write: Option<TableWrite>,
    /// The schema that the last table write led to.
    table_written: Option<Arc<Table>>,
    next_ticket: u64,
    waiting: BTreeMap<Ticket, Waiting>,
    sequences: BTreeMap<Ticket, SequenceNumber>,
    transactions: Transactions,
}

impl Model {
    /// The model of an empty store.
    pub fn new(shards: u16) -> Model {
        Model {
            tables: BTreeMap::new(),
            gone: Vec::new(),
            greatest_table: TableId(TableId::FIRST_USER.0 - 1),
            next_sequences: vec![SequenceNumber(1); usize::from(shards)],
            next_frame: FrameNumber::FIRST,
            epoch: 0,
            committed_at_us: 0,
            frames: BTreeMap::new(),
            log_hash: Digest::new(CrcAlgorithm::Crc64Nvme),
            table_write: None,
            table_written: None,
            next_ticket: 0,
            waiting: BTreeMap::new(),
            sequences: BTreeMap::new(),
            transactions: Transactions::default(),
        }
    }

    /// The tables, by number.
    pub fn tables(&self) -> impl Iterator<Item = &TableModel> {
        self.tables.values()
    }

    /// The key attributes of the item at `place` of a table, if there are so many.
    pub fn some_key(&self, table: &Table, place: u64) -> Option<Item> {
        let (_, item) = self.tables.get(&table.id)?.rows.items().nth(place as usize)?;
        let names = std::iter::once(&table.partition_key).chain(&table.sort_key).map(|key| &key.name);
        Some(Item(names.filter_map(|name| Some((name.clone(), item.get(name)?.clone()))).collect()))
    }

    /// The items of `table` that are to expire between two times, as of the frames followed. Both are seconds since 1970.
    pub fn expired(&self, table: &Table, from_s: u64, until_s: u64) -> Vec<LogicalKey> {
        let Some(TableModel { table, rows }) = self.tables.get(&table.id) else { return Vec::new() };
        let Some(index) = table.expiry() else { return Vec::new() };
        let is_over = |item: &Item| match item.get(&index.partition_key.name) {
            Some(Value::Number(at)) => Number::from(from_s) < *at && *at <= Number::from(until_s),
            _ => false,
        };
        rows.items().filter(|(_, item)| is_over(item)).map(|(key, _)| key.clone()).collect()
    }

    /// Frames followed.
    pub fn frames(&self) -> u64 {
        self.frames.len() as u64
    }

    /// A checksum over all frames followed, with their headers.
    pub fn log_hash(&self) -> u64 {
        self.log_hash.finalize()
    }

    /// May a table change be handed in? Only one at a time, and none while writes of items wait, so that their order is
    /// not in question.
    pub fn may_change_tables(&self) -> bool {
        self.table_write.is_none() && self.waiting.is_empty()
    }

    /// May writes of items be handed in?
    pub fn may_write(&self) -> bool {
        self.table_write.is_none()
    }

    /// Notes a table change that is handed in.
    pub fn change_table(&mut self, change: TableWrite) {
        self.table_written = None;
        self.table_write = Some(change);
    }

    /// Notes a write that is handed in, and makes it.
    pub fn write(&mut self, wanted: Wanted) -> (Ticket, Write) {
        let foreseen = self.foresee(&wanted);
        (self.predict(&wanted, foreseen), wanted.into_write())
    }

    /// What a write will come to, after those that wait.
    fn foresee(&self, wanted: &Wanted) -> Foreseen {
        let Wanted { key, wish, check, return_old, .. } = wanted;
        let Some(TableModel { table, rows }) = self.tables.get(&wanted.table.id) else {
            return Foreseen::nothing(Outcome::TableNotFound, false);
        };
        let looks = *return_old || check.is_some() || matches!(wish, Wish::Merge(_) | Wish::Update(..));
        let asked = Asked { key_attributes: key, wish, check: check.as_ref(), return_old: *return_old };
        let is_blind = table.stream.is_none() && table.indexes.is_empty() && !looks;
        rows.foresee(&wanted.logical_key(), asked, is_blind)
    }

    /// Follows the log to `until`, the first frame that is not yet applied.
    pub fn follow(&mut self, log: &dyn Log, until: FrameNumber) -> Result<(), Violation> {
        while self.next_frame < until {
            let frames = log
                .read(self.next_frame, READ_BYTES)
                .map_err(|error| Violation(format!("reading the log: {error}")))?;
            ensure(!frames.is_empty(), || format!("frame {} is applied but not in the log", self.next_frame.0))?;
            for frame in frames.iter().take_while(|frame| frame.number < until) {
                self.follow_frame(frame)?;
            }
        }
        Ok(())
    }

    /// Checks that a reopened log still holds what was followed, and follows what it holds beyond. Then forgets whatever
    /// was handed in and did not happen.
    pub fn recover(&mut self, log: &dyn Log) -> Result<(), Violation> {
        let tail = log.tail();
        ensure(tail >= self.next_frame, || {
            format!("the log ends before frame {}, but {} was visible", tail.0, self.next_frame.0 - 1)
        })?;
        let mut next = log.trim_point();
        while next < self.next_frame.min(tail) {
            let frames =
                log.read(next, READ_BYTES).map_err(|error| Violation(format!("rereading the log: {error}")))?;
            ensure(!frames.is_empty(), || format!("frame {} is kept but not in the log", next.0))?;
            for frame in &frames {
                ensure(frame.number == next, || format!("frame {} where {} should be", frame.number.0, next.0))?;
                if let Some(hash) = self.frames.get(&next) {
                    ensure(*hash == hash_of(frame), || format!("frame {} has changed", next.0))?;
                }
                next = next.next();
            }
        }
        self.follow(log, tail)?;
        self.table_write = None;
        self.waiting.clear();
        self.sequences.clear();
        self.transactions.forget_predictions();
        for table in self.tables.values_mut() {
            table.rows.forget_predictions();
        }
        Ok(())
    }

    /// Checks the answers of a batch.
    pub fn answered(&mut self, tickets: &[Ticket], answers: Answers) -> Result<(), Violation> {
        ensure(tickets.len() == answers.len(), || format!("{} answers for {} writes", answers.len(), tickets.len()))?;
        tickets.iter().zip(answers).try_for_each(|(ticket, answer)| self.answered_one(*ticket, Some(answer)))
    }

    /// Checks the answer of a write; none if nothing was done and nothing is against it.
    fn answered_one(&mut self, ticket: Ticket, answer: Option<Result<Written, Rejection>>) -> Result<(), Violation> {
        let waiting = self.waiting.remove(&ticket).ok_or_else(|| Violation("answered twice".to_owned()))?;
        let Waiting { table, key, outcome } = waiting;
        let sequence = self.sequences.remove(&ticket);
        let context = || format!("{table:?} {key:?}");
        match (answer, outcome) {
            (Some(Ok(written)), Outcome::Written { old, new, collisions, optional }) => {
                let rows = self.tables.get_mut(&table).map(|table| &mut table.rows);
                let numbered = match (optional, written.sequence, rows) {
                    (true, Some(told), Some(rows)) => rows.claim(&key, told),
                    (true, None, _) => true,
                    _ => written.sequence == sequence,
                };
                let same = written.old == old && written.new == new && written.collisions == collisions;
                let same = numbered && same;
                let expected = Written { sequence, old, new, collisions };
                ensure(same, || format!("{}: answered {written:?}, expected {expected:?}", context()))?;
            }
            (Some(Err(Rejection::ConditionFailed { old })), Outcome::ConditionFailed(expected)) => {
                ensure(old == expected, || {
                    format!("{}: condition failed on {old:?}, expected {expected:?}", context())
                })?;
            }
            (Some(Err(Rejection::TableNotFound)), Outcome::TableNotFound) | (None, Outcome::Spared) => {}
            (Some(Err(Rejection::Update(_))), Outcome::UpdateRefused) => {}
            (answer, outcome) => {
                return Err(Violation(format!("{}: answered {answer:?}, expected {outcome:?}", context())));
            }
        }
        if let Some(table) = self.tables.get_mut(&table) {
            table.rows.answered(ticket, &key)?;
        }
        Ok(())
    }

    /// Checks the answer of the table change.
    pub fn table_answered(&mut self, answer: Result<Arc<Table>, TableRejection>) -> Result<(), Violation> {
        let Some(asked) = self.table_write.take() else {
            return Err(Violation("a table change was answered twice".to_owned()));
        };
        let by_name = |name: &str| self.tables.values().map(|model| &model.table).find(|table| table.name == name);
        let written = self.table_written.take();
        let right = match (&answer, &asked) {
            // Followed already: the table is there, or gone.
            // What was so already is no change.
            (
                Ok(table),
                TableWrite::SetStream(name, _)
                | TableWrite::Update(name, _)
                | TableWrite::Tag(name, _)
                | TableWrite::Untag(name, _),
            ) if written.is_none() => by_name(name) == Some(table) && is_so(table, &asked),
            // An index may have become readable since.
            (Ok(table), _) => written.as_ref() == Some(table),
            (Err(TableRejection::Protected), TableWrite::Delete(name)) => {
                by_name(name).is_some_and(|table| table.deletion_protection)
            }
            (Err(TableRejection::IndexExists), TableWrite::SetExpiry(name, Some(_))) => {
                by_name(name).is_some_and(|table| table.expiry().is_some())
            }
            (Err(TableRejection::IndexNotFound), TableWrite::SetExpiry(name, None)) => {
                by_name(name).is_some_and(|table| table.expiry().is_none())
            }
            (Err(TableRejection::IndexExists), TableWrite::AddIndex(name, index)) => {
                by_name(name).is_some_and(|table| table.index(&index.name).is_some())
            }
            (Err(TableRejection::IndexNotFound), TableWrite::DropIndex(name, index)) => {
                by_name(name).is_some_and(|table| table.index(index).is_none())
            }
            (Err(TableRejection::Changed), TableWrite::Update(name, update)) => {
                by_name(name).is_some_and(|table| (table.id, table.version) != (update.table, update.version))
            }
            (Err(TableRejection::Exists(table)), TableWrite::Create(asked)) => by_name(&asked.name) == Some(table),
            (
                Err(TableRejection::NotFound),
                TableWrite::Delete(name)
                | TableWrite::SetStream(name, _)
                | TableWrite::Update(name, _)
                | TableWrite::SetExpiry(name, _)
                | TableWrite::Tag(name, _)
                | TableWrite::Untag(name, _)
                | TableWrite::AddIndex(name, _)
                | TableWrite::DropIndex(name, _),
            ) => by_name(name).is_none(),
            _ => false,
        };
        ensure(right, || format!("{asked:?} was answered {answer:?}"))
    }

    fn follow_frame(&mut self, frame: &Frame) -> Result<(), Violation> {
        let number = frame.number;
        ensure(number == self.next_frame, || format!("frame {} where {} should be", number.0, self.next_frame.0))?;
        let context = |what: &str| format!("frame {}: {what}", number.0);
        ensure(frame.committed_at_us >= self.committed_at_us, || context("time went back"))?;
        ensure(frame.epoch >= self.epoch, || context("the epoch went back"))?;
        ensure(frame.first_sequences == self.next_sequences, || context("wrong first sequence numbers"))?;
        let events = Event::decode_all(&frame.body).map_err(|error| Violation(context(&error.to_string())))?;
        let mut table_events: BTreeMap<TableId, BTreeSet<ShardId>> = BTreeMap::new();
        let mut in_frame = InFrame::default();
        for event in &events {
            let next = &mut self.next_sequences[usize::from(event.shard.0)];
            ensure(event.sequence == *next, || context(&format!("{event:?} where {next:?} should be")))?;
            next.0 += 1;
            match &event.change {
                Change::Put { .. } | Change::Remove { .. } => {
                    self.follow_item(event, &mut in_frame).map_err(|v| Violation(context(&v.0)))?
                }
                Change::PutTable(_) | Change::DeleteTable => {
                    let shards = table_events.entry(event.table).or_default();
                    if shards.is_empty() {
                        self.follow_table(event).map_err(|violation| Violation(context(&violation.0)))?;
                    }
                    ensure(shards.insert(event.shard), || context("a table event twice in a shard"))?;
                }
            }
        }
        let everywhere = table_events.values().all(|shards| shards.len() == self.next_sequences.len());
        ensure(everywhere, || context("a table event is not in every shard"))?;
        self.transactions.check_frame(in_frame).map_err(|violation| Violation(context(&violation.0)))?;
        self.next_frame = number.next();
        self.epoch = frame.epoch;
        self.committed_at_us = frame.committed_at_us;
        let hash = hash_of(frame);
        self.log_hash.update(&hash.to_le_bytes());
        self.frames.insert(number, hash);
        Ok(())
    }

    fn follow_item(&mut self, event: &Event, in_frame: &mut InFrame) -> Result<(), Violation> {
        let shards = self.next_sequences.len() as u16;
        if event.table == system::TOKENS {
            return self.transactions.follow_token(event, in_frame);
        }
        let Some(TableModel { table, rows }) = self.tables.get_mut(&event.table) else {
            return Err(Violation(format!("an event of a table that is gone: {event:?}")));
        };
        ensure(event.schema_version == table.version, || format!("made under another schema: {event:?}"))?;
        if let Change::Put { key, .. } | Change::Remove { key, .. } = &event.change {
            ensure(shard_of_key(key, shards) == event.shard, || format!("in another shard than its key: {event:?}"))?;
        }
        if let Some(ticket) = rows.follow(table, event)? {
            self.sequences.insert(ticket, event.sequence);
            self.transactions.follow(ticket, in_frame);
        }
        Ok(())
    }

    fn follow_table(&mut self, event: &Event) -> Result<(), Violation> {
        if let (Change::PutTable(new), Some(TableModel { table, .. })) =
            (&event.change, self.tables.get_mut(&event.table))
            && is_activation(table, new)
        {
            // Nobody asks for it.
            *table = Arc::clone(new);
            return Ok(());
        }
        match (&event.change, &self.table_write) {
            (Change::PutTable(table), Some(TableWrite::Create(asked))) => {
                let same = Table {
                    id: asked.id,
                    version: asked.version,
                    created_at_us: asked.created_at_us,
                    stream: asked.stream.clone(),
                    indexes: unnumbered(&table.indexes),
                    ..Table::clone(table)
                };
                ensure(same == *asked, || format!("made {table:?} when asked for {asked:?}"))?;
                let numbers = numbers(table);
                let is_new = table.id == event.table && table.version == 1;
                let is_new = is_new && numbers.iter().all(|id| *id > self.greatest_table);
                ensure(is_new, || format!("a number was given twice: {table:?}"))?;
                self.greatest_table = numbers.into_iter().max().unwrap_or(self.greatest_table);
                self.tables.insert(table.id, TableModel { table: Arc::clone(table), rows: Rows::default() });
                self.table_written = Some(Arc::clone(table));
            }
            (Change::PutTable(new), Some(write)) if altered_name(write).is_some() => {
                let Some(TableModel { table, .. }) = self.tables.get_mut(&event.table) else {
                    return Err(Violation(format!("changed a table that is gone: {event:?}")));
                };
                if let Some(added) = new.indexes.iter().find(|index| named(table, &index.name).is_none()) {
                    ensure(added.id > self.greatest_table, || format!("a number was given twice: {new:?}"))?;
                    self.greatest_table = added.id;
                }
                let expected = altered(table, write, new);
                let is_right = altered_name(write) == Some(&table.name) && **new == expected;
                ensure(is_right, || format!("changed {table:?} to {new:?}, asked for {write:?}"))?;
                *table = Arc::clone(new);
                self.table_written = Some(Arc::clone(new));
            }
            (Change::DeleteTable, Some(TableWrite::Delete(name))) => {
                let gone = self.tables.remove(&event.table).map(|model| model.table);
                ensure(gone.as_ref().is_some_and(|table| table.name == *name), || {
                    format!("deleted {gone:?}, asked for {name}")
                })?;
                self.gone.extend(gone.clone());
                self.table_written = gone;
            }
            (_, asked) => {
                return Err(Violation(format!("a table event that was not asked for ({asked:?}): {event:?}")));
            }
        }
        Ok(())
    }
}

/// The table that a change alters.
fn altered_name(write: &TableWrite) -> Option<&String> {
    match write {
        TableWrite::SetStream(name, _)
        | TableWrite::Update(name, _)
        | TableWrite::AddIndex(name, _)
        | TableWrite::DropIndex(name, _)
        | TableWrite::SetExpiry(name, _)
        | TableWrite::Tag(name, _)
        | TableWrite::Untag(name, _) => Some(name),
        TableWrite::Create(_)
        | TableWrite::Delete(_)
        | TableWrite::ActivateIndex(_)
        | TableWrite::SetRecovery(..)
        | TableWrite::Open(_)
        | TableWrite::Discard(_) => None,
    }
}

/// The index of that name, be it hidden.
fn named<'t>(table: &'t Table, name: &str) -> Option<&'t Index> {
    table.indexes.iter().find(|index| index.name == name)
}

/// What a change makes of `old`; numbers and times that nobody can foresee are those of `new`.
fn altered(old: &Table, write: &TableWrite, new: &Table) -> Table {
    let mut table = Table { version: old.version + 1, ..old.clone() };
    match write {
        TableWrite::SetStream(_, stream) => set_stream(&mut table, stream.as_ref(), new),
        TableWrite::Update(_, update) => {
            set_capacity(&mut table, &update.capacity, new);
            if let Some(stream) = &update.stream {
                set_stream(&mut table, stream.as_ref(), new);
            }
            table.deletion_protection = update.deletion_protection.unwrap_or(table.deletion_protection);
            table.indexes.retain(|index| Some(&index.name) != update.drop_index.as_ref());
        }
        TableWrite::AddIndex(_, index) => add_index(&mut table, index.clone(), new),
        TableWrite::SetExpiry(_, Some(attribute)) => add_index(&mut table, Index::expiry(attribute), new),
        TableWrite::DropIndex(_, index) => table.indexes.retain(|other| other.name != *index),
        TableWrite::SetExpiry(_, None) => table.indexes.retain(|index| index.kind != IndexKind::Expiry),
        TableWrite::Tag(_, tags) => table.tags.extend(tags.clone()),
        TableWrite::Untag(_, keys) => table.tags.retain(|key, _| !keys.contains(key)),
        TableWrite::Create(_)
        | TableWrite::Delete(_)
        | TableWrite::ActivateIndex(_)
        | TableWrite::SetRecovery(..)
        | TableWrite::Open(_)
        | TableWrite::Discard(_) => {}
    }
    table
}

fn add_index(table: &mut Table, index: Index, new: &Table) {
    let id = named(new, &index.name).map_or(TableId(0), |index| index.id);
    table.indexes.push(Index { id, status: IndexStatus::Filling, ..index });
    table.indexes.sort_by(|a, b| a.name.cmp(&b.name));
}

fn set_stream(table: &mut Table, stream: Option<&Stream>, new: &Table) {
    let enabled_at_us = new.stream.as_ref().map_or(0, |stream| stream.enabled_at_us);
    table.stream = stream.map(|stream| Stream { enabled_at_us, ..stream.clone() });
    table.settings.ended_streams = new.settings.ended_streams.clone();
}

fn set_capacity(table: &mut Table, change: &CapacityChange, new: &Table) {
    table.billing = change.table.billing.unwrap_or(table.billing);
    table.settings = TableSettings {
        class: change.class.or(table.settings.class),
        ended_streams: std::mem::take(&mut table.settings.ended_streams),
        ..new.settings.clone()
    };
    for index in table.indexes.iter_mut().filter(|index| index.kind == IndexKind::Global) {
        if table.billing == Billing::OnDemand {
            index.billing = Billing::OnDemand;
        }
        let asked = change.indexes.get(&index.name).and_then(|change| change.billing);
        index.billing = asked.unwrap_or(index.billing);
        let known = new.index(&index.name).map(|index| index.throughput.clone());
        index.throughput = known.unwrap_or_default();
    }
}

/// Is a table already what it was to become?
fn is_so(table: &Table, write: &TableWrite) -> bool {
    altered(table, write, table) == Table { version: table.version + 1, ..table.clone() }
}

/// The numbers of a table and of its indexes.
fn numbers(table: &Table) -> Vec<TableId> {
    table.indexes.iter().map(|index| index.id).chain([table.id]).collect()
}

fn unnumbered(indexes: &[Index]) -> Vec<Index> {
    indexes.iter().map(|index| Index { id: TableId(0), ..index.clone() }).collect()
}

/// Is the only difference that one index may be read now?
fn is_activation(old: &Table, new: &Table) -> bool {
    let mut activated = old.clone();
    activated.version += 1;
    let filling = |index: &&mut Index| {
        let is_active = |other: &Index| other.id == index.id && other.status == IndexStatus::Active;
        index.status == IndexStatus::Filling && new.indexes.iter().any(is_active)
    };
    let filled = activated.indexes.iter_mut().filter(filling).map(|index| index.status = IndexStatus::Active).count();
    filled == 1 && activated == *new
}

impl Wanted {
    /// The item's key, as the model knows it.
    pub fn logical_key(&self) -> LogicalKey {
        LogicalKey::of_item(&self.table, &self.key)
    }

    fn into_write(self) -> Write {
        let Wanted { table, key, wish, check, return_old, actor } = self;
        let key = item::Key::of_item(&table, &key).expect("the workload makes valid keys");
        let action = match wish {
            Wish::Put(item) => Action::Put(item),
            Wish::Merge(item) => Action::Merge(item),
            Wish::Update(edits, return_new) => Action::Update { update: Arc::new(edits.expression()), return_new },
            Wish::Remove => Action::Remove,
            Wish::Check => Action::Check,
        };
        let condition = check.map(|check| Arc::new(check.expression(&table)));
        Write { table, key, action, condition, return_old, actor }
    }
}

fn hash_of(frame: &Frame) -> u64 {
    let mut digest = Digest::new(CrcAlgorithm::Crc64Nvme);
    for number in [frame.number.0, frame.epoch, frame.committed_at_us] {
        digest.update(&number.to_le_bytes());
    }
    for first in &frame.first_sequences {
        digest.update(&first.0.to_le_bytes());
    }
    digest.update(&frame.body);
    digest.finalize()
}
