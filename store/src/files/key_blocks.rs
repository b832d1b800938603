//! Keys of cold files that were read, block by block, in bounded memory.
//!
//! A late reading lies between keys that are in files, and is in none of them. To know that, the keys of one block of each file
//! must be read, once: then planning tells it at once for all that lie there. Files never change and their numbers never come back, so
//! nothing here is ever wrong.
//!
//! Two generations: when the younger has half of the bytes it becomes the older, and what nobody asked for since is forgotten.

use std::{
    collections::BTreeMap,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{FileId, keys::Keys};

/// A block of a file.
type Place = (FileId, usize);

/// Blocks of keys. Cloning shares them.
#[derive(Clone, Default)]
pub(crate) struct KeyBlocks(Option<Arc<Shared>>);

struct Shared {
    generations: Mutex<Generations>,
    generation_bytes_max: usize,
}

#[derive(Default)]
struct Generations {
    young: BTreeMap<Place, Arc<Keys>>,
    young_bytes: usize,
    old: BTreeMap<Place, Arc<Keys>>,
    old_bytes: usize,
}

impl KeyBlocks {
    /// At most so many bytes; 0 for none.
    pub(crate) fn new(bytes_max: usize) -> KeyBlocks {
        let shared = Shared { generations: Mutex::default(), generation_bytes_max: bytes_max / 2 };
        KeyBlocks((bytes_max > 0).then(|| Arc::new(shared)))
    }

    /// Is nothing kept?
    pub(super) fn is_off(&self) -> bool {
        self.0.is_none()
    }

    pub(super) fn get(&self, place: Place) -> Option<Arc<Keys>> {
        let shared = self.0.as_ref()?;
        let mut generations = shared.lock();
        if let Some(keys) = generations.young.get(&place) {
            return Some(Arc::clone(keys));
        }
        let keys = generations.old.remove(&place)?;
        generations.old_bytes -= keys.memory_bytes();
        generations.put(place, Arc::clone(&keys), shared.generation_bytes_max);
        Some(keys)
    }

    pub(super) fn put(&self, place: Place, keys: Arc<Keys>) {
        let Some(shared) = &self.0 else { return };
        let mut generations = shared.lock();
        generations.put(place, keys, shared.generation_bytes_max);
        let bytes = generations.young_bytes + generations.old_bytes;
        metrics::gauge!("thalweg_memory_key_blocks_bytes").set(bytes as f64);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Generations> {
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generations {
    fn put(&mut self, place: Place, keys: Arc<Keys>, generation_bytes_max: usize) {
        let bytes = keys.memory_bytes();
        // Two readers may have read the same block.
        if bytes > generation_bytes_max || self.young.contains_key(&place) {
            return;
        }
        if self.young_bytes + bytes > generation_bytes_max {
            self.old = mem::take(&mut self.young);
            self.old_bytes = mem::take(&mut self.young_bytes);
        }
        if let Some(before) = self.old.remove(&place) {
            self.old_bytes -= before.memory_bytes();
        }
        self.young_bytes += bytes;
        self.young.insert(place, keys);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(rows: u8) -> Arc<Keys> {
        let mut keys = Keys::with_capacity(usize::from(rows));
        for row in 0..rows {
            let put = |byte: u8| {
                move |out: &mut Vec<u8>| {
                    out.push(byte);
                    Ok::<(), ()>(())
                }
            };
            keys.push(put(1), put(row)).unwrap();
        }
        Arc::new(keys)
    }

    #[test]
    fn what_nobody_asks_for_is_forgotten_and_the_bound_holds() {
        let bytes = keys(10).memory_bytes();
        let blocks = KeyBlocks::new(8 * bytes);
        for block in 0..20 {
            blocks.put((FileId(1), block), keys(10));
            blocks.put((FileId(1), block), keys(10));
            assert!(blocks.get((FileId(1), 0)).is_some(), "asked for after every other");
            let generations = blocks.0.as_ref().unwrap().lock();
            let held = generations.young.values().chain(generations.old.values());
            let held: usize = held.map(|keys| keys.memory_bytes()).sum();
            assert_eq!(held, generations.young_bytes + generations.old_bytes);
            assert!(held <= 8 * bytes, "{held}");
        }
        assert!(blocks.get((FileId(1), 5)).is_none());
        assert!(blocks.get((FileId(2), 0)).is_none());
        blocks.put((FileId(2), 0), keys(200));
        assert!(blocks.get((FileId(2), 0)).is_none(), "larger than a generation");
        KeyBlocks::new(0).put((FileId(1), 0), keys(10));
        assert!(KeyBlocks::new(0).get((FileId(1), 0)).is_none());
    }
}
