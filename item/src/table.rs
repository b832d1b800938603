//! Table schema, its checks and its encoding.
//!
//! Inside an event or the manifest, with the primitives of [`crate::Image`]:
//!
//! ```text
//! table      id: varint | name: text | version: varint | flags: varint
//!            | partition key: attribute | sort key: attribute, if flag 1
//!            | stream view: 1 byte, stream enabled_at_us: varint, if flag 4
//!            | created_at_us: varint
//!            | read units: varint, write units: varint, if flag 8
//!            | count: varint, count x index (see `table::index`), if flag 32
//!            | count: varint, count x (key: text, value: text), keys strictly ascending, if flag 64
//!            | settings (see `table::settings`), if flag 128
//! attribute  name: text | type: 1 byte
//!
//! flags      1 sort key | 2 the sort key is a time | 4 stream | 8 provisioned | 16 deletion protection | 32 indexes | 64 tags
//!            | 128 settings
//! ```

use std::{collections::BTreeMap, fmt};

use bytes::Bytes;

use crate::codec::{CodecError, Reader, put_bytes, put_varint};

mod index;
mod settings;
pub mod system;

pub use index::{EXPIRY_INDEX, Index, IndexKind, IndexStatus, Projection};
pub use settings::{
    CapacityChange, Decreases, EndedStream, Recovery, Restored, TableClass, TableSettings, Throughput,
    ThroughputChange, WarmThroughput,
};

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

impl KeyType {
    /// DynamoDB's name of the type.
    pub fn name(self) -> &'static str {
        match self {
            KeyType::S => "S",
            KeyType::N => "N",
            KeyType::B => "B",
        }
    }
}

impl KeyType {
    /// What values of the type are called in refusals.
    pub fn word(self) -> &'static str {
        match self {
            KeyType::S => "string",
            KeyType::N => "number",
            KeyType::B => "binary",
        }
    }
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
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

impl KeyAttribute {
    /// The key attribute `name` of type `key_type`.
    pub fn new(name: impl Into<String>, key_type: KeyType) -> KeyAttribute {
        KeyAttribute { name: name.into(), key_type }
    }
}

/// Key attributes beyond the first partition key and the first sort key, each at most three. Only global indexes have some.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FurtherKeys {
    /// Those of the partition key.
    pub partition: Vec<KeyAttribute>,
    /// Those of the sort key.
    pub sort: Vec<KeyAttribute>,
}

impl FurtherKeys {
    /// Partition and sort keys are made of at most this many attributes, the first ones included.
    pub const ATTRIBUTES_MAX: usize = 4;

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.partition.is_empty() && self.sort.is_empty()
    }
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
    /// Of an index's entries: the item's key attributes that follow in the sort key. Of a table: none.
    pub item_key: Vec<KeyAttribute>,
    /// Of an index's entries: the key attributes of the index beyond the first ones. Of a table: none.
    pub further_keys: FurtherKeys,
    /// What is set and known beside.
    pub settings: TableSettings,
    /// Secondary indexes, by name.
    pub indexes: Vec<Index>,
    /// The change stream, if enabled.
    pub stream: Option<Stream>,
    /// When it was created, microseconds since 1970.
    pub created_at_us: u64,
    /// Capacity mode.
    pub billing: Billing,
    /// DeleteTable is refused while set.
    pub deletion_protection: bool,
    /// What users note about it, by key.
    pub tags: BTreeMap<String, String>,
}

/// Why a table cannot be as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// Not 3 to 255 characters.
    #[error("table name {name:?} has {length} characters, not 3 to 255")]
    NameLength {
        /// The name.
        name: String,
        /// Its length in bytes.
        length: usize,
    },
    /// A character outside `[a-zA-Z0-9_.-]`.
    #[error("table name {name:?} has the character {character:?}, which is not one of a-z, A-Z, 0-9, _, . and -")]
    NameCharacter {
        /// The name.
        name: String,
        /// The first such character.
        character: char,
    },
    /// Not 1 to 255 bytes.
    #[error("key attribute name {name:?} has {bytes} bytes, not 1 to 255")]
    KeyNameLength {
        /// The name.
        name: String,
        /// Its length.
        bytes: usize,
    },
    /// One attribute twice in a key.
    #[error("the key has {name:?} twice")]
    SameKeys {
        /// The attribute.
        name: String,
    },
    /// A sort key that is a time must be a number.
    #[error("the sort key cannot be a time: it is no number")]
    TimeIsNoNumber,
    /// A local index has the table's partition key and a sort key of its own.
    #[error("the local index {index:?} must have the table's partition key and a sort key")]
    LocalIndexKey {
        /// The index.
        index: String,
    },
    /// A partition or sort key of an index has too many attributes, or further sort keys but no first one.
    #[error("the index {index:?} has too many key attributes, or too few")]
    KeyCount {
        /// The index.
        index: String,
    },
    /// Two indexes of one name or number, or not in the order of their names.
    #[error("the index {index:?} is not after the one before it, or has its number")]
    IndexOrder {
        /// The second of them.
        index: String,
    },
    /// An expiry index is made of the name of its attribute alone.
    #[error("the expiry index is not as an expiry index must be")]
    ExpiryIndex,
    /// One attribute is a key attribute of two types.
    #[error("the key attribute {name:?} has two types")]
    TwoTypes {
        /// The attribute.
        name: String,
    },
    /// The schema of an index's entries is never recorded.
    #[error("an index's entries are no table")]
    Entries,
}

/// Checks a user table's name: 3 to 255 of `[a-zA-Z0-9_.-]`. So `...` is legal: a name is never a path.
pub fn check_name(name: &str) -> Result<(), TableError> {
    let legal = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '.' | '-');
    if let Some(character) = name.chars().find(|character| !legal(*character)) {
        return Err(TableError::NameCharacter { name: name.to_owned(), character });
    }
    if !(3..=255).contains(&name.len()) {
        return Err(TableError::NameLength { name: name.to_owned(), length: name.len() });
    }
    Ok(())
}

const SORT_KEY: u32 = 1;
const SORT_KEY_IS_TIME: u32 = 2;
const STREAM: u32 = 4;
const PROVISIONED: u32 = 8;
const DELETION_PROTECTION: u32 = 16;
const INDEXES: u32 = 32;
const TAGS: u32 = 64;
const SETTINGS: u32 = 128;
const FLAGS_ALL: u32 = 255;

impl Table {
    /// Checks names and keys. A system table's name is `$` and a legal name.
    pub fn check(&self) -> Result<(), TableError> {
        let name = match self.name.strip_prefix('$') {
            Some(name) if self.id.is_system() => name,
            _ => &self.name,
        };
        check_name(name)?;
        for KeyAttribute { name, .. } in std::iter::once(&self.partition_key).chain(&self.sort_key) {
            if !(1..=255).contains(&name.len()) {
                return Err(TableError::KeyNameLength { name: name.clone(), bytes: name.len() });
            }
        }
        if self.sort_key.as_ref().is_some_and(|sort_key| sort_key.name == self.partition_key.name) {
            return Err(TableError::SameKeys { name: self.partition_key.name.clone() });
        }
        if self.sort_key_is_time && self.sort_key.as_ref().is_none_or(|sort_key| sort_key.key_type != KeyType::N) {
            return Err(TableError::TimeIsNoNumber);
        }
        if !self.item_key.is_empty() || !self.further_keys.is_empty() {
            return Err(TableError::Entries);
        }
        self.check_indexes()
    }

    fn check_indexes(&self) -> Result<(), TableError> {
        self.indexes.iter().try_for_each(|index| index.check(self))?;
        for (at, index) in self.indexes.iter().enumerate() {
            let before = &self.indexes[..at];
            let is_after = before.last().is_none_or(|last| last.name < index.name);
            if !is_after || index.id == self.id || before.iter().any(|other| other.id == index.id) {
                return Err(TableError::IndexOrder { index: index.name.clone() });
            }
        }
        let mut types = BTreeMap::new();
        for attribute in self.all_key_attributes() {
            if *types.entry(&attribute.name).or_insert(attribute.key_type) != attribute.key_type {
                return Err(TableError::TwoTypes { name: attribute.name.clone() });
            }
        }
        Ok(())
    }

    /// The attributes of the primary key: one or two, or, of an index's entries, all that make up their key.
    pub fn key_attributes(&self) -> impl Iterator<Item = &KeyAttribute> {
        self.partition_attributes().chain(self.sort_attributes()).chain(&self.item_key)
    }

    /// The attributes of the partition key: one, or, of an index's entries, up to four.
    pub fn partition_attributes(&self) -> impl Iterator<Item = &KeyAttribute> {
        std::iter::once(&self.partition_key).chain(&self.further_keys.partition)
    }

    /// The attributes of the sort key that a query can ask for: none or one, or, of an index's entries, up to four.
    pub fn sort_attributes(&self) -> impl Iterator<Item = &KeyAttribute> {
        self.sort_key.iter().chain(&self.further_keys.sort)
    }

    /// The key attributes of the table and of its users' indexes; some come more than once. What an item has for them must
    /// be of their type.
    pub fn all_key_attributes(&self) -> impl Iterator<Item = &KeyAttribute> {
        self.key_attributes().chain(self.user_indexes().flat_map(Index::key_attributes))
    }

    /// The indexes that users make and read, by name.
    pub fn user_indexes(&self) -> impl Iterator<Item = &Index> {
        self.indexes.iter().filter(|index| index.kind != IndexKind::Expiry)
    }

    /// The users' index of that name.
    pub fn index(&self, name: &str) -> Option<&Index> {
        self.user_indexes().find(|index| index.name == name)
    }

    /// The index of the items that expire, if the table has a time to live; its partition key says when they do.
    pub fn expiry(&self) -> Option<&Index> {
        self.indexes.iter().find(|index| index.kind == IndexKind::Expiry)
    }

    /// Has it a sort key, be it only the key of the items that its rows stand for?
    pub fn has_sort(&self) -> bool {
        self.sort_key.is_some() || !self.item_key.is_empty()
    }

    /// Is `name` of the partition key or of the sort key?
    pub fn is_key(&self, name: &str) -> bool {
        self.partition_attributes().chain(self.sort_attributes()).any(|attribute| attribute.name == name)
    }

    /// Appends this schema's encoding, which is self-delimiting, to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let flag = |set: bool, flag: u32| if set { flag } else { 0 };
        let flags = flag(self.sort_key.is_some(), SORT_KEY)
            | flag(self.sort_key_is_time, SORT_KEY_IS_TIME)
            | flag(self.stream.is_some(), STREAM)
            | flag(self.billing != Billing::OnDemand, PROVISIONED)
            | flag(self.deletion_protection, DELETION_PROTECTION)
            | flag(!self.indexes.is_empty(), INDEXES)
            | flag(!self.tags.is_empty(), TAGS)
            | flag(self.settings != TableSettings::default(), SETTINGS);
        put_varint(u128::from(self.id.0), out);
        put_bytes(self.name.as_bytes(), out);
        put_varint(u128::from(self.version), out);
        put_varint(u128::from(flags), out);
        std::iter::once(&self.partition_key).chain(&self.sort_key).for_each(|attribute| attribute.encode(out));
        if let Some(stream) = &self.stream {
            stream.encode(out);
        }
        put_varint(u128::from(self.created_at_us), out);
        self.billing.encode(out);
        if !self.indexes.is_empty() {
            put_varint(self.indexes.len() as u128, out);
            self.indexes.iter().for_each(|index| index.encode(out));
        }
        if !self.tags.is_empty() {
            put_varint(self.tags.len() as u128, out);
            for text in self.tags.iter().flat_map(|(key, value)| [key, value]) {
                put_bytes(text.as_bytes(), out);
            }
        }
        if flags & SETTINGS != 0 {
            self.settings.encode(out);
        }
    }

    /// Decodes the schema at `offset`, which moves behind it.
    pub fn decode(bytes: &Bytes, offset: &mut usize) -> Result<Table, CodecError> {
        let mut reader = Reader::new(bytes, *offset);
        let table = Table::read(&mut reader)?;
        *offset = reader.offset();
        Ok(table)
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Table, CodecError> {
        let start = reader.offset();
        let id = TableId(reader.number("a table id")?);
        let name = reader.text("a table name")?.to_owned();
        let version = reader.number("a schema version")?;
        let flags_start = reader.offset();
        let flags: u32 = reader.number("table flags")?;
        if flags & !FLAGS_ALL != 0 {
            return reader.error(flags_start, "known table flags");
        }
        let partition_key = KeyAttribute::read(reader)?;
        let sort_key = if flags & SORT_KEY != 0 { Some(KeyAttribute::read(reader)?) } else { None };
        let stream = if flags & STREAM != 0 { Some(Stream::read(reader)?) } else { None };
        let created_at_us = reader.number("a time")?;
        let billing = Billing::read(reader, flags & PROVISIONED != 0)?;
        let mut indexes = Vec::new();
        if flags & INDEXES != 0 {
            let count_start = reader.offset();
            let count: usize = reader.number("a count")?;
            if count == 0 {
                return reader.error(count_start, "indexes");
            }
            for _ in 0..count {
                indexes.push(Index::read(reader)?);
            }
        }
        let tags = if flags & TAGS != 0 { read_tags(reader)? } else { BTreeMap::new() };
        let settings = if flags & SETTINGS != 0 { TableSettings::read(reader)? } else { TableSettings::default() };
        let table = Table {
            id,
            name,
            version,
            partition_key,
            sort_key,
            sort_key_is_time: flags & SORT_KEY_IS_TIME != 0,
            item_key: Vec::new(),
            further_keys: Default::default(),
            settings,
            indexes,
            stream,
            created_at_us,
            billing,
            deletion_protection: flags & DELETION_PROTECTION != 0,
            tags,
        };
        if table.check().is_err() {
            return reader.error(start, "a table with legal names and keys");
        }
        Ok(table)
    }
}

fn read_tags(reader: &mut Reader<'_>) -> Result<BTreeMap<String, String>, CodecError> {
    let count_start = reader.offset();
    let count: usize = reader.number("a count")?;
    if count == 0 {
        return reader.error(count_start, "tags");
    }
    let mut tags = BTreeMap::new();
    for _ in 0..count {
        let start = reader.offset();
        let key = reader.text("a tag's key")?.to_owned();
        if tags.last_key_value().is_some_and(|(last, _)| *last >= key) {
            return reader.error(start, "strictly ascending keys");
        }
        tags.insert(key, reader.text("a tag's value")?.to_owned());
    }
    Ok(tags)
}

impl KeyAttribute {
    fn encode(&self, out: &mut Vec<u8>) {
        put_bytes(self.name.as_bytes(), out);
        out.push(self.key_type as u8);
    }

    fn read(reader: &mut Reader<'_>) -> Result<KeyAttribute, CodecError> {
        let name = reader.text("a key attribute name")?.to_owned();
        let start = reader.offset();
        let key_type = match reader.byte("a key type")? {
            1 => KeyType::S,
            2 => KeyType::N,
            3 => KeyType::B,
            _ => return reader.error(start, "a known key type"),
        };
        Ok(KeyAttribute { name, key_type })
    }
}

impl Billing {
    fn encode(self, out: &mut Vec<u8>) {
        if let Billing::Provisioned { read_units, write_units } = self {
            put_varint(u128::from(read_units), out);
            put_varint(u128::from(write_units), out);
        }
    }

    fn read(reader: &mut Reader<'_>, is_provisioned: bool) -> Result<Billing, CodecError> {
        if !is_provisioned {
            return Ok(Billing::OnDemand);
        }
        let read_units = reader.number("capacity units")?;
        Ok(Billing::Provisioned { read_units, write_units: reader.number("capacity units")? })
    }
}

impl Stream {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.view as u8);
        put_varint(u128::from(self.enabled_at_us), out);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Stream, CodecError> {
        let start = reader.offset();
        let view = match reader.byte("a stream view")? {
            1 => StreamView::KeysOnly,
            2 => StreamView::NewImage,
            3 => StreamView::OldImage,
            4 => StreamView::NewAndOldImages,
            _ => return reader.error(start, "a known stream view"),
        };
        Ok(Stream { view, enabled_at_us: reader.number("a time")? })
    }
}

#[cfg(test)]
mod tests;
