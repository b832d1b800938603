//! The items of one table, and what is predicted for their keys.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use item::{Actor, Change, Event, Image, Item, Number, Old, SequenceNumber, Table, Value};

use super::{Outcome, Ticket, Wish};
use crate::{Violation, edits::Refused, ensure, workload::Check};

/// A key component, ordered as clients see it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyPart {
    /// The table has none.
    None,
    /// N.
    Number(Number),
    /// S.
    Text(String),
    /// B.
    Bytes(Bytes),
}

impl KeyPart {
    /// Of the value of a key attribute.
    pub fn of(value: Option<&Value>) -> KeyPart {
        match value {
            Some(Value::String(text)) => KeyPart::Text(text.clone()),
            Some(Value::Number(number)) => KeyPart::Number(*number),
            Some(Value::Binary(bytes)) => KeyPart::Bytes(bytes.clone()),
            _ => KeyPart::None,
        }
    }
}

/// A primary key: partition, sort.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogicalKey(pub KeyPart, pub KeyPart);

impl LogicalKey {
    /// The key of an item that has its key attributes.
    pub fn of_item(table: &Table, item: &Item) -> LogicalKey {
        let part = |name: &str| KeyPart::of(item.0.get(name));
        let sort = table.sort_key.as_ref().map_or(KeyPart::None, |sort_key| part(&sort_key.name));
        LogicalKey(part(&table.partition_key.name), sort)
    }
}

/// What is asked of one item.
pub(super) struct Asked<'a> {
    pub(super) key_attributes: &'a Item,
    pub(super) wish: &'a Wish,
    pub(super) check: Option<&'a Check>,
    pub(super) return_old: bool,
}

/// What a write will come to.
pub(super) struct Foreseen {
    pub(super) outcome: Outcome,
    /// The item afterwards, if the write leads to an event.
    change: Option<Option<Item>>,
    optional: bool,
    blind: bool,
}

impl Foreseen {
    /// No event.
    pub(super) fn nothing(outcome: Outcome, blind: bool) -> Foreseen {
        Foreseen { outcome, change: None, optional: false, blind }
    }

    /// Nothing is done after all: another write of the same transaction is refused.
    pub(super) fn spare(&mut self) {
        *self = Foreseen::nothing(Outcome::Spared, self.blind);
    }

    /// Does it certainly lead to an event?
    pub(super) fn is_certain(&self) -> bool {
        self.change.is_some() && !self.optional
    }
}

/// Keys with an item or a prediction.
#[derive(Default)]
pub(crate) struct Rows(BTreeMap<LogicalKey, Row>);

#[derive(Default)]
struct Row {
    /// As of the frames followed.
    item: Option<Item>,
    /// Writes handed in and not yet followed or answered, in order.
    queue: VecDeque<Prediction>,
    /// Events of optional predictions: which of several equal ones they belong to, the answers tell.
    unclaimed: Vec<SequenceNumber>,
}

struct Prediction {
    ticket: Ticket,
    actor: Actor,
    /// The item afterwards, if the write leads to an event.
    change: Option<Option<Item>>,
    /// May have no event after all: nobody needs to look whether it changes anything.
    optional: bool,
    /// May the event leave the old item unsaid?
    blind: bool,
    /// Optional, and an event was taken for it.
    is_used: bool,
}

impl Rows {
    /// Live items, in key order.
    pub(crate) fn items(&self) -> impl DoubleEndedIterator<Item = (&LogicalKey, &Item)> {
        self.0.iter().filter_map(|(key, row)| row.item.as_ref().map(|item| (key, item)))
    }

    pub(crate) fn get(&self, key: &LogicalKey) -> Option<&Item> {
        self.0.get(key)?.item.as_ref()
    }

    /// What a write will come to, after those that wait.
    pub(super) fn foresee(&self, key: &LogicalKey, asked: Asked<'_>, blind: bool) -> Foreseen {
        let Asked { key_attributes, wish, check, return_old } = asked;
        let row = self.0.get(key);
        let newest = row.and_then(|row| row.queue.iter().rev().find_map(|prediction| prediction.change.as_ref()));
        let old = newest.or(row.map(|row| &row.item)).cloned().flatten();
        if check.is_some_and(|check| !check.holds(old.as_ref())) {
            return Foreseen::nothing(Outcome::ConditionFailed(old.filter(|_| return_old)), blind);
        }
        let mut collisions = Vec::new();
        let mut told = None;
        let new = match wish {
            Wish::Put(item) => Some(item.clone()),
            Wish::Remove => None,
            Wish::Check => old.clone(),
            Wish::Merge(newer) => {
                let mut item = old.clone().unwrap_or_default();
                for (name, value) in &newer.0 {
                    let replaced = item.0.insert(name.clone(), value.clone());
                    if replaced.is_some_and(|replaced| replaced != *value) {
                        collisions.push(name.clone());
                    }
                }
                Some(item)
            }
            Wish::Update(edits, return_new) => match edits.apply(key_attributes, old.as_ref()) {
                Ok(new) => {
                    told = new.clone().filter(|_| *return_new);
                    new
                }
                Err(Refused) => return Foreseen::nothing(Outcome::UpdateRefused, blind),
            },
        };
        let changes = new != old;
        let optional = blind && !changes;
        let outcome = Outcome::Written { old: old.filter(|_| return_old), new: told, collisions, optional };
        Foreseen { outcome, change: (changes || blind).then_some(new), optional, blind }
    }

    /// Lets a write wait with what is foreseen; answers what must be answered.
    pub(super) fn predict(&mut self, ticket: Ticket, key: &LogicalKey, actor: Actor, foreseen: Foreseen) -> Outcome {
        let Foreseen { outcome, change, optional, blind } = foreseen;
        let row = self.0.entry(key.clone()).or_default();
        row.queue.push_back(Prediction { ticket, actor, change, optional, blind, is_used: false });
        outcome
    }

    /// Takes the next predicted change of the event's key, which it must be; answers whose it is, if
    /// that is certain.
    pub(super) fn follow(&mut self, table: &Table, event: &Event) -> Result<Option<Ticket>, Violation> {
        let (key, new, old) = match &event.change {
            Change::Put { key, new, old } => (key, Some(decode(new)?), old),
            Change::Remove { key, old } => (key, None, old),
            Change::PutTable(_) | Change::DeleteTable => return Ok(None),
        };
        let attributes = key.to_item(table).map_err(|error| Violation(format!("{error} in the key of {event:?}")))?;
        let logical = LogicalKey::of_item(table, &attributes);
        if let Some(new) = &new {
            let same = LogicalKey::of_item(table, new) == logical;
            ensure(same, || format!("the item has another key: {event:?}"))?;
        }
        let row = self.0.entry(logical).or_default();
        for at in 0..row.queue.len() {
            let prediction = &mut row.queue[at];
            let Some(change) = &prediction.change else { continue };
            if *change != new {
                ensure(prediction.optional, || format!("expected a change to {change:?}, found {event:?}"))?;
                continue;
            }
            if prediction.is_used {
                continue;
            }
            let before = match old {
                Old::Unknown => prediction.blind,
                // Who looks makes no event for nothing.
                _ if prediction.optional => false,
                Old::Absent => row.item.is_none(),
                Old::Image(image) => row.item.as_ref() == Some(&decode(image)?),
            };
            ensure(before, || format!("the item before was {:?}: {event:?}", row.item))?;
            ensure(prediction.actor == event.actor, || format!("asked for by {:?}: {event:?}", prediction.actor))?;
            row.item = new;
            if prediction.optional {
                prediction.is_used = true;
                row.unclaimed.push(event.sequence);
                return Ok(None);
            }
            return Ok(row.queue.drain(..=at).next_back().map(|prediction| prediction.ticket));
        }
        Err(Violation(format!("nobody asked for {event:?}")))
    }

    /// Was the event of this number followed as that of an optional prediction? Each is claimed once.
    pub(super) fn claim(&mut self, key: &LogicalKey, sequence: SequenceNumber) -> bool {
        let Some(row) = self.0.get_mut(key) else { return false };
        let Some(at) = row.unclaimed.iter().position(|unclaimed| *unclaimed == sequence) else { return false };
        row.unclaimed.remove(at);
        true
    }

    /// The write was answered: whatever it rests on was followed.
    pub(super) fn answered(&mut self, ticket: Ticket, key: &LogicalKey) -> Result<(), Violation> {
        let Some(row) = self.0.get_mut(key) else { return Ok(()) };
        let Some(at) = row.queue.iter().position(|prediction| prediction.ticket == ticket) else { return Ok(()) };
        for prediction in row.queue.drain(..=at) {
            let followed = prediction.change.is_none() || prediction.optional;
            ensure(followed, || format!("{key:?}: answered before what it rests on was visible"))?;
        }
        Ok(())
    }

    pub(super) fn forget_predictions(&mut self) {
        for row in self.0.values_mut() {
            row.queue.clear();
            row.unclaimed.clear();
        }
    }
}

fn decode(image: &Image) -> Result<Item, Violation> {
    image.decode().map_err(|error| Violation(format!("an image in the log: {error}")))
}
