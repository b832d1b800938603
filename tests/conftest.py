"""Fixtures of the end-to-end tests."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import harness  # noqa: E402


@pytest.fixture
def make_server(tmp_path):
    """Makes servers, each in a directory of its own; none is left running."""
    made = []

    def make(config="", name=None, **options):
        server = harness.Server(tmp_path / (name or f"server{len(made)}"), config, **options)
        made.append(server)
        return server

    yield make
    for server in made:
        server.close()


@pytest.fixture
def server(make_server):
    """One running server with nothing in it."""
    return make_server().start()


@pytest.fixture
def mosquitto(tmp_path):
    """A running Mosquitto."""
    with harness.Mosquitto(tmp_path / "mosquitto") as broker:
        yield broker


@pytest.fixture
def nats(tmp_path):
    """A running nats-server with JetStream."""
    with harness.Nats(tmp_path / "nats") as broker:
        yield broker
