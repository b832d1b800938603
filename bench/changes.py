"""Reading changes: GetRecords of a table's stream, and fetches of as large messages from JetStream, by one reader on one connection.

The readers look at no more than they must to go on, so that what is measured is the server.
"""

import http.client
import json
import os
import re
import shutil
import socket
import time

import filling
import peers
import recovery

TABLE = "changes"
ITEMS_OF_A_REQUEST = 25
# Records of a page, and messages of a fetch.
PAGE = 1000


def records(setting, server):
    """Reads all changes of a table, shard by shard."""
    make_table(server, TABLE, stream=True)
    load = ["batch-write-item", "--count", setting.rows // ITEMS_OF_A_REQUEST, "--connections", 4, "--table", TABLE]
    recovery.run([setting.binary, "--json", "bench", *load, "--http", server.http])
    (stream,) = filling.ask(server, "ListStreams", {"TableName": TABLE})["Streams"]
    arn = stream["StreamArn"]
    shards = filling.ask(server, "DescribeStream", {"StreamArn": arn})["StreamDescription"]["Shards"]
    starts = [
        filling.ask(server, "GetShardIterator", {"StreamArn": arn, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"})
        for shard in shards
    ]
    connection = http.client.HTTPConnection(server.http)
    headers = {"X-Amz-Target": "DynamoDBStreams_20120810.GetRecords", "Content-Type": "application/x-amz-json-1.0"}
    count, size = 0, 0
    began, cpu_before = time.monotonic(), filling.cpu_seconds(server.pid)
    for start in starts:
        iterator, empty = start["ShardIterator"], 0
        # One empty page may only mean that a bounded number of bytes held nothing for this shard.
        while empty < 3:
            connection.request("POST", "/", json.dumps({"ShardIterator": iterator, "Limit": PAGE}), headers)
            page = connection.getresponse().read()
            found = page.count(b'"eventID"')
            empty = 0 if found else empty + 1
            count, size = count + found, size + len(page)
            iterator = re.search(rb'"NextShardIterator":"([^"]+)"', page[-3000:])[1].decode()
    return told(count, size, time.monotonic() - began, filling.cpu_seconds(server.pid) - cpu_before)


def messages(setting, port, pid):
    """Fetches as many messages, each as large as an item that was written."""
    payload = b"x" * 296
    client = Nats(port)
    made = {"name": "CHANGES", "subjects": ["changes"], "storage": "file"}
    client.ask("$JS.API.STREAM.CREATE.CHANGES", made)
    for _ in range(setting.rows // PAGE):
        client.publish("changes", payload, PAGE)
    consumer = {"stream_name": "CHANGES", "config": {"durable_name": "reader", "ack_policy": "none", "deliver_policy": "all"}}
    client.ask("$JS.API.CONSUMER.DURABLE.CREATE.CHANGES.reader", consumer)
    wanted = setting.rows // PAGE * PAGE
    count, size = 0, 0
    began, cpu_before = time.monotonic(), filling.cpu_seconds(pid)
    while count < wanted:
        found, bytes_read = client.fetch("$JS.API.CONSUMER.MSG.NEXT.CHANGES.reader", PAGE)
        count, size = count + found, size + bytes_read
    return told(count, size, time.monotonic() - began, filling.cpu_seconds(pid) - cpu_before)


def told(count, size, seconds, cpu):
    return {
        "operations": count,
        "seconds": seconds,
        "per_second": count / seconds,
        "mb_per_second": size / 1e6 / seconds,
        "server": {"cpu_us_per_operation": cpu * 1e6 / count},
    }


def ingest(setting, server, stream):
    """What writing costs in a table with a stream, or without."""
    make_table(server, TABLE, stream)
    load = ["batch-write-item", "--seconds", setting.seconds, "--warm-up", 0.5, "--connections", 32, "--table", TABLE]
    told = recovery.run([setting.binary, "--json", "bench", *load, "--http", server.http, "--pid", server.pid])
    return json.loads(told)


def make_table(server, name, stream):
    view = {"StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}} if stream else {}
    filling.ask(server, "CreateTable", view | {
        "TableName": name,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "device_id", "AttributeType": "S"}, {"AttributeName": "ts", "AttributeType": "N"}],
        "KeySchema": [{"AttributeName": "device_id", "KeyType": "HASH"}, {"AttributeName": "ts", "KeyType": "RANGE"}],
    })  # fmt: skip


class Nats:
    """As much of the NATS protocol as it takes to write and to fetch."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.file = self.socket.makefile("rb")
        self.file.readline()
        self.socket.sendall(b'CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\nSUB inbox 1\r\nPING\r\n')
        self.until(b"PONG")

    def until(self, word):
        while not (line := self.file.readline()).startswith(word):
            if not line or line.startswith(b"-ERR"):
                raise peers.Broken(f"nats-server: {line!r}")
        return line

    def message(self):
        """The next message to this client."""
        line = self.until((b"MSG", b"HMSG"))
        return self.file.read(int(line.split()[-1]) + 2)[:-2]

    def ask(self, subject, body):
        body = json.dumps(body).encode()
        self.socket.sendall(b"PUB %s inbox %d\r\n%s\r\n" % (subject.encode(), len(body), body))
        answer = json.loads(self.message())
        if "error" in answer:
            raise peers.Broken(f"{subject}: {answer['error']}")

    def publish(self, subject, payload, count):
        """Publishes so many, and waits until each is acknowledged."""
        self.socket.sendall(b"PUB %s inbox %d\r\n%s\r\n" % (subject.encode(), len(payload), payload) * count)
        for _ in range(count):
            self.message()

    def fetch(self, subject, count):
        """Asks for so many messages; answers how many came, and their bytes."""
        body = json.dumps({"batch": count, "no_wait": True}).encode()
        self.socket.sendall(b"PUB %s inbox %d\r\n%s\r\n" % (subject.encode(), len(body), body))
        size = 0
        for _ in range(count):
            size += len(self.message())
        return count, size


class JetStream(peers.Contender):
    name = "jetstream"
    acknowledges = "before any sync (every 2 minutes)"

    def __init__(self, tools):
        self.program = shutil.which("nats-server", path=f"{tools / 'python' / 'bin'}:{os.environ.get('PATH', '')}")

    def prepare(self, install):
        return None if self.program else "nats-server is not installed; ./test fetches it"

    def version(self):
        return peers.output(self.program, "--version")

    def command(self, directory, port):
        address = ["--addr", "127.0.0.1", "--port", port]
        return [self.program, *address, "--jetstream", "--store_dir", directory / "jetstream"]

    def server(self, process, port):
        return peers.Running(pid=process.pid, ask=lambda _name, setting: messages(setting, port, process.pid))
