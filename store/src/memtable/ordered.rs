//! Small values in the order of keys that lie elsewhere.
//!
//! Values are in leaves of bounded length, and the first of each leaf is in one list above: a tree of two levels. What comes in
//! order fills each leaf to its end; what does not splits a full leaf in half.
//!
//! A key elsewhere is memory that is likely not at hand. So a leaf knows how many first bytes all of its keys share, and has beside
//! each value the four bytes that follow in its key: they tell most keys apart.

use std::cmp::Ordering;

/// Values in a leaf at most.
const LEAF_MAX: usize = 256;

/// The values: in one leaf as long as they fit.
#[derive(Debug)]
pub(crate) enum Ordered<T> {
    Leaf(Leaf<T>),
    Tree(Box<Tree<T>>),
}

#[derive(Debug)]
pub(crate) struct Tree<T> {
    /// The first value of each leaf.
    firsts: Leaf<T>,
    leaves: Vec<Leaf<T>>,
}

#[derive(Debug)]
pub(crate) struct Leaf<T> {
    /// So many first bytes all keys share, or less.
    shared: usize,
    entries: Vec<Entry<T>>,
}

#[derive(Debug)]
struct Entry<T> {
    /// The bytes of the key after the shared ones.
    hint: u32,
    value: T,
}

/// Where a value is, or would be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Spot {
    leaf: usize,
    at: usize,
}

impl Spot {
    /// The spot after the value here.
    pub(crate) fn after(self) -> Spot {
        Spot { at: self.at + 1, ..self }
    }
}

impl<T> Default for Ordered<T> {
    fn default() -> Self {
        Ordered::Leaf(Leaf { shared: 0, entries: Vec::new() })
    }
}

impl<T: Copy> Ordered<T> {
    /// Where the value with this key is, or else would be.
    pub(crate) fn search<'k>(&self, key: &[u8], key_of: impl Fn(T) -> &'k [u8]) -> Result<Spot, Spot> {
        let leaf = match self {
            Ordered::Leaf(_) => 0,
            Ordered::Tree(tree) => match tree.firsts.search(key, &key_of) {
                Ok(leaf) => return Ok(Spot { leaf, at: 0 }),
                Err(after) => after.saturating_sub(1),
            },
        };
        let spot = |at| Spot { leaf, at };
        self.leaves()[leaf].search(key, &key_of).map(spot).map_err(spot)
    }

    /// Adds a value at the spot where a search did not find its key; answers how many more bytes of memory are taken.
    pub(crate) fn insert<'k>(&mut self, spot: Spot, key: &[u8], value: T, key_of: impl Fn(T) -> &'k [u8]) -> usize {
        match self {
            Ordered::Leaf(leaf) if leaf.entries.len() < LEAF_MAX => leaf.insert(spot.at, key, value, &key_of),
            Ordered::Leaf(leaf) => {
                let mut tree = Tree { firsts: Leaf { shared: 0, entries: Vec::new() }, leaves: Vec::with_capacity(4) };
                let first = leaf.entries[0].value;
                let mut taken = tree.firsts.insert(0, key_of(first), first, &key_of);
                tree.leaves.push(std::mem::replace(leaf, Leaf { shared: 0, entries: Vec::new() }));
                taken += tree.insert(spot, key, value, &key_of);
                taken += size_of::<Tree<T>>() + tree.leaves.capacity() * size_of::<Leaf<T>>();
                *self = Ordered::Tree(Box::new(tree));
                taken
            }
            Ordered::Tree(tree) => {
                let before = tree.leaves.capacity();
                let taken = tree.insert(spot, key, value, &key_of);
                taken + (tree.leaves.capacity() - before) * size_of::<Leaf<T>>()
            }
        }
    }

    /// The value at `spot`.
    pub(crate) fn get(&self, spot: Spot) -> T {
        self.leaves()[spot.leaf].entries[spot.at].value
    }

    /// Replaces the value at `spot` by one of the same key.
    pub(crate) fn set(&mut self, spot: Spot, value: T) {
        match self {
            Ordered::Leaf(leaf) => leaf.entries[spot.at].value = value,
            Ordered::Tree(tree) => {
                tree.leaves[spot.leaf].entries[spot.at].value = value;
                if spot.at == 0 {
                    tree.firsts.entries[spot.leaf].value = value;
                }
            }
        }
    }

    /// Replaces each value by one of the same key.
    pub(crate) fn replace_all(&mut self, mut replace: impl FnMut(T) -> T) {
        let mut replace_in =
            |leaf: &mut Leaf<T>| leaf.entries.iter_mut().for_each(|entry| entry.value = replace(entry.value));
        match self {
            Ordered::Leaf(leaf) => replace_in(leaf),
            Ordered::Tree(tree) => {
                tree.leaves.iter_mut().for_each(replace_in);
                let firsts = tree.leaves.iter().map(|leaf| leaf.entries[0].value);
                tree.firsts.entries.iter_mut().zip(firsts).for_each(|(entry, first)| entry.value = first);
            }
        }
    }

    /// The last value.
    pub(crate) fn last(&self) -> Option<T> {
        self.leaves().last()?.entries.last().map(|entry| entry.value)
    }

    /// The spot after the last value.
    pub(crate) fn end(&self) -> Spot {
        let leaves = self.leaves();
        Spot { leaf: leaves.len() - 1, at: leaves[leaves.len() - 1].entries.len() }
    }

    /// The values from `start` to `end`, this one excluded.
    pub(crate) fn range(&self, start: Spot, end: Spot) -> impl DoubleEndedIterator<Item = T> {
        let leaves = if start < end { start.leaf..end.leaf + 1 } else { 0..0 };
        let inside = move |(number, leaf): (usize, &'_ Leaf<T>)| {
            let from = if number == 0 { start.at } else { 0 };
            from..if start.leaf + number == end.leaf { end.at } else { leaf.entries.len() }
        };
        let leaves = self.leaves()[leaves].iter().enumerate();
        leaves.flat_map(move |(number, leaf)| &leaf.entries[inside((number, leaf))]).map(|entry| entry.value)
    }

    fn leaves(&self) -> &[Leaf<T>] {
        match self {
            Ordered::Leaf(leaf) => std::slice::from_ref(leaf),
            Ordered::Tree(tree) => &tree.leaves,
        }
    }
}

impl<T: Copy> Tree<T> {
    fn insert<'k>(&mut self, spot: Spot, key: &[u8], value: T, key_of: &impl Fn(T) -> &'k [u8]) -> usize {
        let Spot { leaf: number, at } = spot;
        if (number, at) == (0, 0) {
            self.firsts.set_first(key, value, key_of);
        }
        let leaf = &mut self.leaves[number];
        if leaf.entries.len() < LEAF_MAX {
            return leaf.insert(at, key, value, key_of);
        }
        let mut added = Leaf { shared: 0, entries: Vec::new() };
        // What comes in order leaves full leaves behind.
        let kept = if at == LEAF_MAX { LEAF_MAX } else { LEAF_MAX / 2 };
        let mut taken = 0;
        if kept < LEAF_MAX {
            added.entries.reserve_exact(LEAF_MAX);
            added.entries.extend(leaf.entries.drain(kept..));
            leaf.fit(key_of);
            added.fit(key_of);
            taken += added.entries.capacity() * size_of::<Entry<T>>();
        }
        taken += match at.checked_sub(kept) {
            Some(at) => added.insert(at, key, value, key_of),
            None => leaf.insert(at, key, value, key_of),
        };
        let first = added.entries[0].value;
        taken += self.firsts.insert(number + 1, key_of(first), first, key_of);
        self.leaves.insert(number + 1, added);
        taken
    }
}

impl<T: Copy> Leaf<T> {
    fn search<'k>(&self, key: &[u8], key_of: &impl Fn(T) -> &'k [u8]) -> Result<usize, usize> {
        let Some(first) = self.entries.first() else { return Err(0) };
        if self.shared > 0 {
            match key[..key.len().min(self.shared)].cmp(&key_of(first.value)[..self.shared]) {
                Ordering::Less => return Err(0),
                Ordering::Greater => return Err(self.entries.len()),
                Ordering::Equal => {}
            }
        }
        let hint = hint(key, self.shared);
        let from = self.entries.partition_point(|entry| entry.hint < hint);
        let alike = self.entries[from..].partition_point(|entry| entry.hint == hint);
        let found = self.entries[from..from + alike].binary_search_by(|entry| key_of(entry.value).cmp(key));
        found.map(|at| from + at).map_err(|at| from + at)
    }

    /// Adds a value; answers how many more bytes of memory are taken.
    fn insert<'k>(&mut self, at: usize, key: &[u8], value: T, key_of: &impl Fn(T) -> &'k [u8]) -> usize {
        match self.entries.first() {
            None => self.shared = key.len(),
            Some(first) => self.share(key, key_of(first.value), key_of),
        }
        let before = self.entries.capacity();
        self.entries.insert(at, Entry { hint: hint(key, self.shared), value });
        (self.entries.capacity() - before) * size_of::<Entry<T>>()
    }

    /// Replaces the first value by one of a lower key.
    fn set_first<'k>(&mut self, key: &[u8], value: T, key_of: &impl Fn(T) -> &'k [u8]) {
        if let Some(first) = self.entries.first() {
            self.share(key, key_of(first.value), key_of);
            self.entries[0] = Entry { hint: hint(key, self.shared), value };
        }
    }

    /// Lets all keys and `key`, of which `other` is one, share no more bytes than they do.
    fn share<'k>(&mut self, key: &[u8], other: &[u8], key_of: &impl Fn(T) -> &'k [u8]) {
        let shared = shared(key, other);
        if shared < self.shared {
            self.shared = shared;
            self.entries.iter_mut().for_each(|entry| entry.hint = hint(key_of(entry.value), shared));
        }
    }

    /// Lets keys share as many bytes as they do.
    fn fit<'k>(&mut self, key_of: &impl Fn(T) -> &'k [u8]) {
        let (Some(first), Some(last)) = (self.entries.first(), self.entries.last()) else { return };
        // What the least and the greatest share all share.
        self.shared = shared(key_of(first.value), key_of(last.value));
        let shared = self.shared;
        self.entries.iter_mut().for_each(|entry| entry.hint = hint(key_of(entry.value), shared));
    }
}

/// The four bytes after the first `shared` ones, zeros after the end.
fn hint(key: &[u8], shared: usize) -> u32 {
    let rest = &key[shared.min(key.len())..];
    match rest.first_chunk() {
        Some(whole) => u32::from_be_bytes(*whole),
        None => (0..4).fold(0, |hint, at| hint << 8 | u32::from(rest.get(at).copied().unwrap_or(0))),
    }
}

/// How many first bytes two keys share.
fn shared(key: &[u8], other: &[u8]) -> usize {
    key.iter().zip(other).take_while(|(byte, other)| byte == other).count()
}
