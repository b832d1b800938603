//! A table as of one frame or time.

use std::{fmt, io::ErrorKind, sync::Arc};

use item::{Table, TableId};
use store::{Error, env::Disk, log::FrameNumber, manifest::Manifest};

use crate::{
    Kind, Note, Rows,
    draft::{self, Draft},
    note,
    subtree::Subtree,
};

/// A directory that holds a table as it was, whatever becomes of the table.
#[derive(Clone)]
pub struct Base {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: String,
    /// The table's schema as it was.
    pub table: Arc<Table>,
    /// What else is known of it.
    pub note: Note,
}

/// What a directory is.
pub(crate) enum Opened {
    /// A base.
    Whole(Base),
    /// A base once, and no more.
    Damaged,
    /// No base: a crash cut its making or its removal off.
    Unfinished,
    /// No directory: not ours.
    Stranger,
}

impl Base {
    /// Makes one at `dir` of a table as `manifest`, the one in force, has it; none if it has no such table. The files that the
    /// manifest names must stay until this returns. No event in it may have been committed after `as_of_us`. Blocks on the disk.
    pub(crate) fn make(
        disk: &Arc<dyn Disk>,
        dir: &str,
        manifest: &Manifest,
        table: TableId,
        name: String,
        kind: Kind,
        (now_us, as_of_us): (u64, u64),
    ) -> Result<Option<Base>, Error> {
        let Some(manifest) = draft::of_table(manifest, table) else { return Ok(None) };
        let (items, bytes) = draft::size(&manifest);
        let note = Note {
            name,
            kind,
            table: table.0,
            frame: manifest.flushed.0,
            as_of_us,
            created_at_us: now_us,
            expires_at_us: None,
            items,
            bytes,
            until_us: None,
        };
        let make = || {
            let mut draft = Draft::begin(disk, dir)?;
            draft.link("", &manifest)?;
            draft.finish(&manifest, note)
        };
        // Nobody knows of it, so nobody would remove it before the next open.
        make().map(Some).inspect_err(|_| draft::tidy(disk, dir))
    }

    /// The base at `dir`; none if there is none.
    pub(crate) fn open(disk: &Arc<dyn Disk>, dir: &str) -> Result<Option<Base>, Error> {
        let tree = Subtree::new(Arc::clone(disk), dir);
        let Some(note) = Note::read(&tree, dir, note::FILE)? else { return Ok(None) };
        let table = read_manifest(&tree, dir)?.catalog.by_id(TableId(note.table)).cloned();
        let missing = || Error::Corrupt {
            path: dir.to_owned(),
            offset: 0,
            what: format!("its manifest does not have its table, {}", note.table),
        };
        let table = table.ok_or_else(missing)?;
        Ok(Some(Base { disk: Arc::clone(disk), dir: dir.to_owned(), table, note }))
    }

    /// What lies at `dir`. Damage is told, and is no reason not to serve: `thalweg verify` says more. A newer format is one: an older
    /// version must not tidy what it cannot read.
    pub(crate) fn open_or_tell(disk: &Arc<dyn Disk>, dir: &str) -> Result<Opened, Error> {
        match Base::open(disk, dir) {
            Ok(Some(base)) => Ok(Opened::Whole(base)),
            Ok(None) => Ok(Opened::Unfinished),
            Err(error @ Error::Corrupt { .. }) => {
                tracing::error!(dir, %error, "a backup is damaged and left out");
                Ok(Opened::Damaged)
            }
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotADirectory => {
                tracing::warn!(dir, "what is no directory is passed over");
                Ok(Opened::Stranger)
            }
            Err(error) => Err(error),
        }
    }

    /// The last part of its directory's name.
    pub fn id(&self) -> &str {
        self.dir.rsplit('/').next().unwrap_or_default()
    }

    /// Its directory, relative to the data directory.
    pub fn dir(&self) -> &str {
        &self.dir
    }

    /// Its directory as a disk, laid out as a data directory is.
    pub fn tree(&self) -> impl Disk + use<> {
        Subtree::new(Arc::clone(&self.disk), &self.dir)
    }

    /// The last frame that is in it.
    pub fn frame(&self) -> FrameNumber {
        FrameNumber(self.note.frame)
    }

    /// The manifest that names its files. Blocks on the disk.
    pub fn manifest(&self) -> Result<Manifest, Error> {
        read_manifest(&self.tree(), &self.dir)
    }

    /// Its items, to be read. Opens every file; blocks on the disk.
    pub fn rows(&self) -> Result<Rows, Error> {
        Rows::open(&self.tree(), &self.manifest()?, Arc::clone(&self.table))
    }

    /// Removes its directory. Blocks on the disk.
    pub(crate) fn remove(&self) -> Result<(), Error> {
        draft::remove(&self.disk, &self.dir)
    }
}

/// The newest manifest of a base, be it done or not.
pub(crate) fn read_manifest(tree: &dyn Disk, dir: &str) -> Result<Manifest, Error> {
    let missing = || Error::Corrupt { path: dir.to_owned(), offset: 0, what: "it has no manifest".to_owned() };
    Manifest::load(tree)?.ok_or_else(missing)
}

impl fmt::Debug for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Base").field("dir", &self.dir).field("note", &self.note).finish_non_exhaustive()
    }
}
