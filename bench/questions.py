"""What is asked, and of whom: each question is one load of `thalweg bench`."""

import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import changes
import filling
import fleet
import history
import peers
import recovery

# About what one sync carries of 32 connections that put.
PUT_SYNC_BYTES = 8192
# Bytes of 256, 4096 and 16384 events of 150 bytes: what one sync carries, from a trickle to a flood.
LOG_BYTES = [256 * 150, 4096 * 150, 16384 * 150]
# What has not ended by then never will.
TIMEOUT_S = 900
LONG_TIMEOUT_S = 7200
# Of an item of 12 attributes.
ITEM_BYTES = 300


@dataclass(frozen=True)
class Setting:
    """How everything is asked in this run."""

    binary: Path
    seconds: float
    directory: Path
    items: int
    rows: int
    tail_bytes: int


@dataclass(frozen=True)
class Question:
    """A load, and who is given it."""

    name: str
    title: str
    contenders: list
    command: list
    # What only some are given besides.
    besides: dict = field(default_factory=dict)
    # Takes minutes: asked only if wanted, and then once.
    long: bool = False
    # Asked of as many items as the run says.
    scaled: bool = False

    def measure(self, setting, contender, server):
        if server.ask:
            return server.ask(self.name, setting.seconds)
        command = [setting.binary, "--json", "bench", *self.command, *self.besides.get(contender.name, [])]
        if self.command[0] == "disk":
            # Four sizes, three or four kinds of write.
            command += ["--dir", setting.directory, "--seconds", setting.seconds / 4]
            return run(command, TIMEOUT_S)
        command += ["--items", setting.items] if self.scaled else []
        command += ["--pid", server.pid]
        command += ["--http", server.http] if server.http else []
        command += ["--mqtt", server.mqtt] if server.mqtt else []
        command += [] if self.long else ["--seconds", setting.seconds, "--warm-up", 0.5]
        return run(command, LONG_TIMEOUT_S if self.long else TIMEOUT_S)


@dataclass(frozen=True)
class Import(Question):
    """Rows into a table with cold data."""

    at_random: bool = False

    def measure(self, setting, contender, server):
        return history.measure(setting, server, self.at_random)


@dataclass(frozen=True)
class Recovery(Question):
    """An open with much to replay."""

    def measure(self, setting, contender, server):
        return recovery.measure(setting, contender, server.directory)


@dataclass(frozen=True)
class Filling(Question):
    """An index that is added to a table."""

    projection: str = "ALL"

    def measure(self, setting, contender, server):
        return filling.measure(setting, server, self.projection)


@dataclass(frozen=True)
class Changes(Question):
    """All changes of a table, read by one reader; and as large messages of a peer."""

    def measure(self, setting, contender, server):
        return server.ask(self.name, setting) if server.ask else changes.records(setting, server)


@dataclass(frozen=True)
class Streamed(Question):
    """Writes to a table that has a stream, or none."""

    stream: bool = False

    def measure(self, setting, contender, server):
        return changes.ingest(setting, server, self.stream)


@dataclass(frozen=True)
class Written(Question):
    """A load, and all that the server wrote to the device for it."""

    def measure(self, setting, contender, server):
        told = super().measure(setting, contender, server)
        counted = recovery.metrics(server)
        parquet = counted["thalweg_compactor_flushed_bytes_total"] + counted["thalweg_compactor_merged_bytes_total"]
        return told | {
            "device_bytes": counted["process_written_bytes_total"],
            "log_bytes": counted["thalweg_log_bytes_total"],
            "parquet_bytes": parquet,
        }


def run(command, timeout):
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=timeout)
    if result.returncode != 0:
        raise peers.Broken((result.stderr or result.stdout).strip()[-300:])
    return json.loads(result.stdout)


SIZES = ",".join(str(size) for size in [PUT_SYNC_BYTES, *LOG_BYTES])
DYNAMODB = ["thalweg", "dynoxide", "dynalite"]
# Few, because they are written first, and a peer takes long for that.
READ = ["--items", 2000, "--devices", 100]
# Of those that write fast.
READ_MANY = ["--items", fleet.ITEMS, "--devices", fleet.DEVICES]
# More than an hour of each device is in Parquet files when the load begins.
HOURS = ["mqtt", "--qos", 1, "--connections", 64, "--in-flight", 20, "--devices", 100, "--before", 720_000]
SERIES = ["thalweg", "postgresql", "influxdb"]

ALL = [
    Question("disk", "write and sync", ["disk"], ["disk", "--log", "--bytes", SIZES]),
    Question("put", "PutItem, 32 connections", DYNAMODB, ["put-item", "--connections", 32]),
    Question("get", "GetItem of hot items, 32 connections", DYNAMODB, ["get-item", "--connections", 32, *READ]),
    Question("get1", "GetItem of hot items, 1 connection", DYNAMODB, ["get-item", "--connections", 1, *READ]),
    Question(
        "batch", "BatchWriteItem of 25, 32 connections", ["thalweg", "dynoxide-memory", "dynalite"],
        ["batch-write-item", "--connections", 32],
    ),
    Question(
        "mqtt", "MQTT QoS 1, 64 publishers x 20 in flight", ["thalweg", "mosquitto"],
        ["mqtt", "--qos", 1, "--connections", 64, "--in-flight", 20], {"mosquitto": ["--subscribers", 1]},
    ),
    Question(
        "mqtt0", "MQTT QoS 0, 64 publishers", ["thalweg", "mosquitto"],
        ["mqtt", "--qos", 0, "--connections", 64], {"mosquitto": ["--subscribers", 1]},
    ),
    Question(
        "last", "last reading of a device, 1 connection", SERIES, ["query", "--newest", 1, "--connections", 1, *READ_MANY]
    ),
    Question(
        "span", f"{fleet.SPAN} readings of a device in a row, 1 connection", SERIES,
        ["query", "--span", fleet.SPAN, "--connections", 1, *READ_MANY],
    ),
    Question(
        "open", "PutItem at 2000 a second, open loop", ["thalweg", "dynalite"],
        ["put-item", "--rate", 2000, "--connections", 64],
    ),
    Question(
        "followers", "10 followers of 2000 PutItem a second", ["thalweg"],
        ["followers", "--followers", 10, "--rate", 2000, "--connections", 32],
    ),
    Question(
        "memory", "10 M readings of 1 M devices", ["thalweg-1gib"],
        ["batch-write-item", "--devices", 1_000_000, "--count", 400_000, "--connections", 32], long=True,
    ),
    Question("intime", "MQTT QoS 1 in order, two hours of the same devices being cold", ["thalweg"], HOURS),
    Question("late", "the same, 20 % of it an hour late", ["thalweg"], [*HOURS, "--late", 20]),
    Import("import", "import of a year in order, as much of it being cold", ["thalweg"], []),
    Import("shuffled", "the same at random", ["thalweg"], [], at_random=True),
    Filling("fill", "an index of keys only for items in Parquet files", ["thalweg"], [], projection="KEYS_ONLY"),
    Changes("changes", "GetRecords and fetches, 1000 at a time, 1 connection", ["thalweg", "jetstream"], []),
    Streamed("plain", "BatchWriteItem of 25 to a table without a stream", ["thalweg"], []),
    Streamed("streamed", "the same to a table with one", ["thalweg"], [], stream=True),
    Question(
        "keys", "UpdateItem under a condition and GetItem, 10 times the memory, 32 connections", ["thalweg-small", "dynalite"],
        ["update-item", "--connections", 32, "--devices", 1000, "--cold"], scaled=True,
    ),
    Recovery("recovery", "an open with a long log to replay", ["thalweg"], [], long=True),
    # As much log as several segments, so that those that are made once do not count for much.
    Written(
        "written", "device writes of 4 M items in order", ["thalweg"],
        ["batch-write-item", "--count", 160_000, "--connections", 32], long=True,
    ),
]  # fmt: skip
