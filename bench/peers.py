"""Who takes part: Thalweg and its peers, each started in a directory of its own and ended by its process."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

DYNALITE = "4.0.0"
DYNOXIDE = "3.2.0"
PATIENCE_S = 60


class Broken(Exception):
    """A contender did not start, or broke under its load."""


@dataclass
class Running:
    """A contender's server; what it has no entrance for is None. `ask` is set where our load generator cannot."""

    pid: int | None = None
    http: str | None = None
    mqtt: str | None = None
    directory: Path | None = None
    ask: object = None


class Contender:
    """What all have in common. `acknowledges` says when its answer leaves: the fact that decides what a figure is worth."""

    name = ""
    acknowledges = ""

    def prepare(self, install):
        """Why it cannot take part, if it cannot."""
        return None

    def version(self):
        return self.name

    def command(self, directory, port):
        raise NotImplementedError

    def server(self, process, port):
        return Running(pid=process.pid, http=f"127.0.0.1:{port}")

    @contextlib.contextmanager
    def running(self, directory):
        port = free_port()
        with process_of(self.command(directory, port), directory) as process:
            wait_for_port(process, port, directory)
            yield self.server(process, port)


class Disk(Contender):
    """No server: the disk itself."""

    name = "disk"
    acknowledges = "when the bytes are on the disk"

    def version(self):
        return "the disk itself"

    @contextlib.contextmanager
    def running(self, directory):
        yield Running()


class Thalweg(Contender):
    name = "thalweg"
    acknowledges = "after the sync"

    def __init__(self, binary):
        self.binary = binary

    def version(self):
        return output(self.binary, "--version")

    @contextlib.contextmanager
    def running(self, directory, *arguments):
        addresses = ["--http", "127.0.0.1:0", "--mqtt", "127.0.0.1:0"]
        command = [self.binary, "serve", "--data-dir", directory / "data", *addresses, *arguments]
        with process_of(command, directory, stdout=subprocess.PIPE) as process:
            ready = process.stdout.readline().decode()
            if not ready.startswith("ready "):
                raise Broken(f"has not become ready: {said(directory)}")
            facts = dict(part.split("=", 1) for part in ready.split()[1:])
            yield Running(pid=process.pid, http=facts["http"], mqtt=facts["mqtt"], directory=directory)


class LimitedThalweg(Thalweg):
    """With a bound on its memory."""

    name = "thalweg-1gib"

    @contextlib.contextmanager
    def running(self, directory):
        with super().running(directory, "--memory-limit", "1GiB") as server:
            yield server


class SmallThalweg(Thalweg):
    """With so little memory that most of the items to be asked for are not in it."""

    name = "thalweg-small"

    def __init__(self, binary, memory_bytes):
        super().__init__(binary)
        self.memory_bytes = memory_bytes

    @contextlib.contextmanager
    def running(self, directory):
        # Half for what is written, five memtables of it; a quarter each for pages and for rows.
        part = max(self.memory_bytes // 4, 1 << 20)
        config = directory / "small.toml"
        config.write_text(
            f"[store]\nmemtable_bytes_max = {max(self.memory_bytes // 10, 1 << 20)}\n"
            f"[cache]\nmemory_bytes = {part}\nrow_bytes = {part}\nssd_bytes = 0\n"
        )
        with super().running(directory, "--config", config) as server:
            yield server


class Dynoxide(Contender):
    def __init__(self, tools, on_disk):
        self.tools = tools / "dynoxide"
        self.binary = self.tools / "bin" / "dynoxide"
        self.on_disk = on_disk
        self.name = "dynoxide" if on_disk else "dynoxide-memory"
        self.acknowledges = "after the sync (SQLite, write-ahead log)" if on_disk else "from memory; nothing is kept"

    def prepare(self, install):
        if self.binary.exists():
            return None
        if not install:
            return f"{self.binary} is not there; cargo install --root {self.tools} dynoxide-rs --version {DYNOXIDE}"
        command = ["cargo", "install", "--quiet", "--locked", "--root", self.tools, "dynoxide-rs", "--version", DYNOXIDE]
        return failure_of([*command, "--no-default-features", "--features", "native-sqlite,http-server,cli"])

    def version(self):
        # What it says itself is another number.
        return f"dynoxide-rs {DYNOXIDE}"

    def command(self, directory, port):
        path = ["--db-path", directory / "db.sqlite"] if self.on_disk else []
        return [self.binary, "serve", "--host", "127.0.0.1", "--port", port, *path]


class Dynalite(Contender):
    name = "dynalite"
    acknowledges = "before any sync (LevelDB)"

    def __init__(self, tools):
        self.tools = tools / "dynalite"
        self.script = self.tools / "node_modules" / "dynalite" / "cli.js"

    def prepare(self, install):
        if not shutil.which("node"):
            return "node is not installed: apt-get install nodejs npm"
        if self.script.exists():
            return None
        if not install:
            return f"{self.script} is not there: npm install --prefix {self.tools} dynalite@{DYNALITE}"
        self.tools.mkdir(parents=True, exist_ok=True)
        (self.tools / "package.json").write_text('{"private": true}\n')
        command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", self.tools]
        return failure_of([*command, f"dynalite@{DYNALITE}"])

    def version(self):
        return f"dynalite {DYNALITE} on Node.js {output('node', '--version')}"

    def command(self, directory, port):
        fast = ["--createTableMs", "0", "--deleteTableMs", "0"]
        return ["node", self.script, "--host", "127.0.0.1", "--port", port, "--path", directory / "level", *fast]


class Mosquitto(Contender):
    name = "mosquitto"
    acknowledges = "before any sync (from memory, saved every 30 minutes)"

    def prepare(self, install):
        return None if program("mosquitto") else "mosquitto is not installed: apt-get install mosquitto, or ./test, which does"

    def version(self):
        return output(program("mosquitto"), "-h").splitlines()[0]

    def command(self, directory, port):
        # Without these two bounds it would drop what a subscriber has not taken yet.
        limits = "max_queued_messages 0\nmax_inflight_messages 0\n"
        kept = f"persistence true\npersistence_location {directory}/\nuser root\nset_tcp_nodelay true\n"
        (directory / "mosquitto.conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n{limits}{kept}")
        return [program("mosquitto"), "-c", directory / "mosquitto.conf"]

    def server(self, process, port):
        return Running(pid=process.pid, mqtt=f"127.0.0.1:{port}")


def all_of(binary, tools, memory_bytes):
    """Every contender, by name."""
    from changes import JetStream
    from influxdb import InfluxDB
    from postgresql import PostgreSQL

    everyone = [
        Disk(), Thalweg(binary), Dynoxide(tools, on_disk=True), Dynoxide(tools, on_disk=False), Dynalite(tools), Mosquitto(),
        PostgreSQL(), InfluxDB(tools), JetStream(tools), LimitedThalweg(binary), SmallThalweg(binary, memory_bytes),
    ]  # fmt: skip
    return {contender.name: contender for contender in everyone}


# --- Processes ---


def program(name):
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def output(*command):
    """What a program says, such as its version; an exit code is no news."""
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=PATIENCE_S)
    return (result.stdout or result.stderr).strip()


def failure_of(command, **options):
    """Runs a preparation; the end of what it said if it failed."""
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    return None if result.returncode == 0 else f"{command[0]} failed: {(result.stderr or result.stdout).strip()[-300:]}"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def process_of(command, directory, **options):
    with open(directory / "log", "wb") as log:
        options = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log} | options
        process = subprocess.Popen([str(part) for part in command], **options)
    try:
        yield process
    finally:
        process.kill()
        process.wait(PATIENCE_S)
        if process.stdout:
            process.stdout.close()


def wait_for_port(process, port, directory):
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.01)
    raise Broken(f"does not listen: {said(directory)}")


def said(directory):
    return (Path(directory) / "log").read_text(errors="replace").strip()[-300:]
