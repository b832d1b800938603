//! Provisioned throughput as requests tell it.

use item::table::Billing;

use crate::{
    Error,
    json::{Integer, request},
    validate::Violations,
};

/// More units than this are out of bounds.
const UNITS_MAX: i64 = 1_000_000_000_000;

request! {
    /// Provisioned units a second.
    struct Throughput {
        read_units: Integer = "ReadCapacityUnits",
        write_units: Integer = "WriteCapacityUnits",
    }
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
