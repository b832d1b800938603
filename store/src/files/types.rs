//! Column types: what each attribute of a table is stored as, for all of its files alike.
//!
//! Types only widen:
//!
//! ```text
//! decimal(integer digits, scale)  to more of either, while their sum is at most 38; up to 18 in 8 bytes, else in 16
//! time(ms)                        to time(us) to time(ns)
//! an attribute's types            to more of them, one column each
//! ```
//! A value that no column holds (lists, maps, sets, numbers beyond these, attributes beyond the cap) goes to the
//! residual column. The order of columns is: key, then in the order in which they were first seen.

use std::{
    collections::{BTreeMap, btree_map},
    ops::Bound,
    sync::Arc,
};

use item::{CodecError, Image, Item, KeyType, Table, ValueRef};
use serde::{Deserialize, Serialize};

use super::{decimal, names};

/// Columns of a table for attributes, beside the fixed ones; more attributes go to the residual column.
pub const COLUMNS_MAX: usize = 1000;

/// What a column holds. Written to files and manifests: names are not to be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnType {
    /// Text.
    String,
    /// Bytes.
    Binary,
    /// True or false.
    Bool,
    /// True where the attribute is NULL.
    Null,
    /// Numbers with this many digits before and after the decimal point.
    Decimal {
        /// Digits before the decimal point at most.
        integer_digits: u8,
        /// Digits after it at most.
        scale: u8,
    },
    /// Numbers of milliseconds since 1970, as a timestamp.
    Time(TimeUnit),
}

/// The unit of a time column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeUnit {
    /// Milliseconds.
    Millis,
    /// Microseconds.
    Micros,
    /// Nanoseconds.
    Nanos,
}

/// One column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name in the file.
    pub name: String,
    /// The attribute whose values it holds.
    pub attribute: String,
    /// The values of that attribute that it holds.
    #[serde(rename = "type")]
    pub column_type: ColumnType,
}

/// The columns of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Column>", into = "Vec<Column>")]
pub struct ColumnTypes {
    columns: Vec<Column>,
    by_attribute: BTreeMap<String, Slots>,
    /// What the columns of an attribute are named after, folded: taken by that attribute.
    stems: BTreeMap<String, String>,
}

/// The columns of one attribute, by type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Slots {
    pub(super) string: Option<usize>,
    pub(super) binary: Option<usize>,
    pub(super) bool: Option<usize>,
    pub(super) null: Option<usize>,
    pub(super) number: Option<usize>,
}

/// Looks up attributes in order of their names. Rows are alike, so the next one is mostly the next one here.
pub(super) struct Ascending<'a> {
    types: &'a BTreeMap<String, Slots>,
    next: btree_map::Range<'a, String, Slots>,
}

impl<'a> Ascending<'a> {
    /// The columns of `attribute`.
    pub(super) fn slots(&mut self, attribute: &str) -> Option<&'a Slots> {
        if let Some((name, slots)) = self.next.next()
            && name == attribute
        {
            return Some(slots);
        }
        self.next = self.types.range::<str, _>((Bound::Included(attribute), Bound::Unbounded));
        let (_, slots) = self.next.clone().next().filter(|(name, _)| *name == attribute)?;
        self.next.next();
        Some(slots)
    }
}

impl Slots {
    /// The column for a value of this type.
    pub(super) fn column(&self, value: &ValueRef<'_>) -> Option<usize> {
        match value {
            ValueRef::String(_) => self.string,
            ValueRef::Binary(_) => self.binary,
            ValueRef::Bool(_) => self.bool,
            ValueRef::Null => self.null,
            ValueRef::Number(_) => self.number,
            ValueRef::Whole(_) | ValueRef::Encoded { .. } => None,
        }
    }
}

impl ColumnTypes {
    /// The columns of a table without items: those of its key.
    pub fn of_table(table: &Table) -> ColumnTypes {
        let mut types = ColumnTypes::default();
        let key_type = |key_type: KeyType| match key_type {
            KeyType::S => ColumnType::String,
            KeyType::N => ColumnType::Decimal { integer_digits: 0, scale: 0 },
            KeyType::B => ColumnType::Binary,
        };
        types.add(&table.partition_key.name, key_type(table.partition_key.key_type));
        if let Some(sort) = &table.sort_key {
            let is_time = table.sort_key_is_time && sort.key_type == KeyType::N;
            types.add(&sort.name, if is_time { ColumnType::Time(TimeUnit::Millis) } else { key_type(sort.key_type) });
        }
        let others = table.further_keys.partition.iter().chain(&table.further_keys.sort).chain(&table.item_key);
        for attribute in others {
            if !types.by_attribute.contains_key(&attribute.name) {
                types.add(&attribute.name, key_type(attribute.key_type));
            }
        }
        types
    }

    /// The columns, in their order.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Widens to hold `item`'s values, as far as columns can.
    pub fn widen(&mut self, item: &Item) {
        for (attribute, value) in &item.0 {
            self.widen_attribute(attribute, &ValueRef::from(value));
        }
    }

    /// As [`ColumnTypes::widen`], of an item as it lies in a memtable. Most add nothing, and are not copied.
    pub fn widen_image(self: &mut Arc<Self>, image: &Image) -> Result<(), CodecError> {
        let mut holds = true;
        let mut ascending = self.ascending();
        for attribute in image.attributes() {
            let (name, value) = attribute?;
            holds &= ascending.slots(name).is_some_and(|slots| self.has_column(slots, &value));
        }
        if !holds {
            let types = Arc::make_mut(self);
            for attribute in image.attributes() {
                let (name, value) = attribute?;
                types.widen_attribute(name, &value);
            }
        }
        Ok(())
    }

    /// Is there a column for the value as the types are, or would there never be one?
    fn has_column(&self, slots: &Slots, value: &ValueRef<'_>) -> bool {
        match value {
            ValueRef::Number(number) => slots.number.is_some_and(|at| {
                let before = self.columns[at].column_type;
                decimal::holds(before, number)
                    || decimal::widened(Some(before), number).is_none_or(|wide| wide == before)
            }),
            ValueRef::Whole(_) | ValueRef::Encoded { .. } => true,
            _ => slots.column(value).is_some(),
        }
    }

    /// Would [`ColumnTypes::widen`] make room for this value? Asked of values that no column holds.
    pub(super) fn would_widen(&self, attribute: &str, value: &ValueRef<'_>) -> bool {
        let slots = self.by_attribute.get(attribute).copied().unwrap_or_default();
        let is_addable = || self.columns.len() < COLUMNS_MAX && self.stem(attribute).is_some();
        match value {
            ValueRef::Whole(_) | ValueRef::Encoded { .. } => false,
            ValueRef::Number(number) => {
                let before = slots.number.map(|at| self.columns[at].column_type);
                match decimal::widened(before, number) {
                    Some(wide) if before.is_some() => before != Some(wide),
                    Some(_) => is_addable(),
                    None => false,
                }
            }
            _ => slots.column(value).is_none() && is_addable(),
        }
    }

    /// For looking up the attributes of a row, in order of their names.
    pub(super) fn ascending(&self) -> Ascending<'_> {
        Ascending { types: &self.by_attribute, next: self.by_attribute.range::<str, _>(..) }
    }

    fn widen_attribute(&mut self, attribute: &str, value: &ValueRef<'_>) {
        let slots = self.by_attribute.get(attribute).copied().unwrap_or_default();
        let (slot, new) = match value {
            ValueRef::String(_) => (slots.string, ColumnType::String),
            ValueRef::Binary(_) => (slots.binary, ColumnType::Binary),
            ValueRef::Bool(_) => (slots.bool, ColumnType::Bool),
            ValueRef::Null => (slots.null, ColumnType::Null),
            ValueRef::Number(number) => {
                let before = slots.number.map(|at| self.columns[at].column_type);
                let Some(wide) = decimal::widened(before, number) else { return };
                (slots.number, wide)
            }
            ValueRef::Whole(_) | ValueRef::Encoded { .. } => return,
        };
        match slot {
            Some(at) => self.columns[at].column_type = new,
            None => self.add(attribute, new),
        }
    }

    /// Adds a column, if there is room and a name for it.
    fn add(&mut self, attribute: &str, column_type: ColumnType) {
        if self.columns.len() >= COLUMNS_MAX {
            return;
        }
        let Some(stem) = self.stem(attribute) else { return };
        let plain_is_free = !self.columns.iter().any(|column| column.name == stem);
        let name = if plain_is_free && column_type != ColumnType::Null {
            stem
        } else {
            format!("{stem}{}", names::suffix(column_type))
        };
        self.push(Column { name, attribute: attribute.to_owned(), column_type });
    }

    /// What the columns of this attribute are named after; none if that is taken.
    fn stem(&self, attribute: &str) -> Option<String> {
        let free = |stem: &str| self.stems.get(&names::folded(stem)).is_none_or(|owner| owner == attribute);
        if !names::must_escape(attribute) && free(attribute) {
            return Some(attribute.to_owned());
        }
        Some(names::escaped(attribute)).filter(|escaped| free(escaped))
    }

    fn push(&mut self, column: Column) {
        let slots = self.by_attribute.entry(column.attribute.clone()).or_default();
        let slot = match column.column_type {
            ColumnType::String => &mut slots.string,
            ColumnType::Binary => &mut slots.binary,
            ColumnType::Bool => &mut slots.bool,
            ColumnType::Null => &mut slots.null,
            ColumnType::Decimal { .. } | ColumnType::Time(_) => &mut slots.number,
        };
        *slot = Some(self.columns.len());
        let stem = column.name.strip_suffix(names::suffix(column.column_type)).unwrap_or(&column.name);
        self.stems.entry(names::folded(stem)).or_insert_with(|| column.attribute.clone());
        self.columns.push(column);
    }
}

impl From<Vec<Column>> for ColumnTypes {
    fn from(columns: Vec<Column>) -> Self {
        let mut types = ColumnTypes::default();
        columns.into_iter().for_each(|column| types.push(column));
        types
    }
}

impl From<ColumnTypes> for Vec<Column> {
    fn from(types: ColumnTypes) -> Self {
        types.columns
    }
}
