"""Parameters from before there were expressions, through the AWS SDK: hot, cold, through indexes and page by page they tell
what the same items in memory tell."""

import itertools
import random

import pytest
from boto3.dynamodb.types import TypeSerializer
from botocore.exceptions import ClientError
from harness import plain

READINGS = {
    "TableName": "readings",
    "AttributeDefinitions": [
        {"AttributeName": "device", "AttributeType": "S"},
        {"AttributeName": "at", "AttributeType": "N"},
        {"AttributeName": "site", "AttributeType": "S"},
        {"AttributeName": "level", "AttributeType": "N"},
    ],
    "KeySchema": [{"AttributeName": "device", "KeyType": "HASH"}, {"AttributeName": "at", "KeyType": "RANGE"}],
    "LocalSecondaryIndexes": [
        {
            "IndexName": "by-level",
            "KeySchema": [
                {"AttributeName": "device", "KeyType": "HASH"},
                {"AttributeName": "level", "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "KEYS_ONLY"},
        }
    ],
    "GlobalSecondaryIndexes": [
        {
            "IndexName": "by-site",
            "KeySchema": [{"AttributeName": "site", "KeyType": "HASH"}, {"AttributeName": "level", "KeyType": "RANGE"}],
            "Projection": {"ProjectionType": "ALL"},
        }
    ],
    "BillingMode": "PAY_PER_REQUEST",
}


def wire(value):
    return TypeSerializer().serialize(value)


def condition(operator, *arguments):
    return {"ComparisonOperator": operator, "AttributeValueList": [wire(argument) for argument in arguments]}


def pages(operation, **request):
    """Every item, page by page, and how many pages that were."""
    items, count, start = [], 0, {}
    while True:
        page = operation(TableName="readings", **request, **start)
        items += [plain(item) for item in page["Items"]]
        count += 1
        if "LastEvaluatedKey" not in page:
            return items, count
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


@pytest.fixture
def client(server):
    client = server.dynamodb()
    client.create_table(**READINGS)
    return client


def fill(client):
    random.seed(7)
    items = []
    for device, at in itertools.product(["pump-1", "pump-2"], range(60)):
        item = {"device": device, "at": at, "note": random.choice(["wet", "dry", "wet and cold"])}
        if at % 3:
            item |= {"level": random.randrange(9), "site": random.choice(["north", "south"])}
        if at % 4 == 0:
            item["tags"] = {random.choice("ab"), "c"}
        items.append(item)
    for batch in [items[at : at + 25] for at in range(0, len(items), 25)]:
        puts = [{"PutRequest": {"Item": {name: wire(value) for name, value in item.items()}}} for item in batch]
        assert not client.batch_write_item(RequestItems={"readings": puts})["UnprocessedItems"]
    return items


def check_reads(client, items):
    def by_key(found):
        return sorted(found, key=lambda item: (item["device"], item["at"]))

    def scan(test, **request):
        found, count = pages(client.scan, **request)
        assert by_key(found) == [item for item in items if test(item)]
        return count

    def query(test, order, **request):
        found, count = pages(client.query, **request)
        assert found == sorted((item for item in items if test(item)), key=lambda item: item[order])
        return count

    wet = {"note": condition("BEGINS_WITH", "wet")}
    high = {"level": condition("GE", 5)}
    scan(lambda item: True)
    scan(lambda item: item["note"].startswith("wet"), ScanFilter=wet)
    scan(
        lambda item: item["note"].startswith("wet") or item.get("level", 0) >= 5,
        ScanFilter=wet | high,
        ConditionalOperator="OR",
    )
    assert scan(lambda item: item["note"].startswith("wet") and item.get("level", 0) >= 5, ScanFilter=wet | high, Limit=7) > 10
    scan(lambda item: "level" not in item, ScanFilter={"level": condition("NULL")})
    scan(lambda item: item.get("level") != 3, ScanFilter={"level": condition("NE", 3)})
    scan(lambda item: "a" in item.get("tags", ()), ScanFilter={"tags": condition("CONTAINS", "a")})
    scan(lambda item: "a" not in item.get("tags", ()), ScanFilter={"tags": condition("NOT_CONTAINS", "a")})
    scan(lambda item: item.get("tags") == {"a", "c"}, ScanFilter={"tags": condition("EQ", {"c", "a"})})
    scan(lambda item: item["at"] in (3, 4, 59), ScanFilter={"at": condition("IN", 59, 3, 4, 60)})

    pump = {"device": condition("EQ", "pump-1")}
    for operator, arguments, test in [
        ("EQ", [30], lambda at: at == 30),
        ("LT", [30], lambda at: at < 30),
        ("LE", [30], lambda at: at <= 30),
        ("GT", [30], lambda at: at > 30),
        ("GE", [30], lambda at: at >= 30),
        ("BETWEEN", [10, 30], lambda at: 10 <= at <= 30),
    ]:
        keys = pump | {"at": condition(operator, *arguments)}
        query(lambda item, test=test: item["device"] == "pump-1" and test(item["at"]), "at", KeyConditions=keys)
    assert query(lambda item: item["device"] == "pump-1", "at", KeyConditions=pump, Limit=7) == 9
    found, count = pages(
        client.query, KeyConditions=pump, QueryFilter=wet | high, ConditionalOperator="OR", Limit=20, ScanIndexForward=False
    )
    expected = [i for i in items if i["device"] == "pump-1" and (i["note"].startswith("wet") or i.get("level", 0) >= 5)]
    assert (found, count) == (expected[::-1], 4)

    # A local index answers what its entries do not hold, if it is asked for by name.
    request = {"IndexName": "by-level", "KeyConditions": pump | high, "AttributesToGet": ["note", "level"], "Limit": 3}
    found, _ = pages(client.query, **request)
    expected = [item for item in items if item["device"] == "pump-1" and item.get("level", 0) >= 5]
    expected = [{"note": i["note"], "level": i["level"]} for i in sorted(expected, key=lambda i: (i["level"], i["at"]))]
    assert found == expected
    north = {"site": condition("EQ", "north")}
    found, _ = pages(client.query, IndexName="by-site", KeyConditions=north | high, QueryFilter=wet, Limit=2)
    expected = [i for i in items if i.get("site") == "north" and i["level"] >= 5 and i["note"].startswith("wet")]
    assert sorted(i["level"] for i in found) == [i["level"] for i in found]
    assert by_key(found) == expected
    counted = client.query(
        TableName="readings", IndexName="by-site", KeyConditions=north, QueryFilter=wet, Select="COUNT",
        ReturnConsumedCapacity="TOTAL",
    )  # fmt: skip
    assert counted["Count"] == len([i for i in items if i.get("site") == "north" and i["note"].startswith("wet")])
    assert counted["ScannedCount"] == len([i for i in items if i.get("site") == "north"])
    assert "Items" not in counted and counted["ConsumedCapacity"]["CapacityUnits"] > 0


def test_reads_tell_what_the_items_say_hot_and_cold(server, client):
    items = fill(client)
    check_reads(client, items)
    server.run("compact")
    check_reads(client, items)
    size = client.put_item(
        TableName="readings",
        Item={"device": {"S": "pump-1"}, "at": {"N": "0"}},
        ReturnItemCollectionMetrics="SIZE",
    )["ItemCollectionMetrics"]
    assert size == {"ItemCollectionKey": {"device": {"S": "pump-1"}}, "SizeEstimateRangeGB": [0.0, 1.0]}


def test_a_lock_is_taken_once(client):
    key = {"device": {"S": "lock"}, "at": {"N": "0"}}

    def lock(owner, edition):
        expected = {"edition": {"Value": wire(edition)} if edition else {"Exists": False}}
        return client.update_item(
            TableName="readings",
            Key=key,
            AttributeUpdates={
                "owner": {"Action": "PUT", "Value": wire(owner)},
                "edition": {"Action": "ADD", "Value": wire(1)},
                "owners": {"Action": "ADD", "Value": {"L": [wire(owner)]}},
            },
            Expected=expected,
            ReturnValues="ALL_OLD",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )

    assert "Attributes" not in lock("a", 0)
    assert plain(lock("b", 1)["Attributes"])["owners"] == ["a"]
    with pytest.raises(ClientError) as refused:
        lock("c", 1)
    assert refused.value.response["Error"]["Code"] == "ConditionalCheckFailedException"
    held = plain(refused.value.response["Item"])
    assert held == {"device": "lock", "at": 0, "owner": "b", "edition": 2, "owners": ["a", "b"]}
    with pytest.raises(ClientError) as refused:
        client.delete_item(TableName="readings", Key=key, Expected={"owner": condition("NE", "b")})
    assert refused.value.response["Error"]["Code"] == "ConditionalCheckFailedException"
    either = {"owner": condition("NE", "b"), "edition": condition("GE", 2)}
    gone = client.delete_item(
        TableName="readings", Key=key, Expected=either, ConditionalOperator="OR", ReturnValues="ALL_OLD"
    )
    assert plain(gone["Attributes"]) == held
