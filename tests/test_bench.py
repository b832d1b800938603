"""`thalweg bench`: every mode loads a real server, and what it says of the load is what the server has."""

import json
import socket
import time
from pathlib import Path

import pytest
from harness import Process, binary, clean_environment, thalweg, wait_for


def bench(server, *arguments):
    """Runs a mode against the server and answers what it told, none of it refused."""
    told = json.loads(server.run("--json", "bench", *arguments, "--pid", server.process.pid).stdout)
    assert told["mode"] == arguments[0] and told["failures"] == 0, told
    return told


def check(told):
    latency = told["latency_us"]
    assert 0 < latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["p99_9"] <= latency["max"]
    assert told["operations"] > 0 and told["per_second"] > 0 and told["server"]["resident_bytes_max"] > 1 << 20
    return told["operations"]


def items(server, told, table="bench"):
    """How many items of the run the table has: a run's devices are its own."""
    return sum(item["device_id"].startswith(told["devices_prefix"]) for item in server.scan(table))


@pytest.mark.parametrize("mode, each", [("put-item", 1), ("batch-write-item", 25)])
def test_every_write_is_an_item_of_its_own(server, mode, each):
    first = bench(server, mode, "--count", "40", "--warm-up", "0.1", "--connections", "4", "--devices", "10")
    second = bench(server, mode, "--seconds", "0.5", "--connections", "3")
    assert check(first) == 40 * each and first["answers"] == 40
    # The warm-up's items are there too, but not counted.
    assert items(server, first) > 40 * each
    assert items(server, second) == check(second)
    assert server.metric("thalweg_http_requests_total", operation="PutItem" if each == 1 else "BatchWriteItem") >= 40


def test_an_item_has_twelve_attributes(server):
    bench(server, "put-item", "--count", "1", "--connections", "1")
    (item,) = server.scan("bench")
    assert len(item) == 12 and item["device_id"].startswith("bench/") and item["ts"] == 1767225600000


def test_reads_find_what_was_written(server):
    written = ("--items", "500", "--devices", "20", "--connections", "4", "--count", "200")
    assert check(bench(server, "get-item", *written)) == 200
    assert check(bench(server, "get-item", *written, "--cold")) == 200
    assert check(bench(server, "query", *written)) == 200
    assert check(bench(server, "query", *written, "--span", "25")) == 200
    # More readings of a device than there are.
    assert server.run("bench", "query", *written, "--span", "26", check=False).returncode != 0


def test_updates_count_in_what_was_written(server):
    told = bench(server, "update-item", "--items", "50", "--devices", "10", "--connections", "4", "--count", "200", "--cold")
    assert check(told) == 200 and told["items"] == 50
    updated = server.metric("thalweg_http_requests_total", operation="UpdateItem", outcome="200")
    read = server.metric("thalweg_http_requests_total", operation="GetItem", outcome="200")
    # Each of the four connections does both in turn.
    assert updated + read == 200 and abs(updated - read) <= 4
    mine = [item for item in server.scan("bench") if item["device_id"].startswith(told["devices_prefix"])]
    assert len(mine) == 50 and sum(item.get("n", 0) for item in mine) == updated


def test_late_readings_come_between_those_that_are_cold(server):
    told = bench(
        server, "mqtt", "--devices", "2", "--before", "10000", "--late", "20", "--count", "2000", "--connections", "4"
    )
    assert check(told) == 2000 and told["before"] == 10000 and told["late"] == 20
    assert server.metric("thalweg_compactor_flushes_total") > 0
    times = [int(item["ts"]) % 1000 for item in server.scan("readings")]
    assert len(times) == 12_000
    # Late are some of those after the first hour of both devices.
    assert 0.15 < times.count(500) / (12_000 - 7200) < 0.25


def test_a_memtable_alone():
    told = json.loads(thalweg("--json", "bench", "memtable", "--items", "20000").stdout)
    assert told["items"] == 20_000 and told["per_second"] > 1000
    assert told["bytes_per_item"] > told["image_bytes_per_item"] > 50


@pytest.mark.parametrize("qos", [0, 1])
def test_every_published_reading_is_stored(server, qos):
    told = bench(server, "mqtt", "--qos", qos, "--seconds", "0.5", "--connections", "4", "--in-flight", "10")
    assert told["operations"] == items(server, told, "readings") > 100
    if qos == 1:
        check(told)


def test_subscribers_of_a_broker_are_told_of_everything(mosquitto):
    told = thalweg("--json", "bench", "mqtt", "--mqtt", f"127.0.0.1:{mosquitto.port}", "--seconds", "0.5",
                   "--connections", "4", "--subscribers", "2", "--pid", mosquitto.process.pid)  # fmt: skip
    told = json.loads(told.stdout)
    assert check(told) > 100 and told["subscribers"]["listeners"] == 2 and told["subscribers"]["lag_us"]["p50"] > 0


def test_followers_are_told_of_everything(server):
    told = bench(server, "followers", "--followers", "3", "--connections", "2", "--rate", "300", "--seconds", "0.5")
    assert check(told) == 150 == items(server, told)
    assert told["followers"]["listeners"] == 3 and told["followers"]["lag_us"]["p50"] > 0


def test_an_open_loop_keeps_its_rate(server):
    told = bench(server, "put-item", "--rate", "200", "--seconds", "1", "--connections", "8")
    assert check(told) == 200 and told["seconds"] > 0.99
    assert told["generator_late_us"]["max"] > 0


def test_a_stall_is_charged_to_every_request_that_it_delays(server):
    """A closed loop would see one slow request; an open loop sees all that should have been sent meanwhile."""
    import signal
    import threading

    def stall():
        wait_for("the run", lambda: server.has_table("bench") and server.dynamodb().scan(TableName="bench")["Count"] > 0)
        server.process.process.send_signal(signal.SIGSTOP)
        time.sleep(0.5)  # The stall itself.
        server.process.process.send_signal(signal.SIGCONT)

    stalling = threading.Thread(target=stall)
    stalling.start()
    told = bench(server, "put-item", "--rate", "500", "--seconds", "3", "--connections", "2")
    stalling.join()
    assert check(told) == 1500
    # Half a second of 3 s: every sixth request was due in it.
    assert told["latency_us"]["p90"] > 100_000


def test_on_its_own_server(tmp_path):
    told = json.loads(thalweg("--json", "bench", "put-item", "--seconds", "0.5", "--dir", tmp_path).stdout)
    assert check(told) > 10 and told["server"]["cpu_us_per_operation"] > 0
    assert not list(tmp_path.iterdir()), "it leaves nothing behind"


def test_stopping_it_leaves_nothing_behind(tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    process = Process([binary(), "bench", "put-item", "--dir", own], tmp_path / "log", env=clean_environment())
    wait_for("its server's data", lambda: list(own.glob("*/data/log")))
    assert process.terminate() == 1 and "stopped" in process.said()
    assert not list(own.iterdir())


def test_the_disk_and_the_log(tmp_path):
    told = thalweg("--json", "bench", "disk", "--bytes", "4096,40000", "--seconds", "0.2", "--log", "--dir", tmp_path)
    rows = json.loads(told.stdout)["writes"]
    assert {row["bytes"] for row in rows} == {4096, 40000}
    assert {"append_fdatasync", "overwrite_fdatasync", "thalweg_log"} <= {row["kind"] for row in rows}
    assert all(row["writes"] > 0 and row["mb_per_second"] > 0 for row in rows)
    assert not list(Path(tmp_path).iterdir())


def test_nobody_there_is_an_error():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{probe.getsockname()[1]}"
        result = thalweg("bench", "put-item", "--http", nobody, "--seconds", "0.1", check=False)
    assert result.returncode != 0 and nobody in result.stderr
