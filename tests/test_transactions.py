"""Transactions through an unmodified SDK: all or nothing, reasons, tokens, and reads that see no transfer in part."""

import random
from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest
from botocore.exceptions import ClientError

ACCOUNTS = 10
TABLES = ("accounts", "savings")


@pytest.fixture
def client(server):
    client = boto3.client("dynamodb", **server.sdk())
    for name in TABLES:
        client.create_table(
            TableName=name,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )
    return client


def account(number):
    """Where an account is: half of them are in either table."""
    return {"TableName": TABLES[number % 2], "Key": {"id": {"S": f"account-{number}"}}}


def fill(client):
    client.transact_write_items(
        TransactItems=[
            {"Put": {"TableName": place["TableName"], "Item": place["Key"] | {"balance": {"N": "100"}}}}
            for place in map(account, range(ACCOUNTS))
        ]
    )


def transfer(sender, receiver, amount):
    amount = {":amount": {"N": str(amount)}}
    withdrawal = {
        "UpdateExpression": "SET balance = balance - :amount",
        "ConditionExpression": "balance >= :amount",
        "ExpressionAttributeValues": amount,
    }
    deposit = {"UpdateExpression": "SET balance = balance + :amount", "ExpressionAttributeValues": amount}
    return [{"Update": account(sender) | withdrawal}, {"Update": account(receiver) | deposit}]


def balances(client):
    answer = client.transact_get_items(TransactItems=[{"Get": account(number)} for number in range(ACCOUNTS)])
    return [int(response["Item"]["balance"]["N"]) for response in answer["Responses"]]


def refusal(call, **arguments):
    with pytest.raises(ClientError) as refused:
        call(**arguments)
    return refused.value.response


def test_a_transaction_is_done_whole_or_not_at_all(server, client):
    fill(client)
    client.transact_write_items(TransactItems=transfer(0, 1, 70))
    assert balances(client)[:2] == [30, 170]

    refused = refusal(
        client.transact_write_items,
        TransactItems=[
            {"Put": {"TableName": "accounts", "Item": {"id": {"S": "new"}}}},
            *transfer(0, 1, 70),
            {
                "ConditionCheck": account(3)
                | {
                    "ConditionExpression": "attribute_not_exists(id)",
                    "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
                }
            },
        ],
    )
    assert refused["Error"]["Code"] == "TransactionCanceledException"
    assert refused["Error"]["Message"] == (
        "Transaction cancelled, please refer cancellation reasons for specific reasons "
        "[None, ConditionalCheckFailed, None, ConditionalCheckFailed]"
    )
    assert refused["CancellationReasons"] == [
        {"Code": "None"},
        {"Code": "ConditionalCheckFailed", "Message": "The conditional request failed"},
        {"Code": "None"},
        {
            "Code": "ConditionalCheckFailed",
            "Message": "The conditional request failed",
            "Item": {"id": {"S": "account-3"}, "balance": {"N": "100"}},
        },
    ]
    assert balances(client)[:2] == [30, 170]
    (missing,) = client.transact_get_items(
        TransactItems=[{"Get": {"TableName": "accounts", "Key": {"id": {"S": "new"}}}}]
    )["Responses"]
    assert missing == {}
    changes = [len(server.changes(name)) for name in TABLES]
    assert changes == [ACCOUNTS // 2 + 1, ACCOUNTS // 2 + 1], "what was cancelled tells nothing"


def test_a_token_is_good_for_one_transaction_also_after_a_crash(server, client):
    fill(client)
    pay = transfer(0, 1, 10)
    for _ in range(3):
        client.transact_write_items(TransactItems=pay, ClientRequestToken="payment")
    assert balances(client)[:2] == [90, 110]
    server.kill()
    server.start()
    client = boto3.client("dynamodb", **server.sdk())
    client.transact_write_items(TransactItems=pay, ClientRequestToken="payment")
    other = refusal(client.transact_write_items, TransactItems=transfer(0, 1, 20), ClientRequestToken="payment")
    assert other["Error"]["Code"] == "IdempotentParameterMismatchException"
    assert balances(client)[:2] == [90, 110]


def test_what_is_too_much_is_refused(client):
    large = {"S": "x" * 390_000}
    put = [{"Put": {"TableName": "accounts", "Item": {"id": {"S": str(number)}, "v": large}}} for number in range(11)]
    refused = refusal(client.transact_write_items, TransactItems=put)
    assert refused["Error"]["Code"] == "ValidationException"
    client.transact_write_items(TransactItems=put[:10])
    gets = [{"Get": {"TableName": "accounts", "Key": {"id": {"S": str(number)}}}} for number in range(11)]
    answer = client.transact_get_items(TransactItems=gets, ReturnConsumedCapacity="TOTAL")
    assert [response.get("Item", {}).get("v") for response in answer["Responses"]] == [large] * 10 + [None]
    client.put_item(TableName="accounts", Item={"id": {"S": "10"}, "v": large})
    refused = refusal(client.transact_get_items, TransactItems=gets)
    assert refused["Error"]["Code"] == "ValidationException"
    refused = refusal(
        client.transact_write_items,
        TransactItems=[{"Put": {"TableName": "accounts", "Item": {"id": {"S": "a"}, "v": {"S": "x" * 410_000}}}}],
    )
    assert refused["Error"]["Message"] == "Item size has exceeded the maximum allowed size"


def test_readers_never_see_a_transfer_in_part(server, client):
    fill(client)
    total = 100 * ACCOUNTS
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")

    def transfers(number):
        mine = random.Random(seed + number)
        client = boto3.client("dynamodb", **server.sdk())
        done = 0
        for _ in range(60):
            sender, receiver = mine.sample(range(ACCOUNTS), 2)
            try:
                client.transact_write_items(TransactItems=transfer(sender, receiver, mine.randrange(1, 60)))
                done += 1
            except client.exceptions.TransactionCanceledException as refused:
                reasons = [reason["Code"] for reason in refused.response["CancellationReasons"]]
                assert reasons == ["ConditionalCheckFailed", "None"]
        return done

    with ThreadPoolExecutor(8) as clients:
        running = [clients.submit(transfers, number) for number in range(6)]
        reads = 0
        while not all(future.done() for future in running):
            assert sum(balances(client)) == total
            reads += 1
            if reads == 20:
                # From here on some of the items are in files.
                server.run("compact")
        assert sum(future.result() for future in running) > 100
    assert reads > 20
    server.kill()
    server.start()
    assert sum(balances(boto3.client("dynamodb", **server.sdk()))) == total
