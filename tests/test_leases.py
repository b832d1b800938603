"""Consumers that share a stream by leases, as the Kinesis Client Library does: workers come, go, are robbed and are killed before
every checkpoint, and no change is missed or told out of order.
"""

import json
import random
import threading

import boto3
from harness import ROOT, Process, clean_environment, program, wait_for

CHANGES = 600
DEVICES = 20


def make_tables(server):
    resource = boto3.resource("dynamodb", **server.sdk())

    def make(name, key, **more):
        return resource.create_table(
            TableName=name,
            KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
            **more,
        )

    stream = {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}
    return make("devices", "device", StreamSpecification=stream), make("leases", "shard")


def test_workers_that_die_and_rob_each_other_miss_nothing(server, tmp_path):
    devices, leases = make_tables(server)
    stream = devices.latest_stream_arn
    choices = random.Random(7)
    expected = {}

    def change():
        for number in range(CHANGES):
            device = f"d{choices.randrange(DEVICES)}"
            past = expected.setdefault(device, [])
            if past and past[-1] != "REMOVE" and choices.random() < 0.2:
                devices.delete_item(Key={"device": device})
                past.append("REMOVE")
            else:
                devices.put_item(Item={"device": device, "number": number})
                past.append("MODIFY" if past and past[-1] != "REMOVE" else "INSERT")

    workers = {}
    ledgers = []

    def start(name, die_after):
        ledgers.append(tmp_path / f"{len(ledgers)}.ledger")
        script = ROOT / "tests" / "clients" / "lease_worker.py"
        command = [program("python"), script, server.url, stream, "leases", name, ledgers[-1], str(die_after)]
        workers[name] = Process(command, tmp_path / f"{len(ledgers)}.log", env=clean_environment())

    def told():
        return {tuple(line[:2]) for ledger in ledgers if ledger.exists() for line in read(ledger)}

    writer = threading.Thread(target=change)
    writer.start()
    try:
        deaths = 0
        for name in ("one", "two"):
            start(name, 10)

        def replace_the_dead():
            nonlocal deaths
            for name, process in list(workers.items()):
                if not process.running():
                    assert process.process.returncode == 9, process.said()[-2000:]
                    deaths += 1
                    # The last ones live, so that it ends.
                    start(name, 40 if deaths < 12 else 0)
            return not writer.is_alive() and len(told()) >= CHANGES

        wait_for("every change to be told", replace_the_dead, timeout=120)
        # Who comes back takes a share from who had all of them meanwhile.
        wait_for("leases to be shared", lambda: replace_the_dead() and owners(leases) == {"one", "two"})
    finally:
        writer.join()
        for process in workers.values():
            process.kill()

    assert deaths >= 4
    history = {}
    for ledger in ledgers:
        for shard, sequence, event, keys in read(ledger):
            assert history.setdefault((shard, int(sequence)), (keys["device"]["S"], event)) == (keys["device"]["S"], event)
    assert len(history) == CHANGES, "every change is told, none is invented"
    found = {}
    for (_, _), (device, event) in sorted(history.items()):
        found.setdefault(device, []).append(event)
    assert found == expected, "in the order of each device"


def owners(leases):
    return {row.get("owner") for row in leases.scan(ConsistentRead=True)["Items"]}


def read(ledger):
    """The records of a ledger; its last line may be torn."""
    for line in ledger.read_text().splitlines(keepends=True):
        if line.endswith("\n"):
            yield json.loads(line)
