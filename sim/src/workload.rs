//! What the clients of a simulation ask for.

use std::collections::{BTreeMap, BTreeSet};

use item::{
    FurtherKeys, Index, IndexKind, IndexStatus, Item, KeyAttribute, KeyType, Number, Stream, StreamView, Table,
    TableId, Value,
    expression::{Condition, Kind, Substitutions},
    table::{Billing, CapacityChange, Projection, TableClass, ThroughputChange},
};

use crate::{
    edits::{Edit, Edits},
    random::Random,
};

/// Names of the tables that come and go.
const NAMES: [&str; 4] = ["readings", "plain", "alarms", "..."];

/// Attribute names, with pairs that differ only in case or look reserved.
const ATTRIBUTES: [&str; 12] =
    ["value", "Value", "unit", "state", "_seq", "x.y", "größe", "note", SITE, LEVEL, RACK, UNTIL];

/// Attributes that indexes are keyed by: always of the same type, so that no write is refused for them.
const SITE: &str = "site";
const LEVEL: &str = "level";
const RACK: &str = "rack";

/// When items expire, seconds since 1970, if their table lets them.
pub(crate) const UNTIL: &str = "until";

/// Keys of tags, of which a table has few.
const TAGS: [&str; 3] = ["owner", "cost center", ""];

/// Values of [`SITE`].
const SITES: [&str; 3] = ["north", "south", "\0"];

/// A condition of a write, as the model understands it.
#[derive(Clone, Debug, PartialEq)]
pub enum Check {
    /// There is an item.
    Exists,
    /// There is none.
    Absent,
    /// The attribute has this value.
    Is(&'static str, Value),
    /// The attribute is a number below this one.
    Below(&'static str, Number),
}

impl Check {
    /// Does it hold for the item as it is?
    pub fn holds(&self, item: Option<&Item>) -> bool {
        let attribute = |name: &str| item.and_then(|item| item.0.get(name));
        match self {
            Check::Exists => item.is_some(),
            Check::Absent => item.is_none(),
            Check::Is(name, value) => attribute(name) == Some(value),
            Check::Below(name, limit) => matches!(attribute(name), Some(Value::Number(number)) if number < limit),
        }
    }

    /// The same as an expression.
    pub fn expression(&self, table: &Table) -> Condition {
        let (text, name, value) = match self {
            Check::Exists => ("attribute_exists(#name)", table.partition_key.name.as_str(), None),
            Check::Absent => ("attribute_not_exists(#name)", table.partition_key.name.as_str(), None),
            Check::Is(name, value) => ("#name = :value", *name, Some(value.clone())),
            Check::Below(name, limit) => ("#name < :value", *name, Some(Value::Number(*limit))),
        };
        let names = [("#name".to_owned(), name.to_owned())].into();
        let values = value.map(|value| [(":value".to_owned(), value)].into());
        let mut substitutions = Substitutions::new(Some(names), values).expect("one token of each kind");
        Condition::parse(Kind::Condition, text, &mut substitutions).expect("a well-formed condition")
    }
}

/// Draws tables, keys, items and conditions.
pub struct Workload {
    random: Random,
    /// Newest sort key by partition key: most readings come in order.
    newest: BTreeMap<String, u64>,
}

impl Workload {
    /// The workload of one seed.
    pub fn new(random: Random) -> Workload {
        Workload { random, newest: BTreeMap::new() }
    }

    /// A table to make, not yet numbered. Each name always has the same keys.
    pub fn table(&mut self) -> Table {
        let name = *self.random.pick(&NAMES);
        let key = |name: &str, key_type| KeyAttribute { name: name.to_owned(), key_type };
        let (sort_key, view) = match name {
            "readings" => (Some(key("ts", KeyType::N)), Some(StreamView::NewAndOldImages)),
            "plain" => (None, None),
            "alarms" => (Some(key("code", KeyType::S)), Some(StreamView::KeysOnly)),
            _ => (Some(key("ts", KeyType::N)), None),
        };
        let mut table = Table {
            id: TableId(0),
            name: name.to_owned(),
            version: 0,
            partition_key: key("device_id", KeyType::S),
            sort_key_is_time: name == "readings",
            item_key: Vec::new(),
            further_keys: Default::default(),
            settings: Default::default(),
            indexes: Vec::new(),
            sort_key,
            stream: view.map(|view| Stream { view, enabled_at_us: 0 }),
            created_at_us: 0,
            billing: Billing::OnDemand,
            deletion_protection: false,
            tags: Default::default(),
        };
        if self.random.percent(30) {
            table.indexes.push(self.index());
        }
        if table.sort_key.is_some() && self.random.percent(30) {
            let local = Index {
                name: "local".to_owned(),
                kind: IndexKind::Local,
                partition_key: table.partition_key.clone(),
                sort_key: Some(KeyAttribute::new(LEVEL, KeyType::N)),
                further_keys: FurtherKeys::default(),
                ..self.index()
            };
            table.indexes.push(local);
        }
        table
    }

    /// A global index, not yet numbered. Its name comes before that of a local one.
    pub fn index(&mut self) -> Index {
        let level = || KeyAttribute::new(LEVEL, KeyType::N);
        let rack = || KeyAttribute::new(RACK, KeyType::S);
        let none = FurtherKeys::default();
        let (name, sort_key, further_keys) = match self.random.below(4) {
            0 => ("by-site", None, none),
            1 => ("by-site-and-level", Some(level()), none),
            2 => ("by-site-rack", Some(rack()), FurtherKeys { sort: vec![level()], ..none }),
            _ => ("by-site-level", Some(rack()), FurtherKeys { partition: vec![level()], ..none }),
        };
        let projection = match self.random.below(3) {
            0 => Projection::All,
            1 => Projection::KeysOnly,
            _ => Projection::Include([(*self.random.pick(&ATTRIBUTES)).to_owned()].into()),
        };
        Index {
            id: TableId(0),
            name: name.to_owned(),
            kind: IndexKind::Global,
            partition_key: KeyAttribute::new(SITE, KeyType::S),
            sort_key,
            projection,
            further_keys,
            status: IndexStatus::Active,
            billing: Billing::OnDemand,
            throughput: Default::default(),
        }
    }

    /// The attributes of a partition key of an index.
    pub fn index_partition(&mut self, index: &Index) -> Item {
        if index.kind == IndexKind::Local {
            return Item::from([(index.partition_key.name.clone(), Value::String(self.device()))]);
        }
        index.partition_attributes().map(|attribute| (attribute.name.clone(), self.value(&attribute.name))).collect()
    }

    /// A change of a table's capacity mode, and perhaps of its class and of one of its indexes.
    pub fn capacity(&mut self) -> CapacityChange {
        let billing = match self.random.percent(50) {
            true => Billing::OnDemand,
            false => {
                Billing::Provisioned { read_units: self.random.between(1, 9), write_units: self.random.between(1, 9) }
            }
        };
        let class = self.random.percent(30).then_some(TableClass::InfrequentAccess);
        let table = ThroughputChange { billing: Some(billing), ..ThroughputChange::default() };
        let index = self.random.percent(50).then(|| (self.index().name, table.clone()));
        CapacityChange { class, table, indexes: index.into_iter().collect() }
    }

    /// Some tags.
    pub fn tags(&mut self) -> BTreeMap<String, String> {
        let tag = |_| ((*self.random.pick(&TAGS)).to_owned(), format!("value-{}", self.random.below(3)));
        (0..2).map(tag).collect()
    }

    /// The key attributes of some item: new, likely there, or likely not.
    pub fn key(&mut self, table: &Table) -> Item {
        let device = self.device();
        let mut item = Item::default();
        if let Some(sort_key) = &table.sort_key {
            let value = match sort_key.key_type {
                KeyType::N => self.time(&device),
                KeyType::S | KeyType::B => Value::String(format!("code-{}", self.random.below(30))),
            };
            item.0.insert(sort_key.name.clone(), value);
        }
        item.0.insert(table.partition_key.name.clone(), Value::String(device));
        item
    }

    /// A partition key, also for reads.
    pub fn device(&mut self) -> String {
        // A handful of busy devices, and a few others.
        match self.random.percent(80) {
            true => format!("device-{}", self.random.below(4)),
            false => format!("rare/{}", self.random.below(20)),
        }
    }

    fn time(&mut self, device: &str) -> Value {
        let newest = self.newest.entry(device.to_owned()).or_insert(1_700_000_000_000);
        let milliseconds = match self.random.below(10) {
            // Mostly the next reading, sometimes one that was sent before, sometimes a late one.
            0..=5 => {
                *newest += self.random.between(1, 1000);
                *newest
            }
            6..=8 => *newest - self.random.below(50).min(*newest),
            _ => *newest - self.random.below(20_000),
        };
        let fraction = if self.random.percent(10) { 5 } else { 0 };
        number(i128::from(milliseconds) * 10 + fraction, 1)
    }

    /// Attributes beside the key.
    pub fn attributes(&mut self, item: &mut Item) {
        for _ in 0..self.random.between(0, 4) {
            let name = *self.random.pick(&ATTRIBUTES);
            let value = self.value(name);
            item.0.insert(name.to_owned(), value);
        }
        if self.random.percent(2) {
            let bytes = self.random.between(1000, 20_000) as usize;
            item.0.insert("large".to_owned(), Value::String("x".repeat(bytes)));
        }
    }

    /// An update that mostly fits what is there.
    pub fn edits(&mut self) -> Edits {
        let mut edits = Edits::default();
        for _ in 0..self.random.below(4) {
            let name = *self.random.pick(&ATTRIBUTES);
            let (name, edit) = match self.random.below(12) {
                0..=3 => ("count", Edit::Count(Number::from(self.random.below(100)))),
                4 => ("count", Edit::Subtract(Number::from(self.random.below(9)))),
                5 => ("tags", Edit::Unite(self.texts())),
                6 => ("tags", Edit::Without(self.texts())),
                7 => (name, Edit::Remove),
                8 => (name, Edit::Default(self.value(name))),
                9 if ![SITE, RACK].contains(&name) => (name, Edit::Count(Number::from(self.random.below(9)))),
                10 => (name, Edit::Without(self.texts())),
                _ => (name, Edit::Set(self.value(name))),
            };
            edits.0.insert(name, edit);
        }
        edits
    }

    fn texts(&mut self) -> BTreeSet<String> {
        (0..self.random.between(1, 2)).map(|_| format!("tag-{}", self.random.below(4))).collect()
    }

    fn value(&mut self, name: &str) -> Value {
        match (name, self.random.below(20)) {
            (SITE, _) => Value::String((*self.random.pick(&SITES)).to_owned()),
            (LEVEL, _) => Value::Number(Number::from(self.random.below(5))),
            (RACK, _) => Value::String(format!("rack-{}", self.random.below(3))),
            // The clock begins at 1,700,000,000 and goes on for about an hour.
            (UNTIL, 0..=16) => Value::Number(Number::from(1_699_999_900 + self.random.below(40) * 100)),
            // So long ago that it is taken for a mistake.
            (UNTIL, 17) => Value::Number(Number::from(self.random.below(1000))),
            // Mostly one type an attribute, so that conditions and merges meet equal values.
            ("value", 0..=17) => self.measurement(),
            ("unit", 0..=18) => Value::String((*self.random.pick(&["C", "F", "K"])).to_owned()),
            ("state", 0..=17) => Value::Bool(self.random.percent(50)),
            (_, 0..=2) => self.measurement(),
            (_, 3..=5) => Value::String(format!("text-{}", self.random.below(5))),
            (_, 6) => Value::Null,
            (_, 7) => Value::Binary(vec![self.random.below(256) as u8; 3].into()),
            (_, 8) => Value::List(vec![Value::Null, self.measurement(), Value::String(String::new())]),
            (_, 9) => {
                Value::Map([("inner".to_owned(), self.measurement()), (String::from("b"), Value::Bool(true))].into())
            }
            (_, 10) => Value::NumberSet([Number::from(1_u64), Number::from(self.random.below(9) + 2)].into()),
            (_, 11) => Value::StringSet(["a".to_owned(), format!("b{}", self.random.below(3))].into()),
            (_, 12) => number(i128::from(self.random.next()) * i128::from(self.random.next() >> 8), 30),
            _ => Value::Bool(self.random.percent(50)),
        }
    }

    fn measurement(&mut self) -> Value {
        let scale = *self.random.pick(&[0, 1, 1, 2, 2, 6]);
        number(i128::from(self.random.below(400)) - 100, scale)
    }

    /// A condition that holds about every other time.
    pub fn check(&mut self) -> Check {
        match self.random.below(6) {
            0 | 1 => Check::Absent,
            2 | 3 => Check::Exists,
            4 => Check::Is("unit", Value::String("C".to_owned())),
            _ => Check::Below("value", Number::from(self.random.below(50))),
        }
    }
}

fn number(unscaled: i128, scale: u8) -> Value {
    Value::Number(Number::from_unscaled(unscaled, scale).expect("within 38 digits"))
}
