//! Transactions on items that must be looked up in files.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::sync::{Arc, atomic::Ordering};

use compactor::{Step, Task};
use item::{
    Actor, Item, Key, Number, Table, Value,
    expression::{Condition, Kind, Substitutions, Update},
    table::system,
};
use store::{
    Store,
    transaction::{Token, Transacted, Transaction},
    write::{Action, Rejection, Write},
};
use support::{Database, reading};

const ACCOUNTS: u64 = 12;

fn account(number: u64) -> Item {
    reading(number, 0, "0")
}

fn values(amount: u64) -> Substitutions {
    let values = [(":amount".to_owned(), Value::Number(amount.into()))];
    Substitutions::new(None, Some(values.into())).unwrap()
}

fn update(table: &Arc<Table>, number: u64, text: &str, condition: Option<&str>, amount: u64) -> Write {
    let update = Arc::new(Update::parse(text, &mut values(amount)).unwrap());
    let parse = |text| Arc::new(Condition::parse(Kind::Condition, text, &mut values(amount)).unwrap());
    Write {
        table: table.clone(),
        key: Key::of_item(table, &account(number)).unwrap(),
        action: Action::Update { update, return_new: false },
        condition: condition.map(parse),
        return_old: false,
        actor: Actor::User,
    }
}

/// Moves an amount, if it is there.
fn transfer(table: &Arc<Table>, from: u64, to: u64, amount: u64) -> Vec<Write> {
    let withdrawal = update(table, from, "SET balance = balance - :amount", Some("balance >= :amount"), amount);
    vec![withdrawal, update(table, to, "SET balance = balance + :amount", None, amount)]
}

fn balance(item: &Item) -> Number {
    match item.get("balance") {
        Some(Value::Number(balance)) => *balance,
        other => panic!("{other:?}"),
    }
}

/// The sum of all balances as of one frame.
async fn sum(store: &Store, table: &Arc<Table>) -> Number {
    let keys = (0..ACCOUNTS).map(|number| (table.clone(), Key::of_item(table, &account(number)).unwrap()));
    let snapshot = store.snapshot(keys.collect());
    assert!(snapshot.has_tables());
    let mut sum = Number::from(0_u64);
    for at in 0..ACCOUNTS as usize {
        let item = snapshot.item(at).await.unwrap().unwrap();
        // Whatever is applied between two of these makes no difference.
        tokio::task::yield_now().await;
        sum = sum.checked_add(balance(&item)).unwrap();
    }
    sum
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn transfers_between_items_in_files_keep_the_sum_at_every_moment() {
    let root = tempfile::tempdir().unwrap();
    let database = Database::open(root.path());
    let table = database.create("accounts").await;
    let opened = |number| {
        let mut item = account(number);
        item.0.insert("balance".to_owned(), Value::Number(100_u64.into()));
        item
    };
    database.put(&table, (0..ACCOUNTS).map(opened).collect()).await;
    let total = Number::from(100 * ACCOUNTS);
    let mut done = 0;
    for round in 0..4 {
        // Nothing is in memory now: every transaction is parked, many of them behind each other.
        database.compactor.compact(None).await.unwrap();
        let mut clients = Vec::new();
        for client in 0..16_u64 {
            let (store, table) = (database.store.clone(), table.clone());
            clients.push(tokio::spawn(async move {
                let mut done = 0;
                for step in 0..8 {
                    let (from, to) = ((client * 5 + step) % ACCOUNTS, (client + 7 * step + round + 1) % ACCOUNTS);
                    if from == to {
                        continue;
                    }
                    let transaction = Transaction::new(transfer(&table, from, to, 40), None).unwrap();
                    match store.transact(transaction).await.unwrap() {
                        Transacted::Written(_) => done += 1,
                        Transacted::Cancelled(reasons) => {
                            assert_eq!(reasons, [Some(Rejection::ConditionFailed { old: None }), None]);
                        }
                        other => panic!("{other:?}"),
                    }
                    // Single writes queue between them, and change no balance.
                    let write = update(&table, to, "SET seen = :amount", None, client * 100 + step);
                    store.write(vec![write]).await.unwrap()[0].as_ref().unwrap();
                }
                done
            }));
        }
        while clients.iter().any(|client| !client.is_finished()) {
            assert_eq!(sum(&database.store, &table).await, total);
        }
        for client in clients {
            done += client.await.unwrap();
        }
        assert_eq!(sum(&database.store, &table).await, total);
    }
    assert!(done > 50, "{done}");
    database.close().await;

    let database = Database::open(root.path());
    assert_eq!(sum(&database.store, &table).await, total);
    database.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_found_in_files_until_it_expires_and_goes_with_a_merge() {
    let root = tempfile::tempdir().unwrap();
    let database = Database::open(root.path());
    let table = database.create("accounts").await;
    database.put(&table, vec![account(1)]).await;
    let count = || {
        let token = Token { name: "once".to_owned(), request: "count".into() };
        let writes = vec![update(&table, 1, "ADD times :amount", None, 1)];
        Transaction::new(writes, Some(token)).unwrap()
    };
    let times = async || {
        let key = Key::of_item(&table, &account(1)).unwrap();
        let item = database.store.get(&table, &key).await.unwrap().unwrap();
        item.get("times").cloned()
    };
    let tokens = async || database.scan(&system::tokens()).await.len();
    let merge = || {
        let mut job = database.compactor.start(&Task::Merge(system::TOKENS));
        while job.step().unwrap() == Step::More {}
    };
    assert!(matches!(database.store.transact(count()).await.unwrap(), Transacted::Written(_)));
    database.compactor.compact(None).await.unwrap();
    merge();
    assert_eq!(tokens().await, 1);
    database.clock.0.fetch_add(Transaction::TOKEN_US - 1, Ordering::Relaxed);
    assert!(matches!(database.store.transact(count()).await.unwrap(), Transacted::Repeated));
    assert_eq!(times().await, Some(Value::Number(1_u64.into())));

    database.clock.0.fetch_add(1, Ordering::Relaxed);
    assert!(matches!(database.store.transact(count()).await.unwrap(), Transacted::Written(_)), "it has expired");
    assert_eq!(times().await, Some(Value::Number(2_u64.into())));
    database.clock.0.fetch_add(Transaction::TOKEN_US, Ordering::Relaxed);
    database.compactor.compact(None).await.unwrap();
    merge();
    assert_eq!(tokens().await, 0, "a merge leaves expired tokens out");
    assert!(matches!(database.store.transact(count()).await.unwrap(), Transacted::Written(_)));
    database.close().await;
}
