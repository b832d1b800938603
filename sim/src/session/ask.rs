//! What the clients of a simulation hand in: batches of writes, and transactions.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use item::{Actor, Key, Table};
use store::{
    Error,
    env::Clock,
    room::Room,
    transaction::Token,
    write::{Action, Write},
};

use super::{Batch, End, IN_FLIGHT_MAX, Session};
use crate::{
    Violation, ensure,
    model::{Model, Wanted, Wish},
    random::Random,
    run::World,
    workload::Workload,
};

impl Session<'_> {
    /// Hands in a batch or a transaction.
    pub(super) fn submit(&mut self) -> Result<(), End> {
        if self.batches.len() + self.transactions.len() >= IN_FLIGHT_MAX || !self.world.model.may_write() {
            return Ok(());
        }
        let World { model, workload, random, report, .. } = &mut *self.world;
        let mut tables: Vec<Arc<Table>> = model.tables().map(|model| Arc::clone(&model.table)).collect();
        if random.percent(2) {
            // Someone who has not heard yet.
            tables.extend(model.gone.last().cloned());
        }
        if tables.is_empty() {
            return self.change_table();
        }
        let is_full = self.store.room().0 == Room::Full;
        if is_full {
            let table = random.pick(&tables);
            let mut item = workload.key(table);
            let key = Key::of_item(table, &item).expect("the workload makes keys of the table's types");
            workload.attributes(&mut item);
            let (table, action, actor) = (table.clone(), Action::Put(item), Actor::User);
            let put = Write { table, key, action, condition: None, return_old: false, actor };
            let refused = matches!(self.store.submit(vec![put]), Err(Error::Full { .. }));
            ensure(refused, || "a put was taken although the disk is full".to_owned())?;
            report.refused_writes += 1;
        } else if random.percent(30) {
            return self.transact(&tables);
        }
        let mut tickets = Vec::new();
        let mut writes = Vec::new();
        for _ in 0..random.between(1, 6) {
            let table = random.pick(&tables).clone();
            let mut wanted = want_some(model, workload, random, &table);
            if is_full {
                // What removes is taken still.
                wanted.wish = Wish::Remove;
            }
            let (ticket, write) = model.write(wanted);
            tickets.push(ticket);
            writes.push(write);
        }
        report.writes += writes.len() as u64;
        let answers = self.store.submit(writes).map_err(|error| Violation(format!("a batch was refused: {error}")))?;
        self.batches.push(Batch { tickets, answers });
        Ok(())
    }

    fn transact(&mut self, tables: &[Arc<Table>]) -> Result<(), End> {
        let World { model, workload, random, report, clock, tears, .. } = &mut *self.world;
        let mut keys = BTreeSet::new();
        let mut wanted = Vec::new();
        for _ in 0..random.between(1, 6) {
            let table = random.pick(tables);
            let mut one = want_some(model, workload, random, table);
            // About every other transaction should be done.
            if random.percent(70) {
                one.check = None;
            }
            if random.percent(12) {
                (one.wish, one.check) = (Wish::Check, Some(workload.check()));
            }
            if keys.insert((one.table.id, one.logical_key())) {
                wanted.push(one);
            }
        }
        let token = match random.below(10) {
            0..=3 => Some(Token { name: format!("token-{}", random.next()), request: Bytes::from_static(b"first") }),
            4..=5 => model.some_token(clock.now_us(), |end| random.below(end)),
            _ => None,
        };
        let token = token.map(|token| match random.percent(15) {
            true => Token { request: Bytes::from_static(b"another"), ..token },
            false => token,
        });
        // A torn one would be known by its missing token.
        let token = token.filter(|_| !*tears);
        report.transactions += 1;
        report.writes += wanted.len() as u64;
        let (handed_in, mut writes, transaction) = model.transact(wanted, token);
        report.done_transactions += u64::from(handed_in.is_written);
        let refused = |error| Violation(format!("a transaction was refused: {error}"));
        if *tears && handed_in.is_written && writes.len() > 1 {
            let mut tickets = handed_in.tickets;
            let half = writes.len() / 2;
            let (rest, other_tickets) = (writes.split_off(half), tickets.split_off(half));
            for (writes, tickets) in [(writes, tickets), (rest, other_tickets)] {
                let answers = self.store.submit(writes).map_err(refused)?;
                self.batches.push(Batch { tickets, answers });
            }
            return Ok(());
        }
        let answer = self.store.submit_transaction(transaction).map_err(refused)?;
        self.transactions.push((handed_in, answer));
        Ok(())
    }
}

fn want_some(model: &Model, workload: &mut Workload, random: &mut Random, table: &Arc<Table>) -> Wanted {
    // A few items are asked for again and again, so that requests on an item that must be looked up meet.
    let popular = match random.percent(25) {
        true => model.some_key(table, random.below(6)),
        false => None,
    };
    let mut item = popular.unwrap_or_else(|| workload.key(table));
    let key = item.clone();
    workload.attributes(&mut item);
    let wish = match random.below(14) {
        0..=4 => Wish::Put(item),
        5..=7 => Wish::Merge(item),
        8..=11 => Wish::Update(workload.edits(), random.percent(50)),
        _ => Wish::Remove,
    };
    let check = random.percent(25).then(|| workload.check());
    let return_old = random.percent(20);
    Wanted { table: Arc::clone(table), key, wish, check, return_old }
}
