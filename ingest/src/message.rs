//! A message on its way through the rules: as received, or a row with the mapping that its caller gave.

use std::sync::Arc;

use item::Value;
use jiff::tz::TimeZone;

use crate::{
    Error, Received, Zone,
    format::{Fields, Format},
    routes::Mapping,
    template::{Path, Template},
};

/// Something to be mapped.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Message {
    pub(crate) received: Received,
    /// The mapping and line of a row; a message is mapped by the routes.
    pub(crate) row: Option<(Arc<Rows>, u64)>,
}

impl Message {
    /// The row's line.
    pub(crate) fn line(&self) -> Option<u64> {
        self.row.as_ref().map(|(_, line)| *line)
    }
}

/// How rows of a file become items.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    table: String,
    device: RowDevice,
    time: String,
    zone_name: String,
    mapping: Arc<Mapping>,
}

/// Where a row's device is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowDevice {
    /// In a column.
    Column(String),
    /// It is the same for all.
    Fixed(String),
}

impl Rows {
    /// Rows for `table`, which is made if absent, with the time in column `time`; local times are in the IANA zone
    /// `zone`. Every column is kept under its own name; the time's only if it is not called `ts`.
    pub fn new(table: &str, device: RowDevice, time: &str, zone: &str) -> Result<Rows, Error> {
        item::table::check_name(table).map_err(|error| Error::Config { what: error.to_string() })?;
        let name = match &device {
            RowDevice::Column(name) | RowDevice::Fixed(name) => name,
        };
        if name.is_empty() || time.is_empty() {
            return Err(Error::Config { what: "rows need a device and a time column".into() });
        }
        let Zone(zone_found) = Zone::named(zone)?;
        let mapping = Arc::new(mapping(table, &device, time, zone_found));
        Ok(Rows { table: table.to_owned(), device, time: time.to_owned(), zone_name: zone.to_owned(), mapping })
    }

    /// The table's name.
    pub fn table(&self) -> &str {
        &self.table
    }

    pub(crate) fn mapping(&self) -> &Arc<Mapping> {
        &self.mapping
    }

    /// As the quarantine keeps it.
    pub(crate) fn to_value(&self) -> Value {
        let (device_kind, device) = match &self.device {
            RowDevice::Column(name) => ("device", name),
            RowDevice::Fixed(id) => ("device_id", id),
        };
        let pairs = [("table", &self.table), (device_kind, device), ("time", &self.time), ("zone", &self.zone_name)];
        Value::Map(pairs.map(|(name, text)| (name.to_owned(), Value::String(text.clone()))).into())
    }

    /// Reads it back.
    pub(crate) fn from_value(value: &Value) -> Option<Rows> {
        let Value::Map(fields) = value else {
            return None;
        };
        let text = |fields: &Fields, name: &str| match fields.get(name)? {
            Value::String(text) => Some(text.clone()),
            _ => None,
        };
        let device = match text(fields, "device") {
            Some(column) => RowDevice::Column(column),
            None => RowDevice::Fixed(text(fields, "device_id")?),
        };
        Rows::new(&text(fields, "table")?, device, &text(fields, "time")?, &text(fields, "zone")?).ok()
    }
}

fn mapping(table: &str, device: &RowDevice, time: &str, zone: TimeZone) -> Mapping {
    let device = match device {
        RowDevice::Column(name) => Template::payload(name),
        RowDevice::Fixed(id) => Template::text(id),
    };
    Mapping {
        format: Format::Json,
        device: Some(device),
        times: vec![Path::name(time)],
        rows: true,
        ..Mapping::built_in(table, zone)
    }
}
