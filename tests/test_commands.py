"""Commands that ask a running server: tail, status, compact, quarantine."""

import json
import signal
import subprocess
import threading
import urllib.error

import pytest
from harness import PATIENCE_S, Process, binary, clean_environment, thalweg, wait_for

START_MS = 1_700_000_000_000


class Tail:
    """A running `thalweg tail`, its lines collected by a thread."""

    def __init__(self, server, *arguments):
        self.process = Process(
            [binary(), "tail", *arguments],
            server.directory / "tail.log",
            env=clean_environment() | {"THALWEG_HTTP": f"127.0.0.1:{server.http_port}"},
        )
        self.lines = []
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        for line in self.process.process.stdout:
            self.lines.append(json.loads(line))

    def values(self):
        return [int(line["dynamodb"]["NewImage"]["n"]["N"]) for line in self.lines]

    def wait(self, count):
        wait_for(f"{count} lines", lambda: len(self.lines) >= count)
        return self

    def end(self):
        assert self.process.running()
        self.process.process.terminate()
        assert self.process.process.wait(10) == 0
        self.thread.join(10)


def publish(server, numbers):
    with server.publisher() as publisher:
        for number in numbers:
            publisher.publish("d", {"ts": START_MS + number, "n": number})
        publisher.drain()


def test_tail_tells_every_change_from_anywhere(server):
    publish(server, range(10))
    all_of_them = Tail(server, "readings", "--from", "trim-horizon").wait(10)
    latest = Tail(server, "readings")
    wait_for("the follower", lambda: server.metric("thalweg_streams_followers") == 2)
    publish(server, range(10, 20))
    assert all_of_them.wait(20).values() == list(range(20))
    assert latest.wait(10).values() == list(range(10, 20))
    behind = Tail(server, "readings", "--from", all_of_them.lines[4]["position"]).wait(15)
    assert behind.values() == list(range(5, 20))
    since_time = Tail(server, "readings", "--from", "2020-01-01T00:00:00Z").wait(20)
    assert since_time.values() == list(range(20))
    for tail in [all_of_them, latest, behind, since_time]:
        tail.end()
    assert len(all_of_them.lines) == 20


def test_tail_goes_on_behind_its_position_after_a_restart(server):
    publish(server, range(5))
    tail = Tail(server, "readings", "--from", "trim-horizon").wait(5)
    tail.end()
    server.kill()
    server.start()
    publish(server, range(5, 8))
    again = Tail(server, "readings", "--from", tail.lines[-1]["position"]).wait(3)
    assert again.values() == [5, 6, 7]
    again.end()


def test_tail_ends_with_its_reader_or_at_its_limit(server):
    # `head` had seen its lines and gone, and tail waited for a change that never came to find that out.
    publish(server, range(3))
    command = f"{binary()} tail readings --from trim-horizon | head -3"
    environment = clean_environment() | {"THALWEG_HTTP": f"127.0.0.1:{server.http_port}"}
    seen = subprocess.run(["sh", "-c", command], env=environment, capture_output=True, text=True, timeout=PATIENCE_S)
    assert len(seen.stdout.splitlines()) == 3 and seen.stderr == ""
    limited = server.run("tail", "readings", "--from", "2020-01-01", "--limit", "2").stdout
    assert len(limited.splitlines()) == 2


def test_tail_of_what_is_not_there(server):
    result = server.run("tail", "nothing", check=False)
    assert result.returncode == 1 and "no table `nothing`" in result.stderr and "HTTP" not in result.stderr
    publish(server, [0])
    server.dynamodb().update_table(TableName="readings", StreamSpecification={"StreamEnabled": False})
    result = server.run("tail", "readings", check=False)
    assert result.returncode == 1 and "`readings` is off" in result.stderr and "HTTP" not in result.stderr
    server.dynamodb().update_table(
        TableName="readings",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )
    publish(server, [1])
    result = server.run("tail", "readings", "--from", "yesterday", check=False)
    assert result.returncode == 1 and "RFC 3339" in result.stderr


def test_status(server):
    publish(server, range(10))
    status = json.loads(server.run("status", "--json").stdout)
    assert status["data_directory"] == str(server.data)
    assert status["mqtt"] == f"127.0.0.1:{server.mqtt_port}"
    assert "readings" in json.dumps(status)
    assert status["writes"] == "taken"
    assert status["memory"]["resident"] > status["memory"]["memtables"] > 0 == status["memory"]["sealed"]
    assert status["log"]["tail"] == status["log"]["applied"] > status["log"]["trim_point"] > 0
    assert {"sealed_memtables", "runs", "run_bytes", "oldest_run_seconds"} <= set(status["cold"])
    assert "readings" in server.run("status").stdout


def test_compact_returns_when_everything_is_in_files(server):
    publish(server, range(100))
    written = json.loads(server.run("compact", "--json").stdout)
    assert "readings" in json.dumps(written) and "100" in json.dumps(written)
    import duckdb

    found = duckdb.sql(f"SELECT count(*), sum(n) FROM '{server.data}/cold/tables/readings/*.parquet'").fetchall()
    assert found == [(100, 4950)]
    assert "readings" in server.run("compact", "--table", "readings").stdout
    refused = server.run("compact", "--table", "other", check=False)
    assert refused.returncode == 1 and "other" in refused.stderr


def test_quarantine(server):
    with server.publisher() as publisher:
        publisher.publish("bad/1", '{"a": ')
        publisher.publish("good/1", {"ts": START_MS, "n": 1})
        publisher.drain()
    listed = json.loads(server.run("quarantine", "list", "--json").stdout)
    entries = listed["entries"]
    assert len(entries) == 1 and entries[0]["topic"] == "bad/1"
    shown = json.loads(server.run("quarantine", "show", entries[0]["id"], "--json").stdout)
    assert '{"a": ' in json.dumps(shown).replace("\\", "")
    replayed = json.loads(server.run("quarantine", "replay", "--json").stdout)
    assert (replayed["tried"], replayed["replayed"], replayed["remaining"]) == (1, 0, 1)
    assert replayed["first_remaining"]["id"] == entries[0]["id"]
    assert "WARN" in server.process.said() and "went to quarantine" in server.process.said()
    missing = server.run("quarantine", "show", "999999", check=False)
    assert missing.returncode == 1 and "999999" in missing.stderr


def test_the_quarantine_is_listed_from_its_newest_entry(server):
    assert "empty" in server.run("quarantine", "list").stdout
    with server.publisher() as publisher:
        for number in range(60):
            publisher.publish(f"bad/{number}", '{"a": ')
        publisher.drain()
    newest = json.loads(server.run("quarantine", "list", "--json").stdout)
    assert [entry["topic"] for entry in newest["entries"]] == [f"bad/{number}" for number in range(59, 9, -1)]
    assert newest["total"] == 60
    assert "showing 50 of 60" in server.run("quarantine", "list").stdout
    older = server.run("quarantine", "list", "--limit", "3", "--before", newest["before"], "--json").stdout
    assert [entry["topic"] for entry in json.loads(older)["entries"]] == ["bad/9", "bad/8", "bad/7"]
    # One client, one warning a minute.
    assert server.process.said().count("went to quarantine") == 1


def test_a_second_signal_ends_the_server_at_once(server):
    # Both are there before it can act on the first.
    for number in (signal.SIGSTOP, signal.SIGTERM, signal.SIGINT, signal.SIGCONT):
        server.process.process.send_signal(number)
    assert server.process.process.wait(PATIENCE_S) in (128 + signal.SIGINT, 128 + signal.SIGTERM)
    assert "at once" in server.process.said()


def with_open_files(limit):
    return ["sh", "-c", f'{limit}; exec "$@"', "sh"]


def test_a_low_limit_of_open_files_is_raised(make_server):
    with make_server("[cache]\nssd_bytes = 17179869184\n", prefix=with_open_files("ulimit -Sn 64")) as server:
        server.stop()


def test_too_few_open_files_for_the_cache_are_told_with_the_key(make_server):
    server = make_server(prefix=with_open_files("ulimit -n 64"))
    ended = subprocess.run(server.command(), env=clean_environment(), capture_output=True, text=True, timeout=PATIENCE_S)
    assert ended.returncode == 1 and "cache.ssd_bytes" in ended.stderr, ended.stderr


def test_the_start_and_the_check_name_the_configuration_file(server):
    assert f"configuration_file={server.config}" in server.process.said().replace('"', "")
    assert str(server.config) in thalweg("config", "check", "--config", server.config).stdout


def test_an_unknown_path_is_404(server):
    with pytest.raises(urllib.error.HTTPError) as refused:
        server.get("/admin/nothing")
    assert refused.value.code == 404


def test_the_log_as_json_lines(make_server):
    server = make_server('log_format = "text"\n', environment={"THALWEG_LOG_FORMAT": "json", "THALWEG_LOG": "debug"}).start()
    publish(server, range(3))
    with server.publisher() as publisher:
        publisher.publish("d", "{")
        publisher.drain()
    server.run("compact")
    server.stop()
    lines = [json.loads(line) for line in server.process.said().splitlines()]
    assert all({"timestamp", "level", "target"} <= set(line) for line in lines)
    told = {line["message"]: line for line in lines if "message" in line}
    assert told["serving"]["http"] == f"127.0.0.1:{server.http_port}"
    assert told["recovered"]["replayed"] >= 0
    assert told["a job is done"]["rows"] > 0
    [quarantined] = [line for text, line in told.items() if "went to quarantine" in text]
    assert quarantined["level"] == "WARN" and quarantined["topic"] == "d" and quarantined["reason"]
