//! What a caller hands in, and what it gets back.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use item::{
    Actor, EncodedItem, Image, Index, Item, ItemError, Key, SequenceNumber, Stream, Table, TableError, TableId,
    expression::{Condition, Update, UpdateError},
    table::CapacityChange,
};

/// One requested change of one item. It is a request, not an event: planning decides what, if anything, changes.
#[derive(Clone, Debug)]
pub struct Write {
    /// The table, as the caller saw it. Its id and version are checked when planning.
    pub table: Arc<Table>,
    /// The item's key.
    pub key: Key,
    /// What to do.
    pub action: Action,
    /// Must hold for the item as it is, else [`Rejection::ConditionFailed`].
    pub condition: Option<Arc<Condition>>,
    /// Answer the item as it was before, also if the condition does not hold. A batch of many such writes to one large item
    /// holds it as often.
    pub return_old: bool,
    /// Who asks.
    pub actor: Actor,
}

/// What to do to the item.
#[derive(Clone, Debug)]
pub enum Action {
    /// Replace it.
    Put(Item),
    /// Replace it, by one that is encoded already.
    PutEncoded(EncodedItem),
    /// Replace it, by what another table of this key held: it may be stored whatever its indexes' keys are by now. An item that
    /// does not fit an index has no entry there.
    Restore(Image),
    /// Unite its top-level attributes with these, key attributes included: a reading of the same device and time.
    Merge(Item),
    /// Make of it what an update says; of its key alone, if there is none.
    Update {
        /// What changes.
        update: Arc<Update>,
        /// Answer the item as it is then.
        return_new: bool,
    },
    /// Remove it.
    Remove,
    /// Leave it as it is: only the condition counts.
    Check,
}

/// What a write did.
#[derive(Clone, Debug, Default)]
pub struct Written {
    /// The event's number; none if nothing changed.
    pub sequence: Option<SequenceNumber>,
    /// The item before, if asked for and there was one.
    pub old: Option<Item>,
    /// The item after an update, if asked for and there is one.
    pub new: Option<Item>,
    /// Attributes whose stored value a merge replaced.
    pub collisions: Vec<String>,
}

/// Why a write was refused. Nothing was changed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Rejection {
    /// The table is gone, or has another key schema by now, or is for others while it is being filled.
    #[error("table not found")]
    TableNotFound,
    /// The condition does not hold.
    #[error("the conditional request failed")]
    ConditionFailed {
        /// The item that failed it, if asked for and there is one.
        old: Option<Item>,
    },
    /// The item, or what a merge would make of it, may not be stored.
    #[error(transparent)]
    Invalid(#[from] ItemError),
    /// An update does not fit the item as it is, or what it would make of it may not be stored.
    #[error(transparent)]
    Update(#[from] UpdateError),
}

/// Answers of one batch, in its order.
pub type Answers = Vec<Result<Written, Rejection>>;

/// Tags that a table can have: DynamoDB's limit.
pub const TAGS_MAX: usize = 50;

/// A change of the catalogue.
#[derive(Clone, Debug)]
pub enum TableWrite {
    /// Make a table. Its id, version, creation time and stream label are assigned by the store.
    Create(Table),
    /// Remove a table by name.
    Delete(String),
    /// Turn the stream on or off.
    SetStream(String, Option<Stream>),
    /// Change several things of a table at once, by name.
    Update(String, Box<TableUpdate>),
    /// Add an index to a table; it may be read once the items that there are have been added. Its id is assigned by the store.
    AddIndex(String, Index),
    /// Remove an index from a table, both by name.
    DropIndex(String, String),
    /// Let items expire by a number attribute, seconds since 1970; or no more.
    SetExpiry(String, Option<String>),
    /// Note these tags, over older ones of the same keys. Refused if there would be more than [`TAGS_MAX`].
    Tag(String, BTreeMap<String, String>),
    /// Take tags off, by key.
    Untag(String, BTreeSet<String>),
    /// Make continuous backups of a table that go back so many days, 1 to 35; or no more.
    SetRecovery(String, Option<u8>),
    /// The index of that number has an entry of every item that has one: it may be read.
    ActivateIndex(TableId),
    /// The table of that number is filled: everybody may read and write it.
    Open(TableId),
    /// Remove the table of that number, which is being filled and never will be.
    Discard(TableId),
}

/// Changes of a table that are made together, or not at all. What is none stays as it is.
#[derive(Clone, Debug)]
pub struct TableUpdate {
    /// The table that the change was checked against,
    pub table: TableId,
    /// and the version of its schema. Refused if it has another one by now.
    pub version: u32,
    /// Capacity of the table and of its global indexes, and its class.
    pub capacity: CapacityChange,
    /// The stream, on or off.
    pub stream: Option<Option<Stream>>,
    /// Protection against deletion.
    pub deletion_protection: Option<bool>,
    /// An index to add, as by [`TableWrite::AddIndex`].
    pub add_index: Option<Index>,
    /// An index to remove, by name.
    pub drop_index: Option<String>,
}

/// Why a table change was refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TableRejection {
    /// A table of that name exists.
    #[error("table already exists")]
    Exists(Arc<Table>),
    /// There is no such table.
    #[error("table not found")]
    NotFound,
    /// A job is still filling it.
    #[error("the table is still being filled")]
    Filling,
    /// The table has an index of that name.
    #[error("index already exists")]
    IndexExists,
    /// The table has no such index.
    #[error("index not found")]
    IndexNotFound,
    /// There would be too many tags.
    #[error("a table has at most {TAGS_MAX} tags")]
    TooManyTags,
    /// It is not as it was when the change was checked.
    #[error("the table was changed meanwhile")]
    Changed,
    /// It is protected against deletion.
    #[error("deletion protection is enabled")]
    Protected,
    /// It would be no table.
    #[error(transparent)]
    Invalid(#[from] TableError),
}
