//! What the three operations on PartiQL statements have in common: their members, and statements of one item.

use std::sync::Arc;

use item::{
    Actor, Item, Key, Table, Value,
    expression::{Condition, Path, Projection, Test, Update},
};
use store::write::{Action, Rejection, Write, Written};

use super::{commit::Prepared, read_at_once::Read};
use crate::{
    App, Error,
    cancellation::key_reason,
    expressions::check_scalar_keys,
    partiql::{self, Insert, Returning, STATEMENT_LENGTH_MAX, Select, Statement},
    validate::{self, Violations},
    values::{ValueOut, WireValue},
};

/// A statement's text and parameters, as given.
pub(super) struct Given {
    pub(super) text: Option<String>,
    pub(super) parameters: Option<Vec<WireValue>>,
}

impl Given {
    /// Notes what is missing, empty or too long; `place` is where the statement stands, with its dot.
    pub(super) fn check(&self, violations: &mut Violations, place: &str) {
        violations.required(format_args!("{place}statement"), self.text.as_ref());
        violations.length(format_args!("{place}statement"), self.text.as_ref(), 1, STATEMENT_LENGTH_MAX);
        if self.parameters.as_ref().is_some_and(Vec::is_empty) {
            let place = format_args!("{place}parameters");
            violations.add(place, "[]", "Member must have length greater than or equal to 1");
        }
    }

    /// Everything that is given, as an item: equal for equal statements. What breaks a rule is refused elsewhere.
    pub(super) fn describe(&self) -> Item {
        let parameters = self.good_parameters().cloned().collect();
        Item::from([
            ("statement", Value::String(self.text.clone().unwrap_or_default())),
            ("parameters", Value::List(parameters)),
        ])
    }

    /// Stands for the text and the parameters, which are not copied for it: a checksum and the length, as of transactions.
    pub(super) fn digest(&self) -> Result<[u8; 16], Error> {
        let mut checksum = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Nvme);
        checksum.update(self.text.as_deref().unwrap_or_default().as_bytes());
        for parameter in self.good_parameters() {
            checksum.update(b"\n");
            let written = serde_json::to_writer(&mut checksum, &ValueOut(parameter));
            written.map_err(|error| Error::Internal(error.to_string()))?;
        }
        let mut digest = [0; 16];
        digest[..8].copy_from_slice(&checksum.finalize().to_be_bytes());
        digest[8..].copy_from_slice(&checksum.get_amount().to_be_bytes());
        Ok(digest)
    }

    fn good_parameters(&self) -> impl Iterator<Item = &Value> {
        self.parameters.iter().flatten().filter_map(|parameter| parameter.0.as_ref().ok())
    }

    /// What it asks for.
    pub(super) fn parse(self) -> Result<Statement, Error> {
        let parameters = self.parameters.into_iter().flatten().map(|WireValue(value)| value);
        let parameters = parameters.collect::<Result<Vec<Value>, _>>()?;
        Ok(partiql::parse(&self.text.unwrap_or_default(), parameters)?)
    }
}

/// Are they all reads, or all writes? If so, are they reads?
pub(super) fn only_reads<'s>(
    mut statements: impl Iterator<Item = &'s Statement>,
    operation: &str,
) -> Result<bool, Error> {
    let Some(first) = statements.next() else { return Ok(true) };
    if statements.any(|statement| statement.reads() != first.reads()) {
        return Err(Error::Validation(format!(
            "{operation} API does not support both read and write operations in the same request."
        )));
    }
    Ok(first.reads())
}

/// A statement that writes one item, or checks it, ready for the store but for its key, which may not fit the table.
pub(super) struct WriteStatement {
    pub(super) prepared: Prepared,
    returning: Option<Returning>,
    /// What an UPDATE does.
    update: Arc<Update>,
}

impl WriteStatement {
    /// Makes `statement`, which is no SELECT, ready.
    pub(super) fn of(app: &App, statement: Statement, old_on_failure: bool) -> Result<WriteStatement, Error> {
        let returning = statement.returning();
        let given_name = statement.table().to_owned();
        let name = validate::table_name(Some(given_name.clone()))?;
        let table = super::table(app, &name)?;
        let Wanted { given, key, action, condition, size } = Wanted::of(&table, statement)?;
        if let Some(condition) = &condition {
            check_scalar_keys(&table, &condition.nested_attributes())?;
        }
        let key = key_reason(&table, &given, key)?;
        let update = if let Action::Update { update, .. } = &action { update.clone() } else { Arc::default() };
        let inserts = matches!(action, Action::Put(_));
        let returns_old = matches!(returning, Some(Returning::AllOld | Returning::ModifiedOld));
        let return_old = old_on_failure || returns_old;
        let condition = condition.map(Arc::new);
        let write = key.map(|key| Write { table, key, action, condition, return_old, actor: Actor::User });
        let prepared = Prepared { given_name, write, old_on_failure, size, inserts };
        Ok(WriteStatement { prepared, returning, update })
    }

    /// The write alone, if its key fits the table, and what to tell of it once it is done.
    pub(super) fn split(self) -> Result<(Write, Telling), Error> {
        let Prepared { given_name, write, old_on_failure, inserts, .. } = self.prepared;
        let write = write.map_err(Error::Validation)?;
        let telling = Telling { given_name, old_on_failure, inserts, returning: self.returning, update: self.update };
        Ok((write, telling))
    }
}

/// What a statement wants to happen to one item of a table.
struct Wanted {
    /// The attributes of the key, as given.
    given: Item,
    key: Result<Key, Error>,
    action: Action,
    condition: Option<Condition>,
    /// Of the item to be put.
    size: usize,
}

impl Wanted {
    fn of(table: &Table, statement: Statement) -> Result<Wanted, Error> {
        let exists = |make: fn(Path) -> Test| {
            let path = Path::new(table.partition_key.name.clone(), Vec::new());
            Condition::from(make(path))
        };
        let by_key = |conditions: Vec<Condition>, text: &str| {
            let (given, rest) = partiql::item_key(table, conditions).ok_or_else(|| Error::validation(text))?;
            let key = validate::request_key(table, &given);
            Ok::<_, Error>((given, key, rest))
        };
        Ok(match statement {
            Statement::Insert(Insert { item, .. }) => {
                item.check()?;
                let key = validate::item_key(table, &item);
                let (given, size) = (key_of(table, &item), item.size());
                Wanted { given, key, action: Action::Put(item), condition: Some(exists(Test::NotExists)), size }
            }
            // An item that is not there is not updated, but there is nothing wrong with removing it.
            Statement::Update(asked) => {
                let (given, key, rest) = by_key(asked.conditions, NO_KEY)?;
                let update = Arc::new(Update::of_changes(asked.changes)?);
                update.check_key(table)?;
                check_scalar_keys(table, &update.nested_attributes())?;
                let returns_new = matches!(asked.returning, Some(Returning::AllNew | Returning::ModifiedNew));
                let action = Action::Update { update, return_new: returns_new };
                let condition = rest.into_iter().fold(exists(Test::Exists), Condition::and);
                Wanted { given, key, action, condition: Some(condition), size: 0 }
            }
            Statement::Delete(asked) => {
                let (given, key, rest) = by_key(asked.conditions, NO_KEY)?;
                let condition = rest.map(|rest| exists(Test::NotExists).or(rest));
                Wanted { given, key, action: Action::Remove, condition, size: 0 }
            }
            Statement::Select(asked) | Statement::Exists(asked) => {
                let (given, key, rest) = by_key(asked.conditions, NO_CHECK)?;
                let condition = Some(rest.ok_or_else(|| Error::validation(NO_CHECK))?);
                Wanted { given, key, action: Action::Check, condition, size: 0 }
            }
        })
    }
}

const NO_KEY: &str = "Where clause does not contain a mandatory equality on all key attributes";
const NO_CHECK: &str = "The SELECT statement in EXISTS must specify the full primary key and one other condition";

/// What is kept of a write to tell of it.
pub(super) struct Telling {
    pub(super) given_name: String,
    old_on_failure: bool,
    inserts: bool,
    returning: Option<Returning>,
    update: Arc<Update>,
}

impl Telling {
    /// May an item have to be held until it is told?
    pub(super) fn tells_items(&self) -> bool {
        self.returning.is_some() || self.old_on_failure
    }

    /// What RETURNING asks for, if there is any of it.
    pub(super) fn returned(&self, written: Written) -> Option<Item> {
        let item = match self.returning? {
            Returning::AllOld => written.old,
            Returning::AllNew => written.new,
            Returning::ModifiedOld => written.old.map(|old| self.update.touched(&old)),
            Returning::ModifiedNew => written.new.map(|new| self.update.made(&new)),
        };
        item.filter(|item| !item.is_empty())
    }

    /// What the store says against it, for its client.
    pub(super) fn refusal(&self, rejection: Rejection) -> Error {
        match rejection {
            Rejection::ConditionFailed { .. } if self.inserts => Error::DuplicateItem,
            Rejection::ConditionFailed { old } => Error::ConditionFailed(old.filter(|_| self.old_on_failure)),
            other => other.into(),
        }
    }
}

/// Makes a SELECT of one item, as `operation` takes it, ready to be read by its key.
pub(super) fn read(app: &App, select: Select, operation: &str) -> Result<Read, Error> {
    let no_key = || {
        Error::Validation(format!(
            "Select statements within {operation} must specify the primary key in the where clause."
        ))
    };
    let given_name = select.source.table;
    let name = validate::table_name(Some(given_name.clone()))?;
    let table = super::table(app, &name)?;
    let by_key = partiql::item_key(&table, select.conditions).filter(|_| select.source.index.is_none());
    let (given, filter) = by_key.ok_or_else(no_key)?;
    let projection = select.columns.map(Projection::of_columns);
    if let Some(filter) = &filter {
        check_scalar_keys(&table, &filter.nested_attributes())?;
    }
    if let Some(projection) = &projection {
        check_scalar_keys(&table, &projection.nested_attributes())?;
    }
    let key = key_reason(&table, &given, validate::request_key(&table, &given))?;
    Ok(Read { given_name, table, key, filter, projection })
}

/// The attributes of `item` that are its key in `table`, as far as they are there.
fn key_of(table: &Table, item: &Item) -> Item {
    let attributes = table.key_attributes().map(|attribute| attribute.name.clone());
    Item(attributes.filter_map(|name| Some((name.clone(), item.get(&name)?.clone()))).collect())
}
