//! What of the store is measured when somebody asks.

use crate::{
    Store,
    metric::Metric,
    view::{Sealed, View},
};

/// What the store measures beside its log, its disk, its cache and its planner.
pub const METRICS: &[Metric] = &[
    Metric::gauge("thalweg_store_tables", "Tables, without those that the system keeps for itself"),
    Metric::gauge("thalweg_store_applied", "The first frame that is not visible to readers"),
    Metric::gauge("thalweg_store_flushed", "The last frame of which everything is in cold files"),
    Metric::gauge("thalweg_store_admitted_bytes", "Bytes of writes that are admitted and not answered"),
    Metric::gauge("thalweg_store_recovery_seconds", "How long the open took: manifest, and log behind it"),
    Metric::gauge("thalweg_memtable_active_bytes", "Bytes of the memtables that are written to"),
    Metric::gauge("thalweg_memtable_sealed_bytes", "Bytes of sealed memtables, which wait to be flushed"),
    Metric::gauge("thalweg_memory_files_bytes", "Footers of open Parquet files"),
    Metric::gauge("thalweg_memtable_sealed_sets", "Sealed sets of memtables; when too many wait, writers wait"),
];

impl Store {
    /// Sets the gauges.
    pub fn observe(&self) {
        let (view, log) = (self.view(), self.log());
        let (room, space) = self.room();
        let gauges = [
            ("thalweg_disk_free_bytes", space.map_or(0, |space| space.free_bytes) as f64),
            ("thalweg_disk_total_bytes", space.map_or(0, |space| space.total_bytes) as f64),
            ("thalweg_disk_room", room as u8 as f64),
            ("thalweg_store_tables", view.catalog.user_tables().count() as f64),
            ("thalweg_store_applied", self.applied().borrow().0 as f64),
            ("thalweg_store_flushed", self.manifest().flushed.0 as f64),
            ("thalweg_store_admitted_bytes", self.admitted_bytes() as f64),
            ("thalweg_memtable_active_bytes", view.active_bytes() as f64),
            ("thalweg_memtable_sealed_bytes", view.sealed_bytes() as f64),
            ("thalweg_memory_files_bytes", view.files.memory_bytes() as f64),
            ("thalweg_memtable_sealed_sets", view.sealed.len() as f64),
            ("thalweg_log_trim_point", log.trim_point().0 as f64),
            ("thalweg_log_tail", log.tail().0 as f64),
            ("thalweg_log_kept_bytes", log.bytes() as f64),
            ("thalweg_rows_used_bytes", view.rows.bytes() as f64),
            ("thalweg_cache_memory_used_bytes", self.cache().memory_bytes() as f64),
        ];
        for (name, value) in gauges {
            metrics::gauge!(name).set(value);
        }
    }
}

impl View {
    /// Memory of the active memtables, approximately, in bytes.
    pub fn active_bytes(&self) -> usize {
        self.active.iter().map(crate::memtable::Memtable::bytes).sum()
    }

    /// Memory of the sealed ones.
    pub fn sealed_bytes(&self) -> usize {
        self.sealed.iter().map(|sealed: &std::sync::Arc<Sealed>| sealed.bytes()).sum()
    }
}
