"""Exports and imports through an unmodified SDK: what DynamoDB lays into a bucket, what it takes out of one, and that a crash
in the middle changes nothing of it."""

import base64
import gzip
import hashlib
import json
import math
import random
import threading
import time
from decimal import Decimal
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from harness import PATIENCE_S, wait_for

KEYS = {
    "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
    "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}, {"AttributeName": "sk", "AttributeType": "N"}],
    "BillingMode": "PAY_PER_REQUEST",
}


@pytest.fixture
def bucket(tmp_path):
    directory = tmp_path / "bucket"
    directory.mkdir()
    return directory


@pytest.fixture
def server(make_server, bucket):
    return make_server(f'[buckets]\nmy-bucket = "{bucket}"\n').start()


def make_table(client, name="source", recoverable=True):
    client.create_table(TableName=name, **KEYS)
    if recoverable:
        client.update_continuous_backups(
            TableName=name, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
        )
    return client.describe_table(TableName=name)["Table"]["TableArn"]


def put_all(client, table, items):
    for at in range(0, len(items), 25):
        requests = [{"PutRequest": {"Item": item}} for item in items[at : at + 25]]
        assert not client.batch_write_item(RequestItems={table: requests})["UnprocessedItems"]


def items_of(client, table):
    pages = client.get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
    items = [normal(item) for page in pages for item in page["Items"]]
    return {(item["pk"]["S"], Decimal(item["sk"]["N"])): item for item in items}


def normal(value):
    """Sets in one order, numbers in one form."""
    if isinstance(value, list):
        return [normal(element) for element in value]
    if not isinstance(value, dict):
        return value
    changed = {}
    for name, inner in value.items():
        if name in ("SS", "BS"):
            changed[name] = sorted(inner)
        elif name == "NS":
            changed[name] = sorted(Decimal(number) for number in inner)
        else:
            changed[name] = normal(inner)
    return changed


def odd_items():
    """Every type, odd names, numbers as large, small and long as may be."""
    return [
        {
            "pk": {"S": f"device {n} ü\n\""},
            "sk": {"N": str(n)},
            "number": {"N": "-1.2345678901234567890123456789012345678E+100"},
            "least": {"N": "1E-130"},
            "long": {"N": "12345678901234567890123456789012345678"},
            "bytes": {"B": bytes(range(256))},
            "empty": {"S": ""},
            "no bytes": {"B": b""},
            "flag": {"BOOL": n % 2 == 0},
            "nothing": {"NULL": True},
            "list": {"L": [{"S": "a"}, {"N": "1.50"}, {"L": []}, {"M": {}}]},
            "map": {"M": {".": {"S": "dot"}, "deep": {"M": {"er": {"L": [{"BOOL": False}]}}}}},
            "texts": {"SS": ["b", "a", ""]},
            "numbers": {"NS": ["1", "2.5", "-3E+5"]},
            "blobs": {"BS": [b"\x00", b"\xff"]},
            "Ünï.code$ name": {"S": "line\u2028feed"},
            "_seq": {"S": "mine"},
        }
        for n in range(40)
    ]


def ended(client, describe, arn_name, arn):
    """The description of an export or an import that has ended."""

    def look():
        (description,) = [
            part for name, part in getattr(client, describe)(**{arn_name: arn}).items() if name != "ResponseMetadata"
        ]
        status = description.get("ExportStatus") or description["ImportStatus"]
        return description if status != "IN_PROGRESS" else None

    return wait_for(f"{describe} of {arn}", look, timeout=4 * PATIENCE_S, every=0.05)


def export(client, arn, **arguments):
    started = client.export_table_to_point_in_time(TableArn=arn, S3Bucket="my-bucket", **arguments)
    description = started["ExportDescription"]
    assert description["ExportStatus"] == "IN_PROGRESS"
    return ended(client, "describe_export", "ExportArn", description["ExportArn"])


def import_table(client, name, prefix, **arguments):
    started = client.import_table(
        S3BucketSource={"S3Bucket": "my-bucket", "S3KeyPrefix": prefix},
        TableCreationParameters={"TableName": name, **KEYS},
        **({"InputFormat": "DYNAMODB_JSON"} | arguments),
    )["ImportTableDescription"]
    return ended(client, "describe_import", "ImportArn", started["ImportArn"])


def error(call, **arguments):
    with pytest.raises(ClientError) as refused:
        call(**arguments)
    told = refused.value.response["Error"]
    return told["Code"], told["Message"]


def md5(path):
    return base64.b64encode(hashlib.md5(path.read_bytes()).digest()).decode()


def test_an_export_is_laid_out_as_documented_and_imported_again(server, bucket):
    client = server.dynamodb()
    arn = make_table(client)
    put_all(client, "source", odd_items())
    client.delete_item(TableName="source", Key={"pk": odd_items()[3]["pk"], "sk": {"N": "3"}})
    done = export(client, arn, S3Prefix="some/where")
    assert (done["ExportStatus"], done["ItemCount"], done["ExportFormat"]) == ("COMPLETED", 39, "DYNAMODB_JSON")
    assert done["BilledSizeBytes"] > 0 and done["StartTime"] <= done["EndTime"]

    place = f"some/where/AWSDynamoDB/{done['ExportArn'].rsplit('/', 1)[1]}"
    root = bucket / place
    assert done["ExportManifest"] == f"{place}/manifest-summary.json"
    assert {path.name for path in root.iterdir()} == {
        "_started", "data", "manifest-summary.json", "manifest-summary.md5", "manifest-files.json", "manifest-files.md5",
    }  # fmt: skip
    for name in ("manifest-summary", "manifest-files"):
        assert (root / f"{name}.md5").read_text() == md5(root / f"{name}.json")
    summary = json.loads((root / "manifest-summary.json").read_text())
    assert summary["version"] == "2020-06-30" and summary["exportArn"] == done["ExportArn"]
    assert (summary["itemCount"], summary["billedSizeBytes"]) == (39, done["BilledSizeBytes"])
    assert summary["manifestFilesS3Key"] == f"{place}/manifest-files.json"
    files = [json.loads(line) for line in (root / "manifest-files.json").read_text().splitlines()]
    assert sum(file["itemCount"] for file in files) == 39
    assert sorted(file["dataFileS3Key"] for file in files) == sorted(f"{place}/data/{p.name}" for p in (root / "data").iterdir())
    for file in files:
        path = bucket / file["dataFileS3Key"]
        assert file["md5Checksum"] == md5(path) and file["etag"] == hashlib.md5(path.read_bytes()).hexdigest()
        assert len(gzip.open(path).read().splitlines()) == file["itemCount"]

    again = import_table(client, "copy", f"{place}/data/", InputCompressionType="GZIP")
    assert again["ImportStatus"] == "COMPLETED", again
    assert (again["ProcessedItemCount"], again["ImportedItemCount"], again["ErrorCount"]) == (39, 39, 0)
    assert items_of(client, "copy") == items_of(client, "source")
    assert client.describe_table(TableName="copy")["Table"]["TableStatus"] == "ACTIVE"
    assert [e["ExportArn"] for e in client.list_exports(TableArn=arn)["ExportSummaries"]] == [done["ExportArn"]]
    assert client.list_exports(TableArn=again["TableArn"])["ExportSummaries"] == []
    assert [i["ImportArn"] for i in client.list_imports()["ImportSummaryList"]] == [again["ImportArn"]]


def test_duckdb_reads_exports(server, bucket):
    import duckdb

    client = server.dynamodb()
    arn = make_table(client)
    put_all(client, "source", [{"pk": {"S": "a"}, "sk": {"N": str(n)}, "v": {"N": f"{n}.25"}} for n in range(100)])
    lines = Path(export(client, arn)["ExportManifest"]).parent
    (total,) = duckdb.connect().execute(
        f"SELECT sum(CAST(Item.v.N AS DECIMAL(18, 2))) FROM read_json('{bucket / lines}/data/*.json.gz', format='nd')"
    ).fetchone()
    assert total == Decimal("4975.00")
    done = export(client, arn, ExportFormat="PARQUET", S3Prefix="parquet/")
    assert (done["ExportStatus"], done["ItemCount"]) == ("COMPLETED", 100)
    files = bucket / Path(done["ExportManifest"]).parent / "data" / "*.parquet"
    assert duckdb.connect().execute(f"SELECT count(*), sum(v) FROM '{files}'").fetchone() == (100, Decimal("4975.00"))


def test_a_table_is_exported_as_it_was(server, bucket):
    import duckdb

    client = server.dynamodb()
    arn = make_table(client)
    old = [{"pk": {"S": "a"}, "sk": {"N": str(n)}, "v": {"S": "old"}} for n in range(10)]
    put_all(client, "source", old)
    # Times are whole seconds.
    then = math.ceil(time.time())
    wait_for("the next second", lambda: time.time() > then)
    put_all(client, "source", [{"pk": {"S": "a"}, "sk": {"N": str(n)}, "v": {"S": "new"}} for n in range(5, 15)])
    client.delete_item(TableName="source", Key={"pk": {"S": "a"}, "sk": {"N": "0"}})
    done = export(client, arn, ExportTime=then)
    assert (done["ExportStatus"], done["ItemCount"], done["ExportTime"].timestamp()) == ("COMPLETED", 10, then), done
    files = (bucket / Path(done["ExportManifest"]).parent / "data").iterdir()
    exported = [json.loads(line)["Item"] for path in files for line in gzip.open(path)]
    assert sorted(exported, key=lambda item: int(item["sk"]["N"])) == old
    done = export(client, arn, ExportTime=then, ExportFormat="PARQUET")
    files = bucket / Path(done["ExportManifest"]).parent / "data" / "*.parquet"
    assert duckdb.connect().execute(f"SELECT count(*), count(DISTINCT sk), min(v), max(v) FROM '{files}'").fetchone() == (
        10, 10, "old", "old",
    )  # fmt: skip
    assert error(client.export_table_to_point_in_time, TableArn=arn, S3Bucket="my-bucket", ExportTime=1)[0] == (
        "InvalidExportTimeException"
    )
    assert not list((server.data / "restores").glob("*")), "what an export needed is gone with it"


def test_csv_is_imported_and_what_is_wrong_is_counted(server, bucket):
    client = server.dynamodb()
    (bucket / "in").mkdir()
    (bucket / "in" / "1.csv").write_text('pk,sk,note,g\na,1,"x, y",7\na,no,bad number,8\nb,2.50,,\nonly\n,3,no key,9\n')
    (bucket / "in" / "2.csv").write_text("pk,sk,note,g\nc,4,z,no number\n")
    index = {
        "IndexName": "by-g", "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}], "Projection": {"ProjectionType": "ALL"},
    }  # fmt: skip
    attributes = [*KEYS["AttributeDefinitions"], {"AttributeName": "g", "AttributeType": "N"}]
    table = KEYS | {"TableName": "rows", "AttributeDefinitions": attributes, "GlobalSecondaryIndexes": [index]}
    started = client.import_table(
        S3BucketSource={"S3Bucket": "my-bucket", "S3KeyPrefix": "in/"}, InputFormat="CSV", TableCreationParameters=table
    )["ImportTableDescription"]
    done = ended(client, "describe_import", "ImportArn", started["ImportArn"])
    assert (done["ImportStatus"], done["ProcessedItemCount"], done["ImportedItemCount"], done["ErrorCount"]) == (
        "COMPLETED", 6, 2, 4,
    )  # fmt: skip
    assert items_of(client, "rows") == {
        ("a", 1): {"pk": {"S": "a"}, "sk": {"N": "1"}, "note": {"S": "x, y"}, "g": {"N": "7"}},
        ("b", Decimal("2.5")): {"pk": {"S": "b"}, "sk": {"N": "2.5"}},
    }
    found = client.query(
        TableName="rows", IndexName="by-g", KeyConditionExpression="g = :g", ExpressionAttributeValues={":g": {"N": "7"}}
    )
    assert found["Count"] == 1
    told = server.process.said()
    assert 'object=in/1.csv line="3"' in told or 'line=3' in told, told[-2000:]
    # No header in the object, another delimiter, compressed.
    (bucket / "plain.csv.gz").write_bytes(gzip.compress(b"d|5|w\n"))
    done = import_table(
        client, "plain", "plain", InputFormat="CSV", InputCompressionType="GZIP",
        InputFormatOptions={"Csv": {"Delimiter": "|", "HeaderList": ["pk", "sk", "v"]}},
    )  # fmt: skip
    assert done["ImportedItemCount"] == 1
    assert items_of(client, "plain") == {("d", 5): {"pk": {"S": "d"}, "sk": {"N": "5"}, "v": {"S": "w"}}}


def test_hostile_objects_cost_themselves_and_nothing_else(server, bucket):
    client = server.dynamodb()
    line = b'{"Item":{"pk":{"S":"good"},"sk":{"N":"1"}}}\n'
    deep = b'{"Item":{"pk":{"S":"x"},"sk":{"N":"1"},"d":' + b'{"L":[' * 100_000 + b"]}" * 100_000 + b"}}\n"
    large = b'{"Item":{"pk":{"S":"x"},"sk":{"N":"1"},"d":{"S":"' + b"x" * 500_000 + b'"}}}\n'
    bomb = b"\0" * (256 << 20)
    (bucket / "bad").mkdir()
    objects = {
        "1-deep": deep, "2-large": large, "3-no-json": b"{\n[]\n\"x\"\n{}\n\xff\xfe\n\n", "4-bomb": bomb, "5-key": line.replace(b"pk", b"kp"),
        "6-good": line,
    }  # fmt: skip
    for name, content in objects.items():
        (bucket / "bad" / name).write_bytes(gzip.compress(content, compresslevel=1))
    (bucket / "bad" / "7-no-gzip").write_bytes(line)
    (bucket / "bad" / "8-cut").write_bytes(gzip.compress(line.replace(b"good", b"lost") * 1000)[:-20])
    (bucket / "bad" / "9-link").symlink_to("/etc/passwd")
    done = import_table(client, "survivors", "bad/", InputCompressionType="GZIP")
    assert done["ImportStatus"] == "COMPLETED", done
    assert ("good", 1) in items_of(client, "survivors")
    # One each of 1, 2, 4, 5, 7 and 8, five of 3.
    assert done["ErrorCount"] == 11, server.process.said()[-4000:]
    peak = int(next(row for row in Path(f"/proc/{server.process.pid}/status").read_text().splitlines() if "VmHWM" in row).split()[1])
    assert peak < 400_000, f"{peak} kB"


def test_what_cannot_be_done_is_refused_in_words(server, bucket):
    client = server.dynamodb()
    arn = make_table(client)
    export_to = client.export_table_to_point_in_time
    assert error(export_to, TableArn=arn.replace("source", "nowhere"), S3Bucket="my-bucket")[0] == "TableNotFoundException"
    code, message = error(export_to, TableArn=arn, S3Bucket="other-bucket")
    assert code == "ValidationException" and "[buckets]" in message and "other-bucket" in message
    for prefix in ("../out", "a/../../b", "/etc", "a//b"):
        assert error(export_to, TableArn=arn, S3Bucket="my-bucket", S3Prefix=prefix)[0] == "ValidationException"
    assert error(export_to, TableArn=arn, S3Bucket="my-bucket", ExportFormat="ION")[0] == "ValidationException"
    assert error(export_to, TableArn=arn, S3Bucket="my-bucket", ExportTime=4_000_000_000)[0] == "InvalidExportTimeException"
    assert error(client.describe_export, ExportArn=f"{arn}/export/01700000000000-00000000")[0] == "ExportNotFoundException"
    assert error(client.describe_import, ImportArn=f"{arn}/import/01700000000000-00000000")[0] == "ImportNotFoundException"

    make_table(client, "unprotected", recoverable=False)
    code, message = error(export_to, TableArn=arn.replace("source", "unprotected"), S3Bucket="my-bucket")
    assert (code, message) == (
        "PointInTimeRecoveryUnavailableException", "Point in time recovery is not enabled for table 'unprotected'",
    )  # fmt: skip

    source = {"S3BucketSource": {"S3Bucket": "my-bucket"}, "InputFormat": "DYNAMODB_JSON"}
    assert error(client.import_table, **source, TableCreationParameters={"TableName": "source", **KEYS})[0] == "ResourceInUseException"
    for changed in ({"InputFormat": "ION"}, {"S3BucketSource": {"S3Bucket": "my-bucket", "S3KeyPrefix": "../"}}):
        refused = error(client.import_table, **source | changed, TableCreationParameters={"TableName": "new", **KEYS})
        assert refused[0] == "ValidationException"
    failed = import_table(client, "empty", "nothing/here")
    assert (failed["ImportStatus"], failed["FailureCode"]) == ("FAILED", "S3NoSuchKey")
    assert "empty" not in server.tables()
    bucket.rmdir()
    failed = export(client, arn)
    assert (failed["ExportStatus"], failed["FailureCode"]) == ("FAILED", "S3NoSuchBucket")


def test_a_token_makes_one_of_two_requests(server):
    client = server.dynamodb()
    arn = make_table(client)
    ask = lambda **more: client.export_table_to_point_in_time(  # noqa: E731
        TableArn=arn, S3Bucket="my-bucket", ClientToken="token", **more
    )["ExportDescription"]["ExportArn"]
    assert ask() == ask()
    assert error(ask, S3Prefix="other")[0] == "ExportConflictException"


@pytest.mark.timeout(600)
def test_killed_imports_and_exports_end_with_every_item_once(make_server, bucket):
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    moments = random.Random(seed)
    count = 60_000
    server = make_server(f'[buckets]\nmy-bucket = "{bucket}"\n').start()
    for at in range(4):
        lines = (json.dumps({"Item": {"pk": {"S": f"d{n % 97}"}, "sk": {"N": str(n)}}}) for n in range(at, count, 4))
        (bucket / f"part-{at}.json").write_text("\n".join(lines))
    client = server.dynamodb()
    arn = client.import_table(
        S3BucketSource={"S3Bucket": "my-bucket", "S3KeyPrefix": "part-"}, InputFormat="DYNAMODB_JSON",
        TableCreationParameters={"TableName": "source", **KEYS},
    )["ImportTableDescription"]["ImportArn"]  # fmt: skip
    described = lambda: server.dynamodb().describe_import(ImportArn=arn)["ImportTableDescription"]  # noqa: E731
    kills = 0
    while described()["ImportStatus"] == "IN_PROGRESS" and kills < 5:
        assert server.dynamodb().describe_table(TableName="source")["Table"]["TableStatus"] == "CREATING"
        assert error(server.dynamodb().scan, TableName="source")[0] == "ResourceNotFoundException"
        assert error(server.dynamodb().delete_table, TableName="source")[0] == "ResourceInUseException"
        threading.Event().wait(moments.uniform(0, 0.4))
        server.kill()
        server.start()
        kills += 1
    assert kills >= 1
    client = server.dynamodb()
    done = ended(client, "describe_import", "ImportArn", arn)
    assert done["ImportStatus"] == "COMPLETED", done
    assert (done["ProcessedItemCount"], done["ImportedItemCount"], done["ErrorCount"]) == (count, count, 0)
    assert sorted(int(sk) for _, sk in items_of(client, "source")) == list(range(count))

    client.update_continuous_backups(
        TableName="source", PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
    )
    table = done["TableArn"]
    arn = client.export_table_to_point_in_time(TableArn=table, S3Bucket="my-bucket")["ExportDescription"]["ExportArn"]
    place = bucket / "AWSDynamoDB" / arn.rsplit("/", 1)[1]
    for _ in range(2):
        wait_for("an object", lambda: any((place / "data").glob("*")) if (place / "data").exists() else False)
        server.kill()
        server.start()
    client = server.dynamodb()
    done = ended(client, "describe_export", "ExportArn", arn)
    assert (done["ExportStatus"], done["ItemCount"]) == ("COMPLETED", count), done
    exported = [json.loads(line)["Item"] for path in (place / "data").iterdir() for line in gzip.open(path)]
    assert sorted(int(item["sk"]["N"]) for item in exported) == list(range(count))
