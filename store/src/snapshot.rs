//! Items as of one frame: every shard after exactly the same frames.
//!
//! 1. Between two frames, take the view and what its memtables know of the keys: a frame is applied key by key, and a
//!    memtable that is active shows each at once.
//! 2. Look the others up in the view's files, which never change, in any time.

use std::sync::Arc;

use item::{Item, Key, Table};

use crate::{
    Error,
    cache::Cache,
    memtable::State,
    read::{Reader, corrupt},
    view::{CurrentView, View, shard_of_key},
};

/// Some items as of one frame.
pub struct Snapshot {
    view: Arc<View>,
    cache: Cache,
    keys: Vec<(Arc<Table>, Key, Option<State>)>,
}

impl Snapshot {
    /// Of the items of `keys`, now.
    pub(crate) fn take(current: &CurrentView, cache: &Cache, keys: Vec<(Arc<Table>, Key)>) -> Snapshot {
        let (view, keys) = current.between_frames(|view| {
            let known = |(table, key): (Arc<Table>, Key)| {
                let mut memtables = view.memtables(shard_of_key(&key, view.shards()));
                let state = memtables.find_map(|memtable| memtable.get(table.id, &key));
                (table, key, state)
            };
            keys.into_iter().map(known).collect()
        });
        Snapshot { view, cache: cache.clone(), keys }
    }

    /// Is every table there still, in the snapshot?
    pub fn has_tables(&self) -> bool {
        self.keys.iter().all(|(table, ..)| self.view.catalog.by_id(table.id).is_some())
    }

    /// The item of the key at `at`, counted from 0 in the order in which they were given.
    pub async fn item(&self, at: usize) -> Result<Option<Item>, Error> {
        let (table, key, state) = &self.keys[at];
        let image = match state {
            Some(state) => state.image.clone(),
            None => {
                let reader = Reader { view: &self.view, cache: &self.cache };
                reader.get_cold(table.id, key).await?.and_then(|row| row.image)
            }
        };
        image.map(|image| image.decode().map_err(|error| corrupt(table, &error))).transpose()
    }
}
