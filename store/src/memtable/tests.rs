//! The memtable against a plain map, over the shapes that data comes in.

use proptest::prelude::*;

use super::*;

const TABLES: [TableId; 2] = [TableId(1000), TableId(1001)];

fn key(partition: u16, sort: u16) -> Key {
    let partition = partition.to_be_bytes();
    Key {
        partition: Bytes::copy_from_slice(&[1, partition[0], partition[1], 0, 1]),
        sort: Bytes::copy_from_slice(&sort.to_be_bytes()),
    }
}

fn state(sequence: u64, value: Option<(u8, usize)>) -> State {
    let image = |(byte, bytes)| Image::from_bytes(Bytes::from(vec![byte; bytes]));
    State { sequence: SequenceNumber(sequence), image: value.map(image) }
}

type Model = BTreeMap<Key, State>;

fn row((key, state): (&Key, &State)) -> Row {
    Row { key: key.clone(), sequence: state.sequence, image: state.image.clone() }
}

/// Rows of blocks, one after the other, as a reader takes them.
fn scan(memtable: &Memtable, table: TableId, range: &KeyRange, direction: Direction, rows_max: usize) -> Vec<Row> {
    let (mut range, mut rows) = (range.clone(), Vec::<Row>::new());
    loop {
        let block = memtable.scan(table, &range, direction, rows_max);
        assert!(block.rows.len() <= rows_max && (block.is_last || !block.rows.is_empty()));
        if let Some(Row { key, .. }) = block.rows.last() {
            match direction {
                Direction::Forward => {
                    let sort = [&key.sort[..], &[0]].concat().into();
                    range.from = Some(Key { partition: key.partition.clone(), sort });
                }
                Direction::Backward => range.until = Some(key.clone()),
            }
        }
        rows.extend(block.rows);
        if block.is_last {
            return rows;
        }
    }
}

fn check(memtable: &Memtable, table: TableId, model: &Model) {
    for (key, state) in model {
        assert_eq!(memtable.get(table, key).as_ref(), Some(state));
        assert_eq!(memtable.get(table, &Key { sort: [&key.sort[..], &[0]].concat().into(), ..key.clone() }), None);
        let last = model.keys().rfind(|other| other.partition == key.partition).map(|last| last.sort.clone());
        assert_eq!(memtable.greatest_sort(table, &key.partition), last);
    }
    // No shape makes such a partition.
    let elsewhere = Key { partition: Bytes::from_static(&[2]), ..key(0, 0) };
    assert_eq!(memtable.get(table, &elsewhere), None);
    assert_eq!(memtable.greatest_sort(table, &elsewhere.partition), None);
    let images = || model.values().filter_map(|state| state.image.as_ref());
    let image_bytes = images().map(|image| image.bytes().len() as u64).sum();
    assert_eq!(memtable.size(table), (images().count() as u64, image_bytes));
    assert_eq!(memtable.has_removed(table), images().count() < model.len());
}

/// How partitions and sort keys are made of a number and of the number of the write.
#[derive(Clone, Copy, Debug)]
enum Shape {
    InOrder,
    AlmostInOrder,
    RandomInOnePartition,
    RandomInFew,
    OneRowEach,
    FewRowsEach,
    HotKeys,
}

impl Shape {
    fn key(self, at: u16, random: u16) -> Key {
        match self {
            Shape::InOrder => key(at % 3, at),
            Shape::AlmostInOrder => key(at % 2, at.saturating_sub(random % 4 * (random % 3) * 40)),
            Shape::RandomInOnePartition => key(1, random),
            Shape::RandomInFew => key(random % 5, random / 5),
            Shape::OneRowEach => key(random, 0),
            Shape::FewRowsEach => key(random % 600, random % 4),
            Shape::HotKeys => key(random % 2, random % 3),
        }
    }
}

fn shapes() -> impl Strategy<Value = Shape> {
    proptest::sample::select(vec![
        Shape::InOrder,
        Shape::AlmostInOrder,
        Shape::RandomInOnePartition,
        Shape::RandomInFew,
        Shape::OneRowEach,
        Shape::FewRowsEach,
        Shape::HotKeys,
    ])
}

fn images() -> impl Strategy<Value = Option<(u8, usize)>> {
    let bytes = prop_oneof![20 => 0usize..40, 10 => 0usize..600, 1 => Just(70_000usize), 1 => Just(300_000usize)];
    proptest::option::weighted(0.8, (any::<u8>(), bytes))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn answers_like_a_plain_map(
        shape in shapes(),
        writes in proptest::collection::vec((any::<u16>(), 0usize..2, images()), 0..2000),
        ranges in proptest::collection::vec(
            (proptest::option::of((any::<u16>(), any::<u16>())), proptest::option::of((any::<u16>(), any::<u16>())), 1usize..400),
            1..12,
        ),
        drops in any::<bool>(),
    ) {
        let memtable = Memtable::default();
        let mut models = [Model::new(), Model::new()];
        for (at, (random, table, value)) in (0u16..).zip(writes) {
            // The second table has fewer.
            let table = if random % 8 == 0 { table } else { 0 };
            let (key, state) = (shape.key(at, random), state(u64::from(at) + 1, value));
            memtable.insert(TABLES[table], &key, &state);
            models[table].insert(key, state);
        }
        if drops {
            memtable.remove_table(TABLES[0]);
            models[0].clear();
        }
        for (table, model) in TABLES.into_iter().zip(&models) {
            check(&memtable, table, model);
            for (from, until, rows_max) in &ranges {
                let bound = |bound: &Option<(u16, u16)>| bound.map(|(at, random)| shape.key(at % 2000, random));
                let range = KeyRange { from: bound(from), until: bound(until) };
                let is_inside = |(key, _): &(&Key, &State)| {
                    range.from.as_ref().is_none_or(|from| *key >= from)
                        && range.until.as_ref().is_none_or(|until| *key < until)
                };
                let forward: Vec<Row> = model.iter().filter(is_inside).map(row).collect();
                let backward: Vec<Row> = forward.iter().rev().cloned().collect();
                prop_assert_eq!(scan(&memtable, table, &range, Direction::Forward, *rows_max), forward);
                prop_assert_eq!(scan(&memtable, table, &range, Direction::Backward, *rows_max), backward);
            }
        }
    }
}

#[test]
fn a_hot_item_does_not_grow_the_memory() {
    let memtable = Memtable::default();
    memtable.insert(TABLES[0], &key(1, 1), &state(1, Some((7, 100))));
    let before = memtable.bytes();
    for sequence in 2..100_000 {
        memtable.insert(TABLES[0], &key(1, 1), &state(sequence, Some((7, 100))));
    }
    assert!(memtable.bytes() <= before + 1024, "{before} bytes became {}", memtable.bytes());
}

#[test]
fn an_item_that_changes_its_size_does_not_grow_the_memory() {
    let memtable = Memtable::default();
    for sequence in 1..20_000 {
        let bytes = (sequence as usize * 7919) % 1000;
        memtable.insert(TABLES[0], &key(1, 1), &state(sequence, Some((7, bytes))));
        assert!(memtable.bytes() < 64 << 10, "{} bytes after {sequence}", memtable.bytes());
    }
}

#[test]
fn a_table_that_is_gone_gives_its_memory_back() {
    let memtable = Memtable::default();
    memtable.insert(TABLES[1], &key(1, 1), &state(1, Some((7, 100))));
    let before = memtable.bytes();
    for at in 0..5000 {
        memtable.insert(TABLES[0], &key(at % 100, at), &state(u64::from(at) + 2, Some((7, 100))));
    }
    assert!(memtable.bytes() > before + 500_000);
    memtable.remove_table(TABLES[0]);
    assert!(memtable.bytes() < before + 4096, "{}", memtable.bytes());
}

#[test]
fn a_block_is_bounded_in_bytes() {
    let memtable = Memtable::default();
    for at in 0..20 {
        memtable.insert(TABLES[0], &key(1, at), &state(u64::from(at) + 1, Some((7, 100_000))));
    }
    let block = memtable.scan(TABLES[0], &KeyRange::default(), Direction::Forward, 1000);
    assert_eq!((block.rows.len(), block.is_last), (3, false));
    assert_eq!(scan(&memtable, TABLES[0], &KeyRange::default(), Direction::Forward, 1000).len(), 20);
}

#[test]
fn little_takes_little_memory() {
    let memtable = Memtable::default();
    memtable.insert(TABLES[0], &key(1, 1), &state(1, Some((7, 100))));
    assert!(memtable.bytes() < 2048, "{}", memtable.bytes());
}
