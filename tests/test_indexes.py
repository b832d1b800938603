"""Secondary indexes through the AWS SDK: entries are what the items say, hot, cold, after a kill, and after back-fill."""

import itertools
import random
import threading

import pytest
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError
from harness import thalweg, wait_for

SITES = ["north", "south", "west"]
ATTRIBUTES = [
    {"AttributeName": "device", "AttributeType": "S"},
    {"AttributeName": "at", "AttributeType": "N"},
    {"AttributeName": "site", "AttributeType": "S"},
    {"AttributeName": "level", "AttributeType": "N"},
]
KEY = [{"AttributeName": "device", "KeyType": "HASH"}, {"AttributeName": "at", "KeyType": "RANGE"}]
BY_SITE = {
    "IndexName": "by-site",
    "KeySchema": [{"AttributeName": "site", "KeyType": "HASH"}, {"AttributeName": "level", "KeyType": "RANGE"}],
    "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["colour"]},
}
BY_LEVEL = {
    "IndexName": "by-level",
    "KeySchema": [{"AttributeName": "device", "KeyType": "HASH"}, {"AttributeName": "level", "KeyType": "RANGE"}],
    "Projection": {"ProjectionType": "KEYS_ONLY"},
}


def wire(item):
    return {name: TypeSerializer().serialize(value) for name, value in item.items()}


def plain(item):
    return {name: TypeDeserializer().deserialize(value) for name, value in item.items()}


def create(client, **indexes):
    attributes = ATTRIBUTES if indexes else ATTRIBUTES[:2]
    client.create_table(
        TableName="readings", AttributeDefinitions=attributes, KeySchema=KEY, BillingMode="PAY_PER_REQUEST", **indexes
    )


def pages(operation, **request):
    """Every item, page by page, by LastEvaluatedKey."""
    start = {}
    while True:
        page = operation(TableName="readings", **request, **start)
        yield from (plain(item) for item in page["Items"])
        if "LastEvaluatedKey" not in page:
            return
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


def place(item):
    return item["level"], item["device"], item["at"]


def check(client, limit=7):
    """Compares both indexes with the table, by every kind of read."""
    items = list(pages(client.scan))
    held = {"device", "at", "site", "level", "colour"}
    entries = [{name: item[name] for name in item.keys() & held} for item in items if {"site", "level"} <= item.keys()]
    for site, forward in itertools.product(SITES, [True, False]):
        expected = sorted((entry for entry in entries if entry["site"] == site), key=place, reverse=not forward)
        values = {":s": {"S": site}}
        found = pages(
            client.query, IndexName="by-site", KeyConditionExpression="site = :s", ExpressionAttributeValues=values,
            ScanIndexForward=forward, Limit=limit,
        )  # fmt: skip
        assert list(found) == expected
        found = pages(
            client.query, IndexName="by-site", KeyConditionExpression="site = :s AND #l BETWEEN :a AND :b",
            ExpressionAttributeNames={"#l": "level"}, ScanIndexForward=forward,
            ExpressionAttributeValues=values | {":a": {"N": "1"}, ":b": {"N": "2"}},
        )  # fmt: skip
        assert list(found) == [entry for entry in expected if 1 <= entry["level"] <= 2]
    by_key = sorted(entries, key=lambda entry: (entry["device"], entry["at"]))
    found = pages(client.scan, IndexName="by-site", Limit=limit)
    assert list(found) == sorted(entries, key=lambda entry: (entry["site"], *place(entry)))
    segments = [list(pages(client.scan, IndexName="by-site", Segment=at, TotalSegments=3, Limit=limit)) for at in range(3)]
    assert sorted(itertools.chain(*segments), key=lambda entry: (entry["device"], entry["at"])) == by_key
    return items


def check_local(client, items):
    for device in {item["device"] for item in items}:
        expected = sorted((item for item in items if item["device"] == device and "level" in item), key=place)
        query = {
            "IndexName": "by-level", "KeyConditionExpression": "device = :d", "ConsistentRead": True,
            "ExpressionAttributeValues": {":d": {"S": device}},
        }  # fmt: skip
        keys = [{name: item[name] for name in ("device", "at", "level")} for item in expected]
        assert list(pages(client.query, **query)) == keys
        # A local index fetches from the table what it does not hold.
        assert list(pages(client.query, Select="ALL_ATTRIBUTES", Limit=3, **query)) == expected
        # A filter may look at what is not shown.
        filtered = query | {"FilterExpression": "attribute_exists(colour)"}
        shown = [key for key, item in zip(keys, expected, strict=True) if "colour" in item]
        assert list(pages(client.query, **filtered)) == shown


class Writer:
    """Puts, updates and removes items, drawn at random."""

    def __init__(self, client, seed):
        self.client, self.random = client, random.Random(seed)

    def write(self, count, devices=12):
        draw = self.random
        for _ in range(count):
            key = {"device": f"d{draw.randrange(devices)}", "at": draw.randrange(20)}
            item = key | {"colour": draw.choice("CFK"), "note": "x" * draw.randrange(50)}
            if draw.random() < 0.8:
                item["site"] = draw.choice(SITES)
            if draw.random() < 0.8:
                item["level"] = draw.randrange(4)
            match draw.randrange(6):
                case 0:
                    self.client.delete_item(TableName="readings", Key=wire(key))
                case 1:
                    self.client.update_item(
                        TableName="readings", Key=wire(key), UpdateExpression="SET site = :s ADD #l :one REMOVE colour",
                        ExpressionAttributeNames={"#l": "level"},
                        ExpressionAttributeValues=wire({":s": draw.choice(SITES), ":one": 1}),
                    )  # fmt: skip
                case _:
                    self.client.put_item(TableName="readings", Item=wire(item))


def test_entries_follow_their_items(server):
    client = server.dynamodb()
    create(client, GlobalSecondaryIndexes=[BY_SITE], LocalSecondaryIndexes=[BY_LEVEL])
    writer = Writer(client, 1)
    for _ in range(2):
        writer.write(300)
        check_local(client, check(client))
        server.run("compact")
        check_local(client, check(client))
    writer.write(200)
    server.kill()
    server.start()
    client = server.dynamodb()
    items = check(client)
    check_local(client, items)
    described = client.describe_table(TableName="readings")["Table"]
    assert {attribute["AttributeName"] for attribute in described["AttributeDefinitions"]} == {"device", "at", "site", "level"}
    (by_site,) = described["GlobalSecondaryIndexes"]
    assert by_site["IndexStatus"] == "ACTIVE"
    assert by_site["Projection"] == BY_SITE["Projection"]
    assert described["LocalSecondaryIndexes"][0]["KeySchema"] == BY_LEVEL["KeySchema"]
    server.stop()
    assert "sound" in thalweg("verify", "--data-dir", server.data).stdout


def test_an_index_is_filled_while_items_come_and_go(server):
    client = server.dynamodb()
    create(client)
    Writer(client, 2).write(1500, devices=40)
    ended = threading.Event()

    def write():
        writer = Writer(server.dynamodb(), 3)
        while not ended.is_set():
            writer.write(20, devices=40)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    try:
        change = {"AttributeDefinitions": ATTRIBUTES, "GlobalSecondaryIndexUpdates": [{"Create": BY_SITE}]}
        described = client.update_table(TableName="readings", **change)["TableDescription"]
        assert described["TableStatus"] == "UPDATING"
        assert described["GlobalSecondaryIndexes"][0]["IndexStatus"] == "CREATING"

        def active():
            (index,) = client.describe_table(TableName="readings")["Table"]["GlobalSecondaryIndexes"]
            return index["IndexStatus"] == "ACTIVE"

        wait_for("the index", active)
    finally:
        ended.set()
        thread.join(30)
    check(client)
    server.run("compact")
    check(client)
    server.kill()
    server.start()
    client = server.dynamodb()
    check(client)
    change = {"GlobalSecondaryIndexUpdates": [{"Delete": {"IndexName": "by-site"}}]}
    client.update_table(TableName="readings", **change)
    assert "GlobalSecondaryIndexes" not in client.describe_table(TableName="readings")["Table"]
    server.run("compact")
    server.stop()
    assert "sound" in thalweg("verify", "--data-dir", server.data).stdout


def test_what_cannot_be_is_refused_with_its_reason(server):
    client = server.dynamodb()

    def refused(text, operation, **request):
        with pytest.raises(ClientError) as error:
            operation(TableName="readings", **request)
        assert text in error.value.response["Error"]["Message"]

    table = {"KeySchema": KEY, "BillingMode": "PAY_PER_REQUEST"}
    refused(
        "Some index key attributes are not defined", client.create_table,
        AttributeDefinitions=ATTRIBUTES[:2], GlobalSecondaryIndexes=[BY_SITE], **table,
    )  # fmt: skip
    refused(
        "Some AttributeDefinitions are not used", client.create_table,
        AttributeDefinitions=ATTRIBUTES, LocalSecondaryIndexes=[BY_LEVEL], **table,
    )  # fmt: skip
    refused(
        "Duplicate index name: by-site", client.create_table,
        AttributeDefinitions=ATTRIBUTES, GlobalSecondaryIndexes=[BY_SITE, BY_SITE], **table,
    )  # fmt: skip
    # 200 characters, 400 bytes: what could not be read back is not stored.
    long = "\u00e9" * 200
    refused(
        "400 bytes, not 1 to 255", client.create_table, KeySchema=[{"AttributeName": long, "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": long, "AttributeType": "S"}], BillingMode="PAY_PER_REQUEST",
    )  # fmt: skip
    create(client, GlobalSecondaryIndexes=[BY_SITE], LocalSecondaryIndexes=[BY_LEVEL])
    refused("Type mismatch for Index Key level", client.put_item, Item=wire({"device": "d", "at": 1, "level": "high"}))
    refused("empty string value", client.put_item, Item=wire({"device": "d", "at": 1, "site": ""}))
    update = {
        "Key": wire({"device": "d", "at": 1}), "UpdateExpression": "SET site = :n",
        "ExpressionAttributeValues": {":n": {"N": "1"}},
    }  # fmt: skip
    refused("Type mismatch for Index Key site", client.update_item, **update)
    by_site = {
        "IndexName": "by-site", "KeyConditionExpression": "site = :s", "ExpressionAttributeValues": {":s": {"S": "x"}},
    }  # fmt: skip
    refused("Consistent reads are not supported", client.query, ConsistentRead=True, **by_site)
    refused("does not project [note]", client.query, ProjectionExpression="note", **by_site)
    refused("its projection type is not ALL", client.query, Select="ALL_ATTRIBUTES", **by_site)
    refused("The table does not have the specified index: none", client.query, **by_site | {"IndexName": "none"})
    refused("Query condition missed key schema element", client.query, **by_site | {"KeyConditionExpression": "device = :s"})
    key = wire({"device": "d", "at": 1})
    refused("The provided starting key is invalid", client.query, ExclusiveStartKey=key, **by_site)
    change = [{"Delete": {"IndexName": "none"}}]
    refused("Requested resource not found", client.update_table, GlobalSecondaryIndexUpdates=change)
