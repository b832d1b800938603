//! From a sealed set of memtables to run files: one file for each table and shard with rows.
//!
//! 1. Widen the column types of each table by the first of its rows.
//! 2. Write each file and sync it. Where a row needs wider types after all, widen by all rows of the table and write its
//!    files anew: it is seldom, and saves a look at every row.
//! 3. Sync the directory, commit: files, types, the flushed frame, the catalogue.
//! 4. Tables that are gone lose their link.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    mem,
    sync::Arc,
};

use item::{Key, ShardId, Table, TableId};
use store::{
    Catalog, Direction, Error,
    files::{ColdFile, ColumnTypes, FileWriter, KeyRange, NewFile},
    manifest::{Edit, FileEntry, Flushed, Place, RUNS_DIR},
    memtable::{Block, Memtable},
    view::Sealed,
};

use crate::job::{Report, Site, Step};

/// Rows taken from a memtable at a time.
const BATCH_ROWS: usize = 1024;

/// One sealed set under way to run files.
pub(crate) struct Flush {
    site: Site,
    sealed: Option<Arc<Sealed>>,
    state: State,
    types: BTreeMap<TableId, Arc<ColumnTypes>>,
    /// Tables whose types hold all of their rows for sure.
    widened: BTreeSet<TableId>,
    files: Vec<FileEntry>,
    /// Paths of files that were begun and are not committed.
    unnamed: Vec<String>,
    report: Report,
}

/// A table's rows in one memtable.
#[derive(Clone)]
struct Part {
    table: Arc<Table>,
    shard: ShardId,
}

enum State {
    /// Widens by the first rows of each of `parts`, or by all; then writes.
    Widen {
        parts: VecDeque<Part>,
        reach: Reach,
        reader: Option<Reader>,
        write: VecDeque<Part>,
    },
    Write {
        parts: VecDeque<Part>,
        writing: Option<(Reader, Box<FileWriter>)>,
    },
    Commit,
    Link,
    Done,
}

/// By which rows of a part types are widened.
#[derive(Clone, Copy, PartialEq)]
enum Reach {
    First,
    All,
}

/// Reads the rows of a part, batch by batch.
struct Reader {
    part: Part,
    from: Option<Key>,
}

impl Flush {
    /// Flushes the oldest sealed set, if there is one.
    pub(crate) fn new(site: Site) -> Flush {
        let sealed = site.store.view().sealed.first().cloned();
        let parts = sealed.as_deref().map(parts).unwrap_or_default();
        let state = match sealed {
            Some(_) => State::Widen { write: parts.clone(), reach: Reach::First, parts, reader: None },
            None => State::Done,
        };
        Flush {
            site,
            sealed,
            state,
            types: BTreeMap::new(),
            widened: BTreeSet::new(),
            files: Vec::new(),
            unnamed: Vec::new(),
            report: Report::default(),
        }
    }

    pub(crate) fn step(&mut self) -> Result<Step, Error> {
        let Some(sealed) = self.sealed.clone() else { return Ok(Step::Done(Report::default())) };
        self.state = match mem::replace(&mut self.state, State::Done) {
            State::Widen { parts, reach, reader, write } => self.widen(&sealed, parts, reach, reader, write)?,
            State::Write { parts, writing } => self.write(&sealed, parts, writing)?,
            State::Commit => self.commit(&sealed)?,
            State::Link => {
                self.site.link()?;
                State::Done
            }
            State::Done => State::Done,
        };
        Ok(if matches!(self.state, State::Done) { Step::Done(self.report.clone()) } else { Step::More })
    }

    /// Removes what was written and is not committed.
    pub(crate) fn abandon(&self) {
        self.unnamed.iter().cloned().for_each(|path| self.site.remove(path));
    }

    fn widen(
        &mut self,
        sealed: &Sealed,
        mut parts: VecDeque<Part>,
        reach: Reach,
        reader: Option<Reader>,
        write: VecDeque<Part>,
    ) -> Result<State, Error> {
        let Some(mut reader) = reader.or_else(|| parts.pop_front().map(Reader::new)) else {
            let disk = self.site.store.disk();
            disk.create_dir(RUNS_DIR).map_err(Error::io("create directory", RUNS_DIR))?;
            return Ok(State::Write { parts: write, writing: None });
        };
        let table = Arc::clone(&reader.part.table);
        let Block { rows, is_last } = reader.next(sealed);
        let types = self.types.entry(table.id).or_insert_with(|| {
            let manifest = self.site.store.manifest();
            Arc::new(manifest.types_of(&table))
        });
        for row in &rows {
            match &row.image {
                Some(image) => types.widen_image(image),
                None => row.key.to_item(&table).map(|item| Arc::make_mut(types).widen(&item)),
            }
            .map_err(|error| malformed(&error))?;
        }
        let reader = (reach == Reach::All && !is_last).then_some(reader);
        Ok(State::Widen { parts, reach, reader, write })
    }

    fn write(
        &mut self,
        sealed: &Sealed,
        mut parts: VecDeque<Part>,
        writing: Option<(Reader, Box<FileWriter>)>,
    ) -> Result<State, Error> {
        let (mut reader, writer) = match writing {
            Some((reader, writer)) => (reader, Some(writer)),
            None => match parts.pop_front() {
                Some(part) => (Reader::new(part), None),
                None => return Ok(State::Commit),
            },
        };
        let Block { rows, is_last } = reader.next(sealed);
        let mut writer = match writer {
            Some(writer) => writer,
            None if rows.is_empty() => return Ok(State::Write { parts, writing: None }),
            None => {
                let writer = FileWriter::create(self.site.store.disk().as_ref(), self.new_file(sealed, &reader.part))?;
                self.unnamed.push(writer.path().to_owned());
                Box::new(writer)
            }
        };
        for row in &rows {
            writer.write_image(row)?;
        }
        if writer.is_outgrown() && self.widened.insert(reader.part.table.id) {
            return Ok(self.start_over(sealed, reader.part.table.id, parts));
        }
        if !is_last {
            return Ok(State::Write { parts, writing: Some((reader, writer)) });
        }
        self.files.push(writer.finish()?);
        Ok(State::Write { parts, writing: None })
    }

    /// Gives up the files of a table, to be written anew with types that hold all of its rows, then what is left.
    fn start_over(&mut self, sealed: &Sealed, table: TableId, left: VecDeque<Part>) -> State {
        let of_table: VecDeque<Part> = parts(sealed).into_iter().filter(|part| part.table.id == table).collect();
        self.files.retain(|entry| entry.table != table);
        let kept: BTreeSet<String> = self.files.iter().map(FileEntry::path).collect();
        for path in self.unnamed.extract_if(.., |path| !kept.contains(path)) {
            self.site.remove(path);
        }
        let left = left.into_iter().filter(|part| part.table.id != table);
        let write = of_table.iter().cloned().chain(left).collect();
        State::Widen { parts: of_table, reach: Reach::All, reader: None, write }
    }

    fn new_file(&self, sealed: &Sealed, part: &Part) -> NewFile {
        NewFile {
            id: self.site.next_file(),
            table: Arc::clone(&part.table),
            shard: part.shard,
            place: Place::Run,
            types: self.types.get(&part.table.id).cloned().unwrap_or_default(),
            with_removed: part.memtable(sealed).has_removed(part.table.id),
            now_us: self.site.now_us(),
            buffer_bytes_max: self.site.config.writer_buffer_bytes_max(),
        }
    }

    fn commit(&mut self, sealed: &Sealed) -> Result<State, Error> {
        let disk = self.site.store.disk().as_ref();
        disk.sync_dir(RUNS_DIR).map_err(Error::io("sync directory", RUNS_DIR))?;
        let opened = self.files.iter().map(|entry| ColdFile::open(disk, entry).map(Arc::new));
        let opened = opened.collect::<Result<Vec<_>, Error>>()?;
        let edit = Edit {
            now_us: self.site.now_us(),
            flushed: Some(Flushed {
                frame: sealed.through,
                sequences: sealed.sequences.clone(),
                catalog: Catalog::clone(&sealed.catalog),
                next_table: sealed.next_table,
            }),
            added: mem::take(&mut self.files),
            types: mem::take(&mut self.types)
                .into_iter()
                .map(|(id, types)| (id, Arc::unwrap_or_clone(types)))
                .collect(),
            ..Edit::default()
        };
        edit.added.iter().for_each(|entry| self.report.add(entry));
        self.site.commit(&edit, opened)?;
        self.unnamed.clear();
        metrics::counter!("thalweg_compactor_flushes_total").increment(1);
        metrics::counter!("thalweg_compactor_flushed_rows_total").increment(self.report.rows);
        metrics::counter!("thalweg_compactor_flushed_bytes_total").increment(self.report.bytes);
        Ok(State::Link)
    }
}

impl Part {
    fn memtable<'a>(&self, sealed: &'a Sealed) -> &'a Memtable {
        &sealed.memtables[usize::from(self.shard.0)]
    }
}

impl Reader {
    fn new(part: Part) -> Reader {
        Reader { part, from: None }
    }

    /// The next rows.
    fn next(&mut self, sealed: &Sealed) -> Block {
        let memtable = self.part.memtable(sealed);
        let range = KeyRange { from: self.from.take(), until: None };
        let block = memtable.scan(self.part.table.id, &range, Direction::Forward, BATCH_ROWS);
        self.from = block.rows.last().map(|row| after(&row.key));
        block
    }
}

/// Every table and shard with rows, by table. Rows of tables that are gone by the end of the set are not kept.
fn parts(sealed: &Sealed) -> VecDeque<Part> {
    let shards = || sealed.memtables.iter().zip(0..).map(|(memtable, shard)| (memtable, ShardId(shard)));
    let with_rows: BTreeSet<(TableId, ShardId)> =
        shards().flat_map(|(memtable, shard)| memtable.tables().into_iter().map(move |table| (table, shard))).collect();
    let part = |(table, shard)| Some(Part { table: Arc::clone(sealed.catalog.rows_of(table)?), shard });
    with_rows.into_iter().filter_map(part).collect()
}

/// The least key greater than `key`.
fn after(key: &Key) -> Key {
    let mut sort = key.sort.to_vec();
    sort.push(0);
    Key { partition: key.partition.clone(), sort: sort.into() }
}

fn malformed(error: &item::CodecError) -> Error {
    Error::Corrupt { path: "memtable".to_owned(), offset: error.offset as u64, what: error.what.to_owned() }
}
