"""Runs in which something fails: power, a process, the network, the daemon's time. Each leaves the cluster as it is
then; the caller repairs it, and judges whether anything ran twice."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal

from bench import timeline
from bench.asking import asking
from bench.common import ADDRESSES, TARGETS, Cluster, Run
from hactl.decide.timing import PROFILES
from hactl.lab import traces
from hactl.lab.faults import Direction
from hactl.lab.system import LabError, boottime_ms

Leader = Literal["any", "here", "elsewhere"]
Fault = Callable[[Cluster, str], AbstractContextManager[None]]


def place_leader(cluster: Cluster, active: str, leader: Leader) -> str:
    """Have etcd's leader on the active node, or on another; the node that has it."""
    now = cluster.lab.etcd_leader()
    if leader == "here" and now != active:
        cluster.lab.move_etcd_leader(active)
        cluster.await_whole()
    elif leader == "elsewhere" and now == active:
        cluster.lab.move_etcd_leader(next(name for name in cluster.lab.nodes if name != active))
        cluster.await_whole()
    return cluster.lab.etcd_leader() or ""


def power_cut(cluster: Cluster, leader: Leader) -> Run:
    """The active node loses power."""
    run, active = Run(), cluster.gather()
    run.more |= {"from": active, "leader": place_leader(cluster, active, leader)}
    with asking(cluster, run, *TARGETS) as results:
        cut = cluster.lab.kill(active)
        to = {group: cluster.await_holder(group, active) for group in TARGETS}
    run.more |= {"to": to, "cut_ms": cut}
    parts = {group: timeline.lost(cluster, group, active, to[group], cut, results[group]) for group in TARGETS}
    run.parts, run.more["service_parts"] = parts["vip"], parts["service"]
    return run


def kill_daemon(cluster: Cluster) -> Run:
    """SIGKILL to the active node's daemon: nothing else may notice (L2), if the next one renews in time. If it does
    not (`late`), the guard stops everything, and the groups go elsewhere."""
    run, active = Run(), cluster.gather()
    with asking(cluster, run, *TARGETS):
        begin = boottime_ms()
        killed = cluster.lab.node(active).kill_daemon()
        cluster.await_daemon(active, other_than=killed)
        cluster.await_whole()
    run.more["late"] = _guard_stops(cluster, active, begin)
    if run.more["late"]:
        run.odd = "the next daemon did not renew in time, and the guard stopped everything"
    else:
        for change in cluster.watcher.changes():
            if change.at_ms >= begin and change.address in ADDRESSES.values():
                run.violations.append(f"{change.address} {'to' if change.held else 'from'} {change.node}")
        begun = [service for service in traces.read_runs(cluster.lab.spec.traces) if service.begin_ms >= begin]
        run.violations += [f"the service was started anew on {service.node}" for service in begun]
    run.figures["failed"] = run.figures["vip failed"] + run.figures["service failed"]
    renewed = [note.at_ms for note in cluster.notes(active, begin) if note.event == "store_reachable"]
    if renewed and not run.more["late"]:
        run.figures["renewed"] = round(renewed[0] - begin, 1)
    return run


def kill_haproxy(cluster: Cluster) -> Run:
    """SIGKILL to HAProxy on the active node."""
    run, active = Run(), cluster.owner("vip")
    with asking(cluster, run, "vip", interval_ms=5.0):
        cluster.lab.node(active).kill_haproxy()
        cluster.await_whole()
    return run


def partition(cluster: Cluster, other: str, direction: Direction, number: int) -> Run:
    """The active node is parted from `other`; etcd's leader is there in every other run. The run comes to its end
    when all is connected again and the cluster is whole: the outage is the longest in all that time."""
    leader: Leader = "here" if number % 2 else "elsewhere"

    @contextlib.contextmanager
    def cut(cluster: Cluster, active: str) -> Iterator[None]:
        cluster.lab.partition(active, other, direction)
        yield
        cluster.lab.heal()

    return _fault(cluster, cut, leader)


def freeze_daemon(cluster: Cluster) -> Run:
    """SIGSTOP to the active node's daemon alone."""

    @contextlib.contextmanager
    def stopped(cluster: Cluster, active: str) -> Iterator[None]:
        pid = _daemon(cluster, active)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    return _demand_guard(_fault(cluster, stopped, "any"))


def starve_daemon(cluster: Cluster) -> Run:
    """The active node's daemon gets next to no processor time: it has to share a processor with a busy process that
    comes first. (Where the kernel schedules by sessions, `autogroup` of sched(7), these are what counts.)"""

    @contextlib.contextmanager
    def starved(cluster: Cluster, active: str) -> Iterator[None]:
        pid, processor = _daemon(cluster, active), max(os.sched_getaffinity(0))
        hog = subprocess.Popen(["nice", "-n", "-20", "sh", "-c", "while :; do :; done"], start_new_session=True)
        try:
            os.sched_setaffinity(hog.pid, {processor})
            _favour(hog.pid, -20)
            _favour(pid, 19)
            for task in Path(f"/proc/{pid}/task").iterdir():
                os.sched_setaffinity(int(task.name), {processor})
                os.sched_setscheduler(int(task.name), os.SCHED_IDLE, os.sched_param(0))
            yield
        finally:
            hog.kill()
            hog.wait()
            # The supervisor's session is the next daemon's, too.
            _favour(cluster.lab.node(active).group.child("supervisor").pids()[0], 0)

    return _demand_guard(_fault(cluster, starved, "any"))


def _fault(cluster: Cluster, fault: Fault, leader: Leader) -> Run:
    """A fault until all groups are elsewhere, or until no further move can be expected."""
    run, active = Run(), cluster.gather()
    run.more |= {"from": active, "leader": place_leader(cluster, active, leader)}
    settled_s = 2 * PROFILES[cluster.profile].lease_ms / 1000 + 1.5
    with asking(cluster, run, *TARGETS):
        begin = boottime_ms()
        with fault(cluster, active):
            to = {}
            for group in TARGETS:
                with contextlib.suppress(LabError):
                    to[group] = cluster.await_holder(group, active, deadline_s=settled_s)
        cluster.restore()
    run.more["to"] = to
    run.more["guard"] = _guard_stops(cluster, active, begin)
    return run


def _favour(pid: int, nice: int) -> None:
    with contextlib.suppress(FileNotFoundError):  # no autogroups in this kernel
        Path(f"/proc/{pid}/autogroup").write_text(str(nice))


def _guard_stops(cluster: Cluster, node: str, since_ms: float) -> list[dict[str, Any]]:
    """The stops by the node's guard since then, as the next daemon reports them."""
    notes = cluster.notes(node, since_ms)
    return [dict(note.data) for note in notes if note.event == "guard_stopped_everything"]


def _demand_guard(run: Run) -> Run:
    if not run.more["guard"]:
        run.violations.append("the guard did not act")
    return run


def _daemon(cluster: Cluster, node: str) -> int:
    pid = cluster.lab.node(node).daemon_pid()
    if pid is None:
        raise LabError(f"{node}: no daemon is running")
    return pid
