"""Every metric that the source emits stands in a table `METRICS` of its crate, and the tables hold nothing else."""

import re

import pytest
from harness import ROOT

CRATES = sorted(path.parent.name for path in ROOT.glob("*/Cargo.toml"))
NAME = re.compile(r'"(thalweg_\w+)"')
TABLE = re.compile(r"pub(?:\(crate\))? const METRICS\b.*?=\s*&?\[(.*?)\];", re.DOTALL)
EMITTED = re.compile(r'(?:counter|gauge|histogram)!\(\s*"(thalweg_\w+)"')
CONSTANT = re.compile(r'const (\w+): &str = "(thalweg_\w+)";')


def names_of(crate):
    """The names in the tables, and those that are emitted, straight or as a constant."""
    listed, named = set(), set()
    for path in (ROOT / crate / "src").rglob("*.rs"):
        if path.name == "tests.rs" or "tests" in path.relative_to(ROOT / crate / "src").parts:
            continue
        source = path.read_text()
        constants = dict(CONSTANT.findall(source))
        tables = TABLE.findall(source)
        for table in tables:
            listed |= set(NAME.findall(table)) | {constants[name] for name in re.findall(r"\(\s*([A-Z_]+),", table)}
        named |= set(EMITTED.findall(source)) | set(constants.values())
    return listed, named


@pytest.mark.parametrize("crate", CRATES)
def test_every_metric_is_listed(crate):
    listed, named = names_of(crate)
    assert named == listed


def test_the_tables_are_found():
    assert "thalweg_disk_sync_seconds" in names_of("store")[0]
    assert "thalweg_http_requests_total" in names_of("api")[0]
