use proptest::prelude::*;

use super::*;
use crate::{KeyType, Value, arbitrary};

fn table() -> Table {
    Table {
        id: TableId(1000),
        name: "readings".to_owned(),
        partition_key: KeyAttribute::new("device", KeyType::S),
        sort_key: Some(KeyAttribute::new("at", KeyType::N)),
        ..super::super::system::retained()
    }
}

fn by_site() -> Index {
    Index {
        id: TableId(1001),
        name: "by-site".to_owned(),
        kind: IndexKind::Global,
        partition_key: KeyAttribute::new("site", KeyType::S),
        sort_key: Some(KeyAttribute::new("alarm", KeyType::N)),
        projection: Projection::KeysOnly,
        further_keys: Default::default(),
        status: IndexStatus::Active,
        billing: Billing::OnDemand,
        throughput: Default::default(),
    }
}

fn item(attributes: &[(&str, Value)]) -> Item {
    Item(attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

proptest! {
    #[test]
    fn an_entry_s_key_is_the_key_of_its_attributes((table, item) in arbitrary::keyed_items(), s in "[a-b\0]{0,3}", n: i16) {
        let mut item = item;
        item.insert("is", text(&s));
        item.insert("in", Value::Number(i64::from(n).into()));
        let key = Key::of_item(&table, &item).unwrap();
        for index in &table.indexes {
            let entries = index.entries(&table);
            let complete = index.key_attributes().all(|attribute| item.get(&attribute.name).is_some());
            let entry = index.entry(&key, &item, &table);
            let legal = match index.kind {
                IndexKind::Expiry => matches!(item.get(&index.partition_key.name), Some(Value::Number(_))),
                IndexKind::Global | IndexKind::Local => index.check_item(&item).is_ok(),
            };
            prop_assert_eq!(entry.is_some(), complete && legal);
            if let Some((entry_key, entry)) = entry {
                prop_assert_eq!(Key::of_item(&entries, &entry).unwrap(), entry_key.clone());
                prop_assert_eq!(index.item_key(&entry_key).unwrap(), key.clone());
                let keys = entry_key.to_item(&entries).unwrap();
                prop_assert!(keys.iter().all(|(name, value)| entry.get(name) == Some(value)));
                prop_assert!(entry.iter().all(|(name, value)| item.get(name) == Some(value)));
                prop_assert_eq!(Key::of_item(&table, &entry).unwrap(), key.clone());
            }
        }
    }
}

#[test]
fn entries_hold_what_the_projection_says() {
    let whole = item(&[
        ("device", text("d")),
        ("at", Value::Number(5u64.into())),
        ("site", text("s")),
        ("alarm", Value::Number(1u64.into())),
        ("a", Value::Null),
        ("b", Value::Null),
    ]);
    let key = Key::of_item(&table(), &whole).unwrap();
    let names = |projection| {
        let (_, entry) = Index { projection, ..by_site() }.entry(&key, &whole, &table()).unwrap();
        entry.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names(Projection::KeysOnly), "alarm at device site");
    assert_eq!(names(Projection::Include(["b".to_owned()].into())), "alarm at b device site");
    assert_eq!(names(Projection::All), "a alarm at b device site");
}

#[test]
fn what_no_key_may_be_is_no_entry_and_is_told() {
    let base = [("device", text("d")), ("at", Value::Number(5u64.into()))];
    let key = Key::of_item(&table(), &item(&base)).unwrap();
    let with = |more: &[(&str, Value)]| item(&[&base[..], more].concat());
    let index = by_site();
    let alarm = ("alarm", Value::Number(1u64.into()));
    for (more, is_legal) in [
        (vec![], true),
        (vec![alarm.clone()], true),
        (vec![("site", text("s"))], true),
        (vec![("site", text("")), alarm.clone()], false),
        (vec![("site", Value::Null), alarm.clone()], false),
        (vec![("site", text(&"x".repeat(2049))), alarm], false),
        (vec![("site", text("s")), ("alarm", text("1"))], false),
    ] {
        assert_eq!(index.entry(&key, &with(&more), &table()), None, "{more:?}");
        assert_eq!(index.check_item(&with(&more)).is_ok(), is_legal, "{more:?}");
    }
}

#[test]
fn indexes_of_a_table_are_checked() {
    let with = |indexes: Vec<Index>| Table { indexes, ..table() }.check();
    let second = Index { id: TableId(1002), name: "by-site-2".to_owned(), ..by_site() };
    assert_eq!(with(vec![by_site(), second.clone()]), Ok(()));
    assert!(matches!(with(vec![second.clone(), by_site()]), Err(TableError::IndexOrder { .. })));
    assert!(matches!(with(vec![by_site(), by_site()]), Err(TableError::IndexOrder { .. })));
    let same_number = Index { id: TableId(1001), ..second.clone() };
    assert!(matches!(with(vec![by_site(), same_number]), Err(TableError::IndexOrder { .. })));
    let local = Index { kind: IndexKind::Local, ..by_site() };
    assert!(matches!(with(vec![local.clone()]), Err(TableError::LocalIndexKey { .. })));
    assert_eq!(with(vec![Index { partition_key: KeyAttribute::new("device", KeyType::S), ..local }]), Ok(()));
    let other_type = Index { partition_key: KeyAttribute::new("at", KeyType::S), ..second };
    assert!(matches!(with(vec![other_type]), Err(TableError::TwoTypes { .. })));
    let entries = by_site().entries(&table());
    assert!(entries.check().is_err(), "the schema of entries is made, never recorded");
}
