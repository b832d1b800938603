//! The tables that exist, by name and by number, and the entries of their indexes, which are rows like a table's.

use std::{collections::BTreeMap, sync::Arc};

use item::{Index, Table, TableId};

/// An immutable picture of all tables. A change makes a new one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catalog {
    by_id: BTreeMap<TableId, Arc<Table>>,
    by_name: BTreeMap<String, TableId>,
    /// The schemas of indexes' entries, made from the tables'.
    entries: BTreeMap<TableId, Entries>,
}

/// An index's entries.
#[derive(Clone, Debug, PartialEq)]
struct Entries {
    /// The table that is indexed.
    of: TableId,
    /// Their schema.
    schema: Arc<Table>,
}

impl Catalog {
    /// The table of that name.
    pub fn by_name(&self, name: &str) -> Option<&Arc<Table>> {
        self.by_name.get(name).and_then(|id| self.by_id.get(id))
    }

    /// The table of that number.
    pub fn by_id(&self, id: TableId) -> Option<&Arc<Table>> {
        self.by_id.get(&id)
    }

    /// The schema of what has rows under that number: a table, or an index's entries.
    pub fn rows_of(&self, id: TableId) -> Option<&Arc<Table>> {
        self.by_id.get(&id).or_else(|| self.entries.get(&id).map(|entries| &entries.schema))
    }

    /// The index whose entries are under that number, and its table.
    pub fn index(&self, id: TableId) -> Option<(&Arc<Table>, &Index)> {
        let table = self.by_id.get(&self.entries.get(&id)?.of)?;
        Some((table, table.indexes.iter().find(|index| index.id == id)?))
    }

    /// All indexes and their tables.
    pub fn indexes(&self) -> impl Iterator<Item = (&Arc<Table>, &Index)> {
        self.entries.keys().filter_map(|id| self.index(*id))
    }

    /// All tables, by number, reserved system tables included.
    pub fn tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.by_id.values()
    }

    /// Users' tables, by name (UTF-8 bytes).
    pub fn user_tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.by_name.values().filter(|id| !id.is_system()).filter_map(|id| self.by_id.get(id))
    }

    /// Adds a table or replaces its schema.
    pub fn put(&mut self, table: Arc<Table>) {
        self.entries.retain(|_, entries| entries.of != table.id);
        for index in &table.indexes {
            self.entries.insert(index.id, Entries { of: table.id, schema: Arc::new(index.entries(&table)) });
        }
        self.by_name.insert(table.name.clone(), table.id);
        self.by_id.insert(table.id, table);
    }

    /// Removes a table and its indexes.
    pub fn remove(&mut self, id: TableId) {
        self.entries.retain(|_, entries| entries.of != id);
        if let Some(table) = self.by_id.remove(&id) {
            self.by_name.remove(&table.name);
        }
    }
}
