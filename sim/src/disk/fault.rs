//! Faults planted on purpose: each is a mistake that the program could make, most of them in the order of its syncs, made
//! here or by the simulated clients instead, so that the simulation can be seen to find it.

use super::tree::{NodeId, Tree};

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Fault {
    /// Frames are acknowledged without any sync.
    LogSyncDropped,
    /// Frames are acknowledged first and synced right after.
    AcknowledgedBeforeSync,
    /// Directories are never synced.
    DirectorySyncDropped,
    /// The manifest is published first, and the files that it names are synced right after.
    ManifestBeforeData,
    /// A transaction is planned as two batches.
    TransactionTorn,
    /// Writes do not renew what the row cache has of their keys.
    RowsNotRenewed,
}

impl Fault {
    /// All of them.
    pub const ALL: [Fault; 6] = [
        Fault::LogSyncDropped,
        Fault::AcknowledgedBeforeSync,
        Fault::DirectorySyncDropped,
        Fault::ManifestBeforeData,
        Fault::TransactionTorn,
        Fault::RowsNotRenewed,
    ];
}

/// Syncs that were answered and not yet done.
#[derive(Debug, Default)]
pub(super) struct Deferred {
    files: Vec<NodeId>,
    /// The next call that changes something does them first.
    due: bool,
}

impl Deferred {
    /// Is this sync answered without being done?
    pub(super) fn takes(&mut self, fault: Option<Fault>, path: &str, file: NodeId) -> bool {
        match fault {
            Some(Fault::LogSyncDropped) => path.starts_with("log/"),
            Some(Fault::AcknowledgedBeforeSync) if path.starts_with("log/") => {
                self.files.push(file);
                self.due = true;
                true
            }
            Some(Fault::ManifestBeforeData) if path.starts_with("cold/") => {
                self.files.push(file);
                true
            }
            _ => false,
        }
    }

    pub(super) fn synced_dir(&mut self, fault: Option<Fault>, dir: &str) {
        self.due |= fault == Some(Fault::ManifestBeforeData) && dir == "manifest";
    }

    pub(super) fn release(&mut self, tree: &mut Tree) {
        if std::mem::take(&mut self.due) {
            for file in self.files.drain(..) {
                tree.bytes(file).sync();
            }
        }
    }
}
