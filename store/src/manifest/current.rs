//! The manifest in force: read at any moment, replaced by one commit after another.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::{Edit, Manifest};
use crate::{Error, env::Disk};

pub(crate) struct CurrentManifest {
    /// Locked only to clone or replace the pointer.
    current: RwLock<Arc<Manifest>>,
    /// Held by a commit for as long as the disk takes.
    committing: Mutex<()>,
}

impl CurrentManifest {
    /// Starts with `manifest`, which is durable.
    pub(crate) fn new(manifest: Manifest) -> CurrentManifest {
        CurrentManifest { current: RwLock::new(Arc::new(manifest)), committing: Mutex::default() }
    }

    /// The last one committed. Does not wait for a commit under way.
    pub(crate) fn get(&self) -> Arc<Manifest> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Publishes the manifest after `edit`; once it is durable, `show` lets readers of items see it. Blocks on the disk.
    pub(crate) fn commit(&self, disk: &dyn Disk, edit: &Edit, show: impl FnOnce(&Manifest)) -> Result<(), Error> {
        let _committing = self.committing.lock().unwrap_or_else(PoisonError::into_inner);
        let next = self.get().apply(edit);
        next.publish(disk)?;
        show(&next);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        Ok(())
    }
}
