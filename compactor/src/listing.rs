//! The published list of a table's files: which ones a generation is made of, for readers who want to be sure.
//!
//! ```text
//! cold/tables/<table>/_current.json   {"format": 1, "table": "readings", "generation": 7, "rows": 200, "bytes": 31415,
//!                                      "files": [{"path": "generations/1000-7/00000-….parquet", "rows": 200, "bytes": 31415}]}
//! cold/tables/<table>/_current.csv    path,rows,bytes
//! ```
//! Paths are relative to `cold`, and lead past the link: what was read of a list stays true for as long as the generation
//! stays. The lists lie in the generation's directory, so the swap of the link publishes files and lists at once. Their names
//! begin as those that programs pass over when they read all files of a directory (pyarrow, Spark).

use std::collections::BTreeMap;

use item::TableId;
use serde::Serialize;
use store::{
    Error, Store,
    env::{self, Disk},
    manifest::{FileEntry, Manifest, Place, generation_dir},
};

/// The list as JSON.
const JSON: &str = "_current.json";
/// The same, for programs that read tables rather than trees.
const CSV: &str = "_current.csv";
const FORMAT: u32 = 1;
const COLD_DIR: &str = "cold/";

#[derive(Serialize)]
struct Listing<'a> {
    format: u32,
    table: &'a str,
    generation: u64,
    rows: u64,
    bytes: u64,
    files: Vec<ListedFile>,
}

#[derive(Serialize)]
struct ListedFile {
    /// Relative to `cold`.
    path: String,
    rows: u64,
    bytes: u64,
}

/// The lists of a generation of these files, by name. Nobody reads the files of system tables and of indexes by their path, so
/// those have none.
pub(crate) fn lists<'a>(
    manifest: &Manifest,
    table: TableId,
    generation: u64,
    files: impl Iterator<Item = &'a FileEntry>,
) -> Vec<(&'static str, String)> {
    let Some(name) = manifest.catalog.user_tables().find(|it| it.id == table).map(|it| it.name.clone()) else {
        return Vec::new();
    };
    let listed = |entry: &FileEntry| {
        let path = entry.path();
        let path = path.strip_prefix(COLD_DIR).unwrap_or(&path).to_owned();
        ListedFile { path, rows: entry.rows, bytes: entry.bytes }
    };
    let mut files: Vec<ListedFile> = files.map(listed).collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let mut csv = "path,rows,bytes\n".to_owned();
    files.iter().for_each(|file| csv.push_str(&format!("{},{},{}\n", file.path, file.rows, file.bytes)));
    let (rows, bytes) = (files.iter().map(|file| file.rows).sum(), files.iter().map(|file| file.bytes).sum());
    let listing = Listing { format: FORMAT, table: &name, generation, rows, bytes, files };
    let json = serde_json::to_string_pretty(&listing).expect("text and numbers serialize");
    vec![(JSON, json + "\n"), (CSV, csv)]
}

/// Writes and syncs the lists of a generation that is not published. Its directory is left to sync.
pub(crate) fn write(disk: &dyn Disk, dir: &str, lists: &[(&'static str, String)]) -> Result<(), Error> {
    for (name, text) in lists {
        let path = format!("{dir}/{name}");
        let file = disk.create(&path).map_err(Error::io("create", path.as_str()))?;
        file.write_at(0, text.as_bytes()).map_err(Error::io("write", path.as_str()))?;
        file.sync().map_err(Error::io("sync", path))?;
    }
    Ok(())
}

/// The lists that the published generations have, or should have: by path, with their text.
pub(crate) fn wanted(manifest: &Manifest) -> BTreeMap<String, String> {
    let of_table = |table: &std::sync::Arc<item::Table>| {
        let generation = manifest.cold_tables.get(&table.id).map_or(0, |cold| cold.generation);
        let place = Place::Generation(generation);
        let files = manifest.files.values().filter(|entry| entry.table == table.id && entry.place == place);
        let lists = if generation > 0 { lists(manifest, table.id, generation, files) } else { Vec::new() };
        let dir = generation_dir(table.id, generation);
        lists.into_iter().map(move |(name, text)| (format!("{dir}/{name}"), text)).collect::<Vec<_>>()
    };
    manifest.catalog.user_tables().flat_map(of_table).collect()
}

/// Writes lists that are missing, as those of generations from before there were lists.
pub(crate) fn restore(store: &Store) -> Result<(), Error> {
    let disk = store.disk().as_ref();
    for (path, text) in wanted(&store.manifest()) {
        let found = env::read_file(disk, &path).map_err(Error::io("read", path.as_str()))?;
        if found.is_none_or(|found| found != text.as_bytes())
            && let Some((dir, name)) = path.rsplit_once('/')
        {
            env::replace_file(disk, dir, name, text.as_bytes()).map_err(Error::io("write", path.as_str()))?;
        }
    }
    Ok(())
}

/// Lists that do not say what the manifest says. A missing one is no damage: the next open writes it.
pub(crate) fn disagreements(disk: &dyn Disk, manifest: &Manifest) -> Result<Vec<Error>, Error> {
    let mut found = Vec::new();
    for (path, text) in wanted(manifest) {
        let bytes = env::read_file(disk, &path).map_err(Error::io("read", path.as_str()))?;
        if bytes.is_some_and(|bytes| bytes != text.as_bytes()) {
            found.push(Error::Corrupt { path, offset: 0, what: "the list is not of the manifest's files".to_owned() });
        }
    }
    Ok(found)
}
