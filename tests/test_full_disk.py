"""A disk that is full: writes are refused, reads go on, nothing acknowledged is lost, and when there is room again all goes on.

With the reserve, which is the default, and without it, when only the disk says that it is full.
"""

import json
import random
import socket
import threading
import time
import urllib.error
from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from harness import PATIENCE_S, binary, wait_for
from small_disk import KINDS, SmallDisk

CONFIG = """
[store]
segment_bytes = 4194304
memtable_bytes_max = 2097152
[compactor]
flush_interval_s = 3600
grace_s = 1
[cache]
memory_bytes = 8388608
ssd_bytes = 0
"""
NO_RESERVE = "[disk]\nlow_percent = 0\nreserve_bytes = 0\n"
# A flush, a segment, manifests.
RESERVE_BYTES = 2097152 + 4194304 + 1048576
# Of each reading; random, so that no compression makes room.
FILLER_BYTES = 16_000


@pytest.fixture(params=KINDS)
def disk(request, tmp_path):
    disk = SmallDisk(tmp_path / "disk", request.param, 64)
    yield disk
    disk.close()


REFUSALS = ("ThrottlingException", "InternalServerError", "ServiceUnavailableException")
SCHEMA = {
    "KeySchema": [{"AttributeName": "k", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "k", "AttributeType": "S"}],
    "BillingMode": "PAY_PER_REQUEST",
}


@pytest.fixture(params=[CONFIG, CONFIG + NO_RESERVE], ids=["reserve", "no-reserve"])
def config(request):
    return request.param


@pytest.fixture
def server(make_server, disk, config):
    """A server on a disk part of whose room a ballast file takes."""
    disk.run("dd", "if=/dev/zero", f"of={disk.directory}/ballast", "bs=1M", "count=24", "status=none")
    server = make_server(config, prefix=disk.prefix, mqtt=False)
    server.data = disk.directory / "data"
    server.start()
    client(server).create_table(TableName="readings", **SCHEMA)
    return server


def client(server):
    """One that tells every error instead of trying again."""
    return boto3.client("dynamodb", **server.sdk() | {"config": Config(retries={"max_attempts": 0}, read_timeout=PATIENCE_S)})


def put(dynamodb, number):
    filler = random.Random(number).randbytes(FILLER_BYTES)
    dynamodb.put_item(TableName="readings", Item={"k": {"S": str(number)}, "filler": {"B": filler}})


def fill(server, for_s=0.0):
    """Writes until it is refused and stays full, for so long at least, eight at a time; answers what was acknowledged."""
    acknowledged, full = [], threading.Event()
    numbers = iter(range(1_000_000))

    def write():
        dynamodb = client(server)
        while not full.is_set():
            number = next(numbers)
            try:
                put(dynamodb, number)
                acknowledged.append(number)
            except ClientError as error:
                assert error.response["Error"]["Code"] in REFUSALS, error
                assert error.response["Error"]["Message"]
                full.set()

    while True:
        full.clear()
        with ThreadPoolExecutor(8) as pool:
            for done in [pool.submit(write) for _ in range(8)]:
                done.result()
        # A merge, or the end of what readers were left with, may make room again.
        deadline = time.monotonic() + for_s
        while not (has_room := ready(server)[0]) and time.monotonic() < deadline:
            time.sleep(0.05)  # Nothing must happen.
        if not has_room:
            assert len(acknowledged) > 100
            return acknowledged


def ready(server):
    """Is it ready, and what it says."""
    try:
        return True, json.loads(server.get("/health/ready"))
    except urllib.error.HTTPError as error:
        assert error.code == 503
        return False, json.load(error)


def missing(server, acknowledged):
    """What was acknowledged and is not there as it was written."""
    stored = {item["k"]: bytes(item["filler"]) for item in server.scan("readings")}
    return [
        number for number in acknowledged if stored.get(str(number)) != random.Random(number).randbytes(FILLER_BYTES)
    ]


def test_room_made_while_it_runs(server, disk):
    acknowledged = fill(server)
    is_ready, told = ready(server)
    assert not is_ready and told["cause"]
    assert missing(server, acknowledged) == [], "reads go on"
    disk.run("rm", disk.directory / "ballast")

    def goes_on():
        try:
            put(client(server), 2_000_000)
            return True
        except ClientError:
            return False

    wait_for("writes to go on", goes_on)
    wait_for("readiness", lambda: ready(server)[0])
    acknowledged.append(2_000_000)
    assert missing(server, acknowledged) == []
    assert server.process.terminate() == 0
    disk.run(binary(), "verify", "--data-dir", server.data)


@pytest.mark.parametrize("config", [CONFIG], ids=["reserve"], indirect=True)
def test_the_reserve_is_left_and_used_for_removals(server, disk):
    acknowledged = fill(server, for_s=5)
    is_ready, told = ready(server)
    assert not is_ready and "the disk is full" in told["cause"] and str(RESERVE_BYTES) in told["cause"], told
    status = json.loads(server.run("status", "--json").stdout)
    assert status["writes"].startswith("refused: the disk is full") and status["disk"]["room"] == "full", status
    assert server.metric("thalweg_disk_room") == 2
    assert server.metric("thalweg_compactor_early_trims_total") > 0, "the log has gone before writes were refused"
    assert server.metric("thalweg_log_trim_point") > 1
    with pytest.raises(ClientError) as refused:
        put(client(server), 3_000_000)
    assert refused.value.response["Error"]["Code"] == "ServiceUnavailableException"
    assert "in reserve" in refused.value.response["Error"]["Message"]
    with pytest.raises(ClientError):
        client(server).create_table(TableName="another", **SCHEMA)
    # What removes is taken, and becomes durable.
    for number in acknowledged[:20]:
        client(server).delete_item(TableName="readings", Key={"k": {"S": str(number)}})
    assert missing(server, acknowledged[20:]) == []
    assert server.metric("thalweg_disk_free_bytes") > RESERVE_BYTES / 4
    # Sealed and flushed within the reserve.
    flushes = server.metric("thalweg_compactor_flushes_total")
    client(server).delete_table(TableName="readings")
    wait_for("the files of the table to go", lambda: (server.post("/admin/compact"), server.metric("thalweg_disk_room") < 2)[1])
    assert server.metric("thalweg_compactor_flushes_total") > flushes
    client(server).create_table(TableName="readings", **SCHEMA)
    put(client(server), 3_000_000)
    assert missing(server, [3_000_000]) == []
    assert ready(server)[0]
    assert server.process.terminate() == 0
    disk.run(binary(), "verify", "--data-dir", server.data)


@pytest.fixture
def listening(make_server, disk):
    """A server with MQTT whose disk `crowd` makes full at once."""
    disk.run("dd", "if=/dev/zero", f"of={disk.directory}/ballast", "bs=1M", "count=24", "status=none")
    # More than there is.
    server = make_server(CONFIG + f"[disk]\nreserve_bytes = {32 << 20}\n", prefix=disk.prefix)
    server.data = disk.directory / "data"
    return server.start()


def crowd(server, disk):
    disk.run("dd", "if=/dev/zero", f"of={disk.directory}/more", "bs=1M", "count=6", "status=none")
    wait_for("the disk to be full", lambda: not ready(server)[0])


def reading(number):
    return {"ts": 1_700_000_000_000 + number, "n": number}


@pytest.mark.parametrize("disk", ["tmpfs"], indirect=True)
def test_publishers_wait_for_room(listening, disk):
    server = listening
    with server.publisher() as publisher:
        publisher.publish("d", reading(1))
        publisher.drain()
        crowd(server, disk)
        for number in range(2, 200):
            publisher.publish("d", reading(number))
        wait_for("the messages", lambda: server.metric("thalweg_entrance_messages_total") > 1)
        assert len(publisher.ledger()) == 1 and not publisher.disconnects, "neither acknowledged nor sent away"
        disk.run("rm", disk.directory / "ballast")
        publisher.drain()
        assert not publisher.disconnects
    assert sorted(item["n"] for item in server.scan("readings")) == list(range(1, 200))


@pytest.mark.parametrize("disk", ["tmpfs"], indirect=True)
def test_a_publisher_that_left_a_full_disk_comes_back(listening, disk):
    server = listening
    with server.publisher() as publisher:
        publisher.publish("d", reading(0))
        publisher.drain()
    crowd(server, disk)
    messages = server.metric("thalweg_entrance_messages_total")
    leaver = server.publisher("leaver", reconnect=False).connect()
    # More than one batch: what follows waits behind the first.
    for number in range(1, 100):
        leaver.publish("d", reading(number))
    wait_for("the messages", lambda: server.metric("thalweg_entrance_messages_total") > messages)
    # Without a DISCONNECT, as when the network goes.
    leaver.client.socket().shutdown(socket.SHUT_RDWR)
    wait_for("the end of the connection", lambda: leaver.disconnects)
    assert leaver.ledger() == [], "nothing was acknowledged that had no room"
    again = server.publisher("leaver").connect()
    disk.run("rm", disk.directory / "ballast")
    for number in range(1, 100):
        again.publish("d", reading(number))
    again.drain()
    assert not again.disconnects
    again.close()
    assert sorted(item["n"] for item in server.scan("readings")) == list(range(100)), "each once"


@pytest.mark.parametrize("disk", ["tmpfs"], indirect=True)
def test_a_server_that_stops_on_a_full_disk_keeps_what_it_acknowledged(listening, disk):
    server = listening
    publisher = server.publisher("stopped", reconnect=False).connect()
    publisher.publish("d", reading(0), ledger=0)
    publisher.drain()
    crowd(server, disk)
    for number in range(1, 100):
        publisher.publish("d", reading(number), ledger=number)
    wait_for("the messages", lambda: server.metric("thalweg_entrance_messages_total") > 1)
    assert server.process.terminate() == 0
    wait_for("the publisher to be sent away", lambda: publisher.disconnects)
    acknowledged = set(publisher.ledger())
    assert acknowledged == {0}
    disk.run("rm", disk.directory / "ballast")
    server.start()
    stored = {int(item["n"]) for item in server.scan("readings")}
    assert acknowledged <= stored
    with server.publisher("stopped") as publisher:
        for number in sorted(set(range(100)) - acknowledged):
            publisher.publish("d", reading(number))
        publisher.drain()
    assert sorted(item["n"] for item in server.scan("readings")) == list(range(100))


def test_stopped_and_started_again_with_more_room(server, disk):
    acknowledged = fill(server)
    began = time.monotonic()
    assert server.process.terminate() == 0
    # What is under way may take five seconds in each of three parts; then it is given up.
    assert time.monotonic() - began < 25
    disk.run("rm", disk.directory / "ballast")
    server.start()
    assert missing(server, acknowledged) == []
    put(client(server), 2_000_000)
    assert missing(server, [*acknowledged, 2_000_000]) == []
    assert ready(server)[0]
