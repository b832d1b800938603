"""Access keys through unmodified clients: the first one closes the server, each allows what it says, a revoked one nothing."""

import json
import shutil
import subprocess
import urllib.error
import urllib.request

import boto3
import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

import harness

TABLE = {
    "TableName": "plant-1",
    "KeySchema": [{"AttributeName": "device", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "device", "AttributeType": "S"}],
    "BillingMode": "PAY_PER_REQUEST",
    "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
}


def key(server, *arguments, by=None, check=True):
    """Runs `thalweg key` with another key's credentials, if there is one."""
    environment = {"THALWEG_HTTP": f"127.0.0.1:{server.http_port}"}
    if by:
        environment |= {"AWS_ACCESS_KEY_ID": by["access_key"], "AWS_SECRET_ACCESS_KEY": by["secret_key"]}
    result = harness.thalweg("key", *arguments, "--json", check=check, environment=environment)
    return json.loads(result.stdout) if check else result


def sdk(server, key, **options):
    names = {"access_key": "aws_access_key_id", "secret_key": "aws_secret_access_key", "session_token": "aws_session_token"}
    return server.sdk() | {names[name]: value for name, value in key.items() if name in names} | options


def client(server, key, service="dynamodb", **options):
    return boto3.client(service, **sdk(server, key, **options))


def refusal(call, **arguments):
    with pytest.raises(ClientError) as refused:
        call(**arguments)
    error = refused.value.response["Error"]
    return error["Code"], error["Message"]


def status(request):
    try:
        with urllib.request.urlopen(request, timeout=harness.PATIENCE_S) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_the_first_key_closes_the_server_at_once(server):
    server.dynamodb().create_table(**TABLE)
    admin = key(server, "create")
    assert set(admin) == {"access_key", "secret_key"}
    code, text = refusal(server.dynamodb().list_tables)
    assert (code, text) == ("UnrecognizedClientException", "The security token included in the request is invalid.")
    wrong = client(server, admin | {"secret_key": "wrong"})
    code, text = refusal(wrong.list_tables)
    assert code == "InvalidSignatureException" and text.startswith("The request signature we calculated does not match")
    assert client(server, admin).list_tables()["TableNames"] == ["plant-1"]
    assert client(server, admin, region_name="ap-southeast-2").list_tables()["TableNames"] == ["plant-1"]
    assert client(server, admin, "dynamodbstreams").list_streams()["Streams"]
    for path, expected in [("/", 200), ("/health/live", 200), ("/health/ready", 200), ("/metrics", 401), ("/admin/status", 401)]:
        assert status(server.url + path) == expected, path
    request = urllib.request.Request(server.url + "/", b"{}", {
        "Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": "DynamoDB_20120810.ListTables",
    })  # fmt: skip
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    assert refused.value.code == 400
    assert json.load(refused.value) == {
        "__type": "com.amazon.coral.service#MissingAuthenticationTokenException",
        "message": "Request is missing Authentication Token",
    }


def test_every_kind_of_request_can_be_signed(server):
    admin = key(server, "create")
    table = boto3.resource("dynamodb", **sdk(server, admin)).create_table(**TABLE)
    table.put_item(Item={"device": "pump", "text": "ü" * 1000, "n": 1})
    with table.batch_writer() as batch:
        for number in range(60):
            batch.put_item({"device": f"pump-{number}", "blob": b"x" * 100_000})
    assert len(table.scan(Select="COUNT")) and table.get_item(Key={"device": "pump"})["Item"]["n"] == 1
    compressed = client(server, admin)
    compressed.meta.events.register("before-sign.dynamodb", compress)
    assert compressed.get_item(TableName="plant-1", Key={"device": {"S": "pump"}})["Item"]


def compress(request, **_):
    """Compresses a body before it is signed, as clients may."""
    import gzip

    request.data = gzip.compress(request.data)
    request.headers["Content-Encoding"] = "gzip"
    request.headers["Content-Length"] = str(len(request.data))


def test_keys_outlive_restarts_and_revoked_ones_do_not_come_back(server):
    admin = key(server, "create")
    other = key(server, "create", "--allow", "read", "--allow", "write", by=admin)
    gone = key(server, "create", by=admin)
    assert key(server, "revoke", gone["access_key"], by=admin) == {"revoked": gone["access_key"]}
    server.restart()
    assert client(server, admin).list_tables()["TableNames"] == []
    assert refusal(client(server, gone).list_tables)[0] == "UnrecognizedClientException"
    listed = key(server, "list", by=admin)["keys"]
    assert sorted(listed, key=lambda key: key["access_key"]) == listed
    assert {key["access_key"] for key in listed} == {admin["access_key"], other["access_key"]}
    permissions = {key["access_key"]: key["permissions"] for key in listed}
    assert permissions[other["access_key"]] == [
        {"action": action, "table": "*", "device": "*"} for action in ["read", "write"]
    ]
    assert "secret" not in json.dumps(listed)
    server.kill()
    server.start()
    assert client(server, admin).list_tables()["TableNames"] == []


def test_the_last_revoked_key_leaves_the_server_to_the_owner_of_its_directory(server):
    only = key(server, "create")
    key(server, "revoke", only["access_key"], by=only)
    for restarts in range(2):
        assert refusal(client(server, only).list_tables)[0] == "UnrecognizedClientException"
        result = key(server, "list", check=False)
        assert result.returncode == 1 and "Request is missing Authentication Token" in result.stderr
        if restarts == 0:
            server.restart()
    assert (server.data / "owner-key.json").stat().st_mode & 0o777 == 0o600
    made = harness.thalweg("key", "create", "--json", environment={
        "THALWEG_HTTP": f"127.0.0.1:{server.http_port}", "THALWEG_DATA_DIR": str(server.data),
        "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "",
    })  # fmt: skip
    assert client(server, json.loads(made.stdout)).list_tables()["TableNames"] == []


def test_a_key_allows_what_it_says(server):
    admin = key(server, "create")
    client(server, admin).create_table(**TABLE)
    some = client(server, key(server, "create", "--allow", "write", "--table", "plant-*", "--device", "pump-*", by=admin))
    some.put_item(TableName="plant-1", Item={"device": {"S": "pump-1"}})
    code, text = refusal(some.put_item, TableName="plant-1", Item={"device": {"S": "fan"}})
    assert code == "AccessDeniedException"
    assert text.startswith("User: ") and "is not authorized to perform: dynamodb:PutItem on resource: arn:aws:dynamodb:" in text
    assert refusal(some.scan, TableName="plant-1")[0] == "AccessDeniedException"
    assert refusal(some.delete_table, TableName="plant-1")[0] == "AccessDeniedException"
    wrong = key(server, "create", "--allow", "reed", by=admin, check=False)
    assert wrong.returncode == 1 and "`reed` allows nothing" in wrong.stderr


def test_a_session_has_a_token(server):
    session = key(server, "create", "--session-seconds", "900")
    assert client(server, session).list_tables()["TableNames"] == []
    without = {name: text for name, text in session.items() if name != "session_token"}
    assert refusal(client(server, without).list_tables)[0] == "UnrecognizedClientException"


def test_commands_sign(server, tmp_path):
    admin = key(server, "create")
    client(server, admin).create_table(**TABLE)
    rows = tmp_path / "rows.csv"
    rows.write_text("time,v\n2026-01-01T00:00:00Z,1\n")
    for environment in [
        {"AWS_ACCESS_KEY_ID": admin["access_key"], "AWS_SECRET_ACCESS_KEY": admin["secret_key"]},
        {"THALWEG_ACCESS_KEY": admin["access_key"], "THALWEG_SECRET_KEY": admin["secret_key"], "AWS_ACCESS_KEY_ID": "a",
         "AWS_SECRET_ACCESS_KEY": "b"},
    ]:  # fmt: skip
        environment["THALWEG_HTTP"] = f"127.0.0.1:{server.http_port}"

        def run(*arguments):
            return harness.thalweg(*arguments, environment=environment)

        run("status")
        run("import", rows, "--table", "imported table"[:8], "--device-id", "a b/c", "--time", "time")
        run("compact", "--table", "imported")
        run("quarantine", "list")
        tailed = run("tail", "imported", "--from", "trim-horizon", "--limit", "1")
        assert json.loads(tailed.stdout)["eventName"] == "INSERT"
    refused = server.run("status", check=False)
    assert refused.returncode == 1


def test_paths_and_queries_are_signed_as_botocore_writes_them(server):
    admin = key(server, "create")
    credentials = Credentials(admin["access_key"], admin["secret_key"])
    for sign in [SigV4Auth(credentials, "dynamodb", "us-east-1"), SigV4QueryAuth(credentials, "dynamodb", "us-east-1", expires=60)]:
        for path, expected in [
            ("/metrics", 200),
            ("/admin/quarantine?limit=3", 200),
            ("/streams/a%20b%2Fc?from=latest", 404),
            ("/streams/%C3%BC?from=2026-01-01T00%3A00%3A00Z", 404),
            ("/streams/x.y-z~?from=trim-horizon", 404),
        ]:
            request = AWSRequest("GET", server.url + path)
            sign.add_auth(request)
            signed = urllib.request.Request(request.url, headers=dict(request.headers))
            assert status(signed) == expected, (sign, path)
            if "limit" in path:
                changed = request.url.replace("limit=3", "limit=4")
                assert status(urllib.request.Request(changed, headers=dict(request.headers))) == 401


def test_curl_signs(server):
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    admin = key(server, "create")
    result = subprocess.run(
        ["curl", "-sS", "--aws-sigv4", "aws:amz:us-east-1:dynamodb", "--user", f"{admin['access_key']}:{admin['secret_key']}",
         server.url + "/metrics"],
        capture_output=True, text=True, timeout=harness.PATIENCE_S,
    )  # fmt: skip
    assert "thalweg_" in result.stdout, result.stdout + result.stderr


def test_other_addresses_can_be_used_once_there_is_a_key(server):
    admin = key(server, "create")
    server.stop()
    command = server.command()
    command[command.index("--http") + 1] = "0.0.0.0:0"
    server.command = lambda: command
    server.start()
    assert client(server, admin).list_tables()["TableNames"] == []
    # By any name: what protects it is the signature.
    assert status(urllib.request.Request(server.url + "/health/live", headers={"Host": "db.example"})) == 200
    assert status(urllib.request.Request(server.url + "/admin/status", headers={"Host": "db.example"})) == 401


def test_other_addresses_are_refused_without_a_key(make_server):
    server = make_server().start()
    server.stop()
    command = server.command()
    command[command.index("--http") + 1] = "0.0.0.0:0"
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=harness.PATIENCE_S)
    assert result.returncode == 1 and "thalweg key create" in result.stderr and "loopback" in result.stderr


def test_listed_origins_may_ask(make_server):
    server = make_server('cors_origin = ["https://app.example"]').start()

    def ask(method, origin, **headers):
        request = urllib.request.Request(server.url + "/", method=method, headers={"Origin": origin} | headers)
        try:
            return urllib.request.urlopen(request)
        except urllib.error.HTTPError as error:
            return error

    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,x-amz-target"}
    answer = ask("OPTIONS", "https://app.example", **asked)
    assert answer.status == 200 and answer.read() == b"" and answer.headers["Content-Length"] == "0"
    assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example"
    assert answer.headers["Access-Control-Allow-Methods"] == "POST"
    assert answer.headers["Access-Control-Allow-Headers"] == "authorization,x-amz-target"
    assert answer.headers["Access-Control-Max-Age"] == "172800"
    answer = ask("GET", "https://app.example")
    assert answer.status == 200 and "x-amzn-RequestId" in answer.headers["Access-Control-Expose-Headers"]
    answer = ask("OPTIONS", "https://other.example", **asked)
    assert answer.status == 403 and "Access-Control-Allow-Origin" not in answer.headers
