"""`thalweg import`: exact numbers, nothing twice, resumable, and clear about what it could not take."""

import json
import signal
import subprocess
from decimal import Decimal

from harness import NAB, PATIENCE_S, binary, clean_environment, wait_for

MACHINE = NAB / "machine_temperature_system_failure.csv"


def load(server, file, *arguments, check=True):
    result = server.run("import", file, "--table", "imported", *arguments, "--json", check=check)
    return result, json.loads(result.stdout) if result.stdout else None


def test_importing_twice_changes_nothing(server):
    how = ("--device-id", "machine", "--time", "timestamp")
    _, first = load(server, MACHINE, *how)
    # Twelve times are repeated with other values: rows of one time are united before they are stored, the later wins.
    assert (first["rows"], first["stored"], first["collisions"]) == (22695, 22683, 12)
    assert (first["quarantined"], first["unreadable"]) == (0, 0)
    told = len(server.changes("imported"))
    items = server.query("imported", "machine")
    _, second = load(server, MACHINE, *how)
    assert (second["rows"], second["stored"], second["unchanged"]) == (22695, 0, 22683)
    assert len(server.changes("imported")) == told == 22683
    assert server.query("imported", "machine") == items


def test_every_column_is_kept_with_its_digits(server, tmp_path):
    file = tmp_path / "a.csv"
    file.write_text(
        "sensor,when,value,note,flag,serial\n"
        'a/b,2024-05-01 12:00:00.250,0.1000000000000000055511151231257827021,"two, with ""quotes""\nand a line",true,007\n'
        "c,2024-05-01T12:00:01+02:00,-1E-130,,false,+49\n"
    )
    load(server, file, "--device", "sensor", "--time", "when", "--zone", "Europe/Berlin")
    assert server.query("imported", "a/b") == [
        {
            "device_id": "a/b", "ts": Decimal("1714557600250"), "sensor": "a/b", "when": "2024-05-01 12:00:00.250",
            "value": Decimal("0.1000000000000000055511151231257827021"), "note": 'two, with "quotes"\nand a line',
            "flag": True, "serial": "007",
        }
    ]  # fmt: skip
    assert server.query("imported", "c") == [
        {
            "device_id": "c", "ts": Decimal("1714557601000"), "sensor": "c", "when": "2024-05-01T12:00:01+02:00",
            "value": Decimal("-1E-130"), "flag": False, "serial": "+49",
        }
    ]  # fmt: skip


def test_the_time_column_is_only_kept_if_it_is_not_called_ts(server, tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text('{"ts": 1714557600.5, "v": 1.50}\n\n{"ts": "1714557601", "v": {"w": [1, null]}}\n')
    load(server, file, "--device-id", "d", "--time", "ts")
    assert server.query("imported", "d") == [
        {"device_id": "d", "ts": Decimal("1714557600500"), "v": Decimal("1.5")},
        {"device_id": "d", "ts": Decimal("1714557601000"), "v": {"w": [Decimal(1), None]}},
    ]


def test_bad_rows_are_named_by_line_and_cost_no_other(server, tmp_path):
    file = tmp_path / "a.csv"
    file.write_bytes(b"t,v\n1714557600,1\n1714557601\n1714557602,\xff\nnever,4\n1714557604,5\n")
    result, summary = load(server, file, "--device-id", "d", "--time", "t", check=False)
    assert result.returncode == 1
    assert "line 3: 1 fields, but the header has 2" in result.stderr
    assert "line 4: column 2 is not UTF-8" in result.stderr
    assert (summary["rows"], summary["stored"], summary["quarantined"], summary["unreadable"]) == (3, 2, 1, 2)
    assert [item["v"] for item in server.query("imported", "d")] == [Decimal(1), Decimal(5)]
    listed = json.loads(server.run("quarantine", "list", "--json").stdout)
    assert [(entry["line"], entry["kind"]) for entry in listed["entries"]] == [(5, "time")]


def test_nothing_stored_is_a_failure_with_its_reason(server, tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("t,v\nnever,1\nneither,2\n")
    result, summary = load(server, file, "--device-id", "d", "--time", "t", check=False)
    assert result.returncode == 1 and summary["quarantined"] == 2
    assert "nothing was stored" in result.stderr and "line 3" in result.stderr and "quarantine list" in result.stderr
    file.write_text("")
    result, _ = load(server, file, "--device-id", "d", "--time", "t", check=False)
    assert result.returncode == 1 and "the file is empty" in result.stderr


def test_what_cannot_be_imported_is_told_before_anything_is_sent(server, tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("t,v\n1,2\n")
    for arguments, told in [
        (("--device-id", "d", "--time", "when"), "no column `when`"),
        (("--device", "x", "--time", "t"), "no column `x`"),
        (("--device-id", "d", "--time", "t", "--zone", "Mars/Olympus"), "Mars/Olympus"),
    ]:
        result, _ = load(server, file, *arguments, check=False)
        assert result.returncode == 1 and told in result.stderr, result.stderr
    (tmp_path / "b.parquet").write_bytes(b"PAR1")
    result, _ = load(server, tmp_path / "b.parquet", "--device-id", "d", "--time", "t", check=False)
    assert result.returncode == 1 and ".csv" in result.stderr
    assert server.tables() == []


def test_an_interrupted_import_goes_on_where_it_ended(server, tmp_path):
    file = tmp_path / "long.csv"
    with file.open("w") as out:
        out.write("t,v\n")
        for number in range(400_000):
            out.write(f"{1_700_000_000_000 + number},{number}.25\n")
    command = [binary(), "import", file, "--table", "imported", "--device-id", "d", "--time", "t"]
    environment = clean_environment() | {"THALWEG_HTTP": f"127.0.0.1:{server.http_port}", "XDG_STATE_HOME": str(tmp_path)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    checkpoints = tmp_path / "thalweg" / "imports"
    wait_for("some progress", lambda: any(saved_line(path) > 10_000 for path in checkpoints.glob("*.json")))
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130 and b"--resume" in told
    resumed = subprocess.run([*command, "--resume", "--json"], env=environment, capture_output=True, text=True)
    assert resumed.returncode == 0, resumed.stderr
    summary = json.loads(resumed.stdout)
    assert summary["skipped"] >= 10_000 and summary["skipped"] + summary["rows"] == 400_000
    # At most what was on its way when it was interrupted is sent again, and changes nothing.
    assert summary["unchanged"] <= 4000
    items = server.query("imported", "d")
    assert [item["v"] for item in items] == [Decimal(number) + Decimal("0.25") for number in range(400_000)]
    assert not list(checkpoints.glob("*.json"))


def saved_line(path):
    try:
        return json.loads(path.read_text())["line"]
    except (OSError, ValueError):
        return 0
