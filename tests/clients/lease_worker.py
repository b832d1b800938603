"""A worker that reads a change stream in the way of the Kinesis Client Library, all state in the database itself.

    lease_worker.py URL STREAM_ARN LEASES WORKER LEDGER DIE_AFTER

One row of the table LEASES for each shard says who reads it (`owner`), that the owner lives (`counter` grows), and how far it
is (`checkpoint`). A worker takes leases whose counter has stood still, and steals one from whoever has most while it has at
least two less. What it reads it appends to the file LEDGER, a line a record, before it moves the checkpoint: so every record
is there at least once. It dies without warning after DIE_AFTER records, right before a checkpoint (0: it does not).
"""

import json
import os
import sys
import time

import boto3
from botocore.exceptions import ClientError

FAILOVER_S = 1.0
LEASE = {"#o": "owner", "#c": "counter"}
CREDENTIALS = {"region_name": "us-east-1", "aws_access_key_id": "any", "aws_secret_access_key": "any"}


class Worker:
    def __init__(self, url, stream, leases, name, ledger, die_after):
        self.streams = boto3.client("dynamodbstreams", endpoint_url=url, **CREDENTIALS)
        self.leases = boto3.resource("dynamodb", endpoint_url=url, **CREDENTIALS).Table(leases)
        self.stream = stream
        self.name = name
        self.ledger = open(ledger, "a")
        self.left = int(die_after) or None
        self.seen = {}
        self.iterators = {}

    def run(self):
        for shard in self.shards():
            self.change(shard, "SET #c = :zero", "attribute_not_exists(#c)", {"#c": "counter"}, {":zero": 0})
        while True:
            rows = self.leases.scan(ConsistentRead=True)["Items"]
            mine = [row for row in rows if row.get("owner") == self.name]
            for row in mine:
                self.read(row)
            taken = self.take(rows, len(mine))
            if not mine and not taken:
                time.sleep(0.05)

    def shards(self):
        start = {}
        while True:
            page = self.streams.describe_stream(StreamArn=self.stream, Limit=2, **start)["StreamDescription"]
            yield from (shard["ShardId"] for shard in page["Shards"])
            if "LastEvaluatedShardId" not in page:
                return
            start = {"ExclusiveStartShardId": page["LastEvaluatedShardId"]}

    def take(self, rows, held):
        """Takes one lease that nobody keeps, or one from whoever has more than a fair share."""
        now = time.monotonic()
        owners = {}
        for row in rows:
            counter, since = self.seen.get(row["shard"], (None, now))
            if counter != row["counter"]:
                since = now
            self.seen[row["shard"]] = (row["counter"], since)
            owner = row.get("owner")
            if owner is None or owner != self.name and now - since > FAILOVER_S:
                return self.claim(row)
            owners.setdefault(owner, []).append(row)
        richest = max(owners.values(), key=len, default=[])
        if len(richest) >= held + 2 and richest[0].get("owner") != self.name:
            return self.claim(richest[0])
        return False

    def claim(self, row):
        self.iterators.pop(row["shard"], None)
        values = {":me": self.name, ":one": 1, ":seen": row["counter"]}
        return self.change(row["shard"], "SET #o = :me ADD #c :one", "#c = :seen", LEASE, values)

    def read(self, row):
        shard = row["shard"]
        iterator = self.iterators.get(shard) or self.iterator(shard, row.get("checkpoint"))
        answer = self.streams.get_records(ShardIterator=iterator, Limit=7)
        for record in answer["Records"]:
            line = [shard, record["dynamodb"]["SequenceNumber"], record["eventName"], record["dynamodb"]["Keys"]]
            self.ledger.write(json.dumps(line) + "\n")
        self.ledger.flush()
        os.fsync(self.ledger.fileno())
        if self.left is not None and answer["Records"]:
            self.left -= len(answer["Records"])
            if self.left <= 0:
                os._exit(9)
        checkpoint = row.get("checkpoint", "")
        if answer["Records"]:
            checkpoint = answer["Records"][-1]["dynamodb"]["SequenceNumber"]
        names = LEASE | {"#p": "checkpoint"}
        kept = self.change(
            shard, "SET #p = :p ADD #c :one", "#o = :me", names, {":me": self.name, ":one": 1, ":p": checkpoint}
        )
        # A worker whose lease was stolen must not read on from where it was when it gets it back.
        if kept and answer.get("NextShardIterator"):
            self.iterators[shard] = answer["NextShardIterator"]
        else:
            self.iterators.pop(shard, None)

    def iterator(self, shard, checkpoint):
        after = {"ShardIteratorType": "TRIM_HORIZON"}
        if checkpoint:
            after = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": checkpoint}
        return self.streams.get_shard_iterator(StreamArn=self.stream, ShardId=shard, **after)["ShardIterator"]

    def change(self, shard, update, condition, names, values):
        """Changes a lease if the condition still holds; answers whether it did."""
        try:
            self.leases.update_item(
                Key={"shard": shard},
                UpdateExpression=update,
                ConditionExpression=condition,
                ExpressionAttributeNames=names,
                ExpressionAttributeValues=values,
            )
            return True
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
            return False


if __name__ == "__main__":
    Worker(*sys.argv[1:]).run()
