"""Runs the real programs for the end-to-end tests: the thalweg binary, Mosquitto, nats-server.

Everything listens on free loopback ports, writes under the test's own directory, is waited for instead of slept for, and is
ended by its own process id.
"""

import csv
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from decimal import Decimal
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAB = ROOT / "examples" / "data" / "nab"
# On a busy two-core machine starting takes longer than one would think; nothing waits this long when all is well.
PATIENCE_S = 60


def target_directory():
    output = subprocess.run(
        ["cargo", "metadata", "--format-version", "1", "--no-deps"], cwd=ROOT, check=True, stdout=subprocess.PIPE
    ).stdout
    return Path(json.loads(output)["target_directory"])


def binary():
    """The server under test: built by ./test, or by hand."""
    return Path(os.environ.get("THALWEG_BINARY") or target_directory() / "debug" / "thalweg")


def tools():
    """Where ./test puts what it fetches."""
    return Path(os.environ.get("THALWEG_TOOLS") or target_directory() / "tools")


def program(name):
    found = shutil.which(name, path=f"{tools()}/python/bin:{os.environ['PATH']}:/usr/sbin:/sbin")
    assert found, f"{name} is not installed; ./test installs it"
    return found


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(what, condition, timeout=PATIENCE_S, every=0.02):
    """Returns the first true answer of `condition`."""
    deadline = time.monotonic() + timeout
    while True:
        answer = condition()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"waited {timeout} s for {what}"
        time.sleep(every)


def port_answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False


class Process:
    """A child process whose standard error goes to a file."""

    def __init__(self, command, log, **options):
        self.log = Path(log)
        self.command = [str(part) for part in command]
        with open(self.log, "ab") as errors:
            self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=errors, **options)

    @property
    def pid(self):
        return self.process.pid

    def running(self):
        return self.process.poll() is None

    def kill(self):
        """kill -9, as a crash."""
        if self.running():
            self.process.kill()
        self.process.wait(PATIENCE_S)
        self.process.stdout.close()

    def terminate(self):
        """SIGTERM; answers the exit code."""
        if self.running():
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(PATIENCE_S)
        self.process.stdout.close()
        return code

    def said(self):
        return self.log.read_text(errors="replace")


class Server:
    """A thalweg server in a directory of its own. After a restart it listens where it listened before."""

    def __init__(self, directory, config="", mqtt=True, environment=None, prefix=()):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.data = self.directory / "data"
        self.config = self.directory / "thalweg.toml"
        self.log = self.directory / "server.log"
        if not prefix and "[disk]" not in config:
            # A server under test keeps its log however little room others have left on this machine's disk.
            config += "\n[disk]\nlow_percent = 0\n"
        self.config.write_text(config)
        self.environment = environment or {}
        self.http_port = 0
        self.mqtt_port = 0 if mqtt else None
        # A command that runs the server, such as strace.
        self.prefix = list(prefix)
        self.process = None
        self.ready_line = None

    def command(self):
        mqtt = "off" if self.mqtt_port is None else f"127.0.0.1:{self.mqtt_port}"
        return [
            *self.prefix, binary(), "serve", "--config", self.config, "--data-dir", self.data,
            "--http", f"127.0.0.1:{self.http_port}", "--mqtt", mqtt,
        ]  # fmt: skip

    def start(self):
        self.process = Process(self.command(), self.log, env=clean_environment() | self.environment)
        lines = Lines(self.process.process.stdout)
        line = lines.first(lambda: self.process.running())
        assert line is not None, f"the server has not become ready:\n{self.process.said()[-4000:]}"
        self.ready_line = line
        facts = dict(part.split("=", 1) for part in line.split()[1:])
        self.http_port = int(facts["http"].rsplit(":", 1)[1])
        if "mqtt" in facts:
            self.mqtt_port = int(facts["mqtt"].rsplit(":", 1)[1])
        return self

    def kill(self):
        self.process.kill()

    def stop(self):
        code = self.process.terminate()
        assert code == 0, f"the server ended with {code}:\n{self.process.said()[-4000:]}"

    def close(self):
        """The end of a test: no process is left behind."""
        if self.process is not None and self.process.running():
            self.process.kill()

    def restart(self):
        self.stop()
        return self.start()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()

    # --- Asking it ---

    @property
    def url(self):
        return f"http://127.0.0.1:{self.http_port}"

    def get(self, path, timeout=PATIENCE_S):
        with urllib.request.urlopen(self.url + path, timeout=timeout) as answer:
            return answer.read()

    def post(self, path, body=b"", headers=None, timeout=PATIENCE_S):
        request = urllib.request.Request(self.url + path, data=body, headers=headers or {}, method="POST")
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.read()

    def metrics(self):
        """Every sample of /metrics, by its name with labels."""
        samples = {}
        for line in self.get("/metrics").decode().splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                samples[name] = float(value)
        return samples

    def metric(self, name, **labels):
        """The sum of the samples of that name that carry these labels."""
        total = 0.0
        for sample, value in self.metrics().items():
            found = re.fullmatch(r"([^{]+)(?:\{(.*)\})?", sample)
            if found.group(1) == name and all(f'{key}="{text}"' in (found.group(2) or "") for key, text in labels.items()):
                total += value
        return total

    def dynamodb(self):
        import boto3

        return boto3.client("dynamodb", **self.sdk())

    def streams(self):
        import boto3

        return boto3.client("dynamodbstreams", **self.sdk())

    def sdk(self):
        from botocore.config import Config

        return {
            "endpoint_url": self.url,
            "region_name": "eu-central-1",
            "aws_access_key_id": "any",
            "aws_secret_access_key": "any",
            "config": Config(retries={"max_attempts": 2}, read_timeout=PATIENCE_S),
        }

    def run(self, *arguments, check=True, timeout=PATIENCE_S, stdin=None):
        """Runs a thalweg command against this server."""
        return thalweg(*arguments, check=check, timeout=timeout, environment={"THALWEG_HTTP": f"127.0.0.1:{self.http_port}"})

    def tables(self):
        return self.dynamodb().list_tables()["TableNames"]

    def has_table(self, table):
        return table in self.tables()

    def scan(self, table):
        """All items, as Python values; numbers as Decimal."""
        pages = self.dynamodb().get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
        return [plain(item) for page in pages for item in page["Items"]]

    def query(self, table, device, key="device_id"):
        """All items of one device, in order."""
        pages = self.dynamodb().get_paginator("query").paginate(
            TableName=table,
            KeyConditionExpression="#k = :k",
            ExpressionAttributeNames={"#k": key},
            ExpressionAttributeValues={":k": {"S": device}},
            ConsistentRead=True,
        )
        return [plain(item) for page in pages for item in page["Items"]]

    def changes(self, table):
        """Every record of the table's stream so far, by shard, read with the DynamoDB Streams protocol."""
        streams = self.streams()
        (stream,) = streams.list_streams(TableName=table)["Streams"]
        arn = stream["StreamArn"]
        shards, last = [], None
        while True:
            page = streams.describe_stream(StreamArn=arn, **({"ExclusiveStartShardId": last} if last else {}))
            shards += page["StreamDescription"]["Shards"]
            last = page["StreamDescription"].get("LastEvaluatedShardId")
            if not last:
                break
        records = []
        for shard in shards:
            iterator = streams.get_shard_iterator(
                StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
            )["ShardIterator"]
            # One empty page may only mean that a bounded number of bytes held nothing for this table.
            empty = 0
            while iterator and empty < 3:
                page = streams.get_records(ShardIterator=iterator)
                empty = 0 if page["Records"] else empty + 1
                iterator = page.get("NextShardIterator")
                records += page["Records"]
        return records

    def publisher(self, client_id="test", **options):
        return Publisher(self.mqtt_port, client_id, **options)


class Lines:
    """The first line of a pipe, read by a thread so that a silent process cannot hang the test."""

    def __init__(self, pipe):
        self.line = None
        self.thread = threading.Thread(target=self.read, args=(pipe,), daemon=True)
        self.thread.start()

    def read(self, pipe):
        line = pipe.readline()
        self.line = line.decode().rstrip("\n") or None
        # Nobody may ever block on this pipe being full.
        for _ in pipe:
            pass

    def first(self, running, timeout=PATIENCE_S):
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and self.line is None:
            self.thread.join(0.02)
            if not self.thread.is_alive() or not running():
                self.thread.join(1)
                break
        return self.line


def clean_environment():
    """This process's variables without any that would change what thalweg does."""
    return {name: value for name, value in os.environ.items() if not name.startswith("THALWEG_")}


def thalweg(*arguments, check=True, timeout=PATIENCE_S, environment=None):
    """Runs a thalweg command; answers it with its output as text."""
    result = subprocess.run(
        [str(binary()), *[str(argument) for argument in arguments]],
        capture_output=True, text=True, timeout=timeout, env=clean_environment() | (environment or {}),
    )  # fmt: skip
    if check:
        assert result.returncode == 0, f"thalweg {' '.join(map(str, arguments))}: {result.stderr or result.stdout}"
    return result


# --- Values ---


def plain(item):
    """An item in DynamoDB's JSON as plain Python; numbers as Decimal, exactly."""
    return {name: plain_value(value) for name, value in item.items()}


def plain_value(value):
    ((kind, content),) = value.items()
    match kind:
        case "N":
            return Decimal(content)
        case "NULL":
            return None
        case "L":
            return [plain_value(element) for element in content]
        case "M":
            return plain(content)
        case "NS":
            return {Decimal(element) for element in content}
        case "SS" | "BS":
            return set(content)
        case _:
            return content


# --- Real input ---


def series(name):
    """A NAB series as (milliseconds since 1970, value as text), in the file's order."""
    from datetime import datetime, timezone

    with open(NAB / f"{name}.csv", newline="") as file:
        for row in csv.DictReader(file):
            moment = datetime.strptime(row["timestamp"], "%Y-%m-%d %H:%M:%S").replace(tzinfo=timezone.utc)
            yield int(moment.timestamp()) * 1000, row["value"]


SERIES = sorted(path.stem for path in NAB.glob("*.csv"))


# --- Publishing ---


class Publisher:
    """A paho client that keeps a ledger: what it published, and which of it was acknowledged."""

    def __init__(self, port, client_id="test", protocol=4, clean=True, reconnect=True):
        import paho.mqtt.client as mqtt

        self.port = port
        self.lock = threading.Lock()
        self.connected = threading.Event()
        self.refused = None
        self.disconnects = []
        # Packet ids are used again, so what is acknowledged leaves `pending`.
        self.pending = {}
        self.acknowledged = []
        self.early = set()
        self.reasons = []
        options = {} if protocol == 5 else {"clean_session": clean}
        self.client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2, client_id=client_id, protocol=protocol, reconnect_on_failure=reconnect, **options
        )
        self.client.max_inflight_messages_set(200)
        self.client.on_connect = self._on_connect
        self.client.on_disconnect = self._on_disconnect
        self.client.on_publish = self._on_publish

    def _on_connect(self, _client, _data, _flags, reason, _properties):
        if reason.is_failure:
            self.refused = reason
        else:
            self.connected.set()

    def _on_disconnect(self, _client, _data, _flags, reason, _properties):
        self.connected.clear()
        self.disconnects.append(reason)

    def _on_publish(self, _client, _data, mid, reason, _properties):
        with self.lock:
            self.reasons.append(reason)
            if mid in self.pending:
                self.acknowledged.append(self.pending.pop(mid))
            else:
                self.early.add(mid)

    def connect(self, keepalive=30):
        self.client.connect("127.0.0.1", self.port, keepalive)
        self.client.loop_start()
        wait_for("the MQTT connection", lambda: self.connected.is_set() or self.refused)
        return self

    def publish(self, topic, payload, qos=1, retain=False, ledger=None):
        """Publishes; `ledger` is what the test wants to find again once the PUBACK has come."""
        if isinstance(payload, (dict, list)):
            payload = json.dumps(payload)
        info = self.client.publish(topic, payload, qos=qos, retain=retain)
        entry = payload if ledger is None else ledger
        with self.lock:
            if info.mid in self.early:
                self.early.remove(info.mid)
                self.acknowledged.append(entry)
            else:
                self.pending[info.mid] = entry
        return info

    def ledger(self):
        """What was acknowledged so far."""
        with self.lock:
            return list(self.acknowledged)

    def unacknowledged(self):
        """What was published and is not acknowledged."""
        with self.lock:
            return list(self.pending.values())

    def drain(self, timeout=PATIENCE_S):
        """Waits until everything that was published is acknowledged."""
        wait_for("every PUBACK", lambda: not self.pending, timeout)

    def close(self):
        # Not `loop_stop`: the thread forgets itself as it ends, which may be between that method's two looks at it.
        thread = self.client._thread
        self.client.disconnect()
        if thread is not None:
            thread.join()

    def __enter__(self):
        return self.connect()

    def __exit__(self, *_):
        self.close()


# --- Brokers ---


class Mosquitto:
    """An external MQTT broker that keeps what an offline session misses."""

    def __init__(self, directory, in_flight_max=0):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.config = self.directory / "mosquitto.conf"
        self.config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages {in_flight_max}\n"
            f"persistence true\npersistence_location {self.directory}/\nautosave_interval 1\nuser root\nlog_type all\n"
        )
        self.process = None

    def start(self):
        self.process = Process([program("mosquitto"), "-c", self.config], self.directory / "mosquitto.log")
        wait_for("Mosquitto", lambda: port_answers(self.port))
        return self

    def close(self):
        if self.process is not None and self.process.running():
            self.process.terminate()

    def redelivered(self, client_id):
        """How many messages it has sent again to this client, marked as duplicates, by its own log."""
        with (self.directory / "mosquitto.log").open() as log:
            return sum(f"Sending PUBLISH to {client_id} (d1" in line for line in log)

    def publisher(self, client_id="test", **options):
        return Publisher(self.port, client_id, **options)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()


class Nats:
    """A nats-server with JetStream, by default one that syncs before it acknowledges."""

    def __init__(self, directory, sync_always=True):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.config = self.directory / "nats.conf"
        sync = "sync_interval: always" if sync_always else ""
        self.config.write_text(
            f'listen: "127.0.0.1:{self.port}"\njetstream {{ store_dir: "{self.directory}/jetstream", {sync} }}\n'
        )
        self.process = None

    def start(self):
        self.process = Process([program("nats-server"), "-c", self.config], self.directory / "nats.log")
        wait_for("nats-server", lambda: port_answers(self.port))
        return self

    def close(self):
        if self.process is not None and self.process.running():
            self.process.kill()

    @property
    def url(self):
        return f"nats://127.0.0.1:{self.port}"

    def run(self, work):
        """Runs `await work(client, jetstream)`."""
        import asyncio

        import nats

        async def main():
            client = await nats.connect(self.url)
            try:
                return await work(client, client.jetstream())
            finally:
                await client.close()

        return asyncio.run(main())

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()
