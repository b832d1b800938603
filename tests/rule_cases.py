"""The rules of ingest as a table: what is published, what must be stored, counted, quarantined and told.

Devices differ between cases, so that one server can be asked all of them. A device that is the topic is written `TOPIC`
followed by the topic, because an entrance may spell topics in its own way; `NOW` is a time that the server gave.
"""

import json
from dataclasses import dataclass, field
from decimal import Decimal

# 2023-11-14T22:13:20Z in milliseconds.
T = 1_700_000_000_000
NOW = "the time of arrival, or when JetStream stored it"

LISTENERS = {"listener-3.1.1", "listener-5"}
MQTT = LISTENERS | {"mosquitto"}
BROKERS = MQTT | {"jetstream"}
# Rows of a file carry their device and time in columns.
ALL = BROKERS | {"http", "import"}

ITEMS = "thalweg_ingest_items_total"
UNCHANGED = "thalweg_ingest_unchanged_total"
COLLISIONS = "thalweg_ingest_collisions_total"
LOCAL_TIMES = "thalweg_ingest_local_times_total"
OUT_OF_RANGE = "thalweg_ingest_times_out_of_range_total"
NOT_FINITE = "thalweg_ingest_not_finite_total"
AS_TEXT = "thalweg_ingest_numbers_as_text_total"
REPEATED = "thalweg_ingest_repeated_names_total"
QUARANTINED = "thalweg_ingest_quarantined_total"
PARTIAL = "thalweg_ingest_quarantined_partial_total"
COUNTERS = [ITEMS, UNCHANGED, COLLISIONS, LOCAL_TIMES, OUT_OF_RANGE, NOT_FINITE, AS_TEXT, REPEATED, QUARANTINED, PARTIAL]


@dataclass
class Case:
    """One rule's example."""

    name: str
    # (topic, payload), in order.
    messages: list
    # What is new in the tables; `table` is not an attribute but says which, if not `readings`.
    items: list = field(default_factory=list)
    # How far counters move, beside those of items and quarantine, which follow from the rest.
    counts: dict = field(default_factory=dict)
    # (kind, what its reason has, is a part stored?) of each message that goes there.
    quarantine: list = field(default_factory=list)
    # The names of the changes told about the first item, if they matter.
    told: list = None
    entrances: set = field(default_factory=lambda: BROKERS)


CASES = []


def case(name, messages, items=(), **rest):
    CASES.append(Case(name, messages, list(items), **rest))


def topic_device(topic):
    return "TOPIC " + topic


# --- Device ---

for name, written, text in [("text", '"dev-1"', "dev-1"), ("number", "17.50", "17.5"), ("truth", "true", "true")]:
    case(
        f"device-{name}",
        [(f"device/{name}", f'{{"device_id":{written},"ts":{T},"v":1}}')],
        [{"device_id": text, "ts": T, "v": 1}],
        entrances=ALL,
    )
for name, written, kept in [("empty", '""', ""), ("null", "null", None), ("object", '{"a":1}', {"a": 1}), ("list", "[1]", [1])]:
    topic = f"device/none/{name}"
    case(
        f"device-{name}-is-the-topic",
        [(topic, f'{{"device_id":{written},"ts":{T}}}')],
        [{"device_id": topic_device(topic), "ts": T, "device_id_": kept}],
    )
for name, topic in [("case", "Device/CASE"), ("unicode", "device/Ünï/Ω温")]:
    case(f"topic-{name}", [(topic, f'{{"ts":{T},"v":1}}')], [{"device_id": topic_device(topic), "ts": T, "v": 1}])
for name, topic in [("empty-levels", "/device//"), ("blanks", "device/a b "), ("dots", "device/a.b")]:
    case(
        f"topic-{name}",
        [(topic, f'{{"ts":{T},"v":1}}')],
        [{"device_id": topic_device(topic), "ts": T, "v": 1}],
        entrances=MQTT,
    )
case(
    "device-2048-bytes",
    [("device/long", json.dumps({"device_id": "d" * 2048, "ts": T}))],
    [{"device_id": "d" * 2048, "ts": T}],
    entrances=ALL,
)
case(
    "device-too-long",
    [("device/long", json.dumps({"device_id": "é" * 1025, "ts": T, "v": 1}))],
    quarantine=[("device", ["2050", "2048"], False)],
    entrances=ALL,
)
case("topic-too-long", [("t" * 2049, "1")], quarantine=[("device", ["2049", "2048"], False)], entrances=MQTT)
case("topic-dollar", [("$thing/a", "1")], quarantine=[("no_route", ["$"], False)], entrances=LISTENERS)

# --- Time ---

EXACT = Decimal(T)
for name, written, ms in [
    ("seconds", "1700000000", EXACT),
    ("seconds-fraction", "1700000000.2501", EXACT + Decimal("250.1")),
    ("milliseconds", "1700000000000", EXACT),
    ("milliseconds-fraction", "1700000000000.125", EXACT + Decimal("0.125")),
    ("microseconds", "1700000000000001", EXACT + Decimal("0.001")),
    ("nanoseconds", "1700000000000000001", EXACT + Decimal("0.000001")),
    ("numeric-text", '"1700000000"', EXACT),
    ("numeric-text-fraction", '" 1700000000.5"', EXACT + 500),
    ("exponent", "1.7e9", EXACT),
    ("utc", '"2023-11-14T22:13:20Z"', EXACT),
    ("offset", '"2023-11-14T23:13:20.5+01:00"', EXACT + 500),
    ("nine-digits", '"2023-11-14T22:13:20.123456789Z"', EXACT + Decimal("123.456789")),
    ("earliest", "946684800", Decimal(946_684_800_000)),
]:
    case(
        f"time-{name}",
        [("time", f'{{"device_id":"time-{name}","ts":{written},"v":1}}')],
        [{"device_id": f"time-{name}", "ts": ms, "v": 1}],
        entrances=ALL,
    )
for name, written in [("blank", '"2023-11-14 22:13:20"'), ("tasmota", '"2023-11-14T22:13:20"')]:
    case(
        f"time-local-{name}",
        [("time", f'{{"device_id":"time-local-{name}","ts":{written}}}')],
        [{"device_id": f"time-local-{name}", "ts": T}],
        counts={LOCAL_TIMES: 1},
        entrances=ALL,
    )
for name in ["timestamp", "time"]:
    case(
        f"time-named-{name}",
        [("time", f'{{"device_id":"time-named-{name}","{name}":1700000000}}')],
        [{"device_id": f"time-named-{name}", "ts": T, name: 1_700_000_000}],
    )
case(
    "time-first-of-them-that-is-one",
    [("time", f'{{"device_id":"time-first","ts":"soon","time":{T + 9},"timestamp":{T}}}')],
    [{"device_id": "time-first", "ts": T, "ts_": "soon", "timestamp": T, "time": T + 9}],
)
for name, field_name, written, kept in [
    ("old-number", "ts", "5", 5),
    ("old-text", "time", '"1999-12-31T23:59:59Z"', "1999-12-31T23:59:59Z"),
    ("future", "timestamp", "4102444800", 4_102_444_800),
    ("negative", "time", "-1700000000", -1_700_000_000),
]:
    case(
        f"time-out-of-range-{name}",
        [("time", f'{{"device_id":"range-{name}","{field_name}":{written}}}')],
        [{"device_id": f"range-{name}", "ts": NOW, "ts_" if field_name == "ts" else field_name: kept}],
        counts={OUT_OF_RANGE: 1},
    )

# --- No time ---

case(
    "no-time-is-unique",
    [("untimed/one", '{"v":1}'), ("untimed/one", '{"v":1}'), ("untimed/one", '{"v":2}')],
    [{"device_id": topic_device("untimed/one"), "ts": NOW, "v": v} for v in (1, 1, 2)],
    told=["INSERT"] * 3,
)
case(
    "no-time-in-an-array",
    [("untimed/array", '[{"v":1},{"v":1}]')],
    [{"device_id": topic_device("untimed/array"), "ts": NOW, "v": 1}] * 2,
)

# --- Same device and time ---


def at(device, **attributes):
    return {"device_id": device, "ts": T} | attributes


def same(device, *readings):
    return [("same", json.dumps(at(device, **reading))) for reading in readings]


case(
    "merge-unites",
    same("merge", {"a": 1}, {"b": "x"}),
    [at("merge", a=1, b="x")],
    counts={ITEMS: 2},
    told=["INSERT", "MODIFY"],
    entrances=ALL,
)
case(
    "merge-overwrites",
    same("collide", {"a": 1, "b": 2}, {"a": 3}),
    [at("collide", a=3, b=2)],
    counts={ITEMS: 2, COLLISIONS: 1},
    told=["INSERT", "MODIFY"],
    entrances=ALL,
)
case(
    "merge-overwrites-whole-values",
    same("collide-map", {"m": {"x": 1, "y": 2}}, {"m": {"x": 1}}),
    [at("collide-map", m={"x": 1})],
    counts={ITEMS: 2, COLLISIONS: 1},
    entrances=ALL,
)
case(
    "merge-identical",
    [*same("identical", {"a": 1, "b": [1, "x"]}, {"a": 1, "b": [1, "x"]}), *same("identical", {"a": 1})],
    [at("identical", a=1, b=[1, "x"])],
    counts={UNCHANGED: 2},
    told=["INSERT"],
    entrances=ALL,
)
case(
    "merge-equal-numbers",
    [("same", f'{{"device_id":"equal","ts":{T},"a":{written}}}') for written in ("1", "1.0", "10e-1")],
    [at("equal", a=1)],
    counts={UNCHANGED: 2},
    told=["INSERT"],
    entrances=ALL,
)

# --- Payloads that are one value ---

for name, payload, value, counts in [
    ("number", "21.5", Decimal("21.5"), {}),
    ("number-padded", b" 21.50 \r\n\0", Decimal("21.5"), {}),
    ("negative-exponent", "-1.5e-3", Decimal("-0.0015"), {}),
    ("true", "true", True, {}),
    ("null", "null", None, {}),
    ("text", "ON", "ON", {}),
    ("text-trailing", b"on \t\0\0", "on", {}),
    ("text-unicode", "wärme 温", "wärme 温", {}),
    ("text-like-a-number", "007", "007", {}),
    ("quoted", '"21.5"', "21.5", {}),
    ("list", "[1,2.5,\"x\"]", [1, Decimal("2.5"), "x"], {}),
    ("nan", "NaN", None, {NOT_FINITE: 1}),
    ("infinity", "-Infinity", None, {NOT_FINITE: 1}),
    ("39-digits", "1" * 39, "1" * 39, {AS_TEXT: 1}),
    ("too-great", "1e126", "1e126", {AS_TEXT: 1}),
    ("38-digits", "9" * 38, Decimal("9" * 38), {}),
]:
    topic = f"scalar/{name}"
    case(
        f"scalar-{name}",
        [(topic, payload)],
        [{"device_id": topic_device(topic), "ts": NOW, "reading": value}],
        counts=counts,
    )
case("scalar-not-utf-8", [("scalar/bytes", b"ab\xff\xfe")], quarantine=[("malformed", ["UTF-8", "byte 2"], False)])

# --- Values of an object ---

VALUES = [
    ("number", '"v":1.50', {"v": Decimal("1.5")}, {}),
    ("zero", '"v":-0.0', {"v": 0}, {}),
    ("exponent", '"v":12E+3', {"v": 12000}, {}),
    ("float", '"v":0.1,"w":3.4028235e38', {"v": Decimal("0.1"), "w": Decimal("3.4028235e38")}, {}),
    ("38-digits", '"v":0.' + "1" * 38, {"v": Decimal("0." + "1" * 38)}, {}),
    ("39-digits", '"v":' + "2" * 39, {"v": "2" * 39}, {AS_TEXT: 1}),
    ("too-small", '"v":1e-131', {"v": "1e-131"}, {AS_TEXT: 1}),
    ("truth", '"v":true,"w":false', {"v": True, "w": False}, {}),
    ("null", '"v":null', {"v": None}, {}),
    ("text", '"v":"caf\\u00e9 \\ud83d\\ude00"', {"v": "café 😀"}, {}),
    ("empty-text", '"v":""', {"v": ""}, {}),
    ("nan", '"v":NaN,"w":[Infinity,-inf]', {"v": None, "w": [None, None]}, {NOT_FINITE: 3}),
    ("list", '"v":[1,"x",[],{}]', {"v": [1, "x", [], {}]}, {}),
    ("object", '"v":{"a":{"b":[null]}}', {"v": {"a": {"b": [None]}}}, {}),
    ("empty-name", '"":5', {"_": 5}, {}),
    ("repeated-name", '"v":1,"v":2', {"v": 2}, {REPEATED: 1}),
    ("repeated-name-within", '"v":{"a":1,"a":2}', {"v": {"a": 2}}, {REPEATED: 1}),
    ("odd-names", '"a.b":1,"temperature:0":2,"Ω":3,"_seq":4,"_shard":5', {"a.b": 1, "temperature:0": 2, "Ω": 3, "_seq": 4, "_shard": 5}, {}),
]  # fmt: skip
for name, members, attributes, counts in VALUES:
    device = f"value-{name}"
    case(
        device,
        [("value", f'{{"device_id":"{device}","ts":{T},{members}}}')],
        [at(device, **attributes)],
        counts=counts,
        entrances=ALL,
    )

# --- Bad fields, bad elements, bad payloads ---

for name, member in [
    ("word", b'"bad":undefined'),
    ("bytes", b'"bad":"\xff"'),
    ("escape", b'"bad":"\\ud800"'),
    ("deep", b'"bad":' + b"[" * 40 + b"]" * 40),
]:
    device = f"bad-{name}"
    case(
        f"bad-field-{name}",
        [("bad", f'{{"device_id":"{device}","ts":{T},"good":1,'.encode() + member + b',"fine":2}')],
        [at(device, good=1, fine=2)],
        quarantine=[("bad_field", ["bad", "byte"], True)],
        entrances=ALL,
    )
case(
    "array",
    [("array", json.dumps([at("array-1", v=1), at("array-2", v=2)]))],
    [at("array-1", v=1), at("array-2", v=2)],
)
case("array-empty", [("array/empty", "[]")], [{"device_id": topic_device("array/empty"), "ts": NOW, "reading": []}])
case(
    "array-bad-element",
    [("array", f'[{{"device_id":"ab-1","ts":{T}}},17,{{"device_id":"ab-2","ts":{T},"v":2}}]')],
    [at("ab-1"), at("ab-2", v=2)],
    quarantine=[("bad_field", ["[1]", "not an object"], True)],
)
case(
    "array-bad-device",
    [("array", json.dumps([at("ad-1", v=1), at("d" * 3000, v=2), at("ad-2", v=3)]))],
    [at("ad-1", v=1), at("ad-2", v=3)],
    quarantine=[("device", ["[1]", "3000"], True)],
)
case(
    "array-bad-field",
    [("array", f'[{{"device_id":"af-1","ts":{T},"v":nope}},{{"device_id":"af-2","ts":{T},"v":2}}]')],
    [at("af-1"), at("af-2", v=2)],
    quarantine=[("bad_field", ["[0].v"], True)],
)
for name, payload in [
    ("cut", b'{"ts":1700000000,"v":'),
    ("no-colon", b'{"ts" 1700000000}'),
    ("text-after", b'{"v":1} {"v":2}'),
    ("unclosed-text", b'{"v":"abc}'),
    ("unclosed-array", b"[" * 1000),
]:
    case(f"malformed-{name}", [(f"malformed/{name}", payload)], quarantine=[("malformed", ["JSON at byte"], False)])
case(
    "malformed-row",
    [("malformed", '{"device_id":"m","ts":1700000000,"v":}')],
    quarantine=[("malformed", ["JSON at byte"], False)],
    entrances=ALL,
)
case(
    "item-too-large",
    [("large", json.dumps(at("large", text="x" * 420_000)))],
    quarantine=[("too_large", ["409600"], False)],
    entrances=ALL,
)
case(
    "item-just-not-too-large",
    [("large", json.dumps(at("almost", text="x" * 400_000)))],
    [at("almost", text="x" * 400_000)],
    entrances=ALL,
)

# --- Routes ---

ROUTES = """
[[route]]
topic = "PREFIXhome/{device}/{metric}"
table = "rooms"

[[route]]
topic = "PREFIXplant/{site}/{unit}"
table = "plants"
device = "{site}:{unit}"
time = ["info.at", "at"]
zone = "Europe/Berlin"
attributes = { site = "{site}" }

[[route]]
topic = "PREFIXlora/up"
table = "lora"
device = "{payload.deviceInfo.devEui}"

[[route]]
topic = "PREFIXstrict/{device}"
table = "strict"
on_collision = "quarantine"

[[route]]
topic = "PREFIXtext/{device}"
table = "texts"
format = "scalar"

[[route]]
topic = "PREFIXkeys/{device}"
table = "keyed"
device_key = "sensor"
time_key = "at"
"""


def routed(name, topic, payloads, items, table, **rest):
    case(f"route-{name}", [(topic, payload) for payload in payloads], [{"table": table} | item for item in items], **rest)


for metric, payload, value in [("temperature", "21.5", Decimal("21.5")), ("light", "ON", "ON"), ("wind", "[1,2]", [1, 2])]:
    routed(f"metric-{metric}", f"home/kitchen/{metric}", [payload], [{"device_id": "kitchen", "ts": NOW, metric: value}], "rooms")
routed(
    "metric-keeps-objects-whole",
    "home/hall/air",
    [f'{{"ts":{T},"co2":400}}'],
    [{"device_id": "hall", "ts": T, "air": {"ts": T, "co2": 400}}],
    "rooms",
)
routed(
    "template-and-zone",
    "plant/north/u1",
    ['{"at":"2023-11-14 23:13:20","v":1}'],
    [{"device_id": "north:u1", "ts": T, "at": "2023-11-14 23:13:20", "site": "north", "v": 1}],
    "plants",
    counts={LOCAL_TIMES: 1},
)
routed(
    "time-by-path",
    "plant/north/u2",
    [f'{{"info":{{"at":{T}}},"site":"said"}}'],
    [{"device_id": "north:u2", "ts": T, "info": {"at": T}, "site": "north", "site_": "said"}],
    "plants",
)
routed(
    "device-by-path",
    "lora/up",
    [f'{{"deviceInfo":{{"devEui":"0101"}},"ts":{T}}}'],
    [{"device_id": "0101", "ts": T, "deviceInfo": {"devEui": "0101"}}],
    "lora",
)
routed("device-missing", "lora/up", ['{"v":1}'], [], "lora", quarantine=[("device", ["deviceInfo.devEui"], False)])
routed(
    "collision-to-quarantine",
    "strict/s1",
    [f'{{"ts":{T},"a":1}}', f'{{"ts":{T},"a":2,"b":3}}', f'{{"ts":{T},"a":1}}'],
    [{"device_id": "s1", "ts": T, "a": 1, "b": 3}],
    "strict",
    counts={ITEMS: 2, UNCHANGED: 1, COLLISIONS: 1},
    quarantine=[("collision", ["a"], True)],
)
routed("scalar-format", "text/t1", ['{"not":"read"}'], [{"device_id": "t1", "ts": NOW, "reading": '{"not":"read"}'}], "texts")
routed("key-names", "keys/k1", [f'{{"at":{T},"v":1}}'], [{"sensor": "k1", "at": T, "v": 1}], "keyed")
