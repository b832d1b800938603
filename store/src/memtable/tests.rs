//! The memtable against a plain map.

use proptest::prelude::*;

use super::*;

const TABLE: TableId = TableId(1000);

fn key(partition: u8, sort: u16) -> Key {
    Key { partition: Bytes::copy_from_slice(&[partition, 0, 1]), sort: Bytes::copy_from_slice(&sort.to_be_bytes()) }
}

fn state(sequence: u64, value: Option<u8>) -> State {
    State { sequence: SequenceNumber(sequence), image: value.map(|v| Image::from_bytes(Bytes::copy_from_slice(&[v]))) }
}

proptest! {
    #[test]
    fn answers_like_a_plain_map(
        writes in proptest::collection::vec((0u8..4, 0u16..300, proptest::option::of(any::<u8>())), 0..600),
        ranges in proptest::collection::vec((proptest::option::of((0u8..5, 0u16..300)), proptest::option::of((0u8..5, 0u16..300)), 1usize..50), 1..20),
    ) {
        let memtable = Memtable::default();
        let mut model = BTreeMap::new();
        for (at, (partition, sort, value)) in writes.into_iter().enumerate() {
            let state = state(at as u64 + 1, value);
            memtable.insert(TABLE, key(partition, sort), state.clone());
            model.insert(key(partition, sort), state);
        }
        for (key, state) in &model {
            prop_assert_eq!(memtable.get(TABLE, key), Some(state.clone()));
        }
        for (from, until, rows_max) in ranges {
            let range = KeyRange { from: from.map(|(p, s)| key(p, s)), until: until.map(|(p, s)| key(p, s)) };
            let inside: Vec<Row> = model
                .iter()
                .filter(|(key, _)| range.from.as_ref().is_none_or(|from| *key >= from) && range.until.as_ref().is_none_or(|until| *key < until))
                .map(|(key, state)| Row { key: key.clone(), sequence: state.sequence, image: state.image.clone() })
                .collect();
            let forward: Vec<Row> = inside.iter().take(rows_max).cloned().collect();
            let backward: Vec<Row> = inside.iter().rev().take(rows_max).cloned().collect();
            prop_assert_eq!(memtable.scan(TABLE, &range, Direction::Forward, rows_max), forward);
            prop_assert_eq!(memtable.scan(TABLE, &range, Direction::Backward, rows_max), backward);
        }
    }
}

#[test]
fn overwriting_one_key_does_not_grow_the_count_of_bytes() {
    let memtable = Memtable::default();
    memtable.insert(TABLE, key(1, 1), state(1, Some(7)));
    let before = memtable.bytes();
    for sequence in 2..100 {
        memtable.insert(TABLE, key(1, 1), state(sequence, Some(7)));
    }
    assert_eq!(memtable.bytes(), before);
}
