"""`hactl fence agents` and `hactl fence describe`, without a daemon, an etcd or a node.toml."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.integration.cli.conftest import Run

XML = """<?xml version="1.0"?><resource-agent name="fence_rack" shortdesc="For racks"><longdesc>Long.</longdesc>
<parameters>
<parameter name="action" required="1"><content type="string" default="reboot"/></parameter>
<parameter name="ip" required="1" obsoletes="ipaddr"><content type="string"/><shortdesc>Where</shortdesc></parameter>
<parameter name="ipaddr" required="1" deprecated="1"><content type="string"/><shortdesc>Where</shortdesc></parameter>
<parameter name="password" required="0"><content type="string"/><shortdesc>Login password</shortdesc></parameter>
<parameter name="plug" required="0"><content type="select" default="a"><option value="a"/><option value="b"/></content>
</parameter></parameters>
<actions><action name="on" automatic="1" on_target="1"/><action name="off"/></actions></resource-agent>"""

PAGE = """\
fence_rack: For racks

Long.

It cannot say whether a machine is off (no `status`): alone it makes no node safe.

OPTIONS IT NEEDS
ip  string, formerly ipaddr
    Where

OTHER OPTIONS
password  string, secret: give it as {file: PATH}
    Login password
plug  a|b, default a, each node's plug

ACTIONS
on (a node needs it before it joins, run there), off
"""


@pytest.fixture(autouse=True)
def two_agents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only ones there are: one good, one broken."""
    for name, body in (("fence_rack", f"cat <<'END'\n{XML}\nEND"), ("fence_old", "echo 'No license' >&2; exit 1")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setattr("fencing.agents.installed._ALWAYS", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HACTL_CONFIG", "/nowhere/node.toml")
    return tmp_path


def test_agents(hactl: Run, two_agents: Path) -> None:
    assert hactl("fence", "agents") == (
        0,
        "AGENT       WHAT FOR\nfence_old   BROKEN: exit status 1: No license\nfence_rack  For racks\n",
        "",
    )
    status, output, _ = hactl("fence", "agents", "--json")
    assert status == 0
    assert json.loads(output) == [
        {"name": "fence_old", "path": f"{two_agents}/fence_old", "summary": None,
         "broken": "exit status 1: No license"},
        {"name": "fence_rack", "path": f"{two_agents}/fence_rack", "summary": "For racks", "broken": None},
    ]  # fmt: skip


def test_no_agents(hactl: Run, two_agents: Path) -> None:
    shutil.rmtree(two_agents)
    status, output, told = hactl("fence", "agents")
    assert (status, output) == (0, "") and told.startswith("no fence agent is installed here")
    assert hactl("fence", "agents", "--json") == (0, "[]\n", "")


def test_describe(hactl: Run) -> None:
    assert hactl("fence", "describe", "fence_rack") == (0, PAGE, "")
    status, output, _ = hactl("fence", "describe", "fence_rack", "--json")
    described = json.loads(output)
    assert status == 0
    assert (described["plug_option"], described["plug_required"], described["verifiable"]) == ("plug", False, False)
    assert [option["name"] for option in described["options"]] == ["action", "ip", "ipaddr", "password", "plug"]
    assert described["options"][3]["secret"] is True and described["options"][2]["deprecated"] is True
    assert described["actions"][0] == {"name": "on", "automatic": True, "on_target": True}


def test_describe_a_broken_agent(hactl: Run) -> None:
    told = "hactl fence agents` lists those installed\n"
    assert hactl("fence", "describe", "fence_old") == (1, "", f"error: fence_old: exit status 1: No license; `{told}")
    assert hactl("fence", "describe", "fence_new") == (1, "", f"error: fence_new: not installed; `{told}")
    status, output, _ = hactl("fence", "describe", "fence_old", "--json")
    assert status == 1 and json.loads(output)["broken"] == "exit status 1: No license"
