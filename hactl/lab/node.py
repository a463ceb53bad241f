"""One node of the lab: its power, its processes, and the faults that they can have."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from hactl.lab import disk, etcd, files, netns, network, spawn
from hactl.lab.cgroup import Cgroup
from hactl.lab.spec import BACKEND_PORTS, NODE_CGROUPS, LabSpec, NodeName
from hactl.lab.system import LabError, boottime_ms, run, wait_until


class Node:
    """A node, by the kernel's knowledge of it: nothing is remembered here between two calls."""

    def __init__(self, spec: LabSpec, station: NodeName) -> None:
        self._spec, self.station = spec, station
        self.name, self.address = station.name, station.address
        self.namespace = spec.namespace(station.name)
        self.group = Cgroup(Path(spec.cgroup) / station.name)
        self.home = files.home(spec, station)
        self.logs = spec.path / "logs" / station.name

    # Power

    @property
    def powered(self) -> bool:
        """Whether it runs: it has power, and did not fence itself."""
        return netns.exists(self.namespace) and not self._halted.exists() and not self.self_fenced

    @property
    def self_fenced(self) -> bool:
        """Whether it took itself down, by the command that its node.toml names. `power_on` boots it."""
        return netns.exists(self.namespace) and files.self_fenced(self._spec, self.station)

    @property
    def boots(self) -> int:
        """How often it was powered on."""
        return int((self.home / "boots").read_text())

    def power_on(self) -> None:
        """Boot it, without any process yet: a new boot id, an empty run directory, its own addresses only."""
        if self.powered:
            raise LabError(f"{self.name} has power")
        if netns.exists(self.namespace):  # it fenced itself, or nobody came to clear it away
            self.group.kill()
            network.detach(self._spec, self.station)
        self.logs.mkdir(parents=True, exist_ok=True)
        boots = files.new_boot(self._spec, self.station)
        network.attach(self._spec, self.station, boots)
        self.group.remove()
        self.group.create(NODE_CGROUPS)
        disk.attach(self._spec, self.station, self._mounts)

    def boot(self) -> None:
        """Power it on, and start its programs: etcd on its old data, the services, the daemon."""
        self.power_on()
        self.start_etcd()
        self.start_backends()
        self.start_daemon()

    def halt(self) -> float:
        """Its power is gone: link down first, so that nothing says goodbye, then SIGKILL to all of it at once.
        Returns the moment (CLOCK_BOOTTIME, ms) after which nothing of it acted. `clear_away` must follow."""
        if netns.exists(self.namespace):
            network.cut(self._spec, self.station)
            disk.cut(self._spec, self.station, self._mounts)
            self.group.halt()
            disk.await_released(self._spec, self.station)
            self._halted.touch()
        return boottime_ms()

    def clear_away(self) -> None:
        """Remove the remains of a node without power from the kernel; its addresses go with them."""
        network.detach(self._spec, self.station)
        self.group.remove()

    # All of its processes

    def freeze(self) -> None:
        """Stop every process, as a hypervisor does; the kernel goes on answering for its addresses."""
        self._demand_power()
        self.group.freeze(True)

    def thaw(self) -> None:
        """Let them go on."""
        self._demand_power()
        self.group.freeze(False)

    @property
    def frozen(self) -> bool:
        """Whether it is frozen."""
        return self.group.frozen

    # etcd

    def start_etcd(self) -> None:
        """Start its member on the data it has."""
        data = Path(self._spec.memory) / self.name
        data.mkdir(exist_ok=True)
        data.chmod(0o700)
        self._spawn("etcd", "etcd", etcd.arguments(self._spec, self.station, str(data)))

    def stop_etcd(self) -> None:
        """SIGKILL to its member."""
        self.group.child("etcd").kill()

    def freeze_etcd(self, frozen: bool = True) -> None:
        """Freeze its member alone, or let it go on."""
        self.group.child("etcd").freeze(frozen)

    # The daemon and its companions

    def start_daemon(self) -> None:
        """Start the supervisor, which starts the daemon and keeps it running; and, unless it runs, the server of the
        metrics, in the same way."""
        if not self._spec.daemon:
            return
        self._supervise("supervisor", "daemon", self._pid_file, self._spec.daemon)
        if not self.group.child("http-supervisor").pids():
            self._supervise("http-supervisor", "http", self._pid_file.with_name("http.pid"), self._spec.http)

    def stop_daemon(self, deadline_s: float = 35.0) -> None:
        """As `systemctl stop`: SIGTERM to the daemon, and wait for its end."""
        supervisor = self.group.child("supervisor")
        for pid in supervisor.pids():
            _signal(pid, signal.SIGTERM)
        self._await_daemon(lambda: not supervisor.pids(), "ends after SIGTERM", deadline_s)

    def restart_daemon(self, deadline_s: float = 35.0) -> None:
        """As `systemctl restart`: SIGTERM, and a new one at once. Returns when the new one was started."""
        before = self.daemon_pid()
        for pid in self.group.child("supervisor").pids():
            _signal(pid, signal.SIGHUP)
        self._await_daemon(lambda: self.daemon_pid() not in (None, before), "is restarted", deadline_s)

    def kill_daemon(self) -> int:
        """SIGKILL to the daemon's process alone; the supervisor starts it again. Returns the dead one's pid."""
        pid = self.daemon_pid()
        return self._kill_all([pid] if pid is not None else [], "daemon")[0]

    def daemon_pid(self) -> int | None:
        """The daemon's process; None: none is running at the moment."""
        try:
            pid = int(self._pid_file.read_text())
        except (OSError, ValueError):
            return None
        return pid if pid in self.group.child("daemon").pids() else None

    def kill_guard(self) -> list[int]:
        """SIGKILL to all processes in the guard's cgroup."""
        return self._kill_all(self.group.child("guard").pids(), "guard")

    def kill_haproxy(self) -> list[int]:
        """SIGKILL to every HAProxy process of this node."""
        return self._kill_all(self.pids_named("haproxy"), "haproxy")

    def pids_named(self, command: str) -> list[int]:
        """Its processes whose command (/proc/PID/comm) is this."""
        return [pid for pid in self.group.pids() if _comm(pid) == command]

    # The services

    def start_backends(self) -> None:
        """Start the active/active APIs."""
        for name in BACKEND_PORTS:
            self.start_backend(name)

    def start_backend(self, name: str) -> None:
        """Start one of the APIs."""
        argv = [sys.executable, "-I", "-m", "hactl.lab.backend", self.name, self.address, str(BACKEND_PORTS[name])]
        self._spawn(f"backend/{name}", name, argv)

    def start_other(self, name: str, argv: list[str]) -> int:
        """Start a program of a test's own, which loses power with the node; its process id."""
        return self._spawn(f"backend/{name}", name, argv)

    def stop_backend(self, name: str) -> None:
        """SIGKILL to one of the APIs."""
        self.group.child(f"backend/{name}").kill()

    # Anything else

    def command(self, template: tuple[str, ...]) -> list[str]:
        """A command line with this node's files filled in."""
        values = {
            "node": self.name,
            "node_toml": str(files.node_toml(self._spec, self.station)),
            "cluster_yaml": str(files.cluster_yaml(self._spec)),
        }
        return [word.format(**values) for word in template]

    def call(self, *argv: str, timeout_s: float = 30.0) -> str:
        """Run a command on the node (its network, its cgroup `shell`) and return its output."""
        self._demand_power()
        command = spawn.attached(self.namespace, self.group.child("shell"), argv, disk.holder(self._mounts))
        return run(command, timeout_s=timeout_s)

    def addresses(self) -> list[str]:
        """The addresses on eth0, without prefix lengths and without link-local ones."""
        lines = run(["ip", "-n", self.namespace, "-o", "addr", "show", "dev", "eth0", "scope", "global"])
        return [line.split()[3].partition("/")[0] for line in lines.splitlines()]

    def _spawn(self, group: str, log: str, argv: list[str]) -> int:
        self._demand_power()
        log_file, mounts = self.logs / f"{log}.log", disk.holder(self._mounts)
        return spawn.detached(self.namespace, self.group.child(group), log_file, argv, mounts)

    def _supervise(self, group: str, name: str, pid_file: Path, template: tuple[str, ...]) -> None:
        argv = [sys.executable, "-I", "-m", "hactl.lab.supervisor", str(self.group.child(name).path), str(pid_file)]
        self._spawn(group, name, [*argv, *self.command(template)])

    def _demand_power(self) -> None:
        if not self.powered:
            raise LabError(f"{self.name} has no power: hactl lab start {self.name}")

    def _kill_all(self, pids: list[int], name: str) -> list[int]:
        if not pids:
            raise LabError(f"{self.name}: no {name} is running")
        for pid in pids:
            _signal(pid, signal.SIGKILL)
        return pids

    def _await_daemon(self, condition: Callable[[], bool], change: str, deadline_s: float) -> None:
        wait_until(condition, deadline_s=deadline_s, goal=f"{self.name}: the daemon {change}")

    @property
    def _mounts(self) -> Cgroup:
        """The group of the process that holds its mount namespace, where it has one."""
        return self.group.child("mounts")

    @property
    def _pid_file(self) -> Path:
        return self.home / "run" / "supervised.pid"

    @property
    def _halted(self) -> Path:
        """Its mark until it is cleared away, and booted anew."""
        return self.home / "run" / "halted"


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _comm(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""
