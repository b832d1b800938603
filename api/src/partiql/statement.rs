//! What a statement asks for, names and values in place, before it is known which table it is for.

use item::{
    Item,
    expression::{Change, Condition, Path},
};

/// A whole statement.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Statement {
    Select(Select),
    Insert(Insert),
    Update(Update),
    Delete(Delete),
    /// `EXISTS(SELECT ...)`: a condition of a transaction.
    Exists(Select),
}

/// Where a SELECT reads.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Source {
    pub(crate) table: String,
    pub(crate) index: Option<String>,
}

/// A read. Conditions, here and below, are those that AND joins at the top: all must hold.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Select {
    pub(crate) source: Source,
    /// What to show; none for `*`.
    pub(crate) columns: Option<Vec<Path>>,
    pub(crate) conditions: Vec<Condition>,
    pub(crate) order: Vec<Order>,
}

/// One key of an ORDER BY.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Order {
    pub(crate) attribute: String,
    pub(crate) descending: bool,
}

/// A new item.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Insert {
    pub(crate) table: String,
    pub(crate) item: Item,
}

/// A change of one item.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Update {
    pub(crate) table: String,
    pub(crate) changes: Vec<(Path, Change)>,
    pub(crate) conditions: Vec<Condition>,
    pub(crate) returning: Option<Returning>,
}

/// The removal of one item.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Delete {
    pub(crate) table: String,
    pub(crate) conditions: Vec<Condition>,
    pub(crate) returning: Option<Returning>,
}

/// Which attributes a write answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Returning {
    AllOld,
    ModifiedOld,
    AllNew,
    ModifiedNew,
}

impl Statement {
    /// Does it only read? A check is part of a writing transaction.
    pub(crate) fn reads(&self) -> bool {
        matches!(self, Statement::Select(_))
    }

    /// The table that it names.
    pub(crate) fn table(&self) -> &str {
        match self {
            Statement::Select(select) | Statement::Exists(select) => &select.source.table,
            Statement::Insert(insert) => &insert.table,
            Statement::Update(update) => &update.table,
            Statement::Delete(delete) => &delete.table,
        }
    }

    /// What a write is to answer.
    pub(crate) fn returning(&self) -> Option<Returning> {
        match self {
            Statement::Update(Update { returning, .. }) | Statement::Delete(Delete { returning, .. }) => *returning,
            Statement::Select(_) | Statement::Insert(_) | Statement::Exists(_) => None,
        }
    }
}
