//! Item collections: the items of a table with local indexes that share a partition key, and how large they are.

use std::collections::{BTreeMap, BTreeSet};

use item::{IndexKind, Item, Key, Table};
use serde::Serialize;

use crate::{App, Error, values::ItemOut};

/// DynamoDB's unit, or somewhat less: a bound in it holds in units of 2^30 bytes too.
const GB: u64 = 1_000_000_000;

/// One item collection that a write belongs to.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ItemCollectionMetrics {
    item_collection_key: ItemOut,
    /// At least and at most.
    #[serde(rename = "SizeEstimateRangeGB")]
    size_range_gb: [f64; 2],
}

/// Item collections by the name that their table was called by, each once.
pub(crate) type ByTable = BTreeMap<String, Vec<ItemCollectionMetrics>>;

impl ItemCollectionMetrics {
    /// The collection of `key`; none if the table has no local index.
    pub(crate) fn of(app: &App, table: &Table, key: &Key) -> Result<Option<ItemCollectionMetrics>, Error> {
        if table.indexes.iter().all(|index| index.kind != IndexKind::Local) {
            return Ok(None);
        }
        let mut attributes = key.to_item(table).map_err(|error| Error::Internal(error.to_string()))?;
        let name = &table.partition_key.name;
        let Item(collection_key) = &mut attributes;
        collection_key.retain(|attribute, _| attribute == name);
        let bytes_max = app.store.collection_bytes_max(table, key);
        Ok(Some(ItemCollectionMetrics { item_collection_key: ItemOut(attributes), size_range_gb: range_gb(bytes_max) }))
    }

    /// The collections of several keys, by table, if there are any.
    pub(crate) fn by_table<'a>(
        app: &App,
        keys: impl Iterator<Item = (&'a str, &'a Table, &'a Key)>,
    ) -> Result<Option<ByTable>, Error> {
        let mut tables = ByTable::new();
        let mut seen = BTreeSet::new();
        for (given_name, table, key) in keys {
            if seen.insert((given_name, &key.partition))
                && let Some(metrics) = ItemCollectionMetrics::of(app, table, key)?
            {
                tables.entry(given_name.to_owned()).or_default().push(metrics);
            }
        }
        Ok((!tables.is_empty()).then_some(tables))
    }
}

/// Whole GB that `bytes_max` is between. Nothing is known of the least but that it is not negative.
fn range_gb(bytes_max: u64) -> [f64; 2] {
    [0.0, bytes_max.div_ceil(GB).max(1) as f64]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_of_whole_gigabytes_and_never_empty() {
        assert_eq!(range_gb(0), [0.0, 1.0]);
        assert_eq!(range_gb(GB), [0.0, 1.0]);
        assert_eq!(range_gb(GB + 1), [0.0, 2.0]);
    }
}
