"""A year of readings as files to import: half of it into Parquet first, the other half, between those, in order or at random."""

import random
import subprocess
import time

import peers

DEVICES = 20
FIRST_S = 1_735_689_600
YEAR_S = 365 * 24 * 3600
METRICS = ["lat", "lon", "alt", "vel", "hdg", "fuel", "rpm", "oil", "t1", "t2"]


def rows(half, count):
    """Every other reading of the year, `count` of them, in the order of their times."""
    steps = count // DEVICES
    for step in range(steps):
        second = FIRST_S + YEAR_S * (2 * step + half) // (2 * steps)
        for device in range(DEVICES):
            values = ",".join(f"{10 + (device * 37 + step + place * 911) % 9000 / 100:.2f}" for place in range(len(METRICS)))
            yield f"device-{device},{second},{values}\n"


def write(path, lines):
    with open(path, "w") as file:
        file.write(f"device,time,{','.join(METRICS)}\n")
        file.writelines(lines)


def measure(setting, server, at_random):
    """Imports a year between what is in Parquet files already; rows a second of that."""
    directory, count = server.directory, setting.rows
    write(directory / "cold.csv", rows(0, count))
    wanted = list(rows(1, count))
    if at_random:
        random.Random(1).shuffle(wanted)
    write(directory / "wanted.csv", wanted)
    thalweg(setting, server, "import", directory / "cold.csv", "--table", "history", "--device", "device", "--time", "time")
    thalweg(setting, server, "compact")
    began = time.monotonic()
    thalweg(setting, server, "import", directory / "wanted.csv", "--table", "history", "--device", "device", "--time", "time")
    seconds = time.monotonic() - began
    return {"operations": len(wanted), "seconds": seconds, "per_second": len(wanted) / seconds}


def thalweg(setting, server, *arguments):
    command = [setting.binary, *arguments, "--http", server.http]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=900)
    if done.returncode != 0:
        raise peers.Broken(done.stderr.strip()[-300:])
