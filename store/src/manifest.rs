//! The manifest: what is flushed. Numbered files, each complete, each put only if absent.

use item::SequenceNumber;

use crate::{Catalog, log::FrameNumber};

/// What is flushed, at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Manifest {
    /// Counts commits from 1.
    pub number: u64,
    /// Every frame up to and including this one is in the files named here.
    pub flushed: FrameNumber,
    /// Per shard, the number of its last event in those frames.
    pub flushed_sequences: Vec<SequenceNumber>,
    /// Tables after those frames.
    pub catalog: Catalog,
    /// The next table number to give out, as of those frames.
    pub next_table: u32,
    /// The next file number to give out.
    pub next_file: u64,
}
