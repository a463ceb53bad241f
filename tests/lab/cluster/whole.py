"""A whole cluster for tests: looked at from outside, waited for by events, made whole again after each test."""

from __future__ import annotations

import contextlib
import copy
import http.client
import json
import os
import signal
import socket
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from ruamel.yaml import YAML

from election.records import Ownership
from election.view import View
from hactl.lab.cgroup import Cgroup
from hactl.lab.cluster import Lab
from hactl.lab.node import Node
from hactl.lab.spec import PYTHON, SERVICE_PORT, SERVICE_VIP, VIP, VIP6, VIP_PORTS
from hactl.lab.system import LabError, boottime_ms, wait_until

from .gateway import Gateway, NoStoreError
from .judge import Judge

T = TypeVar("T")

# Generous: one to three seconds are enough on an idle machine.
DEADLINE_S = 20.0
EXCLUSIVE = {"vip": VIP, "service": SERVICE_VIP}
ASKED = {"vip": f"{VIP}:{VIP_PORTS['api-one']}", "service": f"{SERVICE_VIP}:{SERVICE_PORT}"}


class LateError(LabError):
    """Something that was waited for did not come."""


class Cluster:
    """The lab's cluster. `original`: the configuration that it came up with; `base`: the one that it goes back to
    after each test; `applied`: the one in use, None when that is not known."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.store = Gateway(lab)
        self.judge = Judge(lab, self.store)
        self.original: dict[str, Any] = YAML(typ="safe").load((lab.spec.path / "cluster.yaml").read_text())
        self.base = self.original
        self.applied: dict[str, Any] | None = self.original
        self.overlap_planned = False
        self.overlapping: tuple[str, ...] = ()  # addresses of the test's own
        self.deadline_s = DEADLINE_S
        self._marks: dict[str, int] = {}
        self.since_ms, self.since_revision = 0.0, 0

    # --- one test ---------------------------------------------------------------------------------------------

    def rest_on(self, timing: dict[str, str]) -> None:
        """Have the lab's own configuration in use, with these durations."""
        self.base = {**self.original, "timing": {**self.original["timing"], **timing}}
        if self.applied != self.base:
            self.configure(self.base)
            self.await_whole()

    def begin(self) -> None:
        """Remember this moment: events, changes and complaints count from here."""
        self._marks = {name: _size(self._log(name)) for name in self.nodes}
        self.overlap_planned, self.overlapping, self.deadline_s = False, (), DEADLINE_S
        self.since_ms = boottime_ms()
        self.since_revision = self.store.revision()

    def complaints(self) -> list[str]:
        """The promises broken since `begin`."""
        groups = set(self.store.view().groups)
        return [*self.twice(), *self.judge.backwards(self.since_ms, self.since_revision, groups)]

    def twice(self) -> list[str]:
        """Things that two nodes had at one time since `begin`, though it was not planned. Asks no store."""
        return self.judge.twice(self.since_ms, ((VIP, VIP6) if self.overlap_planned else ()) + self.overlapping)

    def make_whole(self) -> None:
        """Undo every fault; return when everything runs. Raises LabError when it does not."""
        self.lab.heal()
        self.lab.switch_faults.clear()
        for node in self.nodes.values():
            self._mend(node)
        self.lab.await_etcd()
        if self.applied != self.base:
            self.configure(self.base)
        for below in ("failures/", "flapping/", "intents/"):
            self.store.delete(self.store.keys.prefix + below)
        self.await_whole()
        for group in EXCLUSIVE:
            self._forget_failures(group)

    def _forget_failures(self, group: str) -> None:
        """Failures of an earlier test would count in the next one."""

        def failed() -> bool:
            report = self.store.view().reports.get(self.owner(group))
            return report is None or "reason" in report.record.groups.get(group, {})

        if failed():
            self.hactl(self.owner(group), "group", "cleanup", group)
            self.until(lambda: not failed(), f"the failures of {group} are forgotten")

    def forget_others(self) -> None:
        """Delete the ownerships of groups that a test added: nothing then prefers the node where a group of that name
        ran."""
        for name in self.store.view().groups:
            if name not in EXCLUSIVE:
                self.store.delete(self.store.keys.group(name))

    def _mend(self, node: Node) -> None:
        if not node.powered:
            with contextlib.suppress(LabError):  # its fencing was the first to switch it on again
                self.lab.start(node.name)
            return
        power = self.lab.power(node.name)
        for outlet in self.lab.spec.outlets:  # an attempt that was given up may have left one of two off
            if not power.is_on(outlet):
                power.give(outlet)
        for path in [node.group.path, *node.group.path.glob("*/")]:
            with contextlib.suppress(OSError):
                if (path / "cgroup.freeze").read_text().strip() != "0":
                    Cgroup(path).freeze(False)
        if (pid := node.daemon_pid()) is not None:
            os.kill(pid, signal.SIGCONT)
        if not node.group.child("etcd").pids():
            node.start_etcd()
        if not node.group.child("supervisor").pids():
            node.start_daemon()

    # --- looking ----------------------------------------------------------------------------------------------

    @property
    def nodes(self) -> dict[str, Node]:
        """All of them."""
        return self.lab.nodes

    def node(self, name: str) -> Node:
        """The node of this name."""
        return self.lab.node(name)

    def others(self, name: str) -> list[str]:
        """All nodes but this."""
        return [node for node in self.nodes if node != name]

    def group(self, name: str) -> Ownership:
        """Its ownership."""
        return self.store.view().groups[name].record

    def owner(self, name: str) -> str:
        """The node that owns a group."""
        return self.group(name).node

    def api(self, node: str, target: str, body: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """Ask a node's daemon, by its socket: the status and the answer; 0 when no daemon answers."""
        connection = http.client.HTTPConnection("hactl", timeout=3)
        try:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(3)
            connection.sock.connect(str(self.node(node).home / "run" / "hactl.sock"))
            connection.request("POST" if body is not None else "GET", target, json.dumps(body) if body else None)
            response = connection.getresponse()
            return response.status, dict(json.loads(response.read()))
        except (OSError, ValueError, http.client.HTTPException):
            return 0, {}
        finally:
            connection.close()

    def status(self, node: str) -> dict[str, Any]:
        """The status document of a node's daemon; {} when it does not answer."""
        return self.api(node, "/v1/status")[1]

    def hactl(self, node: str, *words: str) -> str:
        """Run the command line on a node; returns its output. Raises LabError with its exit status and its output."""
        return self.node(node).call(*PYTHON, "--config", str(self.node(node).home / "node.toml"), *words)

    def events(self, node: str, event: str = "") -> list[dict[str, Any]]:
        """The events that the node's daemon has logged since `begin`, all or of one kind; a line that is not the
        daemon's own (its supervisor's, a traceback's) is an event `said`."""
        text = self._log(node).read_bytes()[self._marks.get(node, 0) :].decode(errors="replace")
        events: list[dict[str, Any]] = []
        for line in text.splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                entry = {"event": "said", "line": line, "timestamp": events[-1]["timestamp"] if events else ""}
            if not event or entry["event"] == event:
                events.append(entry)
        return events

    def _log(self, node: str) -> Path:
        return self.node(node).logs / "daemon.log"

    def holders(self, group: str) -> list[str]:
        """The nodes that have the group's address now, by netlink."""
        return self.judge.watcher.holders(EXCLUSIVE[group])

    def changes(self, address: str) -> list[tuple[str, bool]]:
        """How an address came and went since `begin`: node, whether it came."""
        changes = self.judge.watcher.changes()
        return [
            (change.node, change.held)
            for change in changes
            if change.address == address and change.at_ms >= self.since_ms
        ]

    def service_pids(self, node: str) -> list[int]:
        """The processes of the active/passive service on a node."""
        return [pid for pid in self.node(node).group.child("resources").pids() if b"lab.service" in _cmdline(pid)]

    # --- waiting ----------------------------------------------------------------------------------------------

    def until(self, condition: Callable[[], T | None], expected: str) -> T:
        """Wait for it, `deadline_s` at most; no answer from the store is the same as not yet."""

        def ask() -> T | None:
            try:
                return condition()
            except (NoStoreError, KeyError):
                return None

        try:
            return wait_until(ask, deadline_s=self.deadline_s, goal=expected)
        except LabError as error:
            raise LateError(str(error)) from None

    def await_running(self, group: str, on: Iterable[str] | None = None, epoch_above: int = 0) -> str:
        """Wait until the group is owned, reported running, its address is on its owner alone and, for those of the
        lab, the client is answered; returns the owner."""
        allowed = set(self.nodes if on is None else on)

        def look() -> str | None:
            view = self.store.view()
            owner = running(view, group)
            if owner not in allowed or view.groups[group].record.epoch <= epoch_above:
                return None
            if group not in EXCLUSIVE:
                return owner
            return owner if self.holders(group) == [owner] and self._answers(group, owner) else None

        return self.until(look, f"{group} runs on {' or '.join(sorted(allowed))}")

    def await_all_running(self, on: Iterable[str] | None = None) -> dict[str, str]:
        """The same for both groups of the lab; their owners."""
        on = None if on is None else list(on)
        return {group: self.await_running(group, on) for group in EXCLUSIVE}

    def _answers(self, group: str, owner: str) -> bool:
        answered = self.lab.ask(ASKED[group])
        return answered == owner if group == "service" else bool(answered)

    def await_stopped(self, node: str) -> None:
        """Wait until nothing exclusive is left on a node."""

        def look() -> bool:
            return not self.service_pids(node) and not any(node in self.holders(group) for group in EXCLUSIVE)

        self.until(look, f"everything exclusive on {node} is stopped")

    def await_event(self, node: str, event: str, **values: Any) -> dict[str, Any]:
        """Wait until the node's daemon has logged it since `begin`."""

        def look() -> dict[str, Any] | None:
            matching = (entry for entry in self.events(node, event) if values.items() <= entry.items())
            return next(matching, None)

        return self.until(look, f"{node} says {event} {values or ''}")

    def await_live(self, *names: str) -> None:
        """Wait until these nodes (none named: all) take part with the newest configuration."""

        def live(view: View, name: str) -> bool:
            session, report = view.sessions.get(name), view.reports.get(name)
            assert view.config is not None
            told = report is not None and report.record.config_revision == view.config.mod_revision
            return (
                session is not None
                and report is not None
                and report.record.session_id == session.record.session_id
                and told
            )

        def look() -> bool:
            view = self.store.view()
            wanted = names or tuple(self.nodes)
            return all(live(view, name) and self.api(name, "/v1/healthz")[0] == 200 for name in wanted)

        self.until(look, f"{', '.join(names) or 'all'} live")

    def await_whole(self) -> None:
        """Wait until all nodes are live and everything enabled runs."""
        self.await_live()
        wanted = [group["name"] for group in (self.applied or self.base)["groups"] if group.get("enabled", True)]
        for group in wanted:
            self.await_running(group)

    def await_renewals(self, count: int = 3, names: Iterable[str] | None = None) -> None:
        """Let every live session be renewed so often: time to decide for everyone, by their own clocks."""
        names = list(self.nodes if names is None else names)
        before = self.until(self.store.renewals, "sessions")
        for name in names:
            self.until(
                lambda n=name: self.store.renewals()[n] >= before[n] + count,  # type: ignore[misc]
                f"{name} renews {count} times",
            )

    # --- doing ------------------------------------------------------------------------------------------------

    def move(self, group: str, to: str) -> tuple[int, dict[str, Any]]:
        """Ask for a planned move, by the API."""
        if group == "vip":
            self.overlap_planned = True
        via = next(name for name in self.nodes if self.api(name, "/v1/healthz")[0] == 200)
        return self.api(via, "/v1/failover", {"group": group, "to": to})

    def bring(self, node: str) -> None:
        """Have both groups run on this node. A promise broken on the way is raised at once; the test proper begins
        now."""
        for group in EXCLUSIVE:
            self.settle(group, node)
        self.await_all_running([node])
        if problems := self.complaints():
            raise AssertionError("\n".join(problems))
        self.begin()

    def settle(self, group: str, node: str) -> None:
        """Have the group run on this node, wherever it went first: a node that has read a new configuration some tenths
        of a second before the preferred one takes the group, and a stall of the machine may move it."""

        def there() -> bool:
            view = self.store.view()
            if running(view, group) == node:
                return True
            if running(view, group) and not view.moves:
                self.move(group, node)
            return False

        self.until(there, f"{group} is brought to {node}")

    def with_groups(self, *groups: dict[str, Any]) -> dict[str, Any]:
        """The configuration that it rests on, and these groups."""
        document = copy.deepcopy(self.base)
        document["groups"] += groups
        return document

    def configure(self, document: dict[str, Any]) -> None:
        """Apply a configuration, once the groups that it removes are released; returns when all nodes use it."""
        view = self.store.view()
        kept = {group["name"] for group in document["groups"]}
        gone = [group for group in (self.applied or {}).get("groups", []) if group["name"] not in kept]
        held = [group for group in gone if group["name"] in view.groups]
        if held:
            clones = [group for group in gone if group.get("run") == "all"]  # what they have is promoted in the others
            disabled = [{**group, "enabled": False} for group in held]
            self.apply({**document, "groups": document["groups"] + clones + disabled})
            for group in held:
                name = group["name"]
                self.until(lambda n=name: self.group(n).state == "released", f"{name} is released")  # type: ignore[misc]
        self.apply(document)
        self.await_live()

    def apply(self, document: dict[str, Any], via: str = "", *, options: tuple[str, ...] = ()) -> str:
        """`hactl config apply`; returns its output."""
        file = self.lab.spec.path / "wanted.yaml"
        file.write_text(json.dumps(document))
        via = via or next(name for name, node in self.nodes.items() if node.powered)
        said = self.hactl(via, "config", "apply", *options, str(file))
        self.applied = document
        return said

    def report(self) -> str:
        """For a test that failed: the daemons' logs, and the ownerships."""
        lines = []
        for name in self.nodes:
            for event in self.events(name):
                about = {k: v for k, v in event.items() if k not in ("event", "timestamp", "level", "node")}
                lines.append((str(event.get("timestamp", "")), f"{name} {event['event']} {about}"))
        text = "\n".join(f"{at[11:23]} {line}" for at, line in sorted(lines))
        with contextlib.suppress(NoStoreError, LabError):
            view = self.store.view()
            text += "\n" + "\n".join(f"{name}: {group}" for name, group in view.groups.items())
            text += "\n" + "\n".join(f"fence {name}: {fence}" for name, fence in view.fences.items())
            text += f"\nsessions: {view.sessions}"
        return text


def running(view: View, group: str) -> str | None:
    """The node that owns the group alone and reports it running in this ownership; None: there is none."""
    own = view.groups[group].record
    session, report = view.sessions.get(own.node), view.reports.get(own.node)
    if own.state != "owned" or own.holders or session is None or report is None:
        return None
    if {session.record.session_id, report.record.session_id} != {own.session_id}:
        return None
    told = report.record.groups.get(group, {})
    return own.node if told.get("phase") == "running" and told.get("epoch") == own.epoch else None


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _cmdline(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
