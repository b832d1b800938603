//! Throughput as requests tell it: provisioned, bounded on demand, and warm.

use item::{
    Index, IndexKind, Table,
    table::{self, Billing, ThroughputChange, WarmThroughput},
};

use crate::{
    Error,
    json::{Integer, request},
    validate::Violations,
};

/// More units than this are out of bounds.
const UNITS_MAX: i64 = 1_000_000_000_000;
/// What an on-demand table is ready for from the start, in DynamoDB's documentation.
const WARM_ON_DEMAND: WarmThroughput = WarmThroughput { read_units: 12_000, write_units: 4_000 };

request! {
    /// Provisioned units a second.
    struct Throughput {
        read_units: Integer = "ReadCapacityUnits",
        write_units: Integer = "WriteCapacityUnits",
    }
}

request! {
    /// Most units a second on demand; -1 is for no bound.
    struct OnDemandThroughput {
        read_units: Integer = "MaxReadRequestUnits",
        write_units: Integer = "MaxWriteRequestUnits",
    }
}

request! {
    /// Units a second to be ready for.
    struct Warm {
        read_units: Integer = "ReadUnitsPerSecond",
        write_units: Integer = "WriteUnitsPerSecond",
    }
}

/// All that a request says of the throughput of one table or index.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) provisioned: Option<&'a Throughput>,
    pub(crate) on_demand: Option<&'a OnDemandThroughput>,
    pub(crate) warm: Option<&'a Warm>,
}

impl Wanted<'_> {
    /// What its members must be by themselves; `at` is the place of what has them, with a dot behind it.
    pub(crate) fn constraints(&self, violations: &mut Violations, at: &str) {
        if let Some(provisioned) = self.provisioned {
            provisioned.constraints(violations, &format!("{at}provisionedThroughput"));
        }
        if let Some(warm) = self.warm {
            for (word, units) in [("readUnitsPerSecond", warm.read_units), ("writeUnitsPerSecond", warm.write_units)] {
                violations.range(format_args!("{at}warmThroughput.{word}"), units, 1, i64::MAX);
            }
        }
    }

    /// Is nothing said?
    pub(crate) fn is_empty(&self) -> bool {
        self.provisioned.is_none() && self.on_demand.is_none() && self.warm.is_none()
    }

    /// What it changes of `what` ("table" or "index x"), which will have capacity mode `billing` and was `known` until now.
    pub(crate) fn change(
        &self,
        what: &str,
        billing: Billing,
        known: &table::Throughput,
    ) -> Result<ThroughputChange, Error> {
        let mut change = ThroughputChange::default();
        if let Some(on_demand) = self.on_demand {
            if billing != Billing::OnDemand {
                return Err(Error::parameter(format_args!(
                    "OnDemandThroughput should not be specified for {what} when BillingMode is PROVISIONED"
                )));
            }
            change.read_units_max = units_max("MaxReadRequestUnits", what, on_demand.read_units)?;
            change.write_units_max = units_max("MaxWriteRequestUnits", what, on_demand.write_units)?;
            if change.read_units_max.is_none() && change.write_units_max.is_none() {
                return Err(Error::parameter(format_args!(
                    "At least one of MaxReadRequestUnits or MaxWriteRequestUnits must be specified for {what}"
                )));
            }
        }
        if let Some(wanted) = self.warm {
            let current = warm(billing, known);
            let units = |word: &str, wanted: Option<Integer>, current: u64| {
                let Some(Integer(units)) = wanted else { return Ok(current) };
                let units = u64::try_from(units).unwrap_or(0);
                if units < current {
                    return Err(Error::parameter(format_args!(
                        "Requested {word} for WarmThroughput for {what} is lower than current WarmThroughput, \
                         decreasing WarmThroughput is not supported"
                    )));
                }
                Ok(units)
            };
            let read_units = units("ReadUnitsPerSecond", wanted.read_units, current.read_units)?;
            let write_units = units("WriteUnitsPerSecond", wanted.write_units, current.write_units)?;
            if wanted.read_units.is_none() && wanted.write_units.is_none() {
                return Err(Error::parameter(format_args!(
                    "At least one of ReadUnitsPerSecond or WriteUnitsPerSecond must be specified for WarmThroughput for \
                     {what}"
                )));
            }
            change.warm = Some(WarmThroughput { read_units, write_units });
        }
        Ok(change)
    }
}

/// The units a second that a table or index in this mode is ready for.
pub(crate) fn warm(billing: Billing, known: &table::Throughput) -> WarmThroughput {
    let least = match billing {
        Billing::OnDemand => WARM_ON_DEMAND,
        Billing::Provisioned { read_units, write_units } => WarmThroughput { read_units, write_units },
    };
    let asked = known.warm.unwrap_or(least);
    WarmThroughput {
        read_units: asked.read_units.max(least.read_units),
        write_units: asked.write_units.max(least.write_units),
    }
}

fn units_max(word: &str, what: &str, given: Option<Integer>) -> Result<Option<Option<u64>>, Error> {
    match given.map(|Integer(units)| units) {
        None => Ok(None),
        Some(-1) => Ok(Some(None)),
        Some(units @ 1..=UNITS_MAX) => Ok(Some(u64::try_from(units).ok())),
        Some(units) => {
            Err(Error::parameter(format_args!("{word} for {what} must be -1 or at least 1, and not {units}")))
        }
    }
}

/// Provisioned units as a backup tells them.
#[derive(Debug, serde::Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Units {
    read_capacity_units: u64,
    write_capacity_units: u64,
}

impl Units {
    pub(crate) fn of(billing: Billing) -> Units {
        let (read_capacity_units, write_capacity_units) = match billing {
            Billing::OnDemand => (0, 0),
            Billing::Provisioned { read_units, write_units } => (read_units, write_units),
        };
        Units { read_capacity_units, write_capacity_units }
    }
}

/// The global indexes of a table.
pub(crate) fn global_indexes(table: &Table) -> impl Iterator<Item = &Index> {
    table.indexes.iter().filter(|index| index.kind == IndexKind::Global)
}

impl Throughput {
    /// What its members must be by themselves; `at` is its place in the request.
    pub(crate) fn constraints(&self, violations: &mut Violations, at: &str) {
        for (word, units) in [("readCapacityUnits", self.read_units), ("writeCapacityUnits", self.write_units)] {
            let place = format!("{at}.{word}");
            violations.required(&place, units.as_ref());
            violations.range(&place, units, 1, i64::MAX);
        }
    }

    /// The capacity mode that it makes.
    pub(crate) fn billing(&self) -> Result<Billing, Error> {
        let units = |word, units: Option<Integer>| {
            let number = units.map_or(0, |Integer(number)| number);
            if number > UNITS_MAX {
                return Err(Error::Validation(format!("Given value {number} for {word} is out of bounds")));
            }
            Ok(u64::try_from(number).unwrap_or(0))
        };
        Ok(Billing::Provisioned {
            read_units: units("ReadCapacityUnits", self.read_units)?,
            write_units: units("WriteCapacityUnits", self.write_units)?,
        })
    }
}
