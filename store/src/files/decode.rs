//! Columns to rows.

use arrow_array::{
    Array, BinaryArray, BooleanArray, Decimal128Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    TimestampMillisecondArray, TimestampNanosecondArray, cast::AsArray,
};
use bytes::Bytes;
use item::{Item, Key, KeyAttribute, Number, SequenceNumber, Value, key};

use super::{
    ItemRow, decimal,
    footer::Footer,
    types::{ColumnType, TimeUnit},
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

enum Cells {
    String(StringArray),
    Binary(BinaryArray),
    Bool(BooleanArray),
    Null(BooleanArray),
    Decimal { values: Decimal128Array, scale: u8 },
    Millis(TimestampMillisecondArray),
    Micros(TimestampMicrosecondArray),
    Nanos(TimestampNanosecondArray),
}

impl Batch {
    /// Takes a batch that was read with `projection`; an error says which column is not what the footer says.
    pub(super) fn new(footer: &Footer, projection: &Projection, batch: &RecordBatch) -> Result<Batch, String> {
        let mut arrays = batch.columns().iter();
        let mut columns = Vec::with_capacity(projection.attributes.len());
        for at in &projection.attributes {
            let column = &footer.types.columns()[*at];
            let cells = arrays.next().and_then(|array| Cells::new(column.column_type, array.as_ref()));
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
        let residual = self.residual(row)?;
        let encode = |attribute: &KeyAttribute, encoded: &mut Vec<u8>| -> Result<(), String> {
            let mut value = residual.as_ref().and_then(|item| item.get(&attribute.name).cloned());
            for (_, cells) in self.columns.iter().filter(|(name, _)| *name == attribute.name) {
                value = cells.value(row)?.or(value);
            }
            let value = value.ok_or_else(|| format!("row {row} has no key attribute {:?}", attribute.name))?;
            key::encode_component(&attribute.name, &value, attribute.key_type, encoded)
                .map_err(|error| format!("row {row}: {error}"))
        };
        let (mut partition, mut sort) = (Vec::new(), Vec::new());
        encode(&footer.key.partition, &mut partition)?;
        footer.key.sort.iter().try_for_each(|attribute| encode(attribute, &mut sort))?;
        Ok(Key { partition: Bytes::from(partition), sort: Bytes::from(sort) })
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
                item.insert(attribute.clone(), value);
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
    fn new(column_type: ColumnType, array: &dyn Array) -> Option<Cells> {
        Some(match column_type {
            ColumnType::String => Cells::String(array.as_string_opt()?.clone()),
            ColumnType::Binary => Cells::Binary(array.as_binary_opt()?.clone()),
            ColumnType::Bool => Cells::Bool(array.as_boolean_opt()?.clone()),
            ColumnType::Null => Cells::Null(array.as_boolean_opt()?.clone()),
            ColumnType::Decimal { scale, .. } => Cells::Decimal { values: array.as_primitive_opt()?.clone(), scale },
            ColumnType::Time(TimeUnit::Millis) => Cells::Millis(array.as_primitive_opt()?.clone()),
            ColumnType::Time(TimeUnit::Micros) => Cells::Micros(array.as_primitive_opt()?.clone()),
            ColumnType::Time(TimeUnit::Nanos) => Cells::Nanos(array.as_primitive_opt()?.clone()),
        })
    }

    fn value(&self, row: usize) -> Result<Option<Value>, String> {
        let array: &dyn Array = match self {
            Cells::String(values) => values,
            Cells::Binary(values) => values,
            Cells::Bool(values) | Cells::Null(values) => values,
            Cells::Decimal { values, .. } => values,
            Cells::Millis(values) => values,
            Cells::Micros(values) => values,
            Cells::Nanos(values) => values,
        };
        if array.is_null(row) {
            return Ok(None);
        }
        Ok(Some(match self {
            Cells::String(values) => Value::String(values.value(row).to_owned()),
            Cells::Binary(values) => Value::Binary(Bytes::copy_from_slice(values.value(row))),
            Cells::Bool(values) => Value::Bool(values.value(row)),
            Cells::Null(_) => Value::Null,
            Cells::Decimal { values, scale } => {
                let number = Number::from_unscaled(values.value(row), *scale);
                Value::Number(number.map_err(|error| format!("row {row}: {error}"))?)
            }
            Cells::Millis(values) => time(values.value(row), TimeUnit::Millis),
            Cells::Micros(values) => time(values.value(row), TimeUnit::Micros),
            Cells::Nanos(values) => time(values.value(row), TimeUnit::Nanos),
        }))
    }
}

fn time(count: i64, unit: TimeUnit) -> Value {
    Value::Number(decimal::from_time(count, unit))
}
