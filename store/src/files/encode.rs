//! Rows to columns.

use std::{collections::BTreeMap, sync::Arc};

use arrow_array::{
    ArrayRef, RecordBatch, StructArray, TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray,
    builder::{
        ArrayBuilder, BinaryBuilder, BooleanBuilder, Decimal64Builder, Decimal128Builder, Float64Builder, Int64Builder,
        StringBuilder,
    },
};
use arrow_schema::{ArrowError, DataType, Field, Fields, Schema, SchemaRef};
use item::{CodecError, SequenceNumber, Value, ValueRef};

use super::{
    decimal,
    names::{DELETED_COLUMN, RESIDUAL_COLUMN, SEQUENCE_COLUMN},
    residual,
    types::{ColumnType, ColumnTypes, Slots, TimeUnit},
};

/// All times are in UTC, and the files say so.
const ZONE: &str = "UTC";

/// The columns of a file, in order: attributes, residual, sequence number, and in run files the mark of removed keys.
pub(super) fn schema(types: &ColumnTypes, with_deleted: bool) -> SchemaRef {
    let mut fields: Vec<Field> = types.columns().iter().map(field).collect();
    fields.push(Field::new(RESIDUAL_COLUMN, DataType::Utf8, true));
    fields.push(Field::new(SEQUENCE_COLUMN, DataType::Int64, false));
    if with_deleted {
        fields.push(Field::new(DELETED_COLUMN, DataType::Boolean, false));
    }
    Arc::new(Schema::new(fields))
}

/// The field of a column.
fn field(column: &super::Column) -> Field {
    Field::new(&column.name, data_type(&column.column_type), true)
}

/// The fields of maps.
pub(super) fn fields(types: &ColumnTypes) -> Fields {
    types.columns().iter().map(field).collect()
}

pub(super) fn data_type(column_type: &ColumnType) -> DataType {
    match column_type {
        ColumnType::String => DataType::Utf8,
        ColumnType::Binary => DataType::Binary,
        ColumnType::Bool | ColumnType::Null => DataType::Boolean,
        ColumnType::Decimal { integer_digits, scale } => {
            let (precision, scale) = decimal_shape(*integer_digits, *scale);
            if precision == decimal::NARROW_DIGITS {
                DataType::Decimal64(precision, scale)
            } else {
                DataType::Decimal128(precision, scale)
            }
        }
        ColumnType::Time(unit) => {
            let unit = match unit {
                TimeUnit::Millis => arrow_schema::TimeUnit::Millisecond,
                TimeUnit::Micros => arrow_schema::TimeUnit::Microsecond,
                TimeUnit::Nanos => arrow_schema::TimeUnit::Nanosecond,
            };
            DataType::Timestamp(unit, Some(ZONE.into()))
        }
        ColumnType::Double => DataType::Float64,
        ColumnType::Map(types) => DataType::Struct(fields(types)),
    }
}

fn decimal_shape(integer_digits: u8, scale: u8) -> (u8, i8) {
    let precision = decimal::precision(integer_digits, scale).unwrap_or(decimal::WIDE_DIGITS);
    (precision, i8::try_from(scale).expect("a scale is at most 38"))
}

/// Rows that become one batch of columns.
pub(super) struct RowEncoder {
    schema: SchemaRef,
    attributes: FieldsBuilder,
    residual: StringBuilder,
    sequence: Int64Builder,
    deleted: Option<BooleanBuilder>,
    rows: usize,
    bytes: usize,
    outgrown: bool,
}

/// The columns of the attributes of rows, or of the fields of maps.
struct FieldsBuilder {
    types: Arc<ColumnTypes>,
    columns: Vec<ColumnBuilder>,
    rows: usize,
}

enum ColumnBuilder {
    String(StringBuilder),
    Binary(BinaryBuilder),
    Bool(BooleanBuilder),
    Null(BooleanBuilder),
    Narrow { values: Decimal64Builder, integer_digits: u8, scale: u8 },
    Wide { values: Decimal128Builder, integer_digits: u8, scale: u8 },
    Time { values: Vec<Option<i64>>, unit: TimeUnit },
    Double(Float64Builder),
    Map { fields: FieldsBuilder, is_map: Vec<bool> },
}

impl RowEncoder {
    pub(super) fn new(types: Arc<ColumnTypes>, with_deleted: bool) -> RowEncoder {
        RowEncoder {
            schema: schema(&types, with_deleted),
            attributes: FieldsBuilder::new(types),
            residual: StringBuilder::new(),
            sequence: Int64Builder::new(),
            deleted: with_deleted.then(BooleanBuilder::new),
            rows: 0,
            bytes: 0,
            outgrown: false,
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

    /// Was there a value that no column holds, though wider ones would?
    pub(super) fn is_outgrown(&self) -> bool {
        self.outgrown
    }

    /// Adds a row of `bytes`, about; answers how many values went to the residual column. `attributes` come in order of
    /// their names; of a removed key, they are its key's. After an error the encoder is of no more use.
    pub(super) fn push<'a>(
        &mut self,
        sequence: SequenceNumber,
        attributes: impl Iterator<Item = Result<(&'a str, ValueRef<'a>), CodecError>>,
        bytes: usize,
        deleted: bool,
    ) -> Result<u64, CodecError> {
        let mut left_over: BTreeMap<&str, Value> = BTreeMap::new();
        let types = Arc::clone(&self.attributes.types);
        let mut ascending = types.ascending();
        let none = Slots::default();
        for attribute in attributes {
            let (name, value) = attribute?;
            let slots = ascending.slots(name).unwrap_or(&none);
            if let Some(value) = self.attributes.push(slots, &value)? {
                self.outgrown = self.outgrown || types.would_widen(name, &ValueRef::from(&value))?;
                left_over.insert(name, value);
            }
        }
        self.attributes.end_row();
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
        self.bytes += bytes;
        Ok(left_over.len() as u64)
    }

    /// The rows since the last batch.
    pub(super) fn take_batch(&mut self) -> Result<RecordBatch, ArrowError> {
        let mut arrays = self.attributes.finish()?;
        arrays.push(Arc::new(self.residual.finish()));
        arrays.push(Arc::new(self.sequence.finish()));
        if let Some(column) = &mut self.deleted {
            arrays.push(Arc::new(column.finish()));
        }
        self.rows = 0;
        self.bytes = 0;
        RecordBatch::try_new(Arc::clone(&self.schema), arrays)
    }
}

impl FieldsBuilder {
    fn new(types: Arc<ColumnTypes>) -> FieldsBuilder {
        let columns = types.columns().iter().map(|column| ColumnBuilder::new(&column.column_type)).collect();
        FieldsBuilder { types, columns, rows: 0 }
    }

    /// Adds a value to the row; answers what no column holds of it.
    fn push(&mut self, slots: &Slots, value: &ValueRef<'_>) -> Result<Option<Value>, CodecError> {
        if let Some(column) = slots.column(value).map(|at| &mut self.columns[at])
            && column.push(value)
        {
            return Ok(None);
        }
        match (value, slots.map) {
            (ValueRef::Number(number), _) => {
                let double = self.types.double_column(slots, number).map(|at| &mut self.columns[at]);
                let is_held = double.is_some_and(|column| column.push(value));
                if is_held { Ok(None) } else { Ok(Some(value.to_value()?)) }
            }
            (ValueRef::Whole(_) | ValueRef::Encoded { .. }, Some(at)) if value.type_name() == "M" => {
                let Value::Map(entries) = value.to_value()? else { return Ok(Some(value.to_value()?)) };
                let left = self.columns[at].push_map(entries)?;
                Ok((!left.is_empty()).then_some(Value::Map(left)))
            }
            _ => Ok(Some(value.to_value()?)),
        }
    }

    /// What has no value in the row is null.
    fn end_row(&mut self) {
        let rows = self.rows;
        self.columns.iter_mut().filter(|column| column.len() == rows).for_each(ColumnBuilder::push_null);
        self.rows += 1;
    }

    fn finish(&mut self) -> Result<Vec<ArrayRef>, ArrowError> {
        self.rows = 0;
        self.columns.iter_mut().map(ColumnBuilder::finish).collect()
    }
}

impl ColumnBuilder {
    fn new(column_type: &ColumnType) -> ColumnBuilder {
        match *column_type {
            ColumnType::String => ColumnBuilder::String(StringBuilder::new()),
            ColumnType::Binary => ColumnBuilder::Binary(BinaryBuilder::new()),
            ColumnType::Bool => ColumnBuilder::Bool(BooleanBuilder::new()),
            ColumnType::Null => ColumnBuilder::Null(BooleanBuilder::new()),
            ColumnType::Decimal { integer_digits, scale } if decimal::is_narrow(integer_digits, scale) => {
                let values = Decimal64Builder::new().with_data_type(data_type(column_type));
                ColumnBuilder::Narrow { values, integer_digits, scale }
            }
            ColumnType::Decimal { integer_digits, scale } => {
                let values = Decimal128Builder::new().with_data_type(data_type(column_type));
                ColumnBuilder::Wide { values, integer_digits, scale }
            }
            ColumnType::Time(unit) => ColumnBuilder::Time { values: Vec::new(), unit },
            ColumnType::Double => ColumnBuilder::Double(Float64Builder::new()),
            ColumnType::Map(ref types) => {
                ColumnBuilder::Map { fields: FieldsBuilder::new(Arc::clone(types)), is_map: Vec::new() }
            }
        }
    }

    /// Adds a map, to a column of maps; answers what its columns do not hold of it.
    fn push_map(&mut self, entries: BTreeMap<String, Value>) -> Result<BTreeMap<String, Value>, CodecError> {
        let ColumnBuilder::Map { fields, is_map } = self else { return Ok(entries) };
        let mut left = BTreeMap::new();
        for (name, value) in entries {
            let slots = fields.types.slots(&name);
            if let Some(value) = fields.push(&slots, &ValueRef::from(&value))? {
                left.insert(name, value);
            }
        }
        fields.end_row();
        is_map.push(true);
        Ok(left)
    }

    /// Adds a cell, if the column holds this value.
    fn push(&mut self, value: &ValueRef<'_>) -> bool {
        match (self, value) {
            (ColumnBuilder::String(values), ValueRef::String(text)) => values.append_value(text),
            (ColumnBuilder::Binary(values), ValueRef::Binary(bytes)) => values.append_value(bytes),
            (ColumnBuilder::Bool(values), ValueRef::Bool(value)) => values.append_value(*value),
            (ColumnBuilder::Null(values), ValueRef::Null) => values.append_value(true),
            (ColumnBuilder::Narrow { values, integer_digits, scale }, ValueRef::Number(number)) => {
                match decimal::to_narrow(number, *integer_digits, *scale) {
                    Some(unscaled) => values.append_value(unscaled),
                    None => return false,
                }
            }
            (ColumnBuilder::Wide { values, integer_digits, scale }, ValueRef::Number(number)) => {
                match decimal::to_decimal(number, *integer_digits, *scale) {
                    Some(unscaled) => values.append_value(unscaled),
                    None => return false,
                }
            }
            (ColumnBuilder::Time { values, unit }, ValueRef::Number(number)) => match decimal::to_time(number, *unit) {
                Some(count) => values.push(Some(count)),
                None => return false,
            },
            (ColumnBuilder::Double(values), ValueRef::Number(number)) => match decimal::to_double(number) {
                Some(double) => values.append_value(double),
                None => return false,
            },
            _ => return false,
        }
        true
    }

    fn push_null(&mut self) {
        match self {
            ColumnBuilder::String(values) => values.append_null(),
            ColumnBuilder::Binary(values) => values.append_null(),
            ColumnBuilder::Bool(values) | ColumnBuilder::Null(values) => values.append_null(),
            ColumnBuilder::Narrow { values, .. } => values.append_null(),
            ColumnBuilder::Wide { values, .. } => values.append_null(),
            ColumnBuilder::Time { values, .. } => values.push(None),
            ColumnBuilder::Double(values) => values.append_null(),
            ColumnBuilder::Map { fields, is_map } => {
                fields.end_row();
                is_map.push(false);
            }
        }
    }

    /// Cells so far.
    fn len(&self) -> usize {
        match self {
            ColumnBuilder::String(values) => values.len(),
            ColumnBuilder::Binary(values) => values.len(),
            ColumnBuilder::Bool(values) | ColumnBuilder::Null(values) => values.len(),
            ColumnBuilder::Narrow { values, .. } => values.len(),
            ColumnBuilder::Wide { values, .. } => values.len(),
            ColumnBuilder::Time { values, .. } => values.len(),
            ColumnBuilder::Double(values) => values.len(),
            ColumnBuilder::Map { is_map, .. } => is_map.len(),
        }
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            ColumnBuilder::String(values) => Arc::new(values.finish()),
            ColumnBuilder::Binary(values) => Arc::new(values.finish()),
            ColumnBuilder::Bool(values) | ColumnBuilder::Null(values) => Arc::new(values.finish()),
            ColumnBuilder::Narrow { values, .. } => Arc::new(values.finish()),
            ColumnBuilder::Wide { values, .. } => Arc::new(values.finish()),
            ColumnBuilder::Time { values, unit } => {
                let values = std::mem::take(values);
                match unit {
                    TimeUnit::Millis => Arc::new(TimestampMillisecondArray::from(values).with_timezone(ZONE)),
                    TimeUnit::Micros => Arc::new(TimestampMicrosecondArray::from(values).with_timezone(ZONE)),
                    TimeUnit::Nanos => Arc::new(TimestampNanosecondArray::from(values).with_timezone(ZONE)),
                }
            }
            ColumnBuilder::Double(values) => Arc::new(values.finish()),
            ColumnBuilder::Map { fields, is_map } => {
                let is_map = std::mem::take(is_map);
                let arrays = fields.finish()?;
                Arc::new(StructArray::try_new(self::fields(&fields.types), arrays, Some(is_map.into()))?)
            }
        })
    }
}
