//! Capacity units, as DynamoDB counts and tells them.

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
    pub(crate) fn consumed(self, table: &str, units: f64) -> Option<ConsumedCapacity> {
        let table_units = match self {
            Detail::None => return None,
            Detail::Total => None,
            Detail::Indexes => Some(Units { capacity_units: units, kind: None }),
        };
        Some(ConsumedCapacity { table_name: table.to_owned(), capacity_units: units, table: table_units, kind: None })
    }

    /// The member of a transaction's answer, if asked for: what its actions used of each table, in the order of first use.
    pub(crate) fn transacted<'a>(
        self,
        used: impl Iterator<Item = (&'a str, f64)>,
        kind: UnitKind,
    ) -> Option<Vec<ConsumedCapacity>> {
        if self == Detail::None {
            return None;
        }
        let mut tables: Vec<(&str, f64)> = Vec::new();
        for (name, units) in used {
            match tables.iter_mut().find(|(known, _)| *known == name) {
                Some((_, sum)) => *sum += units,
                None => tables.push((name, units)),
            }
        }
        let consumed = |(name, units)| Some(self.consumed(name, units)?.of_kind(kind));
        Some(tables.into_iter().filter_map(consumed).collect())
    }
}

/// What a unit was used for. Transactions tell.
#[derive(Clone, Copy, Debug)]
pub(crate) enum UnitKind {
    Read,
    Write,
}

/// Units used on one table.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ConsumedCapacity {
    table_name: String,
    capacity_units: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    table: Option<Units>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    kind: Option<UnitsOfKind>,
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

impl ConsumedCapacity {
    fn of_kind(mut self, kind: UnitKind) -> ConsumedCapacity {
        let of_kind = |units| match kind {
            UnitKind::Read => UnitsOfKind::ReadCapacityUnits(units),
            UnitKind::Write => UnitsOfKind::WriteCapacityUnits(units),
        };
        self.kind = Some(of_kind(self.capacity_units));
        if let Some(table) = &mut self.table {
            table.kind = Some(of_kind(table.capacity_units));
        }
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
