//! Manifests on the disk.
//!
//! To publish, in this order: write `manifest/next`, sync it, link it to its number (which fails if that number exists),
//! sync the directory, remove `manifest/next` and the manifests before the last. So a numbered file is always whole, and
//! once `publish` returns it is the newest after any crash.

use super::{Manifest, form};
use crate::{Error, env::Disk};

/// Where manifests lie.
const MANIFEST_DIR: &str = "manifest";
/// A manifest that is being written. Never read.
const UNFINISHED: &str = "manifest/next";
/// A manifest far larger than this was not written by us.
const BYTES_MAX: u64 = 1 << 30;

impl Manifest {
    /// The newest manifest on the disk; none in a directory without any.
    pub fn load(disk: &dyn Disk) -> Result<Option<Manifest>, Error> {
        let numbers = numbers(disk)?;
        let Some(number) = numbers.last() else { return Ok(None) };
        let path = path(*number);
        let manifest = form::from_text(&read(disk, &path)?, &path)?;
        if manifest.number != *number {
            let what = format!("it is numbered {} inside", manifest.number);
            return Err(Error::Corrupt { path, offset: 0, what });
        }
        Ok(Some(manifest))
    }

    /// Makes this the newest manifest, durably, then removes older ones except the one before.
    /// [`Error::Unpublished`] if it may or may not be the newest now, or if a manifest of this number exists.
    pub fn publish(&self, disk: &dyn Disk) -> Result<(), Error> {
        disk.create_dir(MANIFEST_DIR).map_err(Error::io("create directory", MANIFEST_DIR))?;
        if disk.list(MANIFEST_DIR).map_err(Error::io("list", MANIFEST_DIR))?.iter().any(|name| name == "next") {
            disk.remove(UNFINISHED).map_err(Error::io("remove", UNFINISHED))?;
        }
        let file = disk.create(UNFINISHED).map_err(Error::io("create", UNFINISHED))?;
        file.write_at(0, &form::to_text(self)).map_err(Error::io("write", UNFINISHED))?;
        file.sync().map_err(Error::io("sync", UNFINISHED))?;
        // From here on a failure may leave the name behind, durable or not, and no sync is tried twice.
        let unpublished = |error: Error| Error::Unpublished { number: self.number, cause: error.to_string() };
        let path = path(self.number);
        disk.hard_link(UNFINISHED, &path).map_err(Error::io("link", path)).map_err(unpublished)?;
        disk.sync_dir(MANIFEST_DIR).map_err(Error::io("sync directory", MANIFEST_DIR)).map_err(unpublished)?;
        self.remove_older(disk);
        Ok(())
    }

    /// Makes the name of the newest manifest durable, before anything is done that rests on it.
    pub fn settle(disk: &dyn Disk) -> Result<(), Error> {
        disk.sync_dir(MANIFEST_DIR).map_err(Error::io("sync directory", MANIFEST_DIR))
    }

    /// The new manifest is in force: leftovers cost space only, and the next publish removes them.
    fn remove_older(&self, disk: &dyn Disk) {
        let older = numbers(disk).unwrap_or_default().into_iter().filter(|number| number + 1 < self.number);
        for path in older.map(path).chain([UNFINISHED.to_owned()]) {
            if let Err(error) = disk.remove(&path) {
                tracing::warn!(path, %error, "an old manifest could not be removed");
            }
        }
    }
}

fn path(number: u64) -> String {
    format!("{MANIFEST_DIR}/{number:020}.json")
}

fn numbers(disk: &dyn Disk) -> Result<Vec<u64>, Error> {
    let names = disk.list(MANIFEST_DIR).map_err(Error::io("list", MANIFEST_DIR))?;
    let number = |name: &String| name.strip_suffix(".json").filter(|digits| digits.len() == 20)?.parse().ok();
    let mut numbers: Vec<u64> = names.iter().filter_map(number).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

fn read(disk: &dyn Disk, path: &str) -> Result<Vec<u8>, Error> {
    let file = disk.open(path).map_err(Error::io("open", path))?;
    let bytes = file.len().map_err(Error::io("measure", path))?;
    if bytes > BYTES_MAX {
        return Err(Error::Corrupt {
            path: path.to_owned(),
            offset: BYTES_MAX,
            what: "too long for a manifest".into(),
        });
    }
    let mut text = vec![0; bytes as usize];
    file.read_at(0, &mut text).map_err(Error::io("read", path))?;
    Ok(text)
}
