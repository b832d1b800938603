//! One test for each row of the rules, with payloads as real devices send them.

use proptest::prelude::*;

use super::*;
use crate::{Config, Entrance, routes::Routes};

/// 2024-06-01T12:00:00Z.
const ARRIVAL_US: u64 = 1_717_243_200_000_000;
const ARRIVAL: &str = "1717243200000";

fn routes(toml: &str) -> Routes {
    Routes::new(&toml::from_str::<Config>(toml).unwrap()).unwrap()
}

fn map_at(routes: &Routes, entrance: &Entrance, topic: &str, payload: &[u8], stored: Option<StoredTime>) -> Mapped {
    let (mapping, captures) = routes.find(entrance, topic).unwrap();
    let envelope = Envelope { topic, captures: &captures, stored, arrival_us: ARRIVAL_US };
    Decoded::new(payload, mapping).map(envelope, mapping)
}

/// Maps by the built-in routes.
fn map(topic: &str, payload: impl AsRef<[u8]>) -> Mapped {
    map_at(&routes(""), &Entrance::Listener, topic, payload.as_ref(), None)
}

/// Maps by a configuration.
fn map_by(toml: &str, topic: &str, payload: impl AsRef<[u8]>) -> Mapped {
    map_at(&routes(toml), &Entrance::Listener, topic, payload.as_ref(), None)
}

/// An item as text: names and values in order of name.
fn shown(item: &Item) -> String {
    fn show(value: &Value) -> String {
        match value {
            Value::String(text) => format!("{text:?}"),
            Value::Number(number) => number.to_string(),
            Value::Bool(truth) => truth.to_string(),
            Value::Null => "null".into(),
            Value::List(values) => format!("[{}]", values.iter().map(show).collect::<Vec<_>>().join(" ")),
            Value::Map(map) => fields(map),
            other => format!("{other:?}"),
        }
    }
    fn fields(map: &Fields) -> String {
        let members: Vec<_> = map.iter().map(|(name, member)| format!("{name}={}", show(member))).collect();
        format!("{{{}}}", members.join(" "))
    }
    fields(&item.0)
}

#[track_caller]
fn assert_items(mapped: &Mapped, expected: &[&str]) {
    let items: Vec<_> = mapped.puts.iter().map(|put| shown(&put.item)).collect();
    assert_eq!(items, expected, "{mapped:?}");
    assert_eq!(mapped.problems, [], "{mapped:?}");
}

#[track_caller]
fn assert_refused(mapped: &Mapped, kind: ProblemKind, part: &str) {
    assert_eq!(mapped.puts, [], "{mapped:?}");
    assert_eq!(mapped.problems.len(), 1, "{mapped:?}");
    assert_eq!(mapped.problems[0].kind, kind);
    assert!(mapped.problems[0].text.contains(part), "{mapped:?}");
}

#[test]
fn device_is_the_payloads_or_the_topic() {
    let arrival = |device: &str, rest: &str| format!("{{device_id={device:?} {rest}ts={ARRIVAL}}}");
    for (topic, payload, expected) in [
        ("a/b", r#"{"device_id":"d1"}"#, arrival("d1", "")),
        ("a/b", r#"{"device_id":42}"#, arrival("42", "")),
        ("a/b", r#"{"device_id":true}"#, arrival("true", "")),
        ("a/b", r#"{"device_id":""}"#, arrival("a/b", "device_id_=\"\" ")),
        ("a/b", r#"{"device_id":null}"#, arrival("a/b", "device_id_=null ")),
        ("a/b", r#"{"device_id":{"x":1}}"#, arrival("a/b", "device_id_={x=1} ")),
        ("a/b", r#"{"device_id":["x"],"device_id_":1}"#, arrival("a/b", "device_id_=1 device_id__=[\"x\"] ")),
        ("/Home//Küche/", "{}", arrival("/Home//Küche/", "")),
    ] {
        assert_items(&map(topic, payload), &[&expected]);
    }
    let longest = "x".repeat(2048);
    assert_eq!(map(&longest, "1").puts.len(), 1);
    assert_refused(&map(&format!("{longest}x"), "1"), ProblemKind::Device, "2049 bytes");
    assert_refused(&map("t", format!("{{\"device_id\":\"{longest}x\"}}")), ProblemKind::Device, "2049 bytes");
}

#[test]
fn time_is_the_first_candidate_that_is_one() {
    for (payload, expected) in [
        (r#"{"ts":1541021024224}"#, "{device_id=\"t\" ts=1541021024224}"),
        (r#"{"ts":1541021024}"#, "{device_id=\"t\" ts=1541021024000}"),
        (r#"{"ts":1680962879.62}"#, "{device_id=\"t\" ts=1680962879620}"),
        (r#"{"ts":1.276020076001e+09}"#, "{device_id=\"t\" ts=1276020076001}"),
        (r#"{"ts":1541021024224123}"#, "{device_id=\"t\" ts=1541021024224.123}"),
        (r#"{"ts":1541021024224123456}"#, "{device_id=\"t\" ts=1541021024224.123456}"),
        (r#"{"ts":"1541021024224"}"#, "{device_id=\"t\" ts=1541021024224}"),
        (r#"{"ts":"2022-07-18T09:34:15.775023242+00:00"}"#, "{device_id=\"t\" ts=1658136855775.023242}"),
        (r#"{"timestamp":1541021024}"#, "{device_id=\"t\" timestamp=1541021024 ts=1541021024000}"),
        (
            r#"{"time":1541021024,"timestamp":1541021025}"#,
            "{device_id=\"t\" time=1541021024 timestamp=1541021025 ts=1541021025000}",
        ),
        (r#"{"ts":"soon","time":1541021024}"#, "{device_id=\"t\" time=1541021024 ts=1541021024000 ts_=\"soon\"}"),
    ] {
        let mapped = map("t", payload);
        assert_items(&mapped, &[expected]);
        assert_eq!(mapped.puts[0].time, TimeOrigin::Own);
    }
}

#[test]
fn time_without_offset_is_read_in_the_zone_and_counted() {
    let tasmota = r#"{"timestamp":"2017-02-16T10:13:52","DS18B20":{"Temperature":20.6}}"#;
    let mapped = map("tele/tasmota/SENSOR", tasmota);
    assert_items(
        &mapped,
        &[
            r#"{DS18B20={Temperature=20.6} device_id="tele/tasmota/SENSOR" timestamp="2017-02-16T10:13:52" ts=1487240032000}"#,
        ],
    );
    assert_eq!(mapped.counts.local_times, 1);
    let route = "[[route]]\ntopic = 'tele/#'\ntime = 'Time'\nzone = 'Europe/Berlin'";
    let mapped = map_by(route, "tele/tasmota/SENSOR", r#"{"Time":"2017-02-16T10:13:52"}"#);
    assert_items(&mapped, &[r#"{Time="2017-02-16T10:13:52" device_id="tele/tasmota/SENSOR" ts=1487236432000}"#]);
}

#[test]
fn time_out_of_range_stays_an_attribute_and_is_counted() {
    // One below 2000-01-01, and one above a day after the arrival.
    for (candidate, taken) in [
        ("946684799999", false),
        ("946684800000", true),
        ("1717329600000", true),
        ("1717329600001", false),
        ("0", false),
        ("-5", false),
        ("12", false),
        ("1e300", false),
    ] {
        let mapped = map("t", format!("{{\"time\":{candidate}}}"));
        assert_eq!(mapped.counts.times_out_of_range, u64::from(!taken), "{candidate}");
        assert_eq!(mapped.puts[0].time == TimeOrigin::Own, taken, "{candidate}");
        assert!(mapped.puts[0].item.get("time").is_some());
    }
    assert_items(&map("t", r#"{"ts":5}"#), &[&format!("{{device_id=\"t\" ts={ARRIVAL} ts_=5}}")]);
    let mapped = map("t", r#"{"ts":5,"timestamp":1541021024}"#);
    assert_items(&mapped, &[r#"{device_id="t" timestamp=1541021024 ts=1541021024000 ts_=5}"#]);
}

#[test]
fn without_a_time_jetstream_or_the_arrival_gives_it() {
    let mapped = map("t", r#"[{"v":1},{"v":2}]"#);
    assert_items(&mapped, &[r#"{device_id="t" ts=1717243200000 v=1}"#, r#"{device_id="t" ts=1717243200000.001 v=2}"#]);
    assert_eq!(mapped.puts[0].time, TimeOrigin::Arrival);

    let stored = Some(StoredTime { time_us: 1_700_000_000_123_456, sequence: 98_765 });
    let source = Entrance::NatsSource("n".into());
    let mapped = map_at(&routes(""), &source, "plant.press.7", b"21.5", stored);
    assert_items(&mapped, &[r#"{device_id="plant.press.7" reading=21.5 ts=1700000000123.456765}"#]);
    assert_eq!(mapped.puts[0].time, TimeOrigin::Stored);
    assert_eq!(mapped, map_at(&routes(""), &source, "plant.press.7", b"21.5", stored), "a redelivery has the same key");
    let next = Some(StoredTime { time_us: 1_700_000_000_123_456, sequence: 98_766 });
    assert_ne!(mapped.puts, map_at(&routes(""), &source, "plant.press.7", b"21.5", next).puts);
}

#[test]
fn scalars_are_readings_or_named_by_the_metric() {
    assert_items(
        &map("home/bedroom/temperature", "21.5"),
        &[&format!("{{device_id=\"home/bedroom/temperature\" reading=21.5 ts={ARRIVAL}}}")],
    );
    let route = "[[route]]\ntopic = 'home/{device}/{metric}'\ntable = 'home'";
    assert_items(
        &map_by(route, "home/bedroom/temperature", "21.5"),
        &[&format!("{{device_id=\"bedroom\" temperature=21.5 ts={ARRIVAL}}}")],
    );
    assert_items(&map_by(route, "home/bedroom/", "ON"), &[&format!("{{_=\"ON\" device_id=\"bedroom\" ts={ARRIVAL}}}")]);
    assert_items(&map_by(route, "home/bedroom/ts", "5"), &[&format!("{{device_id=\"bedroom\" ts={ARRIVAL} ts_=5}}")]);
    assert_refused(&map_by(route, "home//t", "5"), ProblemKind::Device, "empty");
    // An object under a metric stays whole below its name, so that no level of the topic is lost.
    let mapped = map_by(route, "home/bedroom/STATE", r#"{"ts":1541021024,"rssi":-70}"#);
    assert_items(&mapped, &[r#"{STATE={rssi=-70 ts=1541021024} device_id="bedroom" ts=1541021024000}"#]);
}

#[test]
fn values_keep_their_exact_content() {
    let mapped =
        map("t", r#"{"a":21.50,"b":true,"c":null,"d":" x\u0000 ","e":[1,"2",{"f":[]}],"g":{"":1},"":2,"h":1e3}"#);
    assert_items(
        &mapped,
        &[&format!(
            "{{_=2 a=21.5 b=true c=null d=\" x\\0 \" device_id=\"t\" e=[1 \"2\" {{f=[]}}] g={{_=1}} h=1000 ts={ARRIVAL}}}"
        )],
    );
    let digits = "1.2345678901234567890123456789012345678";
    assert_items(&map("t", format!("{{\"v\":{digits}}}")), &[&format!("{{device_id=\"t\" ts={ARRIVAL} v={digits}}}")]);
}

#[test]
fn what_is_not_a_number_we_hold_is_counted() {
    let mapped =
        map("t", r#"{"a":NaN,"b":-Infinity,"c":nan,"d":123456789012345678901234567890123456789,"e":1e999,"a":1}"#);
    assert_items(
        &mapped,
        &[&format!(
            "{{a=1 b=null c=null d=\"123456789012345678901234567890123456789\" device_id=\"t\" e=\"1e999\" ts={ARRIVAL}}}"
        )],
    );
    assert_eq!(mapped.counts, Counts { not_finite: 3, number_as_text: 2, repeated_names: 1, ..Counts::default() });
}

#[test]
fn a_bad_field_does_not_cost_the_good_ones() {
    let mut deep = "[".repeat(40);
    deep.push_str(&"]".repeat(40));
    for (bad, what) in [
        (&b"undefined"[..], "not a JSON value"),
        (b"01", "not a JSON value"),
        (b"\"\xFF\"", "not UTF-8"),
        (b"\"\\ud800\"", "half of a surrogate pair"),
        (b"\"\\x\"", "unknown escape"),
        (b"\"\n\"", "control character"),
        (deep.as_bytes(), "deeper than 32"),
        (b"{\"y\":[1,oops]}", "f.y[1]"),
    ] {
        let mapped = map("t", [&b"{\"good\":1,\"f\":"[..], bad, b",\"also\":2}"].concat());
        let item = &mapped.puts[0].item;
        assert!(item.get("good").is_some() && item.get("also").is_some(), "{mapped:?}");
        assert_eq!(mapped.problems.len(), 1, "{mapped:?}");
        assert_eq!(mapped.problems[0].kind, ProblemKind::BadField);
        assert!(mapped.problems[0].text.contains(what), "{what}: {mapped:?}");
        assert!(mapped.problems[0].text.contains('f'));
    }
    assert_refused(&map("t", r#"{"only":oops}"#), ProblemKind::BadField, "only, byte 8");
}

#[test]
fn an_array_of_objects_is_a_reading_each() {
    let route = "[[route]]\ntopic = 'batch'\ndevice = '{payload.id}'\ntime = 't'\nformat = 'json'";
    let mapped = map_by(
        route,
        "batch",
        r#"[{"id":"Raspberry.Pi.Ucuncu","t":1541021024193,"v":7},{"t":5}, 3, {"id":"b","t":1541021024}]"#,
    );
    let items: Vec<_> = mapped.puts.iter().map(|put| shown(&put.item)).collect();
    assert_eq!(
        items,
        [
            r#"{device_id="Raspberry.Pi.Ucuncu" id="Raspberry.Pi.Ucuncu" t=1541021024193 ts=1541021024193 v=7}"#,
            r#"{device_id="b" id="b" t=1541021024 ts=1541021024000}"#
        ]
    );
    let problems: Vec<_> = mapped.problems.iter().map(|problem| problem.text.as_str()).collect();
    assert_eq!(
        problems,
        ["[1]: the device is not known: the payload has no `id`", "[2]: the element is not an object"]
    );
    assert_items(&map("t", "[1,2]"), &[&format!("{{device_id=\"t\" reading=[1 2] ts={ARRIVAL}}}")]);
    assert_items(&map("t", "[]"), &[&format!("{{device_id=\"t\" reading=[] ts={ARRIVAL}}}")]);
}

#[test]
fn malformed_payloads_say_where() {
    for (payload, part) in [
        (&b"{\"a\":1,"[..], "byte 7: expected a name in quotes"),
        (b"{\"a\":1,}", "byte 7: expected a name in quotes"),
        (b"{\"a\" 1}", "byte 5: expected `:`"),
        (b"{\"a\":1 \"b\":2}", "byte 7: expected `,` or `}`"),
        (b"{\"a\":}", "byte 5: expected a value"),
        (b"[1 2]", "byte 3: expected `,` or `]`"),
        (b"{\"a\":1}}", "byte 7: text after the value"),
        (b"{\"a", "byte 1: a string does not end"),
        (b"{a:1}", "byte 1: expected a name in quotes"),
        (b"{", "byte 1"),
        (b"\xC3\x28", "not UTF-8 at byte 0"),
    ] {
        assert_refused(&map("t", payload), ProblemKind::Malformed, part);
    }
}

#[test]
fn an_item_over_400_kb_is_refused() {
    let text = "x".repeat(400 * 1024);
    assert_refused(&map("t", format!("{{\"a\":\"{text}\"}}")), ProblemKind::TooLarge, "over the limit");
    assert_refused(&map("t", &text), ProblemKind::TooLarge, "over the limit");
}

#[test]
fn real_formats_by_routes() {
    let chirpstack =
        r#"{"time":"2022-07-18T09:34:15.775023242+00:00","deviceInfo":{"devEui":"0101010101010101"},"data":"qg=="}"#;
    let route = "[[route]]\ntopic = 'application/+/device/+/event/up'\ndevice = '{payload.deviceInfo.devEui}'";
    let mapped = map_by(route, "application/1/device/0101/event/up", chirpstack);
    assert_items(
        &mapped,
        &[
            r#"{data="qg==" deviceInfo={devEui="0101010101010101"} device_id="0101010101010101" time="2022-07-18T09:34:15.775023242+00:00" ts=1658136855775.023242}"#,
        ],
    );
    let shelly = r#"{"src":"shellyplusht-b8","method":"NotifyFullStatus","params":{"ts":1680962879.62,"temperature:0":{"tC":19.8}}}"#;
    let route = "[[route]]\ntopic = '+/events/rpc'\ndevice = '{payload.src}'\ntime = 'params.ts'";
    assert_items(
        &map_by(route, "shellyplusht-b8/events/rpc", shelly),
        &[
            r#"{device_id="shellyplusht-b8" method="NotifyFullStatus" params={temperature:0={tC=19.8} ts=1680962879.62} src="shellyplusht-b8" ts=1680962879620}"#,
        ],
    );
    let route = "[[route]]\ntopic = 'device/{device}/data'\nattributes = { path = '{topic}' }";
    let aws = r#"{"temperature":28,"humidity":80,"wind":{"velocity":22,"bearing":255}}"#;
    assert_items(
        &map_by(route, "device/d7/data", aws),
        &[&format!(
            "{{device_id=\"d7\" humidity=80 path=\"device/d7/data\" temperature=28 ts={ARRIVAL} wind={{bearing=255 velocity=22}}}}"
        )],
    );
}

proptest! {
    /// Whatever arrives is stored or has a reason not to be.
    #[test]
    fn nothing_is_dropped(topic in "[^\\x00$]{1,20}", payload in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mapped = map(&topic, payload);
        prop_assert!(!mapped.puts.is_empty() || !mapped.problems.is_empty());
    }

    /// The same for bytes that look like JSON, by routes that need things of it.
    #[test]
    fn nothing_like_json_is_dropped(payload in "[\\[\\]{}\",:0-9a-eE.+\\-\\\\ntu ]{0,60}") {
        let toml = "[[route]]\ntopic = 'x/{device}/{metric}'\n[[route]]\ntopic = 'y'\ndevice = '{payload.a}'\ntime = 'b'";
        for topic in ["x/1/2", "y", "z"] {
            let mapped = map_by(toml, topic, &payload);
            prop_assert!(!mapped.puts.is_empty() || !mapped.problems.is_empty());
            for put in mapped.puts {
                prop_assert!(put.item.check().is_ok());
            }
        }
    }
}
