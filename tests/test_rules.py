"""The rules by which readings become items, each through every entrance where it applies: what is stored, what is counted,
what goes to quarantine and why, and what the change stream tells.

The cases are a table, in rule_cases.py; rules that need a server or a broker of their own follow below it.
"""

import base64
import json
import time
from collections import Counter
from decimal import Decimal

import harness
import pytest
from entrances import JetStreamSource, Listener, MosquittoSource, device
from harness import plain, wait_for
from rule_cases import ALL, BROKERS, CASES, COUNTERS, ITEMS, NOW, PARTIAL, QUARANTINED, ROUTES, T


class Listener311(Listener):
    """The embedded listener, asked by a client of MQTT 3.1.1."""

    name = "listener-3.1.1"
    label = "mqtt"
    protocol = 4

    def publish_all(self, readings):
        with self.server.publisher("rules", protocol=self.protocol) as publisher:
            for topic, payload in readings:
                publisher.publish(topic, payload)
            publisher.drain()


class Listener5(Listener311):
    """The embedded listener, asked by a client of MQTT 5."""

    name = "listener-5"
    protocol = 5


class Import:
    """`thalweg import` of JSON lines."""

    name = "import"

    def __init__(self, directory):
        self.directory = directory
        self.files = 0

    def config(self):
        return ""

    def attach(self, server):
        self.server = server

    def publish_all(self, readings):
        # A file each: rows of one key in one file are united before they are stored.
        for _, payload in readings:
            self.files += 1
            file = self.directory / f"rows-{self.files}.jsonl"
            file.write_bytes(as_bytes(payload) + b"\n")
            self.server.run("import", file, "--table", "readings", "--device", "device_id", "--time", "ts", check=False)

    def close(self):
        pass


class Http:
    """Rows as JSON lines over HTTP."""

    name = "http"

    def __init__(self, directory):
        pass

    def config(self):
        return ""

    def attach(self, server):
        self.server = server

    def publish_all(self, readings):
        for _, payload in readings:
            self.server.post("/ingest/readings?device=device_id&time=ts", as_bytes(payload))

    def close(self):
        pass


def as_bytes(payload):
    return payload.encode() if isinstance(payload, str) else payload


WAYS = {way.name: way for way in [Listener311, Listener5, MosquittoSource, JetStreamSource, Http, Import]}


def deliver(way, server, messages):
    """Publishes, and waits until every message has been acknowledged by the server."""
    count = lambda: server.metric("thalweg_entrance_acknowledgements_total", entrance=way.label)  # noqa: E731
    if way.name in ("http", "import"):
        way.publish_all(messages)
        return
    before = count()
    way.publish_all(messages)
    wait_for("the server's acknowledgements", lambda: count() >= before + len(messages))


def quarantine(server):
    """The entries, by id, oldest first."""
    return by_id(server.get("/admin/quarantine?limit=10000"))


def by_id(listed):
    return {entry["id"]: entry for entry in reversed(json.loads(listed)["entries"])}


def show(server, entry_id):
    return json.loads(server.get(f"/admin/quarantine/{entry_id}"))


def payload_of(entry):
    return base64.b64decode(entry["payload_base64"]) if "payload_base64" in entry else entry["payload"].encode()


def freeze(value):
    """A value that can be counted."""
    match value:
        case dict():
            return frozenset((name, freeze(inner)) for name, inner in value.items())
        case list():
            return tuple(freeze(inner) for inner in value)
        case bool() | None:
            return str(value)
        case int():
            return Decimal(value)
        case _:
            return value


def everything(client, began_at_ms=None):
    """How many items there are of each content. What the server dated since the test began is dated NOW."""
    found = Counter()
    for table in client.list_tables()["TableNames"]:
        pages = client.get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
        for item in (plain(item) for page in pages for item in page["Items"]):
            for name in ("ts", "at"):
                if began_at_ms and isinstance(item.get(name), Decimal) and item[name] > began_at_ms:
                    item[name] = NOW
            found[freeze({"table": table} | item)] += 1
    return found


def expected_items(way, case):
    """The case's items as this entrance makes them."""
    for item in case.items:
        item = {"table": "readings"} | item
        if str(item.get("device_id")).startswith("TOPIC "):
            item["device_id"] = device(way, item["device_id"].removeprefix("TOPIC "))
        yield freeze(item)


class Asked:
    """A server with its entrance; tests compare what it had before with what it has after."""

    def __init__(self, way, server):
        self.way, self.server = way, server
        self.client = server.dynamodb()
        self.refresh()

    def refresh(self):
        self.items, self.entries, self.counters = everything(self.client), quarantine(self.server), self.count()

    def count(self):
        """The counters of now."""
        counters = dict.fromkeys(COUNTERS, 0)
        for sample, value in self.server.metrics().items():
            name = sample.split("{")[0]
            if name in counters:
                counters[name] += value
        return counters


@pytest.fixture(scope="module")
def asked(request, tmp_path_factory):
    directory = tmp_path_factory.mktemp(request.param)
    way = WAYS[request.param](directory)
    prefix = "telemetry/" if request.param == "jetstream" else ""
    server = harness.Server(directory / "server", way.config() + ROUTES.replace("PREFIX", prefix))
    try:
        server.start()
        way.attach(server)
        yield Asked(way, server)
        server.stop()
        assert "panicked" not in server.process.said()
    finally:
        server.close()
        way.close()


def pytest_generate_tests(metafunc):
    if "case" in metafunc.fixturenames:
        pairs = [(way, case) for way in WAYS for case in CASES if way in case.entrances]
        names = [f"{way}-{case.name}" for way, case in pairs]
        metafunc.parametrize(("asked", "case"), pairs, ids=names, indirect=["asked"], scope="module")


def test_rule(asked, case):
    way, server = asked.way, asked.server
    asked.refresh()
    began_at_ms = time.time() * 1000 - 60_000
    deliver(way, server, case.messages)

    new = everything(asked.client, began_at_ms) - everything_but(asked.items, began_at_ms)
    assert new == Counter(expected_items(way, case))

    entries = [entry for entry_id, entry in quarantine(server).items() if entry_id not in asked.entries]
    assert [(entry["kind"], entry["partial"]) for entry in entries] == [(kind, partial) for kind, _, partial in case.quarantine]
    for entry, (_, texts, _) in zip(entries, case.quarantine):
        assert all(text in entry["reason"] for text in texts), entry
        shown = show(server, entry["id"])
        assert payload_of(shown) in [as_bytes(payload) for _, payload in case.messages]
        assert shown["reason"] == entry["reason"]

    counts = {ITEMS: len(case.items), QUARANTINED: len(entries)}
    counts[PARTIAL] = sum(partial for _, _, partial in case.quarantine)
    expected = {name: case.counts.get(name, counts.get(name, 0)) for name in COUNTERS}
    counted = asked.count()
    assert {name: counted[name] - asked.counters[name] for name in COUNTERS} == expected

    if case.told is not None:
        assert told(server, way, case) == case.told


def everything_but(items, began_at_ms):
    """Items of before, dated as `everything` dates them."""
    dated = Counter()
    for item, count in items.items():
        fields = {
            (name, NOW if name in ("ts", "at") and isinstance(value, Decimal) and value > began_at_ms else value)
            for name, value in item
        }
        dated[frozenset(fields)] += count
    return dated


def told(server, way, case):
    """The changes told about the case's devices."""
    devices = {dict(item)["device_id"] for item in expected_items(way, case)}
    records = [record for record in server.changes("readings") if record["dynamodb"]["Keys"]["device_id"]["S"] in devices]
    return [record["eventName"] for record in records]


# --- A table with other keys; the quarantine's life ---


@pytest.mark.parametrize("name", sorted(BROKERS))
def test_a_table_with_other_keys_and_the_replay(name, make_server, tmp_path):
    """Nothing is lost where `readings` is somebody else's table: the quarantine names both, keeps the readings over a
    restart, and gives them back when the way is free.
    """
    server = make_server(mqtt=True)
    server.start()
    client = server.dynamodb()
    client.create_table(
        TableName="readings",
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
    )
    way = WAYS[name](tmp_path)
    try:
        server.stop()
        server.config.write_text(way.config())
        server.start()
        if name == "mosquitto":
            wait_for("the source's session", lambda: "thalweg-plant" in (way.broker.directory / "mosquitto.log").read_text())
            wait_for("the subscription", lambda: subscribed(way, server))
        else:
            way.attach(server)
        before = quarantine(server)
        messages = [(f"keys/{n}", json.dumps({"ts": T + n, "v": n})) for n in range(3)] + [("keys/bad", '{"v":')]
        deliver(way, server, messages)
        server.restart()
        entries = {entry_id: entry for entry_id, entry in quarantine(server).items() if entry_id not in before}
        assert [entry["kind"] for entry in entries.values()] == ["table"] * 3 + ["malformed"]
        assert [entry["topic"] for entry in entries.values()] == [device(way, topic) for topic, _ in messages]
        first, *_ = entries
        assert all(text in entries[first]["reason"] for text in ["readings", "id S", "device_id S", "ts N"])
        # The command line says the same.
        assert by_id(server.run("quarantine", "list", "--json").stdout)[first] == entries[first]
        shown = json.loads(server.run("quarantine", "show", first, "--json").stdout)
        assert payload_of(shown).decode() == messages[0][1]
        assert first in server.run("quarantine", "list").stdout

        # As long as the cause is there, a replay changes nothing.
        server.run("quarantine", "replay", first)
        assert first in quarantine(server)

        server.dynamodb().delete_table(TableName="readings")
        server.run("quarantine", "replay", first)
        assert first not in quarantine(server)
        assert [item["v"] for item in server.scan("readings")] == [0]
        server.run("quarantine", "replay")
        left = [entry for entry_id, entry in quarantine(server).items() if entry_id not in before]
        assert [entry["kind"] for entry in left] == ["malformed"], "what is wrong by itself stays"
        stored = sorted((item["device_id"], item["ts"], item["v"]) for item in server.scan("readings") if "v" in item)
        assert stored == [(device(way, f"keys/{n}"), T + n, n) for n in range(3)]

        unknown = server.run("quarantine", "show", "12345", check=False)
        assert unknown.returncode not in (0, 101) and "12345" in unknown.stderr
    finally:
        way.close()


def subscribed(way, server):
    """Does what is published reach the server? It ends in quarantine here, so a table does not show it."""
    with way.broker.publisher("probe") as publisher:
        publisher.publish("probe", "{}")
        publisher.drain()
    return server.metric("thalweg_entrance_acknowledgements_total", entrance="plant") > 0


# --- Retained messages ---


@pytest.mark.parametrize("protocol", [4, 5])
def test_retained_messages_of_the_listener(server, protocol):
    def publish(topic, payload):
        with server.publisher("retained", protocol=protocol) as publisher:
            publisher.publish(topic, payload, retain=True)
            publisher.drain()

    def values(topic):
        return [item["v"] for item in server.query("readings", topic)]

    publish("retained/untimed", '{"v":1}')
    publish("retained/untimed", '{"v":1}')
    assert values("retained/untimed") == [1]
    publish("retained/untimed", '{"v":2}')
    publish("retained/untimed", "")
    assert values("retained/untimed") == [1, 2]
    # One that carries a time is a reading like any other.
    for n in range(2):
        publish("retained/timed", json.dumps({"ts": T + n, "v": n}))
    publish("retained/timed", json.dumps({"ts": T, "v": 0}))
    assert values("retained/timed") == [0, 1]
    assert server.metric("thalweg_ingest_retained_repeated_total") == 1
    assert server.metric("thalweg_ingest_retained_empty_total") == 1
    # What was stored is remembered over a restart.
    server.restart()
    publish("retained/untimed", '{"v":2}')
    assert values("retained/untimed") == [1, 2]


def test_retained_messages_of_a_broker(make_server, tmp_path):
    """A broker repeats its retained messages at every subscription, so at every restart of ours."""
    way = MosquittoSource(tmp_path)
    try:
        with way.broker.publisher("retained") as publisher:
            publisher.publish("retained/untimed", '{"v":1}', retain=True)
            publisher.publish("retained/timed", json.dumps({"ts": T, "v": 2}), retain=True)
            publisher.drain()
        server = make_server(way.config()).start()
        taken = lambda: server.metric("thalweg_entrance_acknowledgements_total", entrance="plant")  # noqa: E731
        wait_for("the retained messages", lambda: taken() >= 2)
        for _ in range(2):
            server.restart()
            wait_for("the retained messages, again", lambda: taken() >= 2)
        assert server.metric("thalweg_ingest_retained_repeated_total") == 1
        items = sorted((item["device_id"], item["v"]) for item in server.scan("readings"))
        assert items == [("retained/timed", 2), ("retained/untimed", 1)]
        # Cleared, and set again, while we are there: the broker does not mark these as retained. Clearing is no reading.
        before = taken()
        with way.broker.publisher("retained") as publisher:
            publisher.publish("retained/untimed", "", retain=True)
            publisher.publish("retained/untimed", '{"v":3}', retain=True)
            publisher.drain()
        wait_for("what changed", lambda: taken() >= before + 2)
        assert server.metric("thalweg_ingest_retained_empty_total") == 1
        server.restart()
        wait_for("the retained messages, once more", lambda: taken() >= 2)
        assert sorted(item["v"] for item in server.query("readings", "retained/untimed")) == [1, 3]
    finally:
        way.close()


# --- Redelivery ---


def test_a_redelivery_of_jetstream_is_the_same_key(make_server, tmp_path):
    """A reading without a time has the time at which JetStream stored it. When the consumer is made anew, the whole stream
    is delivered again, and nothing changes.
    """
    way = JetStreamSource(tmp_path)
    try:
        server = make_server(way.config()).start()
        deliver(way, server, [(f"untimed/{n % 3}", json.dumps({"n": n})) for n in range(50)])
        items = server.scan("readings")
        assert sorted(item["n"] for item in items) == list(range(50))

        async def stored_times(_client, jetstream):
            messages = [await jetstream.get_msg("TELEMETRY", number) for number in range(1, 51)]
            await jetstream.delete_consumer("TELEMETRY", "thalweg-cloud")
            return {json.loads(message.data)["n"]: message.time for message in messages}

        server.stop()
        times = way.broker.run(stored_times)
        for item in items:
            # Its microseconds are JetStream's; what is below tells messages of one microsecond apart.
            assert abs(item["ts"] / 1000 - Decimal(times[int(item["n"])].timestamp())) < Decimal("0.000002")
        server.start()
        wait_for("every message, again", lambda: server.metric("thalweg_ingest_unchanged_total") == 50)
        order = lambda item: item["n"]  # noqa: E731
        assert sorted(server.scan("readings"), key=order) == sorted(items, key=order)
        assert len(server.changes("readings")) == 50
    finally:
        way.close()


# --- Too large ---


@pytest.mark.parametrize("protocol", [4, 5])
def test_a_packet_over_the_limit_ends_the_connection(make_server, protocol):
    server = make_server("[ingest.limits]\nmax_packet_size = 65536\n").start()
    publisher = server.publisher("large", protocol=protocol, reconnect=False).connect()
    publisher.publish("large", "x" * 65_000)
    publisher.drain()
    publisher.publish("large", "x" * 70_000)
    wait_for("the end of the connection", lambda: publisher.disconnects)
    if protocol == 5:
        assert publisher.disconnects[0].value == 0x95
    publisher.close()
    assert publisher.unacknowledged() and len(publisher.ledger()) == 1
    assert server.metric("thalweg_entrance_connection_errors_total", reason="too_large") == 1
    # Others are not disturbed.
    with server.publisher("small") as small:
        small.publish("small", "1")
        small.drain()
    assert sorted(item["device_id"] for item in server.scan("readings")) == ["large", "small"]


@pytest.mark.parametrize("way_class", [MosquittoSource, JetStreamSource], ids=lambda way: way.name)
def test_a_large_message_of_a_broker_blocks_nothing(way_class, make_server, tmp_path):
    """A broker would deliver a message that we refuse again and again: it is taken, and what no item can hold goes to quarantine."""
    way = way_class(tmp_path)
    try:
        server = make_server(way.config() + "[ingest.limits]\nmax_packet_size = 65536\n").start()
        way.attach(server)
        large = json.dumps({"ts": T, "text": "x" * 500_000})
        deliver(way, server, [("large/1", large), ("large/2", json.dumps({"ts": T, "v": 1}))])
        assert [item["v"] for item in server.query("readings", device(way, "large/2"))] == [1]
        (entry,) = quarantine(server).values()
        assert entry["kind"] == "too_large" and payload_of(show(server, entry["id"])).decode() == large
    finally:
        way.close()


# --- Settings ---


def test_local_times_are_read_in_the_zone(make_server):
    server = make_server('[ingest]\nzone = "America/New_York"\n').start()
    with server.publisher("zone") as publisher:
        for n, moment in enumerate(["2023-11-14T17:13:20", "2023-07-01T00:00:00", "2023-07-01T00:00:00Z"]):
            publisher.publish(f"zone/{n}", json.dumps({"time": moment}))
        publisher.drain()
    times = sorted((item["device_id"], item["ts"]) for item in server.scan("readings"))
    assert times == [("zone/0", T), ("zone/1", 1_688_184_000_000), ("zone/2", 1_688_169_600_000)]
    assert server.metric("thalweg_ingest_local_times_total") == 2


def test_a_full_quarantine_gives_up_the_oldest_of_the_noisiest(make_server):
    server = make_server("[ingest.quarantine]\nentries_max = 100\n").start()
    for client, count in [("quiet", 5), ("noisy", 150), ("late", 5)]:
        with server.publisher(client) as publisher:
            for n in range(count):
                publisher.publish(f"bad/{client}/{n}", '{"v":')
                # What is on its way cannot be given up yet.
                publisher.drain()
    topics = {entry["topic"] for entry in quarantine(server).values()}
    expected = {f"bad/{client}/{n}" for client in ("quiet", "late") for n in range(5)}
    assert topics == expected | {f"bad/noisy/{n}" for n in range(60, 150)}
    assert server.metric("thalweg_ingest_quarantine_evicted_total") == 60
    assert server.metric("thalweg_ingest_quarantine_entries") == 100
    server.restart()
    assert {entry["topic"] for entry in quarantine(server).values()} == topics


# --- Rows ---


def test_rows_that_cannot_be_taken_name_their_line(server, tmp_path):
    file = tmp_path / "rows.csv"
    file.write_text("device,when,v\na,1700000000,1\nb,never,2\n,1700000000,3\nc,2023-11-14 22:13:20,NaN\n")
    arguments = ["import", file, "--table", "rows", "--device", "device", "--time", "when"]
    for _ in range(2):
        server.run(*arguments, check=False)
    items = sorted((item["device_id"], item["ts"], item["v"]) for item in server.scan("rows"))
    assert items == [("a", T, 1), ("c", T, None)]
    kinds = {(entry["line"], entry["kind"]) for entry in quarantine(server).values()}
    assert kinds == {(3, "time"), (4, "device")}
    assert [record["eventName"] for record in server.changes("rows")] == ["INSERT"] * 2


def test_qos_2_is_refused(server):
    """3.1.1 has no way to refuse it but to close; version 5 is told the greatest that is served."""
    publisher = server.publisher("qos2", reconnect=False).connect()
    publisher.publish("qos/2", "1", qos=2)
    wait_for("the end of the connection", lambda: publisher.disconnects)
    publisher.close()
    assert server.metric("thalweg_entrance_connection_errors_total", reason="qos") == 1
    assert "qos" in server.process.said().lower()
    assert not server.has_table("readings")
    with server.publisher("qos0") as publisher:
        publisher.publish("qos/0", "1", qos=0)
        publisher.publish("qos/1", "1", qos=1)
        publisher.drain()
    wait_for("both", lambda: len(server.scan("readings")) == 2)


def test_every_entrance_has_cases():
    assert ALL == set(WAYS)
