//! What was acknowledged is there after a restart; what was not changed made no event.

mod support;

use item::Value;
use store::{
    Config, Direction, PageLimit, SortRange,
    log::FrameNumber,
    write::{Action, TableRejection, TableWrite},
};
use support::{create, key, number, open, put, reading, readings, write};

#[tokio::test]
async fn items_tables_and_numbers_are_the_same_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Config::default());
    let table = create(&store, readings("plants", true)).await;
    let gone = create(&store, readings("gone", false)).await;
    for at in 0..50 {
        store.write(vec![put(&table, reading("pump", at, &[("v", number(at))]))]).await.unwrap();
    }
    store.write(vec![write(&table, reading("pump", 7, &[]), |_| Action::Remove)]).await.unwrap();
    store.write(vec![put(&gone, reading("pump", 1, &[]))]).await.unwrap();
    store.change_table(TableWrite::Delete("gone".to_owned())).await.unwrap().unwrap();
    let before = store.scan(&table, 0..1024, None, PageLimit::default()).await.unwrap();
    store.close().await.unwrap();
    drop(store);

    let store = open(dir.path(), Config::default());
    assert_eq!(store.catalog().by_name("plants"), Some(&table));
    assert!(store.catalog().by_name("gone").is_none());
    let after = store.scan(&table, 0..1024, None, PageLimit::default()).await.unwrap();
    assert_eq!(after.items, before.items);
    assert_eq!(after.items.len(), 49);
    assert_eq!(store.get(&table, &key(&table, "pump", 7)).await.unwrap(), None);
    let written = store.write(vec![put(&table, reading("pump", 50, &[]))]).await.unwrap();
    assert!(written[0].is_ok());
    let recreated = create(&store, readings("gone", false)).await;
    assert!(recreated.id > gone.id, "a table number is never reused");
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_write_that_changes_nothing_makes_no_event() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Config::default());
    let table = create(&store, readings("plants", true)).await;
    let item = || reading("pump", 1, &[("v", number(5))]);
    assert!(store.write(vec![put(&table, item())]).await.unwrap()[0].as_ref().unwrap().sequence.is_some());
    let tail: FrameNumber = *store.applied().borrow();
    for action in [Action::Put as fn(_) -> _, Action::Merge] {
        let written = store.write(vec![write(&table, item(), action)]).await.unwrap();
        assert_eq!(written[0].as_ref().unwrap().sequence, None);
    }
    let removed = store.write(vec![write(&table, reading("pump", 2, &[]), |_| Action::Remove)]).await.unwrap();
    assert_eq!(removed[0].as_ref().unwrap().sequence, None);
    assert_eq!(*store.applied().borrow(), tail);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_merge_unites_attributes_and_names_what_it_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Config::default());
    let table = create(&store, readings("plants", true)).await;
    let text = |text: &str| Value::String(text.to_owned());
    store.write(vec![put(&table, reading("pump", 1, &[("a", text("x")), ("b", text("y"))]))]).await.unwrap();
    let newer = reading("pump", 1, &[("b", text("z")), ("c", text("w"))]);
    let merged = store.write(vec![write(&table, newer, Action::Merge)]).await.unwrap();
    assert_eq!(merged[0].as_ref().unwrap().collisions, ["b"]);
    let stored = store.get(&table, &key(&table, "pump", 1)).await.unwrap().unwrap();
    assert_eq!(stored, reading("pump", 1, &[("a", text("x")), ("b", text("z")), ("c", text("w"))]));
    store.close().await.unwrap();
}

#[tokio::test]
async fn writes_of_one_batch_see_each_other_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Config::default());
    let table = create(&store, readings("plants", true)).await;
    let batch = (0..10).map(|v| put(&table, reading("pump", 1, &[("v", number(v))]))).collect();
    let written = store.write(batch).await.unwrap();
    let sequences: Vec<u64> = written.iter().map(|w| w.as_ref().unwrap().sequence.unwrap().0).collect();
    assert!(sequences.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{sequences:?}");
    let stored = store.get(&table, &key(&table, "pump", 1)).await.unwrap().unwrap();
    assert_eq!(stored, reading("pump", 1, &[("v", number(9))]));
    store.close().await.unwrap();
}

#[tokio::test]
async fn pages_of_a_partition_join_without_gap_or_repeat_in_both_directions() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Config::default());
    let table = create(&store, readings("plants", false)).await;
    let batch = (0..100).map(|at| put(&table, reading("pump", at, &[]))).collect();
    store.write(batch).await.unwrap();
    store.write(vec![put(&table, reading("pump2", 5, &[])), put(&table, reading("pum", 5, &[]))]).await.unwrap();
    let partition = key(&table, "pump", 0).partition;
    for direction in [Direction::Forward, Direction::Backward] {
        let mut items = Vec::new();
        let mut after = None;
        loop {
            let limit = PageLimit { items: 7, ..PageLimit::default() };
            let page =
                store.query(&table, &partition, &SortRange::default(), direction, after.as_ref(), limit).await.unwrap();
            items.extend(page.items);
            after = page.last_key;
            if after.is_none() {
                break;
            }
        }
        let mut expected: Vec<_> = (0..100).map(|at| reading("pump", at, &[])).collect();
        if direction == Direction::Backward {
            expected.reverse();
        }
        assert_eq!(items, expected);
    }
    store.close().await.unwrap();
}

#[tokio::test]
async fn of_many_who_create_a_table_one_wins() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Config::default());
    let attempts = (0..16).map(|_| store.change_table(TableWrite::Create(readings("plants", true))));
    let answers = futures::future::join_all(attempts).await;
    let made = answers.iter().filter(|answer| matches!(answer, Ok(Ok(_)))).count();
    let refused = answers.iter().filter(|answer| matches!(answer, Ok(Err(TableRejection::Exists(_))))).count();
    assert_eq!((made, refused), (1, 15));
    store.close().await.unwrap();
}

#[tokio::test]
async fn after_close_writes_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Config::default());
    let table = create(&store, readings("plants", false)).await;
    store.close().await.unwrap();
    let refused = store.write(vec![put(&table, reading("pump", 1, &[]))]).await;
    assert!(matches!(refused, Err(store::Error::Closed)), "{refused:?}");
}
