"""TLS: unmodified clients inside it, and a certificate that is changed while they go on."""

import json
import os
import signal
import socket
import ssl
import subprocess
import urllib.request

import boto3
import pytest
from botocore.exceptions import SSLError

import harness

TABLE = {
    "TableName": "plant",
    "KeySchema": [{"AttributeName": "device", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "device", "AttributeType": "S"}],
    "BillingMode": "PAY_PER_REQUEST",
}


class Authority:
    """Signs certificates for 127.0.0.1, as an operator's own authority does."""

    def __init__(self, directory):
        self.directory = directory
        self.directory.mkdir(exist_ok=True)
        self.file = directory / "authority.pem"
        self.openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-subj", "/CN=Test Authority", "-addext", "basicConstraints=critical,CA:TRUE",
            "-addext", "keyUsage=critical,keyCertSign", "-keyout", directory / "authority.key", "-out", self.file,
        )  # fmt: skip

    def openssl(self, *arguments):
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, cwd=self.directory)

    def issue(self, name, kind=("ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")):
        """A certificate and its key, as two PEM texts."""
        key, request, certificate, more = (self.directory / f"{name}.{end}" for end in ("key", "csr", "pem", "ext"))
        self.openssl("req", "-newkey", *kind, "-nodes", "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        more.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth\n")
        self.openssl(
            "x509", "-req", "-in", request, "-CA", self.file, "-CAkey", self.directory / "authority.key",
            "-CAcreateserial", "-days", "2", "-extfile", more, "-out", certificate,
        )  # fmt: skip
        return certificate.read_text(), key.read_text()


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path / "authority")


class SecuredServer(harness.Server):
    """A server with a certificate."""

    def __init__(self, directory, authority):
        self.authority = authority
        self.certificate, self.key = directory / "server.pem", directory / "server.key"
        super().__init__(directory, f'[tls]\ncertificate = "{self.certificate}"\nkey = "{self.key}"\n')
        self.show(*authority.issue("first"))

    def show(self, certificate, key):
        self.certificate.write_text(certificate)
        self.key.write_text(key)

    @property
    def url(self):
        return f"https://127.0.0.1:{self.http_port}"

    def sdk(self):
        return super().sdk() | {"verify": str(self.authority.file)}

    def get(self, path, timeout=harness.PATIENCE_S):
        with urllib.request.urlopen(self.url + path, timeout=timeout, context=self.context()) as answer:
            return answer.read()

    def context(self):
        return ssl.create_default_context(cafile=self.authority.file)

    def run(self, *arguments, check=True, authorities=None):
        environment = {"THALWEG_HTTP": self.url, "THALWEG_CA": str(authorities or self.authority.file)}
        return harness.thalweg(*arguments, check=check, environment=environment)

    def connect(self, port=None, **settings):
        """A connection inside TLS."""
        context = self.context()
        for name, value in settings.items():
            setattr(context, name, value) if name != "alpn" else context.set_alpn_protocols(value)
        stream = socket.create_connection(("127.0.0.1", port or self.http_port), timeout=harness.PATIENCE_S)
        return context.wrap_socket(stream, server_hostname="127.0.0.1")

    def shown(self, port=None):
        """The name of the certificate that new connections are shown."""
        with self.connect(port) as connection:
            return dict(pair for ((pair),) in connection.getpeercert()["subject"])["commonName"]


@pytest.fixture
def secured(tmp_path, authority):
    with SecuredServer(tmp_path, authority) as server:
        yield server


def request(path="/health/live"):
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def answer(stream):
    """One answer with a Content-Length: its status and body."""
    got = b""
    while b"\r\n\r\n" not in got:
        read = stream.recv(4096)
        assert read, got
        got += read
    head, body = got.split(b"\r\n\r\n", 1)
    (length,) = [int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    while len(body) < length:
        body += stream.recv(4096)
    return int(head.split(b" ")[1]), body


def test_sdks_and_the_command_lines_work_inside(secured):
    assert "tls=on" in secured.ready_line.split()
    table = boto3.resource("dynamodb", **secured.sdk()).create_table(**TABLE)
    with table.batch_writer() as batch:
        for number in range(40):
            batch.put_item({"device": f"pump-{number}", "blob": b"x" * 100_000})
    assert sum(len(page["Items"]) for page in secured.dynamodb().get_paginator("scan").paginate(TableName="plant")) == 40
    with pytest.raises(SSLError):
        boto3.client("dynamodb", **harness.Server.sdk(secured)).list_tables()
    environment = harness.clean_environment() | {
        "AWS_CA_BUNDLE": str(secured.authority.file), "AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_REGION": "local", "AWS_DEFAULT_REGION": "local", "AWS_ENDPOINT_URL": secured.url,
    }  # fmt: skip
    listed = subprocess.run(
        [harness.program("aws"), "dynamodb", "list-tables", "--output", "json"],
        env=environment, capture_output=True, text=True, timeout=harness.PATIENCE_S,
    )  # fmt: skip
    assert listed.returncode == 0 and json.loads(listed.stdout) == {"TableNames": ["plant"]}, listed.stderr
    status = json.loads(secured.run("status", "--json").stdout)
    assert status["tls"] is True
    # The AWS tools' variable counts where ours is not set.
    told = harness.thalweg("status", environment=environment | {"THALWEG_HTTP": secured.url})
    assert "writes" in told.stdout


def test_keys_work_inside(secured):
    secured.dynamodb().create_table(**TABLE)
    key = json.loads(secured.run("key", "create", "--json").stdout)
    credentials = {"aws_access_key_id": key["access_key"], "aws_secret_access_key": key["secret_key"]}
    assert boto3.client("dynamodb", **secured.sdk() | credentials).list_tables()["TableNames"] == ["plant"]
    refused = secured.run("reload", check=False)
    assert refused.returncode == 1 and "Authentication" in refused.stderr


def test_devices_publish_inside(secured):
    publisher = secured.publisher("secured")
    publisher.client.tls_set(ca_certs=str(secured.authority.file))
    with publisher:
        for number in range(500):
            publisher.publish("plant/pump", {"ts": 1767225600000 + number, "text": "x" * 2000})
        publisher.drain()
    assert len(secured.query("readings", "plant/pump")) == 500
    # Who is not trusted is told nothing, and who speaks MQTT without TLS gets no CONNACK.
    plain = secured.publisher("plain", reconnect=False)
    plain.client.connect("127.0.0.1", secured.mqtt_port)
    plain.client.loop_start()
    harness.wait_for("the end of the connection", lambda: plain.disconnects)
    plain.close()
    assert not plain.connected.is_set() and plain.refused is None
    assert secured.metric("thalweg_entrance_connection_errors_total", entrance="mqtt", reason="handshake") == 1


def test_the_demo_publishes_inside(secured):
    told = secured.run("demo", "--seconds", "2", "--json")
    last = json.loads(told.stdout.splitlines()[-1])
    assert last["acknowledged"] > 0, told.stdout


def test_both_versions_and_only_http_1_1(secured):
    for version, name in [(ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")]:
        with secured.connect(minimum_version=version, maximum_version=version, alpn=["h2", "http/1.1"]) as stream:
            assert (stream.version(), stream.selected_alpn_protocol()) == (name, "http/1.1")
            stream.sendall(request())
            assert answer(stream)[0] == 200
    with pytest.raises(ssl.SSLError):
        secured.connect(alpn=["h2"])
    with pytest.raises((ssl.SSLError, ConnectionError)):
        secured.connect(minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion.TLSv1_1)


@pytest.mark.parametrize("how", ["command", "signal"])
def test_a_certificate_is_changed_while_connections_go_on(secured, how):
    publisher = secured.publisher("through")
    publisher.client.tls_set(ca_certs=str(secured.authority.file))
    with publisher, secured.connect() as old:
        old.sendall(request())
        assert answer(old)[0] == 200
        assert secured.shown() == secured.shown(secured.mqtt_port) == "first"
        secured.show(*secured.authority.issue("second", ("rsa:2048",)))
        if how == "command":
            told = json.loads(secured.run("reload", "--json").stdout)
            assert told == {"certificate": str(secured.certificate), "changed": True}
        else:
            os.kill(secured.process.pid, signal.SIGHUP)
            harness.wait_for("the new certificate", lambda: secured.shown() == "second")
        assert secured.shown() == secured.shown(secured.mqtt_port) == "second"
        old.sendall(request())
        assert answer(old)[0] == 200
        publisher.publish("plant/pump", {"ts": 1767225600000, "n": 1})
        publisher.drain()
        assert not publisher.disconnects


def test_a_certificate_that_cannot_be_used_changes_nothing(secured):
    good = secured.certificate.read_text(), secured.key.read_text()
    _, other_key = secured.authority.issue("other")
    for certificate, key, told in [
        (good[0], other_key, "KeyMismatch"),
        ("", good[1], "no certificate"),
        (good[0], "", "no private key"),
        (good[0][: len(good[0]) // 2], good[1], "no certificate"),
    ]:
        secured.show(certificate, key)
        refused = secured.run("reload", check=False)
        assert refused.returncode == 1 and "the old certificate stays" in refused.stderr, refused.stderr
        assert told in refused.stderr.replace(" ", "") or told in refused.stderr, refused.stderr
        assert secured.shown() == "first"
    os.kill(secured.process.pid, signal.SIGHUP)
    harness.wait_for("the line in the log", lambda: "the old certificate stays" in secured.process.said())
    assert secured.shown() == "first"
    secured.stop()
    checked = harness.thalweg("config", "check", "--config", secured.config, check=False)
    assert checked.returncode == 1 and str(secured.certificate) in checked.stderr
    secured.show(*good)
    secured.start()
    assert json.loads(secured.run("reload", "--json").stdout)["changed"] is False


def test_http_without_tls_is_told_so_and_slow_handshakes_hold_nobody(secured):
    slow = [socket.create_connection(("127.0.0.1", port)) for port in (secured.http_port, secured.mqtt_port) for _ in range(50)]
    for number, stream in enumerate(slow):
        # Some say nothing, some begin a handshake and go no further.
        stream.sendall(b"\x16\x03\x01" if number % 2 else b"")
    assert secured.shown() == secured.shown(secured.mqtt_port) == "first"
    with socket.create_connection(("127.0.0.1", secured.http_port)) as plain:
        plain.sendall(request())
        status, body = answer(plain)
        assert status == 400 and b"https://" in body
        assert plain.recv(100) == b""
    told = harness.thalweg("status", check=False, environment={"THALWEG_HTTP": f"127.0.0.1:{secured.http_port}"})
    assert told.returncode == 1 and "https://" in told.stderr
    for stream in slow:
        stream.settimeout(harness.PATIENCE_S)
        while stream.recv(100):
            pass
        stream.close()


def test_commands_trust_only_whom_they_are_told_to(secured, tmp_path):
    stranger = Authority(tmp_path / "stranger")
    told = secured.run("status", check=False, authorities=stranger.file)
    assert told.returncode == 1 and "cannot be trusted" in told.stderr and "--ca" in told.stderr
    assert secured.run("status", "--ca", secured.authority.file, authorities=stranger.file).returncode == 0


def test_a_stop_does_not_wait_for_handshakes(secured):
    streams = [socket.create_connection(("127.0.0.1", port)) for port in (secured.http_port, secured.mqtt_port)]
    assert secured.shown() == secured.shown(secured.mqtt_port) == "first"
    secured.stop()
    assert "not everything under way is done" not in secured.process.said()
    for stream in streams:
        stream.close()
