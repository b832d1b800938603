//! The links that readers follow: `cold/tables/<name>` to the table's generation.
//!
//! The manifest says what is; links follow it. A link is made under another name and renamed over the old one, so a
//! reader finds either the old generation or the new one, never none.

use std::collections::BTreeMap;

use store::{
    Catalog, Error, Store,
    env::Disk,
    manifest::{Manifest, TABLES_DIR},
};

/// Where a link is made before it is renamed into place.
const UNFINISHED: &str = "cold/link";
const COLD_DIR: &str = "cold";

/// Makes the links what manifest and catalogue say. Reads all, changes only what is different.
pub(crate) fn reconcile(store: &Store) -> Result<(), Error> {
    let disk = store.disk().as_ref();
    let wanted = wanted(&store.manifest(), &store.catalog());
    let found = found(disk)?;
    if wanted == found {
        return Ok(());
    }
    for name in found.keys().filter(|name| !wanted.contains_key(*name)) {
        let path = format!("{TABLES_DIR}/{name}");
        disk.remove(&path).map_err(Error::io("remove", path))?;
    }
    for (name, target) in wanted.iter().filter(|(name, target)| found.get(*name) != Some(target)) {
        if disk.read_link(UNFINISHED).map_err(Error::io("read link", UNFINISHED))?.is_some() {
            disk.remove(UNFINISHED).map_err(Error::io("remove", UNFINISHED))?;
        }
        disk.symlink(target, UNFINISHED).map_err(Error::io("link", UNFINISHED))?;
        let path = format!("{TABLES_DIR}/{name}");
        disk.rename(UNFINISHED, &path).map_err(Error::io("rename", path))?;
    }
    disk.sync_dir(TABLES_DIR).map_err(Error::io("sync directory", TABLES_DIR))?;
    disk.sync_dir(COLD_DIR).map_err(Error::io("sync directory", COLD_DIR))
}

/// Names of links and their targets: every user's table that exists and has a generation.
pub(crate) fn wanted(manifest: &Manifest, catalog: &Catalog) -> BTreeMap<String, String> {
    let link = |table: &std::sync::Arc<item::Table>| {
        let generation = manifest.cold_tables.get(&table.id)?.generation;
        (generation > 0).then(|| (table.name.clone(), target(table.id, generation)))
    };
    catalog.user_tables().filter_map(link).collect()
}

/// The links there are.
pub(crate) fn found(disk: &dyn Disk) -> Result<BTreeMap<String, String>, Error> {
    let mut found = BTreeMap::new();
    for name in disk.list(TABLES_DIR).map_err(Error::io("list", TABLES_DIR))? {
        let path = format!("{TABLES_DIR}/{name}");
        // What is not a link is not ours.
        if let Some(target) = disk.read_link(&path).map_err(Error::io("read link", path))? {
            found.insert(name, target);
        }
    }
    Ok(found)
}

/// Relative, so that the data directory can be moved.
pub(crate) fn target(table: item::TableId, generation: u64) -> String {
    format!("../generations/{}-{generation}", table.0)
}
