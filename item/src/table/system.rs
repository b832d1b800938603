//! The reserved system tables: ordinary tables with fixed ids, in the catalogue from the start, hidden from users.
//! Ids and keys are persisted: never change them.

use super::{Billing, KeyAttribute, KeyType, Table, TableId};
use crate::{Item, Number, Value};

/// Messages that could not be mapped. Key: `client` (S), `id` (S).
pub const QUARANTINE: TableId = TableId(1);

/// The last retained message of each topic. Key: `topic` (S).
pub const RETAINED: TableId = TableId(2);

/// Tokens of transactions that are not to be done twice. Key: [`TOKEN`] (S). A row counts until [`TOKEN_UNTIL_US`] (N,
/// microseconds since 1970), and goes when the table is merged after that.
pub const TOKENS: TableId = TableId(3);

/// The key of [`TOKENS`].
pub const TOKEN: &str = "token";
/// What the transaction asked for (B).
pub const TOKEN_REQUEST: &str = "request";
/// Until when the token counts (N).
pub const TOKEN_UNTIL_US: &str = "until_us";

/// Who may ask. Key: `kind` (S: `key`), `name` (S: the access key).
pub const PRINCIPALS: TableId = TableId(4);

/// What is done in the background: imports and the like. Key: `kind` (S), `id` (S).
pub const JOBS: TableId = TableId(5);

/// The schema of [`QUARANTINE`].
pub fn quarantine() -> Table {
    table(QUARANTINE, "$quarantine", "client", Some("id"))
}

/// The schema of [`RETAINED`].
pub fn retained() -> Table {
    table(RETAINED, "$retained", "topic", None)
}

/// The schema of [`TOKENS`].
pub fn tokens() -> Table {
    table(TOKENS, "$tokens", TOKEN, None)
}

/// The schema of [`PRINCIPALS`].
pub fn principals() -> Table {
    table(PRINCIPALS, "$principals", "kind", Some("name"))
}

/// The schema of [`JOBS`].
pub fn jobs() -> Table {
    table(JOBS, "$jobs", "kind", Some("id"))
}

/// Does a row of [`TOKENS`] count no more at `now_us`?
pub fn is_token_expired(row: &Item, now_us: u64) -> bool {
    match row.get(TOKEN_UNTIL_US) {
        Some(Value::Number(until_us)) => *until_us <= Number::from(now_us),
        _ => true,
    }
}

/// Every system table, by id.
pub fn tables() -> Vec<Table> {
    vec![quarantine(), retained(), tokens(), principals(), jobs()]
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
        further_keys: Default::default(),
        settings: Default::default(),
        indexes: Vec::new(),
        stream: None,
        created_at_us: 0,
        billing: Billing::OnDemand,
        deletion_protection: true,
        tags: Default::default(),
    }
}
