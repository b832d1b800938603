use std::sync::Arc;

use item::{Actor, Item, Table, Value, table::system};

use super::*;
use crate::{
    transaction::Transaction,
    write::{Action, Write},
};

/// A table of one key attribute serves as well as any.
fn write(key: &str) -> Write {
    let table: Arc<Table> = Arc::new(system::retained());
    let item = Item([("topic".to_owned(), Value::String(key.to_owned()))].into());
    let key = Key::of_item(&table, &item).unwrap();
    Write { table, key, action: Action::Remove, condition: None, return_old: false, actor: Actor::User }
}

fn place(batch: u64) -> Place {
    Place { batch, at: 0 }
}

/// A park with keys called by name.
#[derive(Default)]
struct Lot {
    park: Park,
}

impl Lot {
    fn pin(&mut self, key: &str) {
        let Write { table, key, .. } = write(key);
        if !self.park.is_pinned(table.id, &key) {
            self.park.pin(table.id, key, None, None, true);
        }
    }

    fn write(&mut self, batch: u64, key: &str) {
        self.pin(key);
        self.park.queue_write(place(batch), Request::new(write(key)));
    }

    fn transact(&mut self, batch: u64, keys: &[&str]) {
        keys.iter().for_each(|key| self.pin(key));
        let transaction = Transaction::new(keys.iter().map(|key| write(key)).collect(), None).unwrap();
        self.park.queue_transaction(place(batch), TransactionRequest::new(transaction));
    }

    fn fetch(&self, key: &str) -> Fetch {
        let wanted = write(key).key;
        self.park.fetches.iter().find(|fetch| fetch.key == wanted).unwrap().clone()
    }

    fn find(&mut self, key: &str) {
        let fetch = self.fetch(key);
        self.park.found(&fetch, None).unwrap();
    }

    /// The batches of everything that is ready, in order.
    fn ready(&mut self) -> Vec<u64> {
        let next = || {
            Some(match self.park.next_ready()? {
                Ready::Write(place, ..) | Ready::Transaction(place, ..) => place.batch,
            })
        };
        std::iter::from_fn(next).collect()
    }
}

#[test]
fn a_transaction_waits_for_all_its_keys_and_those_behind_it_for_the_transaction() {
    let mut lot = Lot::default();
    lot.write(1, "a");
    lot.transact(2, &["a", "b"]);
    lot.write(3, "a");
    lot.write(4, "b");
    lot.find("a");
    assert_eq!(lot.ready(), [1]);
    lot.find("b");
    assert_eq!(lot.ready(), [2, 4, 3]);
    assert_eq!(lot.park.len(), 0);
}

#[test]
fn overlapping_transactions_go_in_the_order_in_which_they_came() {
    let mut lot = Lot::default();
    lot.transact(1, &["a", "c"]);
    lot.transact(2, &["b", "a"]);
    lot.transact(3, &["c", "b"]);
    lot.find("a");
    lot.find("b");
    assert!(lot.ready().is_empty(), "the second leads one queue only, though all its items are known");
    lot.find("c");
    assert_eq!(lot.ready(), [1, 2, 3]);
    assert_eq!(lot.park.len(), 0);
}

#[test]
fn a_failed_look_up_frees_the_other_keys_of_its_transactions() {
    let mut lot = Lot::default();
    lot.transact(1, &["a", "b"]);
    lot.write(2, "b");
    lot.write(3, "a");
    let fetch = lot.fetch("a");
    lot.find("b");
    assert!(lot.ready().is_empty());
    let failed = lot.park.fail(&fetch);
    let batches: Vec<u64> = failed
        .iter()
        .map(|unplanned| match unplanned {
            Unplanned::Write(place, _) | Unplanned::Transaction(place, _) => place.batch,
        })
        .collect();
    assert_eq!(batches, [1, 3]);
    assert_eq!(lot.ready(), [2]);
    assert_eq!(lot.park.len(), 0);
    assert!(lot.park.fail(&fetch).is_empty() && lot.park.found(&fetch, None).is_none(), "it is over");
}

#[test]
fn what_is_planned_renews_what_a_pin_knows() {
    let mut lot = Lot::default();
    lot.write(1, "a");
    lot.transact(2, &["a", "b"]);
    lot.find("a");
    assert_eq!(lot.ready(), [1]);
    let Write { table, key, .. } = write("a");
    let item = Image::encode(&Item([("topic".to_owned(), Value::String("a".to_owned()))].into()));
    lot.park.planned(table.id, &key, Some(&item));
    lot.find("b");
    let Some(Ready::Transaction(_, _, items)) = lot.park.next_ready() else { panic!("nothing is in its way") };
    assert_eq!(items, [Some(item), None]);
}
