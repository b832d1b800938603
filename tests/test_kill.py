"""kill -9 at random moments while a publisher runs: nothing acknowledged is lost, nothing is told twice.

One exception, which the README names: over MQTT, a reading that carries no time of its own and whose PUBACK had not left may
be stored again when the publisher sends it again. The test counts these, and finds them only among the readings that
were in flight at a kill, or that the broker sent again.
"""

import random
import threading
from collections import Counter

import pytest
from entrances import ENTRANCES
from harness import wait_for

KILLS = 20
TAKEN = "thalweg_entrance_acknowledgements_total"


class Load(threading.Thread):
    """Publishes numbered readings as fast as they are acknowledged, within a window."""

    def __init__(self, publisher, with_time, window=400):
        super().__init__(daemon=True)
        self.publisher, self.with_time, self.window = publisher, with_time, window
        self.number = 0
        self.ended = threading.Event()

    def run(self):
        while not self.ended.is_set():
            if len(self.publisher.unacknowledged()) >= self.window:
                self.ended.wait(0.002)
                continue
            self.number += 1
            reading = {"n": self.number}
            if self.with_time:
                reading["ts"] = 1_700_000_000_000 + self.number
            self.publisher.publish(f"load/{self.number % 7}", reading, ledger=self.number)

    def end(self):
        self.ended.set()
        self.join(30)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("with_time", [True, False], ids=["with-time", "without-time"])
@pytest.mark.parametrize("entrance", ENTRANCES)
def test_kill(entrance, with_time, make_server, tmp_path, record_property):
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    moments = random.Random(seed)
    way = ENTRANCES[entrance](tmp_path)
    try:
        server = make_server(way.config()).start()
        way.attach(server)
        publisher = way.start_publishing()
        load = Load(publisher, with_time)
        load.start()
        in_flight = set()
        for _ in range(KILLS):
            acknowledged = len(publisher.ledger())
            wait_for("some more acknowledgements", lambda count=acknowledged: len(publisher.ledger()) > count)
            # A broker acknowledges for itself: this life must take something from it too.
            wait_for("readings taken", lambda: server.metric(TAKEN, entrance=way.label) > 0)
            load.ended.wait(moments.uniform(0, 0.4))
            server.kill()
            in_flight |= set(publisher.unacknowledged())
            server.start()
        load.end()
        publisher.drain(120)
        publisher.close()
        check(server, set(publisher.ledger()), load.number, with_time, way, in_flight, record_property)
    finally:
        way.close()


def check(server, acknowledged, sent, with_time, way, in_flight, record_property):
    assert acknowledged == set(range(1, sent + 1))
    wait_for(
        "every acknowledged reading",
        lambda: {int(item["n"]) for item in server.scan("readings") if "n" in item} >= acknowledged,
        every=0.5,
    )
    items = Counter(int(item["n"]) for item in server.scan("readings") if "n" in item)
    assert set(items) == acknowledged, "lost or invented"
    again = {number: count - 1 for number, count in items.items() if count > 1}
    record_property("stored again", sum(again.values()))
    print(f"{way.name}: {sent} readings, {KILLS} kills, {sum(again.values())} stored again")
    if with_time or not way.redelivery_may_repeat:
        assert not again
    elif way.name == "listener":
        # Only what had not got its PUBACK when the server was killed is sent again.
        assert set(again) <= in_flight
    else:
        # Only what the broker says it sent again.
        assert sum(again.values()) <= way.redelivered()
    assert max(again.values(), default=0) <= KILLS
    told = Counter()
    for record in server.changes("readings"):
        assert record["eventName"] == "INSERT", record
        told[int(record["dynamodb"]["NewImage"].get("n", {"N": "0"})["N"])] += 1
    told.pop(0, None)  # probes of the source's subscription
    assert told == items, "the stream and the items differ"
