"""A group of a systemd unit with Restart=always, on a real systemd, when the daemon, its guard or etcd does not go on.
The unit leaves a trace, so that an unwanted restart is seen."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from controller import ROOT, Controller, booted
from nspawn import until

# Time to stop in, so that a busy machine's node does not take itself down.
CLUSTER = """cluster: units
timing: {lease: 5s, stop_budget: 2s}
nodes: [{name: n1, address: 127.0.0.1}]
groups:
  - name: database
    resources:
      - name: server
        systemd: {unit: database.service}
"""
# It does not end when it is asked to, has more than one process, and systemd starts it again at once.
DATABASE = """[Unit]
StartLimitIntervalSec=0
[Service]
ExecStart=/bin/sh -c 'trap "" TERM; echo started >> /var/tmp/trace; /bin/sleep 300000 & while :; do sleep 1; done'
ExecStopPost=/bin/sleep 60
TimeoutStopSec=60
Restart=always
RestartSec=0
"""

# systemd calls it inactive while its child lives on.
LEAVES = "[Service]\nExecStart=/bin/sh -c '/bin/sleep 400000 & exec /bin/sleep 600'\nKillMode=process\n"
# By the machine's own systemd, so inside.
BY_GUARD = """
import time
from fencing.guard.stop import attempt
problems = [attempt({"kind": "unit", "unit": "leaves.service"})]
while problems[-1]:
    problems.append(attempt({"kind": "unit", "unit": "leaves.service"}))
print("stopped")
"""
BY_DAEMON = """
import asyncio
from hactl.model.resources import SystemdOptions, SystemdSpec
from hactl.resources.base import NodeContext, ResourceError
from hactl.resources.systemd import Unit
async def main():
    spec = SystemdSpec(name="leaves", options=SystemdOptions(unit="leaves"))
    unit = Unit(spec, NodeContext("n1", "/run/hactl", None))
    try:
        await unit.stop()
    except ResourceError as error:
        print(error)
    print((await unit.probe()).health)
    await unit.kill()
    print((await unit.probe()).health)
asyncio.run(main())
"""


class Owner:
    """The container, and the unit in it."""

    def __init__(self, controller: Controller) -> None:
        self.controller, self.machine = controller, controller.machine

    def unit(self) -> tuple[str, ...]:
        """Its state, whether it is about to be started, and its main process."""
        return tuple(self.controller.shown(name, "database.service") for name in ("ActiveState", "Job", "MainPID"))

    def processes(self) -> list[str]:
        return self.controller.pids("/bin/sleep", "300000")

    def starts(self) -> int:
        trace = Path(f"{self.machine.root}/var/tmp/trace")
        return len(trace.read_text().splitlines()) if trace.exists() else 0

    def stopped(self) -> bool:
        return self.unit()[0] in ("inactive", "failed") and self.unit()[1] in ("", "0") and not self.processes()

    def guard_log(self, event: str) -> list[dict[str, Any]]:
        file = Path(f"{self.machine.root}/run/hactl/guard.log")
        lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        return [line for line in lines if line["event"] == event]

    def kill(self, signal: str, unit: str = "hactl.service") -> None:
        assert self.machine.run("systemctl", "kill", "--kill-who=main", f"--signal={signal}", unit) == ""


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controller]:
    with booted(tmp_path_factory.mktemp("unit-group") / "console", CLUSTER) as booted_controller:
        booted_controller.machine.unit("database.service", DATABASE)
        yield booted_controller


@pytest.fixture
def owner(controller: Controller) -> Owner:
    said = controller.machine.run("systemctl", "start", "etcd.service", "hactl.service")
    assert said == "", controller.machine.run("journalctl", "-u", "hactl", "-n", "50")
    unit_owner = Owner(controller)
    until(controller.runs)
    assert unit_owner.unit()[0] == "active"
    until(lambda: len(unit_owner.processes()) == 1)
    return unit_owner


def comes_back(owner: Owner, daemon: str) -> None:
    """Another daemon owns the group, and the unit runs."""
    until(lambda: owner.controller.shown("MainPID") not in ("0", daemon) and owner.controller.runs())
    until(lambda: len(owner.processes()) == 1)


@pytest.mark.parametrize("cause", ["killed", "upgraded"])
def test_the_unit_outlives_the_daemon(owner: Owner, cause: str) -> None:
    before, daemon = (owner.unit(), owner.starts(), owner.controller.guard()), owner.controller.shown("MainPID")
    if cause == "killed":
        owner.kill("KILL")
    else:
        # As a package does: another command, and `systemctl restart`.
        drop_in = "[Service]\nEnvironment=HACTL_UPGRADED=1\n"
        owner.controller.write("/run/systemd/system/hactl.service.d/upgrade.conf", drop_in)
        owner.machine.run("systemctl", "daemon-reload")
        assert owner.machine.run("systemctl", "restart", "hactl.service") == ""
    comes_back(owner, daemon)
    assert (owner.unit(), owner.starts(), owner.controller.guard()) == before
    environment = Path(f"{owner.machine.root}/proc/{owner.controller.shown('MainPID')}/environ").read_bytes()
    assert (b"HACTL_UPGRADED=1" in environment) == (cause == "upgraded")


def test_a_frozen_daemons_unit_is_stopped_by_the_guard_and_stays_stopped(owner: Owner) -> None:
    """Its next daemon is held back, so that the guard alone acts."""
    starts, guard = owner.starts(), owner.controller.guard()
    owner.controller.write("/run/systemd/system/hactl.service.d/late.conf", "[Service]\nRestartSec=600\n")
    owner.machine.run("systemctl", "daemon-reload")
    try:
        owner.kill("STOP")
        until(lambda: owner.guard_log("all_stopped"))
        assert owner.stopped()
        assert owner.controller.guard() == guard
        # In time, else:
        assert not owner.guard_log("self_fence")
        # Restart=always, RestartSec=0: nothing of it comes back. Another unit's start comes after whatever systemd
        # had in mind for it.
        assert owner.machine.run("systemd-run", "--wait", "--quiet", "/bin/true") == ""
        assert owner.stopped()
        assert owner.starts() == starts
        # The guard's log outlives the machine's next boot, unlike its file.
        said = owner.machine.run("journalctl", "-u", "hactl", "-o", "cat")
        assert '"logger": "guard", "event": "all_stopped"' in said
        assert "all_stopped" in owner.machine.run("journalctl", "-t", "hactl-guard", "-o", "cat")
    finally:
        Path(f"{owner.machine.root}/run/systemd/system/hactl.service.d/late.conf").unlink()
        owner.machine.run("systemctl", "daemon-reload")
        owner.machine.run("systemctl", "restart", "hactl.service")
    comes_back(owner, "0")
    assert owner.starts() == starts + 1


def test_without_etcd_the_unit_is_stopped_before_the_lease_ends(owner: Owner) -> None:
    starts = owner.starts()
    owner.machine.run("systemctl", "stop", "etcd.service")
    until(owner.stopped)
    assert not owner.guard_log("self_fence")
    assert owner.starts() == starts
    owner.machine.run("systemctl", "start", "etcd.service")
    until(lambda: owner.controller.runs() and owner.starts() == starts + 1)


def test_a_daemon_whose_guard_was_killed_stops_the_unit_and_comes_back_with_another(owner: Owner) -> None:
    starts, (guard,), daemon = owner.starts(), owner.controller.guard(), owner.controller.shown("MainPID")
    pid = owner.unit()[2]
    assert owner.machine.run("sh", "-c", f"kill -9 {guard}") == ""
    until(lambda: owner.controller.shown("MainPID") not in ("0", daemon) and owner.starts() == starts + 1)
    until(owner.controller.runs)
    assert not Path(f"{owner.machine.root}/proc/{pid}").exists()
    (other,) = owner.controller.guard()
    assert other != guard
    assert "the guard has died" in owner.machine.run("journalctl", "-u", "hactl", "-n", "200")


def test_the_guard_finds_the_units_control_group(owner: Owner) -> None:
    """By systemd's private socket: there is no bus daemon to ask."""
    look = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from fencing.guard import systemd as g; m = g._connect(None); "
        "manager = g._Manager(m); print(manager.cgroup('database.service', manager.state('database.service').path))"
    )
    owner.machine.run("systemctl", "stop", "dbus.socket", "dbus.service")
    try:
        cgroup = owner.machine.run(sys.executable, "-I", "-S", "-c", look).strip()
    finally:
        owner.machine.run("systemctl", "start", "dbus.socket", "dbus.service")
    members = Path(f"{owner.machine.root}{cgroup}/cgroup.procs").read_text().split()
    # Pids as the namespace of the reader numbers them.
    assert len(members) >= 2
    assert Path(f"{owner.machine.root}{cgroup}/cgroup.kill").exists()


@pytest.mark.parametrize("by", ["guard", "daemon"])
def test_processes_that_outlive_their_unit_are_not_stopped(owner: Owner, by: str) -> None:
    owner.machine.unit("leaves.service", LEAVES)
    owner.machine.run("systemctl", "start", "leaves.service")
    until(lambda: owner.controller.pids("/bin/sleep", "400000"))
    if by == "guard":
        owner.machine.run("systemctl", "stop", "leaves.service")
        assert owner.controller.shown("ActiveState", "leaves.service") == "inactive"
        assert owner.controller.pids("/bin/sleep", "400000")
        assert owner.machine.run(sys.executable, "-c", BY_GUARD) == "stopped\n"
    else:
        said = owner.machine.run(sys.executable, "-c", BY_DAEMON).splitlines()
        assert "processes live on" in said[0]
        assert said[1:] == ["failed", "stopped"]
    assert not owner.controller.pids("/bin/sleep", "400000")
