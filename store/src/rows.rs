//! The row cache: what cold files know of single keys, so that asking for one again needs no page.
//!
//! A row here is what the cold files would answer, or newer: memtables are asked before, and a key that apply writes is renewed
//! here in the same step. So nothing that is found here is stale, whoever looks, except for a snapshot, which looks past it.
//!
//! The hard part is a look-up in files that takes its time. Its answer is kept ([`RowCache::keep`]) only if, under the lock
//! under which apply renews, it still is the answer:
//! 1. the files are those that were looked into: what was flushed before is in them, and
//! 2. no memtable has the key: nothing that is not in them was applied.
//!
//! A write that is applied after this check renews what was kept. Flushes and merges then change where the row lies, not what it
//! says; a table that is gone is not asked for any more, and its number never comes back. Rows that a merge leaves out as expired
//! say themselves that they are.
//!
//! Keys that were asked for and are not there are kept too. Two generations: when the younger has half of the bytes it
//! becomes the older, and what nobody asked for since is forgotten.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use item::{Image, Key, SequenceNumber, TableId};
use metrics::Counter;

use crate::{
    memtable::State,
    metric::Metric,
    view::{CurrentView, View, shard_of_key},
};

/// Metrics of the row cache.
pub const METRICS: &[Metric] = &[
    Metric::counter(
        "thalweg_rows_hits_total",
        "Keys looked for in cold data and found in the row cache, be it as not there",
    ),
    Metric::counter("thalweg_rows_misses_total", "Keys looked for in cold data and not in the row cache, so in files"),
    Metric::counter("thalweg_rows_renewed_total", "Rows in the row cache that a write renewed"),
    Metric::counter(
        "thalweg_rows_passed_total",
        "Rows found in files and not kept, because something changed meanwhile",
    ),
    Metric::gauge("thalweg_rows_used_bytes", "Bytes of rows in the row cache"),
    Metric::gauge("thalweg_memory_key_blocks_bytes", "Keys of cold files in memory, which save planning look-ups"),
];

/// Locks, so that readers seldom meet, and so that what is forgotten at once is little.
const PARTS: usize = 16;

/// Memory that an entry takes beside its key and image, approximately.
const ENTRY_OVERHEAD_BYTES: usize = 160;

/// Rows of cold data in bounded memory. Cloning shares them.
#[derive(Clone)]
pub struct RowCache(Option<Arc<Rows>>);

struct Rows {
    parts: Vec<Mutex<Part>>,
    /// Half of a part's bytes.
    generation_bytes_max: usize,
    /// Was anything ever kept? Where nobody asks for cold rows, apply does not look here.
    used: AtomicBool,
    /// Are writes not renewed? A mistake to be found.
    broken: AtomicBool,
    hits: Counter,
    misses: Counter,
    renewed: Counter,
    passed: Counter,
}

/// Entries by a hash of their key: of two with the same hash the later one stays.
#[derive(Default)]
struct Part {
    young: BTreeMap<u64, Entry>,
    young_bytes: usize,
    old: BTreeMap<u64, Entry>,
    old_bytes: usize,
}

struct Entry {
    table: TableId,
    key: Key,
    state: State,
}

impl RowCache {
    /// One that keeps nothing.
    pub fn off() -> RowCache {
        RowCache(None)
    }

    /// One of at most so many bytes; 0 for none.
    pub fn new(bytes_max: usize) -> RowCache {
        if bytes_max == 0 {
            return RowCache::off();
        }
        RowCache(Some(Arc::new(Rows {
            parts: (0..PARTS).map(|_| Mutex::default()).collect(),
            generation_bytes_max: bytes_max / PARTS / 2,
            used: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            hits: metrics::counter!("thalweg_rows_hits_total"),
            misses: metrics::counter!("thalweg_rows_misses_total"),
            renewed: metrics::counter!("thalweg_rows_renewed_total"),
            passed: metrics::counter!("thalweg_rows_passed_total"),
        })))
    }

    /// What the cold files, or writes since, say of a key that no memtable has; none if that is not here. The image is none
    /// where there is no item.
    pub(crate) fn get(&self, table: TableId, key: &Key) -> Option<State> {
        let rows = self.0.as_ref()?;
        let hash = hash(table, key);
        let found = rows.part(hash).get(hash, table, key, rows.generation_bytes_max);
        if found.is_some() {
            rows.hits.increment(1)
        } else {
            rows.misses.increment(1)
        }
        found
    }

    /// Keeps what files of `view` said of a key, unless something that changes the answer has happened since.
    pub(crate) fn keep(&self, table: TableId, key: &Key, found: Option<State>, view: &View, current: &CurrentView) {
        let Some(rows) = &self.0 else { return };
        let hash = hash(table, key);
        let mut part = rows.part(hash);
        // Before the memtables are asked: who writes to them afterwards sees it.
        rows.used.store(true, Ordering::SeqCst);
        // Apply writes the memtable first and renews under this lock second, so one of the two sees the other.
        let now = current.get();
        let is_as_it_was = Arc::ptr_eq(&now.files, &view.files);
        let shard = shard_of_key(key, now.shards());
        if !is_as_it_was || now.memtables(shard).any(|memtable| memtable.get(table, key).is_some()) {
            rows.passed.increment(1);
            return;
        }
        let state = found.unwrap_or(State { sequence: SequenceNumber(0), image: None });
        part.put(hash, Entry::new(table, key, state), rows.generation_bytes_max);
    }

    /// A write of a key was applied: what is kept of it says so from now on.
    pub(crate) fn renew(&self, table: TableId, key: &Key, state: impl FnOnce() -> State) {
        let Some(rows) = &self.0 else { return };
        if !rows.used.load(Ordering::SeqCst) || rows.broken.load(Ordering::Relaxed) {
            return;
        }
        let hash = hash(table, key);
        if rows.part(hash).renew(hash, table, key, state, rows.generation_bytes_max) {
            rows.renewed.increment(1);
        }
    }

    /// Bytes of rows, approximately.
    pub fn bytes(&self) -> usize {
        let part_bytes = |part: &Mutex<Part>| {
            let part = part.lock().unwrap_or_else(PoisonError::into_inner);
            part.young_bytes + part.old_bytes
        };
        self.0.as_ref().map_or(0, |rows| rows.parts.iter().map(part_bytes).sum())
    }

    /// Lets writes pass by without being renewed: a mistake that a check of the whole must find.
    pub(crate) fn break_renewal(&self) {
        if let Some(rows) = &self.0 {
            rows.broken.store(true, Ordering::Relaxed);
        }
    }
}

impl Rows {
    fn part(&self, hash: u64) -> MutexGuard<'_, Part> {
        self.parts[hash as usize % PARTS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Part {
    fn get(&mut self, hash: u64, table: TableId, key: &Key, generation_bytes_max: usize) -> Option<State> {
        if let Some(entry) = self.young.get(&hash) {
            return entry.is_of(table, key).then(|| entry.state.clone());
        }
        if !self.old.get(&hash)?.is_of(table, key) {
            return None;
        }
        let entry = self.old.remove(&hash)?;
        self.old_bytes -= entry.bytes();
        let state = entry.state.clone();
        self.put(hash, entry, generation_bytes_max);
        Some(state)
    }

    fn put(&mut self, hash: u64, entry: Entry, generation_bytes_max: usize) {
        let bytes = entry.bytes();
        self.forget(hash);
        if bytes > generation_bytes_max {
            return;
        }
        if self.young_bytes + bytes > generation_bytes_max {
            self.old = mem::take(&mut self.young);
            self.old_bytes = mem::take(&mut self.young_bytes);
        }
        self.young_bytes += bytes;
        self.young.insert(hash, entry);
    }

    /// Replaces the state of a key that is here; answers whether it is.
    fn renew(
        &mut self,
        hash: u64,
        table: TableId,
        key: &Key,
        state: impl FnOnce() -> State,
        generation_bytes_max: usize,
    ) -> bool {
        let found = self.young.get(&hash).or_else(|| self.old.get(&hash));
        if !found.is_some_and(|entry| entry.is_of(table, key)) {
            return false;
        }
        self.put(hash, Entry::new(table, key, state()), generation_bytes_max);
        true
    }

    fn forget(&mut self, hash: u64) {
        if let Some(entry) = self.young.remove(&hash) {
            self.young_bytes -= entry.bytes();
        }
        if let Some(entry) = self.old.remove(&hash) {
            self.old_bytes -= entry.bytes();
        }
    }
}

impl Entry {
    /// With memory of its own: what it came from is larger.
    fn new(table: TableId, key: &Key, state: State) -> Entry {
        let own = |bytes: &Bytes| Bytes::copy_from_slice(bytes);
        let key = Key { partition: own(&key.partition), sort: own(&key.sort) };
        let image = state.image.map(|image| Image::from_bytes(own(image.bytes())));
        Entry { table, key, state: State { sequence: state.sequence, image } }
    }

    fn is_of(&self, table: TableId, key: &Key) -> bool {
        self.table == table && self.key == *key
    }

    fn bytes(&self) -> usize {
        let image = self.state.image.as_ref().map_or(0, |image| image.bytes().len());
        self.key.partition.len() + self.key.sort.len() + image + ENTRY_OVERHEAD_BYTES
    }
}

/// The same in every process: what is kept must be a function of what was asked.
fn hash(table: TableId, key: &Key) -> u64 {
    let mut hasher = DefaultHasher::new();
    (table.0, key).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
