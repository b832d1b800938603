//! Query and Scan through an index.

use std::collections::BTreeSet;

use item::{
    Image, Index, IndexKind, IndexStatus, Key, Slot, Table,
    expression::{Condition, Projection},
    table,
};
use store::{Page, Target};

use super::page::decode;
use crate::{
    App, Error,
    capacity::{Usage, read_units},
    throttle::{Admitted, Use, claim},
};

/// An index that is read, and what of the items.
pub(crate) struct IndexRead {
    index: Index,
    /// The schema of its entries.
    entries: Table,
    /// The items are asked for more than the entries hold.
    whole: bool,
    /// Only the filter asks for it: what is shown is what the entries hold.
    for_filter: bool,
}

/// What is asked of an index.
pub(crate) struct Asked<'a> {
    pub(crate) consistent: bool,
    pub(crate) select: Option<&'a str>,
    pub(crate) filter: Option<&'a Condition>,
    pub(crate) projection: Option<&'a Projection>,
}

impl IndexRead {
    /// Reads `table` through the index of that name, if it has one that may be read so.
    pub(crate) fn of(table: &Table, name: &str, asked: &Asked<'_>) -> Result<IndexRead, Error> {
        let absent = || Error::Validation(format!("The table does not have the specified index: {name}"));
        let index = table.index(name).cloned().ok_or_else(absent)?;
        let is_global = index.kind == IndexKind::Global;
        if is_global && asked.consistent {
            return Err(Error::validation("Consistent reads are not supported on global secondary indexes"));
        }
        if index.status == IndexStatus::Filling {
            let text = format!("Cannot read from backfilling global secondary index: {name}");
            return Err(Error::Validation(text));
        }
        let asks_for_all = asked.select == Some("ALL_ATTRIBUTES") && index.projection != table::Projection::All;
        if is_global && asks_for_all {
            return Err(Error::parameter(format_args!(
                "Select type ALL_ATTRIBUTES is not supported for global secondary index {name} because its projection \
                 type is not ALL"
            )));
        }
        let filtered = asked.filter.map(Condition::attributes).unwrap_or_default();
        let shown = asked.projection.map(Projection::attributes).unwrap_or_default();
        let missing: BTreeSet<&str> = filtered.union(&shown).copied().filter(|it| !index.projects(table, it)).collect();
        if is_global && !missing.is_empty() {
            let missing: Vec<&str> = missing.into_iter().collect();
            return Err(Error::parameter(format_args!(
                "Global secondary index {name} does not project [{}]",
                missing.join(", ")
            )));
        }
        let entries = index.entries(table);
        let whole = asks_for_all || !missing.is_empty();
        Ok(IndexRead { index, entries, whole, for_filter: whole && !asks_for_all })
    }

    /// The index whose entries say what is shown of whole items, if no projection does.
    pub(crate) fn held(&self) -> Option<Index> {
        self.for_filter.then(|| self.index.clone())
    }
}

/// A page that is counted: what was read, not what is shown.
pub(crate) struct MeteredRead<'a> {
    table: &'a Table,
    read: Option<&'a IndexRead>,
    consistent: bool,
    admitted: Admitted,
}

impl<'a> MeteredRead<'a> {
    /// Lets a page of `table` through if there are units for it.
    pub(crate) fn admit(
        app: &App,
        table: &'a Table,
        read: Option<&'a IndexRead>,
        consistent: bool,
    ) -> Result<MeteredRead<'a>, Error> {
        let claim = claim(table, read.map(|read| &read.index), Use::Read, read_units(0, consistent));
        let admitted = app.admit(table, claim)?;
        Ok(MeteredRead { table, read, consistent, admitted })
    }

    /// What the page used. An item that is read whole for the sake of its entry is a read of its own.
    pub(crate) fn settle(self, page: &Page<Image>) -> Result<Usage, Error> {
        let index = self.read.map(|read| &read.index);
        let usage = match self.read.filter(|read| read.whole) {
            None => Usage::of_page(index, page.bytes, self.consistent),
            Some(IndexRead { index, .. }) => {
                let (mut entries, mut table) = (0, 0.0);
                for image in &page.items {
                    let item = decode(image)?;
                    entries += index.project(&item, self.table).size();
                    table += read_units(item.size(), self.consistent);
                }
                let mut usage = Usage::of_page(Some(index), entries, self.consistent);
                usage.table = table;
                usage
            }
        };
        self.admitted.settle(self.table, &usage, Use::Read);
        Ok(usage)
    }
}

/// The slot of the item that a page starts after, by its key or by that of its entry.
pub(crate) fn slot(read: Option<&IndexRead>, key: &Key) -> Slot {
    let item_key = read.and_then(|read| read.index.item_key(key).ok());
    item_key.as_ref().unwrap_or(key).slot()
}

/// What a read of `table` goes to: the schema of its keys, and the target in the store.
pub(crate) fn target<'a>(table: &'a Table, read: Option<&'a IndexRead>) -> (&'a Table, Target<'a>) {
    match read {
        Some(read) => (&read.entries, Target::index(table, &read.index, read.whole)),
        None => (table, Target::table(table)),
    }
}
