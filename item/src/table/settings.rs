//! What is set and known of a table beside its keys, indexes and stream: capacity, class, streams that it had.
//!
//! ```text
//! settings    flags: varint, not 0 | changed_at_us: varint, if flag 4 | on_demand_since_us: varint, if flag 8
//!             | throughput, if flag 16
//!             | count: varint, not 0, count x (stream view: 1 byte, enabled_at_us: varint, ended_at_us: varint), if flag 32
//!             | since_us: varint, period_days: varint, if flag 128
//!             | source table: text, source backup: text, as_of_us: varint, if flag 256
//! throughput  flags: varint, not 0 | read units: varint, if flag 1 | write units: varint, if flag 2
//!             | warm read units: varint, warm write units: varint, if flag 4 | increased_at_us: varint, if flag 8
//!             | decreased_at_us: varint, decreases: varint, if flag 16
//!
//! settings flags    1 a class was chosen | 2 infrequent access | 4 the class was changed | 8 on-demand since then
//!                   | 16 throughput | 32 streams that ended | 64 being filled | 128 continuous backups | 256 restored
//! throughput flags  1 most reads on demand | 2 most writes on demand | 4 warm | 8 increased | 16 decreased
//! ```
//! Flags are persisted: never renumber.

use std::collections::BTreeMap;

use super::{Billing, Index, IndexKind, Stream, Table};
use crate::codec::{CodecError, Reader, put_bytes, put_varint};

/// Microseconds of a day. Decreases are counted by days of UTC.
const DAY_US: u64 = 24 * 3600 * 1_000_000;

/// How a table is classed by its storage price. It changes nothing here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableClass {
    /// STANDARD.
    Standard,
    /// STANDARD_INFREQUENT_ACCESS.
    InfrequentAccess,
}

/// What is set and known of a table beside its keys, indexes and capacity mode.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableSettings {
    /// The class that was chosen, if one was.
    pub class: Option<TableClass>,
    /// When the class was changed last, microseconds since 1970.
    pub class_changed_at_us: Option<u64>,
    /// When the table was made or became on-demand last, microseconds since 1970; none if it never was.
    pub on_demand_since_us: Option<u64>,
    /// Of the table itself, without its indexes.
    pub throughput: Throughput,
    /// Streams that were disabled not long ago, the last one last.
    pub ended_streams: Vec<EndedStream>,
    /// Is a job still filling the table? Then nobody else may read or write it.
    pub is_filling: bool,
    /// Continuous backups, if they are made.
    pub recovery: Option<Recovery>,
    /// Of what the table was restored, if it was.
    pub restored: Option<Restored>,
}

/// Of what a table was restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The name of the table that it was.
    pub table: String,
    /// The id of the backup; empty if it was restored to a time by continuous backups.
    pub backup: String,
    /// The time of which it was restored, microseconds since 1970.
    pub as_of_us: u64,
}

/// Continuous backups: the table can be restored as it was at any time of a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// Since when they have been made without a gap, microseconds since 1970.
    pub since_us: u64,
    /// How many days back a restore can go.
    pub period_days: u8,
}

impl Recovery {
    /// The longest period, and that of who asks for none.
    pub const PERIOD_DAYS_MAX: u8 = 35;

    /// The period, in microseconds.
    pub fn period_us(self) -> u64 {
        u64::from(self.period_days) * DAY_US
    }
}

/// A stream that was disabled. It can still be read while the log is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedStream {
    /// As it was.
    pub stream: Stream,
    /// When it was disabled, microseconds since 1970.
    pub ended_at_us: u64,
}

impl EndedStream {
    /// A disabled stream is listed for a day, as in DynamoDB.
    pub const LISTED_US: u64 = DAY_US;
    /// Of those disabled within a day, the last ones are known.
    const KNOWN_MAX: usize = 100;

    /// Is it still listed?
    pub fn is_listed(&self, now_us: u64) -> bool {
        now_us.saturating_sub(self.ended_at_us) < EndedStream::LISTED_US
    }
}

/// What is set and known of the throughput of a table or of a global index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Throughput {
    /// Read units a second that an on-demand table takes at most.
    pub read_units_max: Option<u64>,
    /// Write units a second that an on-demand table takes at most.
    pub write_units_max: Option<u64>,
    /// Units a second that the table was asked to be ready for.
    pub warm: Option<WarmThroughput>,
    /// When provisioned units were increased last, microseconds since 1970.
    pub increased_at_us: Option<u64>,
    /// When provisioned units were decreased last.
    pub decreased: Option<Decreases>,
}

/// Units a second that can be used at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WarmThroughput {
    /// Reads.
    pub read_units: u64,
    /// Writes.
    pub write_units: u64,
}

/// Decreases of provisioned units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decreases {
    /// The last one, microseconds since 1970.
    pub last_at_us: u64,
    /// How many there were on the day (UTC) of the last one.
    pub on_that_day: u32,
}

/// What is to become of a table's capacity; what is none stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CapacityChange {
    /// The table's class.
    pub class: Option<TableClass>,
    /// The table itself. A change to on-demand is one of its global indexes too.
    pub table: ThroughputChange,
    /// Global indexes, by name.
    pub indexes: BTreeMap<String, ThroughputChange>,
}

/// What is to become of the throughput of a table or of a global index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThroughputChange {
    /// Capacity mode.
    pub billing: Option<Billing>,
    /// Most read units a second on demand; within, none is for no bound.
    pub read_units_max: Option<Option<u64>>,
    /// Most write units a second on demand; within, none is for no bound.
    pub write_units_max: Option<Option<u64>>,
    /// Units a second to be ready for.
    pub warm: Option<WarmThroughput>,
}

impl ThroughputChange {
    fn apply(&self, billing: &mut Billing, throughput: &mut Throughput, now_us: u64) {
        if let Some(new) = self.billing {
            throughput.note_change(*billing, new, now_us);
            *billing = new;
        }
        throughput.read_units_max = self.read_units_max.unwrap_or(throughput.read_units_max);
        throughput.write_units_max = self.write_units_max.unwrap_or(throughput.write_units_max);
        throughput.warm = self.warm.or(throughput.warm);
        // Bounds are of the on-demand mode.
        if *billing != Billing::OnDemand {
            (throughput.read_units_max, throughput.write_units_max) = (None, None);
        }
    }
}

impl Table {
    /// Since when it has been on-demand, or last was, microseconds since 1970; none if it never was.
    pub fn on_demand_since_us(&self) -> Option<u64> {
        let since_creation = (self.billing == Billing::OnDemand).then_some(self.created_at_us);
        self.settings.on_demand_since_us.or(since_creation)
    }

    /// Turns the stream on, as one that begins now, or off.
    pub fn change_stream(&mut self, stream: Option<Stream>, now_us: u64) {
        let ended = &mut self.settings.ended_streams;
        ended.extend(self.stream.take().map(|stream| EndedStream { stream, ended_at_us: now_us }));
        // The last one is told of the table until another takes its place.
        let last = ended.len().saturating_sub(1);
        let mut place = 0;
        ended.retain(|ended| {
            place += 1;
            place > last || ended.is_listed(now_us)
        });
        ended.drain(..ended.len().saturating_sub(EndedStream::KNOWN_MAX));
        // Labels are told by the millisecond, and no two may be the same.
        let after_last = ended.last().map_or(0, |ended| ended.stream.enabled_at_us + 1000);
        self.stream = stream.map(|stream| Stream { enabled_at_us: now_us.max(after_last), ..stream });
    }

    /// Turns continuous backups on, for so many days back, or off. What is on stays on since it began.
    pub fn change_recovery(&mut self, period_days: Option<u8>, now_us: u64) {
        let since_us = self.settings.recovery.map_or(now_us, |recovery| recovery.since_us);
        self.settings.recovery = period_days.map(|period_days| Recovery { since_us, period_days });
    }

    /// Changes the capacity of the table and its indexes.
    pub fn change_capacity(&mut self, change: &CapacityChange, now_us: u64) {
        if change.class.is_some() && change.class != self.settings.class {
            self.settings.class = change.class;
            self.settings.class_changed_at_us = Some(now_us);
        }
        let since = self.on_demand_since_us();
        let was_on_demand = self.billing == Billing::OnDemand;
        change.table.apply(&mut self.billing, &mut self.settings.throughput, now_us);
        let is_on_demand = self.billing == Billing::OnDemand;
        if was_on_demand != is_on_demand {
            self.settings.on_demand_since_us = if is_on_demand { Some(now_us) } else { since };
        }
        for Index { name, kind, billing, throughput, .. } in &mut self.indexes {
            if *kind != IndexKind::Global {
                continue;
            }
            if is_on_demand {
                *billing = Billing::OnDemand;
            }
            if let Some(change) = change.indexes.get(name) {
                change.apply(billing, throughput, now_us);
            }
        }
    }
}

impl Throughput {
    /// Notes that the capacity mode changes; only a change between provisioned units is an increase or a decrease.
    fn note_change(&mut self, old: Billing, new: Billing, now_us: u64) {
        let (
            Billing::Provisioned { read_units: old_read, write_units: old_write },
            Billing::Provisioned { read_units, write_units },
        ) = (old, new)
        else {
            return;
        };
        if read_units > old_read || write_units > old_write {
            self.increased_at_us = Some(now_us);
        }
        if read_units < old_read || write_units < old_write {
            self.decreased = Some(Decreases { last_at_us: now_us, on_that_day: self.decreases_on(now_us) + 1 });
        }
    }

    /// How often provisioned units were decreased on the day (UTC) of `now_us`.
    pub fn decreases_on(&self, now_us: u64) -> u32 {
        let that_day = self.decreased.filter(|decreased| decreased.last_at_us / DAY_US == now_us / DAY_US);
        that_day.map_or(0, |decreased| decreased.on_that_day)
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let flag = |set: bool, flag: u32| if set { flag } else { 0 };
        let flags = flag(self.read_units_max.is_some(), 1)
            | flag(self.write_units_max.is_some(), 2)
            | flag(self.warm.is_some(), 4)
            | flag(self.increased_at_us.is_some(), 8)
            | flag(self.decreased.is_some(), 16);
        put_varint(u128::from(flags), out);
        let warm = self.warm.map(|warm| [warm.read_units, warm.write_units]);
        let decreased = self.decreased.map(|decreased| [decreased.last_at_us, u64::from(decreased.on_that_day)]);
        let single = [self.read_units_max, self.write_units_max].into_iter().flatten();
        let numbers =
            single.chain(warm.into_iter().flatten()).chain(self.increased_at_us).chain(decreased.into_iter().flatten());
        numbers.for_each(|number| put_varint(u128::from(number), out));
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Throughput, CodecError> {
        let start = reader.offset();
        let flags: u32 = reader.number("throughput flags")?;
        if flags == 0 || flags > 31 {
            return reader.error(start, "known throughput flags");
        }
        let mut throughput = Throughput::default();
        if flags & 1 != 0 {
            throughput.read_units_max = Some(reader.number("request units")?);
        }
        if flags & 2 != 0 {
            throughput.write_units_max = Some(reader.number("request units")?);
        }
        if flags & 4 != 0 {
            let read_units = reader.number("warm units")?;
            throughput.warm = Some(WarmThroughput { read_units, write_units: reader.number("warm units")? });
        }
        if flags & 8 != 0 {
            throughput.increased_at_us = Some(reader.number("a time")?);
        }
        if flags & 16 != 0 {
            let last_at_us = reader.number("a time")?;
            throughput.decreased = Some(Decreases { last_at_us, on_that_day: reader.number("a count")? });
        }
        Ok(throughput)
    }
}

impl TableSettings {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let flag = |set: bool, flag: u32| if set { flag } else { 0 };
        let flags = flag(self.class.is_some(), 1)
            | flag(self.class == Some(TableClass::InfrequentAccess), 2)
            | flag(self.class_changed_at_us.is_some(), 4)
            | flag(self.on_demand_since_us.is_some(), 8)
            | flag(self.throughput != Throughput::default(), 16)
            | flag(!self.ended_streams.is_empty(), 32)
            | flag(self.is_filling, 64)
            | flag(self.recovery.is_some(), 128)
            | flag(self.restored.is_some(), 256);
        put_varint(u128::from(flags), out);
        let times = [self.class_changed_at_us, self.on_demand_since_us];
        times.into_iter().flatten().for_each(|time| put_varint(u128::from(time), out));
        if flags & 16 != 0 {
            self.throughput.encode(out);
        }
        if !self.ended_streams.is_empty() {
            put_varint(self.ended_streams.len() as u128, out);
            for EndedStream { stream, ended_at_us } in &self.ended_streams {
                stream.encode(out);
                put_varint(u128::from(*ended_at_us), out);
            }
        }
        if let Some(Recovery { since_us, period_days }) = self.recovery {
            put_varint(u128::from(since_us), out);
            put_varint(u128::from(period_days), out);
        }
        if let Some(Restored { table, backup, as_of_us }) = &self.restored {
            put_bytes(table.as_bytes(), out);
            put_bytes(backup.as_bytes(), out);
            put_varint(u128::from(*as_of_us), out);
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<TableSettings, CodecError> {
        let start = reader.offset();
        let flags: u32 = reader.number("settings flags")?;
        let class = match flags & 3 {
            0 => None,
            1 => Some(TableClass::Standard),
            3 => Some(TableClass::InfrequentAccess),
            _ => return reader.error(start, "a known table class"),
        };
        if flags == 0 || flags > 511 {
            return reader.error(start, "known settings flags");
        }
        let class_changed_at_us = if flags & 4 != 0 { Some(reader.number("a time")?) } else { None };
        let on_demand_since_us = if flags & 8 != 0 { Some(reader.number("a time")?) } else { None };
        let throughput = if flags & 16 != 0 { Throughput::read(reader)? } else { Throughput::default() };
        let ended_streams = if flags & 32 != 0 { read_ended_streams(reader)? } else { Vec::new() };
        let is_filling = flags & 64 != 0;
        let recovery = if flags & 128 != 0 { Some(read_recovery(reader)?) } else { None };
        let restored = if flags & 256 != 0 { Some(read_restored(reader)?) } else { None };
        Ok(TableSettings {
            class,
            class_changed_at_us,
            on_demand_since_us,
            throughput,
            ended_streams,
            is_filling,
            recovery,
            restored,
        })
    }
}

fn read_restored(reader: &mut Reader<'_>) -> Result<Restored, CodecError> {
    let table = reader.text("a table name")?.to_owned();
    let backup = reader.text("a backup's id")?.to_owned();
    Ok(Restored { table, backup, as_of_us: reader.number("a time")? })
}

fn read_recovery(reader: &mut Reader<'_>) -> Result<Recovery, CodecError> {
    let since_us = reader.number("a time")?;
    let start = reader.offset();
    let period_days = reader.number("a number of days")?;
    if !(1..=Recovery::PERIOD_DAYS_MAX).contains(&period_days) {
        return reader.error(start, "1 to 35 days");
    }
    Ok(Recovery { since_us, period_days })
}

fn read_ended_streams(reader: &mut Reader<'_>) -> Result<Vec<EndedStream>, CodecError> {
    let start = reader.offset();
    let count: usize = reader.number("a count")?;
    if count == 0 {
        return reader.error(start, "streams");
    }
    let mut ended = Vec::new();
    for _ in 0..count {
        ended.push(EndedStream { stream: Stream::read(reader)?, ended_at_us: reader.number("a time")? });
    }
    Ok(ended)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decreases_are_counted_by_the_day() {
        let units = |read_units, write_units| Billing::Provisioned { read_units, write_units };
        let mut throughput = Throughput::default();
        throughput.note_change(Billing::OnDemand, units(5, 5), DAY_US);
        throughput.note_change(units(5, 5), units(6, 5), DAY_US + 1);
        assert_eq!((throughput.increased_at_us, throughput.decreased), (Some(DAY_US + 1), None));
        throughput.note_change(units(6, 5), units(5, 4), DAY_US + 2);
        throughput.note_change(units(5, 4), units(6, 3), 2 * DAY_US - 1);
        assert_eq!(throughput.decreases_on(DAY_US + 5), 2);
        assert_eq!(throughput.increased_at_us, Some(2 * DAY_US - 1), "one up and one down is both");
        assert_eq!(throughput.decreases_on(2 * DAY_US), 0);
        throughput.note_change(units(6, 3), units(1, 1), 2 * DAY_US);
        assert_eq!(throughput.decreased, Some(Decreases { last_at_us: 2 * DAY_US, on_that_day: 1 }));
    }
}
