//! What one seed did.

use std::fmt;

/// Counts and checksums of one seed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// Writes of items handed in.
    pub writes: u64,
    /// Transactions handed in; their writes count as writes.
    pub transactions: u64,
    /// Those of them that must be done.
    pub done_transactions: u64,
    /// Changes of tables handed in.
    pub table_writes: u64,
    /// Reads compared.
    pub reads: u64,
    /// Power cuts.
    pub power_cuts: u64,
    /// Deaths of the process only.
    pub kills: u64,
    /// Clean shutdowns.
    pub shutdowns: u64,
    /// Opens that the disk interrupted.
    pub interrupted_opens: u64,
    /// Answers that said that the outcome is unknown or the store is in trouble.
    pub errors: u64,
    /// Writes that were refused because the disk was full.
    pub refused_writes: u64,
    /// Removals of items that had expired, handed in; they count as no operations.
    pub expired: u64,
    /// Sealed sets written to runs.
    pub flushes: u64,
    /// Generations published.
    pub merges: u64,
    /// Runs of entries made for new indexes.
    pub fills: u64,
    /// Old generations removed.
    pub collections: u64,
    /// Jobs that failed.
    pub failed_jobs: u64,
    /// Segments given up.
    pub trims: u64,
    /// Frames followed.
    pub frames: u64,
    /// Checksum of all frames.
    pub log_hash: u64,
    /// Checksum of all calls of the disk.
    pub disk_hash: u64,
    /// Checksum of all tables at the end.
    pub state_hash: u64,
}

impl Report {
    /// Operations of clients.
    pub fn operations(&self) -> u64 {
        self.writes + self.table_writes + self.reads
    }

    /// Ends of the process that were not clean.
    pub fn crashes(&self) -> u64 {
        self.power_cuts + self.kills
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { transactions, done_transactions, expired, .. } = self;
        let Report { seed, writes, table_writes, reads, power_cuts, kills, shutdowns, interrupted_opens, .. } = self;
        let Report { errors, refused_writes, flushes, merges, fills, collections, failed_jobs, trims, frames, .. } =
            self;
        let (operations, crashes) = (self.operations(), self.crashes());
        write!(f, "seed {seed}: {operations} operations ({writes} writes, {table_writes} of tables, {reads} reads), ")?;
        write!(f, "{transactions} transactions ({done_transactions} to be done), ")?;
        write!(f, "{crashes} crashes ({power_cuts} power cuts, {kills} kills, {interrupted_opens} while opening), ")?;
        write!(
            f,
            "{shutdowns} shutdowns, {errors} errors, {refused_writes} refused writes, {flushes} flushes, {merges} merges, {fills} fills, \
             {collections} collections, {expired} expired, "
        )?;
        write!(f, "{failed_jobs} failed jobs, {trims} trims, {frames} frames, ")?;
        write!(f, "log {:016x}, disk {:016x}, state {:016x}", self.log_hash, self.disk_hash, self.state_hash)
    }
}
