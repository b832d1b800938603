//! From a table's generation and runs to its next generation: each live key once, no tombstones.
//!
//! 1. Make the directory, empty.
//! 2. For each shard, link the files that go on as they are, copy those that only lack columns, and merge the others by key; of a key's rows the one with the
//!    greatest sequence number counts, and is left out if it removed the key, or is a token that counts no more. Write files
//!    of bounded size and sync each.
//! 3. Write the lists of its files, sync the directories, commit, swap the link.
//! 4. Remove the runs. The old generation stays for its grace.
//!
//! Only a batch of rows of each input is in memory, in columns, and in columns they are written.

use std::{collections::VecDeque, iter, mem, sync::Arc};

use item::{ShardId, Table, TableId, table::system};
use store::{
    Error,
    env::Disk,
    files::{ColdFile, ColumnTypes, FileCopy, FileId, FileWriter, NewFile},
    manifest::{Edit, FileEntry, GENERATIONS_DIR, Manifest, Place, generation_dir},
};

use crate::{
    inputs::{Inputs, Span},
    job::{Report, Site, Step},
    layout::{self, Extent, Part},
    listing,
};

/// Rows written in one step, about.
const STEP_ROWS: usize = 1024;
/// Spans of rows in one step, long or short.
const STEP_SPANS: usize = 1024;

/// One table under way to its next generation.
pub(crate) struct Merge {
    site: Site,
    plan: Option<Arc<Plan>>,
    state: State,
    files: Vec<FileEntry>,
    committed: bool,
    report: Report,
}

/// What is merged, fixed at the start.
struct Plan {
    table: Arc<Table>,
    generation: u64,
    began_at_us: u64,
    types: Arc<ColumnTypes>,
    inputs: Vec<FileEntry>,
    /// Those of the inputs that have rows, in the same order.
    files: Vec<Arc<ColdFile>>,
}

enum State {
    Prepare,
    Write { shard: ShardId, parts: VecDeque<Part>, writing: Option<Writing> },
    Sync,
    Commit,
    Link,
    RemoveRuns,
    Done,
}

/// A part of a shard under way to files.
enum Writing {
    Merging(Merging),
    Copying(Box<FileCopy>),
}

struct Merging {
    inputs: Inputs,
    writer: Option<Box<FileWriter>>,
}

impl Merge {
    pub(crate) fn new(site: Site, table: TableId) -> Merge {
        let plan = plan(&site, table).map(Arc::new);
        let state = if plan.is_some() { State::Prepare } else { State::Done };
        Merge { site, plan, state, files: Vec::new(), committed: false, report: Report::default() }
    }

    pub(crate) fn step(&mut self) -> Result<Step, Error> {
        if let Some(plan) = self.plan.clone() {
            let state = mem::replace(&mut self.state, State::Done);
            self.state = self.advance(&plan, state)?;
        }
        Ok(if matches!(self.state, State::Done) { Step::Done(self.report.clone()) } else { Step::More })
    }

    /// Removes what was written and is not committed.
    pub(crate) fn abandon(&self) {
        if let Some(plan) = self.plan.as_ref().filter(|_| !self.committed) {
            let dir = generation_dir(plan.table.id, plan.generation);
            let names = self.site.store.disk().list(&dir).unwrap_or_default();
            names.into_iter().for_each(|name| self.site.remove(format!("{dir}/{name}")));
            // If it is not empty, or not there, the next open knows what to do.
            let _ = self.site.store.disk().remove_dir(&dir);
        }
    }

    fn advance(&mut self, plan: &Plan, state: State) -> Result<State, Error> {
        let disk = Arc::clone(self.site.store.disk());
        let dir = generation_dir(plan.table.id, plan.generation);
        Ok(match state {
            State::Prepare => {
                make_empty(disk.as_ref(), &dir)?;
                self.begin(plan, ShardId(0))
            }
            State::Write { shard, parts, writing } => self.write(plan, shard, parts, writing)?,
            State::Sync => {
                let manifest = self.site.store.manifest();
                let lists = listing::lists(&manifest, plan.table.id, plan.generation, self.files.iter());
                listing::write(disk.as_ref(), &dir, &lists)?;
                disk.sync_dir(&dir).map_err(Error::io("sync directory", dir))?;
                disk.sync_dir(GENERATIONS_DIR).map_err(Error::io("sync directory", GENERATIONS_DIR))?;
                State::Commit
            }
            State::Commit => self.commit(plan)?,
            State::Link => {
                self.site.link()?;
                State::RemoveRuns
            }
            State::RemoveRuns => {
                self.site.catch_up()?;
                State::Done
            }
            State::Done => State::Done,
        })
    }

    fn begin(&self, plan: &Plan, shard: ShardId) -> State {
        // A file of a quarter of the greatest size is not small.
        let parts = layout::parts(&plan.extents(shard), self.site.config.file_bytes_max / 4);
        State::Write { shard, parts: parts.into(), writing: None }
    }

    fn write(
        &mut self,
        plan: &Plan,
        shard: ShardId,
        mut parts: VecDeque<Part>,
        writing: Option<Writing>,
    ) -> Result<State, Error> {
        let writing = match writing {
            Some(Writing::Merging(merging)) => self.merge(plan, shard, merging)?.map(Writing::Merging),
            Some(Writing::Copying(mut copy)) => {
                if copy.copy_some()? {
                    Some(Writing::Copying(copy))
                } else {
                    self.add(copy.finish()?);
                    None
                }
            }
            None => match parts.pop_front() {
                Some(Part::Keep(file)) => {
                    self.keep(plan, shard, file)?;
                    None
                }
                Some(Part::Copy(file)) => Some(Writing::Copying(self.copy(plan, shard, file)?)),
                Some(Part::Merge(files)) => Some(Writing::Merging(Merging {
                    inputs: plan.inputs(shard, &files, self.site.config.inputs_bytes_max()),
                    writer: None,
                })),
                None => return self.next_shard(plan, shard),
            },
        };
        Ok(State::Write { shard, parts, writing })
    }

    /// Does a step of a merge; answers what is left of it.
    fn merge(&mut self, plan: &Plan, shard: ShardId, merging: Merging) -> Result<Option<Merging>, Error> {
        let Merging { mut inputs, mut writer } = merging;
        let mut rows = 0;
        for _ in 0..STEP_SPANS {
            let Some(Span { columns, rows: span }) = inputs.next_span()? else {
                writer.map(|writer| self.finish(*writer)).transpose()?;
                return Ok(None);
            };
            if span.is_empty() {
                continue;
            }
            rows += span.len();
            let mut open = match writer {
                Some(writer) => writer,
                None => Box::new(FileWriter::create(self.site.store.disk().as_ref(), self.new_file(plan, shard))?),
            };
            open.write_columns(&columns, span)?;
            writer = Some(open);
            if rows >= STEP_ROWS {
                break;
            }
        }
        if writer.as_ref().is_some_and(|writer| writer.bytes() >= self.site.config.file_bytes_max) {
            writer.take().map(|writer| self.finish(*writer)).transpose()?;
        }
        Ok(Some(Merging { inputs, writer }))
    }

    /// Gives a file another name in the new generation. Its bytes are on the disk since it was written.
    fn keep(&mut self, plan: &Plan, shard: ShardId, file: usize) -> Result<(), Error> {
        let before = &plan.entry(plan.files_of(shard)[file].id);
        let entry = FileEntry { place: Place::Generation(plan.generation), ..FileEntry::clone(before) };
        let path = entry.path();
        self.site.store.disk().hard_link(&before.path(), &path).map_err(Error::io("link", path))?;
        if before.place == Place::Run {
            self.report.add(&entry);
        }
        self.files.push(entry);
        Ok(())
    }

    /// Begins a copy of a file, with the columns that it lacks.
    fn copy(&self, plan: &Plan, shard: ShardId, file: usize) -> Result<Box<FileCopy>, Error> {
        let source = plan.files_of(shard)[file];
        let new = self.new_file(plan, shard);
        metrics::counter!("thalweg_compactor_copied_files_total").increment(1);
        Ok(Box::new(FileCopy::create(self.site.store.disk().as_ref(), source, plan.entry(source.id), new)?))
    }

    fn next_shard(&mut self, plan: &Plan, shard: ShardId) -> Result<State, Error> {
        let next = ShardId(shard.0 + 1);
        if next.0 < self.site.store.shards() {
            return Ok(self.begin(plan, next));
        }
        if self.files.is_empty() {
            // Readers of an empty table find its columns, not an empty directory.
            let empty = FileWriter::create(self.site.store.disk().as_ref(), self.new_file(plan, ShardId(0)))?;
            self.finish(empty)?;
        }
        Ok(State::Sync)
    }

    fn new_file(&self, plan: &Plan, shard: ShardId) -> NewFile {
        NewFile {
            id: self.site.next_file(),
            table: Arc::clone(&plan.table),
            shard,
            place: Place::Generation(plan.generation),
            types: Arc::clone(&plan.types),
            with_removed: false,
            now_us: self.site.now_us(),
            buffer_bytes_max: self.site.config.writer_buffer_bytes_max(),
        }
    }

    fn finish(&mut self, writer: FileWriter) -> Result<(), Error> {
        self.add(writer.finish()?);
        Ok(())
    }

    fn add(&mut self, entry: FileEntry) {
        self.report.add(&entry);
        self.files.push(entry);
    }

    fn commit(&mut self, plan: &Plan) -> Result<State, Error> {
        let store = &self.site.store;
        if !is_current(&store.manifest(), plan) {
            // The table was dropped meanwhile. Its directory goes with the next open.
            self.abandon();
            self.report = Report::default();
            return Ok(State::Done);
        }
        let with_rows = self.files.iter().filter(|entry| entry.rows > 0);
        let opened = with_rows.map(|entry| ColdFile::open(store.disk().as_ref(), entry).map(Arc::new));
        let opened = opened.collect::<Result<Vec<_>, Error>>()?;
        let edit = Edit {
            now_us: self.site.now_us(),
            added: mem::take(&mut self.files),
            removed: plan.inputs.iter().map(|entry| entry.id).collect(),
            generations: [(plan.table.id, plan.generation)].into(),
            ..Edit::default()
        };
        let is_kept = |entry: &&FileEntry| plan.inputs.iter().any(|input| input.id == entry.id);
        let (kept, written): (Vec<_>, Vec<_>) = edit.added.iter().partition(is_kept);
        let sum = |count: fn(&FileEntry) -> u64| written.iter().map(|entry| count(entry)).sum::<u64>();
        self.site.commit(&edit, opened)?;
        self.committed = true;
        metrics::counter!("thalweg_compactor_merges_total").increment(1);
        metrics::counter!("thalweg_compactor_merged_rows_total").increment(sum(|entry| entry.rows));
        metrics::counter!("thalweg_compactor_merged_bytes_total").increment(sum(|entry| entry.bytes));
        metrics::counter!("thalweg_compactor_residual_values_total").increment(sum(|entry| entry.residual_values));
        metrics::counter!("thalweg_compactor_kept_files_total").increment(kept.len() as u64);
        Ok(State::Link)
    }
}

/// The table's files as of now; none if it does not exist any more. A table that was never flushed has no files, and
/// gets an empty generation.
fn plan(site: &Site, table: TableId) -> Option<Plan> {
    let manifest = site.store.manifest();
    let schema = Arc::clone(manifest.catalog.rows_of(table)?);
    let published = manifest.cold_tables.get(&table).map_or(0, |cold| cold.generation);
    let types = manifest.types_of(&schema);
    let inputs: Vec<FileEntry> =
        manifest.files_in_order().into_iter().filter(|entry| entry.table == table).cloned().collect();
    let view = site.store.view();
    let open = |entry: &FileEntry| view.files.table_files(table).find(|file| file.id == entry.id).cloned();
    let files = inputs.iter().filter(|entry| entry.rows > 0).map(open).collect::<Option<Vec<_>>>()?;
    Some(Plan {
        table: schema,
        generation: site.next_generation(table, published),
        began_at_us: site.now_us(),
        types: Arc::new(types),
        inputs,
        files,
    })
}

impl Plan {
    fn files_of(&self, shard: ShardId) -> Vec<&Arc<ColdFile>> {
        self.files.iter().filter(|file| file.shard == shard).collect()
    }

    fn entry(&self, id: FileId) -> &FileEntry {
        self.inputs.iter().find(|entry| entry.id == id).expect("the files are those of the inputs")
    }

    fn extents(&self, shard: ShardId) -> Vec<Extent> {
        let extent = |file: &Arc<ColdFile>| Extent {
            min_key: file.min_key.clone(),
            max_key: file.max_key.clone(),
            bytes: file.bytes,
            is_finished: !file.may_have_removed() && *file.types() == *self.types && !self.expires(),
            is_copied: file.can_be_copied(&self.types) && !self.expires(),
        };
        self.files_of(shard).into_iter().map(extent).collect()
    }

    /// Some of a shard's files, side by side.
    fn inputs(&self, shard: ShardId, files: &[usize], bytes_max: usize) -> Inputs {
        let all = self.files_of(shard);
        let is_run = |file: &Arc<ColdFile>| self.entry(file.id).place == Place::Run;
        let (runs, generation): (Vec<_>, Vec<_>) = files.iter().map(|at| Arc::clone(all[*at])).partition(is_run);
        let runs = runs.into_iter().map(|run| VecDeque::from([run]));
        let tokens_at_us = self.expires().then_some(self.began_at_us);
        Inputs::new(&self.types, tokens_at_us, iter::once(generation.into()).chain(runs), bytes_max)
    }

    /// Are its rows tokens of transactions, of which some count no more?
    fn expires(&self) -> bool {
        self.table.id == system::TOKENS
    }
}

/// Are the inputs still what the manifest names, so that the merge of them may replace them?
fn is_current(manifest: &Manifest, plan: &Plan) -> bool {
    let has = |id: FileId| manifest.files.contains_key(&id);
    manifest.catalog.rows_of(plan.table.id).is_some() && plan.inputs.iter().all(|entry| has(entry.id))
}

/// An earlier attempt may have left files, and a reader takes every file of a generation for data.
fn make_empty(disk: &dyn Disk, dir: &str) -> Result<(), Error> {
    disk.create_dir(dir).map_err(Error::io("create directory", dir))?;
    for name in disk.list(dir).map_err(Error::io("list", dir))? {
        let path = format!("{dir}/{name}");
        disk.remove(&path).map_err(Error::io("remove", path))?;
    }
    Ok(())
}
