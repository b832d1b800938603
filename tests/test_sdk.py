"""SDKs of others work with only an endpoint added."""

import json
import os
import subprocess
from decimal import Decimal

import boto3
import pytest
from boto3.dynamodb.conditions import Attr, Key
from botocore.exceptions import ClientError
from harness import PATIENCE_S, program


@pytest.fixture
def table(server):
    dynamodb = boto3.resource("dynamodb", **server.sdk())
    return dynamodb.create_table(
        TableName="orders",
        KeySchema=[{"AttributeName": "customer", "KeyType": "HASH"}, {"AttributeName": "number", "KeyType": "RANGE"}],
        AttributeDefinitions=[
            {"AttributeName": "customer", "AttributeType": "S"},
            {"AttributeName": "number", "AttributeType": "N"},
        ],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )


def test_boto3(server, table):
    table.wait_until_exists()
    assert table.table_status == "ACTIVE"
    item = {
        "customer": "a", "number": Decimal("1"), "text": "ü\u0000", "bytes": b"\x00\xff", "yes": True, "nothing": None,
        "list": [Decimal("1.5"), "x", [b"y"]], "map": {"a": {"b": Decimal("-1E-130")}}, "texts": {"p", "q"},
        "numbers": {Decimal("1"), Decimal("2.5")},
    }  # fmt: skip
    table.put_item(Item=item)
    stored = table.get_item(Key={"customer": "a", "number": 1}, ConsistentRead=True)["Item"]
    assert {name: bytes(value) if name == "bytes" else value for name, value in stored.items() if name != "list"} == {
        name: value for name, value in item.items() if name != "list"
    }
    with pytest.raises(ClientError) as refused:
        table.put_item(Item=item, ConditionExpression=Attr("customer").not_exists())
    assert refused.value.response["Error"]["Code"] == "ConditionalCheckFailedException"

    with table.batch_writer() as batch:
        for number in range(2, 60):
            batch.put_item(Item={"customer": "a", "number": number, "even": number % 2 == 0, "pad": "x" * 30_000})
    found, start = [], {}
    pages = 0
    while True:
        page = table.query(
            KeyConditionExpression=Key("customer").eq("a") & Key("number").between(10, 50),
            FilterExpression=Attr("even").eq(True),
            ProjectionExpression="#n",
            ExpressionAttributeNames={"#n": "number"},
            ScanIndexForward=False,
            **start,
        )
        pages += 1
        found += [int(item["number"]) for item in page["Items"]]
        if "LastEvaluatedKey" not in page:
            break
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
    assert found == list(range(50, 9, -2)) and pages >= 2

    gone = table.delete_item(Key={"customer": "a", "number": 2}, ReturnValues="ALL_OLD")["Attributes"]
    assert gone["even"] is True
    assert "Item" not in table.get_item(Key={"customer": "a", "number": 2})
    kinds = [record["eventName"] for record in server.changes("orders")]
    assert kinds == ["INSERT"] * 59 + ["REMOVE"]
    table.delete()
    assert server.tables() == []


def test_aws_cli(server):
    def aws(*arguments):
        result = subprocess.run(
            [program("aws"), "dynamodb", *arguments, "--endpoint-url", server.url],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            env=os.environ
            | {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_DEFAULT_REGION": "local", "AWS_PAGER": ""},
        )
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout) if result.stdout.strip() else None

    aws(
        "create-table", "--table-name", "music", "--billing-mode", "PAY_PER_REQUEST",
        "--key-schema", "AttributeName=artist,KeyType=HASH",
        "--attribute-definitions", "AttributeName=artist,AttributeType=S",
    )  # fmt: skip
    aws("wait", "table-exists", "--table-name", "music")
    assert aws("list-tables")["TableNames"] == ["music"]
    aws("put-item", "--table-name", "music", "--item", '{"artist": {"S": "x"}, "year": {"N": "2015"}}')
    assert aws("get-item", "--table-name", "music", "--key", '{"artist": {"S": "x"}}')["Item"]["year"] == {"N": "2015"}
    assert aws("scan", "--table-name", "music")["Count"] == 1
    aws("delete-table", "--table-name", "music")
    assert aws("list-tables")["TableNames"] == []
