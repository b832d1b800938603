//! What UpdateTable makes of a table's capacity and class.

use item::{
    Table,
    table::{self, Billing, CapacityChange},
};

use super::{
    create_table::table_class,
    throughput::{OnDemandThroughput, Throughput, Wanted, Warm, global_indexes},
};
use crate::{Error, json::request};

/// Decreases of a day (UTC) that may follow each other as they like.
const DECREASES_FREE: u32 = 4;
/// Decreases of a day at most.
const DECREASES_MAX: u32 = 27;
/// Further ones must be this far from the one before.
const DECREASE_INTERVAL_US: u64 = 3600 * 1_000_000;

request! {
    /// What is to become of an index's throughput.
    struct IndexThroughput {
        name: String = "IndexName",
        throughput: Throughput = "ProvisionedThroughput",
        on_demand_throughput: OnDemandThroughput = "OnDemandThroughput",
        warm_throughput: Warm = "WarmThroughput",
    }
}

impl IndexThroughput {
    pub(crate) fn wanted(&self) -> Wanted<'_> {
        Wanted {
            provisioned: self.throughput.as_ref(),
            on_demand: self.on_demand_throughput.as_ref(),
            warm: self.warm_throughput.as_ref(),
        }
    }
}

/// The change of `table` that is asked for.
pub(crate) fn of<'a>(
    table: &Table,
    mode: Option<&str>,
    class: Option<&str>,
    wanted: &Wanted<'_>,
    updates: impl Iterator<Item = &'a IndexThroughput>,
    now_us: u64,
) -> Result<CapacityChange, Error> {
    let new = billing(table, mode, wanted.provisioned)?;
    let will_be = new.unwrap_or(table.billing);
    let known = &table.settings.throughput;
    let mut change = CapacityChange {
        class: table_class(class).filter(|class| table.settings.class != Some(*class)),
        table: wanted.change("table", will_be, known)?,
        ..CapacityChange::default()
    };
    if wanted.provisioned.is_some() {
        check_changed(table.billing, will_be, "the table", known, now_us)?;
    }
    change.table.billing = new.filter(|new| *new != table.billing);
    for update in updates {
        let name = update.name.clone().unwrap_or_default();
        let index = global_indexes(table).find(|index| index.name == name);
        let absent = || Error::NotFound(format!("Requested resource not found: Index: {name} not found"));
        let index = index.ok_or_else(absent)?;
        let wanted = update.wanted();
        if wanted.is_empty() {
            return Err(Error::parameter(format_args!(
                "At least one of ProvisionedThroughput, OnDemandThroughput or WarmThroughput is required for index: {name}"
            )));
        }
        let new = match (will_be, wanted.provisioned) {
            (Billing::OnDemand, Some(_)) => {
                return Err(Error::parameter(format_args!(
                    "The only Updates for index: {name} when TableThroughputMode is PAY_PER_REQUEST can be to \
                     OnDemandThroughput, WarmThroughput"
                )));
            }
            (Billing::OnDemand, None) | (Billing::Provisioned { .. }, None) => None,
            (Billing::Provisioned { .. }, Some(throughput)) => Some(throughput.billing()?),
        };
        if let Some(new) = new {
            check_changed(index.billing, new, &format!("the index {name}"), &index.throughput, now_us)?;
        }
        let index_billing = new.unwrap_or(if will_be == Billing::OnDemand { will_be } else { index.billing });
        let mut index_change = wanted.change(&format!("index {name}"), index_billing, &index.throughput)?;
        index_change.billing = new;
        change.indexes.insert(name, index_change);
    }
    if table.billing == Billing::OnDemand && will_be != Billing::OnDemand {
        let is_without = |name: &str| change.indexes.get(name).is_none_or(|change| change.billing.is_none());
        if let Some(index) = global_indexes(table).find(|index| is_without(&index.name)) {
            return Err(Error::parameter(format_args!(
                "ProvisionedThroughput must be specified for index: {}",
                index.name
            )));
        }
    }
    Ok(change)
}

/// The capacity mode that is asked for, if one is.
fn billing(table: &Table, mode: Option<&str>, throughput: Option<&Throughput>) -> Result<Option<Billing>, Error> {
    match (mode, throughput, table.billing) {
        (Some("PAY_PER_REQUEST"), Some(_), _) | (None, Some(_), Billing::OnDemand) => Err(not_on_demand()),
        (Some("PAY_PER_REQUEST"), None, _) => Ok(Some(Billing::OnDemand)),
        (Some(_), None, Billing::OnDemand) => {
            Err(Error::parameter("ProvisionedThroughput must be specified when BillingMode is PROVISIONED"))
        }
        (_, Some(throughput), _) => Ok(Some(throughput.billing()?)),
        (_, None, _) => Ok(None),
    }
}

/// What is said of provisioned units where the mode is on-demand.
fn not_on_demand() -> Error {
    Error::parameter(
        "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST",
    )
}

/// Refuses units that are as they were, and more decreases than a day may have.
fn check_changed(old: Billing, new: Billing, what: &str, known: &table::Throughput, now_us: u64) -> Result<(), Error> {
    let (
        Billing::Provisioned { read_units: old_read, write_units: old_write },
        Billing::Provisioned { read_units, write_units },
    ) = (old, new)
    else {
        return Ok(());
    };
    if old == new {
        let whose = if what == "the table" { "the table" } else { "the index" };
        return Err(Error::Validation(format!(
            "The provisioned throughput for {what} will not change. The requested value equals the current value. \
             Current ReadCapacityUnits provisioned for {whose}: {old_read}. Requested ReadCapacityUnits: {read_units}. \
             Current WriteCapacityUnits provisioned for {whose}: {old_write}. Requested WriteCapacityUnits: \
             {write_units}. Refer to the Amazon DynamoDB Developer Guide for current limits and how to request higher \
             limits."
        )));
    }
    if read_units >= old_read && write_units >= old_write {
        return Ok(());
    }
    let today = known.decreases_on(now_us);
    let since_us = known.decreased.map_or(u64::MAX, |decreased| now_us.saturating_sub(decreased.last_at_us));
    if today < DECREASES_FREE || (today < DECREASES_MAX && since_us >= DECREASE_INTERVAL_US) {
        return Ok(());
    }
    Err(Error::LimitExceeded(format!(
        "Subscriber limit exceeded: Provisioned throughput decreases are limited within a given UTC day. After the \
         first {DECREASES_FREE} decreases, each subsequent decrease in the same UTC day can be performed at most once \
         every 3600 seconds. Number of decreases today: {today}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_US: u64 = 3600 * 1_000_000;

    #[test]
    fn after_four_decreases_one_an_hour_is_left() {
        let units = |units| Billing::Provisioned { read_units: units, write_units: 1 };
        let decreased = |on_that_day| table::Throughput {
            decreased: Some(table::Decreases { last_at_us: 2 * HOUR_US, on_that_day }),
            ..table::Throughput::default()
        };
        let check = |known: &table::Throughput, now_us| check_changed(units(5), units(4), "the table", known, now_us);
        assert!(check(&decreased(3), 2 * HOUR_US).is_ok());
        assert!(matches!(check(&decreased(4), 3 * HOUR_US - 1), Err(Error::LimitExceeded(_))));
        assert!(check(&decreased(4), 3 * HOUR_US).is_ok());
        assert!(matches!(check(&decreased(27), 23 * HOUR_US), Err(Error::LimitExceeded(_))));
        assert!(check(&decreased(27), 24 * HOUR_US).is_ok(), "the next day");
        assert!(check_changed(units(4), units(5), "the table", &decreased(27), 3 * HOUR_US).is_ok());
    }
}
