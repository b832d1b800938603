//! Table schema.

use std::fmt;

/// A table's number. Never reused; a name is never a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId(pub u32);

impl TableId {
    /// Ids below this one belong to reserved system tables.
    pub const FIRST_USER: TableId = TableId(1000);

    /// Is this a reserved system table?
    pub fn is_system(self) -> bool {
        self < TableId::FIRST_USER
    }
}

/// The type of a key attribute. Numbers are persisted: never renumber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum KeyType {
    /// Text.
    S = 1,
    /// Number.
    N = 2,
    /// Bytes.
    B = 3,
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KeyType::S => "S",
            KeyType::N => "N",
            KeyType::B => "B",
        })
    }
}

/// A key attribute's name and type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyAttribute {
    /// Attribute name, 1-255 bytes.
    pub name: String,
    /// Its type.
    pub key_type: KeyType,
}

/// What a stream record shows. Numbers are persisted: never renumber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum StreamView {
    /// Only the key.
    KeysOnly = 1,
    /// The item after the change.
    NewImage = 2,
    /// The item before the change.
    OldImage = 3,
    /// Both.
    NewAndOldImages = 4,
}

/// An enabled change stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// What its records show.
    pub view: StreamView,
    /// When it was enabled, microseconds since 1970: the stream label.
    pub enabled_at_us: u64,
}

/// Capacity mode as told back by DescribeTable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Billing {
    /// PAY_PER_REQUEST.
    OnDemand,
    /// PROVISIONED.
    Provisioned {
        /// Read capacity units a second.
        read_units: u64,
        /// Write capacity units a second.
        write_units: u64,
    },
}

/// A table's schema at one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its number.
    pub id: TableId,
    /// Its name: 3-255 of `[a-zA-Z0-9_.-]`.
    pub name: String,
    /// Counts changes of this schema from 1; an item event names the version it was made under.
    pub version: u32,
    /// Partition key.
    pub partition_key: KeyAttribute,
    /// Sort key, if any.
    pub sort_key: Option<KeyAttribute>,
    /// Is the sort key a time in milliseconds (a TIMESTAMP in SQL and Parquet)?
    pub sort_key_is_time: bool,
    /// The change stream, if enabled.
    pub stream: Option<Stream>,
    /// When it was created, microseconds since 1970.
    pub created_at_us: u64,
    /// Capacity mode.
    pub billing: Billing,
    /// DeleteTable is refused while set.
    pub deletion_protection: bool,
}
