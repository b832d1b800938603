"""`memory_limit`: one bound on memory, told, checked, and kept under load."""

import json

import pytest
from harness import thalweg, wait_for

LIMIT = 128 << 20


def test_what_is_configured_must_fit_the_limit(tmp_path):
    config = tmp_path / "thalweg.toml"
    config.write_text('memory_limit = "256MiB"\n[store]\nmemtable_bytes_max = 67108864\n')
    refused = thalweg("config", "check", "--config", config, check=False)
    assert refused.returncode != 0
    assert "store.memtable_bytes_max = 67108864" in refused.stderr and "memory_limit = 268435456" in refused.stderr
    memory = json.loads(thalweg("config", "check", "--json", "--config", config, "--memory-limit", "1GiB").stdout)["memory"]
    assert memory["memory_limit"] == 1 << 30 and memory["memtables"] == 5 * 67108864 + 33554432
    parts = sum(size for part, size in memory.items() if part not in ("memory_limit", "memtable_set"))
    assert parts == 1 << 30, memory


@pytest.mark.parametrize(
    "load",
    [
        ["batch-write-item", "--devices", 100_000, "--count", 4000, "--connections", 16],
        ["mqtt", "--devices", 100_000, "--count", 100_000, "--connections", 16, "--in-flight", 200],
    ],
    ids=["batches", "publishers"],
)
def test_a_load_of_many_devices_stays_within_the_limit(make_server, load):
    server = make_server(f"memory_limit = {LIMIT}\n", mqtt="mqtt" in load).start()
    addresses = ["--mqtt", f"127.0.0.1:{server.mqtt_port}"] if "mqtt" in load else []
    command = ["--json", "bench", *load, *addresses, "--warm-up", 0.01, "--pid", server.process.pid]
    told = json.loads(server.run(*command).stdout)
    assert told["failures"] == 0 and told["operations"] == 100_000, told
    # It was more than memory has room for: most of it is in files by now.
    wait_for("a flush", lambda: server.metric("thalweg_compactor_flushed_rows_total") > 50_000)
    status = f"/proc/{server.process.pid}/status"
    peak = next(int(line.split()[1]) << 10 for line in open(status) if line.startswith("VmHWM"))
    assert peak <= LIMIT, f"{peak >> 20} MiB"
    metrics = server.metrics()
    for part in ("files", "high_keys", "recent_frames"):
        assert f"thalweg_memory_{part}_bytes" in metrics
    assert server.metric("thalweg_memory_limit_bytes") == LIMIT
