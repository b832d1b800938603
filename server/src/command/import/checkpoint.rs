//! How far an import has safely got, so that an interrupted one can go on.
//!
//! One small file an import, under `$XDG_STATE_HOME/thalweg/imports` (default `~/.local/state`), named after a hash of
//! what is imported where. It is written after an acknowledgement, by rename, and removed when the import is done.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

/// The checkpoint of one import.
#[derive(Clone, Debug)]
pub(crate) struct Checkpoint {
    path: PathBuf,
    file: FileIdentity,
}

/// What tells that a file is still the one whose import was interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct FileIdentity {
    bytes: u64,
    modified_us: u64,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    file: FileIdentity,
    /// Every row that begins before this line is acknowledged.
    line: u64,
}

impl Checkpoint {
    /// The checkpoint of importing `file` in the way that `description` names.
    pub(crate) fn new(file: &Path, description: &impl Hash) -> anyhow::Result<Checkpoint> {
        let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let state = state.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/state")));
        let Some(state) = state else { bail!("neither XDG_STATE_HOME nor HOME is set, so progress cannot be kept") };
        Checkpoint::under(&state.join("thalweg/imports"), file, description)
    }

    fn under(directory: &Path, file: &Path, description: &impl Hash) -> anyhow::Result<Checkpoint> {
        let metadata = fs::metadata(file)?;
        let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let modified_us = modified.map_or(0, |since| since.as_micros() as u64);
        let mut hasher = DefaultHasher::new();
        file.canonicalize()?.hash(&mut hasher);
        description.hash(&mut hasher);
        fs::create_dir_all(directory).with_context(|| format!("directory {}", directory.display()))?;
        Ok(Checkpoint {
            path: directory.join(format!("{:016x}.json", hasher.finish())),
            file: FileIdentity { bytes: metadata.len(), modified_us },
        })
    }

    /// The line to go on at; none if nothing was interrupted, or the file has changed since.
    pub(crate) fn load(&self) -> Option<u64> {
        let saved: Saved = serde_json::from_slice(&fs::read(&self.path).ok()?).ok()?;
        (saved.file == self.file).then_some(saved.line)
    }

    /// Every row that begins before `line` is acknowledged.
    pub(crate) fn save(&self, line: u64) -> anyhow::Result<()> {
        let saved = serde_json::to_vec(&Saved { file: self.file, line }).context("checkpoint")?;
        let partial = self.path.with_extension("partial");
        fs::write(&partial, saved).and_then(|()| fs::rename(&partial, &self.path)).context("checkpoint")
    }

    /// The import is done.
    pub(crate) fn remove(&self) {
        // A file that is not there, or stays, costs nothing: the next import would only skip what is stored anyway.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_of_one_file_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a.csv");
        fs::write(&file, "t\n1\n").unwrap();
        let state = directory.path().join("state");
        let checkpoint = Checkpoint::under(&state, &file, &"readings").unwrap();
        assert_eq!(checkpoint.load(), None);
        checkpoint.save(2).unwrap();
        assert_eq!(Checkpoint::under(&state, &file, &"readings").unwrap().load(), Some(2));
        assert_eq!(Checkpoint::under(&state, &file, &"others").unwrap().load(), None);
        fs::write(&file, "t\n1\n2\n").unwrap();
        assert_eq!(Checkpoint::under(&state, &file, &"readings").unwrap().load(), None);
        checkpoint.remove();
        assert_eq!(checkpoint.load(), None);
    }
}
