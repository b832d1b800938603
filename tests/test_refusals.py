"""What is wrong with a configuration, an address or a data directory is said clearly, and ends with 1."""

import json
import socket
import subprocess

import pytest
from harness import PATIENCE_S, binary, clean_environment, thalweg


def refused(*arguments, **environment):
    """Runs `serve`, which must end by itself; answers what it says."""
    result = thalweg("serve", *arguments, check=False, environment=environment)
    assert result.returncode == 1, result
    assert result.stdout == ""
    return result.stderr


def test_an_unknown_key(tmp_path):
    config = tmp_path / "thalweg.toml"
    config.write_text('http = "127.0.0.1:0"\n\n[cache]\nmemory_byte = 3\n')
    said = refused("--config", config, "--data-dir", tmp_path / "data")
    assert "thalweg.toml" in said and "line 4" in said and "memory_byte" in said
    assert not (tmp_path / "data").exists()

    checked = thalweg("config", "check", "--config", config, check=False)
    assert checked.returncode == 1 and "line 4" in checked.stderr


def test_a_source_that_cannot_work(tmp_path):
    config = tmp_path / "thalweg.toml"
    config.write_text('[[source]]\nname = "cloud"\nurl = "nats://127.0.0.1:4222"\n')
    said = refused("--config", config, "--data-dir", tmp_path / "data")
    assert "`cloud`" in said and "`stream`" in said and "line 1" in said


@pytest.mark.parametrize("flag", ["--http", "--mqtt"])
def test_a_port_that_is_taken(tmp_path, flag):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        others = {"--http": "127.0.0.1:0", "--mqtt": "127.0.0.1:0"} | {flag: address}
        said = refused("--data-dir", tmp_path / "data", *(part for pair in others.items() for part in pair))
    assert address in said and "in use" in said.lower() and flag in said


def test_a_data_directory_in_use(server, tmp_path):
    said = refused("--data-dir", server.data, "--http", "127.0.0.1:0", "--mqtt", "off")
    assert str(server.data) in said and "in use" in said
    # The first server does not mind.
    assert server.tables() == []


def test_a_data_directory_of_a_newer_format(server):
    server.stop()
    format_file = server.data / "FORMAT"
    facts = json.loads(format_file.read_text())
    format_file.write_text(json.dumps(facts | {"format": facts["format"] + 1}))
    before = sorted(path for path in server.data.rglob("*"))
    said = refused("--data-dir", server.data, "--http", "127.0.0.1:0", "--mqtt", "off")
    assert "FORMAT" in said and "newer" in said and str(facts["format"] + 1) in said
    assert sorted(path for path in server.data.rglob("*")) == before


def test_other_than_loopback(tmp_path):
    said = refused("--data-dir", tmp_path / "data", "--http", "0.0.0.0:0")
    assert "0.0.0.0:0" in said and "loopback" in said


def test_no_server(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{probe.getsockname()[1]}"
        result = thalweg("status", "--http", nobody, check=False)
    assert result.returncode == 1 and nobody in result.stderr and "thalweg serve" in result.stderr


def test_settings_come_from_flags_then_variables_then_the_file(tmp_path):
    config = tmp_path / "thalweg.toml"
    config.write_text('http = "127.0.0.1:1"\nmqtt = "127.0.0.1:2"\ndata_dir = "/from/file"\n')
    told = thalweg(
        "config", "check", "--json", "--config", config, "--http", "127.0.0.1:11",
        environment={"THALWEG_HTTP": "127.0.0.1:10", "THALWEG_MQTT": "off"},
    ).stdout  # fmt: skip
    settings = json.loads(told)
    assert (settings["http"], settings["mqtt"], settings["data_dir"]) == ("127.0.0.1:11", "off", "/from/file")


def test_memory_durability_warns_at_every_start(make_server):
    server = make_server('durability = "memory"\n').start()
    server.restart()
    assert server.process.said().count("durability = ") == 2


def test_help_promises_only_what_works():
    told = thalweg("--help").stdout
    for command in ["serve", "demo", "import", "tail", "compact", "verify", "status", "config", "quarantine"]:
        assert f"  {command} " in told
    for later in ["sql", "backup", "restore", "route", "user", "key", "--pg"]:
        assert f"  {later} " not in told


def test_ctrl_c_ends_with_0(tmp_path):
    process = subprocess.Popen(
        [binary(), "serve", "--data-dir", tmp_path / "data", "--http", "127.0.0.1:0", "--mqtt", "off"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=clean_environment(),
    )  # fmt: skip
    line = process.stdout.readline().decode().split()
    assert line[0] == "ready" and line[1].startswith("http=127.0.0.1:") and line[2] == f"data={tmp_path / 'data'}"
    process.send_signal(2)
    assert process.wait(PATIENCE_S) == 0
