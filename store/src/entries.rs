//! Index entries: what a change of an item does to the indexes of its table.
//!
//! An entry is a row of the shard of its item, with the sequence number of the event that made or removed it, derived in
//! the same step as the item's own. So an index is never behind its table, and replay makes the same entries.

use item::{Image, Key, Old, Table, TableId, table::Projection};

/// The entries that change with the item of `key`, which was `old` and is `new`, in every index of `table`: what they are then,
/// if they are.
pub(crate) fn changed(table: &Table, key: &Key, old: &Old, new: Option<&Image>) -> Vec<(TableId, Key, Option<Image>)> {
    let mut states = Vec::new();
    if table.indexes.is_empty() {
        return states;
    }
    let decode = |image: &Image| image.decode().expect("our own encoding, checked by the frame's checksum");
    let old = match old {
        Old::Image(image) => Some(decode(image)),
        // Planning looks up the old item of a table with indexes.
        Old::Absent | Old::Unknown => None,
    };
    let new = new.map(|image| (decode(image), image));
    for index in &table.indexes {
        let before = old.as_ref().and_then(|item| Some((index.entry_key(key, item)?, item)));
        let after = new.as_ref().and_then(|(item, image)| Some((index.entry_key(key, item)?, item, *image)));
        let is_same_key = match (&before, &after) {
            (Some((before, _)), Some((after, ..))) => before == after,
            _ => false,
        };
        if let Some((entry_key, _)) = before.as_ref().filter(|_| !is_same_key) {
            states.push((index.id, entry_key.clone(), None));
        }
        let Some((entry_key, item, image)) = after else { continue };
        let image = match index.projection {
            Projection::All => image.clone(),
            Projection::KeysOnly | Projection::Include(_) => {
                let entry = index.project(item, table);
                if is_same_key && before.is_some_and(|(_, before)| index.project(before, table) == entry) {
                    continue;
                }
                Image::encode(&entry)
            }
        };
        states.push((index.id, entry_key, Some(image)));
    }
    states
}
