"""`make demo`: a cluster on this machine, a power cut, planned moves, and their effect on a client.

`python -m hactl.lab.demo [--json FILE]`. Exit status: 0 all as promised, 1 something was not, 2 it cannot be done
here, 130 interrupted. Whatever happens, the lab is taken down; after a failure its logs are kept.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hactl.lab import cleanup, privileges, traces
from hactl.lab.client import Probe, Result
from hactl.lab.cluster import Lab
from hactl.lab.demo_report import Figures, Move, Overlaps, Recovery, Screen, judge, strip
from hactl.lab.spec import PROFILES, PYTHON, SERVICE_PORT, SERVICE_VIP, VIP, VIP6, VIP_PORTS, LabSpec
from hactl.lab.system import LabError, boottime_ms, wait_until
from hactl.lab.watcher import AddressWatcher

ADDRESSES = {"vip": VIP, "service": SERVICE_VIP}
TARGETS = {"vip": f"{VIP}:{VIP_PORTS['api-one']}", "service": f"{SERVICE_VIP}:{SERVICE_PORT}"}
INTERVAL_MS = 10.0
# How long the client is watched before something is done and after it is over.
BEFORE_S, AFTER_S = 1.0, 1.0
# Far above the promise: here something hangs.
DEADLINE_S = 60.0

Document = dict[str, Any]


@dataclass(slots=True)
class Demo:
    """The play, act by act. `planned`: when two nodes may hold the overlapping group's address (ms, from, to)."""

    lab: Lab
    watcher: AddressWatcher
    screen: Screen
    figures: Figures
    planned: list[tuple[float, float]] = field(default_factory=list)

    def play(self) -> None:
        """All acts; `figures` is complete then."""
        active = self.first_look()
        survivor = self.power_cut(active)
        self.move_overlapping(survivor)
        self.move_exclusive(survivor)
        self.node_back(active, survivor)
        self.figures.overlaps = self.count_overlaps()

    def first_look(self) -> str:
        """The cluster as it begins; the node that has the address."""
        self.screen.head("The cluster is up: what `hactl status` shows")
        document = self.await_well("n1", online=len(self.lab.nodes))
        self.screen.command("n1", "status", self.hactl("n1", "status"))
        active = owner(document, "vip")
        self.screen.say(
            f"`vip` is the address {VIP} in front of HAProxy, which runs on every node and spreads requests over two",
            "APIs; `service` runs on one node at a time, never on two. A client asks both every 10 ms from now on.",
        )
        return active

    def power_cut(self, active: str) -> str:
        """Pull the plug of the active node; returns a node that lives."""
        survivor = next(name for name in self.lab.nodes if name != active)
        leader = self.lab.etcd_leader() == active
        also = " (etcd's leader was there, too)" if leader else ""
        self.screen.head(f"{active}, which has the address, loses power{also}")
        with self.asking(*TARGETS) as probes:
            cut = self.lab.kill(active)
            document = self.await_well(survivor, online=len(self.lab.nodes) - 1, without=active)
        results = {group: result(probe) for group, probe in probes.items()}
        survivor = owner(document, "vip")
        for group, seen in results.items():
            self.screen.client(group, strip(seen, INTERVAL_MS), outage(seen))
        takeovers = self.await_timelines(survivor, active)
        text = f"Where the time went, by the clock of the node that took over (`hactl timeline` on {survivor}):"
        self.screen.say("", text)
        for takeover in takeovers:
            self.screen.timeline(takeover)
        self.screen.command(survivor, "status", self.hactl(survivor, "status"))
        seen_by_client = {group: seen.summary() for group, seen in results.items()}
        self.figures.power_cut = Recovery(active, survivor, leader, cut, seen_by_client, takeovers)
        return survivor

    def move_overlapping(self, asked: str) -> None:
        """Move the address while both nodes live."""
        self.screen.head("A planned move of the address")
        self.screen.say(
            "Its group has `overlap: true`: it is up on the new node before it is taken off the old one, and",
            "what belongs to connections that began there is passed on to it.",
        )
        begin = boottime_ms()
        self.figures.move_vip = self.move("vip", asked)
        self.planned.append((begin, boottime_ms()))

    def move_exclusive(self, asked: str) -> None:
        """Move the exclusive group: stopped there, then started here."""
        self.screen.head("A planned move of the service")
        self.screen.say("It must not run twice, so it is stopped before it is started: that is the outage.")
        self.figures.move_service = self.move("service", asked)

    def move(self, group: str, asked: str) -> Move:
        """One planned move, asked of the node `asked`, as the client saw it."""
        before = owner(self.status(asked), group)
        with self.asking(group) as probes:
            shown = self.hactl(asked, "failover", group, "--wait", timeout_s=DEADLINE_S)
            document = self.await_well(asked, online=len(self.lab.nodes) - 1)
            goal = f"{before} lets go of the address of {group}"
            wait_until(lambda: len(self.watcher.holders(ADDRESSES[group])) == 1, deadline_s=DEADLINE_S, goal=goal)
        seen = result(probes[group])
        self.screen.command(asked, f"failover {group} --wait", shown)
        self.screen.client(group, strip(seen, INTERVAL_MS), outage(seen))
        return Move(group, before, owner(document, group), seen.summary())

    def node_back(self, name: str, asked: str) -> None:
        """Power on again the node that was lost."""
        self.screen.head(f"{name} gets its power back")
        self.screen.say("Nothing moves back by itself: a move is an outage, and when to have one is yours to say.")
        began = time.monotonic()
        self.lab.start(name)
        self.await_well(asked, online=len(self.lab.nodes), served=True)
        self.figures.back_s = round(time.monotonic() - began, 3)
        self.screen.command(asked, "status", self.hactl(asked, "status"))

    # Parts

    def count_overlaps(self) -> Overlaps:
        """The overlaps over the whole demo. Two holders of the overlapping address are as planned while it was moved,
        and at no other time."""
        elsewhen = [
            overlap
            for address in (VIP, VIP6)
            for overlap in self.watcher.overlaps(address)
            if not any(begin <= overlap.begin_ms <= end for begin, end in self.planned)
        ]
        return Overlaps(
            len(elsewhen),
            len(self.watcher.overlaps(SERVICE_VIP)),
            len(traces.find_overlaps(self.lab.spec.traces)),
            traces.epochs_grow(self.lab.spec.traces),
        )

    def hactl(self, node: str, *words: str, timeout_s: float = 15.0) -> str:
        """The output of `hactl` on this node."""
        there = self.lab.node(node)
        return there.call(*there.command((*PYTHON, "--config", "{node_toml}")), *words, timeout_s=timeout_s)

    def status(self, node: str) -> Document:
        """The status document."""
        document: Document = json.loads(self.hactl(node, "status", "--json"))
        return document

    def await_well(self, asked: str, *, online: int, without: str = "", served: bool = False) -> Document:
        """Until every group runs, none of them on `without`, `online` nodes take part and, if `served`, HAProxy
        has all servers. Returns the status document."""

        def well() -> Document | None:
            try:
                document = self.status(asked)
            except LabError:  # its daemon is starting
                return None
            groups = all(group["state"] == "running" and group["owner"] != without for group in document["groups"])
            nodes = sum(node["state"] == "online" for node in document["nodes"])
            servers = [server for service in document["services"] for server in service["servers"]]
            up = all(str(server["haproxy"]).startswith("UP") for server in servers) or not served
            return document if groups and document["groups"] and nodes == online and up else None

        goal = f"every group runs and {online} nodes are online, as {asked} sees it"
        return wait_until(well, deadline_s=DEADLINE_S, goal=goal, every_s=0.1)

    def await_timelines(self, asked: str, lost: str) -> list[Document]:
        """The takeovers from the lost node: they are written a moment after they are over."""
        groups = len(self.status(asked)["groups"])

        def there() -> list[Document]:
            rows: list[Document] = json.loads(self.hactl(asked, "timeline", "--json"))
            return [row for row in rows if row["from"] == lost and row["reason"] == "node_lost"]

        # Fewer than all groups may have been on that node: then no more will come after two seconds.
        with contextlib.suppress(LabError):
            wait_until(lambda: len(there()) >= groups, deadline_s=2.0, goal="takeovers are written", every_s=0.1)
        return there()

    @contextlib.contextmanager
    def asking(self, *groups: str) -> Iterator[dict[str, Probe]]:
        """The client asks while the body runs, a little before and a little longer."""
        with contextlib.ExitStack() as stack:
            probes = {
                group: stack.enter_context(self.lab.probe(TARGETS[group], interval_ms=INTERVAL_MS)) for group in groups
            }
            time.sleep(BEFORE_S)
            yield probes
            time.sleep(AFTER_S)


def owner(document: Document, group: str) -> str:
    """The group's owner."""
    return next(str(known["owner"]) for known in document["groups"] if known["name"] == group)


def result(probe: Probe) -> Result:
    """The result of a stopped probe."""
    assert probe.result is not None
    return probe.result


def outage(seen: Result) -> str:
    """In words."""
    return f"longest time without an answer {seen.outage_ms:.0f} ms, {seen.failed} of {seen.good + seen.failed} lost"


def run(spec: LabSpec, screen: Screen) -> Figures:
    """Bring the lab up, play, take it down. Raises LabError; the logs are in the directory it names then."""
    figures = Figures(spec.profile)
    screen.head(f"A cluster of {spec.nodes} nodes on this machine")
    screen.say(
        "Every node has a network namespace of its own, and in it etcd, HAProxy and hactl. They come up now; the",
        "machine's own network is not touched, and nothing is left when this ends.",
    )
    with Lab(spec) as lab, _logs_kept(lab), lab.watch() as watcher:
        Demo(lab, watcher, screen, figures).play()
        for number in SIGNALS:  # only the cleaning up is left
            signal.signal(number, signal.SIG_IGN)
    return figures


@contextlib.contextmanager
def _logs_kept(lab: Lab) -> Iterator[None]:
    try:
        yield
    except LabError as error:
        kept = Path(tempfile.mkdtemp(prefix="hactl-demo-"))
        shutil.copytree(lab.spec.path / "logs", kept, dirs_exist_ok=True)
        raise LabError(f"{error}\nthe logs of the nodes are kept in {kept}") from error


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _interrupted(number: int, _frame: object) -> None:
    """Once: a second one must not stop the cleaning up."""
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    sys.stderr.write("\ninterrupted: taking the lab down\n")
    raise SystemExit(128 + number)


def main() -> int:
    """Entry point; the exit status."""
    parser = argparse.ArgumentParser(prog="make demo", description="a cluster, a power cut, planned moves")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    parser.add_argument("--profile", choices=list(PROFILES), default="default")
    parser.add_argument("--name", default="demo", help="the lab's name")
    given = parser.parse_args()
    began = time.monotonic()
    screen = Screen(sys.stdout)
    try:
        privileges.ensure(sys.orig_argv)
        spec = LabSpec(name=given.name, profile=given.profile)
    except LabError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    for number in SIGNALS:
        signal.signal(number, _interrupted)
    try:
        figures = run(spec, screen)
    except LabError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    finally:
        if not cleanup.labs():
            privileges.let_go()
    figures.seconds = round(time.monotonic() - began, 1)
    verdicts = judge(figures)
    screen.verdicts(verdicts)
    if given.json:
        given.json.write_text(json.dumps(figures.as_dict(verdicts), indent=1) + "\n")
    return 0 if all(verdict.ok for verdict in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
