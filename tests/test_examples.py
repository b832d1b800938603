"""Every example runs as its first lines say."""

import json
import os
import subprocess

from harness import PATIENCE_S, ROOT, program, tools

EXAMPLES = ROOT / "examples"


def run(interpreter, file, *arguments, code=0, **variables):
    result = subprocess.run(
        [program(interpreter), str(EXAMPLES / file), *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env=os.environ | {"NODE_PATH": str(tools() / "node" / "node_modules")} | variables,
    )
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    return result.stdout or result.stderr


def test_device_reader_follower_and_files(server):
    run("python", "device.py", "10", THALWEG_MQTT=f"127.0.0.1:{server.mqtt_port}")
    newest = run("python", "reader.py", AWS_ENDPOINT_URL=server.url).splitlines()
    assert len(newest) == 5 and all("'temperature': Decimal(" in line for line in newest)

    told = run("python", "follower.py", "10", AWS_ENDPOINT_URL=server.url).splitlines()
    assert len(told) == 10 and all(line.startswith("INSERT ") for line in told)

    server.run("compact")
    table = run("python", "files.py", THALWEG_DATA_DIR=str(server.data))
    assert "sensors/example" in table and "10" in table


def test_document_client_also_a_second_time(server):
    for _ in range(2):
        printed = run("node", "document_client.js", AWS_ENDPOINT_URL=server.url)
        assert json.loads(printed) == {
            "Artist": "No One You Know",
            "SongTitle": "Call Me Today",
            "Year": 2015,
            "Awards": [1, 2.5],
            "Label": {"Name": "X"},
        }


def test_what_is_missing_is_told(server, tmp_path):
    assert "device.py" in run("python", "reader.py", code=1, AWS_ENDPOINT_URL=server.url)
    assert "127.0.0.1:9" in run("python", "reader.py", code=1, AWS_ENDPOINT_URL="http://127.0.0.1:9")
    assert "thalweg compact" in run("python", "files.py", code=1, THALWEG_DATA_DIR=str(tmp_path))
