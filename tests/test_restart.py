"""Answers are the same before and after a flush, a compaction, a clean restart and a kill."""

from harness import series

NAMES = ["speed_7578", "occupancy_6005"]


def answers(server):
    return {
        "scan": sorted(server.scan("readings"), key=lambda item: (item["device_id"], item["ts"])),
        "query": {name: server.query("readings", name) for name in NAMES},
        "told": [record["dynamodb"]["SequenceNumber"] + record["eventName"] for record in server.changes("readings")],
    }


def test_answers_stay_the_same(server):
    with server.publisher() as publisher:
        for name in NAMES:
            for milliseconds, value in series(name):
                publisher.publish(name, f'{{"ts":{milliseconds},"value":{value}}}')
        publisher.drain()
    before = answers(server)
    assert len(before["scan"]) > 3000
    server.restart()
    assert answers(server) == before
    server.run("compact")
    assert answers(server) == before
    server.kill()
    server.start()
    assert answers(server) == before
    server.run("compact")
    server.restart()
    assert answers(server) == before
