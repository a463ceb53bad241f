"""`hactl resource agents` and `hactl resource describe`, without a daemon, an etcd or a node.toml."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.integration.cli.conftest import Run
from tests.support.toy_ocf import ToyOcf
from tests.unit.resources.ocf.test_metadata import XML

PAGE = """\
test:rack: For racks

Drives a rack & its shelves.

PARAMETERS IT NEEDS
ip  string, unique
    Where it is

OTHER PARAMETERS
fast  boolean, default false, unique
mode  a|b, default a
admin_password  string, secret: give its file under `secrets: {admin_password: PATH}`
    of the admin
wait  time, default 10s
strange  string

ACTION              TIMEOUT  INTERVAL  CHECK LEVEL
start               90s      -
stop                2m       -
monitor             20s      10s       0
monitor             30s      1m        20
monitor (Promoted)  -        10s       0
meta-data           5s       -
validate-all        -        -
"""


@pytest.fixture(autouse=True)
def agents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ToyOcf:
    """The only ones there are: two good, one broken, of two providers."""
    toy = ToyOcf(tmp_path, monkeypatch)
    toy.install(f"#!/bin/sh\ncat <<'END'\n{XML}\nEND\n", "rack")
    other = toy.root / "resource.d/site"
    other.mkdir()
    (other / "old").write_text("#!/bin/sh\necho 'No license' >&2; exit 1\n")
    (other / "old").chmod(0o755)
    (other / ".hidden").write_text("#!/bin/sh\n")
    (other / "README").write_text("no agent")
    monkeypatch.setenv("HACTL_CONFIG", "/nowhere/node.toml")
    return toy


def test_agents(hactl: Run) -> None:
    assert hactl("resource", "agents") == (
        0,
        "AGENT      WHAT FOR\n"
        "site:old   BROKEN: meta-data ended with exit status 1: No license\n"
        "test:rack  For racks\n"
        "test:toy   A file that is there or not\n",
        "",
    )


def test_agents_of_one_provider(hactl: Run) -> None:
    status, output, _ = hactl("resource", "agents", "--provider", "test", "--json")
    assert status == 0
    assert [(agent["name"], agent["summary"], agent["broken"]) for agent in json.loads(output)] == [
        ("test:rack", "For racks", None),
        ("test:toy", "A file that is there or not", None),
    ]


def test_no_agent_says_what_to_install(hactl: Run) -> None:
    status, output, errors = hactl("resource", "agents", "--provider", "heartbeat")
    assert (status, output) == (0, "")
    assert errors.startswith("no OCF agent of provider heartbeat is installed here: `apt install resource-agents`")


def test_describe(hactl: Run) -> None:
    assert hactl("resource", "describe", "test:rack") == (0, PAGE, "")
    assert hactl("resource", "describe", "ocf:test:rack")[1] == PAGE


def test_describe_as_json(hactl: Run) -> None:
    status, output, _ = hactl("resource", "describe", "test:rack", "--json")
    document = json.loads(output)
    assert status == 0
    assert (document["name"], document["version"], document["promotable"]) == ("test:rack", "1.2", False)
    secret = {parameter["name"]: parameter["secret"] for parameter in document["parameters"]}
    assert secret["admin_password"] is True and secret["ip"] is False
    assert document["actions"][1] == {
        "name": "stop", "timeout_ms": 120_000.0, "interval_ms": None, "depth": 0, "role": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("agent", "says"),
    [
        ("site:old", "error: site:old: meta-data ended with exit status 1: No license\n"),
        ("test:rock", "error: there is no agent test:rock on this node; did you mean `test:rack`?\n"),
        ("rack", "error: there is no agent rack on this node; did you mean `test:rack`?\n"),
        ("heartbeat:x", "error: there is no agent heartbeat:x on this node; `apt install resource-agents`, or see "
         "`hactl resource agents`\n"),
    ],
)  # fmt: skip
def test_an_agent_that_cannot_be_described(hactl: Run, agent: str, says: str) -> None:
    assert hactl("resource", "describe", agent) == (1, "", says)
    status, output, _ = hactl("resource", "describe", agent, "--json")
    assert status == 1 and json.loads(output)["broken"]
