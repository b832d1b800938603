//! A base that is being made.
//!
//! 1. Make its directories, empty.
//! 2. Link files, or write and sync them.
//! 3. Sync the directories; write its manifest; sync its directory and those above.
//! 4. Write its note, durably: from here on it is a base.

use std::{collections::BTreeSet, io::ErrorKind, sync::Arc};

use item::TableId;
use store::{
    Catalog, Error,
    env::Disk,
    manifest::{FileEntry, GENERATIONS_DIR, Manifest, RUNS_DIR},
};

use crate::{Base, Note, history::HISTORY_DIR, note, subtree::Subtree};

/// A base under way. Dropped before its end it leaves a directory without a note.
pub(crate) struct Draft {
    disk: Arc<dyn Disk>,
    pub(crate) tree: Subtree,
    dir: String,
    /// Directories that got names, relative to the base's.
    touched: BTreeSet<String>,
}

impl Draft {
    /// Begins at `dir`; what lies there goes.
    pub(crate) fn begin(disk: &Arc<dyn Disk>, dir: &str) -> Result<Draft, Error> {
        remove(disk, dir)?;
        let tree = Subtree::new(Arc::clone(disk), dir);
        tree.create_dir(RUNS_DIR).map_err(Error::io("create directory", format!("{dir}/{RUNS_DIR}")))?;
        let touched = [RUNS_DIR.to_owned()].into();
        Ok(Draft { disk: Arc::clone(disk), tree, dir: dir.to_owned(), touched })
    }

    /// Links the files of `manifest`, which lie under `from`: empty for the data directory itself.
    pub(crate) fn link(&mut self, from: &str, manifest: &Manifest) -> Result<(), Error> {
        for path in manifest.files.values().map(FileEntry::path) {
            let (dir, _) = path.rsplit_once('/').expect("files lie in directories");
            if self.touched.insert(dir.to_owned()) {
                self.tree.create_dir(dir).map_err(Error::io("create directory", self.tree.path(dir)))?;
            }
            let existing = if from.is_empty() { path.clone() } else { format!("{from}/{path}") };
            let linked = self.tree.path(&path);
            self.disk.hard_link(&existing, &linked).map_err(Error::io("link", linked))?;
        }
        Ok(())
    }

    /// Ends it as a base of the files that `manifest` names.
    pub(crate) fn finish(self, manifest: &Manifest, note: Note) -> Result<Base, Error> {
        self.write(manifest, &note, note::FILE)?;
        let table = manifest.catalog.by_id(TableId(note.table)).cloned();
        let table = table.expect("a base's manifest has its table");
        Ok(Base { disk: self.disk, dir: self.dir, table, note })
    }

    /// Ends it as what `note` says in `file`.
    pub(crate) fn write(&self, manifest: &Manifest, note: &Note, file: &str) -> Result<(), Error> {
        let above = [GENERATIONS_DIR, "cold"].map(str::to_owned);
        let above = above.into_iter().filter(|dir| dir == "cold" || self.touched.len() > 1);
        for dir in self.touched.iter().cloned().chain(above) {
            self.tree.sync_dir(&dir).map_err(Error::io("sync directory", self.tree.path(&dir)))?;
        }
        manifest.publish(&self.tree)?;
        sync_up(self.disk.as_ref(), &self.dir)?;
        note.write(&self.tree, file)
    }

    /// One that was written before, to be ended as a base.
    pub(crate) fn resume(disk: &Arc<dyn Disk>, dir: &str) -> Draft {
        let tree = Subtree::new(Arc::clone(disk), dir);
        Draft { disk: Arc::clone(disk), tree, dir: dir.to_owned(), touched: [RUNS_DIR.to_owned()].into() }
    }
}

/// The part of a manifest that is about one table's rows; none if it has no such table.
pub(crate) fn of_table(manifest: &Manifest, table: TableId) -> Option<Manifest> {
    let mut catalog = Catalog::default();
    catalog.put(Arc::clone(manifest.catalog.by_id(table)?));
    let files = manifest.files.iter().filter(|(_, entry)| entry.table == table && entry.rows > 0);
    let cold = manifest.cold_tables.get(&table).map(|cold| (table, cold.clone()));
    Some(Manifest {
        number: 1,
        flushed: manifest.flushed,
        flushed_sequences: manifest.flushed_sequences.clone(),
        catalog,
        next_table: manifest.next_table,
        next_file: manifest.next_file,
        files: files.map(|(id, entry)| (*id, entry.clone())).collect(),
        cold_tables: cold.into_iter().collect(),
        retired: BTreeSet::new(),
    })
}

/// Items and bytes of the files that a manifest names.
pub(crate) fn size(manifest: &Manifest) -> (u64, u64) {
    manifest.files.values().fold((0, 0), |(items, bytes), entry| (items + entry.rows, bytes + entry.bytes))
}

/// Makes `dir` and the directories above it durable.
pub(crate) fn sync_up(disk: &dyn Disk, dir: &str) -> Result<(), Error> {
    let mut dir = dir;
    loop {
        disk.sync_dir(dir).map_err(Error::io("sync directory", dir))?;
        if dir.is_empty() {
            return Ok(());
        }
        dir = dir.rsplit_once('/').map_or("", |(above, _)| above);
    }
}

/// Removes the base or what was to be one at `dir`: the note first, so that it is no base any more.
pub(crate) fn remove(disk: &Arc<dyn Disk>, dir: &str) -> Result<(), Error> {
    let tree = Subtree::new(Arc::clone(disk), dir);
    if !tree.list("").map_err(Error::io("list", dir))?.is_empty() {
        Note::remove(&tree)?;
    }
    let generations = tree.list(GENERATIONS_DIR).map_err(Error::io("list", tree.path(GENERATIONS_DIR)))?;
    let generations = generations.into_iter().map(|name| format!("{GENERATIONS_DIR}/{name}"));
    for inner in generations.chain(["manifest", RUNS_DIR, HISTORY_DIR].map(str::to_owned)) {
        for name in tree.list(&inner).map_err(Error::io("list", tree.path(&inner)))? {
            let path = format!("{inner}/{name}");
            tree.remove(&path).map_err(Error::io("remove", tree.path(&path)))?;
        }
        remove_dir(disk.as_ref(), &tree.path(&inner))?;
    }
    for inner in [GENERATIONS_DIR, "cold", ""] {
        remove_dir(disk.as_ref(), &tree.path(inner))?;
    }
    Ok(())
}

/// Removes it as far as that goes: what is left, somebody else's file say, is told and is no reason to stop.
pub(crate) fn tidy(disk: &Arc<dyn Disk>, dir: &str) {
    if let Err(error) = remove(disk, dir) {
        tracing::warn!(dir, %error, "an unfinished backup could not be removed");
    }
}

/// Gone already is as good. Which names a crash brings back, the next open removes.
pub(crate) fn remove_dir(disk: &dyn Disk, dir: &str) -> Result<(), Error> {
    match disk.remove_dir(dir) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io("remove directory", dir)(error)),
        _ => Ok(()),
    }
}
