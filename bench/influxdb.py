"""InfluxDB 1.6: the same readings as line protocol, the same questions over its HTTP interface."""

import contextlib
import functools
import http.client
import os
import random
import time
from urllib.parse import quote

import fleet
from peers import PATIENCE_S, Broken, Contender, Running, failure_of, free_port, output, process_of, program, wait_for_port

READINGS_OF_A_WRITE = 5000


class InfluxDB(Contender):
    name = "influxdb"
    acknowledges = "after the sync (write-ahead log)"

    def __init__(self, tools):
        self.tools = tools / "influxdb"

    def binary(self):
        unpacked = self.tools / "usr" / "bin" / "influxd"
        return unpacked if unpacked.exists() else program("influxd")

    def prepare(self, install):
        if self.binary():
            return None
        advice = "influxd is not installed: apt-get install influxdb"
        if not install or not program("apt-get"):
            return advice
        self.tools.mkdir(parents=True, exist_ok=True)
        # Unpacked, not installed: its service must not start.
        reason = failure_of(["apt-get", "download", "influxdb"], cwd=self.tools)
        for package in self.tools.glob("*.deb"):
            reason = reason or failure_of(["dpkg", "-x", package, self.tools])
        return reason and f"{advice} ({reason})"

    def version(self):
        return output(self.binary(), "version").split(" (")[0]

    @contextlib.contextmanager
    def running(self, directory):
        port, backup = free_port(), free_port()
        config = directory / "influxdb.conf"
        config.write_text(
            f'reporting-disabled = true\nbind-address = "127.0.0.1:{backup}"\n'
            f'[meta]\ndir = "{directory}/meta"\n[data]\ndir = "{directory}/data"\nwal-dir = "{directory}/wal"\n'
            f'[http]\nbind-address = "127.0.0.1:{port}"\nlog-enabled = false\n'
        )
        command = [self.binary(), "-config", config]
        with process_of(command, directory, env=os.environ | {"HOME": str(directory)}) as process:
            wait_for_port(process, port, directory)
            yield Running(pid=process.pid, ask=functools.partial(self.ask, port))

    def ask(self, port, question, seconds):
        """As `thalweg bench query` answers: requests a second, and latencies."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        exchange(connection, "POST", "/query?q=" + quote("CREATE DATABASE bench"))
        for first in range(0, fleet.ITEMS, READINGS_OF_A_WRITE):
            lines = "\n".join(line(number) for number in range(first, first + READINGS_OF_A_WRITE))
            exchange(connection, "POST", "/write?db=bench&precision=ms", lines)
        latencies = []
        begun = time.monotonic()
        while time.monotonic() < begun + seconds:
            device = f"bench/00000/{random.randrange(fleet.DEVICES):07}"
            start = fleet.FIRST_MS + random.randrange(fleet.ITEMS // fleet.DEVICES - fleet.SPAN + 1) * 1000
            which = {
                "last": "ORDER BY time DESC LIMIT 1",
                "span": f"AND time >= {start}ms AND time < {start + fleet.SPAN * 1000}ms",
            }[question]
            path = "/query?db=bench&epoch=ms&q=" + quote(f"SELECT * FROM bench WHERE device_id = '{device}' {which}")
            sent = time.perf_counter_ns()
            answer = exchange(connection, "GET", path)
            latencies.append((time.perf_counter_ns() - sent) / 1000)
            if b'"values"' not in answer:
                raise Broken(f"answers {answer[:200]!r}")
        return fleet.told(latencies)


def line(number):
    device, step = number % fleet.DEVICES, number // fleet.DEVICES
    values = ",".join(f"{name}={10 + (number + index * 911) % 9000 / 100:.2f}" for index, name in enumerate(fleet.METRICS))
    return f"bench,device_id=bench/00000/{device:07} {values} {fleet.FIRST_MS + step * 1000}"


def exchange(connection, method, path, body=None):
    connection.request(method, path, body)
    response = connection.getresponse()
    answer = response.read()
    if response.status >= 300:
        raise Broken(f"{method} {path[:80]}: {answer[:200]!r}")
    return answer
