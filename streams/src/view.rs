//! Records: what a stream shows of an event.

use item::{Actor, Change, Event, Image, Item, Key, Old, SequenceNumber, ShardId, StreamView, Table};

use crate::shards;

/// What happened to the item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventName {
    /// It came to be.
    Insert,
    /// It was there before and changed.
    Modify,
    /// It is gone.
    Remove,
}

impl EventName {
    /// As DynamoDB writes it.
    pub fn name(self) -> &'static str {
        match self {
            EventName::Insert => "INSERT",
            EventName::Modify => "MODIFY",
            EventName::Remove => "REMOVE",
        }
    }
}

/// One change of one item, as a stream shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The same for every reading of this change, and of no other: 32 hexadecimal digits.
    pub id: String,
    /// What happened.
    pub event: EventName,
    /// Who made the change. Records of [`Actor::Ttl`] carry a user identity on the wire: the service itself.
    pub actor: Actor,
    /// The shard of the store.
    pub shard: ShardId,
    /// Its number there; see [`Record::sequence_text`].
    pub sequence: SequenceNumber,
    /// When it was committed, microseconds since 1970.
    pub created_at_us: u64,
    /// What the stream shows.
    pub view: StreamView,
    /// The key attributes.
    pub keys: Item,
    /// The item after the change, if the view has it and there is one.
    pub new_image: Option<Image>,
    /// The item before the change, if the view has it and there was one.
    pub old_image: Option<Image>,
    /// Size of keys and images as DynamoDB counts items.
    pub size_bytes: usize,
}

impl Record {
    /// The sequence number as the wire has it: decimal, padded to 21 digits.
    pub fn sequence_text(&self) -> String {
        shards::sequence_text(self.sequence)
    }

    /// What `view` shows of `event`; none if it changes no item.
    pub(crate) fn of_event(
        event: &Event,
        table: &Table,
        view: StreamView,
        created_at_us: u64,
    ) -> Result<Option<Record>, item::CodecError> {
        let (key, new, old): (&Key, Option<&Image>, &Old) = match &event.change {
            Change::Put { key, new, old } => (key, Some(new), old),
            Change::Remove { key, old } => (key, None, old),
            Change::PutTable(_) | Change::DeleteTable => return Ok(None),
        };
        let name = match (new, old) {
            (None, _) => EventName::Remove,
            (Some(_), Old::Absent) => EventName::Insert,
            (Some(_), Old::Image(_) | Old::Unknown) => EventName::Modify,
        };
        let shows_new = matches!(view, StreamView::NewImage | StreamView::NewAndOldImages);
        let shows_old = matches!(view, StreamView::OldImage | StreamView::NewAndOldImages);
        let old = if let Old::Image(image) = old { Some(image) } else { None };
        let keys = key.to_item(table)?;
        let new_image = new.filter(|_| shows_new).cloned();
        let old_image = old.filter(|_| shows_old).cloned();
        let mut size_bytes = keys.size();
        for image in [&new_image, &old_image].into_iter().flatten() {
            size_bytes += image.size()?;
        }
        Ok(Some(Record {
            id: format!("{:08x}{:08x}{:016x}", event.table.0, event.shard.0, event.sequence.0),
            event: name,
            actor: event.actor,
            shard: event.shard,
            sequence: event.sequence,
            created_at_us,
            view,
            keys,
            new_image,
            old_image,
            size_bytes,
        }))
    }
}
