//! Capacity units, as DynamoDB counts and tells them.

use std::collections::BTreeMap;

use item::{Index, IndexKind, Item, Key, Table};
use serde::Serialize;

/// A read unit is one strongly consistent read of this many bytes; an eventually consistent one takes half.
const READ_UNIT_BYTES: usize = 4096;
/// A write unit is one write of this many bytes.
const WRITE_UNIT_BYTES: usize = 1024;

/// What `ReturnConsumedCapacity` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    /// Nothing.
    None,
    /// The sum.
    Total,
    /// The sum, and that of the table and of each index.
    Indexes,
}

impl Detail {
    /// Of a word that has passed validation.
    pub(crate) fn of(word: Option<&str>) -> Detail {
        match word {
            Some("TOTAL") => Detail::Total,
            Some("INDEXES") => Detail::Indexes,
            _ => Detail::None,
        }
    }

    /// The answer's member, if asked for.
    pub(crate) fn consumed(self, table: &str, usage: impl Into<Usage>) -> Option<ConsumedCapacity> {
        let usage = usage.into();
        let mut consumed = ConsumedCapacity {
            table_name: table.to_owned(),
            units: Units::new(usage.total()),
            table: None,
            local_secondary_indexes: BTreeMap::new(),
            global_secondary_indexes: BTreeMap::new(),
        };
        match self {
            Detail::None => return None,
            Detail::Total => {}
            Detail::Indexes => {
                let units = |units: BTreeMap<String, f64>| {
                    units.into_iter().map(|(name, units)| (name, Units::new(units))).collect()
                };
                consumed.table = Some(Units::new(usage.table));
                consumed.local_secondary_indexes = units(usage.local);
                consumed.global_secondary_indexes = units(usage.global);
            }
        }
        Some(consumed)
    }

    /// The member of a transaction's answer, if asked for: what its actions used of each table, in the order of first use.
    pub(crate) fn transacted<'a, U: Into<Usage>>(
        self,
        used: impl Iterator<Item = (&'a str, U)>,
        kind: UnitKind,
    ) -> Option<Vec<ConsumedCapacity>> {
        if self == Detail::None {
            return None;
        }
        let mut tables: Vec<(&str, Usage)> = Vec::new();
        for (name, usage) in used {
            match tables.iter_mut().find(|(known, _)| *known == name) {
                Some((_, sum)) => sum.add(usage.into()),
                None => tables.push((name, usage.into())),
            }
        }
        let consumed = |(name, usage)| Some(self.consumed(name, usage)?.of_kind(kind));
        Some(tables.into_iter().filter_map(consumed).collect())
    }
}

/// What a unit was used for. Transactions tell.
#[derive(Clone, Copy, Debug)]
pub(crate) enum UnitKind {
    Read,
    Write,
}

/// Units used of a table, and of those of its indexes that were used, by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Usage {
    pub(crate) table: f64,
    pub(crate) local: BTreeMap<String, f64>,
    pub(crate) global: BTreeMap<String, f64>,
}

impl From<f64> for Usage {
    fn from(table: f64) -> Usage {
        Usage { table, ..Usage::default() }
    }
}

impl Usage {
    /// All units.
    pub(crate) fn total(&self) -> f64 {
        self.table + self.local.values().chain(self.global.values()).sum::<f64>()
    }

    /// Adds what something else used of the same table.
    pub(crate) fn add(&mut self, other: Usage) {
        self.table += other.table;
        for (sums, more) in [(&mut self.local, other.local), (&mut self.global, other.global)] {
            for (name, units) in more {
                *sums.entry(name).or_default() += units;
            }
        }
    }

    fn add_index(&mut self, index: &Index, units: f64) {
        let sums = match index.kind {
            IndexKind::Local => &mut self.local,
            IndexKind::Global => &mut self.global,
            // Nobody pays for what nobody can read.
            IndexKind::Expiry => return,
        };
        if units > 0.0 {
            *sums.entry(index.name.clone()).or_default() += units;
        }
    }

    /// What a page of `bytes` used that was read from the table or from one of its indexes.
    pub(crate) fn of_page(index: Option<&Index>, bytes: usize, consistent: bool) -> Usage {
        let units = read_units(bytes, consistent);
        let Some(index) = index else { return units.into() };
        let mut usage = Usage::default();
        usage.add_index(index, units);
        usage
    }

    /// What a change of the item of `key` from `old` to `new` uses of the indexes of `table`: an entry that comes or goes, or
    /// stays and holds something else. An entry that moves is one that goes and one that comes.
    pub(crate) fn of_entries(table: &Table, key: &Key, old: Option<&Item>, new: Option<&Item>) -> Usage {
        let mut usage = Usage::default();
        for index in table.user_indexes() {
            let entry = |item: Option<&Item>| item.and_then(|item| index.entry(key, item, table));
            let units = match (entry(old), entry(new)) {
                (None, None) => 0.0,
                (Some((_, entry)), None) | (None, Some((_, entry))) => write_units(entry.size()),
                (Some((old_key, old)), Some((new_key, new))) if old_key == new_key => {
                    if old == new {
                        0.0
                    } else {
                        write_units(old.size().max(new.size()))
                    }
                }
                (Some((_, old)), Some((_, new))) => write_units(old.size()) + write_units(new.size()),
            };
            usage.add_index(index, units);
        }
        usage
    }
}

/// Units used on one table.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ConsumedCapacity {
    table_name: String,
    #[serde(flatten)]
    units: Units,
    #[serde(skip_serializing_if = "Option::is_none")]
    table: Option<Units>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    local_secondary_indexes: BTreeMap<String, Units>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    global_secondary_indexes: BTreeMap<String, Units>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Units {
    capacity_units: f64,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    kind: Option<UnitsOfKind>,
}

/// The same units, called by what they were used for.
#[derive(Clone, Copy, Debug, Serialize)]
enum UnitsOfKind {
    ReadCapacityUnits(f64),
    WriteCapacityUnits(f64),
}

impl Units {
    fn new(capacity_units: f64) -> Units {
        Units { capacity_units, kind: None }
    }

    fn set_kind(&mut self, kind: UnitKind) {
        self.kind = Some(match kind {
            UnitKind::Read => UnitsOfKind::ReadCapacityUnits(self.capacity_units),
            UnitKind::Write => UnitsOfKind::WriteCapacityUnits(self.capacity_units),
        });
    }
}

impl ConsumedCapacity {
    fn of_kind(mut self, kind: UnitKind) -> ConsumedCapacity {
        let indexes = self.local_secondary_indexes.values_mut().chain(self.global_secondary_indexes.values_mut());
        indexes.chain(&mut self.table).chain([&mut self.units]).for_each(|units| units.set_kind(kind));
        self
    }
}

/// Units of reading `bytes` at once.
pub(crate) fn read_units(bytes: usize, consistent: bool) -> f64 {
    let units = bytes.div_ceil(READ_UNIT_BYTES).max(1) as f64;
    if consistent { units } else { units / 2.0 }
}

/// Units of a write whose larger state, before or after, has `bytes`.
pub(crate) fn write_units(bytes: usize) -> f64 {
    bytes.div_ceil(WRITE_UNIT_BYTES).max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_round_up_and_are_never_nothing() {
        assert_eq!(read_units(0, true), 1.0);
        assert_eq!(read_units(0, false), 0.5);
        assert_eq!(read_units(4096, true), 1.0);
        assert_eq!(read_units(4097, false), 1.0);
        assert_eq!(write_units(0), 1.0);
        assert_eq!(write_units(1025), 2.0);
    }
}
