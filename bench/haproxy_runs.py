"""Runs in which HAProxy's configuration is changed under load, and one without a cluster: many services."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from ruamel.yaml import YAML

from bench.common import DEADLINE_S, Cluster, Run
from bench.haproxy_load import load
from hactl.lab import files
from hactl.lab.spec import PYTHON
from hactl.lab.system import LabError, boottime_ms, wait_until

SERVICE = "api-one"
# How long the server that was taken out stays away: several of its checks.
AWAY_S = 2.0


def changes(cluster: Cluster, _: int) -> Run:
    """A hundred of them, one after the other."""
    run, begin = Run(), boottime_ms()
    node = cluster.lab.node("n1")
    with TemporaryDirectory(prefix="hactl-") as place:
        file = Path(place, "changes.json")
        toml = files.node_toml(cluster.lab.spec, node.station)
        argv = [sys.executable, "-m", "bench.haproxy_changes", str(toml), cluster.lab.spec.name, str(file)]
        with load(cluster, run):
            node.call(*argv, timeout_s=600)
        done: list[tuple[str, float]] = json.loads(file.read_text())
    steps = Counter(
        note.data["step"] for note in cluster.notes(cluster.owner("vip"), begin) if note.event == "haproxy_applied"
    )
    run.figures |= {"runtime": steps["runtime"], "reload": steps["reload"]}
    run.figures["in force"] = round(median(seconds for _, seconds in done) * 1000, 1)
    kinds = {name for name, _ in done}
    run.more["ms by kind"] = {
        kind: round(median(seconds for name, seconds in done if name == kind) * 1000, 1) for kind in sorted(kinds)
    }
    return run


def drain(cluster: Cluster, number: int) -> Run:
    """A server gets no new connections, is taken out when it has none left, stops, comes back, and is put in again."""
    run, names = Run(), list(cluster.lab.nodes)
    name = names[number % len(names)]
    via = names[(number + 1) % len(names)]
    node = cluster.lab.node(name)
    original = YAML(typ="safe").load(files.cluster_yaml(cluster.lab.spec).read_text())
    without: dict[str, Any] = json.loads(json.dumps(original))
    without["services"][0]["nodes"] = [other for other in names if other != name]
    with load(cluster, run):
        begin = boottime_ms()
        _asked(cluster, via, "/v1/service/drain", name)
        goal = f"{name} has no session left"
        wait_until(lambda: _is_empty(cluster, via, name), deadline_s=DEADLINE_S, goal=goal, every_s=0.1)
        run.more["drained_ms"] = round(boottime_ms() - begin, 1)
        _apply(cluster, via, without)
        node.stop_backend(SERVICE)
        time.sleep(AWAY_S)
        node.start_backend(SERVICE)
        cluster.lab.await_backends()
        _apply(cluster, via, original)
        _asked(cluster, via, "/v1/service/undrain", name)
        time.sleep(AWAY_S)
    run.more["node"] = name
    return run


def many(cluster: Cluster, _: int) -> Run:
    """200 services with three servers each, in a HAProxy of its own beside the lab's client."""
    run = Run()
    with TemporaryDirectory(prefix="hactl-") as place:
        file = Path(place, "many.json")
        script = 'ip link set lo up; exec "$@"'
        cluster.lab.client(
            "sh", "-c", script, "sh", sys.executable, "-m", "bench.haproxy_many", str(file), timeout_s=300
        )
        times: dict[str, list[float]] = json.loads(file.read_text())
    run.figures = {name: round(median(taken), 1) for name, taken in times.items()}
    run.more["greatest"] = {name: round(max(taken), 1) for name, taken in times.items()}
    return run


def _asked(cluster: Cluster, via: str, target: str, node: str) -> None:
    if cluster.ask(via, target, {"service": SERVICE, "node": node, "reason": "bench"}) is None:
        raise LabError(f"{via} refuses {target} of {SERVICE} on {node}")


def _is_empty(cluster: Cluster, via: str, node: str) -> bool:
    progress = cluster.ask(via, f"/v1/service/draining?service={SERVICE}&node={node}")
    return progress is not None and not progress["waiting"] and not any(progress["sessions"].values())


def _apply(cluster: Cluster, via: str, document: dict[str, Any]) -> None:
    file = cluster.lab.spec.path / "wanted.yaml"
    file.write_text(json.dumps(document))
    node = cluster.lab.node(via)
    node.call(*PYTHON, "--config", str(node.home / "node.toml"), "config", "apply", str(file))
    cluster.await_whole()
