"""An acknowledgement leaves only after the frame that holds its reading is synced, as strace sees the running server.

The order in the trace: the write of the frame into a log segment, a sync of that segment that returned, the send of the
acknowledgement; and before it the sync of the directory in which the segment was made. With `durability = "memory"` the same
checks find the order violated, which shows that they can.
"""

import json
from concurrent.futures import ThreadPoolExecutor

import harness
import pytest
from entrances import JetStreamSource, MosquittoSource
from syscalls import SENDS, Trace, http_acknowledgement, mark, mqtt_acknowledgement, nats_acknowledgement, payload, strace

READINGS = 200
# Small, so that the log goes on in new segments while acknowledgements leave. A segment is durable when the next one takes
# frames, so without syncs there is but one.
SEGMENT_BYTES = {"fsync": 64 << 10, "memory": 64 << 20}

ACKNOWLEDGEMENTS = {
    "listener-3.1.1": mqtt_acknowledgement,
    "listener-5": mqtt_acknowledgement,
    "mosquitto": mqtt_acknowledgement,
    "jetstream": nats_acknowledgement,
    "put": http_acknowledgement,
    "batch": http_acknowledgement,
    "rows": http_acknowledgement,
    "update": http_acknowledgement,
    "quarantined": mqtt_acknowledgement,
}


@pytest.fixture(scope="module", params=["fsync", "memory"])
def traced(request, tmp_path_factory):
    """A server's trace, and the markers of what went in by each entrance; by durability."""
    directory = tmp_path_factory.mktemp(request.param)
    sources = [MosquittoSource(directory), JetStreamSource(directory)]
    config = f'durability = "{request.param}"\n[store]\nsegment_bytes = {SEGMENT_BYTES[request.param]}\n'
    config += "".join(source.config() for source in sources)
    output = directory / "trace"
    server = harness.Server(directory / "server", config, prefix=strace(output))
    try:
        server.start()
        for source in sources:
            source.attach(server)
            source.publish_all((f"{source.name}/{n}", payload(source.name, n)) for n in range(READINGS))
        for name, protocol in [("listener-3.1.1", 4), ("listener-5", 5)]:
            with server.publisher("order", protocol=protocol) as publisher:
                for n in range(READINGS):
                    publisher.publish(f"{name}/{n}", payload(name, n))
                publisher.drain()
        with server.publisher("order") as publisher:
            for n in range(READINGS):
                # Not UTF-8, so it goes to quarantine as it is.
                publisher.publish(f"quarantined/{n}", mark("quarantined", n).encode() + b"\xff")
            publisher.drain()
        write_over_http(server)
        stored = READINGS * (len(ACKNOWLEDGEMENTS) - 1)
        harness.wait_for("every reading", lambda: sum("mark" in item for item in everything(server)) == stored, every=0.2)
        harness.wait_for("every acknowledgement of the sources", lambda: sources_are_done(server, sources), every=0.2)
        server.run("compact")
        server.stop()
    finally:
        server.close()
        for source in sources:
            source.close()
    return request.param, Trace.read(output, server.process.pid)


def write_over_http(server):
    """One item a request, put and updated, several, and rows; eight requests at a time."""
    client = server.dynamodb()
    client.create_table(
        TableName="direct",
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "mark", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "mark", "AttributeType": "S"}],
    )

    def item(name, number):
        return {"mark": {"S": mark(name, number)}, "n": {"N": str(number)}}

    def put(number):
        client.put_item(TableName="direct", Item=item("put", number))

    def update(number):
        values = {":n": {"N": str(number)}}
        key = {"mark": {"S": mark("update", number)}}
        client.update_item(TableName="direct", Key=key, UpdateExpression="SET n = :n", ExpressionAttributeValues=values)

    def batch(first):
        puts = [{"PutRequest": {"Item": item("batch", number)}} for number in range(first, first + 10)]
        client.batch_write_item(RequestItems={"direct": puts})

    def rows(first):
        lines = "\n".join(payload("rows", number) for number in range(first, first + 10))
        server.post("/ingest/readings?device=mark&time=ts", lines.encode())

    with ThreadPoolExecutor(8) as pool:
        for work, step in [(put, 1), (update, 1), (batch, 10), (rows, 10)]:
            list(pool.map(work, range(0, READINGS, step)))


def everything(server):
    return [item for table in server.tables() for item in server.scan(table)]


def sources_are_done(server, sources):
    """Has every message of the sources been acknowledged? Their last acknowledgements leave after the items are visible."""
    jetstream = next(source for source in sources if source.name == "jetstream")

    async def unacknowledged(_client, stream):
        info = await stream.consumer_info("TELEMETRY", "thalweg-cloud")
        return info.num_pending + info.num_ack_pending

    taken = server.metric("thalweg_entrance_messages_total", entrance="plant")
    given = server.metric("thalweg_entrance_acknowledgements_total", entrance="plant")
    return jetstream.broker.run(unacknowledged) == 0 and taken == given


def markers(entrance):
    return [mark(entrance, number).encode() for number in range(READINGS)]


@pytest.mark.parametrize("entrance", ACKNOWLEDGEMENTS)
def test_acknowledged_after_the_sync(traced, entrance):
    durability, trace = traced
    violations = trace.order_violations(markers(entrance), ACKNOWLEDGEMENTS[entrance])
    if durability == "fsync":
        assert violations == []
    else:
        # Found wrong, and for the right reason: each was acknowledged, before it was durable.
        assert len(violations) > READINGS / 2, violations
        assert all(": acknowledged at line " in violation for violation in violations), violations


def test_the_log_went_on_in_new_segments(traced):
    durability, trace = traced
    written = {call.target for call in trace.calls if b"mark-" in call.data and call.target.endswith(".segment")}
    assert len(written) > 2 if durability == "fsync" else len(written) == 1, written


def test_files_are_synced_before_a_manifest_names_them(traced):
    _, trace = traced
    manifests, violations = trace.manifest_violations()
    assert manifests and violations == []
    files = [path for path, _ in trace.made() if path.endswith(".parquet")]
    assert files, "nothing was compacted"


def test_a_compaction_is_told_when_its_links_are_durable(traced):
    _, trace = traced
    links = [trace.name_durable(path, made) for path, made in trace.made() if "/cold/tables/" in path]
    (answer,) = [call for call in trace.calls if call.name in SENDS and b'"generation"' in call.data]
    assert links and all(line is not None and line < answer.began for line in links)


# --- The checker itself, on traces that are wrong in one place ---

GOOD = [
    r'1 openat(AT_FDCWD</>, "/d/log/1.segment", O_RDWR|O_CREAT|O_EXCL, 0666) = 5</d/log/1.segment>',
    r"1 fdatasync(5</d/log/1.segment>) = 0",
    r"1 fsync(6</d/log>) = 0",
    r'2 recvfrom(9<socket:[7]>, "2\15\0\1t\0\3mark-x-y", 4096, 0, NULL, NULL) = 15',
    r'3 pwrite64(5</d/log/1.segment>, "...mark-x-y...", 14, 0) = 14',
    r"3 fdatasync(5</d/log/1.segment> <unfinished ...>",
    r"3 <... fdatasync resumed>) = 0",
    r'2 sendto(9<socket:[7]>, "@\2\0\3", 4, MSG_NOSIGNAL, NULL, 0) = 4',
]


def violations_of(lines):
    return Trace("\n".join(lines)).order_violations([b"mark-x-y"], mqtt_acknowledgement)


def swapped(first, second):
    lines = list(GOOD)
    lines[first], lines[second] = lines[second], lines[first]
    return lines


def test_the_checker_accepts_the_right_order():
    assert violations_of(GOOD) == []


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        (swapped(6, 7), "durable only at line 7"),
        (swapped(4, 5), "is not synced after it was written"),
        (GOOD[:5] + GOOD[7:], "is not synced after it was written"),
        (GOOD[:2] + GOOD[3:], "the directory of /d/log/1.segment is not synced"),
        (GOOD[:2] + GOOD[3:] + [GOOD[2]], "durable only at line 7"),
        (GOOD[:4] + GOOD[7:], "no frame holds it"),
        (GOOD[:7], "no acknowledgement was sent"),
        ([line.replace("= 0", "= -1 EIO (Input/output error)") for line in GOOD], "is not synced after it was written"),
    ],
)
def test_the_checker_sees_what_is_wrong(lines, what):
    (violation,) = violations_of(lines)
    assert what in violation


MANIFEST = json.dumps({"manifest": {"files": [{"id": 7}]}}).replace('"', '\\"')
FILE = "/d/cold/generations/1-1/00000-00000000000000000007.parquet"
MANIFEST_GOOD = [
    '1 mkdir("/d/cold/generations/1-1", 0777) = 0',
    f'1 openat(AT_FDCWD</>, "{FILE}", O_RDWR|O_CREAT|O_EXCL, 0666) = 5<{FILE}>',
    f'1 pwrite64(5<{FILE}>, "PAR1", 4, 0) = 4',
    f"1 fdatasync(5<{FILE}>) = 0",
    "1 fsync(6</d/cold/generations/1-1>) = 0",
    "1 fsync(6</d/cold/generations>) = 0",
    f'1 pwrite64(7</d/manifest/next>, "{MANIFEST}", 36, 0) = 36',
    "1 fdatasync(7</d/manifest/next>) = 0",
    '1 linkat(AT_FDCWD</>, "/d/manifest/next", AT_FDCWD</>, "/d/manifest/00000000000000000001.json", 0) = 0',
    "1 fsync(8</d/manifest>) = 0",
    '1 unlink("/d/manifest/next") = 0',
    '1 unlink("/d/log/00000000000000000001.segment") = 0',
]


def test_the_checker_accepts_a_right_manifest():
    assert Trace("\n".join(MANIFEST_GOOD)).manifest_violations()[1] == []


@pytest.mark.parametrize(
    ("missing", "what"),
    [
        (1, "was not made"),
        (3, "whose content is not synced"),
        (4, "whose directory is not synced"),
        (5, "whose directory is not synced"),
        (7, "before its content is synced"),
        (9, "before older files go"),
    ],
)
def test_the_checker_sees_what_a_manifest_lacks(missing, what):
    lines = MANIFEST_GOOD[:missing] + MANIFEST_GOOD[missing + 1 :]
    (violation,) = Trace("\n".join(lines)).manifest_violations()[1]
    assert what in violation
