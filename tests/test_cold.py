"""Cold tables: three programs read the Parquet files without help and find what Scan finds; compaction and restarts change no
answer; a damaged directory is found out.
"""

import csv
import json
import random
import re
import shutil
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import boto3
import harness
import pytest
from harness import plain, thalweg
from parquet_readers import READERS, DuckDb, ListedDuckDb, check_table

DEVICES = 5
# Whole milliseconds, one per reading.
START_MS = 1_700_000_000_000
# Sealed and written to files several times between compactions.
CONFIG = "[store]\nmemtable_bytes_max = 20000\nsegment_bytes = 1048576\n"

NUMBERS = ("value", "counter")
OTHERS = ("name", "ok", "late")


class History:
    """Readings published one after the other, and the items that they must have made."""

    def __init__(self, server, seed):
        self.server = server
        self.random = random.Random(seed)
        self.items = {}

    def publish(self, readings):
        """Readings: (device, ts, attributes); the same device and time merge."""
        with self.server.publisher("history") as publisher:
            for device, ts, attributes in readings:
                publisher.publish(f"cold/{device}", text({"ts": ts} | attributes))
                item = self.items.setdefault((device, Decimal(ts)), {"device_id": f"cold/{device}", "ts": Decimal(ts)})
                item.update(attributes)
            publisher.drain()

    def insert(self, first, number):
        """New readings `first..`, whose numbers `number` makes."""
        self.publish(
            (
                n % DEVICES,
                START_MS + n * 1000,
                {"value": number(n), "counter": Decimal(n) ** 3, "name": f"n{n} ö", "ok": n % 3 == 0, "rest": [n, {"a": None}]},
            )
            for n in range(first, first + 200)
        )

    def some(self, count):
        """Keys that exist."""
        return self.random.sample(sorted(self.items), count)

    def overwrite(self, number):
        self.publish((device, ts, {"value": number(index)}) for index, (device, ts) in enumerate(self.some(30)))

    def merge(self, attributes):
        self.publish((device, ts, attributes(index)) for index, (device, ts) in enumerate(self.some(30)))

    def delete(self):
        client = self.server.dynamodb()
        for device, ts in self.some(20):
            client.delete_item(TableName="readings", Key=key(device, ts))
            del self.items[device, ts]

    def check(self):
        """What the server answers is what was published; answers all items."""

        def by_key(item):
            return item["device_id"], item["ts"]

        items = sorted(self.server.scan("readings"), key=by_key)
        assert items == sorted(self.items.values(), key=by_key)
        for device in range(DEVICES):
            name = f"cold/{device}"
            assert self.server.query("readings", name) == [item for item in items if item["device_id"] == name]
        client = self.server.dynamodb()
        for device, ts in self.some(10):
            assert plain(client.get_item(TableName="readings", Key=key(device, ts))["Item"]) == self.items[device, ts]
        absent = client.get_item(TableName="readings", Key=key(0, 1), ConsistentRead=True)
        assert "Item" not in absent
        return items

    def compact(self):
        """Compacts; the answers before are the answers after, and the files say the same."""
        self.check()
        self.server.run("compact")
        items = self.check()
        table = self.server.data / "cold" / "tables" / "readings"
        assert len(list(table.glob("**/*.parquet"))) > 1
        for reader in READERS.values():
            check_table(reader(table), items, NUMBERS, OTHERS)


def key(device, ts):
    return {"device_id": {"S": f"cold/{device}"}, "ts": {"N": str(ts)}}


def text(reading):
    """JSON in which Decimals are numbers, digit for digit."""
    marks = {}

    def mark(value):
        marks[f'"<{len(marks)}>"'] = format(value, "f")
        return f"<{len(marks) - 1}>"

    out = json.dumps(reading, default=mark)
    for written, digits in marks.items():
        out = out.replace(written, digits)
    return out


def two_decimals(n):
    return Decimal(n * 37 - 5000) / 100


def ten_decimals(n):
    return Decimal(n * 123_456_789 + 1) / 10**10


def thirty_digits(n):
    return Decimal(f"{(-1) ** n * (10**29 + n * 987_654_321)}E-10")


def test_three_programs_read_what_scan_finds(make_server):
    server = make_server(CONFIG).start()
    history = History(server, seed=1)
    history.insert(0, lambda n: n)
    history.publish([(0, START_MS + 1, {"mixed": 5, "late": "absent before"})])
    history.compact()

    history.insert(200, two_decimals)
    history.overwrite(two_decimals)
    history.merge(lambda n: {"late": f"late {n}"})
    history.delete()
    history.compact()

    server.restart()
    history.check()
    history.insert(400, ten_decimals)
    # The time column's unit grows too.
    history.publish((n % DEVICES, Decimal(START_MS + n) + Decimal("0.125"), {"value": n}) for n in range(50))
    history.overwrite(ten_decimals)
    history.delete()
    history.compact()

    history.insert(600, thirty_digits)
    history.publish((n % DEVICES, START_MS + 7 + n * 1000, {"counter": Decimal(10**29 + n)}) for n in range(50))
    history.overwrite(thirty_digits)
    history.merge(lambda n: {"mixed": "text" if n % 2 else n, "late": f"later {n}"})
    history.delete()
    server.kill()
    server.start()
    history.check()
    history.compact()

    # Once more with nothing new, and after another restart.
    history.compact()
    server.restart()
    history.check()


def make_table(client, name, partition, sort):
    client.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "p", "KeyType": "HASH"}, {"AttributeName": "s", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": "p", "AttributeType": partition}, {"AttributeName": "s", "AttributeType": sort}],
    )


ODD = [
    # No column holds both of these numbers exactly, nor these values; they are kept beside the columns.
    {"n": {"N": "9.9999999999999999999999999999999999999E+125"}},
    {"n": {"N": "-1E-130"}, "l": {"L": [{"N": "1"}, {"NULL": True}, {"M": {"x": {"B": b"\x00"}}}]}},
    {"n": {"S": "text"}, "ns": {"NS": ["1", "2.5"]}, "ss": {"SS": ["a", "b"]}, "bs": {"BS": [b"a", b""]}},
    {"n": {"BOOL": False}, "b": {"B": b"\xff\x00"}, "m": {"M": {}}, "empty": {"S": ""}, "none": {"NULL": True}},
    # Names that one program or another takes for the same, or for its own.
    {"Temp": {"N": "1"}, "temp": {"N": "2"}, "TEMP": {"S": "3"}},
    {"_seq": {"N": "1"}, "_shard": {"N": "2"}, "_residual": {"S": "x"}, "_deleted": {"BOOL": True}, "$": {"N": "4"}},
    {"a.b": {"N": "1"}, "a b": {"N": "2"}, "ä": {"N": "3"}, 'quo"te': {"N": "4"}, "x" * 200: {"N": "5"}, "x" * 201: {"N": "6"}},
]


def test_whatever_an_item_has_is_the_same_from_files(make_server):
    server = make_server(CONFIG).start()
    client = server.dynamodb()
    make_table(client, "odd.table-1", "N", "B")

    def answers():
        return sorted(server.scan("odd.table-1"), key=lambda item: (item["p"], item["s"]))

    for number, attributes in enumerate(ODD * 3):
        keys = {"p": {"N": str(number - 10)}, "s": {"B": bytes([number])}}
        client.put_item(TableName="odd.table-1", Item=keys | attributes)
        if number % len(ODD) == 0:
            server.run("compact", "--table", "odd.table-1")
    before = answers()
    assert len(before) == 3 * len(ODD)
    server.run("compact")
    assert answers() == before
    server.restart()
    assert answers() == before
    table = server.data / "cold" / "tables" / "odd.table-1"
    for reader in READERS.values():
        assert len(reader(table).rows_of(["p", "s"])) == len(before)
        names = [name.lower() for name in reader(table).types()]
        assert len(names) == len(set(names)), names
    # The name that was seen first is plain, the others are escaped.
    seen = Counter(DuckDb(table).rows_of(['"TEMP"', '"$54emp"', '"$74emp"']))
    assert seen == {("3", Decimal(1), Decimal(2)): 3, (None, None, None): len(before) - 3}


def wind(n):
    """The attribute `wind` of the n-th item, and as what it is found in a column; fields come and go."""
    number, nothing = Decimal(n) / 10, {"speed": None, "speed$s": None, "from": None, "note": None}
    return {
        0: (None, None),
        1: ({}, nothing),
        2: ({"speed": number}, nothing | {"speed": number}),
        3: ({"speed": number, "from": {"bearing": n}}, nothing | {"speed": number, "from": {"bearing": Decimal(n)}}),
        4: ({"speed": "calm"}, nothing | {"speed$s": "calm"}),
        # Lists are kept beside the columns.
        5: ({"speed": n, "gusts": [n, "strong"]}, nothing | {"speed": Decimal(n)}),
        6: ({"note": f"note {n}", "from": {"sensors": [n]}}, nothing | {"note": f"note {n}", "from": {"bearing": None}}),
    }[n % 7 if n >= 60 else n % 2]


def test_maps_are_structs_and_few_numbers_are_doubles(make_server):
    server = make_server(CONFIG).start()
    client = server.dynamodb()
    make_table(client, "maps", "S", "N")
    table = boto3.resource("dynamodb", **server.sdk()).Table("maps")
    expected = {}
    for n in range(300):
        value, found = wind(n)
        item = {"p": f"p{n % 5}", "s": Decimal(n)} | ({} if value is None else {"wind": value})
        if n % 50 == 7:
            item["c"] = Decimal("1E+30") + n
        if n % 50 == 9:
            # No decimal column holds both.
            item["c"] = Decimal(f"{n}E-30")
        table.put_item(Item=item)
        expected[item["p"], item["s"]] = (item, found)
        if n in (50, 150):
            server.run("compact")

    def check():
        items = {(item["p"], item["s"]): item for item in server.scan("maps")}
        assert items == {key: item for key, (item, _) in expected.items()}

    check()
    server.run("compact")
    check()
    server.restart()
    check()
    for name, program in READERS.items():
        reader = program(server.data / "cold" / "tables" / "maps")
        rows = reader.rows_of(["p", "s", "wind"])
        assert len(rows) == len(expected)
        for p, s, found in rows:
            assert found == expected[p, s][1], (name, p, s)
        quote = '"' if isinstance(reader, DuckDb) else ""
        rows = reader.rows_of(["p", "s", "c", f"{quote}c$double{quote}"])
        decimals = {(p, s): c for p, s, c, _ in rows if c is not None}
        doubles = {(p, s): Decimal(repr(c)) for p, s, _, c in rows if c is not None}
        numbers = {key: item["c"] for key, (item, _) in expected.items() if "c" in item}
        assert decimals and doubles and decimals | doubles == numbers and not decimals.keys() & doubles.keys(), name


def test_a_key_is_found_by_filters(make_server):
    """DuckDB leaves out row groups by the Bloom filters of the partition key: never those that have it."""
    server = make_server(CONFIG.replace("20000", "2000000")).start()
    client = server.dynamodb()
    make_table(client, "users", "S", "S")
    names = [f"user-{n * 2654435761 % 2**32:08x}" for n in range(6000)]
    for start in range(0, len(names), 25):
        puts = [{"PutRequest": {"Item": {"p": {"S": name}, "s": {"S": f"order {name}"}}}} for name in names[start : start + 25]]
        assert not client.batch_write_item(RequestItems={"users": puts})["UnprocessedItems"]
    server.run("compact")
    duckdb = DuckDb(server.data / "cold" / "tables" / "users")

    def excludes(name):
        probe = f"parquet_bloom_probe({duckdb.source}, 'p', '{name}')"
        return duckdb.connection.execute(f"SELECT count(*) FROM {probe} WHERE bloom_filter_excludes").fetchone()[0]

    total, excluded = len(list((server.data / "cold" / "tables" / "users").glob("*.parquet"))), 0
    for name in names[::300]:
        [found] = duckdb.connection.execute(f"SELECT s FROM {duckdb.source} WHERE p = ?", [name]).fetchall()
        assert found == (f"order {name}",)
        item = client.get_item(TableName="users", Key={"p": {"S": name}, "s": {"S": f"order {name}"}})["Item"]
        assert plain(item) == {"p": name, "s": f"order {name}"}
        for sort in (f"order {name}x", "order"):
            assert "Item" not in client.get_item(TableName="users", Key={"p": {"S": name}, "s": {"S": sort}})
        assert excludes(name) < total
        excluded += excludes(f"{name}x")
    assert excluded > total * len(names[::300]) / 2


def test_a_deleted_table_has_no_files(make_server):
    server = make_server(CONFIG).start()
    client = server.dynamodb()
    tables = server.data / "cold" / "tables"
    for value in ("1", "2"):
        make_table(client, "again", "S", "N")
        client.put_item(TableName="again", Item={"p": {"S": "a"}, "s": {"N": value}})
        server.run("compact")
        assert DuckDb(tables / "again").rows_of(["s"]) == [(Decimal(value),)]
        client.delete_table(TableName="again")
        server.run("compact")
        assert not (tables / "again").is_symlink()
        server.restart()
        assert server.tables() == []


def test_a_reader_sees_one_generation_whole(make_server):
    """Files are swapped while programs read: who resolves the link once finds every key once, whatever is compacted."""
    server = make_server(CONFIG).start()
    history = History(server, seed=4)
    history.insert(0, lambda n: n)
    server.run("compact")
    table = server.data / "cold" / "tables" / "readings"
    counts, ended = [], threading.Event()

    def read():
        while not ended.is_set():
            counts.append(DuckDb(table.resolve()).rows_of(["count(*)", "count(DISTINCT ts)"]))

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        for n in range(5):
            history.overwrite(lambda index, n=n: two_decimals(index + n))
            server.run("compact")
        ended.set()
        for reader in readers:
            reader.result(30)
    assert len(counts) > 5 and set(map(tuple, counts)) == {((200, 200),)}


class Told(History):
    """Remembers every value that a key ever had."""

    def __init__(self, server, seed):
        super().__init__(server, seed)
        self.ever = {}

    def publish(self, readings):
        readings = list(readings)
        for device, ts, attributes in readings:
            self.ever.setdefault((f"cold/{device}", ts * 1_000_000), set()).add(attributes["value"])
        super().publish(readings)


def test_the_list_is_right_at_any_time(make_server):
    """Every 50 ms DuckDB reads the files that the list names, while they are compacted, flushed and written to: each key comes at
    most once, with a value that it had; after each `thalweg compact` they are exactly the items.
    """
    server = make_server(CONFIG + "[compactor]\nflush_interval_s = 1\n").start()
    history = Told(server, seed=5)
    history.insert(0, Decimal)
    server.run("compact")
    table = server.data / "cold" / "tables" / "readings"
    generations, ended = set(), threading.Event()

    def poll():
        polls = 0
        while not ended.wait(0.05):
            reader = ListedDuckDb(table)
            rows = reader.rows(["value"])
            keys = {(device, time) for device, time, _ in rows}
            assert len(keys) == len(rows), "a key comes more than once"
            for device, time, value in rows:
                assert value in history.ever[device, time], (device, time, value)
            generations.add(reader.source)
            polls += 1
        return polls

    with ThreadPoolExecutor(1) as pool:
        polling = pool.submit(poll)
        try:
            for n in range(6):
                history.insert(200 * (n + 1), two_decimals)
                history.overwrite(lambda index, n=n: ten_decimals(index + n))
                history.delete()
                server.run("compact")
                for reader in READERS.values():
                    check_table(reader(table), list(history.items.values()), NUMBERS, ("name", "ok"))
        finally:
            ended.set()
        assert polling.result(60) > 5
    assert len(generations) > 3
    with (table / "_current.csv").open() as listing:
        files = {row["path"]: int(row["rows"]) for row in csv.DictReader(listing)}
    assert sum(files.values()) == len(history.items)
    assert all((server.data / "cold" / path).is_file() for path in files)


def test_a_kill_during_a_compaction_changes_nothing(make_server):
    """kill -9 at random moments while files are written, put in place and removed: every answer stays, nothing is left over."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    moments = random.Random(seed)
    server = make_server(CONFIG + "[compactor]\ngrace_s = 0\n").start()
    history = History(server, seed)
    history.insert(0, two_decimals)
    history.merge(lambda n: {"late": f"late {n}"})
    for round_ in range(8):
        history.overwrite(lambda index, n=round_: ten_decimals(index + n))
        history.delete()
        with ThreadPoolExecutor(1) as pool:
            compaction = pool.submit(server.run, "compact", check=False)
            time.sleep(moments.uniform(0, 0.25))
            server.kill()
            compaction.result(60)
        server.start()
        history.check()
    history.compact()
    server.stop()
    thalweg("verify", "--data-dir", server.data)
    live = (server.data / "cold" / "tables" / "readings").resolve()
    files = {path.parent for path in server.data.glob("cold/**/*.parquet") if not path.is_symlink()}
    assert live in files and len(files) <= 2, files


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A data directory with everything in it: log, manifests, files, of a server that has stopped."""
    server = harness.Server(tmp_path_factory.mktemp("stopped") / "server", CONFIG)
    try:
        server.start()
        history = History(server, seed=2)
        history.insert(0, two_decimals)
        history.merge(lambda n: {"late": f"late {n}"})
        history.compact()
        history.insert(200, ten_decimals)
        server.stop()
    finally:
        server.close()
    return server.data


def test_verify_finds_a_good_directory_good(stopped):
    thalweg("verify", "--data-dir", stopped)


def newest(pattern):
    return lambda data: max(path for path in data.glob(pattern) if path.is_file())


DAMAGES = {
    "parquet-start": (newest("cold/generations/*/*.parquet"), lambda size: 10),
    "parquet-middle": (newest("cold/generations/*/*.parquet"), lambda size: size // 2),
    "parquet-footer": (newest("cold/generations/*/*.parquet"), lambda size: size - 40),
    "manifest": (newest("manifest/*.json"), lambda size: size // 2),
    "log": (newest("log/*.segment"), lambda size: 300),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_verify_names_what_is_damaged_and_where(damage, stopped, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(stopped, data, symlinks=True, ignore=shutil.ignore_patterns("cache"))
    find, place = DAMAGES[damage]
    path = find(data)
    content = bytearray(path.read_bytes())
    content[place(len(content))] ^= 0x04
    path.write_bytes(content)
    result = thalweg("verify", "--data-dir", data, check=False)
    assert result.returncode not in (0, 101), result
    told = result.stdout + result.stderr
    assert str(path.relative_to(data)) in told, told
    assert re.search(r"(byte|offset|row|page|line|frame)\D{0,20}\d+", told.replace(path.name, "")), told
