"""`thalweg demo`: on a server of its own, and on one that runs."""

import json
import socket
from pathlib import Path

from harness import binary, thalweg


def seconds(result):
    first, *rest = [json.loads(line) for line in result.stdout.splitlines()]
    return first, rest


def check(shown):
    last = shown[-1]
    assert last["acknowledged"] > 100 and last["told"] > 100 and last["failure"] is None
    assert len(last["last"]) == 20
    assert all({"speed", "fuel", "position"} <= set(item) for item in last["last"].values())
    assert last["puback_ms"]["p50"] > 0 and last["lag_ms"]["p50"] > 0


def test_on_its_own_server():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{probe.getsockname()[1]}"
        result = thalweg("demo", "--seconds", "4", "--json", "--http", nobody)
    first, shown = seconds(result)
    assert first["own_server"] and len(shown) == 4
    check(shown)
    # It leaves nothing behind.
    assert not Path(first["data"]).exists()


def test_on_a_running_server(server):
    first, shown = seconds(server.run("demo", "--seconds", "4", "--json"))
    assert not first["own_server"] and first["data"] == str(server.data)
    check(shown)
    items = server.scan("demo_readings")
    assert len(items) >= shown[-1]["acknowledged"]
    # A reading more or less is under way when the fleet stops.
    assert len(server.changes("demo_readings")) == len(items)


def test_what_it_says_to_try_works(server):
    told = server.run("demo", "--seconds", "2").stdout
    assert f"AWS_ENDPOINT_URL={server.url}" in told
    assert f"mqtt 127.0.0.1:{server.mqtt_port}" in told
    assert f"THALWEG_HTTP=127.0.0.1:{server.http_port}" in told
    assert f"{binary().resolve()} tail demo_readings" in told
    assert "published" in told and "acknowledged" in told
