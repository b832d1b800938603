//! How many bytes does a reading take in a file of a generation, and which column takes them?
//!
//! ```text
//! cargo bench -p store --bench columns                the series of examples/data/nab, then a fleet of trucks
//! ```
//! A series is one file, as is a shard of the fleet: 250 trucks, 400 readings each, in the shape of TSBS's IoT data: seven
//! metrics that walk, three of state, what is constant of a truck, and a text for the time. Bytes a reading, all of the file, then by column; and the
//! processor time of writing a reading.
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::Path,
    sync::Arc,
    time::Duration,
};

use item::{Item, Key, KeyAttribute, KeyType, Number, SequenceNumber, ShardId, Table, TableId, Value, table::Billing};
use parquet::file::reader::{FileReader, SerializedFileReader};
use rustix::time::{ClockId, clock_gettime};
use store::{
    env::{Disk, OsDisk},
    files::{ColumnTypes, FileId, FileWriter, ItemRow, NewFile},
    manifest::{Place, generation_dir},
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SERIES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/data/nab");
const TRUCKS: u64 = 250;
const READINGS: u64 = 400;
const FIRST_S: i64 = 1_767_225_600;

fn main() {
    let mut series: Vec<_> = fs::read_dir(SERIES).unwrap().map(|entry| entry.unwrap().path()).collect();
    series.retain(|path| path.extension().is_some_and(|end| end == "csv"));
    series.sort();
    let (mut bytes, mut readings) = (0, 0);
    for path in series {
        let told = write(&read(&path));
        println!("{:<40}{told}", path.file_stem().unwrap().to_string_lossy());
        bytes += told.bytes;
        readings += told.rows;
    }
    println!("{:<40}{:>7.2} bytes a reading", "all series", bytes as f64 / readings as f64);
    println!("{:<40}{}", "fleet", write(&fleet()));
}

struct Told {
    rows: usize,
    bytes: u64,
    columns: Vec<(String, i64)>,
    took: Duration,
}

impl std::fmt::Display for Told {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rows = self.rows as f64;
        let took = self.took.as_nanos() as f64 / rows;
        write!(formatter, "{:>7.2} bytes a reading, {took:.0} ns:", self.bytes as f64 / rows)?;
        for (name, bytes) in &self.columns {
            write!(formatter, " {name} {:.2}", *bytes as f64 / rows)?;
        }
        let columns: i64 = self.columns.iter().map(|(_, bytes)| bytes).sum();
        write!(formatter, " | indexes and footer {:.2}", (self.bytes as f64 - columns as f64) / rows)
    }
}

fn write(items: &[Item]) -> Told {
    let root = tempfile::tempdir().unwrap();
    let disk = OsDisk::open(root.path()).unwrap();
    let table = Arc::new(readings());
    // The rows of the table came in the order of time.
    let mut arrival: Vec<&Item> = items.iter().collect();
    arrival.sort_by_key(|item| Some(Key::of_item(&table, item).unwrap().sort));
    let rows: BTreeMap<Key, ItemRow> = (arrival.into_iter().zip(1..))
        .map(|(item, at)| {
            let key = Key::of_item(&table, item).unwrap();
            (key.clone(), ItemRow { key, sequence: SequenceNumber(at), item: Some(item.clone()) })
        })
        .collect();
    let mut types = ColumnTypes::of_table(&table);
    rows.values().filter_map(|row| row.item.as_ref()).for_each(|item| types.widen(item));
    disk.create_dir(&generation_dir(table.id, 1)).unwrap();
    let new = NewFile {
        id: FileId(1),
        table,
        shard: ShardId(0),
        place: Place::Generation(1),
        types: Arc::new(types),
        with_removed: false,
        now_us: 1,
        buffer_bytes_max: 32 << 20,
    };
    let start = processor_time();
    let mut writer = FileWriter::create(&disk, new).unwrap();
    rows.values().for_each(|row| writer.write(row).unwrap());
    let entry = writer.finish().unwrap();
    let took = processor_time() - start;
    let reader = SerializedFileReader::new(File::open(root.path().join(entry.path())).unwrap()).unwrap();
    let mut columns: Vec<(String, i64)> = Vec::new();
    for group in reader.metadata().row_groups() {
        for (at, column) in group.columns().iter().enumerate() {
            match columns.get_mut(at) {
                Some((_, bytes)) => *bytes += column.compressed_size(),
                None => columns.push((column.column_path().string(), column.compressed_size())),
            }
        }
    }
    Told { rows: rows.len(), bytes: entry.bytes, columns, took }
}

/// The readings of a series as they are imported: its columns under their names, device and time.
fn read(path: &Path) -> Vec<Item> {
    let text = fs::read_to_string(path).unwrap();
    let reading = |(row, line): (usize, &str)| {
        let (timestamp, value) = line.split_once(',').unwrap();
        // Times of a series are five minutes apart, or are told otherwise in a text of their own.
        let ts = milliseconds(timestamp).unwrap_or(row as i64);
        let mut item = Item::new();
        item.insert("device_id", Value::from(path.file_stem().unwrap().to_string_lossy().into_owned()));
        item.insert("ts", number(&ts.to_string()));
        item.insert("timestamp", Value::from(timestamp.to_owned()));
        item.insert("value", number(value));
        item
    };
    text.lines().skip(1).enumerate().map(reading).collect()
}

/// Milliseconds since 1970 of `2014-04-04 00:00:00`.
fn milliseconds(timestamp: &str) -> Option<i64> {
    let parts: Vec<i64> = timestamp.split(['-', ' ', ':']).map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let [year, month, day, hour, minute, second] = parts[..] else { return None };
    // Days since 1970 of a year that begins in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 719_469;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000)
}

fn fleet() -> Vec<Item> {
    let mut random = Random(1);
    let mut items = Vec::new();
    for truck in 0..TRUCKS {
        let below = |random: &mut Random, n: u64| (random.next() % n) as i64;
        let (mut latitude, mut longitude) = (below(&mut random, 18_000_000), below(&mut random, 36_000_000));
        let (mut elevation, mut heading, mut fuel) = (below(&mut random, 500), below(&mut random, 360), 1000);
        let (mut velocity, mut grade, mut consumption) = (0, 0, 150);
        let load_capacity = [1500, 2000, 5000][below(&mut random, 3) as usize];
        let model = ["F-150", "G-2000", "H-2"][below(&mut random, 3) as usize];
        let fleet = ["East", "West", "North", "South"][below(&mut random, 4) as usize];
        let driver = ["Andy", "Derek", "Rodney", "Seth", "Trish"][below(&mut random, 5) as usize];
        for at in 0..READINGS {
            let mut walk = |value: &mut i64, step: i64, least: i64, greatest: i64| {
                *value = (*value + below(&mut random, 2 * step as u64 + 1) - step).clamp(least, greatest);
            };
            walk(&mut latitude, 500, 0, 18_000_000);
            walk(&mut longitude, 500, 0, 36_000_000);
            walk(&mut elevation, 2, 0, 500);
            walk(&mut velocity, 10, 0, 100);
            walk(&mut heading, 5, 0, 360);
            walk(&mut grade, 1, 0, 100);
            walk(&mut consumption, 10, 0, 500);
            if at % 20 == 0 {
                fuel -= 1;
            }
            let second = FIRST_S + at as i64 * 10;
            let mut item = Item::new();
            item.insert("device_id", Value::from(format!("truck_{truck}")));
            item.insert("ts", number(&(second * 1000).to_string()));
            item.insert(
                "time",
                Value::from(format!("2026-01-01T{:02}:{:02}:{:02}Z", at / 360, at / 6 % 60, at % 6 * 10)),
            );
            for (name, value, scale) in [
                ("latitude", latitude - 9_000_000, 5),
                ("longitude", longitude - 18_000_000, 5),
                ("elevation", elevation, 0),
                ("velocity", velocity, 0),
                ("heading", heading, 0),
                ("grade", grade, 0),
                ("fuel_consumption", consumption, 1),
                ("fuel_state", fuel, 1),
                ("current_load", if at % 100 < 50 { load_capacity / 2 } else { 0 }, 0),
                ("status", [0, 0, 0, 1, 2, 5, 9, 40][below(&mut random, 8) as usize], 0),
                ("load_capacity", load_capacity, 0),
                ("fuel_capacity", load_capacity / 10, 0),
            ] {
                item.insert(name, Value::Number(Number::from_unscaled(value.into(), scale).unwrap()));
            }
            item.insert("model", Value::from(model));
            item.insert("fleet", Value::from(fleet));
            item.insert("driver", Value::from(driver));
            item.insert("ok", Value::Bool(below(&mut random, 50) > 0));
            item.insert("message", Value::from(format!("{:016x}", random.next())));
            items.push(item);
        }
    }
    items
}

/// A xorshift generator.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap(), u32::try_from(time.tv_nsec).unwrap())
}

fn number(text: &str) -> Value {
    Value::Number(text.parse().unwrap())
}

fn readings() -> Table {
    Table {
        id: TableId(1000),
        name: "readings".to_owned(),
        version: 1,
        partition_key: KeyAttribute::new("device_id", KeyType::S),
        sort_key: Some(KeyAttribute::new("ts", KeyType::N)),
        sort_key_is_time: true,
        item_key: Vec::new(),
        further_keys: Default::default(),
        settings: Default::default(),
        indexes: Vec::new(),
        stream: None,
        created_at_us: 0,
        billing: Billing::OnDemand,
        deletion_protection: false,
        tags: Default::default(),
    }
}
