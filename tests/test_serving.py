"""How the server starts and ends: settings, warnings, help, signals."""

import json
import subprocess

from harness import PATIENCE_S, binary, clean_environment, thalweg


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
    for command in ["serve", "demo", "import", "tail", "compact", "verify", "status", "config", "key", "quarantine"]:
        assert f"  {command} " in told
    for later in ["sql", "backup", "restore", "route", "user", "--pg"]:
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
