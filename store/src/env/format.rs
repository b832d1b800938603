//! The file `FORMAT`: which layout a data directory has, and which directory it is.
//!
//! One line of JSON, `{"format":1,"directory":"<32 hexadecimal digits>"}`, written once, durably, before anything else.
//! The directory's id is part of every frame's checksum, so that a segment of another directory is never taken for ours.

use std::{fmt, io};

use serde::Deserialize;

use super::{Disk, read_file, replace_file};
use crate::Error;

/// The layout that this version writes, and the newest that it reads.
pub const FORMAT: u32 = 1;

const PATH: &str = "FORMAT";

/// Directories that only a data directory with a `FORMAT` has.
const CONTENTS: [&str; 3] = ["log", "manifest", "cold"];

/// Which data directory this is: drawn at random when it is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DirectoryId(pub u128);

impl fmt::Display for DirectoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[derive(Deserialize)]
struct Content {
    directory: String,
}

/// What every format's file has.
#[derive(Deserialize)]
struct Version {
    format: u32,
}

/// The id in `FORMAT`; none if the directory is new. A newer format, an unreadable file, or a missing one beside data are
/// errors.
pub fn read_format(disk: &dyn Disk) -> Result<Option<DirectoryId>, Error> {
    let Some(bytes) = read_file(disk, PATH).map_err(Error::io("read", PATH))? else {
        return refuse_contents(disk).map(|()| None);
    };
    let corrupt = |offset: usize, what: String| Error::Corrupt { path: PATH.to_owned(), offset: offset as u64, what };
    let malformed = |error: serde_json::Error| corrupt(error.column().saturating_sub(1), error.to_string());
    let version: Version = serde_json::from_slice(&bytes).map_err(malformed)?;
    if version.format > FORMAT {
        return Err(Error::NewerFormat { path: PATH.to_owned(), found: version.format, supported: FORMAT });
    }
    let content: Content = serde_json::from_slice(&bytes).map_err(malformed)?;
    match u128::from_str_radix(&content.directory, 16) {
        Ok(id) if content.directory.len() == 32 => Ok(Some(DirectoryId(id))),
        _ => Err(corrupt(0, format!("directory id {:?} is not 32 hexadecimal digits", content.directory))),
    }
}

/// Reads `FORMAT`, or writes it with `fresh` as the id if the directory is new.
pub fn open_format(disk: &dyn Disk, fresh: impl FnOnce() -> io::Result<DirectoryId>) -> Result<DirectoryId, Error> {
    if let Some(id) = read_format(disk)? {
        return Ok(id);
    }
    let id = fresh().map_err(Error::io("draw the id of", PATH))?;
    let content = format!("{{\"format\":{FORMAT},\"directory\":\"{id}\"}}\n");
    replace_file(disk, "", PATH, content.as_bytes()).map_err(Error::io("write", PATH))?;
    Ok(id)
}

fn refuse_contents(disk: &dyn Disk) -> Result<(), Error> {
    for dir in CONTENTS {
        if !disk.list(dir).map_err(Error::io("list", dir))?.is_empty() {
            let what = format!("it is missing, but {dir} holds files");
            return Err(Error::Corrupt { path: PATH.to_owned(), offset: 0, what });
        }
    }
    Ok(())
}
