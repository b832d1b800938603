//! Column types: what each attribute of a table is stored as, for all of its files alike.
//!
//! Types only widen:
//!
//! ```text
//! decimal(integer digits, scale)  to more of either, while their sum is at most 38; up to 18 in 8 bytes, else in 16
//! time(ms)                        to time(us) to time(ns)
//! an attribute's types            to more of them, one column each
//! a map's fields                  to more of them, with types of their own, which widen likewise
//! ```
//! A number that no decimal holds beside the others is a double, if that gives back the same digits. A value that no column
//! holds (lists, sets, maps without fields, other numbers, attributes and fields beyond a cap) goes to the residual column; of
//! a map, only what its columns do not hold. The order of columns is: key, then in the order in which they were first seen.

use std::{
    collections::{BTreeMap, btree_map},
    ops::Bound,
    sync::Arc,
};

use item::{CodecError, Image, Item, KeyType, Number, Table, Value, ValueRef};
use serde::{Deserialize, Serialize};

use super::{decimal, names};

/// Columns of a table for attributes, beside the fixed ones, those of maps and of their fields included; what needs more goes to
/// the residual column.
pub const COLUMNS_MAX: usize = 1000;
/// Columns for the fields of one map: one with more is a table of its own, whose keys are not known beforehand.
const FIELDS_MAX: usize = 64;
/// Maps in maps, so deep.
const MAPS_DEEP_MAX: usize = 4;

/// What a column holds. Written to files and manifests: names are not to be changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Numbers that are the shortest digits of a double.
    Double,
    /// Numbers of milliseconds since 1970, as a timestamp.
    Time(TimeUnit),
    /// Maps, as structs: the columns of their fields, at least one.
    Map(Arc<ColumnTypes>),
}

impl ColumnType {
    /// Parquet's columns for it.
    pub(super) fn leaves(&self) -> usize {
        match self {
            ColumnType::Map(fields) => fields.columns().iter().map(|field| field.column_type.leaves()).sum(),
            _ => 1,
        }
    }

    /// May values that came before there was such a column be in the residual column, though it would hold them?
    pub(super) fn may_take_from_residual(&self) -> bool {
        matches!(self, ColumnType::Map(_) | ColumnType::Double)
    }
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

/// How much wider types may become.
#[derive(Clone, Copy)]
struct Room {
    /// Columns more, of all maps together.
    columns: usize,
    /// Columns of the attributes, or of the fields of the map that is looked at.
    fields_max: usize,
    /// Maps in maps more.
    depth: usize,
}

/// The columns of one attribute, by type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Slots {
    pub(super) string: Option<usize>,
    pub(super) binary: Option<usize>,
    pub(super) bool: Option<usize>,
    pub(super) null: Option<usize>,
    pub(super) number: Option<usize>,
    pub(super) double: Option<usize>,
    pub(super) map: Option<usize>,
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

impl Room {
    /// For the fields of a map that is looked at here.
    fn inside(self) -> Room {
        Room { fields_max: FIELDS_MAX, depth: self.depth - 1, ..self }
    }
}

impl Slots {
    /// The column for a value of this type, if it is not a map.
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
            self.widen_attribute(attribute, &ValueRef::from(value)).expect("nothing is left to decode");
        }
    }

    /// As [`ColumnTypes::widen`], of an item as it lies in a memtable. Most add nothing, and are not copied.
    pub fn widen_image(self: &mut Arc<Self>, image: &Image) -> Result<(), CodecError> {
        let mut holds = true;
        let mut ascending = self.ascending();
        for attribute in image.attributes() {
            let (name, value) = attribute?;
            let none = Slots::default();
            holds &= self.has_column(name, ascending.slots(name).unwrap_or(&none), &value)?;
        }
        if !holds {
            let types = Arc::make_mut(self);
            for attribute in image.attributes() {
                let (name, value) = attribute?;
                types.widen_attribute(name, &value)?;
            }
        }
        Ok(())
    }

    /// Is there a column for the value as the types are, or would there never be one?
    fn has_column(&self, attribute: &str, slots: &Slots, value: &ValueRef<'_>) -> Result<bool, CodecError> {
        Ok(match value {
            ValueRef::Number(number) => {
                let holds = |at: usize| decimal::holds(&self.columns[at].column_type, number);
                slots.number.is_some_and(holds) || !self.would_widen(attribute, value)?
            }
            ValueRef::Whole(_) | ValueRef::Encoded { .. } => !self.would_widen(attribute, value)?,
            _ => slots.column(value).is_some(),
        })
    }

    /// Would [`ColumnTypes::widen`] make room for this value? Asked of values that no column holds.
    pub(super) fn would_widen(&self, attribute: &str, value: &ValueRef<'_>) -> Result<bool, CodecError> {
        Ok(match value {
            ValueRef::Whole(_) | ValueRef::Encoded { .. } if value.type_name() != "M" => false,
            ValueRef::Encoded { .. } => {
                let value = value.to_value()?;
                self.would_widen_in(attribute, &ValueRef::from(&value), self.room())
            }
            _ => self.would_widen_in(attribute, value, self.room()),
        })
    }

    fn would_widen_in(&self, attribute: &str, value: &ValueRef<'_>, room: Room) -> bool {
        let slots = self.by_attribute.get(attribute).copied().unwrap_or_default();
        let is_addable = |columns: usize| self.has_room(room, columns) && self.stem(attribute).is_some();
        match value {
            ValueRef::Whole(Value::Map(entries)) if room.depth > 0 => {
                let none = ColumnTypes::default();
                let (fields, room) = match slots.map.map(|at| &self.columns[at].column_type) {
                    Some(ColumnType::Map(fields)) => (&**fields, room.inside()),
                    // The map's own column comes first.
                    _ if is_addable(2) => (&none, Room { columns: room.columns - 1, ..room }.inside()),
                    _ => return false,
                };
                entries.iter().any(|(name, value)| fields.would_widen_in(name, &ValueRef::from(value), room))
            }
            ValueRef::Whole(_) | ValueRef::Encoded { .. } => false,
            ValueRef::Number(number) => {
                let before = slots.number.map(|at| &self.columns[at].column_type);
                match decimal::widened(before, number) {
                    Some(wide) if before.is_some() => before != Some(&wide),
                    Some(_) => is_addable(1),
                    None => slots.double.is_none() && is_double(before, number) && is_addable(1),
                }
            }
            _ => slots.column(value).is_none() && is_addable(1),
        }
    }

    /// How many columns there are, those of fields included.
    fn size(&self) -> usize {
        let inside = |column: &Column| match &column.column_type {
            ColumnType::Map(fields) => 1 + fields.size(),
            _ => 1,
        };
        self.columns.iter().map(inside).sum()
    }

    /// How much wider the types of a table may become.
    fn room(&self) -> Room {
        Room { columns: COLUMNS_MAX.saturating_sub(self.size()), fields_max: COLUMNS_MAX, depth: MAPS_DEEP_MAX }
    }

    /// May there be a column more, where it is one of so many?
    fn has_room(&self, room: Room, columns: usize) -> bool {
        room.columns >= columns && self.columns.len() < room.fields_max
    }

    /// For looking up the attributes of a row, in order of their names.
    pub(super) fn ascending(&self) -> Ascending<'_> {
        Ascending { types: &self.by_attribute, next: self.by_attribute.range::<str, _>(..) }
    }

    /// The columns of one attribute.
    pub(super) fn slots(&self, attribute: &str) -> Slots {
        self.by_attribute.get(attribute).copied().unwrap_or_default()
    }

    /// The column of a number that is a double if no decimal column could ever hold it.
    pub(super) fn double_column(&self, slots: &Slots, number: &Number) -> Option<usize> {
        let before = slots.number.map(|at| &self.columns[at].column_type);
        slots.double.filter(|_| decimal::widened(before, number).is_none() && is_double(before, number))
    }

    fn widen_attribute(&mut self, attribute: &str, value: &ValueRef<'_>) -> Result<(), CodecError> {
        // Most need no more than a look.
        if self.would_widen(attribute, value)? {
            let room = self.room();
            match value {
                ValueRef::Encoded { .. } => self.widen_in(attribute, &ValueRef::from(&value.to_value()?), room),
                _ => self.widen_in(attribute, value, room),
            };
        }
        Ok(())
    }

    /// Widens by one value; answers how many columns more there are.
    fn widen_in(&mut self, attribute: &str, value: &ValueRef<'_>, room: Room) -> usize {
        let slots = self.slots(attribute);
        let (slot, new) = match value {
            ValueRef::String(_) => (slots.string, ColumnType::String),
            ValueRef::Binary(_) => (slots.binary, ColumnType::Binary),
            ValueRef::Bool(_) => (slots.bool, ColumnType::Bool),
            ValueRef::Null => (slots.null, ColumnType::Null),
            ValueRef::Number(number) => {
                let before = slots.number.map(|at| &self.columns[at].column_type);
                match decimal::widened(before, number) {
                    Some(wide) => (slots.number, wide),
                    None if is_double(before, number) => (slots.double, ColumnType::Double),
                    None => return 0,
                }
            }
            ValueRef::Whole(Value::Map(entries)) if room.depth > 0 => {
                return self.widen_map(attribute, slots.map, entries, room);
            }
            ValueRef::Whole(_) | ValueRef::Encoded { .. } => return 0,
        };
        match slot {
            Some(at) => {
                self.columns[at].column_type = new;
                0
            }
            None if self.has_room(room, 1) => usize::from(self.add(attribute, new)),
            None => 0,
        }
    }

    fn widen_map(
        &mut self,
        attribute: &str,
        slot: Option<usize>,
        entries: &BTreeMap<String, Value>,
        room: Room,
    ) -> usize {
        let widen_fields = |fields: &mut ColumnTypes, mut room: Room| {
            let columns = room.columns;
            for (name, value) in entries {
                room.columns -= fields.widen_in(name, &ValueRef::from(value), room);
            }
            columns - room.columns
        };
        if let Some(ColumnType::Map(fields)) = slot.map(|at| &mut self.columns[at].column_type) {
            return widen_fields(Arc::make_mut(fields), room.inside());
        }
        if !self.has_room(room, 2) {
            return 0;
        }
        let mut fields = ColumnTypes::default();
        let added = widen_fields(&mut fields, Room { columns: room.columns - 1, ..room }.inside());
        // Parquet has no structs without fields.
        if added > 0 && self.add(attribute, ColumnType::Map(Arc::new(fields))) { added + 1 } else { 0 }
    }

    /// Adds a column, if there is a name for it; answers whether there is.
    fn add(&mut self, attribute: &str, column_type: ColumnType) -> bool {
        let Some(stem) = self.stem(attribute) else { return false };
        let plain_is_free = !self.columns.iter().any(|column| column.name == stem);
        let name = if plain_is_free && column_type != ColumnType::Null {
            stem
        } else {
            format!("{stem}{}", names::suffix(&column_type))
        };
        self.push(Column { name, attribute: attribute.to_owned(), column_type });
        true
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
        let slot = match &column.column_type {
            ColumnType::String => &mut slots.string,
            ColumnType::Binary => &mut slots.binary,
            ColumnType::Bool => &mut slots.bool,
            ColumnType::Null => &mut slots.null,
            ColumnType::Decimal { .. } | ColumnType::Time(_) => &mut slots.number,
            ColumnType::Double => &mut slots.double,
            ColumnType::Map(_) => &mut slots.map,
        };
        *slot = Some(self.columns.len());
        let stem = column.name.strip_suffix(names::suffix(&column.column_type)).unwrap_or(&column.name);
        self.stems.entry(names::folded(stem)).or_insert_with(|| column.attribute.clone());
        self.columns.push(column);
    }
}

/// Does a double hold the number, which no decimal column does? Not in a column of times, where it would be no time.
fn is_double(before: Option<&ColumnType>, number: &Number) -> bool {
    !matches!(before, Some(ColumnType::Time(_))) && decimal::to_double(number).is_some()
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
