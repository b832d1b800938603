//! The reserved system tables: ordinary tables with fixed ids, in the catalogue from the start, hidden from users.
//! Ids and keys are persisted: never change them.

use super::{Billing, KeyAttribute, KeyType, Table, TableId};

/// Messages that could not be mapped. Key: `client` (S), `id` (S).
pub const QUARANTINE: TableId = TableId(1);

/// The last retained message of each topic. Key: `topic` (S).
pub const RETAINED: TableId = TableId(2);

/// The schema of [`QUARANTINE`].
pub fn quarantine() -> Table {
    table(QUARANTINE, "$quarantine", "client", Some("id"))
}

/// The schema of [`RETAINED`].
pub fn retained() -> Table {
    table(RETAINED, "$retained", "topic", None)
}

/// Every system table, by id.
pub fn tables() -> Vec<Table> {
    vec![quarantine(), retained()]
}

fn table(id: TableId, name: &str, partition_key: &str, sort_key: Option<&str>) -> Table {
    Table {
        id,
        name: name.to_owned(),
        version: 1,
        partition_key: KeyAttribute::new(partition_key, KeyType::S),
        sort_key: sort_key.map(|name| KeyAttribute::new(name, KeyType::S)),
        sort_key_is_time: false,
        item_key: Vec::new(),
        indexes: Vec::new(),
        stream: None,
        created_at_us: 0,
        billing: Billing::OnDemand,
        deletion_protection: true,
    }
}
