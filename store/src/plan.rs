//! The planner: requests in, events and answers out. Pure: no disk, no clock, no waiting.
//!
//! A request whose old item is not known in memory is *parked*: its key is pinned, a fetch is asked for, and later
//! requests on the same key queue behind it while all others pass. Sequence numbers are given out here; a frame takes
//! whatever was planned since the one before.

mod meter;
mod parked;
mod tables;
mod transact;

use std::sync::Arc;

use item::{Actor, Change, Event, Image, Item, Key, Old, SequenceNumber, ShardId, Table, TableId};

pub use self::meter::METRICS;
use self::meter::Meter;
use crate::{
    Catalog,
    batch::Place,
    high_keys::HighKeys,
    log::{Body, Pool},
    overlay::{Ordinal, Overlay, Planned},
    park::{Fetch, Park},
    request::{Prepared, Request, Unplanned, check, updated},
    transaction::Transacted,
    view::{View, shard_of_key},
    write::{Rejection, Written},
};

/// An answer, and the draft that must be durable before it may leave (0: none).
pub(crate) struct Planning<T> {
    pub(crate) answer: T,
    pub(crate) after: Ordinal,
}

/// What is planned for one frame: its events, and the same encoded.
pub(crate) struct Drafted {
    pub(crate) ordinal: Ordinal,
    pub(crate) events: Vec<Event>,
    pub(crate) body: Body,
}

/// What a request came to.
pub(crate) enum Settled {
    Write(Place, Answer),
    Transaction(Place, Planning<Transacted>),
}

type Answer = Planning<Result<Written, Rejection>>;

/// What planning knows of a key's item.
enum Known {
    /// Its state, which is durable once the ordinal is.
    State(Option<Image>, Ordinal),
    /// Nobody needs it for this request.
    NotNeeded,
}

/// A change that is decided and not yet planned.
struct Changing {
    key: Key,
    actor: Actor,
    old: Old,
    new: Option<Image>,
}

/// Events whose memory is kept from frame to frame.
const EVENTS_KEPT_MAX: usize = 16 << 10;

/// All shards' planners. They share one frame, so that a frame is one sync for everybody.
pub(crate) struct Planner {
    next_sequences: Vec<SequenceNumber>,
    /// Tables once everything planned is applied.
    catalog: Catalog,
    next_table: u32,
    overlay: Overlay,
    high_keys: HighKeys,
    park: Park,
    /// Events of the next frame, and the same encoded: what is left to do between two frames is little.
    open: Vec<Event>,
    open_body: Body,
    bodies: Pool,
    /// The memory of events that are applied, for those to come.
    used: Vec<Event>,
    /// The next frame's ordinal.
    ordinal: Ordinal,
    meter: Meter,
}

impl Planner {
    pub(crate) fn new(
        next_sequences: Vec<SequenceNumber>,
        catalog: Catalog,
        next_table: u32,
        high_keys_bytes_max: usize,
    ) -> Planner {
        let (bodies, shards) = (Pool::default(), next_sequences.len());
        Planner {
            next_sequences,
            catalog,
            next_table,
            overlay: Overlay::default(),
            high_keys: HighKeys::new(high_keys_bytes_max),
            park: Park::default(),
            open: Vec::new(),
            open_body: Body::new(&bodies, shards),
            bodies,
            used: Vec::new(),
            ordinal: 1,
            meter: Meter::new(),
        }
    }

    /// Plans one request; none if it is parked (what it came to tells [`Planner::resume`]).
    pub(crate) fn plan(&mut self, unplanned: Unplanned, view: &View) -> Option<Settled> {
        match unplanned {
            Unplanned::Write(place, request) => {
                self.write(place, request, view).map(|planning| Settled::Write(place, planning))
            }
            Unplanned::Transaction(place, transaction) => {
                self.transact(place, transaction, view).map(|planning| Settled::Transaction(place, planning))
            }
        }
    }

    fn write(&mut self, place: Place, request: Request, view: &View) -> Option<Answer> {
        let Some(table) = self.catalog.by_id(request.table).cloned() else {
            // Its removal may be planned and not yet durable.
            return Some(Planning { answer: Err(Rejection::TableNotFound), after: self.newest_planned() });
        };
        if self.park.is_pinned(request.table, &request.key) {
            self.park.queue_write(place, request);
            return None;
        }
        match self.look_up(&table, &request, view) {
            Some(known) => Some(self.decide(&table, request, known, view)),
            None => {
                self.pin(table.id, request.key.clone(), None);
                self.park.queue_write(place, request);
                None
            }
        }
    }

    /// The fetches that parking asked for since the last call.
    pub(crate) fn take_fetches(&mut self) -> Vec<Fetch> {
        self.park.take_fetches()
    }

    /// How many keys wait for a fetch.
    pub(crate) fn parked_keys(&self) -> usize {
        self.park.len()
    }

    /// Encoded bytes waiting for the next frame.
    pub(crate) fn open_bytes(&self) -> usize {
        self.open_body.len()
    }

    /// The ordinal of the frame that takes what is planned next.
    pub(crate) fn ordinal(&self) -> Ordinal {
        self.ordinal
    }

    /// The number that the next event of each shard gets.
    pub(crate) fn next_sequences(&self) -> &[SequenceNumber] {
        &self.next_sequences
    }

    /// Takes the events planned since the last call for one frame; none if there are none.
    pub(crate) fn take_events(&mut self) -> Option<Drafted> {
        if self.open.is_empty() {
            return None;
        }
        let ordinal = self.ordinal;
        self.ordinal += 1;
        let next = Body::new(&self.bodies, self.next_sequences.len());
        let body = std::mem::replace(&mut self.open_body, next);
        let events = std::mem::replace(&mut self.open, std::mem::take(&mut self.used));
        Some(Drafted { ordinal, events, body })
    }

    /// The events of draft `ordinal` are durable and applied.
    pub(crate) fn applied(&mut self, ordinal: Ordinal, mut events: Vec<Event>) {
        for event in events.drain(..) {
            if let Change::Put { key, .. } | Change::Remove { key, .. } = &event.change {
                self.overlay.applied(event.table, key, ordinal);
            }
        }
        if events.capacity() <= EVENTS_KEPT_MAX {
            self.used = events;
        }
    }

    /// Drops everything planned and not applied: the log refused it.
    pub(crate) fn abandon(&mut self, next_sequences: Vec<SequenceNumber>, catalog: Catalog, next_table: u32) {
        self.next_sequences = next_sequences;
        self.catalog = catalog;
        self.next_table = next_table;
        self.overlay.clear();
        self.park.clear();
        // Bounds stay upper bounds, but a key that was planned and dropped must not count as present for ever.
        self.high_keys.clear();
        self.open.clear();
        self.open_body.clear();
        self.ordinal += 1;
        self.meter.refused.increment(1);
        self.meter.parked_keys.set(0.0);
    }

    /// The newest draft that holds, or will hold, anything planned.
    fn newest_planned(&self) -> Ordinal {
        if self.open.is_empty() { self.ordinal - 1 } else { self.ordinal }
    }

    /// What is known of the item without a disk; none if only a disk can tell.
    fn look_up(&self, table: &Table, request: &Request, view: &View) -> Option<Known> {
        if matches!(request.action, Prepared::Refused(_)) {
            return Some(Known::NotNeeded);
        }
        let needed = request.reads() || table.stream.is_some() || !table.indexes.is_empty();
        self.find(table.id, &request.key, needed, view)
    }

    /// What is known of a key's item without a disk; none if it is `needed` and only a disk can tell.
    fn find(&self, table: TableId, key: &Key, needed: bool, view: &View) -> Option<Known> {
        // Most keys are new. Nothing planned is above a bound, so the overlay need not be asked about those first.
        if self.high_keys.is_above(table, key) {
            self.meter.high_key.increment(1);
            return Some(Known::State(None, 0));
        }
        if let Some(planned) = self.overlay.get(table, key) {
            self.meter.overlay.increment(1);
            return Some(Known::State(planned.image.clone(), planned.ordinal));
        }
        let shard = shard_of_key(key, view.shards());
        for memtable in view.memtables(shard) {
            if let Some(state) = memtable.get(table, key) {
                self.meter.memtable.increment(1);
                return Some(Known::State(state.image, 0));
            }
        }
        if !needed {
            self.meter.unneeded.increment(1);
            return Some(Known::NotNeeded);
        }
        if view.files.around(table, shard, key).next().is_some() {
            if view.files.is_known_absent(table, shard, key) {
                self.meter.key_block.increment(1);
                return Some(Known::State(None, 0));
            }
            if let Some(state) = view.rows.get(table, key) {
                self.meter.row_cache.increment(1);
                return Some(Known::State(state.image, 0));
            }
            self.meter.parked.increment(1);
            return None;
        }
        self.meter.key_range.increment(1);
        Some(Known::State(None, 0))
    }

    fn decide(&mut self, table: &Arc<Table>, request: Request, known: Known, view: &View) -> Answer {
        let (old, after) = known.into_parts();
        match changing(table, request, old) {
            Ok((mut written, Some(changing))) => {
                written.sequence = Some(self.change(table, changing, view));
                Planning { answer: Ok(written), after: self.ordinal }
            }
            Ok((written, None)) => Planning { answer: Ok(written), after },
            Err(rejection) => Planning { answer: Err(rejection), after },
        }
    }

    /// Plans a decided change.
    fn change(&mut self, table: &Arc<Table>, changing: Changing, view: &View) -> SequenceNumber {
        let Changing { key, actor, old, new } = changing;
        self.raise_high_key(table, &key, view);
        self.park.planned(table.id, &key, new.as_ref());
        self.overlay.put(table.id, key.clone(), Planned { image: new.clone(), ordinal: self.ordinal });
        let shard = shard_of_key(&key, view.shards());
        let change = match new {
            Some(new) => Change::Put { key, new, old },
            None => Change::Remove { key, old },
        };
        self.push(shard, actor, table, change)
    }

    /// Keeps the bound of the key's partition true, where it is known or can be known without a disk.
    fn raise_high_key(&mut self, table: &Table, key: &Key, view: &View) {
        if table.sort_key.is_none() || self.high_keys.raise(table.id, &key.partition, &key.sort) {
            return;
        }
        let shard = shard_of_key(key, view.shards());
        let partition = &key.partition;
        let covered = view
            .files
            .files(table.id, shard)
            .iter()
            .any(|file| file.min_key.partition <= *partition && *partition <= file.max_key.partition);
        if covered {
            return;
        }
        let high = view
            .memtables(shard)
            .filter_map(|memtable| memtable.greatest_sort(table.id, partition))
            .chain(self.overlay.greatest_sort(table.id, partition))
            .chain([key.sort.clone()])
            .max();
        if let Some(high) = high {
            self.high_keys.set(table.id, partition, &high);
        }
    }

    /// Numbers a change and adds it to the next frame.
    fn push(&mut self, shard: ShardId, actor: Actor, table: &Arc<Table>, change: Change) -> SequenceNumber {
        let next = &mut self.next_sequences[usize::from(shard.0)];
        let sequence = *next;
        next.0 += 1;
        let schema_version = table.version;
        self.meter.events.increment(1);
        let event = Event { shard, sequence, actor, table: table.id, schema_version, change };
        self.open_body.push(&event);
        self.open.push(event);
        sequence
    }
}

impl Known {
    /// The item's image if there is one, if that is known; and what must be durable before it counts.
    fn into_parts(self) -> (Option<Option<Image>>, Ordinal) {
        match self {
            Known::State(image, ordinal) => (Some(image), ordinal),
            Known::NotNeeded => (None, 0),
        }
    }
}

/// Decides what changes, if anything. `old`: none if unknown, else the item's image if there is one.
fn changing(
    table: &Table,
    request: Request,
    old: Option<Option<Image>>,
) -> Result<(Written, Option<Changing>), Rejection> {
    // Only the job that fills a table knows of it yet.
    if table.settings.is_filling && !matches!(request.actor, Actor::Import | Actor::System) {
        return Err(Rejection::TableNotFound);
    }
    let decode = |image: &Image| image.decode().expect("our own encoding, checked by the frame's checksum");
    let old_item = old.as_ref().filter(|_| request.reads()).and_then(Option::as_ref).map(decode);
    if let Some(condition) = &request.condition
        && !matches!(request.action, Prepared::Refused(_))
    {
        let absent = Item::default();
        if !condition.matches(old_item.as_ref().unwrap_or(&absent)) {
            return Err(Rejection::ConditionFailed { old: old_item.filter(|_| request.return_old) });
        }
    }
    let mut written = Written { old: if request.return_old { old_item.clone() } else { None }, ..Written::default() };
    let new = match request.action {
        Prepared::Refused(rejection) => return Err(rejection),
        Prepared::Check => return Ok((written, None)),
        Prepared::Remove => None,
        Prepared::Put(image) => Some(image),
        Prepared::Merge(newer) => Some(match old_item {
            None => newer,
            Some(mut item) => {
                written.collisions =
                    item.merge(decode(&newer)).into_iter().map(|collision| collision.attribute).collect();
                check(table, &item)?;
                Image::encode(&item)
            }
        }),
        Prepared::Update { update, return_new } => {
            let updated = updated(table, &request.key, old_item, &update)?;
            let image = updated.as_ref().map(Image::encode);
            written.new = updated.filter(|_| return_new);
            image
        }
    };
    if old.as_ref() == Some(&new) {
        return Ok((written, None));
    }
    let old = match old {
        None => Old::Unknown,
        Some(None) => Old::Absent,
        Some(Some(image)) => Old::Image(image),
    };
    Ok((written, Some(Changing { key: request.key, actor: request.actor, old, new })))
}
