"""Tables through the AWS SDK: what is set of them outlives a restart, index keys of several attributes are found hot and cold,
and provisioned tables give what is provisioned."""

import time
from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from harness import thalweg, wait_for

ONCE = Config(retries={"total_max_attempts": 1, "mode": "standard"})
ATTRIBUTES = {"id": "S", "tournament": "S", "region": "S", "round": "N", "bracket": "S"}
BY_PLACE = {
    "IndexName": "by-place",
    "KeySchema": [
        {"AttributeName": "tournament", "KeyType": "HASH"},
        {"AttributeName": "region", "KeyType": "HASH"},
        {"AttributeName": "round", "KeyType": "RANGE"},
        {"AttributeName": "bracket", "KeyType": "RANGE"},
    ],
    "Projection": {"ProjectionType": "KEYS_ONLY"},
}


def client(server):
    return boto3.client("dynamodb", **{**server.sdk(), "config": ONCE})


def units(read, write):
    return {"ReadCapacityUnits": read, "WriteCapacityUnits": write}


def definitions(*names):
    return [{"AttributeName": name, "AttributeType": ATTRIBUTES[name]} for name in names]


def create(database, name, **more):
    return database.create_table(
        TableName=name,
        AttributeDefinitions=more.pop("AttributeDefinitions", definitions("id")),
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        **more,
    )


def described(database, name):
    """All but counts and sizes, which are approximate."""
    table = database.describe_table(TableName=name)["Table"]
    for counted in [table, *table.get("GlobalSecondaryIndexes", [])]:
        for member in ["ItemCount", "TableSizeBytes", "IndexSizeBytes"]:
            counted.pop(member, None)
    return table


def test_capacity_and_class_outlive_a_restart_and_a_flush(server):
    database = client(server)
    index = {**BY_PLACE, "ProvisionedThroughput": units(3, 4)}
    create(
        database,
        "matches",
        AttributeDefinitions=definitions(*ATTRIBUTES),
        BillingMode="PROVISIONED",
        ProvisionedThroughput=units(5, 6),
        GlobalSecondaryIndexes=[index],
        TableClass="STANDARD_INFREQUENT_ACCESS",
    )
    change = {"IndexName": "by-place", "ProvisionedThroughput": units(2, 9), "WarmThroughput": {"ReadUnitsPerSecond": 7}}
    database.update_table(
        TableName="matches",
        ProvisionedThroughput=units(4, 7),
        GlobalSecondaryIndexUpdates=[{"Update": change}],
    )
    database.update_table(TableName="matches", TableClass="STANDARD")
    create(database, "bounded", BillingMode="PAY_PER_REQUEST", OnDemandThroughput={"MaxReadRequestUnits": 8})
    database.update_table(TableName="bounded", BillingMode="PROVISIONED", ProvisionedThroughput=units(1, 1))
    database.update_table(
        TableName="bounded", BillingMode="PAY_PER_REQUEST", OnDemandThroughput={"MaxWriteRequestUnits": 9}
    )
    before = [described(database, name) for name in ["matches", "bounded"]]
    assert before[0]["ProvisionedThroughput"]["NumberOfDecreasesToday"] in (0, 1), "0 only at midnight"
    assert before[0]["GlobalSecondaryIndexes"][0]["WarmThroughput"]["ReadUnitsPerSecond"] == 7
    assert before[0]["TableClassSummary"]["TableClass"] == "STANDARD"
    assert before[1]["OnDemandThroughput"] == {"MaxReadRequestUnits": -1, "MaxWriteRequestUnits": 9}
    assert before[1]["BillingModeSummary"]["LastUpdateToPayPerRequestDateTime"] > before[1]["CreationDateTime"]
    server.kill()
    server.start()
    assert [described(client(server), name) for name in ["matches", "bounded"]] == before
    server.run("compact")
    server.stop()
    server.start()
    assert [described(client(server), name) for name in ["matches", "bounded"]] == before


def matches():
    for number in range(240):
        match = {
            "id": f"match-{number:03}",
            "tournament": ["winter", "summer"][number % 2],
            "region": ["north", "south", "west"][number % 3],
            "round": number % 11 - 3,
            "bracket": ["low", "high"][number % 7 % 2],
            "players": ["x"] * (number % 4),
        }
        if number % 10 == 9:
            del match[["region", "bracket"][number % 20 // 10]]
        yield match


def found(server, condition, **values):
    """What the index has, page by page."""
    table = boto3.resource("dynamodb", **server.sdk()).Table("matches")
    names = {f"#{name}": name for name in ATTRIBUTES if f"#{name}" in condition}
    request = {
        "IndexName": "by-place",
        "KeyConditionExpression": condition,
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": {f":{name}": value for name, value in values.items()},
        "Limit": 3,
    }
    items = []
    while True:
        page = table.query(**request)
        items += page["Items"]
        if "LastEvaluatedKey" not in page:
            return items
        request["ExclusiveStartKey"] = page["LastEvaluatedKey"]


def check_matches(server, stored):
    keyed = [match for match in stored if "region" in match and "bracket" in match]
    order = ["round", "bracket", "id"]

    def expected(holds):
        chosen = sorted((match for match in keyed if holds(match)), key=lambda match: [match[name] for name in order])
        return [{name: match[name] for name in ATTRIBUTES} for match in chosen]

    for tournament in ["winter", "summer"]:
        for region in ["north", "west"]:

            def here(match, tournament=tournament, region=region):
                return match["tournament"] == tournament and match["region"] == region

            base = "#tournament = :t AND #region = :r"
            assert found(server, base, t=tournament, r=region) == expected(here)
            for round_ in [-3, -1, 0, 4, 9]:
                for comparator, holds in [("=", int.__eq__), ("<", int.__lt__), (">=", int.__ge__), (">", int.__gt__)]:
                    got = found(server, f"{base} AND #round {comparator} :n", t=tournament, r=region, n=round_)
                    assert got == expected(lambda it: here(it) and holds(it["round"], round_))
                got = found(
                    server,
                    f"{base} AND #round = :n AND begins_with(#bracket, :b)",
                    t=tournament, r=region, n=round_, b="hi",
                )  # fmt: skip
                assert got == expected(lambda it: here(it) and it["round"] == round_ and it["bracket"] == "high")


def test_index_keys_of_several_attributes_are_found_after_back_fill_hot_and_cold(server):
    database = client(server)
    create(database, "matches", BillingMode="PAY_PER_REQUEST")
    table = boto3.resource("dynamodb", **server.sdk()).Table("matches")
    stored = {match["id"]: match for match in matches()}
    with table.batch_writer() as batch:
        for match in stored.values():
            batch.put_item(Item=match)
    database.update_table(
        TableName="matches",
        AttributeDefinitions=definitions("tournament", "region", "round", "bracket"),
        GlobalSecondaryIndexUpdates=[{"Create": BY_PLACE}],
    )

    def is_active():
        (index,) = database.describe_table(TableName="matches")["Table"]["GlobalSecondaryIndexes"]
        assert index["KeySchema"] == BY_PLACE["KeySchema"]
        return index["IndexStatus"] == "ACTIVE"

    wait_for("the index", is_active)
    check_matches(server, stored.values())
    # Entries move, come and go.
    for number, match in enumerate(stored.values()):
        if number % 5 == 0:
            match["round"] = 9 - number % 3
            match["region"] = "north"
            table.put_item(Item=match)
    check_matches(server, stored.values())
    server.run("compact")
    check_matches(server, stored.values())
    server.kill()
    server.start()
    check_matches(server, stored.values())
    server.stop()
    thalweg("verify", "--data-dir", server.data)
    server.start()


def test_a_provisioned_table_gives_what_is_provisioned(server):
    database = client(server)
    rate = 40
    create(database, "metered", ProvisionedThroughput=units(rate, 10_000))
    database.put_item(TableName="metered", Item={"id": {"S": "large"}, "text": {"S": "x" * 400_000}})

    def read(key):
        try:
            got = database.get_item(
                TableName="metered",
                Key={"id": {"S": key}},
                ConsistentRead=True,
                ReturnConsumedCapacity="TOTAL",
                ProjectionExpression="id",
            )
        except ClientError as refused:
            assert refused.response["Error"]["Code"] == "ProvisionedThroughputExceededException"
            return 0
        return got["ConsumedCapacity"]["CapacityUnits"]

    burst = 0
    began = time.monotonic()
    while used := read("large"):
        burst += used
    spent = time.monotonic() - began
    assert 300 * rate <= burst <= (300 + spent) * rate + 100
    # The debt of the last large read is paid first.
    wait_for("a unit", lambda: read("small"))
    began = time.monotonic()
    given = sum(read("small") for _ in iter(lambda: time.monotonic() < began + 5, False))
    spent = time.monotonic() - began
    assert given == pytest.approx(rate * spent, rel=0.05)


def test_what_is_refused_takes_no_units_from_others(server):
    client = boto3.client("dynamodb", **(server.sdk() | {"config": ONCE}))
    for name in ("idle", "other"):
        client.create_table(
            TableName=name,
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            ProvisionedThroughput={"ReadCapacityUnits": 1, "WriteCapacityUnits": 1},
        )
    put = {"Put": {"TableName": "idle", "Item": {"pk": {"S": "a"}}}}
    get = {"Get": {"TableName": "idle", "Key": {"pk": {"S": "a"}}}}
    # More than the burst of 300 units would let through.
    for _ in range(400):
        for refused in (
            lambda: client.transact_write_items(TransactItems=[put, put]),
            lambda: client.transact_get_items(TransactItems=[get, get]),
            lambda: client.execute_statement(Statement="SELECT * FROM idle WHERE pk = 1"),
        ):
            with pytest.raises(ClientError) as error:
                refused()
            assert error.value.response["Error"]["Code"] == "ValidationException"
    client.put_item(TableName="idle", Item={"pk": {"S": "a"}})
    assert client.get_item(TableName="idle", Key={"pk": {"S": "a"}})["Item"] == {"pk": {"S": "a"}}


def test_changes_at_once_are_each_checked_against_what_is(server):
    """Several clients turn the stream on at once: one does, the others are told that it is on."""
    database = client(server)
    create(database, "matches", BillingMode="PAY_PER_REQUEST")
    stream = {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}

    def enable(_):
        try:
            client(server).update_table(TableName="matches", StreamSpecification=stream)
        except ClientError as error:
            return error.response["Error"]["Message"]

    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(enable, range(8)))
    refused = [text for text in answers if text]
    assert len(refused) == 7 and all("already has an enabled stream" in text for text in refused), answers
    assert len(server.streams().list_streams(TableName="matches")["Streams"]) == 1
