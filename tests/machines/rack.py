"""Four machines, the network between them, their power switch, and a client: nothing of this machine's own network."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

from hactl.lab import cleanup, network
from hactl.lab.cgroup import Cgroup, base
from hactl.lab.client import Probe
from hactl.lab.spec import LabSpec, claim
from hactl.lab.watcher import AddressWatcher
from tests.machines import debian
from tests.machines.machine import Machine
from tests.machines.power_switch import PASSWORD, PowerSwitch
from tests.support import nspawn

DISKS_GIB = 10
FENCE_AGENT = debian.ROOT / "hactl/lab/fence_lab"


class Rack:
    """All machines are off at first. n1, n2, n3 make the cluster; n4 comes later."""

    def __init__(self, spec: LabSpec, disks: Path) -> None:
        self.spec = spec
        self._starter = ThreadPoolExecutor(1)
        self.machines = {
            station.name: Machine(spec, station, disks / station.name, self._starter) for station in spec.stations
        }
        self.first_three = list(self.machines.values())[:3]
        network.create_bridge(spec)
        for station in (spec.client, spec.switch):
            network.attach(spec, station)
        self.switch = PowerSwitch(spec, self.machines)

    def __getitem__(self, name: str) -> Machine:
        return self.machines[name]

    def others(self, *names: str) -> list[Machine]:
        """Those of the first three that are not named."""
        return [machine for machine in self.first_three if machine.name not in names]

    def power_on(self, machines: Iterable[Machine] | None = None) -> None:
        """Switch them on, all at once, and wait until they have booted."""
        booting = list(machines or self.first_three)
        for machine in booting:
            machine.power_on()
        for machine in booting:
            machine.await_up()

    def cut(self, machines: Iterable[Machine] | None = None) -> None:
        """Cut the power of all of them at once."""
        together(machines or self.first_three, Machine.cut)

    def probe(self, target: str, interval_ms: float = 5.0) -> Probe:
        """The client asks at `target` (ADDRESS:PORT), again and again, while this context lasts."""
        return Probe(self.spec, target, interval_ms=interval_ms)

    def watch(self) -> AddressWatcher:
        """Who holds which address, while this context lasts."""
        return AddressWatcher(self.spec)

    def install_fence_agent(self, machine: Machine) -> None:
        """What comes with the power switch: its agent, and its password."""
        machine.copy(FENCE_AGENT, "/usr/sbin/fence_lab")
        machine.path("/usr/sbin/fence_lab").chmod(0o755)
        machine.run("mkdir", "-p", "-m", "700", "/etc/hactl/secrets")
        machine.write("/etc/hactl/secrets/pdu", f"{PASSWORD}\n", 0o600)

    def down(self) -> None:
        """Remove all of it."""
        self.switch.close()
        for machine in self.machines.values():
            machine.cut()
        self._starter.shutdown()


@contextlib.contextmanager
def rack(nodes: int = 4) -> Iterator[Rack]:
    """All of it is gone in the end. After a run that was killed: `hactl lab down --name NAME` (/run/hactl-lab)."""
    name = f"m{uuid4().hex[:6]}"
    with tempfile.TemporaryDirectory(prefix="hactl-machines-") as directory:
        spec = claim(LabSpec(name=name, nodes=nodes, directory=directory, cgroup=str(base() / name), fencing=True))
        spec.save()
        Cgroup(Path(spec.cgroup)).create()
        try:
            with _disks(Path(directory, "disks")) as disks:
                built = Rack(spec, disks)
                try:
                    yield built
                finally:
                    built.down()
        finally:
            cleanup.remove(name)


@contextlib.contextmanager
def _disks(place: Path) -> Iterator[Path]:
    """A file system of their own, in memory: not every one can be the upper layer of a root."""
    place.mkdir()
    nspawn.must(["mount", "-t", "tmpfs", "-o", f"size={DISKS_GIB}g", "hactl-machines", str(place)], 10)
    try:
        yield place
    finally:
        nspawn.must(["umount", "--lazy", str(place)], 10)


def together(machines: Iterable[Machine], act: Callable[[Machine], object]) -> None:
    """Do this on all machines at once."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(act, machines))
