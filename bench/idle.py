"""The cost of a daemon and its guard when nothing happens, from /proc."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import NamedTuple

from bench.common import Cluster, Run
from hactl.lab.system import LabError

SECONDS = 30.0
# Work that began at the start, or in the run before, has come to its end by then.
SETTLE_S = 3.0

_TICKS_S = os.sysconf("SC_CLK_TCK")


class Cost(NamedTuple):
    """`rss_mb`, `pss_mb` in MiB (proc_pid_smaps(5): shared pages whole, and divided among their processes); `cpu`: in
    percent of one processor."""

    rss_mb: float
    pss_mb: float
    cpu: float


def idle(cluster: Cluster) -> Run:
    """All nodes over the same time; the figures are those of the node that needs most."""
    run = Run()
    time.sleep(SETTLE_S)
    before = _processes(cluster)
    began, used = time.monotonic(), {part: _cpu_s(pid) for part, pid in before.items()}
    time.sleep(SECONDS)
    passed = time.monotonic() - began
    if _processes(cluster) != before:
        raise LabError("a daemon or a guard ended while nothing was done")
    costs = {
        part: Cost(*_memory(pid), round(100 * (_cpu_s(pid) - used[part]) / passed, 2)) for part, pid in before.items()
    }
    for role in ("daemon", "guard"):
        mine = [cost for (_, name), cost in costs.items() if name == role]
        run.figures[f"{role} rss_mb"] = max(cost.rss_mb for cost in mine)
        run.figures[f"{role} pss_mb"] = max(cost.pss_mb for cost in mine)
        run.figures[f"{role} cpu"] = max(cost.cpu for cost in mine)
    run.more = {f"{node} {role}": cost._asdict() for (node, role), cost in costs.items()}
    return run


def _processes(cluster: Cluster) -> dict[tuple[str, str], int]:
    processes: dict[tuple[str, str], int] = {}
    for name, node in cluster.lab.nodes.items():
        daemon, guards = node.daemon_pid(), node.group.child("guard").pids()
        if daemon is None or len(guards) != 1:
            raise LabError(f"{name}: daemon {daemon}, guards {guards}")
        processes |= {(name, "daemon"): daemon, (name, "guard"): guards[0]}
    return processes


def _cpu_s(pid: int) -> float:
    # proc_pid_stat(5): utime and stime are fields 14 and 15; the command, field 2, may hold anything.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_S


def _memory(pid: int) -> tuple[float, float]:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    sizes = {name: int(kb) / 1024 for name, kb in re.findall(r"^(Rss|Pss): +(\d+) kB", text, re.MULTILINE)}
    return round(sizes["Rss"], 1), round(sizes["Pss"], 1)
