//! The next segment, made before it is needed: of a sealed one that is archived first, or else anew.
//!
//! In the long run there are two files: the active segment, and the one before it, which is being archived to become the next.

use std::{
    sync::Arc,
    thread::{self, JoinHandle},
};

use super::{
    kept::Kept,
    segment::{Segment, Unmade},
};
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

/// Makes segments.
#[derive(Clone)]
pub(crate) struct Maker {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) kept: Arc<Kept>,
    pub(crate) durability: Durability,
    /// Length of a segment's file.
    pub(crate) bytes: u64,
}

impl Maker {
    /// Segment `id`. Archives sealed segments on the way.
    fn make(&self, id: u64) -> Result<Segment, Unmade> {
        if self.durability == Durability::Memory {
            self.kept.sync_active()?;
        }
        match self.kept.archive(self.bytes)? {
            Some(old) => Segment::reuse(&*self.disk, old, id, self.durability),
            None => Segment::create(&*self.disk, id, self.bytes, self.durability),
        }
    }
}

/// The segment after the active one, perhaps being made.
pub(crate) struct Spare {
    maker: Maker,
    preparation: Preparation,
    pending: Option<JoinHandle<Result<Segment, Unmade>>>,
}

impl Spare {
    pub(crate) fn new(maker: Maker, preparation: Preparation) -> Spare {
        Spare { maker, preparation, pending: None }
    }

    /// Begins to make segment `id`, if that is to be done ahead and was not begun.
    pub(crate) fn begin(&mut self, id: u64) {
        if self.preparation == Preparation::Inline || self.pending.is_some() {
            return;
        }
        let maker = self.maker.clone();
        let thread = thread::Builder::new().name("log-spare".to_owned());
        // Without a thread the append that needs the segment makes it.
        self.pending = thread.spawn(move || maker.make(id)).ok();
    }

    /// Segment `id`, as prepared, or made now.
    pub(crate) fn take(&mut self, id: u64) -> Result<Segment, Unmade> {
        match self.pending.take().map(JoinHandle::join) {
            Some(Ok(Ok(segment))) if segment.id == id => Ok(segment),
            Some(Ok(Err(unknown @ Unmade::Unknown(_)))) => Err(unknown),
            _ => self.maker.make(id),
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
