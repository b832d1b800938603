//! The tables that readings go to: found by name, or made by the first reading.

use std::sync::Arc;

use item::{KeyAttribute, KeyType, Stream, StreamView, Table, TableId, table::Billing};
use store::{
    Store,
    write::{TableRejection, TableWrite},
};

use crate::{
    Error,
    routes::Mapping,
    rules::{Problem, ProblemKind},
};

/// The table of `mapping`, made if it is not there. A table of that name with other keys is a problem of the reading.
/// Callers may race: one of them makes the table, the others find it. The catalogue shows a table until its removal is
/// durable; who was refused because of that is not to `trust` it and asks the planner.
pub(crate) async fn find_or_make(
    store: &Store,
    mapping: &Mapping,
    trust: bool,
) -> Result<Result<Arc<Table>, Problem>, Error> {
    if let Some(table) = store.catalog().by_name(&mapping.table).filter(|_| trust) {
        return Ok(check(table.clone(), mapping));
    }
    match store.change_table(TableWrite::Create(new_table(mapping))).await? {
        Ok(table) => {
            tracing::info!(table = table.name, "made a table for the first reading");
            Ok(check(table, mapping))
        }
        Err(TableRejection::Exists(table)) => Ok(check(table, mapping)),
        Err(rejection) => {
            let text = format!("table `{}` cannot be made: {rejection}", mapping.table);
            Ok(Err(Problem { kind: ProblemKind::Table, text }))
        }
    }
}

fn new_table(mapping: &Mapping) -> Table {
    let key = |name: &String, key_type| KeyAttribute { name: name.clone(), key_type };
    Table {
        // The store gives the number, the version and the times.
        id: TableId(0),
        name: mapping.table.clone(),
        version: 1,
        partition_key: key(&mapping.device_key, KeyType::S),
        sort_key: Some(key(&mapping.time_key, KeyType::N)),
        sort_key_is_time: true,
        item_key: Vec::new(),
        further_keys: Default::default(),
        settings: Default::default(),
        indexes: Vec::new(),
        stream: Some(Stream { view: StreamView::NewAndOldImages, enabled_at_us: 0 }),
        created_at_us: 0,
        billing: Billing::OnDemand,
        deletion_protection: false,
        tags: Default::default(),
    }
}

/// Are the keys of `table` those of the readings that `mapping` makes?
pub(crate) fn fits(table: &Table, mapping: &Mapping) -> bool {
    let is = |attribute: &KeyAttribute, name: &str, key_type| attribute.name == name && attribute.key_type == key_type;
    is(&table.partition_key, &mapping.device_key, KeyType::S)
        && table.sort_key.as_ref().is_some_and(|sort_key| is(sort_key, &mapping.time_key, KeyType::N))
}

fn check(table: Arc<Table>, mapping: &Mapping) -> Result<Arc<Table>, Problem> {
    if table.settings.is_filling {
        let text = format!("table `{}` is still being filled by an import or a restore", table.name);
        return Err(Problem { kind: ProblemKind::Table, text });
    }
    if fits(&table, mapping) {
        return Ok(table);
    }
    let keys = std::iter::once(&table.partition_key).chain(&table.sort_key);
    let keys: Vec<_> = keys.map(|key| format!("{} {}", key.name, key.key_type)).collect();
    let text = format!(
        "table `{}` has the keys ({}), a reading has ({} S, {} N)",
        table.name,
        keys.join(", "),
        mapping.device_key,
        mapping.time_key
    );
    Err(Problem { kind: ProblemKind::Table, text })
}
