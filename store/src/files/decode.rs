//! Columns to rows.

use std::collections::BTreeMap;

use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Decimal64Array, Decimal128Array, Float64Array, Int64Array, RecordBatch,
    StringArray, StructArray, TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray,
    cast::AsArray,
};
use bytes::Bytes;
use item::{Item, Key, KeyAttribute, Number, SequenceNumber, Value, key};

use super::{
    ItemRow, decimal,
    footer::{Footer, KeyAttributes},
    keys::Keys,
    types::{ColumnType, ColumnTypes, TimeUnit},
};

/// Which columns of a file a batch has, in the file's order.
pub(super) struct Projection {
    /// Positions of attribute columns.
    attributes: Vec<usize>,
    residual: bool,
    /// The sequence number, and in run files the mark of removed keys.
    row: bool,
}

impl Projection {
    /// Every column.
    pub(super) fn all(footer: &Footer) -> Projection {
        Projection { attributes: (0..footer.types.columns().len()).collect(), residual: true, row: true }
    }

    /// What a row's key is made of.
    pub(super) fn key(footer: &Footer) -> Projection {
        let is_key = |attribute: &str| footer.key.attributes().any(|key| key.name == attribute);
        let columns = footer.types.columns().iter().enumerate();
        let attributes = columns.filter(|(_, column)| is_key(&column.attribute)).map(|(at, _)| at).collect();
        Projection { attributes, residual: footer.residual_values > 0, row: false }
    }

    /// Positions among the file's columns.
    pub(super) fn positions(&self, footer: &Footer) -> Vec<usize> {
        let fixed = footer.types.columns().len();
        let mut positions = self.attributes.clone();
        positions.extend(self.residual.then_some(fixed));
        if self.row {
            positions.push(fixed + 1);
            positions.extend(footer.with_deleted.then_some(fixed + 2));
        }
        positions
    }
}

/// Decoded columns, from which rows are taken one by one.
pub(super) struct Batch {
    columns: Vec<(String, Cells)>,
    residual: Option<StringArray>,
    sequence: Option<Int64Array>,
    deleted: Option<BooleanArray>,
    rows: usize,
}

/// A key attribute, and the cells that may hold its values.
type Component<'a> = (&'a KeyAttribute, Vec<&'a Cells>);

enum Cells {
    String(StringArray),
    Binary(BinaryArray),
    Bool(BooleanArray),
    Null(BooleanArray),
    Narrow { values: Decimal64Array, scale: u8 },
    Wide { values: Decimal128Array, scale: u8 },
    Millis(TimestampMillisecondArray),
    Micros(TimestampMicrosecondArray),
    Nanos(TimestampNanosecondArray),
    Double(Float64Array),
    Map { maps: StructArray, fields: Vec<(String, Cells)> },
}

impl Batch {
    /// Takes a batch that was read with `projection`; an error says which column is not what the footer says.
    pub(super) fn new(footer: &Footer, projection: &Projection, batch: &RecordBatch) -> Result<Batch, String> {
        let mut arrays = batch.columns().iter();
        let mut columns = Vec::with_capacity(projection.attributes.len());
        for at in &projection.attributes {
            let column = &footer.types.columns()[*at];
            let cells = arrays.next().and_then(|array| Cells::new(&column.column_type, array));
            columns.push((
                column.attribute.clone(),
                cells.ok_or_else(|| format!("column {:?} has another type", column.name))?,
            ));
        }
        let wrong = |name: &str| format!("column {name:?} has another type");
        let mut next = |wanted: bool| if wanted { arrays.next() } else { None };
        let residual = next(projection.residual).map(|array| array.as_string_opt().cloned().ok_or(wrong("_residual")));
        let sequence = next(projection.row).map(|array| array.as_primitive_opt().cloned().ok_or(wrong("_seq")));
        let deleted = next(projection.row && footer.with_deleted)
            .map(|array| array.as_boolean_opt().cloned().ok_or(wrong("_deleted")));
        Ok(Batch {
            columns,
            residual: residual.transpose()?,
            sequence: sequence.transpose()?,
            deleted: deleted.transpose()?,
            rows: batch.num_rows(),
        })
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// The key at `row`; an error says what is wrong with it.
    pub(super) fn key(&self, footer: &Footer, row: usize) -> Result<Key, String> {
        let (mut partition, mut sort) = (Vec::new(), Vec::new());
        let put = |attribute: &KeyAttribute, bytes: &mut Vec<u8>| {
            self.put_component(attribute, self.cells_of(attribute), row, bytes)
        };
        footer.key.partition.iter().try_for_each(|attribute| put(attribute, &mut partition))?;
        footer.key.sort.iter().try_for_each(|attribute| put(attribute, &mut sort))?;
        Ok(Key { partition: partition.into(), sort: sort.into() })
    }

    /// The keys of all rows; an error says what is wrong with one.
    pub(super) fn keys(&self, footer: &Footer) -> Result<Keys, String> {
        let mut keys = Keys::with_capacity(self.rows);
        self.put_keys(footer, &mut keys)?;
        Ok(keys)
    }

    /// Adds the keys of all rows to those of rows before them; an error says what is wrong with one.
    pub(super) fn put_keys(&self, footer: &Footer, keys: &mut Keys) -> Result<(), String> {
        let KeyAttributes { partition, sort } = &footer.key;
        let (partition, sort) = (self.components_of(partition), self.components_of(sort));
        for row in 0..self.rows {
            let put = |components: &[Component<'_>], bytes: &mut Vec<u8>| {
                let mut components = components.iter();
                components.try_for_each(|(it, cells)| self.put_component(it, cells.iter().copied(), row, bytes))
            };
            let put_partition = |bytes: &mut Vec<u8>| put(&partition, bytes);
            let put_sort = |bytes: &mut Vec<u8>| put(&sort, bytes);
            let repeats = |(_, cells): &Component<'_>| cells.iter().any(|cells| cells.repeats_text(row));
            if row > 0 && partition.iter().all(repeats) {
                keys.push_in_partition(put_sort)?;
            } else {
                keys.push(put_partition, put_sort)?;
            }
        }
        Ok(())
    }

    /// The sequence numbers, every row with one; an error says which has none.
    pub(super) fn sequences(&self) -> Result<&Int64Array, String> {
        let sequences = self.sequence.as_ref().ok_or("there are no sequence numbers")?;
        match (0..self.rows).find(|row| sequences.is_null(*row) || sequences.value(*row) < 0) {
            Some(row) => Err(format!("row {row} has no sequence number")),
            None => Ok(sequences),
        }
    }

    /// Which rows are of removed keys, where there may be some.
    pub(super) fn removed(&self) -> Option<&BooleanArray> {
        self.deleted.as_ref()
    }

    /// The texts of the residual column.
    pub(super) fn residual_texts(&self) -> Option<&StringArray> {
        self.residual.as_ref()
    }

    /// Key attributes, each with the cells that may hold its values.
    fn components_of<'a>(&'a self, attributes: &'a [KeyAttribute]) -> Vec<Component<'a>> {
        attributes.iter().map(|attribute| (attribute, self.cells_of(attribute).collect())).collect()
    }

    /// Appends a row's key component.
    fn put_component<'a>(
        &self,
        attribute: &KeyAttribute,
        cells: impl Iterator<Item = &'a Cells>,
        row: usize,
        bytes: &mut Vec<u8>,
    ) -> Result<(), String> {
        let mut value = None;
        for cells in cells {
            value = cells.value(row)?.or(value);
        }
        if value.is_none() {
            value = self.residual(row)?.and_then(|mut item| item.0.remove(&attribute.name));
        }
        let value = value.ok_or_else(|| format!("row {row} has no key attribute {:?}", attribute.name))?;
        key::encode_component(&attribute.name, &value, attribute.key_type, bytes)
            .map_err(|error| format!("row {row}: {error}"))
    }

    fn cells_of<'a>(&'a self, attribute: &'a KeyAttribute) -> impl Iterator<Item = &'a Cells> {
        self.columns.iter().filter(|(name, _)| *name == attribute.name).map(|(_, cells)| cells)
    }

    /// The row at `row`; an error says what is wrong with it.
    pub(super) fn row(&self, footer: &Footer, row: usize) -> Result<ItemRow, String> {
        let key = self.key(footer, row)?;
        let sequence = self.sequence.as_ref().filter(|values| values.is_valid(row)).map(|values| values.value(row));
        let sequence = sequence.and_then(|sequence| u64::try_from(sequence).ok()).map(SequenceNumber);
        let sequence = sequence.ok_or_else(|| format!("row {row} has no sequence number"))?;
        if self.deleted.as_ref().is_some_and(|deleted| deleted.is_valid(row) && deleted.value(row)) {
            return Ok(ItemRow { key, sequence, item: None });
        }
        let mut item = self.residual(row)?.unwrap_or_default();
        for (attribute, cells) in &self.columns {
            if let Some(value) = cells.value(row)? {
                put(&mut item.0, attribute, value);
            }
        }
        Ok(ItemRow { key, sequence, item: Some(item) })
    }

    fn residual(&self, row: usize) -> Result<Option<Item>, String> {
        let text = self.residual.as_ref().filter(|texts| texts.is_valid(row)).map(|texts| texts.value(row));
        text.map(|text| super::residual::from_text(text).map(Item)).transpose()
    }
}

impl Cells {
    fn new(column_type: &ColumnType, array: &ArrayRef) -> Option<Cells> {
        Some(match *column_type {
            ColumnType::String => Cells::String(array.as_string_opt()?.clone()),
            ColumnType::Binary => Cells::Binary(array.as_binary_opt()?.clone()),
            ColumnType::Bool => Cells::Bool(array.as_boolean_opt()?.clone()),
            ColumnType::Null => Cells::Null(array.as_boolean_opt()?.clone()),
            ColumnType::Decimal { integer_digits, scale } if decimal::is_narrow(integer_digits, scale) => {
                Cells::Narrow { values: array.as_primitive_opt()?.clone(), scale }
            }
            ColumnType::Decimal { scale, .. } => Cells::Wide { values: array.as_primitive_opt()?.clone(), scale },
            ColumnType::Time(TimeUnit::Millis) => Cells::Millis(array.as_primitive_opt()?.clone()),
            ColumnType::Time(TimeUnit::Micros) => Cells::Micros(array.as_primitive_opt()?.clone()),
            ColumnType::Time(TimeUnit::Nanos) => Cells::Nanos(array.as_primitive_opt()?.clone()),
            ColumnType::Double => Cells::Double(array.as_primitive_opt()?.clone()),
            ColumnType::Map(ref types) => {
                let maps = array.as_struct_opt()?.clone();
                Cells::Map { fields: fields(types, &maps)?, maps }
            }
        })
    }

    /// Is this the text of the row before?
    fn repeats_text(&self, row: usize) -> bool {
        match self {
            Cells::String(values) => {
                values.is_valid(row) && values.is_valid(row - 1) && values.value(row) == values.value(row - 1)
            }
            _ => false,
        }
    }

    fn value(&self, row: usize) -> Result<Option<Value>, String> {
        let array: &dyn Array = match self {
            Cells::String(values) => values,
            Cells::Binary(values) => values,
            Cells::Bool(values) | Cells::Null(values) => values,
            Cells::Narrow { values, .. } => values,
            Cells::Wide { values, .. } => values,
            Cells::Millis(values) => values,
            Cells::Micros(values) => values,
            Cells::Nanos(values) => values,
            Cells::Double(values) => values,
            Cells::Map { maps, .. } => maps,
        };
        if array.is_null(row) {
            return Ok(None);
        }
        Ok(Some(match self {
            Cells::String(values) => Value::String(values.value(row).to_owned()),
            Cells::Binary(values) => Value::Binary(Bytes::copy_from_slice(values.value(row))),
            Cells::Bool(values) => Value::Bool(values.value(row)),
            Cells::Null(_) => Value::Null,
            Cells::Narrow { values, scale } => decimal(i128::from(values.value(row)), *scale, row)?,
            Cells::Wide { values, scale } => decimal(values.value(row), *scale, row)?,
            Cells::Millis(values) => time(values.value(row), TimeUnit::Millis),
            Cells::Micros(values) => time(values.value(row), TimeUnit::Micros),
            Cells::Nanos(values) => time(values.value(row), TimeUnit::Nanos),
            Cells::Double(values) => {
                let number = decimal::from_double(values.value(row));
                Value::Number(number.ok_or_else(|| format!("row {row} has a double that is no number"))?)
            }
            Cells::Map { fields, .. } => {
                let mut entries = BTreeMap::new();
                for (name, cells) in fields {
                    if let Some(value) = cells.value(row)? {
                        put(&mut entries, name, value);
                    }
                }
                Value::Map(entries)
            }
        }))
    }
}

/// The columns of the fields of maps; none if they are others.
fn fields(types: &ColumnTypes, maps: &StructArray) -> Option<Vec<(String, Cells)>> {
    let columns = types.columns();
    let field = |(column, array): (&super::Column, &ArrayRef)| {
        Some((column.attribute.clone(), Cells::new(&column.column_type, array)?))
    };
    (columns.len() == maps.num_columns()).then(|| columns.iter().zip(maps.columns()).map(field).collect())?
}

/// Puts a value that columns hold beside what they did not hold: a map may be in both, with different fields.
fn put(entries: &mut BTreeMap<String, Value>, name: &str, value: Value) {
    match (entries.get_mut(name), value) {
        (Some(Value::Map(left)), Value::Map(held)) => {
            held.into_iter().for_each(|(name, value)| put(left, &name, value));
        }
        (_, value) => drop(entries.insert(name.to_owned(), value)),
    }
}

fn decimal(unscaled: i128, scale: u8, row: usize) -> Result<Value, String> {
    Number::from_unscaled(unscaled, scale).map(Value::Number).map_err(|error| format!("row {row}: {error}"))
}

fn time(count: i64, unit: TimeUnit) -> Value {
    Value::Number(decimal::from_time(count, unit))
}
