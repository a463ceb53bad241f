"""Runs in which a group is moved as planned."""

from __future__ import annotations

from bench import timeline
from bench.asking import asking
from bench.common import Cluster, Run
from hactl.lab.spec import VIP
from hactl.lab.system import boottime_ms

# Moves are short: the client asks more often.
INTERVAL_MS = 5.0


def move_vip(cluster: Cluster, number: int) -> Run:
    """The overlapping group in front of HAProxy: up on the new node before it goes from the old one."""
    run, old = Run(), cluster.owner("vip")
    new = _other(cluster, old, number)
    with asking(cluster, run, "vip", interval_ms=INTERVAL_MS):
        begin = boottime_ms()
        cluster.move("vip", new)
        run.more["seconds"] = round((boottime_ms() - begin) / 1000, 3)
    both = [overlap for overlap in cluster.watcher.overlaps(VIP) if overlap.begin_ms >= begin]
    run.more |= {"from": old, "to": new, "both_ms": [round(overlap.ms, 1) for overlap in both]}
    return run


def move_service(cluster: Cluster, number: int) -> Run:
    """The ordinary group: its resources stop on the old node before they start on the new one. `beyond` is the
    outage without what the service itself takes to stop and to start."""
    run, old = Run(), cluster.owner("service")
    new = _other(cluster, old, number)
    with asking(cluster, run, "service", interval_ms=INTERVAL_MS) as results:
        begin = boottime_ms()
        cluster.move("service", new)
    run.more |= {"from": old, "to": new}
    run.parts = timeline.moved(cluster, "service", old, new, begin, results["service"])
    own = [run.parts[name] for name in (timeline.OWN_STOP, timeline.OWN_START) if name in run.parts]
    if len(own) == 2:
        run.figures |= {"own": round(sum(own), 1), "beyond": round(run.figures["service"] - sum(own), 1)}
    return run


def _other(cluster: Cluster, than: str, number: int) -> str:
    others = [name for name in cluster.lab.nodes if name != than]
    return others[number % len(others)]
