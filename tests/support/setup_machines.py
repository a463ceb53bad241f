"""Machines for `hactl.setup` without systemd: each has a directory for a root and an address of loopback; its etcd is
started directly, with the settings that systemd would give it."""

from __future__ import annotations

import copy
import os
import random
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hactl.setup.checks import SNAPSHOTS
from hactl.setup.machine import Machine, UnchangedMachine, UnitState
from hactl.setup.places import Places
from hactl.setup.plan import Host
from tests.support.etcd import etcd_binary

ETCD_END_S = 10.0


class LoopbackMachine(Machine):
    """`done`: what was done to units, as `start etcd`. `units`: those that are there."""

    def __init__(self, root: Path, address: str) -> None:
        self.places, self.address = Places(str(root)), address
        self.states = {
            "etcd": UnitState(there=True),
            "hactl": UnitState(there=True),
            "hactl-http": UnitState(there=True),
            SNAPSHOTS: UnitState(there=True),
        }
        self.done: list[str] = []
        self.clock_off_s = 0.0
        self.drop_in_loaded = False
        self.without: set[str] = set()
        self.process: subprocess.Popen[bytes] | None = None
        (root / "etc").mkdir(parents=True)
        (root / "etc/machine-id").write_text(f"{random.getrandbits(128):032x}\n")

    def uid(self) -> int:
        return 0

    def addresses(self) -> set[str]:
        return {self.address, "127.0.0.1"}

    def missing(self, programs: Sequence[str]) -> list[str]:
        return [program for program in programs if program in self.without]

    def owner(self, user: str) -> tuple[int, int]:
        return os.getuid(), os.getgid()

    def now(self) -> float:
        return super().now() + self.clock_off_s

    def unit(self, name: str) -> UnitState:
        state = self.states.get(name, UnitState())
        drop_ins = (self.places.drop_in,) if name == "etcd" and self.drop_in_loaded else ()
        return state._replace(drop_ins=drop_ins)

    def reload_units(self) -> None:
        self.done.append("reload")
        self.drop_in_loaded = Path(self.places.drop_in).exists()

    def enable(self, unit: str) -> None:
        self._change(unit, f"enable {unit}", enabled=True)

    def disable(self, unit: str) -> None:
        self._change(unit, f"disable {unit}", enabled=False, active=False)

    def start(self, unit: str) -> None:
        self._change(unit, f"start {unit}", active=True)
        if unit == "etcd":
            self.start_etcd()

    def restart(self, unit: str, *, wait: bool = False) -> None:
        self._change(unit, f"restart {unit}", active=True)
        if unit == "etcd":
            self.stop_etcd()
            self.start_etcd()

    def stop(self, unit: str) -> None:
        self._change(unit, f"stop {unit}", active=False)
        if unit == "etcd":
            self.stop_etcd()

    def _change(self, unit: str, text: str, **changes: bool) -> None:
        self.done.append(text)
        self.states[unit] = self.states.get(unit, UnitState())._replace(**changes)

    def start_etcd(self) -> None:
        """With the settings in etcd.env alone."""
        lines = Path(self.places.etcd_env).read_text().splitlines()
        settings = dict(line.split("=", 1) for line in lines if line.startswith("ETCD_"))
        with Path(self.places.root, "etcd.log").open("ab") as log:
            command = ["setpriv", "--pdeathsig", "KILL", etcd_binary()]
            self.process = subprocess.Popen(
                command, env={"PATH": os.environ["PATH"], **settings}, stdout=log, stderr=log
            )

    def stop_etcd(self) -> None:
        """Idempotent."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(ETCD_END_S)
            self.process = None

    def unchanged(self) -> UnchangedLoopback:
        """The same machine, of which nothing is changed."""
        same = copy.copy(self)
        same.__class__ = UnchangedLoopback
        assert isinstance(same, UnchangedLoopback)
        return same


class UnchangedLoopback(UnchangedMachine, LoopbackMachine):
    """As `hactl setup --check` has it."""


@dataclass
class Machines:
    """`said`: by the name of the machine."""

    hosts: list[Host]
    of: dict[str, LoopbackMachine]
    said: dict[str, list[str]] = field(default_factory=dict)

    def say(self, name: str) -> list[str]:
        """What was said on a machine."""
        return self.said.setdefault(name, [])


def new_network() -> str:
    """The first three numbers of addresses of loopback that no other test uses."""
    return f"127.{random.randrange(16, 250)}.{random.randrange(1, 250)}"


@contextmanager
def machines(directory: Path, *names: str) -> Iterator[Machines]:
    """New machines, each with an address of loopback that no other test uses."""
    net = new_network()
    hosts = [Host(name, f"{net}.{number}") for number, name in enumerate(names, 11)]
    made = Machines(hosts, {host.name: LoopbackMachine(directory / host.name, host.address) for host in hosts})
    try:
        yield made
    finally:
        for machine in made.of.values():
            machine.stop_etcd()
