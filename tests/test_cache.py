"""Reads of more cold data than the cache's memory holds: memory and SSD both hit and miss, as the metrics show, and every
answer is the same.
"""

import base64
import json
import random
from decimal import Decimal

from harness import wait_for

DEVICES = 12
READINGS = 150
START_MS = 1_700_000_000_000
MEMORY_BYTES = 1 << 20
CONFIG = f"[cache]\nmemory_bytes = {MEMORY_BYTES}\nssd_bytes = {128 << 20}\n"
COUNTERS = ["memory_hits", "memory_misses", "ssd_hits", "ssd_misses"]


def load(server):
    """Readings that no compression makes small: several times the cache's memory. Answers the items by device."""
    noise = random.Random(3)
    items = {}
    with server.publisher("cache") as publisher:
        for n in range(READINGS):
            for d in range(DEVICES):
                reading = {"ts": START_MS + n, "n": n, "text": base64.b64encode(noise.randbytes(3000)).decode()}
                publisher.publish(f"cache/{d}", json.dumps(reading))
                items.setdefault(f"cache/{d}", []).append({"device_id": f"cache/{d}"} | reading)
        publisher.drain()
    return items


def counters(server):
    return {name: server.metric(f"thalweg_cache_{name}_total") for name in COUNTERS}


def read_all(server, items):
    """Asks for every device; answers how far the counters have moved."""
    before = counters(server)
    for name, expected in items.items():
        assert server.query("readings", name) == expected
    after = counters(server)
    return {name: after[name] - before[name] for name in COUNTERS}


def test_memory_and_ssd_hit_and_miss(make_server):
    server = make_server(CONFIG).start()
    items = load(server)
    assert sum(len(item["text"]) for device in items.values() for item in device) > 5 * MEMORY_BYTES
    server.run("compact")

    first = read_all(server, items)
    assert first["memory_misses"] > 0 and first["ssd_misses"] > 0, first
    # What was read is on the SSD soon after; memory is too small for it.
    moved = wait_for("hits of the SSD", lambda: (moved := read_all(server, items))["ssd_hits"] > 0 and moved)
    assert moved["memory_misses"] > 0, moved

    # One small thing, asked again and again, stays in memory.
    key = {"device_id": {"S": "cache/0"}, "ts": {"N": str(Decimal(START_MS))}}
    client = server.dynamodb()
    before = counters(server)
    for _ in range(10):
        assert client.get_item(TableName="readings", Key=key)["Item"]["n"] == {"N": "0"}
    assert counters(server)["memory_hits"] >= before["memory_hits"] + 5

    # The SSD's part outlives the process.
    server.restart()
    again = read_all(server, items)
    assert again["ssd_hits"] > 0, again


def test_without_a_cache_the_answers_are_the_same(make_server):
    server = make_server("[cache]\nmemory_bytes = 0\n").start()
    items = load(server)
    server.run("compact")
    assert read_all(server, items) == dict.fromkeys(COUNTERS, 0)


def test_without_an_ssd_the_answers_are_the_same(make_server):
    server = make_server(f"[cache]\nmemory_bytes = {MEMORY_BYTES}\nssd_bytes = 0\n").start()
    items = load(server)
    server.run("compact")
    for _ in range(2):
        moved = read_all(server, items)
        assert moved["memory_misses"] > 0 and moved["ssd_hits"] == 0, moved
