//! DeleteTable.

use store::write::{TableRejection, TableWrite};

use super::{create_table::Answer, table_description::TableDescription};
use crate::{App, Error, json::request, validate};

request! {
    /// What DeleteTable takes.
    struct Request { table_name: String = "TableName", }
}

pub(crate) async fn run(app: &App, request: Request) -> Result<Answer, Error> {
    let name = validate::table_name(request.table_name)?;
    super::changed_table(app, &name)?;
    match app.store.change_table_within(TableWrite::Delete(name.clone()), app.config.patience).await? {
        Ok(table) => {
            if table.settings.recovery.is_some() {
                // A backup of it becomes of its past, as soon as its last changes are flushed.
                let compactor = app.compactor.clone();
                tokio::spawn(async move {
                    if let Err(error) = compactor.protect().await {
                        tracing::warn!(%error, "the past of a deleted table waits for the next flush");
                    }
                });
            }
            Ok(Answer { table_description: TableDescription::of(app, &table, "DELETING") })
        }
        Err(TableRejection::Protected) => Err(Error::validation(
            "Resource cannot be deleted as it is currently protected against deletion. \
             Disable deletion protection first.",
        )),
        Err(TableRejection::Filling) => Err(super::being_created(&name)),
        Err(TableRejection::NotFound) => Err(super::no_such_table(&name)),
        Err(other) => Err(Error::Internal(format!("could not delete table {name}: {other}"))),
    }
}
