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

/// A table with an index, as it was encoded before there were settings and further key attributes.
#[test]
fn what_was_encoded_before_there_were_settings_is_read() {
    let parts: [&[u8]; 5] = [
        b"\xe8\x07\x03abc\x01\x21",
        b"\x02pk\x01\x02sk\x02\x05",
        b"\x01\xe9\x07\x03idx\x01\x05",
        b"\x01g\x01\x01h\x02\x03",
        b"\x07\x08",
    ];
    let bytes = Bytes::from(parts.concat());
    let mut offset = 0;
    let table = Table::decode(&bytes, &mut offset).unwrap();
    assert_eq!((offset, table.created_at_us, table.settings.clone()), (bytes.len(), 5, TableSettings::default()));
    let index = table.index("idx").unwrap();
    assert_eq!((index.id, index.billing), (TableId(1001), Billing::Provisioned { read_units: 7, write_units: 8 }));
    assert_eq!((&index.throughput, index.further_keys.is_empty()), (&Throughput::default(), true));
    assert_eq!(encoded(&table), bytes);
}

#[test]
fn a_change_of_capacity_is_noted() {
    let units = |units| Billing::Provisioned { read_units: units, write_units: units };
    let index = Index {
        id: TableId(1001),
        name: "by-g".to_owned(),
        kind: IndexKind::Global,
        partition_key: KeyAttribute::new("g", KeyType::S),
        sort_key: None,
        further_keys: FurtherKeys::default(),
        projection: Projection::All,
        status: IndexStatus::Active,
        billing: Billing::OnDemand,
        throughput: Throughput::default(),
    };
    let mut table = Table {
        id: TableId(1000),
        name: "readings".to_owned(),
        created_at_us: 1,
        billing: Billing::OnDemand,
        indexes: vec![index],
        ..system::retained()
    };
    assert_eq!(table.on_demand_since_us(), Some(1));
    let of_index = |billing| ThroughputChange { billing: Some(billing), ..ThroughputChange::default() };
    let bounded = ThroughputChange { read_units_max: Some(Some(9)), ..ThroughputChange::default() };
    table.change_capacity(&CapacityChange { table: bounded, ..CapacityChange::default() }, 2);
    assert_eq!(table.settings.throughput.read_units_max, Some(9));
    let provisioned = CapacityChange {
        class: Some(TableClass::InfrequentAccess),
        table: of_index(units(5)),
        indexes: [("by-g".to_owned(), of_index(units(6)))].into(),
    };
    table.change_capacity(&provisioned, 3);
    assert_eq!((table.billing, table.indexes[0].billing), (units(5), units(6)));
    assert_eq!(table.on_demand_since_us(), Some(1), "it was, since it was made");
    assert_eq!(table.settings.throughput, Throughput::default(), "bounds are of the other mode");
    assert_eq!(table.settings.class_changed_at_us, Some(3));
    let on_demand = CapacityChange { table: of_index(Billing::OnDemand), ..CapacityChange::default() };
    table.change_capacity(&on_demand, 4);
    assert_eq!((table.billing, table.indexes[0].billing), (Billing::OnDemand, Billing::OnDemand));
    assert_eq!(table.on_demand_since_us(), Some(4));
    table.change_capacity(&on_demand, 5);
    assert_eq!(table.on_demand_since_us(), Some(4), "nothing has changed");
    assert_eq!(table.check(), Ok(()));
}
