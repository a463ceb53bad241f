"""The distribution's own agents: their metadata, and one that is used."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fencing.agents import catalog
from fencing.agents.agent import AgentCall, AgentResult, run_agent
from fencing.agents.catalog import Installed, describe, installed_agents
from fencing.agents.metadata import Parameter
from fencing.agents.verdict import Action
from tests.support.fence_agent_check import check_device

LONG = 30.0
Write = Callable[..., str]
pytestmark = pytest.mark.skipif(not shutil.which("fence_dummy", path="/usr/sbin"), reason="needs fence-agents")


@pytest.fixture(autouse=True)
def nothing_said() -> None:
    catalog._known.clear()


def test_all_agents_of_the_distribution() -> None:
    by_name = {agent.name: agent for agent in asyncio.run(installed_agents(timeout_s=LONG))}
    ours = {name: agent for name, agent in by_name.items() if Path(agent.path).parent == Path("/usr/sbin")}
    assert len(ours) > 80
    assert {name: agent.broken for name, agent in ours.items() if agent.broken} == {
        "fence_ack_manual": "not an agent: it asks a person, and switches nothing"
    }
    good = {name: agent.metadata for name, agent in ours.items() if agent.metadata}
    assert [name for name, info in good.items() if info.name != name or not info.summary] == []
    # Those by which no node is known to be off: a hint to other agents, one that waits for a crash dump's sign of
    # life, one that starts a rescue system, and a cable to the reset button.
    blind = {"fence_heuristics_ping", "fence_kdump", "fence_ovh", "fence_rcd_serial"}
    assert {name for name, info in good.items() if not info.verifiable} == blind
    assert {name for name, info in good.items() if info.unfencing} >= {"fence_scsi", "fence_mpath", "fence_brocade"}


def test_what_ipmilan_says() -> None:
    metadata = asyncio.run(describe("fence_ipmilan")).metadata
    assert metadata
    method, lanplus = metadata.parameter("method"), metadata.parameter("lanplus")
    assert method == Parameter("method", "select", False, "onoff", ("onoff", "cycle"), description="Method to fence")
    assert lanplus and (lanplus.kind, lanplus.default) == ("boolean", "0")
    assert metadata.secret_names == {"password", "passwd", "hexadecimal_kg"}
    assert (metadata.plug_option, metadata.plug_required, metadata.verifiable) == ("plug", False, True)
    assert asyncio.run(describe("fence_idrac")).metadata != metadata


@pytest.mark.parametrize(
    ("body", "interpreter", "reason"),
    [
        ("import missing_module", "/usr/bin/python3", "exit status 1: ModuleNotFoundError: No module named"),
        ("echo hello; echo I am no agent", "/bin/sh", "it wrote no XML; its last line: I am no agent"),
        ("echo '<resource-agent name=\"x\"'", "/bin/sh", "its XML is broken"),
        ("true", "/bin/sh", "it wrote no XML"),
        ("sleep 30", "/bin/sh", "it did not end within 0.5 s and was killed"),
        ("yes '<a>'", "/bin/sh", "it did not end within 0.5 s and was killed"),
        ("exit 0", "/nowhere/perl", "exit status 127"),
    ],
)
def test_a_broken_one(
    agent: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, body: str, interpreter: str, reason: str
) -> None:
    """Among the others of its directory, with why."""
    agent(body, name="fence_broken", interpreter=interpreter)
    agent("touch $0.ran", name="fence_virtd")
    (tmp_path / "fence_readme").write_text("not executable")
    monkeypatch.setattr("fencing.agents.installed._ALWAYS", ())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f".:{tmp_path}")
    limit = 0.5 if "0.5" in reason else LONG
    agents = asyncio.run(installed_agents(timeout_s=limit))
    assert [installed.name for installed in agents] == ["fence_broken", "fence_virtd"]
    assert agents[0].path == f"{tmp_path}/fence_broken"
    assert agents[0].metadata is None and reason in agents[0].broken
    assert agents[1].broken == "not an agent: a daemon for the hosts of virtual machines"
    assert not (tmp_path / "fence_virtd.ran").exists()


def test_not_installed() -> None:
    assert asyncio.run(describe("fence_nowhere")) == Installed("fence_nowhere", "", None, "not installed")


def test_asked_again_when_it_changed(agent: Write) -> None:
    xml = '<resource-agent name="fence_test" shortdesc="{}"><actions><action name="off"/></actions></resource-agent>'
    path = agent(f"echo run >>$0.runs; echo '{xml.format('first')}'")
    for _ in range(3):
        first = asyncio.run(describe(path)).metadata
        assert first and first.summary == "first"
    assert Path(f"{path}.runs").read_text() == "run\n"
    agent(f"echo '{xml.format('the second')}'")
    second = asyncio.run(describe(path)).metadata
    assert second and second.summary == "the second"


def test_a_device_by_its_agents_own_check() -> None:
    def told(agent: str, options: dict[str, str], plug: str | None = None) -> list[str]:
        problems = asyncio.run(check_device(agent, options, plug=plug))
        return [str(problem) for problem in problems if problem.level == "error"]

    assert told("fence_dummy", {}) == []
    assert told("fence_dummy", {"stauts_file": "/tmp/x"}) == [
        'fence_dummy has no option `stauts_file`: did you mean `status_file`, "File with status"?'
    ]
    # Its metadata does not say that an address is needed.
    assert told("fence_redfish", {"username": "root", "password_script": "echo hunter22"}) == [
        "fence_redfish refuses these options: exit status 1: Failed: You have to enter fence address"
    ]
    full = {"ip": "192.0.2.1", "username": "root", "password_script": "echo hunter22"}
    assert told("fence_apc", full, plug="3") == []
    assert told("fence_apc", full) == [
        'fence_apc needs the option `plug`: "Physical plug number on device, UUID or identification of machine"'
    ]
    assert told("fence_nowhere", {}) == ["fence_nowhere: not installed: `hactl fence agents` shows what there is"]


def test_dummy_switches(tmp_path: Path) -> None:
    """Debian's agent for tests keeps the state of its one machine in a file."""
    options = {"type": "file", "status_file": str(tmp_path / "power")}

    def ask(action: Action, timeout_s: float = LONG, **more: str) -> AgentResult:
        return asyncio.run(run_agent(AgentCall("fence_dummy", action, timeout_s, {**options, **more})))

    (tmp_path / "power").write_text("on")
    seen = ask("status")
    assert (seen.outcome, seen.power, seen.exit_status, seen.detail) == ("ok", "on", 0, "Status: ON")
    done = ask("off")
    assert (done.outcome, done.power, done.detail) == ("ok", "unknown", "Success: Powered OFF")
    assert (tmp_path / "power").read_text() == "off"
    seen = ask("status")
    assert (seen.outcome, seen.power, seen.exit_status, seen.detail) == ("ok", "off", 2, "Status: OFF")
    assert ask("on").outcome == "ok" and ask("status").power == "on"
    assert ask("reboot").detail == "Success: Rebooted" and ask("monitor").outcome == "ok"
    # It cannot list, having one machine.
    assert ask("list").detail == "exit status 1: Failed: Unrecognised action 'list'"
    late = ask("off", 1.0, delay="20")
    assert (late.outcome, late.power) == ("timeout", "unknown")
    assert (tmp_path / "power").read_text() == "on"
    wrong = ask("status", retry_on="often")
    assert "not a valid integer" in wrong.detail and wrong.outcome == "failed"


def test_dummy_that_always_fails() -> None:
    call = AgentCall("fence_dummy", "off", LONG, {"type": "fail", "power_timeout": "1"}, plug="n1")
    result = asyncio.run(run_agent(call))
    assert (result.outcome, result.exit_status) == ("failed", 1)
