"""`make bench-addresses`: what many addresses in one group cost, to start and to move, beside an earlier hactl.

In a lab of three: a group with so many addresses is configured, starts, and is moved as planned, twice. *start*: from
taking the group to its last address being there, by netlink in the kernel's order; *move*: from the operator's request
to that; *outage*: of the one address that was away for longest. *loop*: the longest time that a daemon worked
without looking at its events, as it measures that itself; *processor*: of the daemon that started and moved them.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bench.common import Cluster
from hactl.lab import cleanup, privileges
from hactl.lab.cluster import Lab
from hactl.lab.files import cluster_yaml
from hactl.lab.spec import PYTHON, LabSpec
from hactl.lab.system import LabError, boottime_ms, wait_until

GROUP = "many"
DEADLINE_S = 120.0
_TICKS_S = os.sysconf("SC_CLK_TCK")
# For as many as there is room for between the lab's own addresses.
_FIRST, MOST = 110, 130

Figures = dict[str, float]


class Subject(NamedTuple):
    """A state of hactl: the interpreter in whose environment it is installed."""

    name: str
    python: str

    def lab(self, name: str) -> LabSpec:
        """A lab of it."""
        spec = LabSpec(name=name)
        first = (self.python, *spec.daemon[1:])
        init = tuple((self.python, *words[1:]) for words in spec.init)
        return LabSpec(name=name, daemon=first, http=(*spec.http[:3], self.python, *spec.http[4:]), init=init)


def addresses(count: int) -> list[str]:
    """Those of the group, without their prefix."""
    return [f"10.77.0.{_FIRST + number}" for number in range(count)]


def measure(subject: Subject, name: str, count: int) -> Figures:
    """One lab, from the group's beginning to its second move. What came to no end is left out."""
    figures: Figures = {}
    with _cluster(subject, name) as cluster:
        began = boottime_ms()
        _configure(cluster, subject, count)
        _await_all(cluster, count, "")
        owner = cluster.watcher.holders(addresses(count)[0])[0]
        taken = next(note.at_ms for note in cluster.notes(owner, began) if note.event == "group_acquire")
        figures["start"] = _last_added(cluster, count, owner, began) - taken
        pid = cluster.lab.node(owner).daemon_pid()
        figures["processor"] = 1000 * _cpu_s(pid) if pid else 0.0
        moves, outages = [], []
        for _ in range(2):
            new = next(node for node in cluster.lab.nodes if node != owner)
            _await_running(cluster, owner)
            since = boottime_ms()
            if cluster.ask(new, "/v1/failover", {"group": GROUP, "to": new}) is None:
                raise LabError(f"{new} refuses to move {GROUP}")
            _await_all(cluster, count, new)
            moves.append(_last_added(cluster, count, new, since) - since)
            outages.append(_outage(cluster, count, since))
            owner = new
        figures |= {"move": median(moves), "outage": median(outages)}
        loops = [cluster.ask(node, "/v1/status") or {} for node in cluster.lab.nodes]
        figures["loop"] = max(status["local"]["loop"]["work_ms"] for status in loops)
    return {key: round(value, 1) for key, value in figures.items()}


@contextmanager
def _cluster(subject: Subject, name: str) -> Iterator[Cluster]:
    with Lab(subject.lab(name)) as lab, lab.watch() as watcher:
        cluster = Cluster(lab, watcher)
        cluster.await_whole()
        time.sleep(2.0)  # what comes with a start of the daemon is over
        yield cluster


def _configure(cluster: Cluster, subject: Subject, count: int) -> None:
    """Add the group."""
    resources = [
        {"name": f"a{number}", "vip": {"address": f"{address}/24", "interface": "eth0"}}
        for number, address in enumerate(addresses(count))
    ]
    group = {"name": GROUP, "resources": resources}
    before, marker, after = cluster_yaml(cluster.lab.spec).read_text().partition("services:\n")
    file = cluster.lab.spec.path / "wanted.yaml"
    file.write_text(f"{before}  - {json.dumps(group)}\n{marker}{after}")
    node = cluster.lab.node("n1")
    node.call(subject.python, *PYTHON[1:], "--config", str(node.home / "node.toml"), "config", "apply", str(file))


def _await_all(cluster: Cluster, count: int, node: str) -> None:
    """Until every address is on one node, on `node` if it is given, and the group says that it runs."""

    def there() -> bool:
        holders = {tuple(cluster.watcher.holders(address)) for address in addresses(count)}
        return len(holders) == 1 and len(only := holders.pop()) == 1 and node in ("", *only)

    wait_until(there, deadline_s=DEADLINE_S, goal=f"{count} addresses are on {node or 'a node'}", every_s=0.05)


def _await_running(cluster: Cluster, node: str) -> None:
    def runs() -> bool:
        status = cluster.ask(node, "/v1/status") or {"groups": []}
        return any(group["name"] == GROUP and group["state"] == "running" for group in status["groups"])

    wait_until(runs, deadline_s=DEADLINE_S, goal=f"{GROUP} runs on {node}", every_s=0.2)


def _last_added(cluster: Cluster, count: int, node: str, since_ms: float) -> float:
    wanted = set(addresses(count))
    changes = [change for change in cluster.watcher.changes() if change.at_ms >= since_ms and change.held]
    return max(change.at_ms for change in changes if change.node == node and change.address in wanted)


def _outage(cluster: Cluster, count: int, since_ms: float) -> float:
    wanted, gone, longest = set(addresses(count)), dict[str, float](), 0.0
    for change in cluster.watcher.changes():
        if change.address not in wanted or change.at_ms < since_ms:
            continue
        if not change.held:
            gone[change.address] = change.at_ms
        elif change.address in gone:
            longest = max(longest, change.at_ms - gone.pop(change.address))
    return longest


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_S


def main() -> int:
    """Entry point; exit status 1 where something came to no end."""
    parser = argparse.ArgumentParser(prog="bench.addresses", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--counts", type=int, nargs="+", default=[60, 120], help=f"how many addresses, up to {MOST}")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--before", metavar="PYTHON", help="an environment in which an earlier hactl is installed")
    parser.add_argument("--name", default="benchaddresses", help="the lab's name")
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args()
    if max(given.counts) > MOST:
        parser.error(f"at most {MOST} addresses")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, frame: sys.exit(128 + number))
    subjects = [Subject("now", sys.executable)]
    if given.before:
        subjects.insert(0, Subject("before", given.before))
    found: dict[str, list[Figures]] = {}
    failed = False
    try:
        privileges.ensure(sys.orig_argv)
        for _ in range(given.runs):
            for count in given.counts:
                for subject in subjects:
                    key = f"{count} addresses, {subject.name}"
                    try:
                        figures = measure(subject, given.name, count)
                    except LabError as error:
                        failed = failed or subject.name == "now"
                        print(f"{key}: {str(error).splitlines()[0]}", flush=True)
                        continue
                    found.setdefault(key, []).append(figures)
                    print(f"{key}: {_words(figures)}", flush=True)
    finally:
        if not cleanup.labs():
            privileges.let_go()
    medians = {key: {name: median(run[name] for run in runs) for name in runs[0]} for key, runs in found.items()}
    print("\nMedians, in ms:")
    for key, figures in medians.items():
        print(f"{key} ({len(found[key])} of {given.runs} runs): {_words(figures)}")
    if given.json:
        given.json.write_text(json.dumps({"runs": found, "medians": medians}, indent=1) + "\n")
    return int(failed)


def _words(figures: Figures) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in figures.items())


if __name__ == "__main__":
    sys.exit(main())
