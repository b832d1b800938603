//! What lies on a disk of backups and pasts, to be checked: nothing is written.

use std::sync::Arc;

use item::TableId;
use store::{Error, env::Disk, log::FrameNumber};

use crate::{
    Base, HistoryFile,
    backups::{BACKUPS_DIR, SCRATCH_DIR},
    past::{self, PASTS_DIR, history_dir},
};

/// What lies there.
#[derive(Debug, Default)]
pub struct Survey {
    /// Every base, or why it cannot be told what it is.
    pub bases: Vec<Result<Base, Error>>,
    /// Directories that are no bases: they go at the next open, or are still to become some.
    pub unfinished: Vec<String>,
    /// Per table with a past: where its history lies, its files in order, and the last frame of its oldest base.
    pub histories: Vec<(TableId, String, Vec<HistoryFile>, FrameNumber)>,
}

/// Looks at what lies on a disk.
pub fn survey(disk: &Arc<dyn Disk>) -> Result<Survey, Error> {
    let mut survey = Survey::default();
    for dir in [BACKUPS_DIR, SCRATCH_DIR] {
        for name in disk.list(dir).map_err(Error::io("list", dir))? {
            survey.look_at(disk, format!("{dir}/{name}"))?;
        }
    }
    for table in past::tables(disk.as_ref())? {
        let dir = format!("{PASTS_DIR}/{}", table.0);
        let names = disk.list(&dir).map_err(Error::io("list", dir.as_str()))?;
        let mut oldest: Option<FrameNumber> = None;
        for name in names.iter().filter(|name| name.starts_with("base-")) {
            if let Some(frame) = survey.look_at(disk, format!("{dir}/{name}"))? {
                oldest = Some(oldest.map_or(frame, |oldest| oldest.min(frame)));
            }
        }
        match oldest {
            Some(oldest) => {
                let history = history_dir(table);
                let files = HistoryFile::list(disk.as_ref(), &history)?;
                survey.histories.push((table, history, files, oldest));
            }
            None => survey.unfinished.push(dir),
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
            Err(error) => return Err(error),
        }
        Ok(None)
    }
}
