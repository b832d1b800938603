//! Followers.

use std::{future::Future, pin::pin, task::Poll};

use item::{Change, Old, ShardId, StreamView};
use store::log::{FrameNumber, Log};

use super::{START_US, World, put, ts};
use crate::{Error, FollowFrom, Followed, Follower};

/// What is there without waiting for more.
async fn available(follower: &mut Follower) -> Vec<Followed> {
    let mut followed = Vec::new();
    while follower.is_behind() {
        followed.extend(follower.step().await.unwrap());
    }
    followed
}

fn times(followed: &[Followed]) -> Vec<i64> {
    followed.iter().map(|followed| ts(&followed.record)).collect()
}

#[tokio::test]
async fn a_follower_gives_all_shards_in_the_order_of_the_log_and_then_what_comes() {
    let mut world = World::new();
    let table = world.create(1000, "readings", StreamView::NewImage);
    let other = world.create(1001, "others", StreamView::NewImage);
    world.append(&table, (0..8).map(|n| (ShardId((7 - n as u16) % 4), put(&table, n, Old::Absent))).collect());
    world.put_readings(&other, 0, 100..103);
    world.put_readings(&table, 2, 8..10);

    let mut follower = world.streams.follow("readings", FollowFrom::TrimHorizon).await.unwrap();
    assert_eq!(times(&available(&mut follower).await), Vec::from_iter(0..10));

    world.append_unapplied(&table, vec![(ShardId(0), put(&table, 10, Old::Absent))]);
    let mut next = pin!(follower.next());
    let is_waiting = std::future::poll_fn(|context| Poll::Ready(next.as_mut().poll(context).is_pending())).await;
    assert!(is_waiting, "what is not applied is not shown");
    world.apply();
    assert_eq!(times(&next.await.unwrap().unwrap()), [10], "applying wakes it");
}

#[tokio::test]
async fn following_goes_on_behind_every_position() {
    let mut world = World::new();
    let table = world.create(1000, "readings", StreamView::KeysOnly);
    world.append(&table, (0..5).map(|n| (ShardId(n as u16 % 4), put(&table, n, Old::Absent))).collect());
    world.put_readings(&table, 1, 5..9);
    let mut follower = world.streams.follow("readings", FollowFrom::TrimHorizon).await.unwrap();
    let all = available(&mut follower).await;
    assert_eq!(times(&all), Vec::from_iter(0..9));
    for (seen, followed) in (1..).zip(&all) {
        let from: FollowFrom = followed.position.parse().unwrap();
        let mut follower = world.reopened().follow("readings", from).await.unwrap();
        let rest = available(&mut follower).await;
        assert_eq!(rest, all[seen..], "the same records under the same positions");
    }
    let behind = follower.position();
    world.put_readings(&table, 1, 9..10);
    let mut later = world.streams.follow("readings", FollowFrom::Position(behind)).await.unwrap();
    assert_eq!(times(&available(&mut later).await), [9]);
}

#[tokio::test]
async fn a_follower_begins_at_a_time_or_with_what_comes_next() {
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
        let mut follower = world.streams.follow("readings", from.parse().unwrap()).await.unwrap();
        assert_eq!(times(&available(&mut follower).await), expected, "{from}");
    }
    assert_eq!("2026-11-22T07:00:00Z".parse::<FollowFrom>().unwrap(), FollowFrom::Time(START_US));
    for text in ["", "now", "2026-11-22", "AAAA"] {
        assert!(matches!(text.parse::<FollowFrom>(), Err(Error::InvalidToken { .. })), "{text}");
    }
    let mut follower = world.streams.follow("readings", FollowFrom::Latest).await.unwrap();
    world.put_readings(&table, 3, 4..5);
    assert_eq!(times(&follower.next().await.unwrap().unwrap()), [4]);
}

#[tokio::test]
async fn following_ends_with_the_stream() {
    let mut world = World::new();
    let first = world.create(1000, "readings", StreamView::KeysOnly);
    world.put_readings(&first, 0, 1..3);
    let mut follower = world.streams.follow("readings", FollowFrom::TrimHorizon).await.unwrap();
    world.pass(1000);
    let off = world.set_stream(&first, None);
    world.put_readings(&off, 0, 3..4);
    world.pass(1000);
    let second = world.set_stream(&off, Some(StreamView::KeysOnly));
    world.put_readings(&second, 0, 4..5);
    assert_eq!(times(&follower.next().await.unwrap().unwrap()), [1, 2]);
    assert_eq!(follower.next().await.unwrap(), None);
    assert_eq!(follower.next().await.unwrap(), None);

    let mut follower = world.streams.follow("readings", FollowFrom::TrimHorizon).await.unwrap();
    assert_eq!(times(&follower.next().await.unwrap().unwrap()), [4]);
    world.change_table(&second, &Change::DeleteTable);
    assert_eq!(follower.next().await.unwrap(), None);
    drop(world);
}

#[tokio::test]
async fn a_position_is_of_one_table_and_may_be_trimmed() {
    let mut world = World::new();
    let table = world.create(1000, "readings", StreamView::KeysOnly);
    world.create(1001, "others", StreamView::KeysOnly);
    world.put_readings(&table, 0, 1..6);
    let mut follower = world.streams.follow("readings", FollowFrom::TrimHorizon).await.unwrap();
    let first = available(&mut follower).await.swap_remove(0).position;

    let refused = world.streams.follow("others", FollowFrom::Position(first.clone())).await;
    assert!(matches!(refused.map(drop), Err(Error::StreamNotFound { .. })));
    world.log.trim(FrameNumber(world.log.tail().0 - 1)).unwrap();
    let mut follower = world.streams.follow("readings", FollowFrom::Position(first)).await.unwrap();
    assert!(matches!(follower.next().await, Err(Error::Trimmed { .. })));
}

#[tokio::test]
async fn a_closing_store_wakes_its_followers() {
    let mut world = World::new();
    world.create(1000, "readings", StreamView::KeysOnly);
    let mut follower = world.streams.follow("readings", FollowFrom::Latest).await.unwrap();
    drop(world);
    assert!(matches!(follower.next().await, Err(Error::Store(store::Error::Closed))));
}
