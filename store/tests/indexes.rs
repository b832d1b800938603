//! Secondary indexes: entries are there when the write is answered and after a restart; what is no index is refused.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use item::{
    Index, IndexKind, IndexStatus, Item, KeyAttribute, KeyType, Table, TableError, TableId, Value,
    table::{Billing, Projection},
};
use store::{
    Config, Direction, PageLimit, SortRange, Store, Target,
    write::{Action, Rejection, TableRejection, TableWrite},
};
use support::{create, number, open, put, reading, readings, write};

fn by_site(key_type: KeyType) -> Index {
    Index {
        id: TableId(0),
        name: "by-site".to_owned(),
        kind: IndexKind::Global,
        partition_key: KeyAttribute::new("site", key_type),
        sort_key: None,
        projection: Projection::KeysOnly,
        further_keys: Default::default(),
        status: IndexStatus::Active,
        billing: Billing::OnDemand,
        throughput: Default::default(),
    }
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

/// The items at a site, read through the index, in its order.
async fn at_site(store: &Store, table: &Table, site: &str, whole: bool) -> Vec<Item> {
    let index = table.index("by-site").unwrap();
    let partition = item::key::encode_partition_attribute(&index.partition_key, &text(site)).unwrap();
    let target = Target::index(table, index, whole);
    let (range, limit) = (SortRange::default(), PageLimit::default());
    store.query(target, &partition, &range, Direction::Forward, None, limit).await.unwrap().items
}

#[tokio::test]
async fn entries_are_there_with_the_answer_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Config::default());
    let table = create(&store, Table { indexes: vec![by_site(KeyType::S)], ..readings("plants", false) }).await;
    let at = |device: &str, at: u64, site: &str| reading(device, at, &[("site", text(site)), ("v", number(at))]);
    store.write((0..20).map(|n| put(&table, at(&format!("pump-{n}"), n, "north"))).collect()).await.unwrap();
    store.write(vec![put(&table, at("pump-3", 3, "south")), put(&table, reading("pump-4", 4, &[]))]).await.unwrap();
    store.write(vec![write(&table, reading("pump-5", 5, &[]), |_| Action::Remove)]).await.unwrap();
    let check = async |store: &Store| {
        assert_eq!(at_site(store, &table, "north", false).await.len(), 17);
        let south = reading("pump-3", 3, &[("site", text("south"))]);
        assert_eq!(at_site(store, &table, "south", false).await, [south]);
        assert_eq!(at_site(store, &table, "south", true).await, [at("pump-3", 3, "south")]);
    };
    check(&store).await;
    let refused = store.write(vec![put(&table, reading("pump-6", 6, &[("site", number(1))]))]).await.unwrap();
    assert!(
        matches!(&refused[0], Err(Rejection::Invalid(item::ItemError::IndexKey { index, .. })) if index == "by-site")
    );
    store.close().await.unwrap();
    drop(store);
    let store = open(dir.path(), Config::default());
    check(&store).await;
    store.change_table(TableWrite::DropIndex("plants".to_owned(), "by-site".to_owned())).await.unwrap().unwrap();
    assert_eq!(at_site(&store, &table, "north", false).await, [], "of what is no more, nothing is read");
    store.close().await.unwrap();
}

#[tokio::test]
async fn what_could_not_be_replayed_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Config::default());
    create(&store, readings("plants", false)).await;
    let add = |index: Index| store.change_table(TableWrite::AddIndex("plants".to_owned(), index));
    add(by_site(KeyType::S)).await.unwrap().unwrap();
    assert_eq!(add(by_site(KeyType::S)).await.unwrap(), Err(TableRejection::IndexExists));
    // Whoever asked for it may not have seen the other.
    let other = Index { name: "other".to_owned(), ..by_site(KeyType::N) };
    let two_types = TableError::TwoTypes { name: "site".to_owned() };
    assert_eq!(add(other).await.unwrap(), Err(TableRejection::Invalid(two_types)));
    let long = KeyAttribute::new("\u{e9}".repeat(200), KeyType::S);
    let created = TableWrite::Create(Table { partition_key: long, ..readings("long", false) });
    let refused = store.change_table(created).await.unwrap();
    assert!(matches!(refused, Err(TableRejection::Invalid(TableError::KeyNameLength { bytes: 400, .. }))));
    store.close().await.unwrap();
    drop(store);
    let store = open(dir.path(), Config::default());
    assert_eq!(store.catalog().by_name("plants").unwrap().indexes.len(), 1);
    assert!(store.catalog().by_name("long").is_none());
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_collection_is_no_larger_than_it_is_said_to_be() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Config::default());
    let by_v = Index {
        name: "by-v".to_owned(),
        kind: IndexKind::Local,
        partition_key: readings("plants", false).partition_key,
        sort_key: Some(KeyAttribute::new("v", KeyType::N)),
        projection: Projection::All,
        ..by_site(KeyType::S)
    };
    let table = create(&store, Table { indexes: vec![by_v], ..readings("plants", false) }).await;
    let long = text(&"x".repeat(10_000));
    let with = |at: u64| reading("pump", at, &[("v", number(at)), ("note", long.clone())]);
    let key = item::Key::of_item(&table, &with(0)).unwrap();
    assert_eq!(store.collection_bytes_max(&table, &key), 0);
    store.write((0..20).map(|at| put(&table, with(at))).collect()).await.unwrap();
    // Each item counts twice: it has an entry that holds all of it.
    let bytes: usize = (0..20).map(|at| 2 * with(at).size()).sum();
    let bytes_max = store.collection_bytes_max(&table, &key);
    assert!((bytes as u64..3 * bytes as u64).contains(&bytes_max), "{bytes} bytes are at most {bytes_max}");
}
