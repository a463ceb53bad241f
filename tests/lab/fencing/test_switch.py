"""The lab's power switch and its fence agent, driven as the daemon drives any agent."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from fencing.agents.agent import AgentCall, AgentResult, run_agent
from fencing.agents.catalog import describe
from fencing.agents.verdict import Action
from fencing.topology import SecretFile
from hactl.lab import files, netns
from hactl.lab.cgroup import runs
from hactl.lab.cluster import Lab
from hactl.lab.power import CORD
from hactl.lab.spec import BMC, SWITCH, LabSpec
from hactl.lab.system import LabError, wait_until
from tests.support import ipmi
from tests.support.fence_agent_check import check_device

pytestmark = [pytest.mark.root, pytest.mark.lab]

AGENT = str(Path(files.__file__).with_name("fence_lab"))
SECOND = f"{SWITCH}-b"
# Longer than any action takes on a busy machine, unless it hangs.
TIMEOUT_S = 10.0
Ask = Callable[..., AgentResult]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Two nodes with two power supplies each, without daemons."""
    spec = LabSpec(name=f"tsw{os.getpid()}", nodes=2, profile="fast", fencing=True, supplies=2, daemon=())
    with Lab(spec) as running:
        yield running


@pytest.fixture(autouse=True)
def mended(lab: Lab) -> Iterator[None]:
    yield
    lab.switch_faults.clear()
    lab.heal()
    for name, node in lab.nodes.items():
        if not node.powered:
            lab.start(name)


def call(lab: Lab, action: Action, unit: str = SWITCH, plug: str | None = "n1", **more: object) -> AgentCall:
    options = {
        "ip": lab.spec.switch.address,
        "ipport": str(lab.spec.units[unit]),
        "password": SecretFile(str(files.switch_password(lab.spec))),
    }
    made = AgentCall(AGENT, action, TIMEOUT_S, options, plug)  # type: ignore[arg-type]
    return dataclasses.replace(made, **more)  # type: ignore[arg-type]


def ask(lab: Lab, action: Action, unit: str = SWITCH, plug: str | None = "n1", **more: object) -> AgentResult:
    """As n2's daemon asks."""
    wanted = call(lab, action, unit, plug, **more)
    return netns.inside(lab.spec.namespace("n2"), lambda: asyncio.run(run_agent(wanted)))


def power(lab: Lab, unit: str = SWITCH) -> str:
    return ask(lab, "status", unit).power


def test_its_description(lab: Lab) -> None:
    described = asyncio.run(describe(AGENT))
    metadata = described.metadata
    assert metadata is not None, described.broken
    assert (metadata.plug_option, metadata.plug_required, metadata.verifiable) == ("plug", True, True)
    assert metadata.secret_names == {"password"}
    assert asyncio.run(check_device(AGENT, call(lab, "status").options, plug="n1")) == []
    listed = ask(lab, "list", plug=None).output
    assert [line.partition(",")[0] for line in listed.splitlines()] == ["n1", "n2"]
    assert ask(lab, "monitor", plug=None).outcome == "ok"


@pytest.mark.parametrize("frozen", [False, True])
def test_a_node_with_two_supplies_is_off_when_both_are(lab: Lab, frozen: bool) -> None:
    node = lab.node("n1")
    boots = node.boots
    if frozen:
        node.freeze()
    pids = node.group.pids()
    assert len(pids) >= 3
    assert (ask(lab, "off", SWITCH).outcome, power(lab)) == ("ok", "off")
    assert node.powered
    assert node.group.pids() == pids
    assert (ask(lab, "off", SECOND).outcome, power(lab, SECOND)) == ("ok", "off")
    assert not any(runs(pid) for pid in pids)  # at once
    assert not node.powered
    assert ask(lab, "on", SECOND).outcome == "ok"
    wait_until(lambda: lab.ask(f"{node.address}:8001"), deadline_s=TIMEOUT_S, goal="it has booted")
    assert (node.boots, power(lab, SECOND), power(lab)) == (boots + 1, "on", "off")
    ask(lab, "on")
    assert node.boots == boots + 1


def test_its_controller_switches_it_whatever_its_supplies(lab: Lab) -> None:
    assert ask(lab, "off", BMC).outcome == "ok"
    assert [power(lab, unit) for unit in lab.spec.units] == ["on", "on", "off"]
    assert not lab.node("n1").powered
    ask(lab, "on", BMC)
    wait_until(lambda: lab.node("n1").powered, deadline_s=TIMEOUT_S, goal="it boots")


def test_no_switch_helps_while_the_cord_is_out(lab: Lab) -> None:
    boots = lab.node("n1").boots
    lab.kill("n1")
    for action in ("off", "off", "on"):
        assert ask(lab, action).outcome == "ok"  # type: ignore[arg-type]
        assert power(lab) == action
    assert not lab.power("n1").is_on(CORD)
    assert not lab.node("n1").powered
    ask(lab, "off")
    lab.start("n1")  # which switches on an outlet that was off
    assert (lab.node("n1").powered, power(lab), lab.node("n1").boots) == (True, "on", boots + 1)
    with pytest.raises(LabError, match="has power"):
        lab.start("n1")


def test_a_node_that_fenced_itself_is_switched_off_and_on(lab: Lab) -> None:
    node = lab.node("n1")
    with pytest.raises(LabError):
        node.call(str(node.home / "self-fence"))
    assert node.self_fenced
    assert (ask(lab, "off", BMC).outcome, power(lab, BMC)) == ("ok", "off")
    ask(lab, "on", BMC)
    wait_until(lambda: node.powered, deadline_s=TIMEOUT_S, goal="it boots")


@pytest.mark.parametrize(
    ("fault", "outcome", "seen"), [("fail", "failed", "unknown"), ("lie", "ok", "on"), ("hang", "timeout", "unknown")]
)
def test_a_switch_that_is_out_of_order(lab: Lab, fault: str, outcome: str, seen: str) -> None:
    node, boots = lab.node("n1"), lab.node("n1").boots
    lab.switch_faults.set(SWITCH, fault)  # type: ignore[arg-type]
    ask(lab, "off", SECOND)
    timeout_s = 1.0 if fault == "hang" else TIMEOUT_S
    assert ask(lab, "off", timeout_s=timeout_s).outcome == outcome
    assert ask(lab, "status", timeout_s=timeout_s).power == seen
    lab.switch_faults.set(SWITCH, None)
    assert power(lab) == "on"
    assert (node.powered, node.boots) == (True, boots)
    assert ask(lab, "off").outcome == "ok"


def test_a_slow_switch_forgets_requests_that_were_given_up(lab: Lab) -> None:
    lab.switch_faults.set(BMC, "slow")
    assert ask(lab, "off", BMC, timeout_s=0.3).outcome == "timeout"
    assert power(lab, BMC) == "on"  # asked for later, answered later: by then it would have been switched
    assert ask(lab, "off", BMC).outcome == "ok"
    assert power(lab, BMC) == "off"


def test_impossible_requests(lab: Lab) -> None:
    wrong = ask(lab, "off", options={**call(lab, "off").options, "password": "guessed"})
    assert (wrong.outcome, wrong.detail) == ("failed", "exit status 1: wrong password")
    assert "no such node or action: n7 off" in ask(lab, "off", plug="n7").detail
    with pytest.raises(LabError, match="one of switch, switch-b, bmc, and of hang, fail, lie, slow"):
        lab.switch_faults.set("moon", "fail")
    assert power(lab) == "on"


def test_a_node_parted_from_all_nodes_reaches_the_switch_until_it_is_parted_from_that_too(lab: Lab) -> None:
    lab.partition("n2", "all")
    assert power(lab) == "on"
    lab.partition("n2", "switch")
    assert ask(lab, "status", timeout_s=0.5).outcome == "timeout"
    lab.heal()
    assert power(lab) == "on"


CHASSIS = """\
#!/bin/sh
ask() {{ printf 'action=%s\\nip={ip}\\nipport={port}\\nplug=n1\\npassword={password}\\n' "$1" | {agent}; }}
case "$1 $2 $3" in
  "get power ") ask status >/dev/null; [ $? = 2 ] && echo power:0 || echo power:1 ;;
  "set power 0") ask off ;;
  "set power 1") ask on ;;
esac
"""


@pytest.mark.skipif(not shutil.which("ipmi_sim"), reason="needs openipmi")
def test_the_chassis_control_of_an_ipmi_controller(lab: Lab, tmp_path: Path) -> None:
    """fence_ipmilan on n2, IPMI over the lab's network, a controller beside the switch that switches n1."""
    node, boots = lab.node("n1"), lab.node("n1").boots
    values = {"ip": lab.spec.switch.address, "port": lab.spec.units[BMC], "agent": AGENT}
    password = files.switch_password(lab.spec).read_text().strip()
    chassis = CHASSIS.format(password=password, **values)

    def inside(argv: Sequence[str]) -> list[str]:
        return ["nsenter", f"--net={netns.path(lab.spec.namespace(SWITCH))}", *argv]

    def fence(action: Action) -> AgentResult:
        options = {**controller.options, "password": ipmi.PASSWORD}
        wanted = AgentCall("fence_ipmilan", action, 60.0, options)
        return netns.inside(lab.spec.namespace("n2"), lambda: asyncio.run(run_agent(wanted)))

    with ipmi.IpmiSim(tmp_path, lab.spec.switch.address, 623, chassis, inside) as controller:
        assert fence("status").power == "on"
        node.freeze()
        assert fence("off").outcome == "ok"
        assert not node.powered
        assert fence("status").power == "off"
        assert fence("on").outcome == "ok"
        wait_until(lambda: lab.ask(f"{node.address}:8001"), deadline_s=TIMEOUT_S, goal="it has booted")
    assert node.boots == boots + 1
