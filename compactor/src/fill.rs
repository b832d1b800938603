//! From the items that are older than an index to its entries: some at a time.
//!
//! 1. Read the newest rows of the table in files, by shard and key, from where the last job ended.
//! 2. Make their entries, each with the sequence number of its item's row: whatever apply has made of the same item since
//!    then has a greater one and wins, a removal among them.
//! 3. Write the entries as a run and sync it; commit it together with how far this went.
//!
//! A crash before the commit loses only this job's part. Only what is flushed is read, so no entry rests on an event that a
//! crash can take back.

use std::{collections::BTreeMap, mem, sync::Arc};

use item::{Image, Key, SequenceNumber, TableId};
use store::{
    Error,
    files::{ColdFile, FileWriter, NewFile, Row},
    manifest::{Edit, Fill as Progress, Place, RUNS_DIR},
};

use crate::job::{Report, Site, Step};

/// Bytes and rows read in one step, about.
const STEP_BYTES: u64 = 4 << 20;
const STEP_ROWS_MIN: u64 = 16;
const STEP_ROWS_MAX: u64 = 1024;
/// Entries of one run at most, in bytes and in number, about.
const RUN_BYTES: usize = 32 << 20;
const RUN_ENTRIES: usize = 256 << 10;

/// Some of an index's entries under way.
pub(crate) struct Fill {
    site: Site,
    index: TableId,
    from: Option<Progress>,
    entries: BTreeMap<Key, (SequenceNumber, Image)>,
    bytes: usize,
    unnamed: Option<String>,
    report: Report,
}

impl Fill {
    pub(crate) fn new(site: Site, index: TableId) -> Fill {
        let from = site.store.manifest().cold_tables.get(&index).map(|cold| cold.fill.clone());
        let from = Some(from.unwrap_or_default());
        let (entries, report) = Default::default();
        Fill { site, index, from, entries, bytes: 0, unnamed: None, report }
    }

    pub(crate) fn step(&mut self) -> Result<Step, Error> {
        let store = self.site.store.clone();
        // What was added or removed since is not this job's.
        let catalog = store.manifest().catalog.clone();
        let found = catalog.index(self.index).filter(|_| store.catalog().index(self.index).is_some());
        let (Some((table, index)), Some(from)) = (found, self.from.take()) else {
            return Ok(Step::Done(self.report.clone()));
        };
        let view = store.view().cold();
        let row_bytes = view.files.files(table.id, from.shard).iter().map(|file| file.row_bytes()).max();
        let rows_max = (STEP_BYTES / row_bytes.unwrap_or(1).max(1)).clamp(STEP_ROWS_MIN, STEP_ROWS_MAX) as usize;
        let rows = view.rows(table.id, from.shard, from.after.as_ref(), rows_max)?;
        let next = match rows.last() {
            Some(last) if rows.len() == rows_max => Progress { after: Some(last.key.clone()), ..from },
            _ => Progress { shard: item::ShardId(from.shard.0 + 1), after: None },
        };
        for Row { key, sequence, image } in rows {
            let Some(image) = image else { continue };
            let malformed = |error: item::CodecError| Error::Corrupt {
                path: format!("table {}", table.name),
                offset: error.offset as u64,
                what: error.what.to_owned(),
            };
            let item = image.decode().map_err(malformed)?;
            if let Some((key, entry)) = index.entry(&key, &item, table) {
                let image = Image::encode(&entry);
                self.bytes += key.partition.len() + key.sort.len() + image.bytes().len();
                self.entries.insert(key, (sequence, image));
            }
        }
        let is_shard_done = next.shard != from.shard;
        if !is_shard_done
            && self.bytes < RUN_BYTES.min(self.site.config.inputs_bytes_max())
            && self.entries.len() < RUN_ENTRIES
        {
            self.from = Some(next);
            return Ok(Step::More);
        }
        // Column types are taken and committed within one step: between steps a flush may widen them.
        self.write(from.shard, next)?;
        Ok(Step::Done(self.report.clone()))
    }

    /// Removes what was written and is not committed.
    pub(crate) fn abandon(&self) {
        self.unnamed.iter().cloned().for_each(|path| self.site.remove(path));
    }

    fn write(&mut self, shard: item::ShardId, next: Progress) -> Result<(), Error> {
        let store = self.site.store.clone();
        let disk = store.disk().as_ref();
        let manifest = store.manifest();
        let Some(schema) = manifest.catalog.rows_of(self.index).cloned() else { return Ok(()) };
        let mut edit = Edit { now_us: self.site.now_us(), fills: [(self.index, next)].into(), ..Edit::default() };
        let mut opened = Vec::new();
        if !self.entries.is_empty() {
            let mut types = Arc::new(manifest.types_of(&schema));
            let encoded = |error: item::CodecError| Error::Corrupt {
                path: format!("index {}", schema.name),
                offset: error.offset as u64,
                what: error.what.to_owned(),
            };
            for (_, image) in self.entries.values() {
                types.widen_image(image).map_err(encoded)?;
            }
            disk.create_dir(RUNS_DIR).map_err(Error::io("create directory", RUNS_DIR))?;
            let new = NewFile {
                id: self.site.next_file(),
                table: Arc::clone(&schema),
                shard,
                place: Place::Run,
                types: Arc::clone(&types),
                with_removed: false,
                now_us: self.site.now_us(),
                buffer_bytes_max: self.site.config.writer_buffer_bytes_max(),
            };
            let mut writer = FileWriter::create(disk, new)?;
            self.unnamed = Some(writer.path().to_owned());
            for (key, (sequence, image)) in mem::take(&mut self.entries) {
                writer.write_image(&Row { key, sequence, image: Some(image) })?;
            }
            let entry = writer.finish()?;
            disk.sync_dir(RUNS_DIR).map_err(Error::io("sync directory", RUNS_DIR))?;
            opened.push(Arc::new(ColdFile::open(disk, &entry)?));
            self.report = Report { files: 1, rows: entry.rows, bytes: entry.bytes };
            edit.added.push(entry);
            edit.types.insert(self.index, Arc::unwrap_or_clone(types));
        }
        self.site.commit(&edit, opened)?;
        self.unnamed = None;
        metrics::counter!("thalweg_compactor_filled_entries_total").increment(self.report.rows);
        Ok(())
    }
}
