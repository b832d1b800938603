"""What the README shows is so: its configuration is accepted, its files exist, its commands are those of the help."""

import json
import re
import subprocess
import tomllib

from harness import PATIENCE_S, ROOT, program, thalweg

README = (ROOT / "README.md").read_text()


def test_the_configuration_is_accepted(tmp_path):
    (block,) = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    config = tmp_path / "thalweg.toml"
    config.write_text(block)
    told = json.loads(thalweg("config", "check", "--json", "--config", config).stdout)
    assert told["http"] == "127.0.0.1:8000" and [source["name"] for source in told["source"]] == ["plant", "bus"]
    assert told["file"] == str(config) and told["route"][0]["table"] == "plant"
    # The values shown are the defaults with the limit shown, and everything that can be set is told.
    shown = tomllib.loads(block)
    config.write_text(f'memory_limit = "{shown["memory_limit"]}"\n')
    defaults = json.loads(thalweg("config", "check", "--json", "--config", config).stdout)
    for name in ("source", "route", "buckets"):
        assert not defaults.pop(name) and told.pop(name)
    assert told == defaults
    for section in ("store", "cache", "compactor", "log"):
        assert shown[section] == defaults[section]
    assert json.loads(thalweg("config", "check", "--json").stdout)["file"] == "none"


def test_the_files_exist():
    named = re.findall(r"`((?:docs|examples|\w+/src)/[\w/.]+)`", README) + re.findall(r"\]\(([\w/.]+)\)", README)
    assert len(named) > 5
    missing = [name for name in named if not (ROOT / name).exists()]
    assert not missing


def test_the_commands_are_those_of_the_help():
    told = thalweg("--help").stdout
    commands = set(re.findall(r"^  (\w+) +", told[told.index("Commands:") : told.index("Options:")], re.MULTILINE)) - {"help"}
    table = README[README.index("## Commands") : README.index("```toml")]
    shown = set(re.findall(r"`thalweg (\w+)", table))
    assert shown == commands


def test_the_device_shown_publishes_and_says_nothing_else(server):
    (device,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert 'connect("127.0.0.1")' in device
    device = device.replace('connect("127.0.0.1")', f'connect("127.0.0.1", {server.mqtt_port})')
    ended = subprocess.run([program("python"), "-c", device], capture_output=True, text=True, timeout=PATIENCE_S)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert len(server.query("readings", "greenhouse/north")) == 1
    server.run("compact")
    (query,) = re.findall(r'python3 -c "(.*?)"\n', README, re.DOTALL)
    query = query.replace("thalweg-data", str(server.data))
    shown = subprocess.run([program("python"), "-c", query], capture_output=True, text=True, timeout=PATIENCE_S)
    assert "greenhouse/north" in shown.stdout and "21.5" in shown.stdout, shown.stderr
