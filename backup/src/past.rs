//! The past of a table with continuous backups: bases, and the history between and after them.
//!
//! ```text
//! pitr/<table id>/base-<frame: 20 digits>/     a base, as of that frame
//! pitr/<table id>/history/                     files of history, without a gap from the first base on; made before the first base
//! pitr/<table id>.damaged-<n>/                 a past that cannot be read any more, kept for whoever can mend it
//! ```

use std::{io::ErrorKind, sync::Arc};

use item::{Table, TableId, table::Recovery};
use store::{
    Error,
    env::{Disk, remove_if_present},
    log::FrameNumber,
    manifest::Manifest,
};

use crate::{
    Base, HistoryFile, Kind,
    base::Opened,
    draft::{self, remove_dir, sync_up},
    history::HISTORY_DIR,
    recorder::Position,
};

/// Where pasts lie.
pub(crate) const PASTS_DIR: &str = "pitr";

/// What the name of a past that is kept aside has after the table's number, and before one that tells such pasts apart.
pub(crate) const DAMAGED: &str = ".damaged-";

/// A new base is made when the history after the last one is larger than this and than the table.
const HISTORY_BYTES_MIN: u64 = 64 << 20;
/// Or when the last one is so old, microseconds.
const BASE_AGE_US: u64 = 24 * 3600 * 1_000_000;

/// What is kept of a table, so that it can be restored as it was at any time.
#[derive(Clone)]
pub struct Past {
    /// The table's number.
    pub table: TableId,
    /// Oldest first; never none.
    pub bases: Vec<Arc<Base>>,
    /// Oldest first.
    pub history: Vec<HistoryFile>,
    /// The last frame whose events are in the bases or in the history.
    pub recorded: FrameNumber,
}

impl Past {
    /// Begins with a base as of `manifest`, the one in force, at the first of `times`, as of the second; none if it does not have the table.
    pub(crate) fn begin(
        disk: &Arc<dyn Disk>,
        manifest: &Manifest,
        table: TableId,
        times: (u64, u64),
    ) -> Result<Option<Past>, Error> {
        if manifest.catalog.by_id(table).is_none() {
            return Ok(None);
        }
        remove(disk, table)?;
        // Its name is durable before the base's note is: the log is let go of for what lies in it.
        let history = history_dir(table);
        disk.create_dir(&history).map_err(Error::io("create directory", history))?;
        let base = make_base(disk, manifest, table, times)?;
        let past = |base| Past { table, bases: vec![Arc::new(base)], history: Vec::new(), recorded: manifest.flushed };
        Ok(base.map(past))
    }

    /// What there is of a table; none if there is no base. What is neither goes, but nothing goes while a base is damaged, and a past
    /// that has nothing whole is kept aside.
    pub(crate) fn open(disk: &Arc<dyn Disk>, table: TableId) -> Result<Option<Past>, Error> {
        let dir = dir(table);
        let names = match disk.list(&dir) {
            Err(error) if error.kind() == ErrorKind::NotADirectory => {
                tracing::warn!(dir, "what is no directory is passed over");
                return Ok(None);
            }
            names => names.map_err(Error::io("list", dir.as_str()))?,
        };
        let (mut bases, mut unfinished, mut is_damaged) = (Vec::new(), Vec::new(), false);
        for name in names.iter().filter(|name| is_base(name)) {
            let path = format!("{dir}/{name}");
            match Base::open_or_tell(disk, &path)? {
                Opened::Whole(base) => bases.push(Arc::new(base)),
                // The others are good for the times after them.
                Opened::Damaged => is_damaged = true,
                Opened::Unfinished => unfinished.push(path),
                Opened::Stranger => {}
            }
        }
        bases.sort_by_key(|base| base.frame());
        let has_history = names.iter().any(|name| name == HISTORY_DIR);
        if !bases.is_empty() && !has_history {
            tracing::error!(dir, "its history is missing, so nothing in it tells what came after a base");
        }
        if is_damaged && bases.is_empty() || !bases.is_empty() && !has_history {
            set_aside(disk, table)?;
            return Ok(None);
        }
        if !is_damaged {
            unfinished.iter().for_each(|path| draft::tidy(disk, path));
        }
        let Some(first) = bases.first() else {
            if let Err(error) = remove(disk, table) {
                tracing::warn!(dir, %error, "what is left of a past could not be removed");
            }
            return Ok(None);
        };
        let mut history = HistoryFile::list(disk.as_ref(), &history_dir(table))?;
        let first = first.frame();
        if !is_damaged {
            // What only bases needed that are gone.
            for file in history.extract_if(.., |file| file.last <= first) {
                let path = format!("{}/{}", history_dir(table), file.name());
                remove_if_present(disk.as_ref(), &path).map_err(Error::io("remove", path))?;
            }
        }
        let last = bases.last().map(|base| base.frame());
        let recorded = last.max(history.last().map(|file| file.last)).unwrap_or_default();
        Ok(Some(Past { table, bases, history, recorded }))
    }

    /// The schema that its newest base has.
    pub fn schema(&self) -> &Arc<Table> {
        &self.newest().table
    }

    /// Since when it goes on without a gap, microseconds since 1970: names these continuous backups among all that the table had.
    pub fn since_us(&self) -> Option<u64> {
        self.schema().settings.recovery.map(|recovery| recovery.since_us)
    }

    /// The first time that the table can be restored to, microseconds since 1970.
    pub fn earliest_us(&self, period: Recovery, now_us: u64) -> u64 {
        self.bases[0].note.as_of_us.max(now_us.saturating_sub(period.period_us()))
    }

    /// The newest base that is not after `at_us`; the newest of all, if no time is given.
    pub(crate) fn base_at(&self, at_us: Option<u64>) -> Option<&Arc<Base>> {
        self.bases.iter().rfind(|base| at_us.is_none_or(|at_us| base.note.as_of_us <= at_us))
    }

    /// The history after `base`.
    pub(crate) fn history_after(&self, base: &Base) -> impl Iterator<Item = &HistoryFile> {
        let frame = base.frame();
        self.history.iter().filter(move |file| file.last > frame)
    }

    /// How far it is.
    pub(crate) fn position(&self) -> Position {
        // History may end before the first base that is whole, if one before it is damaged.
        let covered = self.history.last().map(|file| file.last).max(Some(self.bases[0].frame()));
        let covered = covered.expect("a past has a base");
        Position { recorded: self.recorded, covered }
    }

    /// Is a new base due? Only if something happened since the last one.
    pub(crate) fn is_base_due(&self, now_us: u64) -> bool {
        let newest = self.newest();
        let history_bytes: u64 = self.history_after(newest).map(|file| file.bytes).sum();
        let is_old = now_us.saturating_sub(newest.note.as_of_us) >= BASE_AGE_US;
        history_bytes > 0 && (is_old || history_bytes > newest.note.bytes.max(HISTORY_BYTES_MIN))
    }

    /// How many of the oldest bases no restore within the period needs.
    pub(crate) fn bases_over(&self, period: Recovery, now_us: u64) -> usize {
        let begins_us = now_us.saturating_sub(period.period_us());
        self.bases.iter().filter(|base| base.note.as_of_us <= begins_us).count().saturating_sub(1)
    }

    /// Adds a base as of `manifest`, up to which everything is recorded.
    pub(crate) fn add_base(
        &mut self,
        disk: &Arc<dyn Disk>,
        manifest: &Manifest,
        times: (u64, u64),
    ) -> Result<(), Error> {
        assert!(self.recorded >= manifest.flushed, "history has no gap before a base");
        self.bases.extend(make_base(disk, manifest, self.table, times)?.map(Arc::new));
        Ok(())
    }

    /// Removes its `count` oldest bases, and the history that only they need.
    pub(crate) fn drop_bases(&mut self, disk: &Arc<dyn Disk>, count: usize) -> Result<(), Error> {
        for base in self.bases.drain(..count) {
            base.remove()?;
        }
        let first = self.bases[0].frame();
        let dir = history_dir(self.table);
        for file in self.history.extract_if(.., |file| file.last <= first) {
            let path = format!("{dir}/{}", file.name());
            remove_if_present(disk.as_ref(), &path).map_err(Error::io("remove", path))?;
        }
        Ok(())
    }

    fn newest(&self) -> &Arc<Base> {
        self.bases.last().expect("a past has a base")
    }
}

/// Makes a base at the first of `times`, as of the second one.
fn make_base(
    disk: &Arc<dyn Disk>,
    manifest: &Manifest,
    table: TableId,
    times: (u64, u64),
) -> Result<Option<Base>, Error> {
    let path = format!("{}/base-{:020}", dir(table), manifest.flushed.0);
    let base = Base::make(disk, &path, manifest, table, String::new(), Kind::Past, times)?;
    if base.is_some() {
        sync_up(disk.as_ref(), &dir(table))?;
    }
    Ok(base)
}

/// Removes all that there is of a table's past. The bases go first: history without one is a leftover.
pub(crate) fn remove(disk: &Arc<dyn Disk>, table: TableId) -> Result<(), Error> {
    let dir = dir(table);
    for name in disk.list(&dir).map_err(Error::io("list", dir.as_str()))? {
        if is_base(&name) {
            draft::remove(disk, &format!("{dir}/{name}"))?;
        }
    }
    disk.create_dir(&dir).map_err(Error::io("create directory", dir.as_str()))?;
    disk.sync_dir(&dir).map_err(Error::io("sync directory", dir.as_str()))?;
    let history = history_dir(table);
    for name in disk.list(&history).map_err(Error::io("list", history.as_str()))? {
        let path = format!("{history}/{name}");
        remove_if_present(disk.as_ref(), &path).map_err(Error::io("remove", path))?;
    }
    remove_dir(disk.as_ref(), &history)?;
    match disk.remove_dir(&dir) {
        // What somebody else put there stays.
        Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {
            tracing::warn!(dir, "not everything in it is the database's, so it stays");
            Ok(())
        }
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io("remove directory", dir)(error)),
        _ => Ok(()),
    }
}

/// Keeps a past that cannot be read aside, so that the table's next one begins anew and takes nothing from it.
fn set_aside(disk: &Arc<dyn Disk>, table: TableId) -> Result<(), Error> {
    let dir = dir(table);
    let names = disk.list(PASTS_DIR).map_err(Error::io("list", PASTS_DIR))?;
    let mut aside = (0..).map(|n| format!("{}{DAMAGED}{n}", table.0));
    let aside = aside.find(|aside| !names.contains(aside)).expect("numbers do not end");
    let aside = format!("{PASTS_DIR}/{aside}");
    tracing::error!(
        dir,
        aside,
        "a table's past cannot be read: it is kept aside, and the table's next one begins anew"
    );
    disk.rename(&dir, &aside).map_err(Error::io("rename", aside))?;
    disk.sync_dir(PASTS_DIR).map_err(Error::io("sync directory", PASTS_DIR))
}

/// Is it named like a base of a past?
pub(crate) fn is_base(name: &str) -> bool {
    name.strip_prefix("base-").is_some_and(|frame| frame.len() == 20 && frame.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The numbers of the tables that have a past on the disk.
pub(crate) fn tables(disk: &dyn Disk) -> Result<Vec<TableId>, Error> {
    let names = disk.list(PASTS_DIR).map_err(Error::io("list", PASTS_DIR))?;
    let table = |name: &String| name.parse().ok().filter(|id: &u32| id.to_string() == *name).map(TableId);
    Ok(names.iter().filter_map(table).collect())
}

fn dir(table: TableId) -> String {
    format!("{PASTS_DIR}/{}", table.0)
}

/// Where a table's history lies.
pub(crate) fn history_dir(table: TableId) -> String {
    format!("{}/{HISTORY_DIR}", dir(table))
}
