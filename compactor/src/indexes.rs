//! Do indexes agree with their tables? Both are flushed together, so files alone can tell.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    ops::AddAssign,
};

use item::{Image, IndexStatus, Key, ShardId, TableId};
use store::{Error, env::Disk, files::Row, manifest::Manifest, view::View};

/// Rows read at a time.
const BATCH_ROWS: usize = 4096;

/// Entries, counted and summed up: equal for equal entries in any order, and by all odds only for these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    entries: u64,
    hashes: u64,
}

impl AddAssign<(&Key, &Image)> for Sum {
    fn add_assign(&mut self, entry: (&Key, &Image)) {
        let (key, image) = entry;
        let mut hasher = DefaultHasher::new();
        (key, image.bytes()).hash(&mut hasher);
        self.entries += 1;
        self.hashes = self.hashes.wrapping_add(hasher.finish());
    }
}

/// What is wrong with the indexes that may be read.
pub(crate) fn disagreements(disk: &dyn Disk, manifest: &Manifest) -> Result<Vec<Error>, Error> {
    let view = View::of_files(disk, manifest)?;
    let mut problems = Vec::new();
    for (table, index) in manifest.catalog.indexes() {
        if index.status != IndexStatus::Active {
            continue;
        }
        let path = format!("index {} of table {}", index.name, table.name);
        let malformed = |error: item::CodecError| Error::Corrupt {
            path: path.clone(),
            offset: error.offset as u64,
            what: error.what.to_owned(),
        };
        let (mut expected, mut found) = (Sum::default(), Sum::default());
        for shard in (0..view.shards()).map(ShardId) {
            for_each(&view, table.id, shard, |key, image| {
                if let Some((key, entry)) = index.entry(key, &image.decode().map_err(malformed)?, table) {
                    expected += (&key, &Image::encode(&entry));
                }
                Ok(())
            })?;
            for_each(&view, index.id, shard, |key, image| {
                found += (key, image);
                Ok(())
            })?;
        }
        if found != expected {
            let (found, expected) = (found.entries, expected.entries);
            let what = format!("its {found} entries are not the {expected} that the table's items have");
            problems.push(Error::Corrupt { path: path.clone(), offset: 0, what });
        }
    }
    Ok(problems)
}

/// Visits the live rows of a shard.
fn for_each(
    view: &View,
    id: TableId,
    shard: ShardId,
    mut visit: impl FnMut(&Key, &Image) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut after: Option<Key> = None;
    loop {
        let rows = view.rows(id, shard, after.as_ref(), BATCH_ROWS)?;
        for Row { key, image, .. } in &rows {
            image.as_ref().map_or(Ok(()), |image| visit(key, image))?;
        }
        match rows.last() {
            Some(last) if rows.len() == BATCH_ROWS => after = Some(last.key.clone()),
            _ => return Ok(()),
        }
    }
}
