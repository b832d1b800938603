//! Updates are planned against the item as it is planned, not as it is visible: no increment is lost, whoever asks at once.

mod support;

use std::sync::Arc;

use item::{
    Item, Value,
    expression::{Substitutions, Update, UpdateError},
};
use store::{
    Config,
    write::{Action, Rejection, Write, Written},
};
use support::{create, key, number, open, put, reading, readings, write};

fn update(text: &str, values: &[(&str, Value)], return_new: bool) -> Action {
    let values = values.iter().map(|(token, value)| ((*token).to_owned(), value.clone())).collect();
    let mut substitutions = Substitutions { values, ..Substitutions::default() };
    let update = Arc::new(Update::parse(text, &mut substitutions).expect("a well-formed update"));
    Action::Update { update, return_new }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_counters_sum_exactly() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Config::default());
    let table = create(&store, readings("plants", true)).await;
    let mut clients = Vec::new();
    for client in 0..8_u64 {
        let (store, table) = (store.clone(), table.clone());
        clients.push(tokio::spawn(async move {
            for round in 0..50_u64 {
                let count = |at| {
                    let action =
                        update("ADD n :n SET who = :c", &[(":n", number(round)), (":c", number(client))], true);
                    write(&table, reading("pump", at, &[]), |_| action)
                };
                // The same key twice in a batch, and one that all share with nobody.
                let answers = store.write(vec![count(1), count(1), count(100 + client)]).await.unwrap();
                let seen: Vec<_> = answers.into_iter().map(|answer| answer.unwrap().new.unwrap()).collect();
                assert_eq!(seen[2].get("n"), Some(&number((0..=round).sum())), "alone on its key");
                let difference = match (seen[0].get("n"), seen[1].get("n")) {
                    (Some(Value::Number(first)), Some(Value::Number(second))) => second.checked_sub(*first).unwrap(),
                    other => panic!("{other:?}"),
                };
                assert!(difference >= round.into(), "the second sees the first");
            }
        }));
    }
    for client in clients {
        client.await.unwrap();
    }
    let expected = Some(number(8 * 2 * (0..50).sum::<u64>()));
    let sum = |item: Option<Item>| item.unwrap().get("n").cloned();
    assert_eq!(sum(store.get(&table, &key(&table, "pump", 1)).await.unwrap()), expected);
    store.close().await.unwrap();
    drop(store);
    let store = open(dir.path(), Config::default());
    assert_eq!(sum(store.get(&table, &key(&table, "pump", 1)).await.unwrap()), expected);
    store.close().await.unwrap();
}

#[tokio::test]
async fn an_update_answers_what_was_and_what_is_and_makes_an_event_only_for_a_change() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Config::default());
    let table = create(&store, readings("plants", false)).await;
    let ask = async |at: u64, text: &str, values: &[(&str, Value)]| {
        let action = update(text, values, true);
        let write = Write { return_old: true, ..write(&table, reading("pump", at, &[]), |_| action) };
        store.write(vec![write]).await.unwrap().remove(0)
    };
    let item = |at, v| Some(reading("pump", at, &[("v", number(v))]));

    let made = ask(1, "SET v = :v", &[(":v", number(5))]).await.unwrap();
    assert!(made.sequence.is_some());
    assert_eq!((made.old, made.new), (None, item(1, 5)), "a missing item starts from its key");
    let changed = ask(1, "ADD v :v", &[(":v", number(2))]).await.unwrap();
    assert_eq!((changed.old, changed.new), (item(1, 5), item(1, 7)));
    let same = ask(1, "SET v = :v REMOVE w", &[(":v", number(7))]).await.unwrap();
    assert_eq!((same.sequence, same.old, same.new), (None, item(1, 7), item(1, 7)));
    let nothing = ask(2, "REMOVE v", &[]).await.unwrap();
    assert_eq!((nothing.sequence, nothing.old, nothing.new), (None, None, None), "what only takes away makes no item");
    assert_eq!(store.get(&table, &key(&table, "pump", 2)).await.unwrap(), None);

    let bare = write(&table, reading("pump", 3, &[]), |_| Action::Update { update: Arc::default(), return_new: false });
    let Written { sequence, new, .. } = store.write(vec![bare]).await.unwrap().remove(0).unwrap();
    assert!(sequence.is_some() && new.is_none());
    assert_eq!(store.get(&table, &key(&table, "pump", 3)).await.unwrap(), Some(reading("pump", 3, &[])));
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_refused_update_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Config::default());
    let table = create(&store, readings("plants", false)).await;
    let large = Value::String("x".repeat(Item::SIZE_MAX - 100));
    let item = reading("pump", 1, &[("v", large.clone())]);
    store.write(vec![put(&table, item.clone())]).await.unwrap();
    let ask = async |text: &str, values: &[(&str, Value)]| {
        let action = update(text, values, true);
        store.write(vec![write(&table, reading("pump", 1, &[]), |_| action)]).await.unwrap().remove(0).unwrap_err()
    };
    let error = ask("ADD v :v", &[(":v", number(1))]).await;
    assert_eq!(error, Rejection::Update(UpdateError::WrongType));
    let error = ask("SET device = :v", &[(":v", "other".into())]).await;
    assert_eq!(error, Rejection::Update(UpdateError::Key { name: "device".to_owned() }));
    let error = ask("SET w = :v", &[(":v", Value::String("x".repeat(200)))]).await;
    assert!(matches!(error, Rejection::Update(UpdateError::Unfit(_))), "{error:?}");
    let error = ask("SET w = v", &[]).await;
    assert!(matches!(error, Rejection::Update(UpdateError::Unfit(_))), "{error:?}");
    assert_eq!(store.get(&table, &key(&table, "pump", 1)).await.unwrap(), Some(item));
    store.close().await.unwrap();
}
