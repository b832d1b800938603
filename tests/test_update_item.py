"""UpdateItem through an unmodified SDK: counters, conditions, nested paths, and what the change stream tells of it."""

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import boto3
import pytest
from boto3.dynamodb.conditions import Attr
from botocore.exceptions import ClientError


@pytest.fixture
def table(server):
    return make_table(server)


def make_table(server):
    return boto3.resource("dynamodb", **server.sdk()).create_table(
        TableName="fleet",
        KeySchema=[{"AttributeName": "device", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "device", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )


def refusal(update, **arguments):
    with pytest.raises(ClientError) as refused:
        update(**arguments)
    error = refused.value.response["Error"]
    return error["Code"], error["Message"]


def test_an_item_is_changed_in_place(server, table):
    pump = {"device": "pump"}
    made = table.update_item(
        Key=pump,
        UpdateExpression="SET #s = :s, readings = :r, place = :p ADD seen :one, tags :t",
        ExpressionAttributeNames={"#s": "state"},
        ExpressionAttributeValues={
            ":s": "on", ":r": [Decimal("1.5")], ":p": {"hall": "A", "row": 3}, ":one": 1, ":t": {"new", "wet"},
        },  # fmt: skip
        ReturnValues="ALL_NEW",
    )["Attributes"]
    assert made == {
        "device": "pump", "state": "on", "readings": [Decimal("1.5")], "place": {"hall": "A", "row": 3}, "seen": 1,
        "tags": {"new", "wet"},
    }  # fmt: skip
    changed = table.update_item(
        Key=pump,
        UpdateExpression="SET readings = list_append(readings, :r), place.#r = place.#r + :one, since = if_not_exists(since, :f) "
        "REMOVE #s, place.hall DELETE tags :t ADD seen :one",
        ExpressionAttributeNames={"#s": "state", "#r": "row"},
        ExpressionAttributeValues={":r": [2, 3], ":one": 1, ":t": {"new"}, ":f": "noon"},
        ReturnValues="UPDATED_NEW",
    )["Attributes"]
    assert changed == {
        "readings": [Decimal("1.5"), 2, 3], "place": {"row": 4}, "since": "noon", "seen": 2, "tags": {"wet"},
    }  # fmt: skip
    old = table.update_item(
        Key=pump,
        UpdateExpression="REMOVE readings[0], readings[2] SET place.hall = :h",
        ExpressionAttributeValues={":h": "B"},
        ReturnValues="UPDATED_OLD",
    )["Attributes"]
    assert old == {"readings": [Decimal("1.5"), 3]}
    assert table.get_item(Key=pump)["Item"] == {
        "device": "pump", "readings": [2], "place": {"row": 4, "hall": "B"}, "since": "noon", "seen": 2, "tags": {"wet"},
    }  # fmt: skip
    assert "Attributes" not in table.update_item(Key=pump, UpdateExpression="REMOVE nothing")
    table.update_item(Key={"device": "ghost"}, UpdateExpression="REMOVE nothing")
    assert "Item" not in table.get_item(Key={"device": "ghost"})
    kinds = [record["eventName"] for record in server.changes("fleet")]
    assert kinds == ["INSERT", "MODIFY", "MODIFY"], "an update that changes nothing tells nothing"


def test_a_condition_guards_an_update(table):
    def lock(owner, version):
        return table.update_item(
            Key={"device": "lock"},
            UpdateExpression="SET held_by = :o, edition = :next",
            ConditionExpression=Attr("edition").not_exists() | Attr("edition").eq(version),
            ExpressionAttributeValues={":o": owner, ":next": version + 1},
            ReturnValues="ALL_OLD",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )

    assert "Attributes" not in lock("a", 0)
    assert lock("b", 1)["Attributes"] == {"device": "lock", "held_by": "a", "edition": 1}
    with pytest.raises(ClientError) as refused:
        lock("c", 1)
    assert refused.value.response["Error"]["Code"] == "ConditionalCheckFailedException"
    assert refused.value.response["Item"] == {"device": {"S": "lock"}, "held_by": {"S": "b"}, "edition": {"N": "2"}}
    assert table.get_item(Key={"device": "lock"})["Item"]["held_by"] == "b"


def test_what_cannot_be_done_is_said_in_dynamodbs_words(table):
    def refused(expression, **values):
        values = {f":{name}": value for name, value in values.items()}
        given = {"ExpressionAttributeValues": values} if values else {}
        code, message = refusal(table.update_item, Key={"device": "pump"}, UpdateExpression=expression, **given)
        assert code == "ValidationException"
        return message

    table.put_item(Item={"device": "pump", "note": "x", "big": "y" * 300_000})
    assert "Cannot update attribute device. This attribute is part of the key" in refused("SET device = :v", v="other")
    assert refused("ADD note :v", v=1) == "An operand in the update expression has an incorrect data type"
    assert "does not exist in the item" in refused("SET a = b")
    assert "invalid for update" in refused("SET a.b = :v", v=1)
    assert refused("SET twin = big") == "Item size to update has exceeded the maximum allowed size"
    assert 'The "SET" section can only be used once' in refused("SET a = :v SET b = :v", v=1)
    assert "too many operators" in refused("SET " + ",".join(f"a{at}=b+c" for at in range(301)))
    assert set(table.get_item(Key={"device": "pump"})["Item"]) == {"device", "note", "big"}


def test_counters_are_exact_when_many_count_and_the_server_is_killed(make_server):
    server = make_server().start()
    make_table(server)

    def count(client):
        table = boto3.resource("dynamodb", **server.sdk()).Table("fleet")
        for _ in range(40):
            table.update_item(
                Key={"device": "all"},
                UpdateExpression="ADD counted :n, #c :n",
                ExpressionAttributeNames={"#c": f"client{client}"},
                ExpressionAttributeValues={":n": client + 1},
            )

    with ThreadPoolExecutor(6) as clients:
        list(clients.map(count, range(6)))
    # Cold, then hot again after a kill: updates find the old item in the files, and the log.
    server.run("compact")
    server.kill()
    server.start()
    with ThreadPoolExecutor(6) as clients:
        list(clients.map(count, range(6)))
    item = boto3.resource("dynamodb", **server.sdk()).Table("fleet").get_item(Key={"device": "all"})["Item"]
    each = {f"client{client}": 80 * (client + 1) for client in range(6)}
    assert item == {"device": "all", "counted": sum(each.values())} | each
