//! The tables that exist, by name and by number.

use std::{collections::BTreeMap, sync::Arc};

use item::{Table, TableId};

/// An immutable picture of all tables. A change makes a new one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catalog {
    by_id: BTreeMap<TableId, Arc<Table>>,
    by_name: BTreeMap<String, TableId>,
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
        self.by_name.insert(table.name.clone(), table.id);
        self.by_id.insert(table.id, table);
    }

    /// Removes a table.
    pub fn remove(&mut self, id: TableId) {
        if let Some(table) = self.by_id.remove(&id) {
            self.by_name.remove(&table.name);
        }
    }
}
