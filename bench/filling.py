"""How fast an index that is added to a table gets the entries of the items that are there."""

import json
import os
import time
import urllib.request

import peers
import recovery

TABLE = "filled"
ITEMS_OF_A_REQUEST = 25
TIMEOUT_S = 600


def measure(setting, server, projection):
    """Items a second, from the request for the index until it may be read; all items are in Parquet files before."""
    items = setting.rows
    load = ["batch-write-item", "--count", items // ITEMS_OF_A_REQUEST, "--connections", 4, "--table", TABLE]
    recovery.run([setting.binary, "--json", "bench", *load, "--http", server.http])
    recovery.run([setting.binary, "compact", "--http", server.http])
    ask(server, "UpdateTable", {
        "TableName": TABLE,
        "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "N"} for name in ["vel", "ts"]],
        "GlobalSecondaryIndexUpdates": [{"Create": {
            "IndexName": "by-velocity",
            "KeySchema": [{"AttributeName": "vel", "KeyType": "HASH"}, {"AttributeName": "ts", "KeyType": "RANGE"}],
            "Projection": {"ProjectionType": projection},
        }}],
    })  # fmt: skip
    began, cpu_before = time.monotonic(), cpu_seconds(server.pid)
    while True:
        (index,) = ask(server, "DescribeTable", {"TableName": TABLE})["Table"]["GlobalSecondaryIndexes"]
        if index["IndexStatus"] == "ACTIVE":
            break
        if time.monotonic() - began > TIMEOUT_S:
            raise peers.Broken(f"the index is not filled after {TIMEOUT_S} s")
        time.sleep(0.02)
    seconds, cpu = time.monotonic() - began, cpu_seconds(server.pid) - cpu_before
    filled = recovery.metrics(server)["thalweg_compactor_filled_entries_total"]
    return {
        "operations": filled,
        "seconds": seconds,
        "per_second": filled / seconds,
        "server": {"cpu_us_per_operation": cpu * 1e6 / filled},
    }


def ask(server, operation, body):
    """One request of the DynamoDB protocol."""
    protocol = "DynamoDBStreams_20120810" if operation in STREAMS else "DynamoDB_20120810"
    headers = {"X-Amz-Target": f"{protocol}.{operation}", "Content-Type": "application/x-amz-json-1.0"}
    request = urllib.request.Request(f"http://{server.http}/", data=json.dumps(body).encode(), headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise peers.Broken(f"{operation}: {error.read().decode()[:300]}") from error


STREAMS = ["ListStreams", "DescribeStream", "GetShardIterator", "GetRecords"]


def cpu_seconds(pid):
    """User and system time of a process."""
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
