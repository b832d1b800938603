//! What the clients of a simulation hand in: batches of writes, and transactions.

use std::{collections::BTreeSet, mem, sync::Arc};

use bytes::Bytes;
use compactor::Expirer;
use item::{Actor, IndexStatus, Key, Number, ShardId, Table, Value};
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
    reads::{Unread, now},
    run::World,
    workload::{Check, UNTIL, Workload},
};

/// What expired longer ago, in seconds, stays.
const EXPIRED_S: u64 = 5 * 365 * 24 * 60 * 60;

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

impl Session<'_> {
    /// Hands in the removal of some items that have expired, as the expirer finds them.
    pub(super) fn remove_some_expired(&mut self) -> Result<(), End> {
        let World { model, random, .. } = &mut *self.world;
        let expiring: Vec<Arc<Table>> =
            model.tables().map(|model| Arc::clone(&model.table)).filter(|table| table.expiry().is_some()).collect();
        let may_write = self.batches.len() + self.transactions.len() < IN_FLIGHT_MAX && model.may_write();
        if expiring.is_empty() || !may_write {
            return Ok(());
        }
        if random.percent(10) {
            // A whole sweep.
            self.expirer = Expirer::new(self.store.clone());
        }
        let (table, shard) = (random.pick(&expiring).clone(), random.below(u64::from(self.store.shards())) as u16);
        self.submit_expired(&table, ShardId(shard)).map(drop)
    }

    /// Removes everything that has expired.
    pub(super) fn remove_expired(&mut self) -> Result<(), End> {
        self.expirer = Expirer::new(self.store.clone());
        let tables: Vec<Arc<Table>> = self.world.model.tables().map(|model| Arc::clone(&model.table)).collect();
        for table in &tables {
            for shard in (0..self.store.shards()).map(ShardId) {
                while self.submit_expired(table, shard)? {
                    self.finish()?;
                }
                self.finish()?;
            }
            let now_s = self.world.clock.now_us() / 1_000_000;
            let filled = self.world.model.tables().find(|model| model.table.id == table.id);
            let expiry = filled.and_then(|model| model.table.expiry());
            ensure(expiry.is_none_or(|index| index.status == IndexStatus::Active), || {
                format!("the expiry of {} is never filled", table.name)
            })?;
            // What expires meanwhile may stay.
            let left = self.world.model.expired(table, now_s - EXPIRED_S, now_s.saturating_sub(1));
            ensure(left.is_empty(), || format!("items of {} have expired and are there: {left:?}", table.name))?;
        }
        Ok(())
    }

    /// Hands in the next removals; answers whether there may be more.
    fn submit_expired(&mut self, table: &Arc<Table>, shard: ShardId) -> Result<bool, End> {
        let now_s = self.world.clock.now_us() / 1_000_000;
        let mut due = match now(self.expirer.due(table, shard, now_s)) {
            Ok(Some(due)) => due,
            Ok(None) => return Ok(false),
            Err(Unread::Failed(_)) if self.world.disk.is_down() => return Err(End::Crash),
            Err(unread) => return Err(unread.into()),
        };
        let Some(index) = table.expiry() else { return Ok(false) };
        let World { model, report, .. } = &mut *self.world;
        let mut tickets = Vec::new();
        for write in &due.writes {
            // Nothing was applied since the entry was read, so its item is there and says the same.
            let item = match now(self.store.get(table, &write.key)) {
                Ok(item) => item.unwrap_or_default(),
                Err(Unread::Failed(_)) if self.world.disk.is_down() => return Err(End::Crash),
                Err(unread) => return Err(unread.into()),
            };
            let at = item.get(&index.partition_key.name).cloned();
            let is_over = match &at {
                Some(Value::Number(at)) => Number::from(now_s - EXPIRED_S) <= *at && *at <= Number::from(now_s),
                _ => false,
            };
            ensure(is_over, || format!("an item is to be removed at {now_s}, but expires at {at:?}: {item:?}"))?;
            let key = write.key.to_item(table).map_err(|error| Violation(error.to_string()))?;
            let check = at.map(|at| Check::Is(UNTIL, at));
            let (table, wish, actor) = (Arc::clone(table), Wish::Remove, Actor::Ttl);
            tickets.push(model.write(Wanted { table, key, wish, check, return_old: false, actor }).0);
        }
        let writes = mem::take(&mut due.writes);
        report.expired += writes.len() as u64;
        self.expirer.done(&due);
        if !writes.is_empty() {
            let refused = |error: Error| Violation(format!("removals were refused: {error}"));
            let answers = self.store.submit(writes).map_err(refused)?;
            self.batches.push(Batch { tickets, answers });
        }
        Ok(!due.is_last)
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
    Wanted { table: Arc::clone(table), key, wish, check, return_old, actor: Actor::User }
}
