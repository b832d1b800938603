"""Every metric stands in a table `METRICS` of its crate, is in docs/metrics.md, and is served at /metrics with the type and
labels that are told there; and nothing else is served.
"""

import json
import re
import socket
import subprocess

import pytest
from harness import PATIENCE_S, ROOT, binary, thalweg, wait_for

CRATES = sorted(path.parent.name for path in ROOT.glob("*/Cargo.toml"))
NAME = re.compile(r'Metric::\w+\(\s*"((?:thalweg|process)_\w+)"')
TABLE = re.compile(r"pub(?:\(crate\))? const METRICS\b.*?=\s*&?\[(.*?)\];", re.DOTALL)
EMITTED = re.compile(r'(?:counter|gauge|histogram)!\(\s*"(thalweg_\w+)"')
CONSTANT = re.compile(r'const (\w+): &str = "((?:thalweg|process)_\w+)";')
SAMPLE = re.compile(r"(\w+)(?:\{(.*)\})? \S+")
LABEL = re.compile(r'(\w+)="(?:[^"\\]|\\.)*"')


def names_of(crate):
    """The names in the tables, and those that are emitted, straight or as a constant."""
    listed, named = set(), set()
    for path in (ROOT / crate / "src").rglob("*.rs"):
        if path.name == "tests.rs" or "tests" in path.relative_to(ROOT / crate / "src").parts:
            continue
        source = path.read_text()
        constants = dict(CONSTANT.findall(source))
        for table in TABLE.findall(source):
            listed |= set(NAME.findall(table))
            listed |= {constants[name] for name in re.findall(r"Metric::\w+\(\s*([A-Z_]+),", table)}
        named |= set(EMITTED.findall(source)) | set(constants.values())
        # Gauges that are set from a list.
        named |= set(re.findall(r'\("(thalweg_\w+)", .* as f64\)', source))
    return listed, named


@pytest.mark.parametrize("crate", CRATES)
def test_every_metric_is_listed(crate):
    listed, named = names_of(crate)
    assert named == listed


def test_the_tables_are_found():
    assert "thalweg_disk_sync_seconds" in names_of("store")[0]
    assert "thalweg_http_requests_total" in names_of("api")[0]


CONFIG = """
[store]
segment_bytes = 65536
memtable_bytes_max = 65536
[compactor]
flush_interval_s = 1
[log]
retention_bytes = 65536
[ingest.quarantine]
entries_max = 100
"""


def work(server):
    """Something of everything."""
    with server.publisher() as publisher:
        for number in range(300):
            publisher.publish("d", {"ts": 1_700_000_000_000 + number, "n": number, "text": "x" * 500})
        publisher.publish("d", "{")
        publisher.drain()
    with socket.create_connection(("127.0.0.1", server.mqtt_port), PATIENCE_S) as stranger:
        stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert stranger.recv(100) == b""
    dynamodb = server.dynamodb()
    server.run("compact")
    key = {"device_id": {"S": "d"}, "ts": {"N": "1700000000007"}}
    assert dynamodb.get_item(TableName="readings", Key=key)["Item"]["n"] == {"N": "7"}
    tail = subprocess.Popen(
        [binary(), "tail", "readings", "--limit", "1", "--http", f"127.0.0.1:{server.http_port}"], stdout=subprocess.PIPE
    )
    wait_for("the follower", lambda: server.metric("thalweg_streams_followers") == 1)
    # Another one: that one is in the row cache.
    dynamodb.update_item(
        TableName="readings", Key=key | {"ts": {"N": "1700000000009"}}, UpdateExpression="SET n = n + :one", ExpressionAttributeValues={":one": {"N": "1"}}
    )
    dynamodb.update_table(
        TableName="readings",
        AttributeDefinitions=[{"AttributeName": "n", "AttributeType": "N"}],
        GlobalSecondaryIndexUpdates=[
            {
                "Create": {
                    "IndexName": "by_n",
                    "KeySchema": [{"AttributeName": "n", "KeyType": "HASH"}],
                    "Projection": {"ProjectionType": "KEYS_ONLY"},
                }
            }
        ],
    )
    wait_for("the index", lambda: server.metric("thalweg_compactor_filled_entries_total") > 0)
    assert json.loads(tail.communicate(timeout=PATIENCE_S)[0])


def served(server):
    """Of each metric its type and the names of its labels."""
    types, labels = {}, {}
    for line in server.get("/metrics").decode().splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            types[name] = kind
        elif line and not line.startswith("#"):
            name, inside = SAMPLE.fullmatch(line).groups()
            base = re.sub(r"_(bucket|sum|count)$", "", name)
            base = base if base in types else name
            labels.setdefault(base, set()).update(set(LABEL.findall(inside or "")) - {"le"})
    return types, labels


def test_what_is_served_is_what_is_listed(make_server):
    server = make_server(CONFIG).start()
    work(server)
    listed = {metric["name"]: metric for metric in json.loads(thalweg("metrics", "--json").stdout)}
    types, labels = served(server)
    assert set(types) == set(listed)
    for name, metric in listed.items():
        assert types[name] == metric["type"], name
        assert labels[name] == set(metric["labels"]), name
        assert not name.startswith("thalweg_") or (metric["type"] == "counter") == name.endswith("_total")


def test_the_page_in_the_docs_is_what_the_program_prints():
    assert (ROOT / "docs" / "metrics.md").read_text() == thalweg("metrics").stdout


def test_what_an_operator_looks_at_moves(make_server):
    server = make_server(CONFIG).start()
    work(server)
    metrics = server.metrics()
    for name in [
        "thalweg_log_appends_total",
        "thalweg_log_archived_segments_total",
        "thalweg_log_trimmed_segments_total",
        "thalweg_planner_events_total",
        "thalweg_store_flushed",
        "thalweg_compactor_flushes_total",
        "thalweg_compactor_generation_bytes",
        "process_resident_memory_bytes",
        "process_cpu_seconds_total",
        "process_open_fds",
        "process_threads",
        'thalweg_planner_lookups_total{found="high_key"}',
        'thalweg_planner_lookups_total{found="parked"}',
        'thalweg_ingest_quarantined_total{kind="malformed"}',
        'thalweg_entrance_messages_total{entrance="mqtt"}',
        'thalweg_entrance_batch_seconds_count{entrance="mqtt"}',
        'thalweg_disk_sync_seconds_count{area="log"}',
        'thalweg_disk_sync_seconds_count{area="archive"}',
        'thalweg_compactor_job_seconds_count{job="merge"}',
        "thalweg_streams_follower_lag_seconds_count",
    ]:
        assert metrics[name] > 0, name
    assert metrics["thalweg_log_tail"] >= metrics["thalweg_store_applied"] > metrics["thalweg_log_trim_point"]
    # Every sync of a frame is seen by the disk.
    assert metrics['thalweg_disk_sync_seconds_count{area="log"}'] >= metrics["thalweg_log_appends_total"]
