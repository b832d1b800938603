"""Items go when their time to live is over, hot and cold, and the change stream says who removed them."""

import time

import boto3
from harness import wait_for


def make_table(server, **more):
    return boto3.resource("dynamodb", **server.sdk()).create_table(
        TableName="sessions",
        KeySchema=[{"AttributeName": "user", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "user", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        **more,
    )


def set_ttl(table, attribute, enabled=True):
    return table.meta.client.update_time_to_live(
        TableName=table.name, TimeToLiveSpecification={"AttributeName": attribute, "Enabled": enabled}
    )


def users(table):
    return {item["user"] for item in table.scan(ConsistentRead=True)["Items"]}


def records(server, table):
    streams = boto3.client("dynamodbstreams", **server.sdk())
    arn = table.meta.client.describe_table(TableName=table.name)["Table"]["LatestStreamArn"]
    told = []
    for shard in streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]:
        iterator = streams.get_shard_iterator(
            StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        told += streams.get_records(ShardIterator=iterator)["Records"]
    return told


def test_items_expire_within_seconds_and_the_stream_tells_by_whom(server):
    table = make_table(server)
    assert set_ttl(table, "until")["TimeToLiveSpecification"] == {"AttributeName": "until", "Enabled": True}
    now = int(time.time())
    table.put_item(Item={"user": "past", "until": now - 100})
    table.put_item(Item={"user": "soon", "until": now + 2})
    table.put_item(Item={"user": "later", "until": now + 10_000})
    table.put_item(Item={"user": "for ever"})
    table.put_item(Item={"user": "words", "until": "yesterday"})
    table.put_item(Item={"user": "mistaken", "until": now - 6 * 365 * 24 * 3600})
    stay = {"later", "for ever", "words", "mistaken"}
    wait_for("what has expired to go", lambda: users(table) == stay)
    removed = [record for record in records(server, table) if record["eventName"] == "REMOVE"]
    assert {record["dynamodb"]["Keys"]["user"]["S"] for record in removed} == {"past", "soon"}
    for record in removed:
        assert record["userIdentity"] == {"Type": "Service", "PrincipalId": "dynamodb.amazonaws.com"}
        assert "until" in record["dynamodb"]["OldImage"]
    # A time put off is kept to.
    table.update_item(
        Key={"user": "later"}, UpdateExpression="SET #u = :u", ExpressionAttributeNames={"#u": "until"},
        ExpressionAttributeValues={":u": now},
    )  # fmt: skip
    wait_for("what was shortened to go", lambda: users(table) == stay - {"later"})


def test_what_is_older_than_the_time_to_live_and_cold_expires_too(server):
    table = make_table(server)
    now = int(time.time())
    with table.batch_writer() as batch:
        for n in range(100):
            batch.put_item(Item={"user": f"u{n}", "until": now - 10 if n % 2 else now + 10_000})
    server.run("compact", "--table", "sessions")
    set_ttl(table, "until")
    stay = {f"u{n}" for n in range(0, 100, 2)}
    wait_for("cold items to expire", lambda: users(table) == stay)
    server.run("compact", "--table", "sessions")
    assert users(table) == stay
    server.restart()
    described = table.meta.client.describe_time_to_live(TableName="sessions")["TimeToLiveDescription"]
    assert described == {"TimeToLiveStatus": "ENABLED", "AttributeName": "until"}
    table.put_item(Item={"user": "after a restart", "until": now})
    wait_for("an item to expire after a restart", lambda: users(table) == stay)
    set_ttl(table, "until", enabled=False)
    table.put_item(Item={"user": "no more", "until": now})
    set_ttl(table, "since")
    table.put_item(Item={"user": "by another", "since": now})
    wait_for("an item to expire by another attribute", lambda: users(table) == stay | {"no more"})
