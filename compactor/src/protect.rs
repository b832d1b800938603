//! Backups as others ask for them.

use std::sync::Arc;

use backup::Base;
use item::TableId;
use store::Error as StoreError;
use tokio::runtime::Handle;

use crate::{Compactor, Error};

impl Compactor {
    /// Makes a backup of a table with every change acknowledged before the call; none if there is no such table any more.
    pub async fn back_up(&self, table: TableId, name: String) -> Result<Option<Arc<Base>>, Error> {
        let runtime = Handle::current();
        let back_up = move |compactor: &Compactor| {
            compactor.flush(&runtime)?;
            Ok(compactor.site.backups.create(table, &name)?)
        };
        self.send(back_up).await?
    }

    /// Begins or ends the pasts of tables whose continuous backups were turned on or off before the call. Whatever else they need is
    /// left to the background: whoever asks waits for no base of another table.
    pub async fn protect(&self) -> Result<(), Error> {
        let runtime = Handle::current();
        let protect = move |compactor: &Compactor| {
            compactor.flush(&runtime)?;
            compactor.record()?;
            Ok(compactor.site.backups.switch()?)
        };
        self.send(protect).await?
    }

    /// Makes a base named `name` of what a table was at `at_us`, microseconds since 1970, or is with every change acknowledged
    /// before the call. None if its continuous backups do not go back so far. To be removed by
    /// [`backup::Backups::remove_scratch`].
    pub async fn as_of(&self, table: TableId, at_us: Option<u64>, name: String) -> Result<Option<Base>, Error> {
        if !self.begin_as_of(table, at_us, name.clone()).await? {
            return Ok(None);
        }
        let backups = self.site.backups.clone();
        let make = move || {
            let Some(mut as_of) = backups.resume(&name)? else { return backups.scratch(&name) };
            loop {
                if let Some(base) = as_of.step()? {
                    return Ok(Some(base));
                }
            }
        };
        Ok(tokio::task::spawn_blocking(make).await.map_err(|_| StoreError::Closed)??)
    }

    /// Begins such a base: from here on it needs nothing but what [`backup::Backups::resume`] finds, also after a restart.
    /// False if continuous backups do not go back so far.
    pub async fn begin_as_of(&self, table: TableId, at_us: Option<u64>, name: String) -> Result<bool, Error> {
        let runtime = Handle::current();
        let begin = move |compactor: &Compactor| {
            // What was committed until then may not be flushed.
            compactor.flush(&runtime)?;
            compactor.record()?;
            Ok(compactor.site.backups.as_of(table, at_us, &name)?.is_some())
        };
        self.send(begin).await?
    }
}
