//! Transactions that are handed in, and tokens: what must be in one frame, and what must not be done again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use item::{Change, Event, Item, Key, Number, Value, table::system};
use store::{
    transaction::{Token, Transacted, Transaction},
    write::Write,
};

use super::{Model, Outcome, Ticket, Waiting, Wanted, rows::Foreseen};
use crate::{Violation, ensure};

/// Names a transaction until it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group(u64);

/// A transaction that is handed in.
#[derive(Debug)]
pub struct HandedIn {
    /// Its name.
    pub group: Group,
    /// Its writes'.
    pub tickets: Vec<Ticket>,
    /// Must all of it be done?
    pub is_written: bool,
    expected: Expected,
    token: Option<Token>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Written,
    Cancelled,
    Repeated,
    TokenReused,
}

/// What must be in one frame.
#[derive(Debug, Default)]
struct Whole {
    /// Writes that certainly lead to an event.
    tickets: BTreeSet<Ticket>,
    has_token: bool,
}

/// Transactions and tokens.
#[derive(Default)]
pub(super) struct Transactions {
    last_group: u64,
    wholes: BTreeMap<Group, Whole>,
    group_of: BTreeMap<Ticket, Group>,
    tokens: BTreeMap<String, TokenModel>,
}

#[derive(Default)]
struct TokenModel {
    /// As of the frames followed: the request, and until when.
    kept: Option<(Bytes, u64)>,
    /// Transactions that will keep it, in order, as handed in.
    waiting: VecDeque<(Group, Bytes)>,
}

/// What one frame holds of transactions.
#[derive(Default)]
pub(super) struct InFrame(BTreeMap<Group, Whole>);

impl Transactions {
    /// A token that is kept, or will be, for so long that the clock does not matter; its number is drawn by `draw`.
    pub(super) fn some_token(&self, now_us: u64, draw: impl FnOnce(u64) -> u64) -> Option<Token> {
        let lasts =
            |token: &TokenModel| token.kept.as_ref().is_none_or(|(_, until_us)| *until_us > now_us + 300_000_000);
        let usable = self.tokens.iter().filter(|(_, token)| lasts(token));
        let named: Vec<_> = usable.filter_map(|(name, token)| Some((name, token.newest()?))).collect();
        let (name, request) = named.get(draw(named.len() as u64) as usize)?;
        Some(Token { name: (*name).clone(), request: (*request).clone() })
    }

    /// Follows an event of a write.
    pub(super) fn follow(&self, ticket: Ticket, frame: &mut InFrame) {
        if let Some(group) = self.group_of.get(&ticket) {
            frame.0.entry(*group).or_default().tickets.insert(ticket);
        }
    }

    /// Follows an event of the table of tokens.
    pub(super) fn follow_token(&mut self, event: &Event, frame: &mut InFrame) -> Result<(), Violation> {
        let wrong = || Violation(format!("not a token that was handed in: {event:?}"));
        let Change::Put { key, new, .. } = &event.change else { return Err(wrong()) };
        let row = new.decode().map_err(|error| Violation(error.to_string()))?;
        let (Some(Value::String(name)), Some(Value::Binary(request)), Some(Value::Number(until_us))) =
            (row.get(system::TOKEN), row.get(system::TOKEN_REQUEST), row.get(system::TOKEN_UNTIL_US))
        else {
            return Err(wrong());
        };
        ensure(*key == token_key(name)?, || format!("a token under another key: {event:?}"))?;
        let until_us = micros(until_us).ok_or_else(wrong)?;
        let token = self.tokens.get_mut(name).ok_or_else(wrong)?;
        let (group, asked) = token.waiting.pop_front().ok_or_else(wrong)?;
        ensure(asked == *request, || format!("a token of another request: {event:?}"))?;
        token.kept = Some((asked, until_us));
        frame.0.entry(group).or_default().has_token = true;
        Ok(())
    }

    /// A frame has been followed: what it holds of a transaction is all of it.
    pub(super) fn check_frame(&self, InFrame(frame): InFrame) -> Result<(), Violation> {
        for (group, found) in frame {
            let Some(whole) = self.wholes.get(&group) else { continue };
            let is_whole = found.tickets == whole.tickets && found.has_token == whole.has_token;
            ensure(is_whole, || format!("{group:?} is torn: found {found:?} of {whole:?}"))?;
        }
        Ok(())
    }

    /// What was handed in and did not happen will not.
    pub(super) fn forget_predictions(&mut self) {
        self.wholes.clear();
        self.group_of.clear();
        self.tokens.values_mut().for_each(|token| token.waiting.clear());
        self.tokens.retain(|_, token| token.kept.is_some());
    }
}

impl TokenModel {
    /// The request that it will stand for.
    fn newest(&self) -> Option<&Bytes> {
        self.waiting.back().map(|(_, request)| request).or(self.kept.as_ref().map(|(request, _)| request))
    }
}

impl Model {
    /// A token that is in use.
    pub fn some_token(&self, now_us: u64, draw: impl FnOnce(u64) -> u64) -> Option<Token> {
        self.transactions.some_token(now_us, draw)
    }

    /// Notes a transaction that is handed in, each write of another item, and makes it.
    pub fn transact(&mut self, wanted: Vec<Wanted>, token: Option<Token>) -> (HandedIn, Vec<Write>, Transaction) {
        let known = token.as_ref().and_then(|token| self.transactions.tokens.get(&token.name)?.newest());
        let told = token.as_ref().zip(known).map(|(token, known)| match token.request == *known {
            true => Expected::Repeated,
            false => Expected::TokenReused,
        });
        let mut foreseen: Vec<Foreseen> = wanted.iter().map(|wanted| self.foresee(wanted)).collect();
        let is_good = |foreseen: &Foreseen| matches!(foreseen.outcome, Outcome::Written { .. });
        let is_written = foreseen.iter().all(is_good);
        if !is_written {
            foreseen.iter_mut().filter(|foreseen| is_good(foreseen)).for_each(Foreseen::spare);
        }
        let expected = told.unwrap_or(if is_written { Expected::Written } else { Expected::Cancelled });
        self.transactions.last_group += 1;
        let group = Group(self.transactions.last_group);
        let mut whole = Whole::default();
        let mut tickets = Vec::new();
        for (wanted, foreseen) in wanted.iter().zip(foreseen).filter(|_| told.is_none()) {
            let is_certain = foreseen.is_certain();
            let ticket = self.predict(wanted, foreseen);
            if is_certain {
                whole.tickets.insert(ticket);
                self.transactions.group_of.insert(ticket, group);
            }
            tickets.push(ticket);
        }
        if expected == Expected::Written {
            if let Some(Token { name, request }) = &token {
                let token = self.transactions.tokens.entry(name.clone()).or_default();
                token.waiting.push_back((group, request.clone()));
                whole.has_token = true;
            }
            self.transactions.wholes.insert(group, whole);
        }
        let writes: Vec<Write> = wanted.into_iter().map(Wanted::into_write).collect();
        let transaction = Transaction::new(writes.clone(), token.clone()).expect("distinct keys and a short token");
        let is_written = expected == Expected::Written;
        (HandedIn { group, tickets, is_written, expected, token }, writes, transaction)
    }

    /// Checks the answer of a transaction.
    pub fn transacted(&mut self, handed_in: &HandedIn, answer: Transacted) -> Result<(), Violation> {
        let HandedIn { group, tickets, expected, token, .. } = handed_in;
        let answers: Vec<_> = match (answer, expected) {
            (Transacted::Written(written), Expected::Written) => {
                written.into_iter().map(|written| Some(Ok(written))).collect()
            }
            (Transacted::Cancelled(reasons), Expected::Cancelled) => {
                reasons.into_iter().map(|reason| reason.map(Err)).collect()
            }
            (Transacted::Repeated, Expected::Repeated) | (Transacted::TokenReused, Expected::TokenReused) => Vec::new(),
            (answer, expected) => {
                return Err(Violation(format!("{group:?} was answered {answer:?}, expected {expected:?}")));
            }
        };
        ensure(tickets.len() == answers.len(), || format!("{} answers for {} writes", answers.len(), tickets.len()))?;
        if *expected != Expected::Cancelled
            && let Some(Token { name, request }) = token
        {
            let kept = self.transactions.tokens.get(name).and_then(|token| token.kept.as_ref());
            let is_visible = kept.is_some_and(|(kept, _)| (kept == request) == (*expected != Expected::TokenReused));
            ensure(is_visible, || format!("{group:?}: answered before its token was visible"))?;
        }
        for (ticket, answer) in tickets.iter().zip(answers) {
            self.answered_one(*ticket, answer)?;
            self.transactions.group_of.remove(ticket);
        }
        self.transactions.wholes.remove(group);
        Ok(())
    }

    /// Registers a write, with what is foreseen for it.
    pub(super) fn predict(&mut self, wanted: &Wanted, foreseen: Foreseen) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        let key = wanted.logical_key();
        let outcome = match self.tables.get_mut(&wanted.table.id) {
            None => Outcome::TableNotFound,
            Some(model) => model.rows.predict(ticket, &key, wanted.actor, foreseen),
        };
        self.waiting.insert(ticket, Waiting { table: wanted.table.id, key, outcome });
        ticket
    }
}

fn token_key(name: &str) -> Result<Key, Violation> {
    let item = Item([(system::TOKEN.to_owned(), Value::String(name.to_owned()))].into());
    Key::of_item(&system::tokens(), &item).map_err(|error| Violation(error.to_string()))
}

/// A whole number of microseconds.
fn micros(number: &Number) -> Option<u64> {
    number.to_string().parse().ok()
}
