//! The next segment, made before it is needed.

use std::{
    sync::Arc,
    thread::{self, JoinHandle},
};

use super::segment::{Segment, Unmade};
use crate::{Durability, env::Disk};

/// When the next segment is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preparation {
    /// On a thread of its own, once the active segment is half full, so that no append waits for it.
    #[default]
    Ahead,
    /// By the append that needs it: one thread, one order of disk calls. For the simulator.
    Inline,
}

/// The segment after the active one, perhaps being made.
pub(crate) struct Spare {
    preparation: Preparation,
    durability: Durability,
    pending: Option<JoinHandle<Result<Segment, Unmade>>>,
}

impl Spare {
    pub(crate) fn new(preparation: Preparation, durability: Durability) -> Spare {
        Spare { preparation, durability, pending: None }
    }

    /// Begins to make segment `id`, if that is to be done ahead and was not begun.
    pub(crate) fn begin(&mut self, disk: &Arc<dyn Disk>, id: u64, bytes: u64) {
        if self.preparation == Preparation::Inline || self.pending.is_some() {
            return;
        }
        let (disk, durability) = (Arc::clone(disk), self.durability);
        let thread = thread::Builder::new().name("log-spare".to_owned());
        // Without a thread the append that needs the segment makes it.
        self.pending = thread.spawn(move || Segment::create(&*disk, id, bytes, durability)).ok();
    }

    /// Segment `id`, as prepared, or made now.
    pub(crate) fn take(&mut self, disk: &dyn Disk, id: u64, bytes: u64) -> Result<Segment, Unmade> {
        match self.pending.take().map(JoinHandle::join) {
            Some(Ok(Ok(segment))) if segment.id == id => Ok(segment),
            Some(Ok(Err(unknown @ Unmade::Unknown(_)))) => Err(unknown),
            _ => Segment::create(disk, id, bytes, self.durability),
        }
    }

    /// Waits until no thread works for it.
    pub(crate) fn settle(&mut self) {
        if let Some(pending) = self.pending.take() {
            // A segment without a frame is removed by the next open.
            let _ = pending.join();
        }
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        self.settle();
    }
}
