"""PostgreSQL: the same items, the same questions, asked by pgbench in its own protocol."""

import contextlib
import functools
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import fleet
from peers import PATIENCE_S, Broken, Contender, Running, failure_of, free_port, output, process_of, said, wait_for_port


class PostgreSQL(Contender):
    name = "postgresql"
    acknowledges = "after the sync (write-ahead log)"

    def __init__(self):
        self.programs = max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)

    def prepare(self, install):
        if not self.programs or not (self.programs / "pgbench").exists():
            return "postgresql is not installed: apt-get install postgresql"
        return None

    def version(self):
        return output(self.programs / "postgres", "--version")

    def command(self, directory, port):
        data = directory / "data"
        initdb = [self.programs / "initdb", "--auth", "trust", "--username", "postgres", "--pgdata", data]
        if reason := failure_of(initdb, **self.rights(directory)):
            raise Broken(reason)
        return [self.programs / "postgres", "-D", data, "-h", "127.0.0.1", "-p", port, "-k", ""]

    def rights(self, directory):
        """It does not run as root; its Debian package brings a user."""
        if os.geteuid() != 0:
            return {}
        shutil.chown(directory, "postgres", "postgres")
        return {"user": "postgres", "group": "postgres", "extra_groups": []}

    @contextlib.contextmanager
    def running(self, directory):
        port = free_port()
        with process_of(self.command(directory, port), directory, **self.rights(directory)) as process:
            wait_for_port(process, port, directory)
            try:
                self.wait_until_ready(port, directory)
                yield Running(pid=process.pid, ask=functools.partial(self.ask, port, directory))
            finally:
                # Its children end with it only if it is asked.
                process.send_signal(signal.SIGQUIT)
                process.wait(PATIENCE_S)

    def wait_until_ready(self, port, directory):
        deadline = time.monotonic() + PATIENCE_S
        while failure_of([self.programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", port]):
            if time.monotonic() > deadline:
                raise Broken(f"does not become ready: {said(directory)}")
            time.sleep(0.05)

    def client(self, name, port, *arguments):
        return [self.programs / name, "-h", "127.0.0.1", "-p", port, "-U", "postgres", *arguments, "postgres"]

    def ask(self, port, directory, question, seconds):
        """As `thalweg bench query` answers: requests a second, and latencies."""
        columns = ", ".join(f"{name} numeric NOT NULL" for name in fleet.METRICS)
        values = ", ".join(f"10 + ((n + {number} * 911) % 9000) / 100.0" for number, _ in enumerate(fleet.METRICS))
        device, time_ms = "'bench/00000/' || lpad(({})::text, 7, '0')", f"{fleet.FIRST_MS} + ({{}}) * 1000"
        statements = [
            f"CREATE TABLE bench (device_id text, ts bigint, {columns}, PRIMARY KEY (device_id, ts))",
            f"INSERT INTO bench SELECT {device.format(f'n % {fleet.DEVICES}')}, {time_ms.format(f'n / {fleet.DEVICES}')}, {values} "
            f"FROM generate_series(0, {fleet.ITEMS - 1}) n",
            "VACUUM ANALYZE bench",
        ]
        wanted = [part for statement in statements for part in ["-c", statement]]
        run(self.client("psql", port, "-q", "-v", "ON_ERROR_STOP=1", *wanted))
        begins, ends = time_ms.format(":s"), time_ms.format(f":s + {fleet.SPAN - 1}")
        which = {"last": "ORDER BY ts DESC LIMIT 1", "span": f"AND ts BETWEEN {begins} AND {ends} ORDER BY ts"}[question]
        script = directory / "question.sql"
        script.write_text(
            f"\\set d random(0, {fleet.DEVICES - 1})\n\\set s random(0, {fleet.ITEMS // fleet.DEVICES - fleet.SPAN})\n"
            f"SELECT * FROM bench WHERE device_id = {device.format(':d')} {which};\n"
        )
        load = ["-n", "-c", "1", "-M", "prepared", "-T", str(max(1, round(seconds))), "-l"]
        run(self.client("pgbench", port, *load, f"--log-prefix={directory / 'latencies'}", "-f", script), cwd=directory)
        # One line an answer: client, number, microseconds.
        lines = [line.split() for path in directory.glob("latencies.*") for line in path.read_text().splitlines()]
        return fleet.told([int(line[2]) for line in lines])


def run(command, **options):
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=600, **options)
    if result.returncode != 0:
        raise Broken((result.stderr or result.stdout).strip()[-300:])
