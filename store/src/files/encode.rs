//! Rows to columns.

use std::{collections::BTreeMap, sync::Arc};

use arrow_array::{
    ArrayRef, RecordBatch, TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray,
    builder::{BinaryBuilder, BooleanBuilder, Decimal128Builder, Int64Builder, StringBuilder},
};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use item::{Item, SequenceNumber, Value};

use super::{
    decimal,
    names::{DELETED_COLUMN, RESIDUAL_COLUMN, SEQUENCE_COLUMN},
    residual,
    types::{ColumnType, ColumnTypes, TimeUnit},
};

/// All times are in UTC, and the files say so.
const ZONE: &str = "UTC";

/// The columns of a file, in order: attributes, residual, sequence number, and in run files the mark of removed keys.
pub(super) fn schema(types: &ColumnTypes, with_deleted: bool) -> SchemaRef {
    let attribute = |column: &super::Column| Field::new(&column.name, data_type(column.column_type), true);
    let mut fields: Vec<Field> = types.columns().iter().map(attribute).collect();
    fields.push(Field::new(RESIDUAL_COLUMN, DataType::Utf8, true));
    fields.push(Field::new(SEQUENCE_COLUMN, DataType::Int64, false));
    if with_deleted {
        fields.push(Field::new(DELETED_COLUMN, DataType::Boolean, false));
    }
    Arc::new(Schema::new(fields))
}

fn data_type(column_type: ColumnType) -> DataType {
    match column_type {
        ColumnType::String => DataType::Utf8,
        ColumnType::Binary => DataType::Binary,
        ColumnType::Bool | ColumnType::Null => DataType::Boolean,
        ColumnType::Decimal { integer_digits, scale } => {
            let (precision, scale) = decimal_shape(integer_digits, scale);
            DataType::Decimal128(precision, scale)
        }
        ColumnType::Time(unit) => {
            let unit = match unit {
                TimeUnit::Millis => arrow_schema::TimeUnit::Millisecond,
                TimeUnit::Micros => arrow_schema::TimeUnit::Microsecond,
                TimeUnit::Nanos => arrow_schema::TimeUnit::Nanosecond,
            };
            DataType::Timestamp(unit, Some(ZONE.into()))
        }
    }
}

fn decimal_shape(integer_digits: u8, scale: u8) -> (u8, i8) {
    let precision = decimal::precision(integer_digits, scale).unwrap_or(decimal::WIDE_DIGITS);
    (precision, i8::try_from(scale).expect("a scale is at most 38"))
}

/// Rows that become one batch of columns.
pub(super) struct RowEncoder {
    types: Arc<ColumnTypes>,
    schema: SchemaRef,
    columns: Vec<ColumnBuilder>,
    residual: StringBuilder,
    sequence: Int64Builder,
    deleted: Option<BooleanBuilder>,
    rows: usize,
    bytes: usize,
}

enum ColumnBuilder {
    String(StringBuilder),
    Binary(BinaryBuilder),
    Bool(BooleanBuilder),
    Null(BooleanBuilder),
    Decimal { values: Decimal128Builder, integer_digits: u8, scale: u8 },
    Time { values: Vec<Option<i64>>, unit: TimeUnit },
}

impl RowEncoder {
    pub(super) fn new(types: Arc<ColumnTypes>, with_deleted: bool) -> RowEncoder {
        RowEncoder {
            schema: schema(&types, with_deleted),
            columns: types.columns().iter().map(|column| ColumnBuilder::new(column.column_type)).collect(),
            types,
            residual: StringBuilder::new(),
            sequence: Int64Builder::new(),
            deleted: with_deleted.then(BooleanBuilder::new),
            rows: 0,
            bytes: 0,
        }
    }

    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Rows since the last batch.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes of their items, roughly.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a row; answers how many values went to the residual column. Of a removed key, `item` is its key attributes.
    pub(super) fn push(&mut self, sequence: SequenceNumber, item: &Item, deleted: bool) -> u64 {
        let mut cells: Vec<Option<&Value>> = vec![None; self.columns.len()];
        let mut left_over: BTreeMap<&str, &Value> = BTreeMap::new();
        for (attribute, value) in item.iter() {
            match self.column_of(attribute, value) {
                Some(column) => cells[column] = Some(value),
                None => {
                    left_over.insert(attribute, value);
                }
            }
        }
        for (column, cell) in self.columns.iter_mut().zip(cells) {
            column.push(cell);
        }
        if left_over.is_empty() {
            self.residual.append_null();
        } else {
            self.residual.append_value(residual::to_text(&left_over));
        }
        self.sequence.append_value(i64::try_from(sequence.0).expect("no shard counts past 2^63 events"));
        if let Some(column) = &mut self.deleted {
            column.append_value(deleted);
        }
        self.rows += 1;
        self.bytes += item.size();
        left_over.len() as u64
    }

    /// The rows since the last batch.
    pub(super) fn take_batch(&mut self) -> Result<RecordBatch, ArrowError> {
        let mut arrays = self.columns.iter_mut().map(ColumnBuilder::finish).collect::<Result<Vec<ArrayRef>, _>>()?;
        arrays.push(Arc::new(self.residual.finish()));
        arrays.push(Arc::new(self.sequence.finish()));
        if let Some(column) = &mut self.deleted {
            arrays.push(Arc::new(column.finish()));
        }
        self.rows = 0;
        self.bytes = 0;
        RecordBatch::try_new(Arc::clone(&self.schema), arrays)
    }

    fn column_of(&self, attribute: &str, value: &Value) -> Option<usize> {
        let slots = self.types.slots(attribute)?;
        match value {
            Value::String(_) => slots.string,
            Value::Binary(_) => slots.binary,
            Value::Bool(_) => slots.bool,
            Value::Null => slots.null,
            Value::Number(_) => slots.number.filter(|column| self.columns[*column].holds(value)),
            Value::List(_) | Value::Map(_) | Value::StringSet(_) | Value::NumberSet(_) | Value::BinarySet(_) => None,
        }
    }
}

impl ColumnBuilder {
    fn new(column_type: ColumnType) -> ColumnBuilder {
        match column_type {
            ColumnType::String => ColumnBuilder::String(StringBuilder::new()),
            ColumnType::Binary => ColumnBuilder::Binary(BinaryBuilder::new()),
            ColumnType::Bool => ColumnBuilder::Bool(BooleanBuilder::new()),
            ColumnType::Null => ColumnBuilder::Null(BooleanBuilder::new()),
            ColumnType::Decimal { integer_digits, scale } => {
                let values = Decimal128Builder::new().with_data_type(data_type(column_type));
                ColumnBuilder::Decimal { values, integer_digits, scale }
            }
            ColumnType::Time(unit) => ColumnBuilder::Time { values: Vec::new(), unit },
        }
    }

    fn holds(&self, value: &Value) -> bool {
        match (self, value) {
            (ColumnBuilder::Decimal { integer_digits, scale, .. }, Value::Number(number)) => {
                decimal::to_decimal(number, *integer_digits, *scale).is_some()
            }
            (ColumnBuilder::Time { unit, .. }, Value::Number(number)) => decimal::to_time(number, *unit).is_some(),
            _ => true,
        }
    }

    /// Adds a cell; a value of another type than the column's is none here.
    fn push(&mut self, cell: Option<&Value>) {
        match self {
            ColumnBuilder::String(values) => values.append_option(match cell {
                Some(Value::String(text)) => Some(text),
                _ => None,
            }),
            ColumnBuilder::Binary(values) => values.append_option(match cell {
                Some(Value::Binary(bytes)) => Some(bytes),
                _ => None,
            }),
            ColumnBuilder::Bool(values) => values.append_option(match cell {
                Some(Value::Bool(value)) => Some(*value),
                _ => None,
            }),
            ColumnBuilder::Null(values) => values.append_option(cell.map(|_| true)),
            ColumnBuilder::Decimal { values, integer_digits, scale } => values.append_option(match cell {
                Some(Value::Number(number)) => decimal::to_decimal(number, *integer_digits, *scale),
                _ => None,
            }),
            ColumnBuilder::Time { values, unit } => values.push(match cell {
                Some(Value::Number(number)) => decimal::to_time(number, *unit),
                _ => None,
            }),
        }
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            ColumnBuilder::String(values) => Arc::new(values.finish()),
            ColumnBuilder::Binary(values) => Arc::new(values.finish()),
            ColumnBuilder::Bool(values) | ColumnBuilder::Null(values) => Arc::new(values.finish()),
            ColumnBuilder::Decimal { values, integer_digits, scale } => {
                let (precision, scale) = decimal_shape(*integer_digits, *scale);
                Arc::new(values.finish().with_precision_and_scale(precision, scale)?)
            }
            ColumnBuilder::Time { values, unit } => {
                let values = std::mem::take(values);
                match unit {
                    TimeUnit::Millis => Arc::new(TimestampMillisecondArray::from(values).with_timezone(ZONE)),
                    TimeUnit::Micros => Arc::new(TimestampMicrosecondArray::from(values).with_timezone(ZONE)),
                    TimeUnit::Nanos => Arc::new(TimestampNanosecondArray::from(values).with_timezone(ZONE)),
                }
            }
        })
    }
}
