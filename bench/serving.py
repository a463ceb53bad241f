"""Floods against everything that a node listens on: `python -m bench.serving --seconds 60`.

A lab of three. For a while each: nothing; thousands of idle connections to the TCP port of every node, from four
addresses; thousands of requests a second there; the same on the daemon's own socket; more followers than may follow.
Measured: renewals that came late, the loop that decides, the owners of the groups, how long a client of the VIP waited,
memory and processor.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from bench.common import TARGETS, Cluster
from bench.runner import say
from hactl.lab import files, privileges, spawn
from hactl.lab.cgroup import Cgroup
from hactl.lab.cluster import Lab
from hactl.lab.node import Node
from hactl.lab.spec import CLIENT, LabSpec
from hactl.lab.system import LabError
from hactl.model.snapshot import decode

PORT = 9664
SOURCES = ("10.77.0.91", "10.77.0.92", "10.77.0.93", "10.77.0.94")
HEARTBEAT_S = 0.25
_TICKS = os.sysconf("SC_CLK_TCK")


class Looked(NamedTuple):
    """A node at one moment."""

    renewals: float
    late: float
    blocked_work: float
    blocked_wait: float
    cpu_s: float
    http_cpu_s: float


class Phase(NamedTuple):
    """Something that is done for a while."""

    name: str
    words: Sequence[str]
    inside: bool = True


def phases(lab: Lab) -> list[Phase]:
    """The phases, in order."""
    ports = [f"{node.address}:{PORT}" for node in lab.nodes.values()]
    sockets = [str(run_dir(lab, node) / "hactl.sock") for node in lab.nodes.values()]
    sources = [word for source in SOURCES for word in ("--source", source)]
    return [
        Phase("nothing", ()),
        Phase("10,000 idle connections", ("idle", "10000", *ports, *sources)),
        Phase("2,000 requests/s", ("requests", "2000", *ports, *sources)),
        Phase("1,000 idle on the socket", ("idle", "1000", *sockets)),
        Phase("2,000 requests/s on the socket", ("requests", "2000", *sockets)),
    ]


def run_dir(lab: Lab, node: Node) -> Path:
    """Where its sockets are."""
    return files.home(lab.spec, node.station) / "run"


def look(lab: Lab, node: Node) -> tuple[Looked, dict[str, float]]:
    """The figures of its daemon and of the kernel; and the longest times that its loop was kept, in ms."""
    values: dict[str, float] = {}
    for family in text_string_to_metric_families(published(run_dir(lab, node) / "publish.sock").decode()):
        for sample in family.samples:
            label = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            values[f"{sample.name}{{{label}}}"] = sample.value
    count = values["hactl_renew_seconds_count{}"]
    unknown = values["hactl_store_requests_total{outcome=unknown,purpose=renew}"]
    late = count - values[f"hactl_renew_seconds_bucket{{le={HEARTBEAT_S}}}"] + unknown
    work, wait = (values[f"hactl_loop_blocked_total{{cause={cause}}}"] for cause in ("work", "wait"))
    longest = {cause: 1000 * values[f"hactl_loop_longest_seconds{{cause={cause}}}"] for cause in ("work", "wait")}
    daemon, serving = node.daemon_pid(), node.group.child("http").pids()
    return Looked(count, late, work, wait, cpu_s(daemon), cpu_s(*serving)), longest


def published(path: Path) -> bytes:
    """The daemon's page of metrics."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(path))
        raw = b""
        while chunk := connection.recv(1 << 18):
            raw += chunk
    return decode(raw).metrics


def cpu_s(*pids: int | None) -> float:
    """Processor time of processes."""
    total = 0.0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / _TICKS
    return total


def rss_mib(*pids: int | None) -> float:
    """The most memory of these."""
    sizes = [line.split()[1] for pid in pids for line in Path(f"/proc/{pid}/status").read_text().splitlines()
             if line.startswith("VmRSS")]  # fmt: skip
    return max(int(size) for size in sizes) / 1024


def measure(lab: Lab, cluster: Cluster, phase: Phase, seconds: float) -> dict[str, Any]:
    """Do it, and compare."""
    owners = {group: cluster.owner(group) for group in TARGETS}
    before = {name: look(lab, node)[0] for name, node in lab.nodes.items()}
    began = time.monotonic()
    with lab.probe(TARGETS["vip"]) as probe:
        if phase.words:
            argv = [sys.executable, "-m", "bench.flood", *phase.words, "--seconds", str(seconds)]
            command = spawn.attached(lab.spec.namespace(CLIENT), Cgroup(Path(lab.spec.cgroup)).child(CLIENT), argv)
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds + 60)
            said = json.loads(done.stdout or "{}") or done.stderr[-500:]
        else:
            time.sleep(seconds)
            said = {}
    took = time.monotonic() - began
    after = {name: look(lab, node) for name, node in lab.nodes.items()}
    delta = {name: Looked(*(b - a for a, b in zip(before[name], after[name][0], strict=True))) for name in before}
    return {
        "phase": phase.name,
        "renewals": int(sum(node.renewals for node in delta.values())),
        "late": int(sum(node.late for node in delta.values())),
        "loop over 50 ms": {"work": int(sum(node.blocked_work for node in delta.values())),
                            "wait": int(sum(node.blocked_wait for node in delta.values()))},
        "longest ms": {cause: round(max(ms[cause] for _, ms in after.values()), 1) for cause in ("work", "wait")},
        "moved": owners != {group: cluster.owner(group) for group in TARGETS},
        "VIP unanswered ms": round(probe.result.outage_ms),
        "daemon CPU %": round(100 * max(node.cpu_s for node in delta.values()) / took, 1),
        "http CPU %": round(100 * max(node.http_cpu_s for node in delta.values()) / took, 1),
        "daemon MiB": round(rss_mib(*(node.daemon_pid() for node in lab.nodes.values())), 1),
        "http MiB": round(rss_mib(*(pid for node in lab.nodes.values() for pid in node.group.child("http").pids())), 1),
        "flood": said,
    }  # fmt: skip


def main() -> int:
    """Entry point; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.serving", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each phase")
    parser.add_argument("--only", nargs="+", default=[], metavar="WORD", help="phases with this in their names")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything here")
    parser.add_argument("--name", default="serving", help="the lab's name")
    given = parser.parse_args()
    measured = []
    try:
        privileges.ensure(sys.orig_argv)
        with Lab(LabSpec(name=given.name)) as lab, lab.watch() as watcher:
            cluster = Cluster(lab, watcher)
            cluster.await_whole()
            for source in SOURCES:
                lab.client("ip", "addr", "add", f"{source}/24", "dev", "eth0")
            time.sleep(5)
            for phase in phases(lab):
                if not given.only or any(word in phase.name for word in given.only):
                    measured.append(measure(lab, cluster, phase, given.seconds))
                    say(json.dumps(measured[-1]))
    except LabError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    if given.json:
        given.json.write_text(json.dumps(measured, indent=1) + "\n")
    return int(any(phase["moved"] or phase["late"] or phase["loop over 50 ms"]["work"] for phase in measured))


if __name__ == "__main__":
    sys.exit(main())
