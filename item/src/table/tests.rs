use proptest::prelude::*;

use super::*;
use crate::arbitrary;

fn encoded(table: &Table) -> Bytes {
    let mut out = Vec::new();
    table.encode(&mut out);
    Bytes::from(out)
}

proptest! {
    #[test]
    fn tables_come_back(table in arbitrary::tables(), before in 0usize..3, after in 0usize..3) {
        prop_assert_eq!(table.check(), Ok(()));
        let bytes = [vec![0; before], encoded(&table).to_vec(), vec![0; after]].concat();
        let mut offset = before;
        prop_assert_eq!(Table::decode(&Bytes::from(bytes.clone()), &mut offset).unwrap(), table);
        prop_assert_eq!(offset, bytes.len() - after);
    }

    #[test]
    fn damage_is_refused_or_decodes_to_what_encodes_to_it(
        table in arbitrary::tables(), at: prop::sample::Index, byte: u8,
    ) {
        let mut bytes = encoded(&table).to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let bytes = Bytes::from(bytes);
        let mut offset = 0;
        if let Ok(table) = Table::decode(&bytes, &mut offset) {
            prop_assert_eq!(encoded(&table), bytes.slice(..offset));
        } else {
            prop_assert_eq!(offset, 0);
        }
    }
}

#[test]
fn names_are_checked() {
    for name in ["abc", "...", "a_B-9.", &"x".repeat(255)] {
        assert_eq!(check_name(name), Ok(()), "{name}");
    }
    for name in ["", "ab", "..", &"x".repeat(256)] {
        assert!(matches!(check_name(name), Err(TableError::NameLength { .. })), "{name}");
    }
    for (name, bad) in [("../x", '/'), ("a b", ' '), ("tüb", 'ü'), ("abc\0", '\0'), ("$abc", '$')] {
        let error = TableError::NameCharacter { name: name.to_owned(), character: bad };
        assert_eq!(check_name(name), Err(error));
    }
}

#[test]
fn system_tables_are_sound_and_reserved() {
    let tables = system::tables();
    for (index, table) in tables.iter().enumerate() {
        assert_eq!(table.check(), Ok(()));
        assert_eq!(table.id, TableId(index as u32 + 1));
        assert!(table.id.is_system());
        assert_eq!(Table::decode(&encoded(table), &mut 0).as_ref(), Ok(table));
        assert!(Table { id: TableId::FIRST_USER, ..table.clone() }.check().is_err(), "a user's table has no $");
    }
    assert_eq!(system::quarantine().name, "$quarantine");
    assert_eq!(system::retained().name, "$retained");
}

#[test]
fn keys_are_checked() {
    let table = system::quarantine();
    let with_sort = |name: &str| Table { sort_key: Some(KeyAttribute::new(name, KeyType::B)), ..table.clone() };
    assert_eq!(with_sort("client").check(), Err(TableError::SameKeys { name: "client".to_owned() }));
    assert_eq!(with_sort("").check(), Err(TableError::KeyNameLength { name: String::new(), bytes: 0 }));
    assert!(with_sort(&"x".repeat(256)).check().is_err());
    assert_eq!(Table { sort_key_is_time: true, ..table.clone() }.check(), Err(TableError::TimeIsNoNumber));
    assert!(table.is_key("client") && table.is_key("id") && !table.is_key("reason"));
}
