//! Checking a data directory that nobody serves: nothing is written.

mod backups;

use std::collections::{BTreeMap, BTreeSet};

use futures::FutureExt;
use item::{SequenceNumber, TableId};
use store::{
    Error,
    cache::Cache,
    env::Disk,
    files::{ColdFile, ColumnTypes, ItemRow},
    log::{self, LogReport},
    manifest::{FileEntry, GENERATIONS_DIR, Manifest, Place, RUNS_DIR, TABLES_DIR, generation_dir},
    view::shard_of_key,
};

use crate::{collect::parse_dir, indexes, links, listing};

/// Rows read of a file at a time.
const BATCH_ROWS: u64 = 4096;
/// Bytes read of a file at a time.
const READ_BYTES: u64 = 4 << 20;

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Verified {
    /// The manifest's number; none in a directory without any.
    pub manifest: Option<u64>,
    /// The log.
    pub log: LogReport,
    /// Cold files read.
    pub files: u64,
    /// Rows in them.
    pub rows: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Bases read: backups, and those of continuous backups.
    pub bases: u64,
    /// Files of history read.
    pub history_files: u64,
    /// What is wrong, each with file and place. None: the directory is sound.
    pub problems: Vec<Error>,
    /// What an open will tidy up: leftovers of a crash, links not yet swapped. Not damage.
    pub notes: Vec<String>,
}

/// Checks log, manifest, every cold file, and the links. Fails only if the disk cannot be read; damage is in
/// [`Verified::problems`].
pub fn verify(disk: &dyn Disk) -> Result<Verified, Error> {
    let mut verified = Verified::default();
    let manifest = match Manifest::load(disk) {
        Ok(Some(manifest)) => manifest,
        Ok(None) => Manifest::default(),
        Err(error) => {
            // Without a manifest nothing can be told of the files.
            verified.note::<()>(Err(error))?;
            return Ok(verified);
        }
    };
    verified.manifest = (manifest.number > 0).then_some(manifest.number);
    if let Some(report) = verified.note(log::verify(disk, manifest.flushed, &manifest.flushed_sequences))? {
        verified.log = report;
    }
    let mut types: BTreeMap<(TableId, u64), ColumnTypes> = BTreeMap::new();
    for entry in manifest.files.values() {
        let checked = check_file(disk, &manifest, entry, &mut types);
        if verified.note(checked)?.is_some() {
            verified.files += 1;
            verified.rows += entry.rows;
            verified.bytes += entry.bytes;
        }
    }
    if verified.problems.is_empty() {
        for problem in indexes::disagreements(disk, &manifest)? {
            verified.problems.push(problem);
        }
    }
    verified.check_overlaps(&manifest)?;
    verified.check_links(disk, &manifest)?;
    verified.problems.extend(listing::disagreements(disk, &manifest)?);
    verified.find_leftovers(disk, &manifest)?;
    Ok(verified)
}

impl Verified {
    /// Keeps damage as a problem; other failures end the check.
    fn note<T>(&mut self, checked: Result<T, Error>) -> Result<Option<T>, Error> {
        match checked {
            Ok(checked) => Ok(Some(checked)),
            Err(error @ Error::Corrupt { .. }) => {
                self.problems.push(error);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Files of one generation and shard share no key.
    fn check_overlaps(&mut self, manifest: &Manifest) -> Result<(), Error> {
        for pair in manifest.files_in_order().windows(2) {
            let [before, after] = pair else { continue };
            let is_one_place =
                before.table == after.table && before.shard == after.shard && before.place == after.place;
            if is_one_place && after.place != Place::Run && after.min_key <= before.max_key {
                self.note::<()>(Err(corrupt(after, format!("its keys overlap those of {}", before.path()))))?;
            }
        }
        Ok(())
    }

    /// Every link leads to its table's generation, or will when the directory is opened next.
    fn check_links(&mut self, disk: &dyn Disk, manifest: &Manifest) -> Result<(), Error> {
        let wanted = links::wanted(manifest, &manifest.catalog);
        let found = links::found(disk)?;
        for (name, target) in &found {
            if wanted.get(name) == Some(target) {
                continue;
            }
            let path = format!("{TABLES_DIR}/{name}");
            let is_retired = manifest.retired.iter().any(|it| links::target(it.table, it.generation) == *target);
            if is_retired {
                self.notes.push(format!("{path} leads to a retired generation, {target}"));
            } else {
                let what = format!("the link leads to {target}, which is no generation of a table of that name");
                self.problems.push(Error::Corrupt { path, offset: 0, what });
            }
        }
        for name in wanted.keys().filter(|name| !found.contains_key(*name)) {
            self.notes.push(format!("{TABLES_DIR}/{name} is not linked"));
        }
        Ok(())
    }

    fn find_leftovers(&mut self, disk: &dyn Disk, manifest: &Manifest) -> Result<(), Error> {
        let lists = listing::wanted(manifest).into_keys();
        let named: BTreeSet<String> = manifest.files.values().map(FileEntry::path).chain(lists).collect();
        let list = |dir: &str| disk.list(dir).map_err(Error::io("list", dir));
        let mut found: Vec<String> = list(RUNS_DIR)?.into_iter().map(|name| format!("{RUNS_DIR}/{name}")).collect();
        for name in list(GENERATIONS_DIR)? {
            let Some((table, generation)) = parse_dir(&name) else { continue };
            let is_retired = manifest.retired.iter().any(|it| (it.table, it.generation) == (table, generation));
            let dir = generation_dir(table, generation);
            if !is_retired {
                found.extend(list(&dir)?.into_iter().map(|name| format!("{dir}/{name}")));
            }
        }
        let unnamed = found.into_iter().filter(|path| !named.contains(path));
        let is_published = |path: &String| {
            let current = manifest.cold_tables.iter().map(|(table, cold)| generation_dir(*table, cold.generation));
            current.into_iter().any(|dir| path.starts_with(&format!("{dir}/")))
        };
        for path in unnamed {
            if is_published(&path) {
                let what = "a reader of the table finds this file, but the manifest does not name it".to_owned();
                self.problems.push(Error::Corrupt { path, offset: 0, what });
            } else {
                self.notes.push(format!("{path} is left over"));
            }
        }
        Ok(())
    }
}

/// Checks bytes, then rows, of one file.
fn check_file(
    disk: &dyn Disk,
    manifest: &Manifest,
    entry: &FileEntry,
    types: &mut BTreeMap<(TableId, u64), ColumnTypes>,
) -> Result<(), Error> {
    check_bytes(disk, entry)?;
    let file = ColdFile::open(disk, entry)?;
    if let Place::Generation(generation) = entry.place {
        let first = types.entry((entry.table, generation)).or_insert_with(|| file.types().clone());
        if first != file.types() {
            return Err(corrupt(entry, "its columns are not those of its generation's other files".to_owned()));
        }
        if manifest.cold_tables.get(&entry.table).is_none_or(|cold| cold.generation != generation) {
            return Err(corrupt(entry, "its generation is not the published one".to_owned()));
        }
    }
    let flushed = manifest.flushed_sequences.get(usize::from(entry.shard.0)).copied().unwrap_or_default();
    let shards = u16::try_from(manifest.flushed_sequences.len()).unwrap_or(u16::MAX);
    let mut before: Option<ItemRow> = None;
    let (mut least, mut greatest) = (SequenceNumber(u64::MAX), SequenceNumber(0));
    for start in (0..file.rows).step_by(BATCH_ROWS as usize) {
        let rows = file.read_rows(start..start + BATCH_ROWS, &Cache::Off).now_or_never();
        for (row, at) in rows.expect("without a cache, reads complete at once")?.into_iter().zip(start..) {
            if before.as_ref().is_some_and(|before| before.key >= row.key) {
                return Err(corrupt(entry, format!("row {at} is not after the one before it")));
            }
            let item_key = match manifest.catalog.index(entry.table) {
                Some((_, index)) => index.item_key(&row.key).map_err(|error| corrupt(entry, error.to_string()))?,
                None => row.key.clone(),
            };
            if shard_of_key(&item_key, shards) != entry.shard {
                return Err(corrupt(entry, format!("row {at} belongs to another shard")));
            }
            if row.item.is_none() && entry.place != Place::Run {
                return Err(corrupt(entry, format!("row {at} is a removed key, in a generation")));
            }
            if before.is_none() && row.key != entry.min_key {
                return Err(corrupt(entry, "its first key is not the manifest's".to_owned()));
            }
            (least, greatest) = (least.min(row.sequence), greatest.max(row.sequence));
            before = Some(row);
        }
    }
    if before.as_ref().is_some_and(|last| last.key != entry.max_key) {
        return Err(corrupt(entry, "its last key is not the manifest's".to_owned()));
    }
    if before.is_some() && ((least, greatest) != (entry.min_sequence, entry.max_sequence) || greatest > flushed) {
        return Err(corrupt(entry, format!("it holds events {} to {}, not the manifest's", least.0, greatest.0)));
    }
    Ok(())
}

/// Checks length and checksum of the whole file.
fn check_bytes(disk: &dyn Disk, entry: &FileEntry) -> Result<(), Error> {
    let path = entry.path();
    let file = match disk.open(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(corrupt(entry, "it is missing".to_owned()));
        }
        file => file.map_err(Error::io("open", path.as_str()))?,
    };
    let length = file.len().map_err(Error::io("measure", path.as_str()))?;
    if length != entry.bytes {
        return Err(corrupt(entry, format!("it has {length} bytes, the manifest says {}", entry.bytes)));
    }
    let mut checksum = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
    let mut offset = 0;
    while offset < length {
        let mut bytes = vec![0; (length - offset).min(READ_BYTES) as usize];
        file.read_at(offset, &mut bytes).map_err(Error::io("read", path.as_str()))?;
        checksum.update(&bytes);
        offset += bytes.len() as u64;
    }
    let checksum = checksum.finalize();
    if checksum != u64::from(entry.crc32c) {
        return Err(corrupt(entry, format!("its checksum is {checksum:08x}, the manifest says {:08x}", entry.crc32c)));
    }
    Ok(())
}

fn corrupt(entry: &FileEntry, what: String) -> Error {
    Error::Corrupt { path: entry.path(), offset: 0, what }
}
