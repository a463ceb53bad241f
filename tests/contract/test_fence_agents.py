"""The distribution's agents against real peers, driven as the daemon drives them: IPMI 2.0 by OpenIPMI's simulator,
a Redfish service, and the agent that switches a file."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from fencing.agents.agent import AgentCall, AgentResult, run_agent
from fencing.agents.catalog import describe
from fencing.agents.verdict import Action
from fencing.topology import SecretFile
from tests.support.fence_agent_check import check_device
from tests.support.ports import free_port

from ..support import ipmi, redfish

# Much longer than an agent takes on a busy machine.
LONG_S = 60.0
# Tests of agents that do not end give up on them after this.
SHORT_S = 2.0
Options = Mapping[str, str | SecretFile]
SEQUENCE: tuple[tuple[Action, str], ...] = (("off", "unknown"), ("status", "off"), ("on", "unknown"), ("status", "on"))


def needs(*programs: str) -> pytest.MarkDecorator:
    missing = [program for program in programs if not shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin")]
    return pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(missing)}: deploy/packages.sh")


def ask(agent: str, action: Action, options: Options, timeout_s: float = LONG_S) -> AgentResult:
    return asyncio.run(run_agent(AgentCall(agent, action, timeout_s, options)))


def said(result: AgentResult) -> tuple[str, str]:
    return result.outcome, result.power


@pytest.fixture
def secret(tmp_path: Path) -> SecretFile:
    file = tmp_path / "password"
    file.touch(mode=0o600)
    file.write_text(ipmi.PASSWORD + "\n")
    return SecretFile(str(file))


@pytest.fixture
def controller(tmp_path: Path) -> Iterator[ipmi.IpmiSim]:
    with ipmi.IpmiSim(tmp_path) as simulator:
        yield simulator


@pytest.fixture
def service(tmp_path: Path) -> Iterator[redfish.RedfishService]:
    with redfish.RedfishService(tmp_path) as redfish_service:
        yield redfish_service


@needs("fence_ipmilan", "ipmitool", "ipmi_sim")
def test_ipmi(controller: ipmi.IpmiSim, secret: SecretFile) -> None:
    options: Options = {**controller.options, "password": secret}
    assert asyncio.run(check_device("fence_ipmilan", options)) == []
    assert said(ask("fence_ipmilan", "status", options)) == ("ok", "on")
    for action, power in SEQUENCE:
        assert said(ask("fence_ipmilan", action, options)) == ("ok", power)
        assert controller.on == (action == "on" or power == "on")


@needs("fence_ipmilan", "ipmitool", "ipmi_sim")
def test_ipmi_that_is_not_to_be_had(controller: ipmi.IpmiSim, secret: SecretFile) -> None:
    options: Options = {**controller.options, "password": secret}
    wrong = ask("fence_ipmilan", "off", {**options, "password": "guessed"})
    assert said(wrong) == ("failed", "unknown")
    assert controller.on
    assert ipmi.PASSWORD not in wrong.detail + wrong.output
    gone = ask("fence_ipmilan", "status", {**options, "ipport": str(free_port())}, SHORT_S)
    assert gone.outcome in ("failed", "timeout")
    assert gone.power == "unknown"
    assert controller.process
    os.kill(controller.process.pid, signal.SIGSTOP)  # it hangs: nothing comes back
    hung = ask("fence_ipmilan", "off", options, SHORT_S)
    assert said(hung) == ("timeout", "unknown")
    assert SHORT_S <= hung.seconds < LONG_S


@needs("fence_redfish", "openssl")
def test_redfish(service: redfish.RedfishService, secret: SecretFile) -> None:
    options: Options = {**service.options, "password": secret}
    assert asyncio.run(check_device("fence_redfish", options)) == []
    service.change_s = 1.5  # `off` is done when it is off
    for action, power in SEQUENCE:
        assert said(ask("fence_redfish", action, options)) == ("ok", power)
        assert service.state in (("Off",) if (action, power) in SEQUENCE[:2] else ("PoweringOn", "On"))
    assert service.resets == ["ForceOff", "On"]
    without_uri = {**options}
    del without_uri["systems_uri"]
    assert said(ask("fence_redfish", "status", without_uri)) == ("ok", "on")


@needs("fence_redfish", "openssl")
def test_redfish_whose_power_does_not_change(service: redfish.RedfishService, secret: SecretFile) -> None:
    options: Options = {**service.options, "password": secret, "power_timeout": "2"}
    service.change_s = LONG_S
    assert said(ask("fence_redfish", "off", options)) == ("failed", "unknown")
    assert said(ask("fence_redfish", "status", options)) == ("ok", "on")  # PoweringOff is not off
    assert said(ask("fence_redfish", "off", {**options, "power_timeout": "60"}, 2.0)) == ("timeout", "unknown")
    service.mood, service.change_s = "refuses", 0.0
    assert said(ask("fence_redfish", "off", options)) == ("failed", "unknown")


@needs("fence_redfish", "openssl")
def test_redfish_that_is_not_to_be_had(service: redfish.RedfishService, secret: SecretFile) -> None:
    options: Options = {**service.options, "password": secret}
    assert said(ask("fence_redfish", "off", {**options, "password": "guessed"})) == ("failed", "unknown")
    secure = {name: value for name, value in options.items() if name != "ssl_insecure"}
    unknown = ask("fence_redfish", "status", {**secure, "ssl_secure": "1"})
    assert said(unknown) == ("failed", "unknown")
    assert "certificate" in unknown.detail.lower()
    assert said(ask("fence_redfish", "status", {**options, "ipport": str(free_port())})) == ("failed", "unknown")
    assert (service.state, service.resets) == ("On", [])
    service.mood = "silent"
    hung = ask("fence_redfish", "off", options, SHORT_S)
    assert said(hung) == ("timeout", "unknown")
    assert (service.state, service.resets) == ("On", [])


@needs("fence_dummy")
def test_dummy(tmp_path: Path) -> None:
    options = {"status_file": str(tmp_path / "power")}
    for action, power in SEQUENCE:
        assert said(ask("fence_dummy", action, options)) == ("ok", power)
    slow = ask("fence_dummy", "off", {**options, "delay": "60"}, SHORT_S)
    assert said(slow) == ("timeout", "unknown")
    assert said(ask("fence_dummy", "status", options)) == ("ok", "on")


@needs("fence_ipmilan")
def test_none_needs_a_cycle() -> None:
    """Every agent has the actions that are required of it: off, on and a look."""
    for agent in ("fence_ipmilan", "fence_redfish", "fence_dummy"):
        metadata = asyncio.run(describe(agent)).metadata
        assert metadata is not None
        assert metadata.verifiable
