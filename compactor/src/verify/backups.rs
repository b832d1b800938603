//! Checking backups and the pasts of tables with continuous backups.

use std::{collections::BTreeMap, sync::Arc};

use backup::{Base, HistoryFile, HistoryReader};
use item::TableId;
use store::{Error, env::Disk, log::FrameNumber};

use super::{Verified, check_file};

impl Verified {
    /// Checks every base as the table's own files are checked, every file of history, and that history has no gaps. Fails only if
    /// the disk cannot be read; damage is in [`Verified::problems`].
    pub fn check_backups(&mut self, disk: &Arc<dyn Disk>) -> Result<(), Error> {
        let survey = backup::survey(disk)?;
        for base in survey.bases {
            let checked = base.and_then(|base| check_base(&base));
            self.bases += u64::from(self.note(checked)?.is_some());
        }
        for (table, dir, files, oldest) in survey.histories {
            let mut covered = oldest;
            // What only bases needed that are gone may not be removed yet.
            for file in files.into_iter().filter(|file| file.last > oldest) {
                let checked = check_history(disk.as_ref(), table, &dir, &file, covered);
                self.history_files += u64::from(self.note(checked)?.is_some());
                covered = file.last;
            }
        }
        self.notes.extend(survey.unfinished.into_iter().map(|dir| format!("{dir} is unfinished")));
        self.notes.extend(survey.strangers.into_iter().map(|path| format!("{path} is no backup and is passed over")));
        Ok(())
    }
}

fn check_base(base: &Base) -> Result<(), Error> {
    let (tree, manifest) = (base.tree(), base.manifest()?);
    let mut types = BTreeMap::new();
    for entry in manifest.files.values() {
        check_file(&tree, &manifest, entry, &mut types).map_err(|error| match error {
            Error::Corrupt { path, offset, what } => {
                Error::Corrupt { path: format!("{}/{path}", base.dir()), offset, what }
            }
            other => other,
        })?;
    }
    Ok(())
}

/// Checks a file of history, which follows what is covered up to a frame.
fn check_history(
    disk: &dyn Disk,
    table: TableId,
    dir: &str,
    file: &HistoryFile,
    covered: FrameNumber,
) -> Result<(), Error> {
    let corrupt = |what: &str| {
        let path = format!("{dir}/{}", file.name());
        Error::Corrupt { path, offset: 0, what: what.to_owned() }
    };
    // The oldest base may be newer than the beginning of a file.
    if file.first > covered.next() || file.last < file.first {
        return Err(corrupt("it does not follow what is before it"));
    }
    let mut reader = HistoryReader::open(disk, dir, file, table)?;
    let mut last_us = 0;
    while let Some(events) = reader.next_chunk()? {
        for (committed_at_us, event) in events {
            if committed_at_us < last_us || event.table != table {
                return Err(corrupt("an event is of another table, or before the one that it follows"));
            }
            last_us = committed_at_us;
        }
    }
    Ok(())
}
