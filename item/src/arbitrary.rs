//! Strategies that generate the types of this crate, for property tests here and (feature `arbitrary`) elsewhere.
//!
//! They favour small and awkward cases: neighbours in order, zero bytes, empty texts, numbers at their limits.

use std::sync::Arc;

use bytes::Bytes;
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;

use crate::table::{
    Billing, Decreases, EndedStream, Projection, Recovery, Restored, Stream, StreamView, TableClass, TableSettings,
    Throughput, WarmThroughput,
};
use crate::{
    Actor, Change, Event, FurtherKeys, Image, Index, IndexKind, IndexStatus, Item, Key, KeyAttribute, KeyType, Number,
    Old, SequenceNumber, ShardId, Table, TableId, Value,
};

/// Numbers over the whole range and of every precision, small ones and neighbours often.
pub fn numbers() -> impl Strategy<Value = Number> {
    let digits =
        prop_oneof![0..20u128, 0..100_000u128, (any::<u128>(), 0..128u32).prop_map(|(digits, shift)| digits >> shift)];
    let exponent = prop_oneof![-3..3i32, Number::MAGNITUDE_MIN..=Number::MAGNITUDE_MAX];
    (any::<bool>(), digits, exponent).prop_map(|(negative, digits, exponent)| {
        // The first 38 digits, moved into range.
        let excess = digits.checked_ilog10().unwrap_or(0).saturating_sub(Number::PRECISION_MAX - 1);
        let digits = digits / 10u128.pow(excess);
        let length = digits.checked_ilog10().unwrap_or(0) as i32;
        let exponent = exponent.clamp(Number::MAGNITUDE_MIN - length, Number::MAGNITUDE_MAX - length);
        Number::from_parts(negative, digits, exponent).expect("digits and exponent were moved into range")
    })
}

/// Texts, among them empty ones, zero bytes and every plane of Unicode.
pub fn texts() -> impl Strategy<Value = String> {
    prop_oneof![3 => "[a\0b\u{1}]{0,4}", 2 => "[a-z_]{1,8}", 1 => "\\PC{0,12}", 1 => any::<String>()]
}

/// Byte strings, among them empty ones, zeros and ones.
pub fn blobs() -> impl Strategy<Value = Bytes> {
    let awkward = vec(prop_oneof![Just(0x00), Just(0x01), Just(0x02), Just(0xfe), Just(0xff)], 0..5);
    prop_oneof![awkward, vec(any::<u8>(), 0..24)].prop_map(Bytes::from)
}

/// Values of all ten types, nested a few levels.
pub fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        3 => texts().prop_map(Value::String),
        3 => numbers().prop_map(Value::Number),
        1 => blobs().prop_map(Value::Binary),
        1 => any::<bool>().prop_map(Value::Bool),
        1 => Just(Value::Null),
        1 => btree_set(texts(), 1..4).prop_map(Value::StringSet),
        1 => btree_set(numbers(), 1..4).prop_map(Value::NumberSet),
        1 => btree_set(blobs(), 1..4).prop_map(Value::BinarySet),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::List),
            btree_map(names(), inner, 0..4).prop_map(Value::Map),
        ]
    })
}

/// Attribute names.
pub fn names() -> impl Strategy<Value = String> {
    prop_oneof!["[a-c]", "[a-z_]{1,12}", "\\PC{1,12}"]
}

/// Items that pass [`Item::check`].
pub fn items() -> impl Strategy<Value = Item> {
    btree_map(names(), values(), 0..6).prop_map(Item)
}

/// Values that a key attribute of a type may have.
pub fn key_values(key_type: KeyType) -> BoxedStrategy<Value> {
    match key_type {
        KeyType::S => {
            texts().prop_filter("a key is not empty", |text| !text.is_empty()).prop_map(Value::String).boxed()
        }
        KeyType::N => numbers().prop_map(Value::Number).boxed(),
        KeyType::B => {
            blobs().prop_filter("a key is not empty", |blob| !blob.is_empty()).prop_map(Value::Binary).boxed()
        }
    }
}

/// The types that a key attribute may have.
pub fn key_types() -> impl Strategy<Value = KeyType> {
    prop_oneof![Just(KeyType::S), Just(KeyType::N), Just(KeyType::B)]
}

/// User tables that pass [`Table::check`], keyed by `pk` and perhaps `sk`.
pub fn tables() -> impl Strategy<Value = Table> {
    let view = prop_oneof![
        Just(StreamView::KeysOnly),
        Just(StreamView::NewImage),
        Just(StreamView::OldImage),
        Just(StreamView::NewAndOldImages),
    ];
    let stream = option::of((view, any::<u64>()).prop_map(|(view, enabled_at_us)| Stream { view, enabled_at_us }));
    let billing = prop_oneof![
        Just(Billing::OnDemand),
        any::<(u64, u64)>().prop_map(|(read_units, write_units)| Billing::Provisioned { read_units, write_units }),
    ];
    let keys = (key_types(), option::of(key_types()), any::<bool>());
    let tags = btree_map("[a-c]{1,2}", "[a-c]{0,2}", 0..3);
    let rest = (any::<u32>(), any::<u64>(), any::<bool>());
    let made = (indexes(), settings(), tags);
    (TableId::FIRST_USER.0..1 << 30, "[a-zA-Z0-9_.-]{3,20}", keys, stream, billing, rest, made).prop_map(
        |(id, name, (partition, sort, is_time), stream, billing, (version, created_at_us, protected), made)| {
            let (mut indexes, settings, tags) = made;
            for (index, number) in indexes.iter_mut().zip(id + 1..) {
                index.id = TableId(number);
                if index.kind == IndexKind::Local {
                    index.partition_key = KeyAttribute::new("pk", partition);
                }
            }
            Table {
                id: TableId(id),
                name,
                version,
                partition_key: KeyAttribute::new("pk", partition),
                sort_key: sort.map(|sort| KeyAttribute::new("sk", sort)),
                sort_key_is_time: is_time && sort == Some(KeyType::N),
                item_key: Vec::new(),
                further_keys: Default::default(),
                settings,
                indexes,
                stream,
                created_at_us,
                billing,
                deletion_protection: protected,
                tags,
            }
        },
    )
}

/// What may be known of throughput.
fn throughputs() -> impl Strategy<Value = Throughput> {
    let units = || option::of(any::<u64>());
    let warm = option::of(any::<(u64, u64)>());
    let decreased = option::of((any::<u64>(), any::<u32>()));
    let known = (units(), units(), warm, units(), decreased).prop_map(
        |(read_units_max, write_units_max, warm, increased_at_us, decreased)| Throughput {
            read_units_max,
            write_units_max,
            warm: warm.map(|(read_units, write_units)| WarmThroughput { read_units, write_units }),
            increased_at_us,
            decreased: decreased.map(|(last_at_us, on_that_day)| Decreases { last_at_us, on_that_day }),
        },
    );
    prop_oneof![Just(Throughput::default()), known]
}

/// Settings of tables.
fn settings() -> impl Strategy<Value = TableSettings> {
    let class = option::of(prop_oneof![Just(TableClass::Standard), Just(TableClass::InfrequentAccess)]);
    let time = || option::of(any::<u64>());
    let stream = any::<(u64, u64)>().prop_map(|(enabled_at_us, ended_at_us)| EndedStream {
        stream: Stream { view: StreamView::NewImage, enabled_at_us },
        ended_at_us,
    });
    let recovery = option::of((any::<u64>(), 1..=Recovery::PERIOD_DAYS_MAX));
    let restored = option::of(("[a-z]{3,9}", "[0-9-]{0,5}", any::<u64>()));
    (class, time(), time(), throughputs(), vec(stream, 0..3), (any::<bool>(), recovery, restored)).prop_map(
        |(
            class,
            class_changed_at_us,
            on_demand_since_us,
            throughput,
            ended_streams,
            (is_filling, recovery, restored),
        )| {
            TableSettings {
                class,
                class_changed_at_us,
                on_demand_since_us,
                throughput,
                ended_streams,
                is_filling,
                recovery: recovery.map(|(since_us, period_days)| Recovery { since_us, period_days }),
                restored: restored.map(|(table, backup, as_of_us)| Restored { table, backup, as_of_us }),
            }
        },
    )
}

/// Indexes by name, keyed by some of `is` (S), `in` (N) and `ib` (B). The local ones still need their table's partition key.
fn indexes() -> impl Strategy<Value = Vec<Index>> {
    let keys = prop_oneof![Just(("is", KeyType::S)), Just(("in", KeyType::N)), Just(("ib", KeyType::B))];
    let keys = keys.prop_map(|(name, key_type)| KeyAttribute::new(name, key_type));
    let projection = prop_oneof![
        Just(Projection::All),
        Just(Projection::KeysOnly),
        btree_set("[a-e]", 1..4).prop_map(Projection::Include),
    ];
    let words = (any::<bool>(), any::<bool>(), any::<bool>());
    let further = (vec(keys.clone(), 0..3), vec(keys.clone(), 0..3));
    let index = (keys.clone(), option::of(keys), further, projection, words, throughputs()).prop_map(
        |(partition_key, sort_key, further, projection, (is_local, is_active, is_provisioned), throughput)| {
            let sort_key = sort_key.filter(|sort_key| is_local || *sort_key != partition_key);
            let is_local = is_local && sort_key.is_some();
            // Each attribute once, and none beyond the first ones in a local index.
            let mut further_keys = FurtherKeys { partition: further.0, sort: further.1 };
            let mut seen: Vec<KeyAttribute> = std::iter::once(&partition_key).chain(&sort_key).cloned().collect();
            let has_sort = sort_key.is_some();
            for (attributes, allowed) in [(&mut further_keys.partition, true), (&mut further_keys.sort, has_sort)] {
                attributes.retain(|attribute| {
                    let is_new = !is_local && allowed && !seen.contains(attribute);
                    seen.push(attribute.clone());
                    is_new
                });
            }
            Index {
                id: TableId(0),
                name: String::new(),
                kind: if is_local { IndexKind::Local } else { IndexKind::Global },
                partition_key,
                sort_key,
                further_keys,
                projection,
                status: if is_active { IndexStatus::Active } else { IndexStatus::Filling },
                billing: if is_provisioned {
                    Billing::Provisioned { read_units: 5, write_units: 6 }
                } else {
                    Billing::OnDemand
                },
                throughput,
            }
        },
    );
    let expiry = prop_oneof![Just("in"), Just("is")].prop_map(Index::expiry);
    (option::of(expiry), vec(index, 0..4)).prop_map(|(expiry, mut indexes)| {
        for (index, number) in indexes.iter_mut().zip(0..) {
            index.name = format!("index-{number}");
        }
        expiry.into_iter().chain(indexes).collect()
    })
}

/// A table and an item that has its key.
pub fn keyed_items() -> impl Strategy<Value = (Table, Item)> {
    tables().prop_flat_map(|table| {
        let partition = key_values(table.partition_key.key_type);
        let sort = key_values(table.sort_key.as_ref().map_or(KeyType::S, |sort| sort.key_type));
        (Just(table), items(), partition, sort).prop_map(|(table, mut item, partition, sort)| {
            item.insert(table.partition_key.name.clone(), partition);
            if let Some(sort_key) = &table.sort_key {
                item.insert(sort_key.name.clone(), sort);
            }
            (table, item)
        })
    })
}

/// Events of every kind, their keys and images sound.
pub fn events() -> impl Strategy<Value = Event> {
    let actor = prop_oneof![Just(Actor::User), Just(Actor::Ttl), Just(Actor::Import), Just(Actor::System)];
    let old =
        prop_oneof![Just(Old::Unknown), Just(Old::Absent), items().prop_map(|item| Old::Image(Image::encode(&item))),];
    let item_change = (keyed_items(), old, any::<bool>()).prop_map(|((table, item), old, put)| {
        let key = Key::of_item(&table, &item).expect("the item was given the table's key");
        if put { Change::Put { key, new: Image::encode(&item), old } } else { Change::Remove { key, old } }
    });
    let change = prop_oneof![
        8 => item_change,
        1 => tables().prop_map(|table| Change::PutTable(Arc::new(table))),
        1 => Just(Change::DeleteTable),
    ];
    (any::<u16>(), any::<u64>(), actor, any::<u32>(), any::<u32>(), change).prop_map(
        |(shard, sequence, actor, table, schema_version, change)| Event {
            shard: ShardId(shard),
            sequence: SequenceNumber(sequence),
            actor,
            table: TableId(table),
            schema_version,
            change,
        },
    )
}
