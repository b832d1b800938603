"""The last reading of a device, asked of PostgreSQL by pgbench: the same items, the same question, its own protocol."""

import statistics
import subprocess

import peers

METRICS = ["lat", "lon", "alt", "vel", "hdg", "fuel", "rpm", "oil", "t1", "t2"]


def measure(contender, server, items, devices, seconds, directory):
    """As `thalweg bench query` answers: requests a second, and latencies."""
    columns = ", ".join(f"{name} numeric NOT NULL" for name in METRICS)
    values = ", ".join(f"10 + ((n + {number} * 911) % 9000) / 100.0" for number, _ in enumerate(METRICS))
    device = "'bench/00000/' || lpad(({})::text, 7, '0')"
    run(
        contender.client("psql", server.postgres, "-q", "-v", "ON_ERROR_STOP=1", "-c",
            f"CREATE TABLE bench (device_id text, ts bigint, {columns}, PRIMARY KEY (device_id, ts))", "-c",
            f"INSERT INTO bench SELECT {device.format(f'n % {devices}')}, 1767225600000 + n / {devices} * 1000, {values} "
            f"FROM generate_series(0, {items - 1}) n", "-c", "VACUUM ANALYZE bench"),
    )  # fmt: skip
    script = directory / "last.sql"
    script.write_text(
        f"\\set d random(0, {devices - 1})\n"
        f"SELECT * FROM bench WHERE device_id = {device.format(':d')} ORDER BY ts DESC LIMIT 1;\n"
    )
    log = directory / "latencies"
    load = ["-n", "-c", "1", "-M", "prepared", "-T", str(max(1, round(seconds))), "-l", f"--log-prefix={log}", "-f", script]
    run(contender.client("pgbench", server.postgres, *load), cwd=directory)
    # One line an answer: client, number, microseconds.
    lines = [line.split() for path in directory.glob("latencies.*") for line in path.read_text().splitlines()]
    latencies = sorted(int(line[2]) for line in lines)
    cuts = statistics.quantiles(latencies, n=100)
    per_second = len(latencies) / (sum(latencies) / 1e6)
    return {"per_second": per_second, "latency_us": {"p50": cuts[49], "p99": cuts[98], "max": latencies[-1]}}


def run(command, **options):
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=600, **options)
    if result.returncode != 0:
        raise peers.Broken((result.stderr or result.stdout).strip()[-300:])
