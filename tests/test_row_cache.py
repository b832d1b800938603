"""Single cold items that are asked for again come from memory, and never as they were before."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from harness import wait_for

CONFIG = """
[store]
memtable_bytes_max = 65536
[compactor]
flush_interval_s = 1
grace_s = 0
[cache]
row_bytes = 1048576
"""
COUNTERS = 40
SECONDS = 5


def make(server):
    dynamodb = server.dynamodb()
    dynamodb.create_table(
        TableName="counters",
        KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    for number in range(COUNTERS):
        put(dynamodb, number, 0)
    server.run("compact")
    return dynamodb


def put(dynamodb, number, count):
    # Large enough that a few hundred of them are a memtable.
    item = {"k": {"S": f"k{number}"}, "n": {"N": str(count)}, "filler": {"S": "x" * 500}}
    dynamodb.put_item(TableName="counters", Item=item)


def get(dynamodb, number):
    item = dynamodb.get_item(TableName="counters", Key={"k": {"S": f"k{number}"}}, ConsistentRead=True).get("Item")
    return None if item is None else int(item["n"]["N"])


def count(dynamodb, number, expected):
    """Counts one further, if the counter is where it is expected to be."""
    answer = dynamodb.update_item(
        TableName="counters",
        Key={"k": {"S": f"k{number}"}},
        UpdateExpression="SET n = n + :one",
        ConditionExpression="n = :expected",
        ExpressionAttributeValues={":one": {"N": "1"}, ":expected": {"N": str(expected)}},
        ReturnValues="UPDATED_NEW",
    )
    return int(answer["Attributes"]["n"]["N"])


def test_the_second_look_needs_no_file(make_server):
    server = make_server(CONFIG, mqtt=False).start()
    dynamodb = make(server)
    assert [get(dynamodb, 1), get(dynamodb, 99)] == [0, None]
    misses, parked = server.metric("thalweg_rows_misses_total"), server.metric("thalweg_planner_lookups_total", found="parked")
    hits = server.metric("thalweg_rows_hits_total")
    assert [get(dynamodb, 1), get(dynamodb, 99)] == [0, None]
    assert count(dynamodb, 1, 0) == 1, "a condition on a cold item that was read before"
    assert server.metric("thalweg_rows_misses_total") == misses
    assert server.metric("thalweg_rows_hits_total") >= hits + 2
    assert server.metric("thalweg_planner_lookups_total", found="parked") == parked
    assert server.metric("thalweg_planner_lookups_total", found="row_cache") >= 1
    assert 0 < server.metric("thalweg_rows_used_bytes") <= 1048576
    server.run("compact")
    assert get(dynamodb, 1) == 1
    dynamodb.delete_item(TableName="counters", Key={"k": {"S": "k1"}})
    server.run("compact")
    assert get(dynamodb, 1) is None
    put(dynamodb, 99, 7)
    server.run("compact")
    assert get(dynamodb, 99) == 7, "it was known as absent"


def test_nothing_stale_while_everything_is_flushed_and_merged(make_server):
    server = make_server(CONFIG, mqtt=False).start()
    make(server)
    done = threading.Event()
    # What each counter has been told to be, at least.
    least = [0] * COUNTERS

    def change(first):
        dynamodb = server.dynamodb()
        while not done.is_set():
            for number in range(first, COUNTERS, 2):
                least[number] = count(dynamodb, number, least[number])

    def read():
        dynamodb = server.dynamodb()
        while not done.is_set():
            for number in range(COUNTERS):
                before = least[number]
                assert get(dynamodb, number) >= before

    def compact():
        while not done.is_set():
            server.run("compact")

    with ThreadPoolExecutor(6) as pool:
        tasks = [pool.submit(change, 0), pool.submit(change, 1), pool.submit(read), pool.submit(read), pool.submit(compact)]
        deadline = time.monotonic() + SECONDS
        def is_enough():
            hits, planned = server.metric("thalweg_rows_hits_total"), server.metric("thalweg_planner_lookups_total", found="row_cache")
            return time.monotonic() > deadline and hits > 100 and planned > 10

        wait_for("hits of all kinds", lambda: any(task.done() for task in tasks) or is_enough(), timeout=60)
        done.set()
        for task in tasks:
            task.result()
    dynamodb = server.dynamodb()
    assert [get(dynamodb, number) for number in range(COUNTERS)] == least
