//! Walks over whole streams, and followers.

use std::{future::Future, pin::pin, task::Poll};

use item::{Change, Old, ShardId, StreamView};
use store::log::{FrameNumber, Log};

use super::{START_US, World, put, ts};
use crate::{Error, FollowFrom, Followed, Follower, Reader, Walk};

/// Everything that is there from `from` on.
fn all(streams: &Reader, from: &FollowFrom) -> (Vec<Followed>, Walk) {
    let mut walk = streams.walk("readings", from).unwrap();
    let mut followed = Vec::new();
    while walk.is_behind() {
        followed.extend(walk.step().unwrap());
    }
    (followed, walk)
}

fn times(followed: &[Followed]) -> Vec<i64> {
    followed.iter().map(|followed| ts(&followed.record)).collect()
}

fn follower(world: &World, from: &FollowFrom) -> Follower {
    Follower::new(world.streams.walk("readings", from).unwrap(), world.streams.applied())
}

#[test]
fn a_walk_gives_all_shards_in_the_order_of_the_log() {
    let mut world = World::new();
    let table = world.create(1000, "readings", StreamView::NewImage);
    let other = world.create(1001, "others", StreamView::NewImage);
    world.append(&table, (0..8).map(|n| (ShardId((7 - n as u16) % 4), put(&table, n, Old::Absent))).collect());
    world.put_readings(&other, 0, 100..103);
    world.put_readings(&table, 2, 8..10);
    assert_eq!(times(&all(&world.streams, &FollowFrom::TrimHorizon).0), Vec::from_iter(0..10));
}

#[test]
fn a_walk_goes_on_behind_every_position() {
    let mut world = World::new();
    let table = world.create(1000, "readings", StreamView::KeysOnly);
    world.append(&table, (0..5).map(|n| (ShardId(n as u16 % 4), put(&table, n, Old::Absent))).collect());
    world.put_readings(&table, 1, 5..9);
    let (followed, walk) = all(&world.streams, &FollowFrom::TrimHorizon);
    assert_eq!(times(&followed), Vec::from_iter(0..9));
    for (seen, one) in (1..).zip(&followed) {
        let from: FollowFrom = one.position.parse().unwrap();
        let (rest, _) = all(&world.reopened(), &from);
        assert_eq!(rest, followed[seen..], "the same records under the same positions");
    }
    world.put_readings(&table, 1, 9..10);
    assert_eq!(times(&all(&world.streams, &FollowFrom::Position(walk.position())).0), [9]);
}

#[test]
fn a_walk_begins_at_a_time_or_with_what_comes_next() {
    let mut world = World::new();
    let table = world.create(1000, "readings", StreamView::KeysOnly);
    for reading in 0..4 {
        world.pass(1_000_000);
        world.put_readings(&table, 0, reading..reading + 1);
    }
    for (from, expected) in [
        ("trim-horizon", vec![0, 1, 2, 3]),
        ("2026-11-22T07:00:03Z", vec![2, 3]),
        ("2026-11-22T09:00:02.5+02:00", vec![2, 3]),
        ("1960-01-01T00:00:00Z", vec![0, 1, 2, 3]),
        ("2030-01-01T00:00:00Z", vec![]),
        ("latest", vec![]),
    ] {
        assert_eq!(times(&all(&world.streams, &from.parse().unwrap()).0), expected, "{from}");
    }
    assert_eq!("2026-11-22T07:00:00Z".parse::<FollowFrom>().unwrap(), FollowFrom::Time(START_US));
    for text in ["", "now", "2026-11-22", "AAAA"] {
        assert!(matches!(text.parse::<FollowFrom>(), Err(Error::InvalidToken { .. })), "{text}");
    }
}

#[test]
fn a_walk_ends_with_the_stream() {
    let mut world = World::new();
    let first = world.create(1000, "readings", StreamView::KeysOnly);
    world.put_readings(&first, 0, 1..3);
    let (_, walk) = all(&world.streams, &FollowFrom::TrimHorizon);
    assert!(!walk.has_ended());
    world.pass(1000);
    let off = world.set_stream(&first, None);
    world.put_readings(&off, 0, 3..4);
    world.pass(1000);
    let second = world.set_stream(&off, Some(StreamView::KeysOnly));
    world.put_readings(&second, 0, 4..5);
    let (followed, mut ended) = all(&world.streams, &FollowFrom::Position(walk.position()));
    assert_eq!((times(&followed), ended.has_ended(), ended.is_behind()), (vec![], true, false));
    assert_eq!(ended.step().unwrap(), []);

    assert_eq!(times(&all(&world.streams, &FollowFrom::TrimHorizon).0), [4]);
    world.change_table(&second, &Change::DeleteTable);
    assert!(world.streams.walk("readings", &FollowFrom::TrimHorizon).is_err());
}

#[test]
fn a_position_is_of_one_table_and_may_be_trimmed() {
    let mut world = World::new();
    let table = world.create(1000, "readings", StreamView::KeysOnly);
    world.create(1001, "others", StreamView::KeysOnly);
    world.put_readings(&table, 0, 1..6);
    let first = all(&world.streams, &FollowFrom::TrimHorizon).0.swap_remove(0).position;

    let refused = world.streams.walk("others", &FollowFrom::Position(first.clone()));
    assert!(matches!(refused.map(drop), Err(Error::StreamNotFound { .. })));
    world.log.trim(FrameNumber(world.log.tail().0 - 1)).unwrap();
    let mut walk = world.streams.walk("readings", &FollowFrom::Position(first)).unwrap();
    assert!(matches!(walk.step(), Err(Error::Trimmed { .. })));
}

#[tokio::test]
async fn a_follower_waits_until_something_is_applied() {
    let mut world = World::new();
    let table = world.create(1000, "readings", StreamView::KeysOnly);
    let other = world.create(1001, "others", StreamView::KeysOnly);
    world.put_readings(&table, 0, 1..2);
    let mut follower = follower(&world, &FollowFrom::Latest);
    world.append_unapplied(&table, vec![(ShardId(3), put(&table, 2, Old::Absent))]);
    {
        let mut next = pin!(follower.next());
        let is_waiting = std::future::poll_fn(|context| Poll::Ready(next.as_mut().poll(context).is_pending())).await;
        assert!(is_waiting, "what is not applied is not shown");
        world.apply();
        assert_eq!(times(&next.await.unwrap().unwrap()), [2], "applying wakes it");
    }
    world.put_readings(&other, 0, 7..9);
    world.put_readings(&table, 1, 3..4);
    assert_eq!(times(&follower.next().await.unwrap().unwrap()), [3], "it passes over what is not its table's");
    world.change_table(&table, &Change::DeleteTable);
    assert_eq!(follower.next().await.unwrap(), None);
    assert_eq!(follower.next().await.unwrap(), None);
}

#[tokio::test]
async fn a_closing_store_wakes_its_followers() {
    let mut world = World::new();
    world.create(1000, "readings", StreamView::KeysOnly);
    let mut follower = follower(&world, &FollowFrom::Latest);
    drop(world);
    assert!(matches!(follower.next().await, Err(Error::Store(store::Error::Closed))));
}
