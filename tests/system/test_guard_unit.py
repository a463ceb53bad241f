"""The guard's step `unit` on a real systemd: a unit is stopped only when systemd is not about to start it again."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from nspawn import Machine
from test_systemd import STUBBORN

from fencing.guard.stop import attempt

REFUSING = """[Unit]
StartLimitIntervalSec=0
RefuseManualStop=yes
[Service]
ExecStart=/bin/sleep 600
Restart=always
RestartSec=0
"""


def step(machine: Machine, unit: str) -> dict[str, str]:
    return {"kind": "unit", "unit": unit, "bus": machine.bus.partition("=")[2]}


def until_stopped(machine: Machine, unit: str) -> None:
    """As the guard does: again and again."""
    end = time.monotonic() + 20
    while problem := attempt(step(machine, unit)):
        assert time.monotonic() < end, problem


def ended(machine: Machine, unit: str) -> bool:
    shown = machine.run("systemctl", "show", "--property=ActiveState", "--value", unit)
    return shown.strip() in ("inactive", "failed")


def test_a_unit_that_resists_is_stopped(machine: Machine) -> None:
    """SIGTERM is ignored, ExecStopPost= takes its time, and systemd would start it again."""
    machine.unit("guard-stubborn.service", STUBBORN)
    assert machine.run("systemctl", "start", "guard-stubborn.service") == ""
    pid = machine.run("systemctl", "show", "--property=MainPID", "--value", "guard-stubborn.service").strip()
    assert Path(f"{machine.root}/proc/{pid}").exists()
    until_stopped(machine, "guard-stubborn.service")
    assert not Path(f"{machine.root}/proc/{pid}").exists()
    # A start that systemd still has planned comes before another unit's start.
    assert machine.run("systemd-run", "--wait", "--quiet", "/bin/true") == ""
    assert ended(machine, "guard-stubborn.service")
    assert attempt(step(machine, "guard-stubborn.service")) == ""


def test_one_that_waits_to_be_started_again_is_not_stopped_yet(machine: Machine) -> None:
    machine.unit("guard-waits.service", "[Service]\nExecStart=/bin/false\nRestart=always\nRestartSec=600\n")
    machine.run("systemctl", "start", "guard-waits.service")
    shown = machine.run("systemctl", "show", "--property=SubState", "--value", "guard-waits.service").strip()
    assert shown == "auto-restart"
    until_stopped(machine, "guard-waits.service")
    assert ended(machine, "guard-waits.service")


def test_one_that_is_not_there(machine: Machine) -> None:
    assert attempt(step(machine, "no-such.service")) == ""


def test_one_that_may_not_be_stopped_is_never_called_stopped(machine: Machine) -> None:
    machine.unit("guard-refuses.service", REFUSING)
    try:
        machine.run("systemctl", "start", "guard-refuses.service")
        problem = attempt(step(machine, "guard-refuses.service"))
        assert "; stop: Operation refused" in problem
    finally:
        machine.unit("guard-refuses.service", REFUSING.replace("RefuseManualStop=yes", ""))
        until_stopped(machine, "guard-refuses.service")


def test_a_systemd_that_does_not_answer(machine: Machine) -> None:
    os.kill(machine.leader, signal.SIGSTOP)
    try:
        assert "TimeoutError" in attempt(step(machine, "no-such.service"))
    finally:
        os.kill(machine.leader, signal.SIGCONT)
    assert attempt(step(machine, "no-such.service")) == ""


def test_no_systemd_at_all(tmp_path: Path) -> None:
    assert "FileNotFoundError" in attempt({"kind": "unit", "unit": "x.service", "bus": str(tmp_path / "none")})
