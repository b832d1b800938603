//! Bloom filters: that a key is not in a file is mostly told without its keys.
//!
//! They are Parquet's own, split into blocks of 32 bytes, a filter for each row group of a column, so other programs use
//! them too. The columns of the partition key have them, and that of the sort key, unless that is a time, where everything is
//! asked for by range. A filter is as large as a row group has distinct values, about 7 bits each, and then tells 19 of
//! 20 absent ones. Files with fewer rows than a block of keys have none: reading that block costs as much.
//!
//! Of a filter, one page of [`PAGE_BYTES`] is read, through the cache.

use std::ops::Range;

use item::{Key, KeyAttribute, KeyType, Table, Value, key};
use parquet::{
    bloom_filter::Sbbf,
    file::{
        metadata::{ColumnChunkMetaData, RowGroupMetaData},
        properties::WriterPropertiesBuilder,
    },
    schema::types::ColumnPath,
};
use twox_hash::XxHash64;

use super::{
    ColdFile, ColumnType, ColumnTypes, decimal,
    footer::{BLOCK_ROWS, Footer},
};
use crate::{Error, cache::Cache};

/// Files with fewer rows have no filters.
pub(super) const ROWS_MIN: u64 = BLOCK_ROWS as u64;
/// How often a filter may fail to tell an absent value.
const FALSE_POSITIVES_MAX: f64 = 0.05;
/// The filter's hash, as Parquet defines it.
const SEED: u64 = 0;
const BLOCK_BYTES: u64 = 32;
/// Bytes of a filter that are read together.
const PAGE_BYTES: u64 = 4096;

/// Lets the columns of the key have filters.
pub(super) fn set(mut builder: WriterPropertiesBuilder, types: &ColumnTypes, table: &Table) -> WriterPropertiesBuilder {
    let sort = table.sort_key.iter().filter(|_| !table.sort_key_is_time && table.item_key.is_empty());
    for attribute in table.partition_attributes().chain(sort) {
        if let Some((at, _)) = column_of(types, attribute) {
            let path = ColumnPath::new(vec![types.columns()[at].name.clone()]);
            builder = builder
                .set_column_bloom_filter_enabled(path.clone(), true)
                .set_column_bloom_filter_fpp(path, FALSE_POSITIVES_MAX);
        }
    }
    builder
}

/// The column that has all values of a key attribute, unless some are in the residual column.
fn column_of<'a>(types: &'a ColumnTypes, attribute: &KeyAttribute) -> Option<(usize, &'a ColumnType)> {
    let is_it = |column: &&super::Column| {
        let is_of_type = match column.column_type {
            ColumnType::String => attribute.key_type == KeyType::S,
            ColumnType::Binary => attribute.key_type == KeyType::B,
            ColumnType::Decimal { .. } => attribute.key_type == KeyType::N,
            _ => false,
        };
        column.attribute == attribute.name && is_of_type
    };
    let at = types.columns().iter().position(|column| is_it(&column))?;
    Some((at, &types.columns()[at].column_type))
}

/// A value as a column of this type stores it; none where it would be somewhere else, or may be.
fn stored(value: &Value, column_type: &ColumnType) -> Option<Vec<u8>> {
    match (value, column_type) {
        (Value::String(text), ColumnType::String) => Some(text.as_bytes().to_vec()),
        (Value::Binary(bytes), ColumnType::Binary) => Some(bytes.to_vec()),
        (Value::Number(number), ColumnType::Decimal { integer_digits, scale }) => {
            match decimal::is_narrow(*integer_digits, *scale) {
                true => Some(decimal::to_narrow(number, *integer_digits, *scale)?.to_le_bytes().to_vec()),
                false => Some(decimal::to_decimal(number, *integer_digits, *scale)?.to_be_bytes().to_vec()),
            }
        }
        _ => None,
    }
}

/// What is asked of the filters of a file for one key: columns, and the bytes of the value there. Of the partition key nothing is
/// asked if it is known to be there.
fn questions(footer: &Footer, key: &Key) -> Vec<(usize, Vec<u8>)> {
    let after = footer.first_keys.partition_point(|first| first <= key);
    let around = &footer.first_keys[after.saturating_sub(1)..footer.first_keys.len().min(after + 1)];
    let has_partition = around.iter().any(|first| first.partition == key.partition);
    let partition = (!has_partition).then_some((&footer.key.partition, &key.partition));
    let mut questions = Vec::new();
    for (attributes, bytes) in partition.into_iter().chain([(&footer.key.sort, &key.sort)]) {
        let mut rest: &[u8] = bytes;
        for attribute in attributes {
            // What is no key of this table is left to those who look for it.
            let Ok((value, length)) = key::decode_component(rest) else { break };
            rest = rest.get(length..).unwrap_or_default();
            let is_sure = attribute.key_type != KeyType::N || footer.residual_values == 0;
            let column = column_of(&footer.types, attribute).filter(|_| is_sure);
            questions.extend(column.and_then(|(at, column_type)| Some((at, stored(&value, column_type)?))));
        }
    }
    questions
}

impl ColdFile {
    /// Do the filters of the row groups with `rows` tell that `key` is not among them?
    pub(super) async fn is_filtered_out(&self, key: &Key, rows: &Range<u64>, cache: &Cache) -> Result<bool, Error> {
        if !self.has_filters() {
            return Ok(false);
        }
        let questions = questions(self.footer(), key);
        for group in self.select(rows).0 {
            let group = self.reader().metadata().row_group(group);
            let mut may_have = true;
            for (column, bytes) in &questions {
                let name = &self.footer().types.columns()[*column].name;
                let chunk = group.columns().iter().find(|it| it.column_path().parts() == [name.as_str()]);
                may_have = may_have && self.may_have(chunk, bytes, cache).await?;
            }
            if may_have {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// May one of the values of `chunk` be this one?
    async fn may_have(&self, chunk: Option<&ColumnChunkMetaData>, value: &[u8], cache: &Cache) -> Result<bool, Error> {
        let Some((start, length)) = chunk.and_then(bits) else { return Ok(true) };
        let blocks = length / BLOCK_BYTES;
        let block = ((XxHash64::oneshot(SEED, value) >> 32) * blocks) >> 32;
        let page = block * BLOCK_BYTES / PAGE_BYTES * PAGE_BYTES;
        let bytes = self.page(start + page..start + length.min(page + PAGE_BYTES), cache).await?;
        let at = (block * BLOCK_BYTES - page) as usize;
        let Some(block) = bytes.get(at..at + BLOCK_BYTES as usize) else { return Ok(true) };
        // One block is a filter as well, of what would be in that block.
        Ok(Sbbf::new(block).check(value))
    }
}

/// Has one of its columns a filter?
pub(super) fn has_filters(group: &RowGroupMetaData) -> bool {
    group.columns().iter().any(|chunk| chunk.bloom_filter_offset().is_some())
}

/// Where the bits of a chunk's filter are, behind its header, and how many bytes they take. A filter whose header is not what
/// it was expected to be is as good as none.
fn bits(chunk: &ColumnChunkMetaData) -> Option<(u64, u64)> {
    let offset = u64::try_from(chunk.bloom_filter_offset()?).ok()?;
    let length = u64::try_from(chunk.bloom_filter_length()?).ok()?;
    let bits = 1 << length.checked_ilog2()?;
    let is_sound = bits >= BLOCK_BYTES && (1..BLOCK_BYTES).contains(&(length - bits));
    is_sound.then_some((offset + length - bits, bits))
}
