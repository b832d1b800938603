//! A data directory that an earlier Thalweg wrote is read as it was meant: log, archives, manifest and Parquet files of format 1
//! are kept in `fixtures/format-1`, with what is in them as text beside.
//!
//! The fixture is written once for each format, by
//!
//! ```sh
//! THALWEG_FIXTURE_INTO=compactor/tests/fixtures/format-N cargo test -p compactor --test fixture made_again
//! ```
//! and never changed: what a later version makes of the same writes may look different on disk. (The order in which the
//! text lists the items of global indexes is that of scans, which is no part of the format, and has changed once.)
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use compactor::{Compactor, Step, Task};
use crc_fast::{CrcAlgorithm, Digest};
use futures::FutureExt;
use item::{
    Actor, Change, Event, Image, Index, IndexKind, IndexStatus, Item, Key, KeyAttribute, KeyType, Old, Stream,
    StreamView, Table, Value,
    table::{Billing, Projection},
};
use store::{
    Config, Error, PageLimit, Stepper, Store, Target,
    env::{Disk, OsDisk},
    log::{FrameNumber, Preparation},
    transaction::{Token, Transaction},
    write::{Action, TableWrite, Write},
};
use support::{START_US, TestClock, number, readings};

/// Where the fixture of a format is kept.
fn kept(format: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/format-{format}"))
}

#[test]
fn what_format_1_wrote_is_read_as_it_was_meant() {
    let dir = tempfile::tempdir().unwrap();
    support::copy(&kept(1).join("data"), dir.path());
    let names = |part: &str| fs::read_dir(dir.path().join(part)).unwrap().count();
    assert!(
        names("log") > 3 && names("manifest") > 0 && names("cold/runs") > 0,
        "the fixture has something of everything"
    );
    let sound = compactor::verify(&OsDisk::open(dir.path()).unwrap()).unwrap();
    assert!(sound.problems.is_empty() && sound.notes.is_empty(), "{:?} {:?}", sound.problems, sound.notes);
    let database = Stepped::open(dir.path(), START_US * 2);
    let told = database.told();
    let expected = fs::read_to_string(kept(1).join("expected.txt")).unwrap();
    for (number, (expected, told)) in expected.lines().zip(told.lines()).enumerate() {
        assert_eq!(told, expected, "line {} of expected.txt", number + 1);
    }
    assert_eq!(told.lines().count(), expected.lines().count());
}

#[test]
fn what_format_1_wrote_is_still_written_to() {
    let dir = tempfile::tempdir().unwrap();
    support::copy(&kept(1).join("data"), dir.path());
    let mut database = Stepped::open(dir.path(), START_US * 2);
    let table = database.store.catalog().by_name("readings").unwrap().clone();
    database.put(&table, vec![reading(1, 1_000_000, "1")]);
    database.compact();
    drop(database);
    let sound = compactor::verify(&OsDisk::open(dir.path()).unwrap()).unwrap();
    assert!(sound.problems.is_empty(), "{:?}", sound.problems);
}

/// Is it a system table that there was not yet when the fixture was made?
fn is_newer(table: &Table) -> bool {
    table.id.is_system() && table.id > item::table::system::TOKENS
}

/// The same writes mean the same today.
#[test]
fn the_fixture_can_be_made_again() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path());
    let told = Stepped::open(dir.path(), START_US * 2).told();
    if let Some(into) = std::env::var_os("THALWEG_FIXTURE_INTO") {
        let into = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(into);
        let again = tempfile::tempdir().unwrap();
        make(again.path());
        support::copy(again.path(), &into.join("data"));
        fs::write(into.join("expected.txt"), &told).unwrap();
    }
    assert_eq!(told, fs::read_to_string(kept(1).join("expected.txt")).unwrap());
}

#[test]
fn a_newer_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    support::copy(&kept(1).join("data"), dir.path());
    let format = fs::read_to_string(dir.path().join("FORMAT")).unwrap();
    fs::write(dir.path().join("FORMAT"), format.replace("\"format\":1", "\"format\":2")).unwrap();
    let error = OsDisk::open(dir.path()).unwrap_err();
    assert!(matches!(error, Error::NewerFormat { found: 2, supported: 1, .. }), "{error}");
    assert!(error.to_string().contains("use a newer thalweg"), "{error}");
}

/// Without a newer `FORMAT` nothing newer can be there; should it, it is not taken for the end of the log.
#[test]
fn a_newer_archive_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    support::copy(&kept(1).join("data"), dir.path());
    let mut names: Vec<PathBuf> =
        fs::read_dir(dir.path().join("log")).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    let archive = names.iter().find(|name| name.extension().is_some_and(|end| end == "archive")).unwrap();
    let mut bytes = fs::read(archive).unwrap();
    let trailer = bytes.len() - 20;
    assert_eq!(bytes[trailer..trailer + 6], *b"ThwA\x01\0");
    bytes[trailer + 4] = 2;
    fs::write(archive, bytes).unwrap();
    let sound = compactor::verify(&OsDisk::open(dir.path()).unwrap()).unwrap();
    assert!(sound.problems.iter().any(|problem| problem.to_string().contains("unknown archive version")), "{sound:?}");
}

/// Nor is a newer frame where the log ends: what it says was acknowledged.
#[test]
fn a_newer_frame_is_refused() {
    const LAST_SEGMENT: &str = "log/00000000000000000013.segment";
    let dir = tempfile::tempdir().unwrap();
    support::copy(&kept(1).join("data"), dir.path());
    // As after a crash.
    fs::remove_file(dir.path().join("log/closed")).unwrap();
    let mut bytes = fs::read(dir.path().join(LAST_SEGMENT)).unwrap();
    let last = (0..bytes.len()).step_by(4096).filter(|at| bytes[*at..].starts_with(b"ThwF")).max().unwrap();
    let frame = &mut bytes[last..last + 4096];
    frame[4] = 2;
    let header_bytes = 80 + 8 * usize::from(frame[6]);
    let mut checksum = Digest::new(CrcAlgorithm::Crc32Iscsi);
    for part in [&0x7468_616c_7765_6700_0000_0000_0000_0001_u128.to_le_bytes(), &frame[..8], &frame[12..header_bytes]] {
        checksum.update(part);
    }
    frame[8..12].copy_from_slice(&(checksum.finalize() as u32).to_le_bytes());
    fs::write(dir.path().join(LAST_SEGMENT), bytes).unwrap();
    let disk: Arc<dyn Disk> = Arc::new(OsDisk::open(dir.path()).unwrap());
    let clock = Arc::new(TestClock(AtomicU64::new(START_US)));
    let error = Store::open_stepped(disk, clock, Config::default()).err().unwrap().to_string();
    assert!(error.contains(LAST_SEGMENT) && error.contains("unknown frame version"), "{error}");
}

// --- What is in it ---

/// Writes a data directory with something of everything.
fn make(dir: &Path) {
    // The same directory every time.
    fs::write(dir.join("FORMAT"), "{\"format\":1,\"directory\":\"7468616c776567000000000000000001\"}\n").unwrap();
    let mut database = Stepped::open(dir, START_US);
    let stream = Stream { view: StreamView::NewAndOldImages, enabled_at_us: 0 };
    let streamed = database.create(Table { stream: Some(stream), ..readings("readings") });
    let settings = database.create(Table {
        partition_key: KeyAttribute::new("name", KeyType::S),
        sort_key: None,
        sort_key_is_time: false,
        indexes: vec![index("by_site", KeyAttribute::new("site", KeyType::S))],
        ..readings("settings")
    });
    let blobs = database.create(Table {
        partition_key: KeyAttribute::new("id", KeyType::B),
        sort_key: Some(KeyAttribute::new("part", KeyType::S)),
        sort_key_is_time: false,
        ..readings("blobs")
    });
    for round in 0..24 {
        let device = |device| reading(device, 1000 * round, &format!("{round}.{device}0"));
        database.put(&streamed, (0..5).map(device).collect());
    }
    database.put(&settings, vec![everything("first", "north"), everything("second", "south")]);
    database.put(&blobs, vec![blob(1, "a"), blob(2, "b")]);
    // What comes late, what changes, what goes.
    database.put(&streamed, vec![reading(0, 500, "-0.5")]);
    let more: Item =
        [("name", Value::from("first")), ("site", "south".into()), ("more", number("1E-7"))].into_iter().collect();
    database.write(&settings, vec![(more.clone(), Action::Merge(more))]);
    database.write(&streamed, vec![(reading(1, 2000, "0"), Action::Remove)]);
    database.transact(vec![
        (&streamed, reading(2, 500, "2.5")),
        (&settings, everything("third", "north")),
        (&blobs, blob(3, "c")),
    ]);
    // A frame that is larger than a segment.
    let mut large = blob(4, "d");
    large.insert("content", Value::from("0123456789abcdef".repeat(4 << 10)));
    database.put(&blobs, vec![large]);
    database.change(TableWrite::Delete("blobs".to_owned()));
    database.compact();
    let added = index("by_value", KeyAttribute::new("value", KeyType::N));
    database.change(TableWrite::AddIndex("readings".to_owned(), added));
    database.compact();
    database.flush();
    // Files that are not merged, and a log behind them.
    database.put(&streamed, (0..5).map(|device| reading(device, 100_000, "7")).collect());
    database.flush();
    for round in 101..109 {
        database.put(&streamed, vec![reading(round % 3, 1000 * round, "3.25")]);
    }
    database.store.log().close().unwrap();
}

fn reading(device: u64, ts: u64, value: &str) -> Item {
    let mut item = support::reading(device, ts, value);
    item.insert("note", Value::from("some words that make it a little longer"));
    item
}

fn index(name: &str, partition_key: KeyAttribute) -> Index {
    Index {
        id: item::TableId(0),
        name: name.to_owned(),
        kind: IndexKind::Global,
        partition_key,
        sort_key: None,
        projection: Projection::All,
        further_keys: Default::default(),
        status: IndexStatus::Active,
        billing: Billing::OnDemand,
        throughput: Default::default(),
    }
}

/// An item with a value of every type.
fn everything(name: &str, site: &str) -> Item {
    let inner = [("deep".to_owned(), Value::List(vec![Value::Null, number("-12.50"), "x".into()]))];
    [
        ("name", Value::from(name)),
        ("site", site.into()),
        ("number", number("12345678901234567890123456789012345678")),
        ("small", number("1E-130")),
        ("binary", Value::Binary(b"\0\x01\xff".as_slice().into())),
        ("yes", Value::Bool(true)),
        ("null", Value::Null),
        ("map", Value::Map(inner.into_iter().collect())),
        ("texts", Value::StringSet(["b".to_owned(), "a".to_owned()].into())),
        ("numbers", Value::NumberSet(["2".parse().unwrap(), "1.5".parse().unwrap()].into())),
        ("binaries", Value::BinarySet([b"1".as_slice().into(), b"22".as_slice().into()].into())),
        ("Unicode \u{1f33f}", "\u{e9}\u{4e16}".into()),
    ]
    .into_iter()
    .collect()
}

fn blob(id: u8, part: &str) -> Item {
    [("id", Value::Binary(vec![0, id].into())), ("part", part.into())].into_iter().collect()
}

/// A store that is driven step by step, so that the same frames hold the same writes.
struct Stepped {
    store: Store,
    stepper: Stepper,
    compactor: Compactor,
    clock: Arc<TestClock>,
}

impl Stepped {
    fn open(dir: &Path, now_us: u64) -> Stepped {
        let clock = Arc::new(TestClock(AtomicU64::new(now_us)));
        let disk: Arc<dyn Disk> = Arc::new(OsDisk::open(dir).unwrap());
        let config = Config {
            shards: 3,
            segment_bytes: 16 << 10,
            log_preparation: Preparation::Inline,
            disk_low_percent: 0,
            disk_reserve_bytes: Some(0),
            ..Config::default()
        };
        let (store, stepper) = Store::open_stepped(disk, clock.clone(), config).unwrap();
        let compactor = Compactor::open(store.clone(), compactor::Config::default()).unwrap();
        Stepped { store, stepper, compactor, clock }
    }

    fn run(&mut self) {
        self.clock.0.fetch_add(1_000_000, Ordering::Relaxed);
        self.stepper.run();
    }

    fn create(&mut self, table: Table) -> Arc<Table> {
        self.change(TableWrite::Create(table))
    }

    fn change(&mut self, change: TableWrite) -> Arc<Table> {
        let mut answer = self.store.submit_table(change).unwrap();
        self.run();
        answer.try_recv().unwrap().unwrap().unwrap()
    }

    fn put(&mut self, table: &Arc<Table>, items: Vec<Item>) {
        self.write(table, items.into_iter().map(|item| (item.clone(), Action::Put(item))).collect());
    }

    fn write(&mut self, table: &Arc<Table>, items: Vec<(Item, Action)>) {
        let writes = items.into_iter().map(|(item, action)| write(table, &item, action));
        let mut answers = self.store.submit(writes.collect()).unwrap();
        self.run();
        for answer in answers.try_recv().unwrap().unwrap() {
            answer.unwrap();
        }
    }

    fn transact(&mut self, puts: Vec<(&Arc<Table>, Item)>) {
        let writes = puts.into_iter().map(|(table, item)| write(table, &item, Action::Put(item.clone()))).collect();
        let token = Token { name: "token".to_owned(), request: "request".into() };
        let transaction = Transaction::new(writes, Some(token)).unwrap();
        let mut answer = self.store.submit_transaction(transaction).unwrap();
        self.run();
        answer.try_recv().unwrap().unwrap();
    }

    fn flush(&mut self) {
        drop(self.store.submit_seal());
        self.run();
        self.work(&Task::Flush);
    }

    /// Flushes and merges everything.
    fn compact(&mut self) {
        drop(self.store.submit_seal());
        self.run();
        while let Some(task) = self.compactor.next_task() {
            self.work(&task);
            self.run();
        }
    }

    fn work(&mut self, task: &Task) {
        let mut job = self.compactor.start(task);
        while job.step().unwrap() == Step::More {}
    }

    /// Everything in it, as text: each event of the log, each item of each table and index.
    fn told(&self) -> String {
        let mut out = String::new();
        let log = self.store.log();
        let mut next = log.trim_point();
        // The last frame is that of this open.
        while next < FrameNumber(log.tail().0 - 1) {
            for frame in log.read(next, 1 << 20).unwrap() {
                next = frame.number.next();
                if next == log.tail() {
                    break;
                }
                writeln!(out, "frame {} epoch {} at {}", frame.number.0, frame.epoch, frame.committed_at_us).unwrap();
                for event in Event::decode_all(&frame.body).unwrap() {
                    writeln!(out, "  {}", event_text(&event)).unwrap();
                }
            }
        }
        let catalog = self.store.catalog();
        let mut targets: BTreeMap<String, (&Arc<Table>, Option<&Index>)> = BTreeMap::new();
        for table in catalog.tables().filter(|table| !is_newer(table) || self.store.approximate_size(table).0 > 0) {
            targets.insert(table.name.clone(), (table, None));
            for index in &table.indexes {
                targets.insert(format!("{}/{}", table.name, index.name), (table, Some(index)));
            }
        }
        for (name, (table, index)) in targets {
            writeln!(out, "items of {name}").unwrap();
            let target = match index {
                Some(index) => Target::index(table, index, false),
                None => Target::table(table),
            };
            let page = self.store.scan(target, 0..1024, None, PageLimit::default()).now_or_never().unwrap().unwrap();
            assert_eq!(page.last_key, None);
            for item in page.items {
                writeln!(out, "  {}", item_text(&item)).unwrap();
            }
        }
        out
    }
}

fn write(table: &Arc<Table>, item: &Item, action: Action) -> Write {
    let key = Key::of_item(table, item).unwrap();
    Write { table: table.clone(), key, action, condition: None, return_old: false, actor: Actor::User }
}

fn event_text(event: &Event) -> String {
    let Event { shard, sequence, actor, table, schema_version, change } = event;
    let head = format!("shard {} event {} by {actor:?} table {} v{schema_version}", shard.0, sequence.0, table.0);
    let image = |image: &Image| item_text(&image.decode().unwrap());
    let before = |old: &Old| match old {
        Old::Unknown => "unknown".to_owned(),
        Old::Absent => "absent".to_owned(),
        Old::Image(old) => image(old),
    };
    match change {
        Change::Put { key, new, old } => format!("{head} put {} {} before {}", key_text(key), image(new), before(old)),
        Change::Remove { key, old } => format!("{head} remove {} before {}", key_text(key), before(old)),
        Change::PutTable(table) => format!("{head} put {}", table_text(table)),
        Change::DeleteTable => format!("{head} delete"),
    }
}

fn table_text(table: &Table) -> String {
    let key = |key: &KeyAttribute| format!("{} {}", key.name, key.key_type);
    let index = |index: &Index| {
        let Index { id, name, kind, partition_key, projection, status, .. } = index;
        format!(" index {} {name} {kind:?} {} {projection:?} {status:?}", id.0, key(partition_key))
    };
    let sort_key = table.sort_key.as_ref().map(key).unwrap_or_default();
    let stream = table.stream.as_ref().map(|stream| format!(" stream {:?} {}", stream.view, stream.enabled_at_us));
    format!(
        "{} key {}, {sort_key} time {}{} created {}{}",
        table.name,
        key(&table.partition_key),
        table.sort_key_is_time,
        stream.unwrap_or_default(),
        table.created_at_us,
        table.indexes.iter().map(index).collect::<String>(),
    )
}

fn key_text(key: &Key) -> String {
    format!("{}/{}", hexadecimal(&key.partition), hexadecimal(&key.sort))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn item_text(item: &Item) -> String {
    let attributes: Vec<String> = item.iter().map(|(name, value)| format!("{name:?}: {}", value_text(value))).collect();
    format!("{{{}}}", attributes.join(", "))
}

fn value_text(value: &Value) -> String {
    let list = |texts: Vec<String>| texts.join(", ");
    match value {
        Value::String(text) if text.len() > 1000 => format!("S {} bytes of {:?}...", text.len(), &text[..16]),
        Value::String(text) => format!("S {text:?}"),
        Value::Number(number) => format!("N {number}"),
        Value::Binary(bytes) => format!("B {}", hexadecimal(bytes)),
        Value::Bool(value) => format!("BOOL {value}"),
        Value::Null => "NULL".to_owned(),
        Value::List(values) => format!("L [{}]", list(values.iter().map(value_text).collect())),
        Value::Map(values) => {
            format!(
                "M {{{}}}",
                list(values.iter().map(|(name, value)| format!("{name:?}: {}", value_text(value))).collect())
            )
        }
        Value::StringSet(texts) => format!("SS {texts:?}"),
        Value::NumberSet(numbers) => format!("NS [{}]", list(numbers.iter().map(ToString::to_string).collect())),
        Value::BinarySet(all) => format!("BS [{}]", list(all.iter().map(|bytes| hexadecimal(bytes)).collect())),
    }
}
