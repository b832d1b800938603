"""PartiQL through an unmodified SDK: reads that page over many items, writes that race, transactions across a kill."""

from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest
from botocore.exceptions import ClientError


def make_table(server):
    client = boto3.client("dynamodb", **server.sdk())
    client.create_table(
        TableName="fleet",
        KeySchema=[{"AttributeName": "device", "KeyType": "HASH"}, {"AttributeName": "ts", "KeyType": "RANGE"}],
        AttributeDefinitions=[
            {"AttributeName": "device", "AttributeType": "S"}, {"AttributeName": "ts", "AttributeType": "N"},
        ],
        BillingMode="PAY_PER_REQUEST",
    )  # fmt: skip
    return client


@pytest.fixture
def client(server):
    return make_table(server)


def execute(client, statement, *parameters, **arguments):
    """All pages of a statement's items, as plain values, and the number of pages."""
    from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

    if parameters:
        arguments["Parameters"] = [TypeSerializer().serialize(parameter) for parameter in parameters]
    items, pages = [], 0
    while True:
        answer = client.execute_statement(Statement=statement, **arguments)
        pages += 1
        items += [{name: TypeDeserializer().deserialize(value) for name, value in item.items()} for item in answer["Items"]]
        if "NextToken" not in answer:
            return items, pages
        arguments["NextToken"] = answer["NextToken"]


def test_a_select_pages_by_limit_and_by_size_and_misses_nothing(client):
    for device in "abc":
        for ts in range(12):
            text = "y" * 100_000 if device == "b" else ""
            execute(client, "INSERT INTO fleet VALUE {'device': ?, 'ts': ?, 'note': ?}", device, ts, text)
    everything = sorted((device, ts) for device in "abc" for ts in range(12))

    def keys(items):
        return [(item["device"], item["ts"]) for item in items]

    scanned, pages = execute(client, "SELECT device, ts FROM fleet")
    assert sorted(keys(scanned)) == everything
    assert pages == 2, "12 items of 100 KB are more than 1 MB"
    scanned, pages = execute(client, "SELECT device, ts FROM fleet", Limit=7)
    assert sorted(keys(scanned)) == everything and pages == 6
    found, pages = execute(client, "SELECT * FROM fleet WHERE device = ? AND ts >= ? ORDER BY ts DESC", "b", 1, Limit=5)
    assert keys(found) == [("b", ts) for ts in range(11, 0, -1)] and pages == 3
    found, pages = execute(client, "SELECT device, ts FROM fleet WHERE device IN ['c', 'a', 'x'] ORDER BY device, ts DESC")
    assert keys(found) == [(device, ts) for device in "ac" for ts in range(11, -1, -1)]
    assert pages == 3, "several partitions answer ten items at a time"
    filtered, _ = execute(client, "SELECT ts FROM fleet WHERE device = 'a' AND note = '' AND NOT ts < 11")
    assert filtered == [{"ts": 11}]


def test_a_token_is_for_its_statement_and_parameters(client):
    for ts in range(3):
        execute(client, "INSERT INTO fleet VALUE {'device': 'a', 'ts': ?}", ts)
    statement = "SELECT * FROM fleet WHERE device = ?"
    token = client.execute_statement(Statement=statement, Parameters=[{"S": "a"}], Limit=1)["NextToken"]
    for other, parameter in [(statement, "b"), (statement + " AND ts > 0", "a")]:
        with pytest.raises(ClientError) as refused:
            client.execute_statement(Statement=other, Parameters=[{"S": parameter}], NextToken=token)
        assert refused.value.response["Error"]["Code"] == "ValidationException"
        assert "NextToken" in refused.value.response["Error"]["Message"]
    rest = client.execute_statement(Statement=statement, Parameters=[{"S": "a"}], NextToken=token)["Items"]
    assert [item["ts"]["N"] for item in rest] == ["1", "2"]


def test_one_of_many_inserts_wins_and_counters_are_exact(client):
    def insert(number):
        try:
            execute(client, "INSERT INTO fleet VALUE {'device': 'race', 'ts': 1, 'winner': ?, 'n': 0}", number)
            return number
        except client.exceptions.DuplicateItemException:
            return None

    with ThreadPoolExecutor(8) as clients:
        winners = [number for number in clients.map(insert, range(16)) if number is not None]
    assert len(winners) == 1
    with ThreadPoolExecutor(8) as clients:
        update = "UPDATE fleet SET n = n + 1 WHERE device = 'race' AND ts = 1"
        list(clients.map(lambda _: execute(client, update), range(40)))
    item, _ = execute(client, "SELECT winner, n FROM fleet WHERE device = 'race' AND ts = 1")
    assert item == [{"winner": winners[0], "n": 40}]


def test_a_transaction_is_done_once_across_a_kill(make_server):
    server = make_server().start()
    client = make_table(server)
    execute(client, "INSERT INTO fleet VALUE {'device': 'a', 'ts': 1, 'n': 0}")
    once = {
        "TransactStatements": [
            {"Statement": "UPDATE fleet SET n = n + 1 WHERE device = 'a' AND ts = 1"},
            {"Statement": "INSERT INTO fleet VALUE {'device': ?, 'ts': 2}", "Parameters": [{"S": "a"}]},
        ],
        "ClientRequestToken": "once",
    }
    client.execute_transaction(**once)
    server.kill()
    server.start()
    client.execute_transaction(**once)
    with pytest.raises(client.exceptions.TransactionCanceledException) as cancelled:
        client.execute_transaction(TransactStatements=once["TransactStatements"])
    assert "[None, DuplicateItem]" in str(cancelled.value)
    read = [{"Statement": f"SELECT * FROM fleet WHERE device = 'a' AND ts = {ts}"} for ts in (1, 2, 3)]
    answers = client.execute_transaction(TransactStatements=read)["Responses"]
    assert [answer.get("Item", {}).get("n") for answer in answers] == [{"N": "1"}, None, None]
    assert "Item" in answers[1] and "Item" not in answers[2]


def test_a_batch_tells_of_each_statement_by_itself(client):
    statements = [
        {"Statement": "INSERT INTO fleet VALUE {'device': 'a', 'ts': 1}"},
        {"Statement": "INSERT INTO nowhere VALUE {'device': 'a', 'ts': 1}"},
        {"Statement": "UPDATE fleet SET n = 1 WHERE device = 'ghost' AND ts = 1"},
        {"Statement": "INSERT INTO fleet VALUE {'device': 'b'}"},
    ]
    codes = [answer.get("Error", {}).get("Code") for answer in client.batch_execute_statement(Statements=statements)["Responses"]]
    assert codes == [None, "ResourceNotFound", "ConditionalCheckFailed", "ValidationError"]
    again = client.batch_execute_statement(Statements=statements[:1])["Responses"][0]
    assert again["Error"]["Code"] == "DuplicateItem" and again["TableName"] == "fleet"


def test_hostile_statements_get_an_answer(server, client):
    for statement in [
        "SELECT * FROM fleet WHERE " + "(" * 4000 + "a = 1" + ")" * 4000,
        "SELECT * FROM fleet WHERE " + "NOT " * 2000 + "a = 1",
        "INSERT INTO fleet VALUE {'a':" + "[" * 4000 + "]" * 4000 + "}",
        "UPDATE fleet SET n = " + "1+" * 4000 + "1 WHERE device = 'a' AND ts = 1",
        "SELECT * FROM fleet WHERE a = '" + "'" * 8000,
        "x" * 9000,
    ]:
        try:
            client.execute_statement(Statement=statement)
        except ClientError as refused:
            assert refused.response["Error"]["Code"] == "ValidationException"
    assert client.list_tables()["TableNames"] == ["fleet"]
