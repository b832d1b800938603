//! How attributes are named as columns.
//!
//! An attribute's column has the attribute's name. An attribute of several types has one column a type: the type seen
//! first has the plain name, the others a suffix (`value$s`). A name is *escaped* if it cannot stand as it is:
//!
//! - it is empty, reserved (`_seq`, `_shard`, `_residual`, `_deleted`, in any case), or over 128 bytes;
//! - it has a `$` or a control character;
//! - another column of the table has the same name in another case (DuckDB takes them for one).
//!
//! Escaped, every byte of `$`, of control characters and of upper-case letters becomes `$` and two lower-case
//! hexadecimal digits (`tempC` becomes `temp$43`), and so does the first character of a reserved name and of one that has
//! none of these (`_seq` becomes `$5fseq`); the empty name becomes `$`. An over-long
//! name becomes the start of its escaped form, `$l`, and 16 hexadecimal digits of its CRC-64/NVME; should two of those be equal,
//! the later attribute goes to the residual column.
//!
//! So no two attributes share a column: a plain name has no `$`; an escape is `$` and two hexadecimal digits, which no
//! suffix starts with; and escaped forms have no upper case left that could be folded.

use super::types::ColumnType;

/// The column of the item's sequence number in its shard.
pub const SEQUENCE_COLUMN: &str = "_seq";
/// The column of what no other column can hold.
pub const RESIDUAL_COLUMN: &str = "_residual";
/// In run files: is this key removed?
pub const DELETED_COLUMN: &str = "_deleted";

const RESERVED: [&str; 4] = [SEQUENCE_COLUMN, "_shard", RESIDUAL_COLUMN, DELETED_COLUMN];
const NAME_BYTES_MAX: usize = 128;
const LONG_PREFIX_BYTES: usize = 96;

/// What a column name is compared by: DuckDB folds case.
pub(super) fn folded(name: &str) -> String {
    name.to_lowercase()
}

/// Must this attribute be escaped, whatever other columns there are?
pub(super) fn must_escape(attribute: &str) -> bool {
    attribute.is_empty()
        || attribute.len() > NAME_BYTES_MAX
        || is_reserved(attribute)
        || attribute.chars().any(needs_escape)
}

/// The escaped form of an attribute's name.
pub(super) fn escaped(attribute: &str) -> String {
    if attribute.is_empty() {
        return "$".to_owned();
    }
    let folds = |char: char| char.to_lowercase().ne([char]);
    let escape_first = is_reserved(attribute) || !attribute.chars().any(|char| needs_escape(char) || folds(char));
    let mut name = String::with_capacity(attribute.len() + 8);
    for (at, char) in attribute.char_indices() {
        let start = name.len();
        if needs_escape(char) || folds(char) || (at == 0 && escape_first) {
            let mut buffer = [0; 4];
            for byte in char.encode_utf8(&mut buffer).bytes() {
                name.push_str(&format!("${byte:02x}"));
            }
        } else {
            name.push(char);
        }
        if attribute.len() > NAME_BYTES_MAX && name.len() > LONG_PREFIX_BYTES {
            name.truncate(start);
            break;
        }
    }
    if attribute.len() > NAME_BYTES_MAX {
        let checksum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, attribute.as_bytes());
        name.push_str(&format!("$l{checksum:016x}"));
    }
    name
}

/// What follows the name where another type of the same attribute has the plain name.
pub(super) fn suffix(column_type: &ColumnType) -> &'static str {
    match column_type {
        ColumnType::String => "$s",
        ColumnType::Decimal { .. } | ColumnType::Time(_) => "$n",
        ColumnType::Binary => "$b",
        ColumnType::Bool => "$bool",
        ColumnType::Null => "$null",
        ColumnType::Double => "$double",
        ColumnType::Map(_) => "$m",
    }
}

fn is_reserved(attribute: &str) -> bool {
    RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(attribute))
}

fn needs_escape(char: char) -> bool {
    char == '$' || char.is_control()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_that_cannot_stand_are_escaped() {
        for (attribute, name) in [
            ("", "$"),
            ("_seq", "$5fseq"),
            ("_SEQ", "$5f$53$45$51"),
            ("a$b", "a$24b"),
            ("tempC", "temp$43"),
            ("line\nbreak", "line$0abreak"),
            ("É", "$c3$89"),
            ("value", "$76alue"),
            ("Value", "$56alue"),
        ] {
            assert_eq!(escaped(attribute), name);
        }
        assert!(!must_escape("tempC"));
        assert!(!must_escape("température (°c).1"));
        assert!(must_escape("_Residual"));
        assert!(escaped(&"x".repeat(1000)).len() <= NAME_BYTES_MAX);
    }

    proptest! {
        #[test]
        fn distinct_attributes_get_distinct_columns(names in prop::collection::btree_set("[aA_$b0seqSEQ]{0,6}", 0..40)) {
            let mut seen = BTreeSet::new();
            let types = [
                ColumnType::String,
                ColumnType::Binary,
                ColumnType::Bool,
                ColumnType::Null,
                ColumnType::Double,
                ColumnType::Map(Default::default()),
            ];
            for name in names {
                let escaped = escaped(&name);
                for column in types.each_ref().map(suffix).iter().chain([&""]).map(|suffix| format!("{escaped}{suffix}")) {
                    prop_assert!(column.starts_with(|first| first != '_') || !is_reserved(&column));
                    prop_assert!(seen.insert(folded(&column)), "{} of {} is taken", column, name);
                }
            }
        }
    }
}
