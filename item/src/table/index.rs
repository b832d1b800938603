//! Secondary indexes: their schema, their encoding, and the entry of an item.
//!
//! An index's entries are rows like a table's, under a number of their own, in the shard of the item that they index. The
//! key of an entry is the index's key and then the item's, so that items with equal index keys are entries apart:
//!
//! ```text
//! partition  the index's partition key attributes
//! sort       the index's sort key attributes, if it has some | the item's partition key, if the index is global | the item's sort key
//! ```
//! An item without the index's key attributes, or with values there that no key may have, has no entry.
//!
//! The expiry index is the one that a table with a time to live has beside those that its users make: its partition key is
//! the attribute that says when an item expires, so its entries, in order, are the items in the order of their expiry.
//!
//! ```text
//! index      id: varint | name: text | kind: 1 byte | flags: varint | partition key: attribute
//!            | sort key: attribute, if flag 1 | projection: 1 byte
//!            | count: varint, count x text (strictly ascending), if the projection is 2
//!            | read units: varint, write units: varint, if flag 4
//!            | count: varint, count x attribute (partition key), count: varint, count x attribute (sort key), if flag 8
//!            | throughput (see `table::settings`), if flag 16
//!
//! kind        1 global | 2 local | 3 expiry   projection  1 keys only | 2 keys and these | 3 all
//! flags       1 sort key | 2 being filled | 4 provisioned | 8 further key attributes | 16 throughput
//! ```
//! Kinds, projections and flags are persisted: never renumber.

use std::collections::BTreeSet;

use super::{Billing, FurtherKeys, KeyAttribute, KeyType, Table, TableError, TableId, Throughput, check_name};
use crate::codec::{CodecError, Reader, put_bytes, put_varint};
use crate::{Item, Key, KeyError, key};

/// Over which items an index goes. Numbers are persisted: never renumber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum IndexKind {
    /// Over all items of the table.
    Global = 1,
    /// Over the items of one partition: it has the table's partition key.
    Local = 2,
    /// Over the items that expire, by when they do, in seconds since 1970. Hidden; a table has at most one.
    Expiry = 3,
}

/// The name of every expiry index: no user's index can have it.
pub const EXPIRY_INDEX: &str = "$expiry";

/// Which attributes an entry holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Projection {
    /// The keys of table and index.
    KeysOnly,
    /// These and the keys.
    Include(BTreeSet<String>),
    /// All of the item's.
    All,
}

/// May an index be read?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexStatus {
    /// Not yet: items that are older than it are being added.
    Filling,
    /// Yes.
    Active,
}

/// A secondary index of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// The number under which its entries are rows. Never reused.
    pub id: TableId,
    /// Its name: 3-255 of `[a-zA-Z0-9_.-]`.
    pub name: String,
    /// Over which items it goes.
    pub kind: IndexKind,
    /// Partition key; a local index has the table's.
    pub partition_key: KeyAttribute,
    /// Sort key, if any.
    pub sort_key: Option<KeyAttribute>,
    /// The key attributes that follow these two, of a global index.
    pub further_keys: FurtherKeys,
    /// Which attributes an entry holds.
    pub projection: Projection,
    /// May it be read?
    pub status: IndexStatus,
    /// Capacity mode as told back by DescribeTable.
    pub billing: Billing,
    /// What is set and known of its throughput beside.
    pub throughput: Throughput,
}

const SORT_KEY: u32 = 1;
const FILLING: u32 = 2;
const PROVISIONED: u32 = 4;
const FURTHER_KEYS: u32 = 8;
const THROUGHPUT: u32 = 16;
const FLAGS_ALL: u32 = 31;

impl Index {
    /// The index of the items that expire when their number `attribute` says.
    pub fn expiry(attribute: impl Into<String>) -> Index {
        Index {
            id: TableId(0),
            name: EXPIRY_INDEX.to_owned(),
            kind: IndexKind::Expiry,
            partition_key: KeyAttribute::new(attribute, KeyType::N),
            sort_key: None,
            further_keys: FurtherKeys::default(),
            projection: Projection::KeysOnly,
            status: IndexStatus::Filling,
            billing: Billing::OnDemand,
            throughput: Throughput::default(),
        }
    }

    /// The key attributes: those of the partition key, then those of the sort key.
    pub fn key_attributes(&self) -> impl Iterator<Item = &KeyAttribute> {
        self.partition_attributes().chain(self.sort_attributes())
    }

    /// The attributes of the partition key: one to four.
    pub fn partition_attributes(&self) -> impl Iterator<Item = &KeyAttribute> {
        std::iter::once(&self.partition_key).chain(&self.further_keys.partition)
    }

    /// The attributes of the sort key: none to four.
    pub fn sort_attributes(&self) -> impl Iterator<Item = &KeyAttribute> {
        self.sort_key.iter().chain(&self.further_keys.sort)
    }

    /// Is the attribute in every entry that has it, whatever the projection?
    pub fn is_key(&self, table: &Table, name: &str) -> bool {
        table.is_key(name) || self.key_attributes().any(|attribute| attribute.name == name)
    }

    /// Does an entry hold the attribute of its item?
    pub fn projects(&self, table: &Table, name: &str) -> bool {
        match &self.projection {
            Projection::All => true,
            Projection::Include(names) => names.contains(name) || self.is_key(table, name),
            Projection::KeysOnly => self.is_key(table, name),
        }
    }

    /// The schema of its entries, as if they were a table's items. It is made from the table's, never recorded.
    pub fn entries(&self, table: &Table) -> Table {
        let item_key = match self.kind {
            IndexKind::Global | IndexKind::Expiry => Some(table.partition_key.clone()),
            IndexKind::Local => None,
        };
        Table {
            id: self.id,
            name: format!("{}/{}", table.name, self.name),
            version: table.version,
            partition_key: self.partition_key.clone(),
            sort_key: self.sort_key.clone(),
            sort_key_is_time: false,
            item_key: item_key.into_iter().chain(table.sort_key.clone()).collect(),
            further_keys: self.further_keys.clone(),
            settings: Default::default(),
            indexes: Vec::new(),
            stream: None,
            created_at_us: table.created_at_us,
            billing: self.billing,
            deletion_protection: false,
            tags: Default::default(),
        }
    }

    /// The entry of an item of `table` whose key is `key`; none if it has none.
    pub fn entry(&self, key: &Key, item: &Item, table: &Table) -> Option<(Key, Item)> {
        Some((self.entry_key(key, item)?, self.project(item, table)))
    }

    /// The key of the entry of an item whose key is `key`; none if it has no entry.
    pub fn entry_key(&self, key: &Key, item: &Item) -> Option<Key> {
        // Most items have no such attributes: that is found before anything is encoded.
        if self.key_attributes().any(|attribute| item.get(&attribute.name).is_none()) {
            return None;
        }
        let value = |name: &str| item.get(name);
        let partition = key::encode_attributes(self.partition_attributes(), value, key::PARTITION_BYTES_MAX).ok()?;
        let mut sort = key::encode_attributes(self.sort_attributes(), value, key::SORT_BYTES_MAX).ok()?;
        if self.kind != IndexKind::Local {
            sort.extend_from_slice(&key.partition);
        }
        sort.extend_from_slice(&key.sort);
        Some(Key { partition: partition.into(), sort: sort.into() })
    }

    /// The key of the item whose entry has this key.
    pub fn item_key(&self, entry_key: &Key) -> Result<Key, CodecError> {
        let skip = |at: usize| Ok(at + key::decode_component(&entry_key.sort[at..])?.1);
        let start = self.sort_attributes().try_fold(0, |at, _| skip(at))?;
        let (partition, sort) = match self.kind {
            IndexKind::Global | IndexKind::Expiry => {
                let end = skip(start)?;
                (entry_key.sort.slice(start..end), entry_key.sort.slice(end..))
            }
            IndexKind::Local => (entry_key.partition.clone(), entry_key.sort.slice(start..)),
        };
        Ok(Key { partition, sort })
    }

    /// What an entry holds of its item.
    pub fn project(&self, item: &Item, table: &Table) -> Item {
        let held = item.iter().filter(|(name, _)| self.projects(table, name));
        Item(held.map(|(name, value)| (name.clone(), value.clone())).collect())
    }

    /// Refuses an item whose value for one of the index's keys no key may have. Whatever is no time lets an item live.
    pub fn check_item(&self, item: &Item) -> Result<(), KeyError> {
        if self.kind == IndexKind::Expiry {
            return Ok(());
        }
        let value = |name: &str| item.get(name);
        for (attributes, bytes_max) in [
            (self.partition_attributes().collect::<Vec<_>>(), key::PARTITION_BYTES_MAX),
            (self.sort_attributes().collect(), key::SORT_BYTES_MAX),
        ] {
            let given = attributes.into_iter().filter(|attribute| value(&attribute.name).is_some());
            key::encode_attributes(given, value, bytes_max)?;
        }
        Ok(())
    }

    /// Checks names and keys as an index of `table`.
    pub(super) fn check(&self, table: &Table) -> Result<(), TableError> {
        if self.kind == IndexKind::Expiry {
            let expiry = Index { id: self.id, status: self.status, ..Index::expiry(&self.partition_key.name) };
            if *self != expiry {
                return Err(TableError::ExpiryIndex);
            }
        } else {
            check_name(&self.name)?;
        }
        for KeyAttribute { name, .. } in self.key_attributes() {
            if !(1..=255).contains(&name.len()) {
                return Err(TableError::KeyNameLength { name: name.clone(), bytes: name.len() });
            }
        }
        let mut names = BTreeSet::new();
        if let Some(twice) = self.key_attributes().find(|attribute| !names.insert(&attribute.name)) {
            return Err(TableError::SameKeys { name: twice.name.clone() });
        }
        let FurtherKeys { partition, sort } = &self.further_keys;
        let is_over = |further: &Vec<KeyAttribute>| further.len() >= FurtherKeys::ATTRIBUTES_MAX;
        let is_orphan = self.sort_key.is_none() && !sort.is_empty();
        if is_over(partition) || is_over(sort) || is_orphan {
            return Err(TableError::KeyCount { index: self.name.clone() });
        }
        if self.kind == IndexKind::Local && !self.further_keys.is_empty() {
            return Err(TableError::LocalIndexKey { index: self.name.clone() });
        }
        if self.kind == IndexKind::Local && (self.partition_key != table.partition_key || self.sort_key.is_none()) {
            return Err(TableError::LocalIndexKey { index: self.name.clone() });
        }
        Ok(())
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(u128::from(self.id.0), out);
        put_bytes(self.name.as_bytes(), out);
        out.push(self.kind as u8);
        let flag = |set: bool, flag: u32| if set { flag } else { 0 };
        let flags = flag(self.sort_key.is_some(), SORT_KEY)
            | flag(self.status == IndexStatus::Filling, FILLING)
            | flag(self.billing != Billing::OnDemand, PROVISIONED)
            | flag(!self.further_keys.is_empty(), FURTHER_KEYS)
            | flag(self.throughput != Throughput::default(), THROUGHPUT);
        put_varint(u128::from(flags), out);
        std::iter::once(&self.partition_key).chain(&self.sort_key).for_each(|attribute| attribute.encode(out));
        match &self.projection {
            Projection::KeysOnly => out.push(1),
            Projection::Include(names) => {
                out.push(2);
                put_varint(names.len() as u128, out);
                names.iter().for_each(|name| put_bytes(name.as_bytes(), out));
            }
            Projection::All => out.push(3),
        }
        self.billing.encode(out);
        if !self.further_keys.is_empty() {
            for attributes in [&self.further_keys.partition, &self.further_keys.sort] {
                put_varint(attributes.len() as u128, out);
                attributes.iter().for_each(|attribute| attribute.encode(out));
            }
        }
        if flags & THROUGHPUT != 0 {
            self.throughput.encode(out);
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Index, CodecError> {
        let id = TableId(reader.number("an index id")?);
        let name = reader.text("an index name")?.to_owned();
        let kind_start = reader.offset();
        let kind = match reader.byte("a kind of index")? {
            1 => IndexKind::Global,
            2 => IndexKind::Local,
            3 => IndexKind::Expiry,
            _ => return reader.error(kind_start, "a known kind of index"),
        };
        let flags_start = reader.offset();
        let flags: u32 = reader.number("index flags")?;
        if flags > FLAGS_ALL {
            return reader.error(flags_start, "known index flags");
        }
        let partition_key = KeyAttribute::read(reader)?;
        let sort_key = if flags & SORT_KEY != 0 { Some(KeyAttribute::read(reader)?) } else { None };
        let projection = read_projection(reader)?;
        let billing = Billing::read(reader, flags & PROVISIONED != 0)?;
        let further_keys = if flags & FURTHER_KEYS != 0 { read_further_keys(reader)? } else { FurtherKeys::default() };
        let throughput = if flags & THROUGHPUT != 0 { Throughput::read(reader)? } else { Throughput::default() };
        let status = if flags & FILLING != 0 { IndexStatus::Filling } else { IndexStatus::Active };
        Ok(Index { id, name, kind, partition_key, sort_key, further_keys, projection, status, billing, throughput })
    }
}

fn read_further_keys(reader: &mut Reader<'_>) -> Result<FurtherKeys, CodecError> {
    let start = reader.offset();
    let mut attributes = || -> Result<Vec<KeyAttribute>, CodecError> {
        let count_start = reader.offset();
        let count: usize = reader.number("a count")?;
        if count >= FurtherKeys::ATTRIBUTES_MAX {
            return reader.error(count_start, "at most three further key attributes");
        }
        (0..count).map(|_| KeyAttribute::read(reader)).collect()
    };
    let further_keys = FurtherKeys { partition: attributes()?, sort: attributes()? };
    if further_keys.is_empty() {
        return reader.error(start, "further key attributes");
    }
    Ok(further_keys)
}

fn read_projection(reader: &mut Reader<'_>) -> Result<Projection, CodecError> {
    let start = reader.offset();
    match reader.byte("a projection")? {
        1 => Ok(Projection::KeysOnly),
        2 => {
            let mut names = BTreeSet::new();
            for _ in 0..reader.number::<usize>("a count")? {
                let start = reader.offset();
                let name = reader.text("an attribute name")?;
                if names.last().is_some_and(|last: &String| last.as_str() >= name) {
                    return reader.error(start, "strictly ascending names");
                }
                names.insert(name.to_owned());
            }
            Ok(Projection::Include(names))
        }
        3 => Ok(Projection::All),
        _ => reader.error(start, "a known projection"),
    }
}

#[cfg(test)]
mod tests;
