//! A base as of a time, from an older one and the history after it.
//!
//! 1. [`AsOf::begin`] links the older base's files and the history, so that neither can go meanwhile, and notes that durably. From
//!    here on [`AsOf::resume`] can begin at 2 again, after whatever came between.
//! 2. Read the history in order, up to the time. Keep of each key the last event; write what has gathered as runs when it
//!    takes too much memory. A run's rows have greater sequence numbers than what they supersede.
//! 3. Publish a manifest that names the runs too, and make it a base; remove the links to the history.

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
    sync::Arc,
};

use bytes::Bytes;
use item::{Change, CodecError, Event, Image, Key, SequenceNumber, ShardId, Table, TableId};
use store::{
    Error, Store,
    env::{Disk, remove_if_present},
    files::{ColumnTypes, FileId, FileWriter, NewFile, Row},
    manifest::{FileEntry, Manifest, Place, RUNS_DIR},
    room::Room,
};

use crate::{
    Base, HistoryFile, HistoryReader, Kind, Note, Past,
    base::read_manifest,
    draft::{self, Draft, remove_dir},
    history::HISTORY_DIR,
    note,
    past::history_dir,
    subtree::Subtree,
};

/// Rows are written when they take so much memory, about.
const GATHERED_BYTES: usize = 16 << 20;
/// What an entry takes beside its key and image, about.
const ENTRY_BYTES: usize = 200;
/// Memory of a writer.
const WRITER_BYTES: usize = 8 << 20;

/// The last event of each key, of one shard.
type Gathered = BTreeMap<Key, (SequenceNumber, Option<Image>)>;

/// A base as of a time, under way.
pub struct AsOf {
    store: Store,
    tree: Subtree,
    manifest: Manifest,
    table: Arc<Table>,
    types: Arc<ColumnTypes>,
    files: VecDeque<HistoryFile>,
    reader: Option<HistoryReader>,
    gathered: BTreeMap<ShardId, Gathered>,
    gathered_bytes: usize,
    note: Note,
}

impl AsOf {
    /// Begins a base at `dir` of what `past` was at `until_us`, or is as far as it is recorded, for whom `note` says. None if the
    /// past does not go back so far. Without a time it is as of `recorded_us`. What it needs must stay until this returns, and may go then. Blocks on the disk.
    pub(crate) fn begin(
        store: &Store,
        past: &Past,
        until_us: Option<u64>,
        dir: &str,
        (name, kind): (String, Kind),
        (now_us, recorded_us): (u64, u64),
    ) -> Result<Option<AsOf>, Error> {
        let disk = store.disk();
        let Some(base) = past.base_at(until_us) else { return Ok(None) };
        let manifest = base.manifest()?;
        let mut draft = Draft::begin(disk, dir)?;
        draft.link(base.dir(), &manifest)?;
        let linked_dir = draft.tree.path(HISTORY_DIR);
        disk.create_dir(&linked_dir).map_err(Error::io("create directory", linked_dir.as_str()))?;
        for file in past.history_after(base) {
            let existing = format!("{}/{}", history_dir(past.table), file.name());
            let linked = format!("{linked_dir}/{}", file.name());
            disk.hard_link(&existing, &linked).map_err(Error::io("link", linked))?;
        }
        disk.sync_dir(&linked_dir).map_err(Error::io("sync directory", linked_dir))?;
        let note = Note {
            name,
            kind,
            table: past.table.0,
            frame: past.recorded.0,
            as_of_us: until_us.unwrap_or(recorded_us),
            created_at_us: now_us,
            expires_at_us: (kind == Kind::System).then(|| now_us.saturating_add(SYSTEM_BACKUP_US)),
            items: 0,
            bytes: 0,
            until_us,
        };
        draft.write(&manifest, &note, note::PENDING)?;
        AsOf::resume(store, dir)
    }

    /// Goes on with what was begun at `dir`; none if nothing was. Blocks on the disk.
    pub(crate) fn resume(store: &Store, dir: &str) -> Result<Option<AsOf>, Error> {
        let disk = store.disk();
        let tree = Subtree::new(Arc::clone(disk), dir);
        if Note::read(&tree, dir, note::FILE)?.is_some() {
            return Ok(None);
        }
        let Some(note) = Note::read(&tree, dir, note::PENDING)? else { return Ok(None) };
        let manifest = read_manifest(&tree, dir)?;
        let corrupt = |what: &str| Error::Corrupt { path: dir.to_owned(), offset: 0, what: what.to_owned() };
        let table = manifest.catalog.by_id(TableId(note.table)).cloned();
        let table = table.ok_or_else(|| corrupt("its manifest does not have its table"))?;
        // Runs of an attempt that did not end.
        for name in tree.list(RUNS_DIR).map_err(Error::io("list", tree.path(RUNS_DIR)))? {
            let path = format!("{RUNS_DIR}/{name}");
            if !manifest.files.values().any(|entry| FileEntry::path(entry) == path) {
                tree.remove(&path).map_err(Error::io("remove", tree.path(&path)))?;
            }
        }
        Ok(Some(AsOf {
            store: store.clone(),
            files: HistoryFile::list(&tree, HISTORY_DIR)?.into(),
            tree,
            types: Arc::new(manifest.types_of(&table)),
            table,
            manifest,
            reader: None,
            gathered: BTreeMap::new(),
            gathered_bytes: 0,
            note,
        }))
    }

    /// Does a little of it; answers the base when it is done, and then is not to be called again. While the disk is full nothing is
    /// done, and it may be called again after [`Error::Full`]. Blocks on the disk.
    pub fn step(&mut self) -> Result<Option<Base>, Error> {
        // Runs are as large as what is restored: they must not take the reserve.
        if self.store.check_room() == Room::Full {
            return Err(self.store.full());
        }
        let Some(reader) = &mut self.reader else {
            let Some(file) = self.files.pop_front() else { return self.finish().map(Some) };
            self.reader = Some(HistoryReader::open(&self.tree, HISTORY_DIR, &file, self.table.id)?);
            return Ok(None);
        };
        let Some(events) = reader.next_chunk()? else {
            self.reader = None;
            return Ok(None);
        };
        for (committed_at_us, event) in events {
            if self.note.until_us.is_some_and(|until_us| committed_at_us > until_us) {
                // Times never go back: nothing that counts comes after.
                (self.reader, self.files) = (None, VecDeque::new());
                break;
            }
            self.gather(event)?;
        }
        if self.gathered_bytes >= GATHERED_BYTES {
            self.write()?;
        }
        Ok(None)
    }

    fn gather(&mut self, event: Event) -> Result<(), Error> {
        let (key, image) = match event.change {
            Change::Put { key, new, .. } => (key, Some(new)),
            Change::Remove { key, .. } => (key, None),
            Change::PutTable(_) | Change::DeleteTable => return Ok(()),
        };
        if usize::from(event.shard.0) >= self.manifest.flushed_sequences.len() {
            let what = format!("an event is of shard {}", event.shard.0);
            return Err(Error::Corrupt { path: self.tree.path(HISTORY_DIR), offset: 0, what });
        }
        let malformed = |error: CodecError| Error::Corrupt {
            path: self.tree.path(HISTORY_DIR),
            offset: error.offset as u64,
            what: error.what.to_owned(),
        };
        match &image {
            Some(image) => self.types.widen_image(image).map_err(malformed)?,
            None => Arc::make_mut(&mut self.types).widen(&key.to_item(&self.table).map_err(malformed)?),
        }
        let image_bytes = image.as_ref().map_or(0, |image| image.bytes().len());
        // Keys and images would hold all of their chunk.
        let own = |bytes: &Bytes| Bytes::copy_from_slice(bytes);
        let key = Key { partition: own(&key.partition), sort: own(&key.sort) };
        let image = image.map(|image| Image::from_bytes(own(image.bytes())));
        self.gathered_bytes += ENTRY_BYTES + key.partition.len() + key.sort.len() + image_bytes;
        self.gathered.entry(event.shard).or_default().insert(key, (event.sequence, image));
        Ok(())
    }

    /// Writes what has gathered, a run for each shard.
    fn write(&mut self) -> Result<(), Error> {
        self.gathered_bytes = 0;
        for (shard, rows) in mem::take(&mut self.gathered) {
            let new = NewFile {
                id: FileId(self.manifest.next_file),
                table: Arc::clone(&self.table),
                shard,
                place: Place::Run,
                types: Arc::clone(&self.types),
                with_removed: rows.values().any(|(_, image)| image.is_none()),
                now_us: self.note.created_at_us,
                buffer_bytes_max: WRITER_BYTES,
            };
            self.manifest.next_file += 1;
            let mut writer = FileWriter::create(&self.tree, new)?;
            for (key, (sequence, image)) in rows {
                writer.write_image(&Row { key, sequence, image })?;
            }
            let entry = writer.finish()?;
            let last = &mut self.manifest.flushed_sequences[usize::from(shard.0)];
            *last = entry.max_sequence.max(*last);
            self.manifest.files.insert(entry.id, entry);
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<Base, Error> {
        self.write()?;
        (self.note.items, self.note.bytes) = draft::size(&self.manifest);
        self.manifest.number += 1;
        let base = Draft::resume(self.store.disk(), &self.tree.path("")).finish(&self.manifest, self.note.clone())?;
        remove_if_present(&self.tree, note::PENDING).map_err(Error::io("remove", self.tree.path(note::PENDING)))?;
        for name in self.tree.list(HISTORY_DIR).map_err(Error::io("list", self.tree.path(HISTORY_DIR)))? {
            let path = format!("{HISTORY_DIR}/{name}");
            self.tree.remove(&path).map_err(Error::io("remove", self.tree.path(&path)))?;
        }
        remove_dir(self.store.disk().as_ref(), &self.tree.path(HISTORY_DIR))?;
        Ok(base)
    }
}

/// So long the backup of a table stays that was deleted while it had continuous backups, microseconds.
const SYSTEM_BACKUP_US: u64 = 35 * 24 * 3600 * 1_000_000;
