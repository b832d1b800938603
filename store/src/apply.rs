//! Apply: durable events move the memtables and the catalogue. Replay is the same code.

use std::sync::Arc;

use item::{Change, Event, SequenceNumber};

use crate::{
    Catalog, entries,
    log::FrameNumber,
    memtable::{Memtable, State},
    view::{CurrentView, Sealed},
};

/// How far the log is applied, and what that made of the counters.
pub(crate) struct Applied {
    /// The last applied frame.
    pub(crate) frame: FrameNumber,
    /// Per shard, the number that its next event gets.
    pub(crate) next_sequences: Vec<SequenceNumber>,
    /// The next table number to give out.
    pub(crate) next_table: u32,
    /// The last frame that is in a sealed set or in files.
    pub(crate) sealed_through: FrameNumber,
}

impl Applied {
    /// Applies the events of `frame` to the active memtables and the catalogue of `view`.
    pub(crate) fn apply(&mut self, view: &CurrentView, frame: FrameNumber, events: &[Event]) {
        view.apply_frame(|| {
            self.apply_events(view, events);
            &self.next_sequences
        });
        self.frame = frame;
    }

    fn apply_events(&mut self, view: &CurrentView, events: &[Event]) {
        let current = view.get();
        let mut catalog: Option<Catalog> = None;
        for event in events {
            let shard = usize::from(event.shard.0);
            debug_assert_eq!(self.next_sequences[shard], event.sequence, "events of a shard have no gaps");
            self.next_sequences[shard] = SequenceNumber(event.sequence.0 + 1);
            let memtable = &current.active[shard];
            let (key, old, new) = match &event.change {
                Change::Put { key, new, old } => (key, old, Some(new)),
                Change::Remove { key, old } => (key, old, None),
                Change::PutTable(table) => {
                    let numbers = table.indexes.iter().map(|index| index.id).chain([table.id]);
                    self.next_table = numbers.fold(self.next_table, |next, id| next.max(id.0 + 1));
                    catalog.get_or_insert_with(|| Catalog::clone(&current.catalog)).put(table.clone());
                    continue;
                }
                Change::DeleteTable => {
                    catalog.get_or_insert_with(|| Catalog::clone(&current.catalog)).remove(event.table);
                    continue;
                }
            };
            let table = catalog.as_ref().unwrap_or(&current.catalog).by_id(event.table);
            let entries = table.map(|table| entries::changed(table, key, old, new)).unwrap_or_default();
            let sequence = event.sequence;
            let entries = entries.iter().map(|(table, key, image)| (*table, key, sequence, image.as_ref()));
            memtable.insert_all(entries.chain([(event.table, key, sequence, new)]));
            current.rows.renew(event.table, key, || State { sequence, image: new.cloned() });
        }
        if let Some(catalog) = catalog {
            for memtable in current.active.iter() {
                let gone = memtable.tables().into_iter().filter(|id| catalog.rows_of(*id).is_none());
                gone.for_each(|id| memtable.remove_table(id));
            }
            view.change(|view| view.catalog = Arc::new(catalog));
        }
    }

    /// Is everything applied in a sealed set or in files?
    pub(crate) fn is_sealed(&self) -> bool {
        self.frame <= self.sealed_through
    }

    /// Seals the active memtables after the last applied frame and starts new ones. Nothing applied since: nothing done.
    pub(crate) fn seal(&mut self, view: &CurrentView, now_us: u64) {
        if self.is_sealed() {
            return;
        }
        self.sealed_through = self.frame;
        let sequences = self.next_sequences.iter().map(|next| SequenceNumber(next.0 - 1)).collect();
        view.change(|view| {
            let fresh = Arc::new(view.active.iter().map(Memtable::successor).collect());
            view.sealed.push(Arc::new(Sealed {
                memtables: std::mem::replace(&mut view.active, fresh),
                through: self.frame,
                sequences,
                catalog: view.catalog.clone(),
                next_table: self.next_table,
                sealed_at_us: now_us,
            }));
        });
    }
}
