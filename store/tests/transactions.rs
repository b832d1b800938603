//! Transactions happen whole or not at all, over shards, tables and restarts.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::sync::Arc;

use item::{
    Event, Item, Number, Table, TableId, Value,
    expression::{Condition, Kind, Substitutions, Update},
};
use store::{
    Config, Store,
    log::FrameNumber,
    transaction::{Token, Transacted, Transaction, TransactionError},
    view::shard_of_key,
    write::{Action, Rejection, TableWrite, Write},
};
use support::{create, key, number, open, put, reading, readings, write};

const ACCOUNTS: u64 = 8;

fn device(account: u64) -> String {
    format!("account-{account}")
}

fn balance(account: u64, amount: u64) -> Item {
    reading(&device(account), 0, &[("balance", number(amount))])
}

fn values(amount: u64) -> Substitutions {
    Substitutions::new(None, Some([(":amount".to_owned(), number(amount))].into())).unwrap()
}

/// Adds to a balance.
fn deposit(table: &Arc<Table>, account: u64, amount: u64) -> Write {
    let update = Arc::new(Update::parse("SET balance = balance + :amount", &mut values(amount)).unwrap());
    write(table, balance(account, 0), |_| Action::Update { update, return_new: false })
}

/// Takes from a balance that has as much.
fn withdraw(table: &Arc<Table>, account: u64, amount: u64) -> Write {
    let update = Arc::new(Update::parse("SET balance = balance - :amount", &mut values(amount)).unwrap());
    let condition = Condition::parse(Kind::Condition, "balance >= :amount", &mut values(amount)).unwrap();
    let withdrawal = write(table, balance(account, 0), |_| Action::Update { update, return_new: false });
    Write { condition: Some(Arc::new(condition)), ..withdrawal }
}

fn exists(table: &Arc<Table>, account: u64) -> Write {
    let mut none = Substitutions::new(None, None).unwrap();
    let condition = Condition::parse(Kind::Condition, "attribute_exists(device)", &mut none).unwrap();
    Write { condition: Some(Arc::new(condition)), ..write(table, balance(account, 0), |_| Action::Check) }
}

async fn bank(store: &Store) -> Arc<Table> {
    let table = create(store, readings("accounts", false)).await;
    let opened = store.write((0..ACCOUNTS).map(|account| put(&table, balance(account, 100))).collect()).await.unwrap();
    assert!(opened.iter().all(Result::is_ok));
    table
}

async fn balances(store: &Store, table: &Arc<Table>) -> Vec<u64> {
    let mut all = Vec::new();
    for account in 0..ACCOUNTS {
        let item = store.get(table, &key(table, &device(account), 0)).await.unwrap().unwrap();
        let Some(Value::Number(amount)) = item.get("balance") else { panic!("{item:?}") };
        all.push((0..1000).find(|number| Number::from(*number) == *amount).unwrap());
    }
    all
}

fn transaction(writes: Vec<Write>) -> Transaction {
    Transaction::new(writes, None).unwrap()
}

fn token(name: &str, request: &str) -> Option<Token> {
    Some(Token { name: name.to_owned(), request: request.to_owned().into() })
}

/// Per frame that has any, its events of users' tables.
fn frames(store: &Store) -> Vec<Vec<Event>> {
    let frames = store.log().read(FrameNumber::FIRST, 64 << 20).unwrap();
    let events = frames.iter().map(|frame| Event::decode_all(&frame.body).unwrap());
    let of_users = events.map(|events| events.into_iter().filter(|event| !event.table.is_system()).collect());
    of_users.filter(|events: &Vec<Event>| !events.is_empty()).collect()
}

#[tokio::test]
async fn a_transaction_over_shards_is_one_frame_and_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Config::default());
    let table = bank(&store).await;
    let shards = |store: &Store| {
        let shard = |account| shard_of_key(&key(&table, &device(account), 0), store.shards()).0;
        (0..ACCOUNTS).map(shard).collect::<std::collections::BTreeSet<_>>().len()
    };
    assert!(shards(&store) > 1, "the accounts must be in several shards");
    let writes = (0..4).map(|account| withdraw(&table, account, 10)).chain((4..8).map(|to| deposit(&table, to, 10)));
    let Transacted::Written(written) = store.transact(transaction(writes.collect())).await.unwrap() else {
        panic!("nothing is against it")
    };
    assert_eq!(written.len(), 8);
    assert!(written.iter().all(|written| written.sequence.is_some()));
    assert_eq!(frames(&store).last().unwrap().len(), 8, "all in one frame");
    assert_eq!(balances(&store, &table).await, [90, 90, 90, 90, 110, 110, 110, 110]);
    store.close().await.unwrap();
    drop(store);

    let store = open(dir.path(), Config::default());
    assert_eq!(balances(&store, &table).await, [90, 90, 90, 90, 110, 110, 110, 110]);
    store.close().await.unwrap();
}

#[tokio::test]
async fn one_refused_write_refuses_all_and_every_one_is_told_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Config::default());
    let table = bank(&store).await;
    let frames_before = frames(&store).len();
    let wrong_type = Update::parse("SET device_count = device + :amount", &mut values(1)).unwrap();
    let wrong_type = write(&table, balance(3, 0), |_| Action::Update { update: wrong_type.into(), return_new: false });
    let writes = vec![
        deposit(&table, 0, 500),
        Write { return_old: true, ..withdraw(&table, 1, 500) },
        withdraw(&table, 2, 500),
        wrong_type,
        exists(&table, 4),
        exists(&table, 99),
    ];
    let answer = store.transact(transaction(writes)).await.unwrap();
    let Transacted::Cancelled(reasons) = answer else { panic!("{answer:?}") };
    assert_eq!(reasons[0], None);
    assert_eq!(reasons[1], Some(Rejection::ConditionFailed { old: Some(balance(1, 100)) }));
    assert_eq!(reasons[2], Some(Rejection::ConditionFailed { old: None }));
    assert!(matches!(reasons[3], Some(Rejection::Update(_))), "{reasons:?}");
    assert_eq!(reasons[4], None);
    assert_eq!(reasons[5], Some(Rejection::ConditionFailed { old: None }));
    assert_eq!(balances(&store, &table).await, [100; 8]);
    assert_eq!(frames(&store).len(), frames_before);

    // A table that is gone is a reason too, and so is an item that no table may store.
    let gone = create(&store, readings("gone", false)).await;
    store.change_table(TableWrite::Delete("gone".to_owned())).await.unwrap().unwrap();
    let too_large = reading(&device(5), 0, &[("text", Value::String("x".repeat(Item::SIZE_MAX)))]);
    let writes = vec![deposit(&table, 0, 1), put(&gone, balance(1, 1)), put(&table, too_large)];
    let answer = store.transact(transaction(writes)).await.unwrap();
    let Transacted::Cancelled(reasons) = answer else { panic!("{answer:?}") };
    assert!(matches!(reasons.as_slice(), [None, Some(Rejection::TableNotFound), Some(Rejection::Invalid(_))]));
    assert_eq!(balances(&store, &table).await, [100; 8]);
    store.close().await.unwrap();
}

#[tokio::test]
async fn checks_alone_write_nothing_and_each_item_is_in_a_transaction_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Config::default());
    let table = bank(&store).await;
    let frames_before = frames(&store).len();
    let answer = store.transact(transaction(vec![exists(&table, 0), exists(&table, 1)])).await.unwrap();
    assert!(matches!(answer, Transacted::Written(written) if written.iter().all(|w| w.sequence.is_none())));
    let answer = store.transact(transaction(Vec::new())).await.unwrap();
    assert!(matches!(answer, Transacted::Written(written) if written.is_empty()));
    assert_eq!(frames(&store).len(), frames_before);
    let twice = Transaction::new(vec![deposit(&table, 0, 1), exists(&table, 0)], None);
    assert_eq!(twice.unwrap_err(), TransactionError::Repeated);
    assert_eq!(Transaction::new(Vec::new(), token("", "x")).unwrap_err(), TransactionError::Token);
    let many = (0..101).map(|account| exists(&table, account)).collect();
    assert_eq!(Transaction::new(many, None).unwrap_err(), TransactionError::TooMany { count: 101 });
    store.close().await.unwrap();
}

#[tokio::test]
async fn concurrent_transfers_keep_the_sum() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Config::default());
    let table = bank(&store).await;
    let mut clients = Vec::new();
    for client in 0..8_u64 {
        let (store, table) = (store.clone(), table.clone());
        clients.push(tokio::spawn(async move {
            let mut done = 0;
            for round in 0..40 {
                let (from, to) = ((client + round) % ACCOUNTS, (client + 3 * round + 1) % ACCOUNTS);
                if from == to {
                    continue;
                }
                let writes = vec![withdraw(&table, from, 30), deposit(&table, to, 30)];
                match store.transact(transaction(writes)).await.unwrap() {
                    Transacted::Written(_) => done += 1,
                    Transacted::Cancelled(reasons) => {
                        assert_eq!(reasons, [Some(Rejection::ConditionFailed { old: None }), None]);
                    }
                    other => panic!("{other:?}"),
                }
            }
            done
        }));
    }
    let mut done = 0;
    for client in clients {
        done += client.await.unwrap();
    }
    assert!(done > 0);
    assert_eq!(balances(&store, &table).await.iter().sum::<u64>(), 100 * ACCOUNTS);
    let transfers = frames(&store).iter().skip(2).map(Vec::len).collect::<Vec<_>>();
    assert!(transfers.iter().all(|events| events % 2 == 0), "a transfer is whole in its frame: {transfers:?}");
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_token_is_good_for_one_transaction_over_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Config::default());
    let table = bank(&store).await;
    let pay = |name: &str, amount: u64| {
        let writes = vec![withdraw(&table, 0, amount), deposit(&table, 1, amount)];
        Transaction::new(writes, token(name, &amount.to_string())).unwrap()
    };
    // A transaction that failed may be tried again.
    assert!(matches!(store.transact(pay("a", 200)).await.unwrap(), Transacted::Cancelled(_)));
    assert!(matches!(store.transact(pay("a", 10)).await.unwrap(), Transacted::Written(_)));
    assert!(matches!(store.transact(pay("a", 10)).await.unwrap(), Transacted::Repeated));
    assert!(matches!(store.transact(pay("a", 20)).await.unwrap(), Transacted::TokenReused));
    // At the same time: one is done, the other told.
    let (one, other) = tokio::join!(store.transact(pay("b", 10)), store.transact(pay("b", 10)));
    let written = |answer: &Transacted| matches!(answer, Transacted::Written(_));
    assert!(written(&one.unwrap()) && matches!(other.unwrap(), Transacted::Repeated));
    assert_eq!(balances(&store, &table).await[..2], [80, 120]);
    store.close().await.unwrap();
    drop(store);

    let store = open(dir.path(), Config::default());
    assert!(matches!(store.transact(pay("a", 10)).await.unwrap(), Transacted::Repeated));
    assert!(matches!(store.transact(pay("b", 20)).await.unwrap(), Transacted::TokenReused));
    assert!(matches!(store.transact(pay("c", 10)).await.unwrap(), Transacted::Written(_)));
    assert_eq!(balances(&store, &table).await[..2], [70, 130]);
    store.close().await.unwrap();
}

#[tokio::test]
async fn items_of_a_transaction_are_bounded_together() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Config::default());
    let table = create(&store, readings("large", true)).await;
    let filled = |at: u64, bytes: usize| put(&table, reading("pump", at, &[("v", Value::String("x".repeat(bytes)))]));
    let sized = |count: u64, bytes: usize| transaction((0..count).map(|at| filled(at, bytes)).collect());
    assert!(matches!(store.transact(sized(10, 400_000)).await.unwrap(), Transacted::Written(_)));
    assert!(matches!(store.transact(sized(11, 390_000)).await.unwrap(), Transacted::TooLarge));
    let update = Arc::new(Update::parse("SET more = :amount", &mut values(1)).unwrap());
    let grow =
        |at| write(&table, reading("pump", at, &[]), |_| Action::Update { update: update.clone(), return_new: false });
    for at in 10..20 {
        store.write(vec![filled(at, 400_000)]).await.unwrap();
    }
    let grown = |count: u64| transaction((0..count).map(grow).collect());
    assert!(matches!(store.transact(grown(11)).await.unwrap(), Transacted::TooLarge), "updates count as they end");
    assert!(matches!(store.transact(grown(10)).await.unwrap(), Transacted::Written(_)));
    // What is removed does not count, but its old images are in the frame.
    let removed = (0..20).map(|at| write(&table, reading("pump", at, &[]), |_| Action::Remove)).collect();
    assert!(matches!(store.transact(transaction(removed)).await.unwrap(), Transacted::Written(_)));
    assert!(frames(&store).last().unwrap().len() == 20);
    store.close().await.unwrap();
    drop(store);
    let store = open(dir.path(), Config::default());
    assert_eq!(store.get(&table, &key(&table, "pump", 3)).await.unwrap(), None);
    assert!(store.catalog().by_id(TableId(3)).is_some(), "the table of tokens is in every catalogue");
    store.close().await.unwrap();
}

/// A frame is applied row by row. A reader that had met the first rows of a large transaction, and asked for the last ones at
/// once, could find them as they were before.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_has_seen_a_part_of_a_transaction_finds_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Config::default());
    let table = create(&store, readings("accounts", false)).await;
    let accounts = 100;
    let all = |amount| transaction((0..accounts).map(|account| put(&table, balance(account, amount))).collect());
    assert!(matches!(store.transact(all(1)).await.unwrap(), Transacted::Written(_)));
    let writer = tokio::spawn({
        let (store, all) = (store.clone(), (2..300).map(all).collect::<Vec<_>>());
        async move {
            for transaction in all {
                assert!(matches!(store.transact(transaction).await.unwrap(), Transacted::Written(_)));
            }
        }
    });
    let amount = |item: Option<Item>| match item.unwrap().get("balance") {
        Some(Value::Number(amount)) => *amount,
        other => panic!("{other:?}"),
    };
    while !writer.is_finished() {
        for account in (0..accounts - 1).step_by(7) {
            let first = amount(store.get(&table, &key(&table, &device(account), 0)).await.unwrap());
            let last = amount(store.get(&table, &key(&table, &device(accounts - 1), 0)).await.unwrap());
            assert!(last >= first, "{first} was seen, then {last}");
        }
    }
    writer.await.unwrap();
    store.close().await.unwrap();
}
