"""Programs that were written for DynamoDB run unchanged: an SDK of the newest kind, and a web page for tables."""

import json
import os
import subprocess
import urllib.parse
import urllib.request

import boto3
import pytest
from harness import PATIENCE_S, ROOT, Process, clean_environment, free_port, port_answers, program, tools, wait_for

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_REGION": "us-east-1"}


def test_javascript_sdk_version_3(server):
    result = subprocess.run(
        [program("node"), str(ROOT / "tests" / "clients" / "document_client_v3.cjs")],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env=os.environ
        | {
            "NODE_PATH": str(tools() / "node" / "node_modules"),
            "AWS_ENDPOINT_URL_DYNAMODB": server.url,
            "AWS_ENDPOINT_URL_DYNAMODB_STREAMS": server.url,
        },
    )
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    # Of each batch of 25 the odd places are open.
    numbers = [number for number in range(100) if number % 25 % 2]
    assert found["paged"] == [number for number in numbers if 10 <= number <= 90]
    assert found["scanned"] == 100
    assert found["updated"] == {"customer": "c1", "number": 1, "lines": [{"sku": "a", "count": 2}], "tags": ["x", "y"]}
    assert found["refusal"][0] == "ConditionalCheckFailedException"
    assert found["refusal"][1]["customer"] == {"S": "c1"}, "the document client leaves items of errors as they are"
    assert found["cancelled"] == ["TransactionCanceledException", ["None", "ConditionalCheckFailed"]]
    assert found["events"] == {"INSERT": 100, "MODIFY": 1, "REMOVE": 1}


def test_rust_sdk(server):
    """What the client finds is what it was asked to do, with errors as the types that they are."""
    result = subprocess.run(
        [str(tools() / "rust-client" / "debug" / "sdk-client")],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env=clean_environment()
        | CREDENTIALS
        | {"AWS_ENDPOINT_URL_DYNAMODB": server.url, "AWS_ENDPOINT_URL_DYNAMODB_STREAMS": server.url},
    )
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    odd = list(range(1, 50, 2))
    assert found["types"] is True
    numbers = [number for number in odd if 10 <= number <= 40]
    # 15 of them: two pages of 7 and one that ends the query.
    assert found["paged"] == {"pages": 3, "numbers": numbers, "last": 39, "counted": 15, "scanned": 51}
    assert found["updated"] == {
        "customer": 'S("even")', "number": 'N("2")', "visits": 'N("1")', "tags": 'Ss(["new"])',
    }  # fmt: skip
    assert found["refused"] == {
        "condition": ["The conditional request failed", 4],
        "absent": "Requested resource not found",
        "invalid": "ValidationException",
    }
    # The second of two transactions with one token is the first again.
    assert found["transacted"] == {"reasons": ["None", "ConditionalCheckFailed"], "visits": [1, 1]}
    assert found["statements"] == {"numbers": [number for number in odd if number > 40], "codes": [None, "DuplicateItem"]}
    assert found["expiry"] == ["ENABLED", "until"]
    assert found["events"] == {
        "INSERT": 53, "MODIFY": 4, "REMOVE by dynamodb.amazonaws.com": 1,
    }  # fmt: skip


@pytest.fixture
def admin(server, tmp_path):
    """`dynamodb-admin` on a free port, for the server."""
    port = free_port()
    script = tools() / "node" / "node_modules" / "dynamodb-admin" / "dist" / "dynamodb-admin.js"
    command = [program("node"), str(script), "--port", str(port), "--host", "127.0.0.1", "--skip-default-credentials"]
    environment = clean_environment() | CREDENTIALS | {"DYNAMO_ENDPOINT": server.url}
    process = Process(command, tmp_path / "admin.log", env=environment)
    try:
        wait_for("dynamodb-admin to listen", lambda: port_answers(port))
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()


def page(url):
    with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
        return answer.read().decode()


def test_dynamodb_admin_shows_tables_and_items(server, admin):
    client = boto3.client("dynamodb", **server.sdk())
    client.create_table(
        TableName="plants",
        KeySchema=[{"AttributeName": "name", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "name", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    client.put_item(TableName="plants", Item={"name": {"S": "fern"}, "light": {"N": "0.25"}})
    assert "plants" in page(admin + "/api/tables")
    filters = urllib.parse.quote('{"light": {"type": "N", "operator": "<", "value": "0.5"}}')
    items = json.loads(page(f"{admin}/tables/plants/items?filters={filters}"))["Items"]
    assert [(item["name"], item["light"]) for item in items] == [("fern", 0.25)]
    assert "fern" in page(admin + "/tables/plants/items/fern")
    shown = page(admin + "/tables/plants/meta")
    assert "ACTIVE" in shown and "PAY_PER_REQUEST" in shown
    assert "DISABLED" in page(admin + "/tables/plants/ttl")
