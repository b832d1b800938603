//! What is known of a base: `backup.json`, written last.
//!
//! ```text
//! {"format": 1, "crc32c": "9ae0daaf", "backup":
//! { ... }}
//! ```
//! `pending.json` is the same of what is still to become a base. The checksum covers the bytes of the body exactly as they stand in the file. A directory without this file is no base, and
//! goes when it is opened next.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use store::{
    Error,
    env::{Disk, read_file, remove_if_present, replace_file},
};

/// The newest format that this version reads, and the one it writes.
const FORMAT: u32 = 1;
/// The note of a base.
pub(crate) const FILE: &str = "backup.json";
/// The note of what is still to become one.
pub(crate) const PENDING: &str = "pending.json";

/// Whose a base is. Names are persisted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A backup that a user asked for.
    User,
    /// A backup of a table that was deleted while it had continuous backups.
    System,
    /// Part of a table's past.
    Past,
    /// For a restore or an export under way.
    Scratch,
}

/// What is known of a base beside its manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The name that it was given; may be that of others too.
    pub name: String,
    /// Whose it is.
    pub kind: Kind,
    /// The table's number.
    pub table: u32,
    /// Every event up to this frame is in it, and none after.
    pub frame: u64,
    /// It is the table as of this time, microseconds since 1970: what was committed until then and is not in it comes after
    /// `frame`.
    pub as_of_us: u64,
    /// When it was made, microseconds since 1970.
    pub created_at_us: u64,
    /// When it goes, microseconds since 1970; none if it stays until it is deleted.
    pub expires_at_us: Option<u64>,
    /// Items, approximately: superseded and removed ones count until they are merged.
    pub items: u64,
    /// Bytes of its files.
    pub bytes: u64,
    /// Of what is still to become a base: events that were committed after this time, microseconds since 1970, are left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_us: Option<u64>,
}

#[derive(Deserialize)]
struct Format {
    format: u32,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    crc32c: &'a str,
    #[serde(borrow)]
    backup: &'a RawValue,
}

impl Note {
    /// Makes it the note `file` in `disk`, durably.
    pub(crate) fn write(&self, disk: &dyn Disk, file: &str) -> Result<(), Error> {
        let body = serde_json::to_string_pretty(self).expect("strings and numbers serialize");
        let checksum = crc_fast::crc32_iscsi(body.as_bytes());
        let text = format!("{{\"format\": {FORMAT}, \"crc32c\": \"{checksum:08x}\", \"backup\":\n{body}}}\n");
        replace_file(disk, "", file, text.as_bytes()).map_err(Error::io("write", file))
    }

    /// The note `file` in `disk`, which lies at `dir`; none if there is none.
    pub(crate) fn read(disk: &dyn Disk, dir: &str, file: &str) -> Result<Option<Note>, Error> {
        let path = format!("{dir}/{file}");
        let Some(text) = read_file(disk, file).map_err(Error::io("read", path.as_str()))? else { return Ok(None) };
        let corrupt = |what: String| Error::Corrupt { path: path.clone(), offset: 0, what };
        let Format { format } = serde_json::from_slice(&text).map_err(|error| corrupt(error.to_string()))?;
        if format > FORMAT {
            return Err(Error::NewerFormat { path, found: format, supported: FORMAT });
        }
        let envelope: Envelope<'_> = serde_json::from_slice(&text).map_err(|error| corrupt(error.to_string()))?;
        let body = envelope.backup.get();
        let actual = format!("{:08x}", crc_fast::crc32_iscsi(body.as_bytes()));
        if envelope.crc32c != actual {
            return Err(corrupt(format!("checksum is {actual}, recorded as {}", envelope.crc32c)));
        }
        serde_json::from_str(body).map(Some).map_err(|error| corrupt(error.to_string()))
    }

    /// Removes the notes in `disk`, durably: it is a base no more.
    pub(crate) fn remove(disk: &dyn Disk) -> Result<(), Error> {
        for name in [FILE, "backup.json.new", PENDING, "pending.json.new"] {
            remove_if_present(disk, name).map_err(Error::io("remove", name))?;
        }
        disk.sync_dir("").map_err(Error::io("sync directory", ""))
    }
}
