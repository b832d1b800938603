//! Iterators and records of one shard.

use std::sync::Arc;

use item::{Actor, Change, Old, ShardId, StreamView, Table};
use proptest::prelude::*;
use store::log::{FrameNumber, Log};

use super::{SHARDS, World, indexed_log::IndexedLog, name, put, reading, remove, shard, ts};
use crate::{Error, EventName, IteratorStart, Reader, Record, RecordsPage, position::ITERATOR_LIFETIME_US};

fn iterator(world: &World, table: &Table, of: u16, start: IteratorStart) -> Result<String, Error> {
    world.streams.iterator(&name(table), &shard(table, of), start)
}

/// Reads a shard until a page is empty or the shard ends.
fn drain(streams: &Reader, iterator: String, limit: usize) -> (Vec<Record>, Option<String>) {
    let (mut records, mut next) = (Vec::new(), Some(iterator));
    while let Some(token) = next.take() {
        let page = streams.records(&token, limit).unwrap();
        assert!(page.records.len() <= limit);
        next = page.next_iterator;
        if page.records.is_empty() {
            break;
        }
        records.extend(page.records);
    }
    (records, next)
}

fn times(records: &[Record]) -> Vec<i64> {
    records.iter().map(ts).collect()
}

#[test]
fn a_shard_gives_its_records_in_order_and_no_others() {
    let mut world = World::new();
    let table = world.create(1000, "readings", StreamView::NewAndOldImages);
    let other = world.create(1001, "others", StreamView::NewAndOldImages);
    let mixed = |numbers: [i64; 4]| {
        let [a, b, c, d] = numbers;
        vec![
            (ShardId(0), put(&table, a, Old::Absent)),
            (ShardId(1), put(&table, b, Old::Absent)),
            (ShardId(0), put(&table, c, Old::Absent)),
            (ShardId(3), put(&table, d, Old::Absent)),
        ]
    };
    world.append(&table, mixed([1, 2, 3, 4]));
    world.append(&other, vec![(ShardId(0), put(&other, 99, Old::Absent))]);
    world.append(&table, vec![]);
    world.append(&table, mixed([5, 6, 7, 8]));

    let mut found = Vec::new();
    for of in 0..SHARDS {
        for limit in [1, 2, 1000] {
            let begin = iterator(&world, &table, of, IteratorStart::TrimHorizon).unwrap();
            let (records, next) = drain(&world.streams, begin, limit);
            assert!(next.is_some(), "the shard is open");
            assert!(records.is_sorted_by_key(|record| record.sequence));
            assert!(records.iter().all(|record| record.shard == ShardId(of)));
            found.push(times(&records));
        }
    }
    let expected: [&[i64]; 4] = [&[1, 3, 5, 7], &[2, 6], &[], &[4, 8]];
    assert_eq!(
        found,
        expected.iter().flat_map(|times| [times.to_vec(), times.to_vec(), times.to_vec()]).collect::<Vec<_>>()
    );
}

#[test]
fn each_view_shows_its_part() {
    for view in [StreamView::KeysOnly, StreamView::NewImage, StreamView::OldImage, StreamView::NewAndOldImages] {
        let mut world = World::new();
        let table = world.create(1000, "readings", view);
        world.pass(5);
        let shard = ShardId(2);
        let old = || Old::Image(item::Image::encode(&reading(7)));
        world.append(
            &table,
            vec![(shard, put(&table, 7, Old::Absent)), (shard, put(&table, 7, old())), (shard, remove(&table, 7))],
        );
        let begin = iterator(&world, &table, 2, IteratorStart::TrimHorizon).unwrap();
        let (records, _) = drain(&world.streams, begin, 10);

        assert_eq!(
            records.iter().map(|record| record.event).collect::<Vec<_>>(),
            [EventName::Insert, EventName::Modify, EventName::Remove]
        );
        let shows_new = matches!(view, StreamView::NewImage | StreamView::NewAndOldImages);
        let shows_old = matches!(view, StreamView::OldImage | StreamView::NewAndOldImages);
        let part = |shown: bool| shown.then(|| item::Image::encode(&reading(7)));
        assert_eq!(
            records.iter().map(|record| record.new_image.clone()).collect::<Vec<_>>(),
            [part(shows_new), part(shows_new), None]
        );
        assert_eq!(
            records.iter().map(|record| record.old_image.clone()).collect::<Vec<_>>(),
            [None, part(shows_old), part(shows_old)]
        );
        let mut keys = reading(7);
        keys.remove("value");
        for record in &records {
            assert_eq!((&record.keys, record.view, record.actor), (&keys, view, Actor::User));
            assert_eq!(record.created_at_us, world.now_us());
            assert_eq!(record.id.len(), 32);
        }
        let images = [usize::from(shows_new), usize::from(shows_new) + usize::from(shows_old), usize::from(shows_old)];
        for (record, images) in records.iter().zip(images) {
            assert_eq!(record.size_bytes, keys.size() + images * reading(7).size());
        }
        assert_eq!(records[0].sequence_text(), "000000000000000000002", "the table's own event came before");
    }
}

#[test]
fn iterators_begin_where_they_say() {
    let mut world = World::new();
    let table = world.create(1000, "readings", StreamView::KeysOnly);
    world.put_readings(&table, 0, 1..6); // Sequence numbers 2 to 6.
    let at = |text: &str| IteratorStart::AtSequence(text.to_owned());
    let after = |text: &str| IteratorStart::AfterSequence(text.to_owned());
    for (start, expected) in [
        (IteratorStart::TrimHorizon, vec![1, 2, 3, 4, 5]),
        (at("2"), vec![1, 2, 3, 4, 5]),
        (at("000000000000000000005"), vec![4, 5]),
        (after("5"), vec![5]),
        (after("6"), vec![]),
        (at("7"), vec![]),
        (after("7"), vec![]),
        (IteratorStart::Latest, vec![]),
    ] {
        let begin = iterator(&world, &table, 0, start.clone()).unwrap();
        assert_eq!(times(&drain(&world.streams, begin, 2).0), expected, "{start:?}");
    }
    for text in ["8", "", "x", "18446744073709551615", "18446744073709551616"] {
        for start in [at(text), after(text)] {
            let refused = iterator(&world, &table, 0, start);
            assert!(matches!(refused, Err(Error::InvalidSequence { .. })), "{text}: {refused:?}");
        }
    }
    let before = iterator(&world, &table, 0, at("1"));
    assert!(matches!(before, Err(Error::Trimmed { .. })), "{before:?}");

    let latest = iterator(&world, &table, 0, IteratorStart::Latest).unwrap();
    let last = iterator(&world, &table, 0, after("6")).unwrap();
    let next = iterator(&world, &table, 0, at("7")).unwrap();
    let after_next = iterator(&world, &table, 0, after("7")).unwrap();
    world.put_readings(&table, 0, 6..8);
    for begin in [latest, last, next] {
        assert_eq!(times(&drain(&world.streams, begin, 10).0), [6, 7]);
    }
    assert_eq!(times(&drain(&world.streams, after_next, 10).0), [7]);
}

#[test]
fn what_is_not_applied_is_not_shown() {
    let mut world = World::new();
    let table = world.create(1000, "readings", StreamView::KeysOnly);
    world.put_readings(&table, 0, 1..2);
    let begin = iterator(&world, &table, 0, IteratorStart::TrimHorizon).unwrap();
    let late = iterator(&world, &table, 0, IteratorStart::Latest).unwrap();
    world.append_unapplied(&table, vec![(ShardId(0), put(&table, 2, Old::Absent))]);

    let (records, next) = drain(&world.streams, begin, 10);
    assert_eq!(times(&records), [1]);
    let (records, late) = drain(&world.streams, late, 10);
    assert_eq!(records, []);
    world.apply();
    for next in [next, late] {
        assert_eq!(times(&drain(&world.streams, next.unwrap(), 10).0), [2]);
    }
}

#[test]
fn an_answer_ends_at_a_thousand_records_or_a_megabyte() {
    let mut world = World::new();
    let table = world.create(1000, "readings", StreamView::NewImage);
    let many = (0..2500).map(|number| (ShardId(0), put(&table, number, Old::Absent))).collect();
    world.append(&table, many);
    let large = |number: i64| {
        let mut item = reading(number);
        item.insert("value", "x".repeat(300_000).into());
        Change::Put {
            key: item::Key::of_item(&table, &item).unwrap(),
            new: item::Image::encode(&item),
            old: Old::Absent,
        }
    };
    world.append(&table, (0..10).map(|number| (ShardId(1), large(number))).collect());

    let mut next = iterator(&world, &table, 0, IteratorStart::TrimHorizon).unwrap();
    let mut lengths = Vec::new();
    for _ in 0..4 {
        let page = world.streams.records(&next, usize::MAX).unwrap();
        lengths.push(page.records.len());
        next = page.next_iterator.unwrap();
    }
    assert_eq!(lengths, [1000, 1000, 500, 0]);

    let begin = iterator(&world, &table, 1, IteratorStart::TrimHorizon).unwrap();
    assert_eq!(world.streams.records(&begin, 1000).unwrap().records.len(), 3);
    assert_eq!(times(&drain(&world.streams, begin, 1000).0), Vec::from_iter(0..10));
}

#[test]
fn one_call_looks_through_a_bounded_piece_of_the_log() {
    let mut world = World::new();
    let table = world.create(1000, "readings", StreamView::KeysOnly);
    let begin = iterator(&world, &table, 3, IteratorStart::TrimHorizon).unwrap();
    // Nothing for shard 3 in over 8 MiB of frames, each at least a block of 4096 bytes.
    for _ in 0..2500 {
        world.append(&table, vec![]);
    }
    world.put_readings(&table, 3, 1..2);
    let page = world.streams.records(&begin, 10).unwrap();
    assert_eq!(page.records, [], "an empty page, and yet there is more");
    let page = world.streams.records(&page.next_iterator.unwrap(), 10).unwrap();
    assert_eq!(times(&page.records), [1]);
}

#[test]
fn what_an_index_knows_to_be_of_others_is_passed_over() {
    let mut world = World::new();
    let table = world.create(1000, "readings", StreamView::KeysOnly);
    let busy = world.create(1001, "busy", StreamView::KeysOnly);
    world.put_readings(&table, 3, 1..3);
    world.put_readings(&busy, 3, 0..2500);
    world.put_readings(&table, 3, 3..4);
    let streams = world.reopened_as(Arc::new(IndexedLog(world.log.clone())));
    let begin = iterator(&world, &table, 3, IteratorStart::TrimHorizon).unwrap();
    let page = streams.records(&begin, 10).unwrap();
    assert_eq!(times(&page.records), [1, 2, 3], "without the index that is two pages, the first empty");
    // What was passed over, and is trimmed then, is no loss.
    let quiet = iterator(&world, &table, 2, IteratorStart::TrimHorizon).unwrap();
    world.put_readings(&busy, 2, 0..10);
    let next = streams.records(&quiet, 10).unwrap().next_iterator.unwrap();
    world.log.trim(world.log.tail()).unwrap();
    assert_eq!(streams.records(&next, 10).unwrap().records, []);
}

#[test]
fn a_disabled_stream_ends_and_the_next_one_begins_after_it() {
    let mut world = World::new();
    let first = world.create(1000, "readings", StreamView::KeysOnly);
    world.put_readings(&first, 0, 1..3);
    let kept = iterator(&world, &first, 0, IteratorStart::Latest).unwrap();
    world.put_readings(&first, 0, 3..4);
    world.pass(2_000_000);
    let off = world.set_stream(&first, None);
    world.put_readings(&off, 0, 4..6);
    world.pass(2_000_000);
    let second = world.set_stream(&off, Some(StreamView::NewImage));
    world.put_readings(&second, 0, 6..8);

    assert_eq!(times(&drain(&world.streams, kept, 10).0), [3]);
    for streams in [&world.streams, &world.reopened()] {
        let begin = streams.iterator(&name(&first), &shard(&first, 0), IteratorStart::TrimHorizon).unwrap();
        let (records, next) = drain(streams, begin, 10);
        assert_eq!((times(&records), next), (vec![1, 2, 3], None), "the first stream, to its end");
        let described = streams.describe(&name(&first), None, 100).unwrap();
        assert!(!described.is_enabled);
        let ending: Vec<u64> = described.shards.iter().filter_map(|shard| Some(shard.ending_sequence?.0)).collect();
        assert_eq!(ending, [4, 1, 1, 1], "three readings and the table's own event");

        let begin = streams.iterator(&name(&second), &shard(&second, 0), IteratorStart::TrimHorizon).unwrap();
        let (records, next) = drain(streams, begin, 10);
        assert_eq!(times(&records), [6, 7], "the second stream begins after it was enabled");
        assert!(next.is_some());
        assert!(records.iter().all(|record| record.new_image.is_some()));
    }
    let latest = iterator(&world, &first, 0, IteratorStart::Latest).unwrap();
    let page = world.streams.records(&latest, 10).unwrap();
    assert_eq!(page, RecordsPage { records: vec![], next_iterator: None }, "nothing comes after the end");
}

#[test]
fn a_deleted_table_can_be_read_to_its_end() {
    let mut world = World::new();
    let table = world.create(1000, "readings", StreamView::NewImage);
    world.put_readings(&table, 1, 1..4);
    let begin = iterator(&world, &table, 1, IteratorStart::TrimHorizon).unwrap();
    world.change_table(&table, &Change::DeleteTable);
    world.pass(1_000_000);
    let again = world.create(1001, "readings", StreamView::NewImage);
    world.put_readings(&again, 1, 10..12);

    for streams in [&world.streams, &world.reopened()] {
        let (records, next) = drain(streams, begin.clone(), 10);
        assert_eq!((times(&records), next), (vec![1, 2, 3], None));
    }
    let begin = iterator(&world, &again, 1, IteratorStart::TrimHorizon).unwrap();
    assert_eq!(times(&drain(&world.streams, begin, 10).0), [10, 11]);
}

#[test]
fn other_changes_of_the_table_do_not_end_its_stream() {
    let mut world = World::new();
    let table = world.create(1000, "readings", StreamView::KeysOnly);
    world.put_readings(&table, 0, 1..3);
    let altered = std::sync::Arc::new(Table { version: 2, deletion_protection: true, ..Table::clone(&table) });
    world.change_table(&altered, &Change::PutTable(altered.clone()));
    world.put_readings(&altered, 0, 3..5);
    for streams in [&world.streams, &world.reopened()] {
        let begin = streams.iterator(&name(&table), &shard(&table, 0), IteratorStart::TrimHorizon).unwrap();
        assert_eq!(times(&drain(streams, begin, 10).0), [1, 2, 3, 4]);
    }
}

#[test]
fn what_is_trimmed_is_said_to_be_trimmed() {
    let mut world = World::new();
    let table = world.create(1000, "readings", StreamView::KeysOnly);
    let early = iterator(&world, &table, 0, IteratorStart::TrimHorizon).unwrap();
    let quiet = iterator(&world, &table, 2, IteratorStart::TrimHorizon).unwrap();
    world.put_readings(&table, 0, 1..6);
    world.log.trim(FrameNumber(world.log.tail().0 - 2)).unwrap();

    let lost = world.streams.records(&early, 10);
    assert!(matches!(lost, Err(Error::Trimmed { .. })), "{lost:?}");
    let page = world.streams.records(&quiet, 10).unwrap();
    assert_eq!(page.records, [], "nothing of this shard was lost");
    let refused = iterator(&world, &table, 0, IteratorStart::AtSequence("2".to_owned()));
    assert!(matches!(refused, Err(Error::Trimmed { .. })), "{refused:?}");
    for streams in [&world.streams, &world.reopened()] {
        let begin = streams.iterator(&name(&table), &shard(&table, 0), IteratorStart::TrimHorizon).unwrap();
        assert_eq!(times(&drain(streams, begin, 10).0), [4, 5], "what is kept");
        let described = streams.describe(&name(&table), None, 100).unwrap();
        assert_eq!(described.shards[0].starting_sequence.0, 5);
    }
}

#[test]
fn iterators_expire_and_strangers_are_refused() {
    let mut world = World::new();
    let table = world.create(1000, "readings", StreamView::KeysOnly);
    let token = iterator(&world, &table, 0, IteratorStart::TrimHorizon).unwrap();
    assert!(matches!(world.streams.records("AAAA", 10), Err(Error::InvalidToken { .. })));
    assert!(matches!(world.streams.records("", 10), Err(Error::InvalidToken { .. })));
    world.pass(ITERATOR_LIFETIME_US);
    let next = world.streams.records(&token, 10).unwrap().next_iterator.unwrap();
    world.pass(1);
    assert!(matches!(world.streams.records(&token, 10), Err(Error::ExpiredIterator { .. })));
    assert!(world.streams.records(&next, 10).is_ok(), "a new token has its own time");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the frames and page sizes: each change of the table once, in the order of its shard.
    #[test]
    fn every_change_is_told_exactly_once(
        frames in prop::collection::vec(prop::collection::vec((0..SHARDS, 0..3_u8), 0..12), 0..20),
        limit in 1..20_usize,
    ) {
        let mut world = World::new();
        let table = world.create(1000, "readings", StreamView::KeysOnly);
        let other = world.create(1001, "others", StreamView::KeysOnly);
        let mut expected = vec![Vec::new(); usize::from(SHARDS)];
        let mut number = 0;
        for frame in frames {
            let of_table = frame.len() % 3 != 0;
            let mut changes = Vec::new();
            for (shard, kind) in frame {
                number += 1;
                if of_table {
                    expected[usize::from(shard)].push(number);
                }
                let change = if kind == 0 { remove(&table, number) } else { put(&table, number, Old::Absent) };
                changes.push((ShardId(shard), change));
            }
            world.append(if of_table { &table } else { &other }, changes);
        }
        for of in 0..SHARDS {
            let begin = iterator(&world, &table, of, IteratorStart::TrimHorizon).unwrap();
            let (records, _) = drain(&world.streams, begin, limit);
            prop_assert_eq!(times(&records), &expected[usize::from(of)][..]);
        }
    }
}
