//! Removing what nothing names.

use std::collections::{BTreeSet, VecDeque};

use item::TableId;
use store::{
    Error, Store,
    env::Disk,
    manifest::{Edit, GENERATIONS_DIR, RUNS_DIR, Retired, TABLES_DIR, generation_dir},
};

use crate::{
    job::{Report, Site, Step},
    links, listing,
};

/// One retired generation under way out.
pub(crate) struct Collect {
    site: Site,
    retired: Retired,
    files: Option<VecDeque<String>>,
}

impl Collect {
    pub(crate) fn new(site: Site, retired: Retired) -> Collect {
        Collect { site, retired, files: None }
    }

    /// Files first, then the directory, then the manifest forgets it.
    pub(crate) fn step(&mut self) -> Result<Step, Error> {
        let disk = self.site.store.disk().as_ref();
        let dir = generation_dir(self.retired.table, self.retired.generation);
        let Some(files) = &mut self.files else {
            // No link may lead here once files go.
            self.site.link()?;
            self.files = Some(disk.list(&dir).map_err(Error::io("list", dir.as_str()))?.into());
            return Ok(Step::More);
        };
        if let Some(name) = files.pop_front() {
            let path = format!("{dir}/{name}");
            disk.remove(&path).map_err(Error::io("remove", path))?;
            return Ok(Step::More);
        }
        remove_dir(disk, &dir)?;
        let edit = Edit { now_us: self.site.now_us(), collected: vec![self.retired.clone()], ..Edit::default() };
        self.site.commit(&edit, Vec::new())?;
        metrics::counter!("thalweg_compactor_collected_generations_total").increment(1);
        Ok(Step::Done(Report::default()))
    }
}

/// After an open: makes the directories, removes files that a crash left unnamed, and brings the links up to date.
pub(crate) fn recover(store: &Store) -> Result<(), Error> {
    let disk = store.disk().as_ref();
    for dir in [RUNS_DIR, GENERATIONS_DIR, TABLES_DIR] {
        disk.create_dir(dir).map_err(Error::io("create directory", dir))?;
    }
    for dir in ["cold", ""] {
        disk.sync_dir(dir).map_err(Error::io("sync directory", dir))?;
    }
    links::reconcile(store)?;
    let manifest = store.manifest();
    let lists = listing::wanted(&manifest).into_keys();
    let named: BTreeSet<String> = manifest.files.values().map(|entry| entry.path()).chain(lists).collect();
    remove_unnamed(disk, RUNS_DIR, &named)?;
    let retired = manifest.retired.iter().map(|retired| (retired.table, retired.generation));
    let retired: BTreeSet<(TableId, u64)> = retired.collect();
    for name in disk.list(GENERATIONS_DIR).map_err(Error::io("list", GENERATIONS_DIR))? {
        let Some((table, generation)) = parse_dir(&name) else { continue };
        if retired.contains(&(table, generation)) {
            continue;
        }
        let dir = generation_dir(table, generation);
        remove_unnamed(disk, &dir, &named)?;
        if manifest.cold_tables.get(&table).is_none_or(|cold| cold.generation != generation) {
            remove_dir(disk, &dir)?;
        }
    }
    listing::restore(store)
}

fn remove_unnamed(disk: &dyn Disk, dir: &str, named: &BTreeSet<String>) -> Result<(), Error> {
    for name in disk.list(dir).map_err(Error::io("list", dir))? {
        let path = format!("{dir}/{name}");
        if !named.contains(&path) {
            tracing::info!(path, "removing an unfinished file");
            disk.remove(&path).map_err(Error::io("remove", path))?;
        }
    }
    Ok(())
}

/// Gone already is as good: a crash may have come between the removal and the manifest.
fn remove_dir(disk: &dyn Disk, dir: &str) -> Result<(), Error> {
    match disk.remove_dir(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove directory", dir)(error)),
        _ => disk.sync_dir(GENERATIONS_DIR).map_err(Error::io("sync directory", GENERATIONS_DIR)),
    }
}

/// The table and generation of a directory name `<table id>-<generation>`.
pub(crate) fn parse_dir(name: &str) -> Option<(TableId, u64)> {
    let (table, generation) = name.split_once('-')?;
    Some((TableId(table.parse().ok()?), generation.parse().ok()?))
}
