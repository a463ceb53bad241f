"""The base of every benchmark in the lab: a cluster that is asked, waited for, repaired and judged between runs."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any, Literal, NamedTuple

from hactl.lab import files, traces
from hactl.lab.cluster import Lab
from hactl.lab.power import CORD
from hactl.lab.spec import SERVICE_PORT, SERVICE_VIP, VIP, VIP6, VIP_PORTS
from hactl.lab.system import LabError, boottime_ms, wait_until
from hactl.lab.watcher import AddressWatcher

TARGETS = {"vip": f"{VIP}:{VIP_PORTS['api-one']}", "service": f"{SERVICE_VIP}:{SERVICE_PORT}"}
ADDRESSES = {"vip": VIP, "service": SERVICE_VIP}
# Far above what is promised: here something hangs.
DEADLINE_S = 45.0

Profile = Literal["default", "fast"]

Document = dict[str, Any]


@dataclass(slots=True)
class Run:
    """One run. `figures`: the measurements, in ms unless the name says else. `parts`: the pieces of the outage in
    order, in ms. `more`: other findings, for the JSON. `violations`: broken promises. `odd`: a reason to read the
    logs. `problem`: why it came to no end."""

    figures: dict[str, float] = field(default_factory=dict)
    parts: dict[str, float] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    odd: str = ""
    problem: str = ""


class Note(NamedTuple):
    """A line of a daemon's log. `at_ms`: on CLOCK_BOOTTIME, as everything here."""

    at_ms: float
    event: str
    data: Mapping[str, Any]


class Spread(NamedTuple):
    """Least, median and greatest of some runs."""

    least: float
    median: float
    greatest: float

    @classmethod
    def of(cls, values: list[float]) -> Spread | None:
        """None: there is nothing to tell."""
        return cls(min(values), median(values), max(values)) if values else None

    def as_dict(self) -> dict[str, float]:
        """For JSON."""
        return {"min": round(self.least, 2), "median": round(self.median, 2), "max": round(self.greatest, 2)}


class _Unix(http.client.HTTPConnection):
    """HTTP over a unix socket. Its path is reached from every network namespace."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("hactl", timeout=timeout_s)
        self._path = str(path)

    def connect(self) -> None:
        """Called by the base class."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Cluster:
    """A lab as seen from outside: by its daemons' sockets and logs, by netlink, by traces."""

    def __init__(self, lab: Lab, watcher: AddressWatcher) -> None:
        self.lab, self.watcher = lab, watcher
        self.profile: Profile = "fast" if lab.spec.profile == "fast" else "default"

    # Asking

    def ask(self, node: str, target: str, body: Document | None = None, timeout_s: float = 6.0) -> Document | None:
        """The answer of the node's daemon; None: there is none, or it refuses."""
        path = files.home(self.lab.spec, self.lab.node(node).station) / "run" / "hactl.sock"
        connection = _Unix(path, timeout_s)
        try:
            if body is None:
                connection.request("GET", target)
            else:
                connection.request("POST", target, json.dumps(body), {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError):
            return None
        finally:
            connection.close()
        return dict(answer) if response.status == 200 else None

    def owner(self, group: str) -> str:
        """The group's owner, as the addresses tell. Raises LabError when it is not exactly one node."""
        holders = self.watcher.holders(ADDRESSES[group])
        if len(holders) != 1:
            raise LabError(f"{group} is held by {holders or 'nobody'}")
        return holders[0]

    def notes(self, node: str, since_ms: float) -> list[Note]:
        """The log of the node's daemon since then."""
        ahead_ms = time.time() * 1000 - boottime_ms()
        notes = []
        for line in (self.lab.node(node).logs / "daemon.log").read_text().splitlines():
            try:
                data = json.loads(line)
                at_ms = datetime.fromisoformat(data["timestamp"]).timestamp() * 1000 - ahead_ms
            except (ValueError, KeyError, TypeError):
                continue  # the supervisor's, or a traceback
            if at_ms >= since_ms:
                notes.append(Note(at_ms, data["event"], data))
        return notes

    # Waiting

    def await_whole(self, deadline_s: float = DEADLINE_S) -> None:
        """Until every daemon says that every node takes part, everything runs and HAProxy has all servers."""
        self.lab.await_etcd()
        waiting = ["nothing was asked"]

        def whole() -> bool:
            waiting[:] = [why for name in self.lab.nodes if (why := self._lacking(name))]
            return not waiting

        try:
            wait_until(whole, deadline_s=deadline_s, goal="the cluster is whole", every_s=0.1)
        except LabError as error:
            raise LabError(f"{error}: {'; '.join(waiting)}") from None

    def _lacking(self, node: str) -> str:
        """Why the cluster is not whole, as this node sees it; "": it is."""
        status = self.ask(node, "/v1/status")
        if status is None:
            return f"{node} does not answer"
        away = [known["name"] for known in status["nodes"] if known["state"] != "online"]
        idle = [group["name"] for group in status["groups"] if group["state"] != "running" or group["holders"]]
        servers = [server for service in status["services"] for server in service["servers"]]
        down = [server["address"] for server in servers if not str(server["haproxy"]).startswith("UP")]
        alone = [name for name, address in ADDRESSES.items() if len(self.watcher.holders(address)) != 1]
        lacking = [*away, *idle, *down, *alone] or ([] if status["groups"] else ["groups"])
        return f"{node}: {', '.join(lacking)}" if lacking else ""

    def await_holder(self, group: str, other_than: str, deadline_s: float = DEADLINE_S) -> str:
        """Until the group's address is on another node, and answers there; that node. Without disturbing it."""

        def there() -> str:
            return next((node for node in self.watcher.holders(ADDRESSES[group]) if node != other_than), "")

        moved = f"{group} is on another node than {other_than}"
        holder = wait_until(there, deadline_s=deadline_s, goal=moved, every_s=0.01)
        answers = f"{group} answers from {holder}"
        wait_until(lambda: self.lab.ask(TARGETS[group]), deadline_s=deadline_s, goal=answers, every_s=0.05)
        return holder

    def await_daemon(self, node: str, other_than: int, deadline_s: float = DEADLINE_S) -> None:
        """Until another process than this is the node's daemon."""
        there = self.lab.node(node)
        goal = f"{node}: the daemon is started again"
        wait_until(lambda: there.daemon_pid() not in (None, other_than), deadline_s=deadline_s, goal=goal)

    # Doing

    def move(self, group: str, to: str, asked: str = "", deadline_s: float = DEADLINE_S) -> None:
        """A planned move, asked of `asked` (else of the new owner), to its end."""
        if self.ask(asked or to, "/v1/failover", {"group": group, "to": to}) is None:
            raise LabError(f"{asked or to} refuses to move {group} to {to}")
        goal = f"{group} moves to {to}"
        address = ADDRESSES[group]
        wait_until(lambda: self.watcher.holders(address) == [to], deadline_s=deadline_s, goal=goal, every_s=0.005)
        wait_until(lambda: self.lab.ask(TARGETS[group]), deadline_s=deadline_s, goal=f"{group} answers")

    def gather(self) -> str:
        """Have all groups on the node that has the VIP, so that all runs begin alike; that node."""
        active = self.owner("vip")
        if self.owner("service") != active:
            self.move("service", active)
            self.await_whole()
        return active

    def restore(self) -> None:
        """Repair the damage of a run, and wait until the cluster is whole again. A fenced node comes back by itself,
        unless its cord was pulled."""
        self.lab.heal()
        for name, node in self.lab.nodes.items():
            comes_back = self.lab.spec.fencing and self.lab.power(name).is_on(CORD) and not node.self_fenced
            if not (node.powered or comes_back):
                self.lab.start(name)
        self.await_whole()

    # Judging

    def violations(self, since_ms: float, *, moved: bool = False) -> list[str]:
        """Broken promises since then. `moved`: the overlapping group was moved as planned."""
        violations = []
        for address in (SERVICE_VIP, *(() if moved else (VIP, VIP6))):
            for overlap in self.watcher.overlaps(address):
                if overlap.begin_ms >= since_ms:
                    violations.append(f"{address} on {overlap.first} and {overlap.second} for {overlap.ms:.1f} ms")
        directory = self.lab.spec.traces
        for two in traces.find_overlaps(directory):
            if two.second.begin_ms >= since_ms:
                violations.append(f"the service on {two.first.node} and {two.second.node} for {two.ms:.1f} ms")
        if not traces.epochs_grow(directory):
            violations.append("an epoch of the service did not grow")
        return violations
