//! Readings through a real store, in a temporary directory.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

use item::{Item, KeyAttribute, KeyType, StreamView, Table, TableId, Value, table::Billing};
use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::{TestRng, TestRunner},
};
use store::{
    PageLimit,
    cache::Cache,
    env::{Clock, OsDisk},
    write::TableWrite,
};

use super::*;
use crate::{RowDevice, StoredTime};

/// 2024-06-01T12:00:00Z.
const NOW_US: u64 = 1_717_243_200_000_000;

#[derive(Clone)]
struct SetClock(Arc<AtomicU64>);

impl Clock for SetClock {
    fn now_us(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

struct World {
    dir: tempfile::TempDir,
    clock: SetClock,
    store: Store,
    ingest: Ingest,
}

fn open(dir: &std::path::Path, clock: &SetClock) -> Store {
    let config = store::Config { segment_bytes: 4 << 20, ..store::Config::default() };
    Store::open(Arc::new(OsDisk::open(dir).unwrap()), Arc::new(clock.clone()), config, Cache::Off).unwrap()
}

impl World {
    fn new(toml: &str) -> World {
        let dir = tempfile::tempdir().unwrap();
        let clock = SetClock(Arc::new(AtomicU64::new(NOW_US)));
        let store = open(dir.path(), &clock);
        let ingest = Ingest::new(store.clone(), Config::from_toml(toml).unwrap()).unwrap();
        World { dir, clock, store, ingest }
    }

    /// The same store behind another configuration, as after a restart.
    async fn restart(self, toml: &str) -> World {
        let World { dir, clock, store, ingest } = self;
        store.close().await.unwrap();
        drop((store, ingest));
        let store = open(dir.path(), &clock);
        let ingest = Ingest::new(store.clone(), Config::from_toml(toml).unwrap()).unwrap();
        World { dir, clock, store, ingest }
    }

    async fn receive(&self, topic: &str, payload: &str) {
        self.ingest.receive(vec![listener(topic, payload)]).await.unwrap();
    }

    /// The items of a table as text, by key.
    async fn items(&self, table: &str) -> Vec<String> {
        let Some(table) = self.store.catalog().by_name(table).cloned() else {
            return Vec::new();
        };
        let page = self.store.scan(&table, 0..1024, None, PageLimit::default()).await.unwrap();
        assert_eq!(page.last_key, None);
        let mut items: Vec<_> = page.items.iter().map(shown).collect();
        items.sort();
        items
    }

    /// Its entries, oldest first.
    async fn quarantine(&self) -> Vec<Entry> {
        let mut entries = self.ingest.quarantine_list(None, usize::MAX).await.unwrap();
        entries.reverse();
        entries
    }
}

fn listener(topic: &str, payload: &str) -> Received {
    Received {
        entrance: Entrance::Listener,
        client: "tester".into(),
        topic: topic.into(),
        payload: Bytes::copy_from_slice(payload.as_bytes()),
        retain: false,
        redelivered: false,
        stored: None,
    }
}

fn shown(item: &Item) -> String {
    let members: Vec<_> = item
        .iter()
        .map(|(name, value)| match value {
            Value::Number(number) => format!("{name}={number}"),
            Value::String(text) => format!("{name}={text}"),
            other => format!("{name}={other:?}"),
        })
        .collect();
    members.join(" ")
}

#[tokio::test]
async fn the_first_reading_makes_its_table_with_a_stream() {
    let world = World::new("");
    let batches = (0..20).map(|number| world.ingest.receive(vec![listener(&format!("t/{number}"), "21.5")]));
    for received in futures::future::join_all(batches).await {
        received.unwrap();
    }
    world.receive("demo/truck", r#"{"speed":80}"#).await;
    assert_eq!(world.items("readings").await.len(), 20);
    assert_eq!(world.items("demo_readings").await, ["device_id=demo/truck speed=80 ts=1717243200000.02"]);
    let table = world.store.catalog().by_name("readings").unwrap().clone();
    assert_eq!(table.stream.as_ref().unwrap().view, StreamView::NewAndOldImages);
    assert!(table.sort_key_is_time);
    assert_eq!(world.quarantine().await, []);
}

#[tokio::test]
async fn a_table_with_other_keys_sends_readings_to_quarantine() {
    let world = World::new("");
    let table = Table {
        id: TableId(0),
        name: "readings".into(),
        version: 1,
        partition_key: KeyAttribute { name: "pk".into(), key_type: KeyType::B },
        sort_key: None,
        sort_key_is_time: false,
        item_key: Vec::new(),
        further_keys: Default::default(),
        settings: Default::default(),
        indexes: Vec::new(),
        stream: None,
        created_at_us: 0,
        billing: Billing::OnDemand,
        deletion_protection: false,
        tags: Default::default(),
    };
    world.store.change_table(TableWrite::Create(table)).await.unwrap().unwrap();
    world.receive("t", "21.5").await;
    let entries = world.quarantine().await;
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].reason(), "table `readings` has the keys (pk B), a reading has (device_id S, ts N)");
    assert!(!entries[0].partial());
    // Once the table is out of the way, a replay stores what waited, with the time at which it came.
    world.store.change_table(TableWrite::Delete("readings".into())).await.unwrap().unwrap();
    let outcome = world.ingest.quarantine_replay(Selection::All).await.unwrap().outcome;
    assert_eq!((outcome.replayed, outcome.stored), (1, 1));
    assert_eq!(world.items("readings").await, ["device_id=t reading=21.5 ts=1717243200000"]);
    assert_eq!(world.quarantine().await, []);
}

#[tokio::test]
async fn readings_of_one_device_and_time_merge() {
    let world = World::new("");
    for payload in [r#"{"ts":1541021024,"a":1}"#, r#"{"ts":1541021024,"b":2}"#, r#"{"ts":1541021024000,"a":3}"#] {
        world.receive("t", payload).await;
    }
    assert_eq!(world.items("readings").await, ["a=3 b=2 device_id=t ts=1541021024000"]);
    // In one batch too, in order.
    let batch = (0..50).map(|number| listener("u", &format!("{{\"ts\":1541021024,\"n\":{number}}}"))).collect();
    world.ingest.receive(batch).await.unwrap();
    assert_eq!(world.items("readings").await[1], "device_id=u n=49 ts=1541021024000");
}

#[tokio::test]
async fn a_collision_can_go_to_quarantine_and_keeps_what_is_stored() {
    let world = World::new("[[route]]\ntopic = '#'\non_collision = 'quarantine'");
    world.receive("t", r#"{"ts":1541021024,"a":1,"b":2}"#).await;
    world.receive("t", r#"{"ts":1541021024,"a":1,"b":2}"#).await;
    assert_eq!(world.quarantine().await, []);
    world.receive("t", r#"{"ts":1541021024,"a":9,"b":2,"c":3}"#).await;
    assert_eq!(world.items("readings").await, ["a=1 b=2 c=3 device_id=t ts=1541021024000"]);
    let entries = world.quarantine().await;
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].reason(), "another value is stored for this device and time: `a`");
    assert!(entries[0].partial());
    // With another rule the replay takes it.
    let world = world.restart("").await;
    assert_eq!(world.ingest.quarantine_replay(Selection::All).await.unwrap().outcome.replayed, 1);
    assert_eq!(world.items("readings").await, ["a=9 b=2 c=3 device_id=t ts=1541021024000"]);
}

#[tokio::test]
async fn retained_messages_are_stored_once() {
    let retained = |payload: &str| Received { retain: true, ..listener("state", payload) };
    let world = World::new("");
    // In one batch, in the next, and after a restart.
    world.ingest.receive(vec![retained("on"), retained("on")]).await.unwrap();
    world.ingest.receive(vec![retained("on")]).await.unwrap();
    let world = world.restart("").await;
    world.ingest.receive(vec![retained("on"), retained(""), retained("off"), retained("on")]).await.unwrap();
    assert_eq!(
        world.items("readings").await,
        [
            "device_id=state reading=off ts=1717243200000.001",
            "device_id=state reading=on ts=1717243200000",
            "device_id=state reading=on ts=1717243200000.002",
        ]
    );
    // With a time of its own it is a reading like any other.
    let timed = r#"{"ts":1541021024,"v":1}"#;
    world.ingest.receive(vec![retained(timed), retained(timed)]).await.unwrap();
    assert_eq!(world.items("readings").await.len(), 4);
    // A source is another memory; and what was delivered live is not stored again when it comes back as retained.
    let source = Entrance::MqttSource("plant".into());
    let live = Received { entrance: source.clone(), ..listener("valve", "open") };
    let again = Received { retain: true, ..live.clone() };
    world.ingest.receive(vec![live]).await.unwrap();
    world.ingest.receive(vec![again.clone()]).await.unwrap();
    world.ingest.receive(vec![again]).await.unwrap();
    assert_eq!(world.items("readings").await.len(), 5);
    // Cleared and set again, which a broker tells its sessions as ordinary messages, then told once more as retained.
    let ordinary = |payload: &str| Received { entrance: source.clone(), ..listener("valve", payload) };
    world.ingest.receive(vec![ordinary("")]).await.unwrap();
    world.ingest.receive(vec![ordinary("shut")]).await.unwrap();
    world.ingest.receive(vec![Received { retain: true, ..ordinary("shut") }]).await.unwrap();
    assert_eq!(world.items("readings").await.len(), 6);
    // One that cannot be mapped is quarantined once.
    for _ in 0..3 {
        world.ingest.receive(vec![retained("{")]).await.unwrap();
    }
    assert_eq!(world.quarantine().await.len(), 1);
}

#[tokio::test]
async fn concurrent_copies_of_a_retained_message_are_stored_once() {
    let world = World::new("");
    let copies = (0..10).map(|_| world.ingest.receive(vec![Received { retain: true, ..listener("state", "on") }]));
    for received in futures::future::join_all(copies).await {
        received.unwrap();
    }
    assert_eq!(world.items("readings").await.len(), 1);
}

#[tokio::test]
async fn a_bad_part_is_replayable_and_the_good_part_is_stored() {
    let world = World::new("");
    let payload = r#"[{"device_id":"a","v":1},{"device_id":"b","v":oops},7,{"device_id":"c","v":3}]"#;
    world.receive("batch", payload).await;
    let stored = world.items("readings").await;
    assert_eq!(
        stored,
        [
            "device_id=a ts=1717243200000 v=1",
            "device_id=b ts=1717243200000.001",
            "device_id=c ts=1717243200000.003 v=3",
        ]
    );
    let entries = world.quarantine().await;
    assert_eq!(entries.len(), 1);
    assert!(entries[0].partial());
    assert_eq!(entries[0].reason(), "[2]: the element is not an object; [1].v, byte 46: not a JSON value");
    assert_eq!(&entries[0].received().payload[..], payload.as_bytes());
    assert_eq!(entries[0].to_json(true)["payload"], payload);
    assert_eq!(world.ingest.quarantine_entry(&entries[0].id()).await.unwrap().as_ref(), Some(&entries[0]));
    // Nothing has become better: it stays, and nothing is stored twice.
    let replay = world.ingest.quarantine_replay(Selection::Ids(vec![entries[0].id()])).await.unwrap();
    let outcome = replay.outcome;
    assert_eq!((outcome.replayed, outcome.stored, outcome.unchanged), (0, 0, 3));
    assert_eq!((replay.tried, replay.first_left.as_ref()), (1, entries.first()));
    assert_eq!(world.items("readings").await, stored);
    assert_eq!(world.quarantine().await, entries);
}

#[tokio::test]
async fn the_quarantine_is_listed_from_its_newest_entry() {
    let world = World::new("");
    for number in 0..5 {
        world.receive(&format!("$t/{number}"), "1").await;
    }
    let topics =
        |entries: &[Entry]| -> Vec<String> { entries.iter().map(|entry| entry.received().topic.to_string()).collect() };
    let first = world.ingest.quarantine_list(None, 2).await.unwrap();
    assert_eq!(topics(&first), ["$t/4", "$t/3"]);
    let rest = world.ingest.quarantine_list(Some(&first[1].id()), 9).await.unwrap();
    assert_eq!(topics(&rest), ["$t/2", "$t/1", "$t/0"]);
}

#[tokio::test]
async fn dollar_topics_wait_for_a_route() {
    let world = World::new("");
    world.receive("$SYS/broker/uptime", "17").await;
    assert_eq!(world.quarantine().await[0].to_json(false)["kind"], "no_route");
    world.clock.0.fetch_add(5_000_000, Ordering::Relaxed);
    let world = world.restart("[[route]]\ntopic = '$SYS/broker/{metric}'\ntable = 'broker'").await;
    assert_eq!(world.ingest.quarantine_replay(Selection::All).await.unwrap().outcome.replayed, 1);
    assert_eq!(world.items("broker").await, ["device_id=$SYS/broker/uptime ts=1717243200000 uptime=17"]);
    assert_eq!(world.ingest.quarantine_size().await.unwrap(), (0, 0));
}

#[tokio::test]
async fn an_arrival_is_never_given_twice_even_if_the_clock_goes_back() {
    let world = World::new("");
    world.receive("t", "1").await;
    let world = world.restart("").await;
    // The clock shows the same microsecond again.
    world.ingest.receive(vec![listener("t", "2"), listener("t", "3")]).await.unwrap();
    let items = world.items("readings").await;
    assert_eq!(items.len(), 3, "{items:?}");
}

#[tokio::test]
async fn a_redelivery_from_jetstream_is_the_same_item() {
    let world = World::new("");
    let stored = Some(StoredTime { time_us: NOW_US, sequence: 7 });
    let message =
        Received { entrance: Entrance::NatsSource("bus".into()), stored, ..listener("a.b", "[{\"v\":1},{\"v\":2}]") };
    world.ingest.receive(vec![message.clone()]).await.unwrap();
    world.clock.0.fetch_add(60_000_000, Ordering::Relaxed);
    world.ingest.receive(vec![Received { redelivered: true, ..message }]).await.unwrap();
    assert_eq!(
        world.items("readings").await,
        ["device_id=a.b ts=1717243200000.000007 v=1", "device_id=a.b ts=1717243200000.001007 v=2",]
    );
}

#[tokio::test]
async fn what_is_too_large_only_after_merging_goes_to_quarantine() {
    let world = World::new("");
    let half = "x".repeat(250 * 1024);
    world.receive("t", &format!("{{\"ts\":1541021024,\"a\":\"{half}\"}}")).await;
    world.receive("t", &format!("{{\"ts\":1541021024,\"b\":\"{half}\"}}")).await;
    let entries = world.quarantine().await;
    assert_eq!(entries.len(), 1);
    assert!(entries[0].reason().starts_with("with what is stored already: item has"), "{}", entries[0].reason());
    assert!(!entries[0].partial());
    // And what is too large for an item is kept whole.
    let whole = "x".repeat(900 * 1024);
    world.receive("t", &whole).await;
    assert_eq!(world.quarantine().await[1].received().payload, whole);
}

#[tokio::test]
async fn a_deleted_table_is_made_again() {
    let world = World::new("");
    world.receive("t", "1").await;
    world.store.change_table(TableWrite::Delete("readings".into())).await.unwrap().unwrap();
    world.receive("t", "2").await;
    assert_eq!(world.items("readings").await, ["device_id=t reading=2 ts=1717243200000.001"]);
}

#[tokio::test]
async fn a_table_deleted_while_readings_come_in_loses_none_silently() {
    let world = World::new("");
    world.receive("t", "0").await;
    for round in 0..10 {
        let receive = world.ingest.receive((0..20).map(|_| listener("t", "1")).collect());
        let delete = world.store.change_table(TableWrite::Delete("readings".into()));
        let (received, _) = futures::join!(receive, delete);
        received.unwrap();
        world.receive("t", "2").await;
        assert!(!world.items("readings").await.is_empty(), "{round}");
    }
    assert_eq!(world.ingest.quarantine_size().await.unwrap().0, 0);
}

#[tokio::test]
async fn a_full_quarantine_drops_the_oldest_of_the_noisiest() {
    let toml = "[ingest.quarantine]\nentries_max = 100";
    let world = World::new(toml);
    let from = |client: &str, payload: String| Received { client: client.into(), ..listener("t", &payload) };
    world.ingest.receive(vec![from("quiet", "{".into())]).await.unwrap();
    for number in 0..3 {
        let batch = (0..50).map(|inner| from("noisy", format!("{{{}", number * 50 + inner))).collect();
        world.ingest.receive(batch).await.unwrap();
    }
    let check = async |world: &World| {
        let entries = world.quarantine().await;
        assert_eq!(entries.len(), 100);
        assert_eq!(&*entries[0].received().client, "quiet");
        assert_eq!(&entries[1].received().payload[..], b"{51");
        assert_eq!(&entries[99].received().payload[..], b"{149");
    };
    check(&world).await;
    let world = world.restart(toml).await;
    check(&world).await;
    world.receive("t", "{").await;
    assert_eq!(world.ingest.quarantine_size().await.unwrap().0, 100);
}

#[tokio::test]
async fn rows_by_column_are_stored_once_however_often_they_come() {
    let world = World::new("");
    let rows = Arc::new(Rows::new("series", RowDevice::Column("sensor".into()), "timestamp", "UTC").unwrap());
    let lines = [
        r#"{"timestamp":"2013-12-02 21:15:00","sensor":"m1","value":73.96732207}"#,
        r#"{"timestamp":"2013-12-02 21:20:00","sensor":"m1","value":74.935882000000010}"#,
        r#"{"timestamp":"2013-12-02 21:20:00","sensor":"m1","value":76.12416182}"#,
        r#"{"timestamp":"yesterday","sensor":"m1","value":1}"#,
        r#"{"timestamp":"2013-12-02 21:25:00","value":2}"#,
        r#"[1]"#,
        r#"{"timestamp":"2013-12-02 21:25:00","sensor":"m1","value":oops}"#,
    ];
    let batch = || -> Vec<Row> {
        let rows = lines.iter().enumerate();
        rows.map(|(index, json)| Row { line: index as u64 + 2, json: Bytes::copy_from_slice(json.as_bytes()) })
            .collect()
    };
    let outcome = world.ingest.rows(Entrance::Import, "import", &rows, batch()).await.unwrap();
    assert_eq!((outcome.stored, outcome.united, outcome.collisions, outcome.quarantined), (3, 1, 1, 4));
    let items = [
        "device_id=m1 sensor=m1 timestamp=2013-12-02 21:15:00 ts=1386018900000 value=73.96732207",
        "device_id=m1 sensor=m1 timestamp=2013-12-02 21:20:00 ts=1386019200000 value=76.12416182",
        "device_id=m1 sensor=m1 timestamp=2013-12-02 21:25:00 ts=1386019500000",
    ];
    assert_eq!(world.items("series").await, items);
    let good = batch()[..3].to_vec();
    let again = world.ingest.rows(Entrance::Import, "import", &rows, good).await.unwrap();
    assert_eq!((again.stored, again.unchanged, again.united), (0, 2, 1), "nothing changes, not even back and forth");
    assert_eq!(world.items("series").await, items);
    let reasons: Vec<_> = world.quarantine().await.iter().map(|entry| entry.reason().to_owned()).collect();
    assert_eq!(
        reasons,
        [
            "line 5: `timestamp` is not a time between 2000 and a day from now",
            "line 6: the device is not known: the payload has no `sensor`",
            "line 7: a row must be one JSON object",
            "line 8: value, byte 57: not a JSON value",
        ]
    );
    let replayed = world.ingest.quarantine_replay(Selection::All).await.unwrap().outcome;
    assert_eq!((replayed.replayed, replayed.unchanged), (0, 1));

    let fixed = Arc::new(Rows::new("by_name", RowDevice::Fixed("{press}".into()), "ts", "Europe/Berlin").unwrap());
    let row = Row { line: 1, json: Bytes::from_static(br#"{"ts":"2024-01-15T12:00:00","v":1}"#) };
    for stored in [1, 0] {
        let outcome = world.ingest.rows(Entrance::Http, "c", &fixed, vec![row.clone()]).await.unwrap();
        assert_eq!((outcome.stored, outcome.unchanged), (stored, 1 - stored));
    }
    assert_eq!(world.items("by_name").await, ["device_id={press} ts=1705316400000 v=1"]);
}

#[tokio::test]
async fn a_row_without_a_device_goes_to_quarantine() {
    let world = World::new("");
    let rows = Arc::new(Rows::new("series", RowDevice::Column("sensor".into()), "ts", "UTC").unwrap());
    let batch = ["", r#","sensor":nan"#, r#","sensor":-INF"#, r#","sensor":null"#, r#","sensor":"""#];
    let batch: Vec<_> = (1..)
        .zip(batch)
        .map(|(line, member)| Row { line, json: format!(r#"{{"ts":{NOW_US}{member}}}"#).into() })
        .collect();
    let outcome = world.ingest.rows(Entrance::Import, "import", &rows, batch).await.unwrap();
    assert_eq!((outcome.stored, outcome.quarantined), (0, 5));
    let reasons: Vec<_> = world.quarantine().await.iter().map(|entry| entry.reason().to_owned()).collect();
    let no_device = |line| {
        format!("line {line}: the device is not known: `sensor` of the payload is not one text, number or truth value")
    };
    assert_eq!(
        reasons,
        [
            "line 1: the device is not known: the payload has no `sensor`".to_owned(),
            no_device(2),
            no_device(3),
            no_device(4),
            "line 5: the device is empty".to_owned(),
        ]
    );
}

#[tokio::test]
async fn a_closed_store_refuses_the_batch() {
    let world = World::new("");
    world.receive("t", "1").await;
    world.store.close().await.unwrap();
    assert!(matches!(world.ingest.receive(vec![listener("t", "2")]).await, Err(Error::Store(_))));
    assert!(matches!(world.ingest.receive(vec![listener("t", "{")]).await, Err(Error::Store(_))));
}

#[tokio::test]
async fn every_message_ends_stored_or_in_quarantine() {
    let world = World::new("[[route]]\ntopic = 'x/{device}/{metric}'\n[[route]]\ntopic = 'y'\ndevice = '{payload.a}'");
    let topics = proptest::sample::select(vec!["x/1/2", "x//", "y", "z", "$z"]);
    let payloads = proptest::string::string_regex("[\\[\\]{}\",:0-9ae.+\\-\\\\n ]{0,24}").unwrap();
    let mut runner = TestRunner::new_with_rng(Default::default(), TestRng::deterministic_rng(Default::default()));
    let messages = (topics, payloads).prop_map(|(topic, payload)| listener(topic, &payload));
    let batch: Vec<_> = (0..500).map(|_| messages.new_tree(&mut runner).unwrap().current()).collect();
    let expected = batch.len();
    world.ingest.receive(batch).await.unwrap();
    let items = world.items("readings").await.len();
    let entries = world.quarantine().await;
    let whole = entries.iter().filter(|entry| !entry.partial()).count();
    assert!(items + whole >= expected, "{items} items and {whole} entries of {expected} messages");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_of_one_handle_keep_their_order() {
    let world = World::new("[[route]]\ntopic = 'fresh/#'\ntable = 'fresh'");
    world.receive("t", "1").await;
    let handle = world.ingest.in_order();
    for round in 0..20 {
        // Some wait for a table or a retained message's memory, others would be ready at once.
        let batch = |number: u64| {
            let reading = listener("t", &format!("{{\"ts\":1541021024,\"n\":{number}}}"));
            let slow = match number % 3 {
                0 => Received { retain: true, ..listener("state", &number.to_string()) },
                1 => listener(&format!("fresh/{number}"), "1"),
                _ => listener("u", "1"),
            };
            vec![slow, reading]
        };
        let batches = (round * 10..round * 10 + 10).map(|number| handle.receive(batch(number)));
        for received in futures::future::join_all(batches).await {
            received.unwrap();
        }
        let newest = format!("device_id=t n={} ts=1541021024000", round * 10 + 9);
        assert!(world.items("readings").await.contains(&newest), "{round}");
    }
}

#[tokio::test]
async fn a_dropped_call_goes_on() {
    let world = World::new("");
    let mut receive = Box::pin(world.ingest.receive(vec![listener("t", "{"), listener("t", "1")]));
    assert!(futures::poll!(receive.as_mut()).is_pending());
    drop(receive);
    while world.items("readings").await.is_empty() || world.quarantine().await.is_empty() {
        tokio::task::yield_now().await;
    }
}

#[test]
fn rows_of_json_lines_know_their_line() {
    let body = Bytes::from_static(b"{}\n\n {\"a\":1}\r\n[]");
    let rows: Vec<_> = Row::of_lines(&body, 10).into_iter().map(|row| (row.line, row.json)).collect();
    assert_eq!(rows, [(10, "{}".into()), (12, " {\"a\":1}\r".into()), (13, "[]".into())]);
}

/// Each thing that a rule counts moves its metric by exactly as much.
#[tokio::test]
async fn what_is_counted_shows_in_the_metrics() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let world = World::new("[ingest.quarantine]\nentries_max = 100");
    let retained = |payload: &str| Received { retain: true, ..listener("state", payload) };
    let batch = vec![
        listener("a", r#"{"ts":"2024-01-15T12:00:00","x":1,"x":2,"y":NaN,"z":1e999,"time":3}"#),
        listener("a", r#"{"ts":"2024-01-15T12:00:00","x":3}"#),
        listener("a", r#"{"ts":"2024-01-15T12:00:00","x":3}"#),
        listener("b", r#"{"time":3}"#),
        retained("on"),
        retained("on"),
        retained(""),
        listener("c", "{"),
        listener("c", r#"{"a":1,"b":oops}"#),
        listener("$d", "1"),
    ];
    world.ingest.receive(batch).await.unwrap();
    world.ingest.receive((0..101).map(|_| listener("c", "{")).collect()).await.unwrap();
    let world = world.restart("[[route]]\ntopic = '#'\nformat = 'scalar'").await;
    world.ingest.quarantine_replay(Selection::All).await.unwrap();
    let rendered = metrics.render();
    let mut expected = BTreeMap::from([
        (names::ITEMS, 5 + 100),
        (names::UNCHANGED, 1),
        (names::COLLISIONS, 1),
        (names::LOCAL_TIMES, 3),
        (names::TIMES_OUT_OF_RANGE, 1),
        (names::NOT_FINITE, 1),
        (names::NUMBERS_AS_TEXT, 1),
        (names::REPEATED_NAMES, 1),
        (names::RETAINED_EMPTY, 1),
        (names::RETAINED_REPEATED, 1),
        ("thalweg_ingest_quarantined_total{kind=\"malformed\"}", 102),
        ("thalweg_ingest_quarantined_total{kind=\"bad_field\"}", 1),
        ("thalweg_ingest_quarantined_total{kind=\"no_route\"}", 1),
        (names::QUARANTINED_PARTIAL, 1),
        (names::QUARANTINE_EVICTED, 4),
        (names::QUARANTINE_REPLAYED, 100),
        (names::QUARANTINE_ENTRIES, 0),
        (names::QUARANTINE_BYTES, 0),
    ]);
    for line in rendered.lines().filter(|line| line.starts_with("thalweg_ingest_")) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert_eq!(expected.remove(name).map(|value| value.to_string()).as_deref(), Some(value), "{name}");
        assert!(crate::metrics::METRICS.iter().any(|listed| name.starts_with(listed.name)), "{name} is not listed");
    }
    assert!(expected.is_empty(), "not in the metrics: {expected:?}");
}

#[tokio::test]
async fn a_message_of_very_many_readings_is_quarantined_and_many_of_them_are_stored() {
    let world = World::new("");
    let array = |count: usize| format!("[{}]", vec![r#"{"v":1}"#; count].join(","));
    world.receive("many", &array(10_001)).await;
    let entries = world.quarantine().await;
    assert_eq!(entries[0].reason(), "a message of 10001 readings, over the limit of 10000");
    // A batch that takes more memory than messages may have at once is stored in parts.
    let batch = (0..8).map(|number| listener(&format!("m/{number}"), &array(9_000))).collect();
    world.ingest.receive(batch).await.unwrap();
    let table = world.store.catalog().by_name("readings").unwrap().clone();
    let (mut count, mut after) = (0, None);
    loop {
        let page = world.store.scan(&table, 0..1024, after.as_ref(), PageLimit::default()).await.unwrap();
        count += page.items.len();
        after = page.last_key;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(count, 8 * 9_000);
    let tasks = |payload: &str| Task::new(Message { received: listener("t", payload), row: None }).memory_bytes();
    assert!(tasks(&array(9_000)) < 64 << 20 && 8 * tasks(&array(9_000)) > 64 << 20);
}
