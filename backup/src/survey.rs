//! What lies on a disk of backups and pasts, to be checked: nothing is written.

use std::{io::ErrorKind, sync::Arc};

use item::TableId;
use store::{Error, env::Disk, log::FrameNumber};

use crate::{
    Base, HistoryFile,
    backups::{BACKUPS_DIR, SCRATCH_DIR, is_id},
    history::HISTORY_DIR,
    past::{self, DAMAGED, PASTS_DIR, history_dir, is_base},
};

/// What lies there.
#[derive(Debug, Default)]
pub struct Survey {
    /// Every base, or why it cannot be told what it is; and pasts whose history is missing.
    pub bases: Vec<Result<Base, Error>>,
    /// Directories that are no bases: they go at the next open, or are still to become some.
    pub unfinished: Vec<String>,
    /// What somebody else put there.
    pub strangers: Vec<String>,
    /// Per table with a past: where its history lies, its files in order, and the last frame of its oldest base.
    pub histories: Vec<(TableId, String, Vec<HistoryFile>, FrameNumber)>,
}

/// Looks at what lies on a disk.
pub fn survey(disk: &Arc<dyn Disk>) -> Result<Survey, Error> {
    let mut survey = Survey::default();
    for dir in [BACKUPS_DIR, SCRATCH_DIR] {
        for name in disk.list(dir).map_err(Error::io("list", dir))? {
            let path = format!("{dir}/{name}");
            if dir == BACKUPS_DIR && !is_id(&name) {
                survey.strangers.push(path);
                continue;
            }
            survey.look_at(disk, path)?;
        }
    }
    for table in past::tables(disk.as_ref())? {
        let dir = format!("{PASTS_DIR}/{}", table.0);
        let names = match disk.list(&dir) {
            Err(error) if error.kind() == ErrorKind::NotADirectory => {
                survey.strangers.push(dir);
                continue;
            }
            names => names.map_err(Error::io("list", dir.as_str()))?,
        };
        let mut oldest: Option<FrameNumber> = None;
        for name in names.iter().filter(|name| is_base(name)) {
            if let Some(frame) = survey.look_at(disk, format!("{dir}/{name}"))? {
                oldest = Some(oldest.map_or(frame, |oldest| oldest.min(frame)));
            }
        }
        match oldest {
            Some(_) if !names.iter().any(|name| name == HISTORY_DIR) => {
                let what = "its history is missing".to_owned();
                survey.bases.push(Err(Error::Corrupt { path: history_dir(table), offset: 0, what }));
            }
            Some(oldest) => {
                let history = history_dir(table);
                let files = HistoryFile::list(disk.as_ref(), &history)?;
                survey.histories.push((table, history, files, oldest));
            }
            None => survey.unfinished.push(dir),
        }
    }
    for name in disk.list(PASTS_DIR).map_err(Error::io("list", PASTS_DIR))? {
        if name.contains(DAMAGED) {
            let (path, what) =
                (format!("{PASTS_DIR}/{name}"), "a past that could not be read was kept aside".to_owned());
            survey.bases.push(Err(Error::Corrupt { path, offset: 0, what }));
        }
    }
    Ok(survey)
}

impl Survey {
    /// Answers the last frame of the base, if it is one.
    fn look_at(&mut self, disk: &Arc<dyn Disk>, dir: String) -> Result<Option<FrameNumber>, Error> {
        match Base::open(disk, &dir) {
            Ok(Some(base)) => {
                let frame = base.frame();
                self.bases.push(Ok(base));
                return Ok(Some(frame));
            }
            Ok(None) => self.unfinished.push(dir),
            Err(error @ (Error::Corrupt { .. } | Error::NewerFormat { .. })) => self.bases.push(Err(error)),
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotADirectory => self.strangers.push(dir),
            Err(error) => return Err(error),
        }
        Ok(None)
    }
}
