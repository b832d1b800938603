//! One consistent set of places to look for a row.

use std::sync::{
    Arc, PoisonError, RwLock,
    atomic::{AtomicU64, Ordering},
};

use futures::FutureExt;
use item::{Image, IndexKind, Key, SequenceNumber, ShardId, Slot, Table, TableId, key::SLOTS};

use crate::{
    Catalog, Error,
    cache::Cache,
    env::Disk,
    files::{FileSet, Row},
    log::FrameNumber,
    manifest::Manifest,
    memtable::Memtable,
    read::Reader,
    rows::RowCache,
};

/// Everything a reader needs, as of one moment. Parts are shared; a change makes a new view.
#[derive(Clone)]
pub struct View {
    /// Per shard, the memtable that apply writes to.
    pub active: Arc<Vec<Memtable>>,
    /// Sealed sets that wait for the compactor, oldest first.
    pub sealed: Vec<Arc<Sealed>>,
    /// Flushed files.
    pub files: Arc<FileSet>,
    /// Tables.
    pub catalog: Arc<Catalog>,
    /// What is known of single keys in files, without asking them.
    pub rows: RowCache,
}

/// The memtables of all shards after exactly the frames up to one; nothing writes to them any more.
pub struct Sealed {
    /// Per shard.
    pub memtables: Arc<Vec<Memtable>>,
    /// The last frame in them.
    pub through: FrameNumber,
    /// Per shard, the number of its last event up to that frame.
    pub sequences: Vec<SequenceNumber>,
    /// Tables after that frame.
    pub catalog: Arc<Catalog>,
    /// The next table number to give out after that frame.
    pub next_table: u32,
    /// When it was sealed, microseconds since 1970.
    pub sealed_at_us: u64,
}

impl Sealed {
    /// Memory taken, in bytes.
    pub fn bytes(&self) -> usize {
        self.memtables.iter().map(Memtable::bytes).sum()
    }
}

impl View {
    /// Nothing but files, those that `manifest` names.
    pub fn of_files(disk: &dyn Disk, manifest: &Manifest) -> Result<View, Error> {
        Ok(View {
            active: Arc::new(manifest.flushed_sequences.iter().map(|_| Memtable::default()).collect()),
            sealed: Vec::new(),
            files: Arc::new(FileSet::open(disk, manifest)?),
            catalog: Arc::new(manifest.catalog.clone()),
            rows: RowCache::off(),
        })
    }

    /// Of this view nothing but the files.
    pub fn cold(&self) -> View {
        let active = Arc::new(self.active.iter().map(|_| Memtable::default()).collect());
        let (files, catalog) = (self.files.clone(), self.catalog.clone());
        View { active, sealed: Vec::new(), files, catalog, rows: RowCache::off() }
    }

    /// The newest rows of what `id` numbers in one shard, by key, after `after` (exclusive) if given, removed keys included;
    /// fewer than `rows_max` only at the end. Past the cache: blocks on the disk.
    pub fn rows(&self, id: TableId, shard: ShardId, after: Option<&Key>, rows_max: usize) -> Result<Vec<Row>, Error> {
        let rows = Reader { view: self, cache: &Cache::Off }.rows(id, shard, after, rows_max).now_or_never();
        rows.expect("without a cache, reads complete at once")
    }

    /// Memtables of a shard, newest first.
    pub fn memtables(&self, shard: ShardId) -> impl Iterator<Item = &Memtable> {
        let at = usize::from(shard.0);
        std::iter::once(&self.active[at]).chain(self.sealed.iter().rev().map(move |sealed| &sealed.memtables[at]))
    }

    /// How many shards there are.
    pub fn shards(&self) -> u16 {
        u16::try_from(self.active.len()).expect("shards are at most 64")
    }

    /// Rows and bytes of a table, approximately: superseded and removed rows count until they are merged.
    pub fn approximate_size(&self, table: &Table) -> (u64, u64) {
        let mut rows = 0;
        let mut bytes = 0;
        for shard in (0..self.shards()).map(ShardId) {
            for memtable in self.memtables(shard) {
                let (memtable_rows, memtable_bytes) = memtable.size(table.id);
                rows += memtable_rows;
                bytes += memtable_bytes;
            }
            for file in self.files.files(table.id, shard) {
                rows += file.rows;
                bytes += file.bytes;
            }
        }
        (rows, bytes)
    }

    /// Bytes of the items that share the partition key of `key`, and of their entries in local indexes, as DynamoDB counts
    /// them, at most: what is known without reading them.
    pub fn collection_bytes_max(&self, table: &Table, key: &Key) -> u64 {
        let shard = shard_of_key(key, self.shards());
        let local = table.indexes.iter().filter(|index| index.kind == IndexKind::Local).map(|index| index.id);
        let mut bytes: u64 = 0;
        // The entries of a local index lie in the shard of their items, and have their partition key.
        for id in std::iter::once(table.id).chain(local) {
            for memtable in self.memtables(shard) {
                bytes = bytes.saturating_add(Image::SIZE_FACTOR * memtable.size(id).1);
            }
            let files = self.files.files(id, shard).iter();
            let around =
                files.filter(|file| file.min_key.partition <= key.partition && key.partition <= file.max_key.partition);
            bytes = around.map(|file| file.item_bytes_max()).fold(bytes, u64::saturating_add);
        }
        bytes
    }
}

/// The shard of a slot where `shards` equal ranges cover all slots.
pub fn shard_of(slot: Slot, shards: u16) -> ShardId {
    let at = u32::from(slot.0) * u32::from(shards) / u32::from(SLOTS);
    ShardId(u16::try_from(at).expect("below the number of shards"))
}

/// The shard of a key where `shards` equal ranges cover all slots.
pub fn shard_of_key(key: &Key, shards: u16) -> ShardId {
    shard_of(key.slot(), shards)
}

/// The current view, swapped whole. Its lock is held only to clone or replace one pointer.
pub struct CurrentView {
    view: RwLock<Arc<View>>,
    /// Held by apply for one frame, and by those who read several keys of active memtables at once.
    frames: RwLock<()>,
    /// Per shard, the number of the first event after the last frame that is applied whole.
    whole: Vec<AtomicU64>,
}

impl CurrentView {
    /// Starts with `view`.
    pub fn new(view: View) -> CurrentView {
        let whole = view.active.iter().map(|_| AtomicU64::new(0)).collect();
        CurrentView { view: RwLock::new(Arc::new(view)), frames: RwLock::new(()), whole }
    }

    /// Lets `apply` show the events of one frame; it answers the number of the first event after them, per shard.
    pub(crate) fn apply_frame<'a>(&self, apply: impl FnOnce() -> &'a [SequenceNumber]) {
        let _frames = self.frames.write().unwrap_or_else(PoisonError::into_inner);
        for (whole, next) in self.whole.iter().zip(apply()) {
            whole.store(next.0, Ordering::Release);
        }
    }

    /// Waits until the frame of event `sequence` of `shard`, which has been seen, is applied whole: who then reads what else is
    /// in it finds it.
    pub(crate) fn wait_for(&self, shard: ShardId, sequence: SequenceNumber) {
        let whole = self.whole[usize::from(shard.0)].load(Ordering::Acquire);
        if sequence.0 >= whole {
            self.wait_for_frame();
        }
    }

    /// Waits until the frame that is being applied, if one is, is applied whole.
    pub(crate) fn wait_for_frame(&self) {
        drop(self.frames.read().unwrap_or_else(PoisonError::into_inner));
    }

    /// What `read` makes of the view of this moment while no frame is being applied; and that view. Must be short.
    pub(crate) fn between_frames<T>(&self, read: impl FnOnce(&View) -> T) -> (Arc<View>, T) {
        let _frames = self.frames.read().unwrap_or_else(PoisonError::into_inner);
        let view = self.get();
        let read = read(&view);
        (view, read)
    }

    /// The view of this moment.
    pub fn get(&self) -> Arc<View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the view by what `change` makes of it. Changes are one at a time.
    pub fn change(&self, change: impl FnOnce(&mut View)) {
        let mut current = self.view.write().unwrap_or_else(PoisonError::into_inner);
        let mut view = View::clone(&current);
        change(&mut view);
        *current = Arc::new(view);
    }
}
