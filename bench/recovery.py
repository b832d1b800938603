"""How long an open takes that has much log to replay, against reading as much from the disk, and against inserting as much into
a memtable and nothing else.
"""

import json
import os
import re
import subprocess
import time
import urllib.request

import peers

# Nothing is flushed before the end.
CONFIG = """
[store]
memtable_bytes_max = 17179869184
[compactor]
flush_interval_s = 86400
[log]
retention_bytes = 1099511627776
"""
ITEMS_OF_A_REQUEST = 25
# Of the log; what more there is counts, as much as it is.
BYTES_OF_AN_ITEM = 300


def measure(setting, contender, directory):
    config = directory / "recovery.toml"
    config.write_text(CONFIG)
    own = directory / "recovery"
    own.mkdir()
    items = setting.tail_bytes // BYTES_OF_AN_ITEM
    with contender.running(own, "--config", config) as server:
        command = ["--json", "bench", "batch-write-item", "--count", items // ITEMS_OF_A_REQUEST, "--connections", 4]
        run([setting.binary, *command, "--http", server.http])
        before = metrics(server)
    log = own / "data" / "log"
    raw = read_past_memory(log)
    with contender.running(own, "--config", config) as server:
        after = metrics(server)
    seconds = after["thalweg_store_recovery_seconds"]
    replayed = before["thalweg_planner_events_total"]
    inserted = json.loads(run([setting.binary, "--json", "bench", "memtable", "--items", int(replayed)]))
    return {
        "tail_bytes": before["thalweg_log_bytes_total"],
        "disk_bytes": raw["bytes"],
        "recovery_seconds": seconds,
        "tail_mb_per_second": before["thalweg_log_bytes_total"] / 1e6 / seconds,
        "raw_mb_per_second": raw["bytes"] / 1e6 / raw["seconds"],
        "per_second": replayed / seconds,
        "memtable_per_second": inserted["per_second"],
    }


def read_past_memory(directory):
    """Reads every file of a directory with O_DIRECT, and leaves none of it in the system's memory."""
    files = sorted(directory.glob("*.segment")) + sorted(directory.glob("*.archive"))
    os.sync()
    total, began = 0, time.monotonic()
    for path in files:
        done = subprocess.run(["dd", f"if={path}", "of=/dev/null", "bs=1M", "iflag=direct", "status=none"], capture_output=True)
        if done.returncode != 0:
            raise peers.Broken(f"dd: {done.stderr.decode().strip()[-200:]}")
        total += path.stat().st_size
    seconds = time.monotonic() - began
    for path in files:
        with open(path, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return {"bytes": total, "seconds": seconds}


def run(command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=1800)
    if done.returncode != 0:
        raise peers.Broken((done.stderr or done.stdout).strip()[-300:])
    return done.stdout


def metrics(server):
    """The samples without labels."""
    with urllib.request.urlopen(f"http://{server.http}/metrics", timeout=60) as answer:
        lines = answer.read().decode().splitlines()
    found = (re.fullmatch(r"(\w+) (\S+)", line) for line in lines)
    return {match[1]: float(match[2]) for match in found if match}
