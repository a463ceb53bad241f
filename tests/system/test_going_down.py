"""A machine that goes down, or is taken out of use, hands over what runs here: in time, in order, and not as a failure.
systemd stops the unit and the bus at the same time as hactl."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from controller import Controller, booted
from nspawn import root_tree, until

# A monitor that looks often: it sees the unit end, too.
CLUSTER = """cluster: units
timing: {lease: 5s, stop_budget: 2s}
nodes: [{name: n1, address: 127.0.0.1}]
groups:
  - name: database
    resources:
      - name: address
        vip: {address: 10.77.0.10/24, interface: eth9}
      - name: server
        monitor_interval: 100ms
        systemd: {unit: database.service}
      - {name: balancer, haproxy: {}}
  - name: work
    resources:
      - name: sleep
        exec: {command: [/bin/sleep, "100000"]}
services:
  - name: api
    binds: ["10.77.0.10:8000"]
    port: 8001
haproxy: {user: nobody, group: nogroup}
"""
# It takes a second to stop, and systemd would start it again.
DATABASE = """[Service]
ExecStart=/bin/sh -c 'trap "sleep 1; exit 0" TERM; while :; do sleep 0.1; done'
Restart=always
RestartSec=0
"""
LOG = "[Service]\nStandardError=append:/var/tmp/hactl.log\n"


class Leaving:
    """The daemon's log, which can be read when the machine is no more."""

    def __init__(self, controller: Controller) -> None:
        self.controller = controller
        self.lines: list[dict[str, Any]] = []

    def __enter__(self) -> Leaving:
        self._file = Path(f"{self.controller.machine.root}/var/tmp/hactl.log").open()
        self._file.readlines()
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def events(self, name: str) -> list[dict[str, Any]]:
        self.lines += [json.loads(line) for line in self._file.readlines()]
        return [line for line in self.lines if line["event"] == name]

    def until_released(self) -> None:
        """All is stopped and told, before the daemon would be killed; nothing of it counted as a failure."""
        until(lambda: self.events("daemon_ends"))
        assert [line["reason"] for line in self.events("daemon_ends")] == ["released everything"]
        assert [line["release"] for line in self.events("asked_to_end")] == [True]
        assert {line["group"] for line in self.events("group_leaving")} == {"database", "work"}
        for event in ("stop_failed", "resource_failed"):
            assert not self.events(event), self.events(event)


def started(controller: Controller) -> None:
    said = controller.machine.run("systemctl", "start", "etcd.service", "hactl.service")
    assert said == "", controller.machine.run("journalctl", "-u", "hactl", "-n", "50")
    until(controller.runs)
    assert controller.shown("ActiveState", "database.service") == "active"
    assert controller.pids("-W", "-S")


def haproxy() -> list[str]:
    """HAProxy of this machine, and the libraries that the root tree has not."""
    program = shutil.which("haproxy", path="/usr/sbin:/usr/bin")
    if program is None:
        pytest.skip("needs haproxy")
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, timeout=10, check=True).stdout
    libraries = [words[2] for line in listed.splitlines() if len(words := line.split()) > 2 and words[1] == "=>"]
    return [program, *(library for library in libraries if not Path(f"{root_tree()}{library}").exists())]


@pytest.fixture
def controller(tmp_path: Path) -> Iterator[Controller]:
    with booted(tmp_path / "console", CLUSTER, haproxy()) as booted_controller:
        machine = booted_controller.machine
        into = ["nsenter", "--target", str(machine.leader), "--net", "ip"]
        for words in ("add eth9 type veth peer name eth8", "set eth9 up", "set eth8 up"):
            subprocess.run([*into, "link", *words.split()], check=True, timeout=10)
        subprocess.run([*into, "addr", "add", "10.77.0.1/24", "dev", "eth9"], check=True, timeout=10)
        machine.unit("database.service", DATABASE)
        booted_controller.write("/run/systemd/system/hactl.service.d/log.conf", LOG)
        machine.run("systemctl", "daemon-reload")
        started(booted_controller)
        yield booted_controller


# systemd calls the system `starting` until everything is started, whatever else happens to it.
NEVER_STARTED = "[Service]\nType=notify\nTimeoutStartSec=600\nExecStart=/bin/sleep 600\n"


@pytest.mark.parametrize("way", ["reboot", "poweroff without a bus", "kexec before the boot has ended"])
def test_a_machine_that_goes_down_hands_over(controller: Controller, way: str) -> None:
    if "bus" in way:
        controller.machine.run("systemctl", "stop", "dbus.socket", "dbus.service")
    if "boot" in way:
        controller.machine.unit("late.service", NEVER_STARTED)
        controller.machine.run("systemctl", "start", "--no-block", "late.service")
    with Leaving(controller) as leaving:
        controller.machine.run("systemctl", "start", "--no-block", f"{way.partition(' ')[0]}.target")
        leaving.until_released()


def test_a_machine_that_is_taken_out_of_use_hands_over_and_comes_back(controller: Controller) -> None:
    for target in ("rescue.target", "emergency.target"):
        with Leaving(controller) as leaving:
            controller.machine.run("systemctl", "isolate", "--no-block", target)
            leaving.until_released()
        until(lambda: controller.shown("ActiveState", "database.service") == "inactive")
        controller.machine.run("systemctl", "isolate", "--no-block", "multi-user.target")
        until(lambda: controller.shown("ActiveState", "multi-user.target") == "active")
        started(controller)


@pytest.mark.parametrize("what", ["daemon-reload", "daemon-reexec"])
def test_a_systemd_that_begins_anew_changes_nothing(controller: Controller, what: str) -> None:
    before = controller.shown("MainPID", "database.service"), controller.pids("/bin/sleep", "100000")
    with Leaving(controller) as leaving:
        for _ in range(5):
            controller.machine.run("systemctl", what)
            until(controller.runs)
        events = ("resource_failed", "stop_failed", "group_leaving", "asked_to_end", "resource_seen")
        assert not [line for name in events for line in leaving.events(name)]
    assert before == (controller.shown("MainPID", "database.service"), controller.pids("/bin/sleep", "100000"))
    controller.machine.run("systemctl", "kill", "--signal=KILL", "database.service")
    until(lambda: controller.shown("MainPID", "database.service") not in ("0", before[0]))
    until(controller.runs)
