//! Which streams and shards there are.

use item::StreamView;

use super::{SHARDS, World, name, shard};
use crate::{Error, IteratorStart, StreamName};

#[test]
fn streams_that_are_on_are_listed_by_table() {
    let mut world = World::new();
    let b = world.create(1000, "bbb", StreamView::KeysOnly);
    let a = world.create(1001, "aaa", StreamView::NewImage);
    let off = world.create(1002, "off", StreamView::NewImage);
    world.set_stream(&off, None);
    let streams = &world.streams;

    let page = streams.list(None, None, 10);
    assert_eq!((page.streams, page.last), (vec![name(&a), name(&b)], None));
    let page = streams.list(None, None, 1);
    assert_eq!((&page.streams, &page.last), (&vec![name(&a)], &Some(name(&a))));
    let page = streams.list(None, page.last.as_ref(), 1);
    assert_eq!((page.streams, page.last), (vec![name(&b)], None));
    assert_eq!(streams.list(Some("bbb"), None, 10).streams, [name(&b)]);
    assert_eq!(streams.list(Some("off"), None, 10).streams, []);
    assert_eq!(streams.list(Some("zzz"), None, 10).streams, []);
}

#[test]
fn a_stream_is_described_with_its_shards_in_order() {
    let mut world = World::new();
    world.pass(123_456);
    let table = world.create(1000, "readings", StreamView::OldImage);
    world.put_readings(&table, 1, 1..4);
    let described = world.streams.describe(&name(&table), None, 100).unwrap();
    assert_eq!(described.name.to_string(), "readings/2026-11-22T07:00:00.123");
    assert_eq!((described.view, described.is_enabled), (StreamView::OldImage, true));
    assert_eq!(described.enabled_at_us, world.now_us());
    assert_eq!(described.table, table);
    let ids: Vec<&str> = described.shards.iter().map(|shard| shard.id.as_str()).collect();
    assert_eq!(ids, (0..SHARDS).map(|of| shard(&table, of)).collect::<Vec<_>>());
    assert!(described.shards.iter().all(|shard| shard.starting_sequence.0 == 2 && shard.ending_sequence.is_none()));
    assert_eq!(described.last_shard_id, None);

    let page = world.streams.describe(&name(&table), None, 3).unwrap();
    assert_eq!((page.shards.len(), page.last_shard_id.as_deref()), (3, Some(ids[2])));
    let page = world.streams.describe(&name(&table), page.last_shard_id.as_deref(), 3).unwrap();
    assert_eq!((page.shards.len(), page.last_shard_id), (1, None));
    let page = world.streams.describe(&name(&table), Some(ids[3]), 3).unwrap();
    assert_eq!((page.shards.len(), page.last_shard_id), (0, None), "an empty page after the last");
}

#[test]
fn streams_and_shards_that_are_not_there_are_not_found() {
    let mut world = World::new();
    let table = world.create(1000, "readings", StreamView::KeysOnly);
    let named = |table: &str, label: &str| StreamName { table: table.to_owned(), label: label.to_owned() };
    let label = name(&table).label;
    for name in [
        named("others", &label),
        named("readings", "2026-11-22T07:00:00.001"),
        named("readings", "2020-01-01T00:00:00.000"),
        named("readings", "2030-01-01T00:00:00.000"),
        named("readings", "yesterday"),
        named("readings", ""),
    ] {
        let described = world.streams.describe(&name, None, 100);
        assert!(matches!(described, Err(Error::StreamNotFound { .. })), "{name}: {described:?}");
    }
    for id in ["", "shardId-00000001795330800000-0004-00000000", "shardId-00000001795330800001-0000-00000000"] {
        let iterator = world.streams.iterator(&name(&table), id, IteratorStart::Latest);
        assert!(matches!(iterator, Err(Error::ShardNotFound { .. })), "{id}: {iterator:?}");
    }
    let walk = world.streams.walk("others", &crate::FollowFrom::Latest);
    assert!(matches!(walk.map(drop), Err(Error::StreamNotFound { .. })));
}
