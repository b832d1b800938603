"""Backups, continuous backups and restores through an unmodified SDK: a table comes back as it was, whatever happened since."""

import datetime
import random
import time
from decimal import Decimal

import boto3
import harness
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError


def client(server):
    return boto3.client("dynamodb", **server.sdk())


def resource(server):
    return boto3.resource("dynamodb", **server.sdk())


def make_table(server, name="fleet"):
    return resource(server).create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "device", "KeyType": "HASH"}, {"AttributeName": "ts", "KeyType": "RANGE"}],
        AttributeDefinitions=[
            {"AttributeName": "device", "AttributeType": "S"},
            {"AttributeName": "ts", "AttributeType": "N"},
            {"AttributeName": "state", "AttributeType": "S"},
        ],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by-state",
                "KeySchema": [{"AttributeName": "state", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
        BillingMode="PAY_PER_REQUEST",
    )


def items(table, **arguments):
    found, start = [], {}
    while True:
        page = table.scan(**arguments, **start)
        found += page["Items"]
        if "LastEvaluatedKey" not in page:
            return sorted(found, key=lambda item: (item["device"], item["ts"]))
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


def wait_until_active(server, name):
    def is_active():
        return client(server).describe_table(TableName=name)["Table"]["TableStatus"] == "ACTIVE"

    harness.wait_for(f"{name} to be restored", is_active)
    return resource(server).Table(name)


def change(table, model, numbers):
    """Some puts and deletes at random."""
    with table.batch_writer() as batch:
        keys = {(f"device-{numbers.randrange(6)}", numbers.randrange(40)) for _ in range(numbers.randrange(1, 60))}
        for device, ts in keys:
            if numbers.random() < 0.3:
                batch.delete_item(Key={"device": device, "ts": ts})
                model.pop((device, ts), None)
            else:
                item = {"device": device, "ts": Decimal(ts), "state": numbers.choice(["on", "off"]), "n": numbers.randrange(10**9)}
                batch.put_item(Item=item)
                model[device, ts] = item


def test_a_backup_outlives_its_table(server):
    table, model = make_table(server), {}
    change(table, model, random.Random(1))
    before = items(table)
    made = client(server).create_backup(TableName="fleet", BackupName="before")["BackupDetails"]
    assert made["BackupStatus"] in ("CREATING", "AVAILABLE")
    change(table, model, random.Random(2))
    table.delete()
    restored = client(server).restore_table_from_backup(TargetTableName="again", BackupArn=made["BackupArn"])
    assert restored["TableDescription"]["TableStatus"] == "CREATING"
    assert restored["TableDescription"]["RestoreSummary"]["RestoreInProgress"] is True
    again = wait_until_active(server, "again")
    assert items(again) == before
    assert sorted(items(again, IndexName="by-state"), key=str) == sorted(before, key=str)
    summary = client(server).describe_table(TableName="again")["Table"]["RestoreSummary"]
    assert summary["SourceBackupArn"] == made["BackupArn"] and summary["RestoreInProgress"] is False
    again.put_item(Item={"device": "new", "ts": 1})
    assert len(items(again)) == len(before) + 1
    server.restart()
    assert [it["BackupName"] for it in client(server).list_backups()["BackupSummaries"]] == ["before"]
    client(server).delete_backup(BackupArn=made["BackupArn"])
    with pytest.raises(ClientError) as refused:
        client(server).describe_backup(BackupArn=made["BackupArn"])
    assert refused.value.response["Error"]["Code"] == "BackupNotFoundException"
    server.stop()
    harness.thalweg("verify", "--data-dir", server.data)


def test_a_table_comes_back_as_it_was_at_any_second(make_server):
    """Random writes, flushes, kills; then restores to seconds in between."""
    server = make_server().start()
    numbers, model, known = random.Random(7), {}, []
    table = make_table(server)
    change(table, model, numbers)
    description = client(server).update_continuous_backups(
        TableName="fleet", PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
    )["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"]
    assert description["EarliestRestorableDateTime"] <= description["LatestRestorableDateTime"]
    earliest = description["EarliestRestorableDateTime"].timestamp()
    harness.wait_for("the first time that can be restored", lambda: time.time() > earliest)
    for round in range(8):
        change(table, model, numbers)
        # The next whole second is after these writes, and the ones after it wait until it has passed.
        second = int(time.time()) + 1
        harness.wait_for("the next second", lambda: time.time() > second + 0.05)
        known.append((second, sorted(model.values(), key=lambda item: (item["device"], item["ts"]))))
        if round % 3 == 0:
            harness.thalweg("compact", "--http", f"127.0.0.1:{server.http_port}")
        if round == 4:
            server.kill()
            server.start()
            table = resource(server).Table("fleet")
        if round == 6:
            server.restart()
            table = resource(server).Table("fleet")
    for number, (second, expected) in enumerate(known):
        at = datetime.datetime.fromtimestamp(second, datetime.timezone.utc)
        name = f"then-{number}"
        client(server).restore_table_to_point_in_time(SourceTableName="fleet", TargetTableName=name, RestoreDateTime=at)
        assert items(wait_until_active(server, name)) == expected, f"round {number}"
    client(server).restore_table_to_point_in_time(
        SourceTableName="fleet", TargetTableName="now", UseLatestRestorableTime=True
    )
    assert items(wait_until_active(server, "now")) == items(table)
    table.delete()
    harness.thalweg("compact", "--http", f"127.0.0.1:{server.http_port}")

    def system_backups():
        return client(server).list_backups(BackupType="SYSTEM")["BackupSummaries"]

    (kept,) = harness.wait_for("the backup of the deleted table", system_backups)
    assert kept["BackupName"] == "fleet$DeletedTableBackup"
    assert kept["BackupExpiryDateTime"] - kept["BackupCreationDateTime"] == datetime.timedelta(days=35)
    client(server).restore_table_from_backup(TargetTableName="undeleted", BackupArn=kept["BackupArn"])
    expected = sorted(model.values(), key=lambda item: (item["device"], item["ts"]))
    assert items(wait_until_active(server, "undeleted")) == expected
    server.stop()
    harness.thalweg("verify", "--data-dir", server.data)
    assert not list((server.data / "restores").iterdir()), "what restores needed is gone"


def test_a_restore_survives_kills(make_server):
    """kill -9 again and again while a table is restored: it is whole in the end, and never seen before."""
    server = make_server().start()
    table = make_table(server)
    with table.batch_writer() as batch:
        for number in range(20_000):
            batch.put_item(Item={"device": f"device-{number % 500}", "ts": number, "text": "x" * 200})
    made = client(server).create_backup(TableName="fleet", BackupName="all")["BackupDetails"]
    client(server).restore_table_from_backup(TargetTableName="again", BackupArn=made["BackupArn"])
    client(server).delete_backup(BackupArn=made["BackupArn"])
    numbers = random.Random(3)
    for _ in range(4):
        deadline = time.monotonic() + numbers.random() * 0.4
        harness.wait_for("a moment", lambda: time.monotonic() > deadline)
        server.kill()
        server.start()
        status = client(server).describe_table(TableName="again")["Table"]["TableStatus"]
        if status == "CREATING":
            with pytest.raises(ClientError) as refused:
                resource(server).Table("again").scan()
            # It may have become active in between.
            assert refused.value.response["Error"]["Code"] == "ResourceNotFoundException"
    again = wait_until_active(server, "again")
    assert items(again) == items(resource(server).Table("fleet"))
    server.stop()
    harness.thalweg("verify", "--data-dir", server.data)
    assert not list((server.data / "restores").iterdir())


def test_kills_during_backups_leave_whole_ones(make_server):
    server = make_server().start()
    table = make_table(server)
    with table.batch_writer() as batch:
        for number in range(2_000):
            batch.put_item(Item={"device": f"device-{number % 50}", "ts": number})
    expected = items(table)
    numbers, names = random.Random(5), []
    for round in range(5):
        stop = time.monotonic() + numbers.random() * 0.5
        hurried = boto3.client("dynamodb", **(server.sdk() | {"config": Config(retries={"max_attempts": 0})}))
        while time.monotonic() < stop:
            name = f"backup-{round}-{len(names)}"
            hurried.create_backup(TableName="fleet", BackupName=name)
            names.append(name)
        server.kill()
        server.start()
        found = {it["BackupName"]: it["BackupArn"] for it in all_backups(server)}
        assert set(names) <= set(found), "no backup that was answered for is lost"
    assert names
    client(server).restore_table_from_backup(TargetTableName="again", BackupArn=found[names[-1]])
    assert items(wait_until_active(server, "again")) == expected
    server.stop()
    harness.thalweg("verify", "--data-dir", server.data)


def all_backups(server):
    pages = client(server).get_paginator("list_backups").paginate()
    return [summary for page in pages for summary in page["BackupSummaries"]]
