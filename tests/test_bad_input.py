"""Input that cannot be taken gets a clear error that names the thing, and the server lives on; a start that cannot work
ends at once, with a message that names what and where, and not with 0.
"""

import gzip
import http.client
import json
import socket

import harness
import pytest
from harness import Mosquitto, wait_for

TARGET = "DynamoDB_20120810."


def post(server, operation, body, headers=None, path="/"):
    """Status and parsed body of one raw request."""
    connection = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=30)
    headers = {"content-type": "application/x-amz-json-1.0", "x-amz-target": TARGET + operation} | (headers or {})
    try:
        connection.request("POST", path, body, headers)
    except BrokenPipeError:
        pass  # Answered before all of it was sent.
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    try:
        return answer.status, json.loads(content)
    except ValueError:
        return answer.status, {"message": content.decode(errors="replace")}


def put(item):
    return json.dumps({"TableName": "things", "Item": item})


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """A server for all requests of this file: none of them may harm it."""
    server = harness.Server(tmp_path_factory.mktemp("bad") / "server")
    try:
        server.start()
        server.dynamodb().create_table(
            TableName="things",
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        )
        yield server
        server.stop()
        assert "panicked" not in server.process.said()
    finally:
        server.close()


NESTED = '{"M":{"a":' * 40 + '{"S":"x"}' + "}}" * 40
REQUESTS = {
    # name: (operation, body, error, what its message has)
    "not-json": ("PutItem", '{"TableName": "things", "Item": {"id": }', "SerializationException", ""),
    "empty": ("PutItem", "", "SerializationException", ""),
    "array": ("PutItem", "[]", "SerializationException", ""),
    "wrong-type": ("PutItem", '{"TableName": 5}', "SerializationException", ""),
    "not-utf-8": ("PutItem", b'{"TableName": "\xff"}', "SerializationException", ""),
    "cut": ("PutItem", put({"id": {"S": "a"}})[:-1], "SerializationException", ""),
    "deep": ("PutItem", "[" * 100_000, "SerializationException", ""),
    "unknown-operation": ("Unheard", "{}", "UnknownOperationException", ""),
    "unknown-table": ("PutItem", '{"TableName": "absent", "Item": {"id": {"S": "a"}}}', "ResourceNotFoundException", ""),
    "table-name": ("PutItem", '{"TableName": "a/../b", "Item": {"id": {"S": "a"}}}', "ValidationException", "tableName"),
    "no-key": ("PutItem", put({"x": {"S": "a"}}), "ValidationException", "Missing the key id"),
    "key-type": ("PutItem", put({"id": {"N": "1"}}), "ValidationException", "Type mismatch for key id"),
    "empty-key": ("PutItem", put({"id": {"S": ""}}), "ValidationException", "Key: id"),
    "long-key": ("PutItem", put({"id": {"S": "k" * 2049}}), "ValidationException", "2048"),
    "no-number": ("PutItem", put({"id": {"S": "a"}, "n": {"N": "1x"}}), "ValidationException", "1x"),
    "39-digits": ("PutItem", put({"id": {"S": "a"}, "n": {"N": "1" * 39}}), "ValidationException", "38"),
    "too-great": ("PutItem", put({"id": {"S": "a"}, "n": {"N": "1E126"}}), "ValidationException", "Number overflow"),
    "base64": ("PutItem", put({"id": {"S": "a"}, "b": {"B": "!!"}}), "SerializationException", ""),
    "two-types": ("PutItem", put({"id": {"S": "a"}, "n": {"N": "1", "S": "a"}}), "ValidationException", ""),
    "no-type": ("PutItem", put({"id": {"S": "a"}, "n": {"X": "1"}}), "", ""),
    "nested": ("PutItem", f'{{"TableName": "things", "Item": {{"id": {{"S": "a"}}, "m": {NESTED}}}}}', "ValidationException", ""),
    "large-item": ("PutItem", put({"id": {"S": "a"}, "s": {"S": "x" * 410_000}}), "ValidationException", "Item size"),
}


@pytest.mark.parametrize("case", REQUESTS)
def test_a_bad_request_is_told_what_is_wrong(running, case):
    operation, body, error, text = REQUESTS[case]
    status, answer = post(running, operation, body)
    assert status == 400, answer
    assert answer["__type"].endswith("#" + error) if error else "#" in answer["__type"], answer
    message = answer.get("message") or answer.get("Message") or ""
    assert text in message, answer
    assert message or error == "SerializationException", answer


def test_a_body_over_the_limit_is_refused_and_the_server_lives(running):
    large = put({"id": {"S": "a"}, "s": {"S": "x" * (17 << 20)}})
    bomb = gzip.compress(b" " * (100 << 20), 1)
    for body, headers in [(large, {}), (bomb, {"content-encoding": "gzip"})]:
        status, answer = post(running, "PutItem", body, headers)
        assert status == 413 and "16777216" in answer["Message"], answer
    assert post(running, "ListTables", "{}") == (200, {"TableNames": ["things"]})


def test_bytes_that_are_no_http_harm_nobody(running):
    for noise in (b"\x00" * 64, b"GET / HTTP/9.9\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"A" * 100_000):
        with socket.create_connection(("127.0.0.1", running.http_port), timeout=10) as connection:
            try:
                connection.sendall(noise)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(4096):
                    pass
            except ConnectionError:
                pass
    assert post(running, "ListTables", "{}")[0] == 200


def test_bytes_that_are_no_mqtt_close_the_connection(running):
    for noise in (b"\x00" * 64, b"\x10\xff\xff\xff\xff\xff", b"GET / HTTP/1.1\r\n\r\n", b"\x32\x04\x00\x01t\x00"):
        with socket.create_connection(("127.0.0.1", running.mqtt_port), timeout=10) as connection:
            try:
                connection.sendall(noise)
                while connection.recv(4096):
                    pass
            except ConnectionError:
                pass
    with running.publisher("after-noise"):
        pass


# --- Starts that cannot work ---


def refused(server, *texts):
    """The server does not start, says why, and does not end with 0."""
    process = harness.Process(server.command(), server.log, env=harness.clean_environment() | server.environment)
    try:
        wait_for("the end of the server", lambda: not process.running(), 30)
        assert process.process.stdout.read() == b"", "it said that it is ready"
    finally:
        process.kill()
    assert process.process.returncode not in (0, 101), process.said()
    for text in texts:
        assert str(text) in process.said(), process.said()
    assert "panicked" not in process.said()


CONFIGS = {
    # name: (the file, what the error has)
    "unknown-key": ('http = "127.0.0.1:0"\n\nmqqt = "off"\n', ["line 3", "mqqt"]),
    "unknown-key-below": ("[store]\nshards = 2\nsegments = 3\n", ["line 3", "segments"]),
    "unknown-key-of-a-route": ('[[route]]\ntopic = "a/{device}"\ndevcie = "x"\n', ["line 3", "devcie"]),
    "unknown-key-of-a-source": ('[[source]]\nname = "a"\nurl = "mqtt://localhost"\ntopic = "#"\n', ["line 4", "topic"]),
    "not-toml": ('durability = "fsync"\nhttp 127.0.0.1\n', ["line 2"]),
    "wrong-type": ('[cache]\nmemory_bytes = "much"\n', ["line 2", "memory_bytes"]),
    "unknown-durability": ('durability = "maybe"\n', ["line 1", "maybe"]),
    "source-scheme": ('\n[[source]]\nname = "a"\nurl = "http://localhost"\n', ["line 2", "`a`", "http"]),
    "source-without-stream": ('[[source]]\nname = "a"\nurl = "nats://localhost"\n', ["`a`", "stream"]),
    "source-twice": ('[[source]]\nname="a"\nurl="mqtt://h"\n[[source]]\nname="a"\nurl="mqtt://i"\n', ["`a`", "another source"]),
    "route-pattern": ('[[route]]\ntopic = "a/#/b"\n', ["line 2", "a/#/b"]),
    "route-capture": ('[[route]]\ntopic = "a/{x}"\ndevice = "{y}"\n', ["a/{x}", "{y}"]),
    "route-drops-a-level": ('[[route]]\ntopic = "home/+/{device}"\n', ["home/+/{device}", "dropped"]),
    "route-other-keys": ('[[route]]\ntopic = "a/{device}"\ndevice_key = "id"\n', ["readings", "device_id", "id"]),
    "route-zone": ('[[route]]\ntopic = "a/{device}"\nzone = "Mars/Olympus"\n', ["line 3", "Mars/Olympus"]),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_a_config_that_cannot_work_is_refused_with_its_place(make_server, case):
    config, texts = CONFIGS[case]
    server = make_server(config)
    refused(server, server.config, *texts)
    assert not server.data.exists(), "nothing is made before the configuration is known to be good"
    checked = harness.thalweg("config", "check", "--config", server.config, check=False)
    assert checked.returncode not in (0, 101)
    for text in texts:
        assert text in checked.stderr, checked.stderr


def test_a_config_that_is_absent_is_named(make_server):
    server = make_server()
    server.config.unlink()
    refused(server, server.config)


@pytest.mark.parametrize("listener", ["http", "mqtt"])
def test_a_port_that_is_taken_is_named(make_server, listener):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = make_server()
        setattr(server, f"{listener}_port", port)
        refused(server, f"127.0.0.1:{port}", listener)


def test_a_data_directory_in_use_is_named(make_server):
    first = make_server().start()
    second = make_server()
    second.data = first.data
    refused(second, first.data, "in use")
    # The first one is not disturbed.
    assert first.tables() == []
    first.stop()
    second.start()
    second.stop()


def test_a_data_directory_of_a_newer_format_is_named(make_server):
    server = make_server().start()
    server.stop()
    path = server.data / "FORMAT"
    form = json.loads(path.read_text())
    path.write_text(json.dumps(form | {"format": form["format"] + 1}))
    refused(server, server.data, "FORMAT", form["format"] + 1, "newer")
    path.write_text(json.dumps(form))
    server.start()
    server.stop()


def test_a_data_directory_that_is_none_is_named(make_server, tmp_path):
    server = make_server()
    server.data = tmp_path / "file"
    server.data.write_text("not a directory")
    refused(server, server.data)


@pytest.mark.parametrize("listener", ["http", "mqtt"])
@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"])
def test_other_than_loopback_is_refused(make_server, listener, address):
    server = make_server()
    command = server.command()
    command[command.index(f"--{listener}") + 1] = address
    server.command = lambda: command
    refused(server, listener, address, "loopback")
    assert not server.data.exists()


@pytest.mark.parametrize("arguments", [["--http", "8000"], ["--mqtt", "on"], ["--unheard-of"], ["--data-dir"]])
def test_arguments_that_cannot_be_are_named(arguments):
    result = harness.thalweg("serve", *arguments, check=False)
    assert result.returncode == 2
    assert arguments[-1] in result.stderr


def test_verify_of_what_cannot_be_verified(server, tmp_path):
    absent = tmp_path / "absent"
    result = harness.thalweg("verify", "--data-dir", absent, check=False)
    assert result.returncode not in (0, 101) and str(absent) in result.stderr, result
    assert not absent.exists()
    result = harness.thalweg("verify", "--data-dir", server.data, check=False)
    assert result.returncode not in (0, 101) and "in use" in result.stderr, result


@pytest.mark.parametrize("command", [["status"], ["compact"], ["tail", "readings"], ["quarantine", "list"]])
def test_a_command_without_a_server_says_where_it_looked(command):
    port = harness.free_port()
    result = harness.thalweg(*command, "--http", f"127.0.0.1:{port}", check=False)
    assert result.returncode not in (0, 101)
    assert f"127.0.0.1:{port}" in result.stderr, result.stderr


def test_a_source_that_is_not_there_is_retried(make_server, tmp_path):
    """A broker may be down when the server starts: it serves, and takes readings once the broker is there."""
    broker = Mosquitto(tmp_path / "broker")
    server = make_server(f'[[source]]\nname = "late"\nurl = "mqtt://127.0.0.1:{broker.port}"\n').start()
    wait_for("a line about the source", lambda: "late" in server.process.said())
    assert server.get("/health/ready")
    with broker:
        with broker.publisher() as publisher:

            def taken():
                publisher.publish("late/1", {"value": 1})
                return server.has_table("readings")

            wait_for("a reading", taken, every=0.2)
