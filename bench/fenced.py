"""Runs with nodes that go silent and go on later, and runs that must get nobody fenced."""

from __future__ import annotations

import time

from bench import failures, timeline
from bench.asking import asking
from bench.common import DEADLINE_S, TARGETS, Cluster, Run
from bench.failures import Leader
from hactl.decide.timing import PROFILES
from hactl.lab.cgroup import runs
from hactl.lab.system import boottime_ms, wait_until

ETCD_AWAY_S = 30.0
# How long a node that has lost its groups, and goes on, is observed.
GOES_ON_S = 1.0


def frozen(cluster: Cluster, leader: Leader) -> Run:
    """Everything on the active node stops running; its kernel still answers for its addresses. With a fence device it
    must be dead when its groups run elsewhere; without one it goes on then."""
    run, active = Run(), cluster.gather()
    node, boots = cluster.lab.node(active), cluster.lab.node(active).boots
    run.more |= {"from": active, "leader": failures.place_leader(cluster, active, leader)}
    with asking(cluster, run, *TARGETS) as results:
        begin, pids = boottime_ms(), node.group.pids()
        node.freeze()
        try:
            to = {group: cluster.await_holder(group, active) for group in TARGETS}
            left = [pid for pid in pids if runs(pid)]
        finally:
            if node.frozen and node.boots == boots:
                node.thaw()
        if cluster.lab.spec.fencing:
            _await_boot(cluster, active, boots)
        else:
            time.sleep(GOES_ON_S)
    run.more |= {"to": to, "frozen_ms": begin}
    if cluster.lab.spec.fencing:
        run.violations += [f"process {pid} of {active} was not dead when its groups ran elsewhere" for pid in left]
    run.figures["both"] = _both_ms(cluster, begin)
    run.parts = timeline.lost(cluster, "vip", active, to["vip"], begin, results["vip"])
    run.more["service_parts"] = timeline.lost(cluster, "service", active, to["service"], begin, results["service"])
    return run


def kill_daemon(cluster: Cluster, _: int) -> Run:
    """SIGKILL to the active node's daemon, which is started again. Where that took longer than the lease, the node is
    rightly fenced: it had not come back."""
    before = Before(cluster)
    run = failures.kill_daemon(cluster)
    if before.lease_was_over():
        run.odd = "the next daemon was not there before the lease was over: its node was fenced"
        return run
    return before.judge(run)


def etcd_away(cluster: Cluster, _: int) -> Run:
    """All of etcd is killed, and started again after 30 s."""
    before, run = Before(cluster), Run()
    cluster.lab.stop_etcd()
    time.sleep(ETCD_AWAY_S)
    cluster.lab.start_etcd()
    back = boottime_ms()
    cluster.await_whole()
    run.figures["back"] = round(boottime_ms() - back, 1)
    return before.judge(run)


class Before:
    """The state before a fault that must get nobody fenced."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster, self._at_ms = cluster, boottime_ms()
        self._boots = {name: node.boots for name, node in cluster.lab.nodes.items()}

    def lease_was_over(self) -> bool:
        """Whether anybody was deposed because its lease was over since, not on suspicion."""
        lease_ms = PROFILES[self._cluster.profile].lease_ms
        notes = (note for name in self._cluster.lab.nodes for note in self._cluster.notes(name, self._at_ms))
        return any(note.event == "peer_over" and note.data["silent_ms"] >= lease_ms for note in notes)

    def judge(self, run: Run) -> Run:
        """Add to the run the nodes fenced since."""
        fenced = [
            f"{name} would have {note.data['node']} switched {note.data['action']}"
            for name in self._cluster.lab.nodes
            for note in self._cluster.notes(name, self._at_ms)
            if note.event == "fence_action"
        ]
        nodes = self._cluster.lab.nodes
        fenced += [f"{name} was booted" for name, boots in self._boots.items() if nodes[name].boots != boots]
        run.figures["fenced"] = len(fenced)
        run.violations += fenced
        return run


def _await_boot(cluster: Cluster, name: str, boots: int) -> None:
    """The node was switched off and on."""
    node = cluster.lab.node(name)
    goal = f"{name} is switched on again"
    wait_until(lambda: node.boots > boots and node.powered, deadline_s=DEADLINE_S, goal=goal)


def _both_ms(cluster: Cluster, since_ms: float) -> float:
    """For how long two nodes held one of the addresses, at the longest."""
    seen = (cluster.watcher.overlaps(address.rpartition(":")[0]) for address in TARGETS.values())
    overlaps_ms = [overlap.ms for overlaps in seen for overlap in overlaps if overlap.begin_ms >= since_ms]
    return round(max(overlaps_ms, default=0.0), 1)
